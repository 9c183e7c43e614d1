//! [`Status`]: how an open filesystem stands, for people and for tools.

use cloudmount_cache::disk::DiskCache;
use cloudmount_stage::StageStatus;
use cloudmount_store::layer::MeterSnapshot;
use serde::Serialize;

use crate::session::Shared;
use crate::{Connection, Cost, Elsewhere, Feed};

/// How everything stands. Names of fields are stable; new ones may come.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Which bucket.
    pub location: String,
    /// Where what waits lies.
    pub staging: String,
    /// What waits to be uploaded, with bytes done and errors, and budgets.
    pub uploads: StageStatus,
    /// What waits for the same bucket in other staging folders, and goes on when that part of the
    /// bucket is opened.
    pub elsewhere: Vec<Elsewhere>,
    /// The block cache.
    pub cache: CacheStatus,
    /// The cache on disk, if there is one.
    pub disk_cache: Option<DiskCacheStatus>,
    /// Names and inodes in memory.
    pub names: NameStatus,
    /// Who tells what others change.
    pub feeds: Vec<Feed>,
    /// The way to the bucket.
    pub connection: Connection,
    /// Requests to the store, by operation.
    pub requests: MeterSnapshot,
    /// What these come to at the prices of the settings.
    pub cost: Cost,
}

/// The block cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Blocks found in memory since the start.
    pub hits: u64,
    /// Blocks waited for since the start.
    pub misses: u64,
    /// Bytes fetched since the start.
    pub fetched_bytes: u64,
    /// Bytes of memory in use, with those under way.
    pub used_bytes: u64,
    /// Their limit.
    pub limit_bytes: u64,
    /// Files and folders whose attributes or bytes were asked for before anybody wanted them, since the start.
    pub asked_ahead: u64,
    /// Of these, the ones that were wanted then.
    pub used_ahead: u64,
    /// Requests for bytes that had stalled and were asked again, since the start.
    pub asked_again: u64,
}

/// The cache on disk. Counts are since the start, and of this mount alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct DiskCacheStatus {
    /// Its folder.
    pub folder: String,
    /// Blocks found on disk.
    pub hits: u64,
    /// Blocks that had to be fetched.
    pub misses: u64,
    /// Bytes read from disk.
    pub read_bytes: u64,
    /// Bytes of blocks that were kept.
    pub kept_bytes: u64,
    /// Blocks that were fetched and not kept: the disk was behind, full or failing.
    pub skipped: u64,
    /// Bytes of disk that were freed to make room.
    pub evicted_bytes: u64,
    /// Damaged blocks and files that were found, dropped and fetched again.
    pub damaged: u64,
    /// How often a whole file was found there for the kernel to read by itself (`passthrough`).
    pub local_files: u64,
    /// Bytes of disk in use by all who share the folder, when this mount last wrote to it.
    pub used_bytes: u64,
    /// Their limit.
    pub limit_bytes: u64,
    /// Why nothing is kept at the moment, if so.
    pub off: Option<String>,
}

/// Names and inodes in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct NameStatus {
    /// Inodes known.
    pub inodes: usize,
    /// Of these, the ones with attributes in memory.
    pub warm: usize,
    /// Names that are here and not yet in the bucket.
    pub local: u64,
    /// Open files and directories.
    pub open: usize,
}

impl Status {
    pub(crate) fn of(shared: &Shared) -> Self {
        let cache = shared.core.cache().stats();
        let core = shared.core.stats();
        let requests = shared.meter.snapshot();
        Self {
            location: shared.location.to_string(),
            staging: shared.staging_path().display().to_string(),
            uploads: shared.core.stage().status(),
            elsewhere: shared.elsewhere(),
            cache: CacheStatus {
                hits: cache.hits,
                misses: cache.misses,
                fetched_bytes: cache.fetched_bytes,
                used_bytes: cache.cached_bytes + cache.in_flight_bytes,
                limit_bytes: cache.limit_bytes,
                asked_ahead: core.ahead.asked,
                used_ahead: core.ahead.used,
                asked_again: core.reads.again,
            },
            disk_cache: shared.disk.as_ref().map(DiskCacheStatus::of),
            names: NameStatus {
                inodes: core.table.inodes,
                warm: core.table.warm,
                local: core.table.local,
                open: core.open,
            },
            feeds: (shared.feeds().iter())
                .map(|feed| Feed::from(feed.status()))
                .collect(),
            connection: shared.link.status(),
            cost: Cost::of(&requests, shared.settings.prices.as_ref()),
            requests,
        }
    }
}

impl DiskCacheStatus {
    fn of(disk: &DiskCache) -> Self {
        let stats = disk.stats();
        Self {
            folder: disk.root().display().to_string(),
            hits: stats.hits,
            misses: stats.misses,
            read_bytes: stats.read_bytes,
            kept_bytes: stats.kept_bytes,
            skipped: stats.skipped,
            evicted_bytes: stats.evicted_bytes,
            damaged: stats.damaged,
            local_files: stats.local_files,
            used_bytes: stats.used_bytes,
            limit_bytes: stats.limit_bytes,
            off: stats.off,
        }
    }
}
