//! Replicas on disk: what was fetched once is there after a restart.
//!
//! [`DiskCache`] is a folder with a file for each version of an object that was read, and
//! [`DiskCache::over`] a [`BlockSource`](crate::BlockSource) that looks there first.
//!
//! ```text
//! FOLDER/ledger                  the lock, and the count of bytes
//! FOLDER/BUCKET/<sha-256>.data   the bytes, each at its own offset, as long as the object; sparse
//! FOLDER/BUCKET/<sha-256>.map    a header, and for each block a checksum and when it was used
//! ```
//!
//! # Laws
//!
//! - **No wrong byte.** A block is given only if it has the checksum that its entry says, at each read.
//!   The checksum is bound to bucket, key, version and place. What does not match is fetched again.
//! - **Reading never depends on it.** No error of the disk reaches a reader, and no reader waits for a
//!   write to it. What cannot be kept is not kept; after an error, nothing is for [`OFF_FOR`]. A disk that
//!   does not answer within [`LOOK_MAX`] is done without for as long.
//! - **The limit is exact.** What the files take of the disk, by the file system's count, never exceeds
//!   it, however many processes fill the folder and whoever has files open; but for whole files that were given
//!   away and then removed (see [`DiskCache::local_file`]).
//! - **Processes share it** with no more than one lock, which only fillers take. Each file may be cut
//!   off, replaced or removed under a reader at any time.
//! - **Bounded**: files open, threads that read, bytes that wait to be written.
//! - **Nothing is synced.** What a crash of the machine loses is fetched again.

mod care;
mod evict;
mod fill;
mod gather;
mod header;
mod id;
mod local;
mod look;
mod replica;
mod source;
mod stats;
mod tier;

use std::path::PathBuf;
use std::time::Duration;

pub use crate::ledger::make_folder;
pub use care::{BucketInfo, Check, FolderInfo, check_folder, clear_folder, folder_info};
pub(crate) use id::{digest_of, hex};
pub use local::LOCAL_BYTES_MIN;
pub use stats::DiskStats;
pub use tier::DiskCache;

/// How long nothing is kept after an error of the disk: long enough to cost nothing, short enough that
/// room which was made is soon of use.
pub const OFF_FOR: Duration = Duration::from_secs(30);

/// How long a look at the disk may take: as long as a busy disk of the slowest kind needs for a queue of
/// requests, and longer than any store.
pub const LOOK_MAX: Duration = Duration::from_secs(5);

/// The smallest limit: below, a batch of blocks would be a good part of it.
const LIMIT_BYTES_MIN: u64 = 4 << 20;

/// What a [`DiskCache`] is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskSettings {
    /// The folder. Several buckets and several processes may share it.
    pub folder: PathBuf,
    /// What tells this bucket from every other: two that say the same share replicas.
    pub bucket: String,
    /// The name of the bucket's folder in it: one component, for people.
    pub bucket_folder: String,
    /// Bytes of disk for all in the folder, at least 4 MiB. Where processes say different limits, each
    /// holds to its own when it writes.
    pub limit_bytes: u64,
    /// Bytes in a block, as in [`CacheSettings::block_bytes`](crate::CacheSettings::block_bytes):
    /// other blocks are other replicas.
    pub block_bytes: u64,
    /// Bytes of memory for blocks that wait to be written. Beyond, blocks are not kept.
    pub queue_bytes: u64,
}
