//! [`Numbers`]: what is kept under each inode number.
//!
//! Numbers are given one after the other, so those that are in use lie close together: the entries of
//! [`IN_A_PAGE`] numbers lie in one vector, and a word tells which numbers they are of. An entry costs itself and little
//! more, and growing copies no more than a page and the map of pages.
//!
//! Law: a page holds its entries, few of them in little memory; one without entries is dropped.

use std::collections::HashMap;

use cloudmount_vfs::InodeId;

use crate::node::BuildInoHasher;
use crate::slim::slim;

/// Numbers of a page: the bits of a word.
const IN_A_PAGE: u64 = u64::BITS as u64;

/// The entries of some numbers.
#[derive(Debug)]
struct Page<T> {
    /// Which numbers have one.
    used: u64,
    /// In their order.
    entries: Vec<T>,
}

/// Entries by number.
#[derive(Debug)]
pub(crate) struct Numbers<T> {
    pages: HashMap<u64, Page<T>, BuildInoHasher>,
    len: usize,
}

/// The page of a number, and its bit there.
const fn place(ino: InodeId) -> (u64, u64) {
    let number = ino.get();
    (number / IN_A_PAGE, 1 << (number % IN_A_PAGE))
}

impl<T> Page<T> {
    /// How many entries lie before that of a bit.
    const fn before(&self, bit: u64) -> usize {
        (self.used & (bit - 1)).count_ones() as usize
    }

    /// Where the entry of a bit lies.
    const fn at(&self, bit: u64) -> Option<usize> {
        if self.used & bit == 0 {
            None
        } else {
            Some(self.before(bit))
        }
    }
}

impl<T> Numbers<T> {
    pub(crate) fn new() -> Self {
        Self {
            pages: HashMap::default(),
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, ino: InodeId) -> Option<&T> {
        let (page, bit) = place(ino);
        let page = self.pages.get(&page)?;
        page.entries.get(page.at(bit)?)
    }

    pub(crate) fn get_mut(&mut self, ino: InodeId) -> Option<&mut T> {
        let (page, bit) = place(ino);
        let page = self.pages.get_mut(&page)?;
        let at = page.at(bit)?;
        page.entries.get_mut(at)
    }

    /// Puts an entry under a number, in place of the one that is there.
    pub(crate) fn insert(&mut self, ino: InodeId, entry: T) {
        let (page, bit) = place(ino);
        let page = self.pages.entry(page).or_insert_with(|| Page {
            used: 0,
            entries: Vec::new(),
        });
        let at = page.before(bit);
        if page.used & bit != 0 {
            page.entries[at] = entry;
            return;
        }
        page.entries.insert(at, entry);
        page.used |= bit;
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, ino: InodeId) -> Option<T> {
        let (number, bit) = place(ino);
        let page = self.pages.get_mut(&number)?;
        let entry = page.entries.remove(page.at(bit)?);
        page.used &= !bit;
        self.len -= 1;
        if page.used == 0 {
            self.pages.remove(&number);
            slim(&mut self.pages);
        } else if page.entries.len() * 4 <= page.entries.capacity() {
            page.entries.shrink_to_fit();
        }
        Some(entry)
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (InodeId, &T)> {
        self.pages.iter().flat_map(|(number, page)| {
            let first = number * IN_A_PAGE;
            let bits = (0..IN_A_PAGE).filter(|bit| page.used >> bit & 1 == 1);
            let numbers = bits.filter_map(move |bit| InodeId::new(first + bit));
            numbers.zip(&page.entries)
        })
    }

    /// Bytes on the heap, without what the entries hold there, and with what `malloc` keeps before each block.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        /// What `malloc` keeps before each block.
        const BLOCK: usize = 8;
        // `std`'s map: a power of two of buckets, seven eighths of which are `capacity`, each with a byte of its own.
        let buckets = (self.pages.capacity() * 8 / 7).next_power_of_two();
        let pages = self.pages.values();
        let entries = pages.map(|page| page.entries.capacity() * size_of::<T>() + BLOCK);
        buckets * (size_of::<(u64, Page<T>)>() + 1) + entries.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn ino(number: u64) -> InodeId {
        InodeId::new(number).unwrap()
    }

    proptest! {
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((1..200_u64, any::<Option<u8>>()), 0..400)) {
            let (mut numbers, mut map) = (Numbers::new(), BTreeMap::new());
            for (number, value) in ops {
                match value {
                    Some(value) => {
                        numbers.insert(ino(number), value);
                        map.insert(number, value);
                    }
                    None => prop_assert_eq!(numbers.remove(ino(number)), map.remove(&number)),
                }
                prop_assert_eq!(numbers.len(), map.len());
                prop_assert_eq!(numbers.get(ino(number)), map.get(&number));
                prop_assert_eq!(numbers.get_mut(ino(number)), map.get_mut(&number));
            }
            let all: BTreeMap<_, _> = numbers.iter().map(|(ino, value)| (ino.get(), *value)).collect();
            prop_assert_eq!(all, map);
        }
    }

    #[test]
    fn what_is_left_of_many_takes_little() {
        let mut numbers = Numbers::new();
        (1..=100_000).for_each(|number| numbers.insert(ino(number), [0_u64; 2]));
        assert!(numbers.heap_bytes() < 100_000 * 20);
        // One of each page stays.
        let gone = (1..=100_000).filter(|number| number % IN_A_PAGE != 0);
        gone.for_each(|number| assert!(numbers.remove(ino(number)).is_some()));
        assert_eq!(numbers.len(), 100_000 / 64);
        assert!(numbers.heap_bytes() < numbers.len() * 200);
        for number in 1..=100_000 {
            numbers.remove(ino(number));
        }
        assert_eq!(numbers.len(), 0);
        assert!(numbers.heap_bytes() < 100_000);
    }
}
