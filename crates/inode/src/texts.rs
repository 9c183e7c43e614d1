//! [`Texts`]: the names of a directory, one behind the other.
//!
//! A name of its own would cost three blocks of sixteen bytes where its text has eleven: for the counts that let it be shared,
//! for what `malloc` keeps of each block, and for what it rounds up. Here it costs its text and a byte.
//!
//! Law: what was taken out leaves a gap until the directory puts all texts together again, which it does once most is gaps.

use cloudmount_vfs::Name;

/// Bytes of a block: what two bytes can count. Growing copies no more than that.
const BLOCK: usize = 1 << 16;

/// Room in the first block of a directory with few names.
const FIRST_ROOM: usize = 64;

/// Fewer bytes of gaps than this are not worth putting the texts together.
const MIN_GAPS: usize = 4096;

/// Where a text lies. In parts of two bytes, so that it takes six.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TextAt {
    block: [u16; 2],
    offset: u16,
}

/// Texts of names, each behind its length.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    blocks: Vec<Vec<u8>>,
    /// Bytes of what is there, and of what is not any more.
    live: usize,
    gaps: usize,
}

impl Texts {
    /// Adds a name's text.
    pub(crate) fn add(&mut self, name: &str) -> TextAt {
        let text = name.as_bytes();
        let length = u8::try_from(text.len()).expect("a name has at most 255 bytes");
        let needed = text.len() + 1;
        if (self.blocks.last()).is_none_or(|last| last.len() + needed > BLOCK) {
            if let Some(full) = self.blocks.last_mut() {
                full.shrink_to_fit();
            }
            self.blocks.push(Vec::new());
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        if block.capacity() - block.len() < needed {
            let more = (block.len() / 2).max(FIRST_ROOM).max(needed);
            block.reserve_exact(more.min(BLOCK - block.len()));
        }
        let offset = block.len();
        block.push(length);
        block.extend_from_slice(text);
        self.live += needed;
        TextAt {
            block: [low(number), low(number >> 16)],
            offset: low(offset),
        }
    }

    /// The text that was added there.
    pub(crate) fn get(&self, at: TextAt) -> &str {
        std::str::from_utf8(self.bytes(at)).expect("it was a name's text")
    }

    /// The same as a name.
    pub(crate) fn name(&self, at: TextAt) -> Name {
        Name::new(self.get(at)).expect("it was a name")
    }

    /// Whether it is this name's.
    pub(crate) fn is(&self, at: TextAt, name: &str) -> bool {
        self.bytes(at) == name.as_bytes()
    }

    /// Leaves a gap in place of a text.
    pub(crate) fn remove(&mut self, at: TextAt) {
        let bytes = self.bytes(at).len() + 1;
        self.live -= bytes;
        self.gaps += bytes;
    }

    /// Whether it is mostly gaps.
    pub(crate) fn is_sparse(&self) -> bool {
        self.gaps > self.live.max(MIN_GAPS)
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(Vec::capacity);
        blocks.sum::<usize>() + self.blocks.capacity() * size_of::<Vec<u8>>()
    }

    fn bytes(&self, at: TextAt) -> &[u8] {
        let [low, high] = at.block.map(usize::from);
        let block = &self.blocks[high << 16 | low];
        let offset = usize::from(at.offset);
        &block[offset + 1..][..usize::from(block[offset])]
    }
}

/// The low two bytes.
fn low(number: usize) -> u16 {
    u16::try_from(number & 0xffff).expect("these are two bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_where_they_are() {
        let mut texts = Texts::default();
        let name = |raw: usize| format!("{raw}{}", "ü".repeat(raw % 120));
        let places: Vec<TextAt> = (0..5000).map(|raw| texts.add(&name(raw))).collect();
        assert!(texts.blocks.len() > 5);
        texts.remove(places[7]);
        for (raw, at) in places.iter().enumerate() {
            assert_eq!(texts.get(*at), name(raw));
            assert!(texts.is(*at, &name(raw)) && !texts.is(*at, "other"));
        }
        assert!(texts.heap_bytes() < (texts.live + texts.gaps) * 11 / 10);
        assert_eq!(size_of::<TextAt>(), 6);
    }

    #[test]
    fn few_texts_take_little_and_gaps_are_counted() {
        let mut texts = Texts::default();
        let first = texts.add("a");
        assert!(texts.heap_bytes() <= FIRST_ROOM + 4 * size_of::<Vec<u8>>());
        texts.remove(first);
        assert!(!texts.is_sparse());
        for _ in 0..MIN_GAPS {
            let at = texts.add("b");
            texts.remove(at);
        }
        assert!(texts.is_sparse());
    }
}
