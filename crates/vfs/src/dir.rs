//! How directory entries are handed over: into a sink with limited room.
//!
//! A sink, not a list, because `readdirplus` raises a lookup count for each entry that the caller
//! *took*, and only the sink knows when it is full.

use crate::{Cookie, Entry, InodeId, Name, NodeKind};

/// One entry of a plain `readdir`.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The inode's number.
    pub ino: InodeId,
    /// What it is.
    pub kind: NodeKind,
    /// Its name; `.` and `..` come as plain text, they are no [`Name`].
    pub name: &'a str,
    /// Where to continue after it.
    pub cookie: Cookie,
}

/// One entry of `readdirplus`.
#[derive(Clone, Copy, Debug)]
pub enum DirPlusEntry<'a> {
    /// `.` or `..`: no lookup is counted.
    Dot {
        /// As in `readdir`.
        entry: DirEntry<'a>,
        /// Its attributes.
        attr: &'a crate::Attr,
    },
    /// A child: counts as a lookup if the sink takes it.
    Child {
        /// Its name.
        name: &'a Name,
        /// What a lookup would answer.
        entry: &'a Entry,
        /// Where to continue after it.
        cookie: Cookie,
    },
    /// A child whose attributes are not known, and would have to be asked for one by one: counts as a lookup if the sink
    /// takes it. Only its number, its generation and what it is hold; whoever wants more looks the name up.
    Bare {
        /// Its name.
        name: &'a Name,
        /// As a child's, with what is known at the moment in place of its attributes.
        entry: &'a Entry,
        /// Where to continue after it.
        cookie: Cookie,
    },
}

/// What a sink of `readdirplus` is to be given of entries whose attributes are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// All the same their attributes: they are asked for.
    Asked,
    /// [`DirPlusEntry::Bare`], unless somebody goes through the directory who looks at the attributes of each entry.
    Bare,
}

/// Whether a sink took an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkState {
    /// It did.
    Taken,
    /// It had no room left: the entry is not in it, and nothing more will fit.
    Full,
}

/// Receives the entries of `readdir`.
pub trait DirSink: Send {
    /// Offers `entry`.
    fn add(&mut self, entry: &DirEntry<'_>) -> SinkState;
}

/// Receives the entries of `readdirplus`.
pub trait DirPlusSink: Send {
    /// What it is given of entries whose attributes are not known.
    fn unknown(&self) -> Unknown;

    /// Offers `entry`.
    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState;
}
