//! The operations: `impl Vfs for Core`, over an inode table, a block cache, staging and a store.
//!
//! Every operation goes the same way: *decide* under the table's lock, *fetch* with no lock held,
//! *apply* under the lock again. What the bucket is to become is handed to the stage, which works
//! in the background; what it is now is read through the cache.
//!
//! *Invariant:* no FUSE, no NFS, no errno; no clock, no environment, no thread of its own making:
//! they are passed in.

pub mod dialect;
pub mod naming;
pub mod node;
mod settings;
mod source;

pub use settings::{CoreSettings, Durable, Mode};
pub use source::StoreSource;
