//! [`Pieces`]: memory for bytes on their way out, used again and again.
//!
//! A part of 8 MiB in memory of its own costs a fault for each of its 2,048 pages, and leaves the
//! allocator with holes of many sizes. Pieces of one size cost that once.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Bytes of a piece: a system call for each is nothing beside reading it.
pub(crate) const PIECE_BYTES: u64 = 1 << 20;

/// Pieces kept for the next use: 32 MiB, four parts. More are in use only while more parts are on
/// their way, which has its own budget.
const FREE_MAX: usize = 32;

/// Memory for pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    free: Mutex<Vec<Vec<u8>>>,
}

/// A piece in use.
struct Piece {
    bytes: Vec<u8>,
    pieces: Arc<Pieces>,
}

impl Pieces {
    /// Memory for a piece.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_default()
    }

    /// Gives memory out as bytes; it comes back when the last of them is dropped.
    pub(crate) fn give(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Piece {
            bytes,
            pieces: Arc::clone(self),
        })
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.pieces.free.lock();
        if free.len() < FREE_MAX {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_bounded() {
        let pieces = Arc::new(Pieces::default());
        let mut memory = pieces.take();
        memory.extend_from_slice(b"first");
        let place = memory.as_ptr();
        let bytes = pieces.give(memory);
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(&part[..], b"ir", "it is kept while any of it is in use");
        drop(part);
        let memory = pieces.take();
        assert_eq!((memory.as_ptr(), memory.len()), (place, 0));
        let many: Vec<_> = (0..FREE_MAX + 9).map(|_| pieces.give(vec![1])).collect();
        drop(many);
        assert_eq!(pieces.free.lock().len(), FREE_MAX);
    }
}
