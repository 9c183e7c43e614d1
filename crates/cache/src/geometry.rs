//! How an object is cut into blocks: equal ones from offset 0, the last one shorter.

use std::ops::Range;

/// The block size, a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    shift: u32,
}

impl Geometry {
    /// Blocks of `bytes`, which must be a power of two.
    pub(crate) fn new(bytes: u64) -> Self {
        debug_assert!(bytes.is_power_of_two());
        Self {
            shift: bytes.trailing_zeros(),
        }
    }

    /// Bytes of a whole block.
    pub(crate) fn block_bytes(self) -> u64 {
        1 << self.shift
    }

    /// The block that holds byte `offset`.
    pub(crate) fn index(self, offset: u64) -> u64 {
        offset >> self.shift
    }

    /// The first byte of block `index`.
    pub(crate) fn start(self, index: u64) -> u64 {
        index << self.shift
    }

    /// The blocks that a range of bytes touches; none for an empty range.
    pub(crate) fn blocks(self, bytes: &Range<u64>) -> Range<u64> {
        if bytes.is_empty() {
            return 0..0;
        }
        self.index(bytes.start)..self.index(bytes.end - 1) + 1
    }

    /// The bytes of blocks `blocks` in an object of `size` bytes.
    pub(crate) fn bytes(self, blocks: &Range<u64>, size: u64) -> Range<u64> {
        self.start(blocks.start).min(size)..self.start(blocks.end).min(size)
    }

    /// Bytes in block `index` of an object of `size` bytes.
    pub(crate) fn block_len(self, index: u64, size: u64) -> usize {
        let range = self.bytes(&(index..index + 1), size);
        in_memory(range.end - range.start)
    }
}

/// A length that is known to be that of something in memory.
pub(crate) fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a length in memory fits in usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_their_bytes_exactly() {
        let cut = Geometry::new(16);
        assert_eq!(cut.blocks(&(0..0)), 0..0);
        assert_eq!(cut.blocks(&(0..16)), 0..1);
        assert_eq!(cut.blocks(&(15..17)), 0..2);
        assert_eq!(cut.bytes(&(0..3), 40), 0..40);
        assert_eq!(cut.block_len(1, 40), 16);
        assert_eq!(cut.block_len(2, 40), 8);
        assert_eq!(cut.block_len(3, 40), 0);
    }
}
