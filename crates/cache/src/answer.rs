//! [`Answer`]: a read's bytes, put together from blocks.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::geometry::in_memory;
use crate::pool::Pool;

/// The bytes of a range so far. A range within one block is that block's memory; any other is
/// copied, once.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    range: Range<u64>,
    /// The first byte that is missing.
    at: u64,
    slice: Bytes,
    copy: Vec<u8>,
    pool: &'a Arc<Pool>,
}

impl<'a> Answer<'a> {
    /// An empty one, for a range that is not empty. A copy is made in a buffer of `pool`.
    pub(crate) fn new(range: Range<u64>, pool: &'a Arc<Pool>) -> Self {
        Self {
            at: range.start,
            range,
            slice: Bytes::new(),
            copy: Vec::new(),
            pool,
        }
    }

    /// The first byte that is missing.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn missing(&self) -> Range<u64> {
        self.at..self.range.end
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.at == self.range.end
    }

    /// Adds what is wanted of a block that begins at `start` and holds the first missing byte.
    pub(crate) fn push(&mut self, mut block: Bytes, start: u64) {
        block.advance(in_memory(self.at - start));
        block.truncate(in_memory(self.range.end - self.at));
        let end = self.at + block.len() as u64;
        if self.range == (self.at..end) {
            self.slice = block;
        } else {
            if self.copy.capacity() == 0 {
                let len = in_memory(self.range.end - self.range.start);
                self.copy = self.pool.take(len);
            }
            self.copy.extend_from_slice(&block);
        }
        self.at = end;
    }

    pub(crate) fn finish(self) -> Bytes {
        if self.copy.is_empty() {
            self.slice
        } else {
            self.pool.freeze(self.copy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_is_sliced_and_several_are_copied_once() {
        let pool = Pool::new(32, 1);
        let block = Bytes::from(vec![7; 16]);
        let mut answer = Answer::new(20..24, &pool);
        answer.push(block.clone(), 16);
        assert!(answer.is_complete());
        assert_eq!(answer.finish().as_ptr(), block[4..].as_ptr());

        let mut answer = Answer::new(20..40, &pool);
        answer.push(block, 16);
        assert_eq!(answer.missing(), 32..40);
        answer.push(Bytes::from(vec![8; 16]), 32);
        let copy = answer.finish();
        assert_eq!(copy, [[7; 12].as_slice(), &[8; 8]].concat());
    }
}
