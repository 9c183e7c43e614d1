//! The operations: `impl Vfs for Core`, over an inode table, a block cache, staging and a store.
//!
//! Every operation goes the same way: *decide* under the table's lock, *fetch* with no lock held,
//! *apply* under the lock again. What the bucket is to become is handed to the stage, which works
//! in the background; what it is now is read through the cache.
//!
//! *Invariant:* no FUSE, no NFS, no errno; no clock, no environment, no thread of its own making:
//! they are passed in.

mod ahead;
mod commit;
mod content;
mod copies;
mod core;
pub mod dialect;
mod direct;
mod doubts;
pub mod feed;
mod find;
#[doc(hidden)]
pub mod fuzzing;
mod handles;
mod invalidate;
mod keys;
mod know;
mod late;
mod left;
mod list;
mod list_ahead;
mod listed;
mod listing_only;
mod litter;
pub mod manifest;
mod markers;
pub mod naming;
mod never_index;
pub mod node;
mod ops;
mod pages;
mod published;
mod rare;
mod recollection;
mod remembered;
mod seen;
mod settings;
mod shown;
mod source;
mod told;
mod ttl;
mod turns;
mod unmarked;
mod upload_state;
mod uploads;
mod walk;

pub use ahead::AheadStats;
pub use core::{Core, CoreStats, Local, Parts};
pub use direct::{DirectIo, Globs};
pub use litter::{Litter, LitterPolicy};
pub use never_index::{NeverIndexed, Spotlight};
pub use settings::{Attributes, CoreSettings, Durable, ManifestUse, Mode, PageCache, WriteCache};
pub use source::StoreSource;
pub use ttl::TimesToLive;
