//! Finds a name's slot in a directory without a second copy of the name.
//!
//! Open addressing with linear probing. A bucket holds a slot's index and half of the hash, so that
//! growing and removing never read a name, and a search reads few names but the right one. `std`'s
//! map would need the key itself in each bucket: three times the size.

use std::hash::{BuildHasher, RandomState};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Bucket {
    hash: u32,
    /// The slot's index plus one; zero for an empty bucket.
    slot: u32,
}

/// From names to slots.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    /// None, or a power of two, at most three quarters in use.
    buckets: Box<[Bucket]>,
    len: usize,
    /// Keyed at random: whoever chooses the names in a bucket must not choose collisions.
    hasher: RandomState,
}

/// Buckets of the smallest index that holds anything.
const MIN_BUCKETS: usize = 8;

impl NameIndex {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The slot of `name`; `is_it` tells whether a slot holds that name.
    pub(crate) fn find(&self, name: &str, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.bucket_of(name, is_it)
            .map(|at| self.buckets[at].slot as usize - 1)
    }

    /// Adds a name that is not in it.
    pub(crate) fn insert(&mut self, name: &str, slot: usize) {
        if (self.len + 1) * 4 > self.buckets.len() * 3 {
            self.grow();
        }
        let slot = u32::try_from(slot + 1).expect("2^32 dentries would fill 256 GiB");
        let hash = self.hash(name);
        self.place(Bucket { hash, slot });
        self.len += 1;
    }

    /// Removes `name`, if it is there.
    pub(crate) fn remove(&mut self, name: &str, is_it: impl Fn(usize) -> bool) {
        let Some(mut hole) = self.bucket_of(name, is_it) else {
            return;
        };
        // Closes the gap, so that no search ends at it too early: each bucket of the run behind
        // it moves up unless that would put it before its home.
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            if bucket.slot == 0 {
                break;
            }
            let from_home = at.wrapping_sub(bucket.hash as usize) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole] = Bucket::default();
        self.len -= 1;
    }

    /// Forgets all names and their memory.
    pub(crate) fn clear(&mut self) {
        self.buckets = Box::default();
        self.len = 0;
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    fn bucket_of(&self, name: &str, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let hash = self.hash(name);
        let mut at = hash as usize & self.mask();
        loop {
            let bucket = self.buckets[at];
            if bucket.slot == 0 {
                return None;
            }
            if bucket.hash == hash && is_it(bucket.slot as usize - 1) {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    fn grow(&mut self) {
        let buckets = (self.buckets.len() * 2).max(MIN_BUCKETS);
        let new = vec![Bucket::default(); buckets].into_boxed_slice();
        for bucket in std::mem::replace(&mut self.buckets, new) {
            if bucket.slot != 0 {
                self.place(bucket);
            }
        }
    }

    fn place(&mut self, bucket: Bucket) {
        let mut at = bucket.hash as usize & self.mask();
        while self.buckets[at].slot != 0 {
            at = (at + 1) & self.mask();
        }
        self.buckets[at] = bucket;
    }

    const fn mask(&self) -> usize {
        self.buckets.len() - 1
    }

    fn hash(&self, name: &str) -> u32 {
        (self.hasher.hash_one(name) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names to slots as a plain vector would do it; slot `i` holds the name `i`.
    fn check(ops: &[(u16, bool)], mut index: NameIndex) {
        let name = |raw: u16| raw.to_string();
        let mut model = std::collections::BTreeSet::new();
        for &(raw, insert) in ops {
            let slot = usize::from(raw);
            if insert && model.insert(raw) {
                index.insert(&name(raw), slot);
            } else if !insert {
                model.remove(&raw);
                index.remove(&name(raw), |at| at == slot);
            }
            assert_eq!(index.len(), model.len());
        }
        for raw in 0..400 {
            let found = index.find(&name(raw), |at| at == usize::from(raw));
            assert_eq!(found.is_some(), model.contains(&raw), "{raw}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn finds_what_was_put_and_not_removed(
            ops in prop::collection::vec((0_u16..300, prop::bool::weighted(0.6)), 0..1500)
        ) {
            check(&ops, NameIndex::default());
        }
    }
}
