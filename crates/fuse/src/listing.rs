//! The replies to `readdir` and `readdirplus`, being filled.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::{
    Cookie, DirEntry, DirPlusEntry, DirPlusSink, DirSink, Entry, InodeId, Name, SinkState, Unknown,
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
    /// What becomes of the next entry whose attributes are older than those that the kernel has.
    overtaken: Overtaken,
}

/// The kernel learns attributes also of whoever opens a file, which may be while a listing is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Overtaken {
    /// The reply ends before it: the next one has newer attributes.
    Ends,
    /// It is what the reply ended at.
    Met,
    /// It is shown by its name alone.
    Named,
}

impl<R> Listing<R> {
    pub(crate) const fn new(reply: R, files: Arc<OpenFiles>) -> Self {
        Self {
            reply,
            files,
            uncounted: Vec::new(),
            taken: 0,
            overtaken: Overtaken::Ends,
        }
    }

    /// Whether it is empty because its first entry was overtaken: then it is to be filled once more.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.taken == 0 && self.overtaken == Overtaken::Met
    }

    /// Before it is filled once more. By the last time, all entries are taken.
    pub(crate) const fn again(&mut self, is_last: bool) {
        self.overtaken = if is_last {
            Overtaken::Named
        } else {
            Overtaken::Ends
        };
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
            // It was asked for before the kernel learned of a later content.
            Err(_) if self.overtaken != Overtaken::Named => {
                self.overtaken = Overtaken::Met;
                return true;
            }
            // Without a number the kernel takes the name alone (`fuse_direntplus_link`). glibc before 2.37 leaves out
            // entries with number 0 (`readdir`), so this is for who is overtaken each time.
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

impl Listing<ReplyDirectoryPlus> {
    /// Adds an entry with attributes that are not to be used; says whether there was no room.
    ///
    /// The protocol has number 0 for that, but `fuser` has one number for both the node and the entry, and glibc before 2.37
    /// leaves out entries with 0 (`readdir`). So the kernel takes the name, its number and its kind, for no time at all: it
    /// looks the name up before anybody gets to it (`fuse_dentry_revalidate`).
    fn bare(&mut self, name: &Name, entry: &Entry, cookie: Cookie) -> bool {
        let at_once = Entry {
            entry_ttl: Duration::ZERO,
            attr_ttl: Duration::ZERO,
            ..*entry
        };
        self.child(name, &at_once, cookie)
    }
}

impl DirPlusSink for Listing<ReplyDirectoryPlus> {
    /// The kernel asks for attributes with the names at the beginning of each directory, whoever reads it
    /// (`fuse_use_readdirplus`), so most programs would wait for what they do not want.
    fn unknown(&self) -> Unknown {
        Unknown::Bare
    }

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
            DirPlusEntry::Bare {
                name,
                entry,
                cookie,
            } => self.bare(name, entry, *cookie),
        };
        self.record(full)
    }
}
