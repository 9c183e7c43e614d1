//! [`Pool`]: buffers of one size, used again instead of given back.
//!
//! Allocators return a freed buffer of this size to the system, and the next one costs a page fault
//! for each 4 KiB: as much time as the copy itself. The pool never waits: a moment when another
//! thread has it is a moment without it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Pool {
    buffer_bytes: usize,
    /// Buffers to keep at most.
    max: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that goes back to its pool.
struct Pooled {
    buffer: Vec<u8>,
    pool: Arc<Pool>,
}

impl Pool {
    /// A pool that keeps up to `max` free buffers of `buffer_bytes`.
    pub(crate) fn new(buffer_bytes: usize, max: usize) -> Arc<Self> {
        Arc::new(Self {
            buffer_bytes,
            max,
            free: Mutex::new(Vec::with_capacity(max)),
        })
    }

    /// An empty buffer with room for `len` bytes. From the pool if it is of use there: a buffer that
    /// is mostly empty would be a waste of memory.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        if len > self.buffer_bytes || len <= self.buffer_bytes / 2 {
            return Vec::with_capacity(len);
        }
        let free = self.free.try_lock().and_then(|mut free| free.pop());
        free.unwrap_or_else(|| Vec::with_capacity(self.buffer_bytes))
    }

    /// What was written, unchangeable now. The buffer comes back when the last use of it ends.
    pub(crate) fn freeze(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        if buffer.capacity() == self.buffer_bytes {
            let pool = Arc::clone(self);
            Bytes::from_owner(Pooled { buffer, pool })
        } else {
            Bytes::from(buffer)
        }
    }

    fn give(&self, mut buffer: Vec<u8>) {
        if let Some(mut free) = self.free.try_lock()
            && free.len() < self.max
        {
            buffer.clear();
            free.push(buffer);
        }
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &Arc<Pool>, len: usize) -> Bytes {
        let mut buffer = pool.take(len);
        assert!(buffer.is_empty() && buffer.capacity() >= len);
        buffer.resize(len, 7);
        pool.freeze(buffer)
    }

    #[test]
    fn a_buffer_is_used_again_after_its_last_use() {
        let pool = Pool::new(4096, 2);
        let first = filled(&pool, 4096);
        let slice = first.slice(100..200);
        let place = first.as_ptr();
        drop(first);
        let second = filled(&pool, 4096);
        assert_ne!(second.as_ptr(), place, "a slice still uses it");
        assert_eq!(slice, [7; 100].as_slice());
        drop(slice);
        assert_eq!(filled(&pool, 3000).as_ptr(), place);
    }

    #[test]
    fn small_and_large_buffers_are_no_concern_of_the_pool() {
        let pool = Pool::new(4096, 2);
        for len in [0, 1, 2048, 4097] {
            assert_eq!(filled(&pool, len).len(), len);
            assert!(pool.free.lock().is_empty());
        }
    }

    #[test]
    fn no_more_are_kept_than_allowed() {
        let pool = Pool::new(4096, 2);
        let all: Vec<_> = (0..5).map(|_| filled(&pool, 4096)).collect();
        drop(all);
        assert_eq!(pool.free.lock().len(), 2);
    }
}
