//! What lookups and opens give back.

use std::time::Duration;

use crate::{Attr, ContentNumber, DirHandle, FileHandle, Generation};

/// A name that leads to an inode. Each `Entry` handed out raises the inode's lookup count by one;
/// [`Vfs::forget`](crate::Vfs::forget) lowers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The inode's attributes; its number is in them.
    pub attr: Attr,
    /// Tells reuses of the number apart.
    pub generation: Generation,
    /// How long the caller may keep the name; zero: ask again each time.
    pub entry_ttl: Duration,
    /// How long the caller may keep the attributes; zero: ask again each time.
    pub attr_ttl: Duration,
}

/// What the caller's page cache may do with an open file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CachePolicy {
    /// The content is the one of the last open: keep what is cached.
    Keep,
    /// The content may differ: drop what is cached, then cache.
    Refresh,
    /// Do not cache: each read and write comes through.
    Direct,
}

/// An open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its handle.
    pub handle: FileHandle,
    /// What the page cache may do.
    pub cache: CachePolicy,
    /// Which content the handle reads.
    pub content: ContentNumber,
}

/// An open directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenedDir {
    /// Its handle.
    pub handle: DirHandle,
}

/// A file that was created and opened in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Created {
    /// Its entry; counts as a lookup.
    pub entry: Entry,
    /// The open file.
    pub opened: Opened,
}
