//! Numbers and names: which inode a (directory, name) pair leads to, and for how long that is known.
//!
//! [`InodeTable`] is a pure state machine. The caller asks it under a lock, asks the store without
//! the lock, and brings the answer back under the lock:
//!
//! 1. [`InodeTable::lookup`] says `Known`, `Absent`, or `Ask` with a [`Probe`];
//! 2. the caller asks the store;
//! 3. [`InodeTable::apply`] consumes the probe with the answer, or says `Retry`.
//!
//! Directory listings go the same way, with [`InodeTable::begin_listing`].
//!
//! # Laws
//!
//! - **Numbers are stable.** A name keeps its number across refreshes, renames and reclaims, for as
//!   long as it exists. No number is given twice.
//! - **No old answer undoes a local change.** Whatever was asked before a name was created, removed,
//!   renamed or uploaded here says nothing about that name, however late it arrives.
//! - **A newer answer beats an older one**, in whichever order they arrive.
//! - **What exists only here stays.** No answer removes a local name, nor a directory above one.
//! - **Cookies stay valid.** A name that exists throughout a scan of its directory is met once.
//! - **A payload's ancestors have payloads.** A reclaimed directory has reclaimed children only.
//! - **Everything is bounded**, by what the store holds and by named constants.
//!
//! # Memory
//!
//! A cold name costs 77 to 100 bytes and its text: one for the text's length, 48 to 60 for its
//! dentry, 11 to 21 for the index of names, 17 to 18 for the map of numbers. A warm one costs a node
//! of its own, and the payload.
//!
//! *Invariant:* no async, no lock, no clock, no I/O, and no dependency but `cloudmount-vfs`. The
//! payload (`P`, the core's node) is stored and cloned, never looked into.

mod belief;
mod change;
mod dentry;
mod dir;
mod epoch;
mod error;
mod index;
mod invariant;
mod judge;
mod listing;
mod lookup;
mod node;
mod numbers;
mod place;
mod refs;
mod rename;
mod scan;
mod slim;
mod table;
mod texts;
mod tree;

pub use belief::Belief;
pub use change::{Expect, Fate, Removed};
pub use dir::MAX_NEGATIVES;
pub use error::TableError;
pub use invariant::Violation;
pub use listing::{ListProbe, Listed, ListingApplied};
pub use lookup::{Answer, Applied, Lookup, Novelty, Probe};
pub use node::{Found, Locality};
pub use rename::Renamed;
pub use scan::{Child, Reach};
pub use table::{InodeTable, Stats, TableSettings};
