//! The replies to `readdir` and `readdirplus`, being filled.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::{
    Cookie, DirEntry, DirPlusEntry, DirPlusSink, DirSink, Entry, InodeId, Name, SinkState,
};
use fuser::{Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};

use crate::encode::{file_attr, kind, shown_attr};
use crate::open_files::OpenFiles;

/// The reply to one `readdir`, being filled.
pub(crate) struct Listing<R> {
    pub(crate) reply: R,
    files: Arc<OpenFiles>,
    /// Entries that the filesystem counts as lookups, and the kernel does not.
    pub(crate) uncounted: Vec<InodeId>,
    /// Entries that the reply holds. If a directory fails midway they are delivered, and the next
    /// call meets the error: entries of `readdirplus` count as lookups already.
    pub(crate) taken: usize,
}

impl<R> Listing<R> {
    pub(crate) const fn new(reply: R, files: Arc<OpenFiles>) -> Self {
        Self {
            reply,
            files,
            uncounted: Vec::new(),
            taken: 0,
        }
    }

    fn record(&mut self, full: bool) -> SinkState {
        if full {
            return SinkState::Full;
        }
        self.taken += 1;
        SinkState::Taken
    }
}

impl DirSink for Listing<ReplyDirectory> {
    fn add(&mut self, entry: &DirEntry<'_>) -> SinkState {
        let full = self.reply.add(
            INodeNo(entry.ino.get()),
            entry.cookie.0,
            kind(entry.kind),
            OsStr::new(entry.name),
        );
        self.record(full)
    }
}

impl Listing<ReplyDirectoryPlus> {
    /// Adds an entry; says whether there was no room.
    fn child(&mut self, name: &Name, entry: &Entry, cookie: Cookie) -> bool {
        let shown = self.files.show(*entry);
        let (attr, ttl) = match &shown {
            Ok(shown) => shown_attr(shown),
            // It was asked for before the kernel learned of a later content. Without a number the
            // kernel takes the name alone (`fuse_direntplus_link`).
            Err(_) => {
                let mut attr = file_attr(&entry.attr);
                attr.ino = INodeNo(0);
                (attr, Duration::ZERO)
            }
        };
        let full = self.reply.add(
            attr.ino,
            cookie.0,
            OsStr::new(name.as_str()),
            // There is room for one time only: the shorter one is safe for both.
            &ttl.min(entry.entry_ttl),
            &attr,
            Generation(entry.generation.0),
        );
        match shown {
            Ok(shown) if full => self.files.take_back(shown.number),
            Err(_) if !full => self.uncounted.push(entry.attr.ino),
            Ok(_) | Err(_) => {}
        }
        full
    }
}

impl DirPlusSink for Listing<ReplyDirectoryPlus> {
    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        let full = match entry {
            // The kernel neither links nor counts these two (`fuse_direntplus_link`).
            DirPlusEntry::Dot { entry, attr } => self.reply.add(
                INodeNo(entry.ino.get()),
                entry.cookie.0,
                OsStr::new(entry.name),
                &Duration::ZERO,
                &file_attr(attr),
                Generation(0),
            ),
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            } => self.child(name, entry, *cookie),
        };
        self.record(full)
    }
}
