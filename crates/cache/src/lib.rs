//! Bytes coming in: blocks of objects in memory, fetched once, ahead of a sequential reader.
//!
//! [`BlockCache`] sits over a [`BlockSource`] and gives each open file a [`Reader`]. A source is
//! anything that can stream a range of one version of an object, so tiers stack: the cache on disk,
//! [`disk::DiskCache`], is a `BlockSource` over a `BlockSource`.
//!
//! # Laws
//!
//! - **One version.** Every block is kept under (key, version). No read mixes two versions.
//! - **Warm reads do not wait.** When every block is in memory, [`Reader::read`] is ready at its
//!   first poll: no task, no allocation per block, and no copy if one block holds the range.
//! - **Single flight.** Concurrent misses of a block share one request and its outcome. A failure is
//!   told to all who waited and is not remembered. A waiter that gives up disturbs no other.
//! - **Bytes move on at once.** A block is handed over as soon as it is complete, however long the
//!   request goes on. Read-ahead never stands before a byte that someone waits for.
//! - **Memory is a hard limit** for blocks kept and blocks under way. Short of it, read-ahead is left
//!   out and misses queue; nothing fails.
//! - **No hit waits for another file**, but for the shards of the block table.
//! - **Each byte is copied once** on its way in, and once on its way out if a read spans blocks.
//! - **Read-ahead is a pure function** of what was read: [`readahead::plan`]. So are its sizes, of what the
//!   requests took: [`pace::Pace`]; and so is what counts as a request that stalled, which [`Hedged`] asks again.
//!
//! # Order of locks
//!
//! The reader's history is taken alone. A shard of the flight table may be held while a shard of the
//! block table is taken, never the other way round.
//!
//! *Invariant:* this crate knows no store and no inode; its clock is handed in. It never looks into a key or a
//! version, and leaves deadlines, retries and resumption to the source.

mod answer;
mod cache;
pub mod disk;
mod fetch;
mod flight;
mod geometry;
mod hedged;
mod ledger;
mod memory;
pub mod notes;
mod object;
pub mod pace;
mod paced;
mod parts;
mod pool;
mod pressure;
pub mod readahead;
mod reader;
pub mod replay;
mod settings;
mod sharded;
mod source;
mod stall;
mod stats;
pub mod strategy;
pub mod trace;
mod whole;

pub use cache::BlockCache;
pub use hedged::{HedgeStats, Hedged};
pub use object::ObjectRef;
pub use parts::{CacheParts, ReadObserver};
pub use reader::Reader;
pub use settings::CacheSettings;
pub use source::{BlockSource, ByteStream};
pub use stats::CacheStats;
pub use whole::WholeFetch;
