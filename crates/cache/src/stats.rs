//! Counts, kept so that files which are read at once do not write to the same memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Enough that the threads which serve reads rarely share a line.
const STRIPES: usize = 16;

/// What a [`BlockCache`](crate::BlockCache) has done and holds. The counts are since its making.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    /// Blocks that a read found in memory.
    pub hits: u64,
    /// Blocks that a read had to wait for.
    pub misses: u64,
    /// Requests made to the source.
    pub requests: u64,
    /// Bytes that the source gave.
    pub fetched_bytes: u64,
    /// Bytes kept now, with what it takes to find them.
    pub cached_bytes: u64,
    /// Bytes under way now.
    pub in_flight_bytes: u64,
    /// What the last two may come to together.
    pub limit_bytes: u64,
}

/// A cache line of counts of its own: 128 bytes, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line {
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    lines: [Line; STRIPES],
    next_stripe: AtomicUsize,
    requests: AtomicU64,
    fetched_bytes: AtomicU64,
}

/// Which line a reader counts in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stripe(usize);

impl Counters {
    /// The line for a new reader.
    pub(crate) fn stripe(&self) -> Stripe {
        Stripe(self.next_stripe.fetch_add(1, Ordering::Relaxed) % STRIPES)
    }

    pub(crate) fn hit(&self, stripe: Stripe, blocks: u64) {
        self.lines[stripe.0]
            .hits
            .fetch_add(blocks, Ordering::Relaxed);
    }

    pub(crate) fn missed(&self, stripe: Stripe, blocks: u64) {
        self.lines[stripe.0]
            .misses
            .fetch_add(blocks, Ordering::Relaxed);
    }

    pub(crate) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.fetched_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The counts; what is held is for the caller to fill in.
    pub(crate) fn snapshot(&self) -> CacheStats {
        let sum = |count: fn(&Line) -> &AtomicU64| {
            let lines = self.lines.iter();
            lines.map(|line| count(line).load(Ordering::Relaxed)).sum()
        };
        CacheStats {
            hits: sum(|line| &line.hits),
            misses: sum(|line| &line.misses),
            requests: self.requests.load(Ordering::Relaxed),
            fetched_bytes: self.fetched_bytes.load(Ordering::Relaxed),
            ..CacheStats::default()
        }
    }
}
