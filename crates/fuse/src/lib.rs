//! The adapter for Linux: shows any [`Vfs`](cloudmount_vfs::Vfs) to the kernel through `/dev/fuse`.
//!
//! Laws:
//!
//! - **Thin.** A request is decoded, becomes one call of the contract, and its result becomes the
//!   reply. Whatever could differ between filesystems is decided elsewhere.
//! - **A dispatch thread never waits** for an operation (see `dispatch`).
//! - **Invalidations have a thread of their own** (see `notify`): sent while a request is being
//!   served, they deadlock against the kernel's page and directory locks.
//! - **What says "mounted" has looked**: [`mount`](mount()) returns once the kernel has shaken hands and its
//!   mount table says so, and nothing here unmounts a mount that it did not make, except the dead remains
//!   of an earlier one.
//! - **A process asks nothing of its own mount**: killed meanwhile, it would wait for its own answer for ever.
//!
//! *Invariant:* only this crate knows `fuser`, and nothing in it knows object stores.

#![cfg(target_os = "linux")]

mod adapter;
mod callers;
mod decode;
mod dispatch;
mod dot_lookups;
mod encode;
mod errno;
mod indexers;
mod kernel_nodes;
mod listing;
mod mount;
mod negotiate;
mod notify;
mod open_files;
mod ops;
mod passthrough;

pub use adapter::FuseAdapter;
pub use mount::{Mount, MountError, MountErrorKind, MountOptions, UnmountMode, Unmounter, mount};
