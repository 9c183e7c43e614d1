//! Counts of a cache on disk.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`DiskCache`](super::DiskCache) has done and holds. The counts are since its making.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DiskStats {
    /// Blocks found on disk.
    pub hits: u64,
    /// Blocks that had to be fetched.
    pub misses: u64,
    /// Bytes read from disk.
    pub read_bytes: u64,
    /// Bytes of blocks that were kept.
    pub kept_bytes: u64,
    /// Blocks that were fetched and not kept: the disk was behind, full or off.
    pub skipped: u64,
    /// Bytes of disk that were freed to make room.
    pub evicted_bytes: u64,
    /// Damaged blocks and files that were found and dropped.
    pub damaged: u64,
    /// Whole files that were given to be read without the cache, each time one was.
    pub local_files: u64,
    /// Bytes of disk in use by all in the folder, when this process last wrote to it.
    pub used_bytes: u64,
    /// What they may come to.
    pub limit_bytes: u64,
    /// Why nothing is kept at the moment, if so.
    pub off: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) kept_bytes: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) evicted_bytes: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) local_files: AtomicU64,
    pub(crate) used_bytes: AtomicU64,
}

/// Adds to a count.
pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    /// The counts; the rest is for the caller to fill in.
    pub(crate) fn snapshot(&self) -> DiskStats {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DiskStats {
            hits: get(&self.hits),
            misses: get(&self.misses),
            read_bytes: get(&self.read_bytes),
            kept_bytes: get(&self.kept_bytes),
            skipped: get(&self.skipped),
            evicted_bytes: get(&self.evicted_bytes),
            damaged: get(&self.damaged),
            local_files: get(&self.local_files),
            used_bytes: get(&self.used_bytes),
            ..DiskStats::default()
        }
    }
}
