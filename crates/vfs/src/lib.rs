//! The contract: what a filesystem core offers and what an adapter (FUSE, NFS, WebDAV) may ask.
//!
//! Laws: nothing here does I/O; every type carries its own preconditions ([`Name`] is validated
//! once, ids are never zero); every error has one [`ErrorKind`] per reaction of the caller.
//!
//! *Invariant:* this crate knows no object store, no FUSE type, no errno and no NFS status.
//! Adapters translate [`ErrorKind`] in one exhaustive match of their own.

mod attr;
mod change;
mod clock;
mod context;
mod dir;
mod entry;
mod error;
mod flags;
mod id;
mod local_file;
mod name;
mod vfs;

pub use attr::{Attr, ContentNumber, NodeKind, Permissions, SetAttr, SetTime, StatFs, Timestamp};
pub use change::{Change, ChangeSender, Changes, ChangesCloser, change_channel};
pub use clock::{BoxFuture, Clock, Instant, SystemClock};
pub use context::Context;
pub use dir::{DirEntry, DirPlusEntry, DirPlusSink, DirSink, SinkState, Unknown};
pub use entry::{CachePolicy, Created, Entry, Opened, OpenedDir};
pub use error::{Error, ErrorKind, Result, ResultExt};
pub use flags::{
    Access, AccessMask, OpenFlags, RenameMode, SeekWhence, SyncScope, WriteMode, XattrMode,
};
pub use id::{Cookie, DirHandle, FileHandle, Generation, InodeId};
pub use local_file::LocalFile;
pub use name::{Name, NameError};
pub use vfs::Vfs;
