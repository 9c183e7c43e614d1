//! [`Status`]: how an open filesystem stands, for people and for tools.

use cloudmount_stage::StageStatus;
use cloudmount_store::layer::MeterSnapshot;
use serde::Serialize;

use crate::Elsewhere;
use crate::session::Shared;

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
    /// Names and inodes in memory.
    pub names: NameStatus,
    /// Requests to the store, by operation.
    pub requests: MeterSnapshot,
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
            },
            names: NameStatus {
                inodes: core.table.inodes,
                warm: core.table.warm,
                local: core.table.local,
                open: core.open,
            },
            requests: shared.meter.snapshot(),
        }
    }
}
