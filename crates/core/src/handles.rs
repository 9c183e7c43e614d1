//! Open files and directories by handle.
//!
//! Law: a handle is never zero and never given twice in a mount's life, so that a call that comes
//! after release cannot meet another file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloudmount_cache::Reader;
use cloudmount_vfs::{DirHandle, FileHandle, InodeId, LocalFile, OpenFlags};
use parking_lot::Mutex;

use crate::node::Node;

/// Shards, so that two files seldom share a lock: a few per core of a large machine.
const SHARDS: usize = 64;

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) node: Arc<Node>,
    pub(crate) flags: OpenFlags,
    pub(crate) reader: Reader,
    /// What the node's `changes` was at open: another content since is not this handle's.
    pub(crate) changes: u64,
    /// A file on this machine with all that it reads.
    pub(crate) local: Option<LocalFile>,
    /// Whether something was written through it since the last flush.
    pub(crate) is_dirty: AtomicBool,
}

#[derive(Debug)]
enum Open {
    File(Arc<OpenFile>),
    Directory(InodeId),
}

/// All that is open.
#[derive(Debug)]
pub(crate) struct Handles {
    next: AtomicU64,
    shards: Vec<Mutex<HashMap<u64, Open>>>,
}

impl Default for Handles {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Handles {
    pub(crate) fn open(&self, file: OpenFile) -> FileHandle {
        let number = self.add(Open::File(Arc::new(file)));
        FileHandle::new(number).expect("counts up from 1")
    }

    pub(crate) fn open_dir(&self, ino: InodeId) -> DirHandle {
        DirHandle::new(self.add(Open::Directory(ino))).expect("counts up from 1")
    }

    pub(crate) fn get(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        match self.shard(handle.get()).lock().get(&handle.get()) {
            Some(Open::File(file)) => Some(Arc::clone(file)),
            Some(Open::Directory(_)) | None => None,
        }
    }

    /// Whether a handle of that number was ever given.
    pub(crate) fn was_given(&self, handle: FileHandle) -> bool {
        handle.get() < self.next.load(Ordering::Relaxed)
    }

    /// Closes the handle if it belongs to a file with that number.
    pub(crate) fn close(&self, handle: FileHandle, ino: InodeId) -> Option<Arc<OpenFile>> {
        let is_it = |open: &Open| matches!(open, Open::File(file) if file.node.ino == ino);
        match self.take(handle.get(), is_it)? {
            Open::File(file) => Some(file),
            Open::Directory(_) => None,
        }
    }

    /// Closes the handle if it belongs to the directory of that number; says whether it did.
    pub(crate) fn close_dir(&self, handle: DirHandle, ino: InodeId) -> bool {
        let is_it = |open: &Open| matches!(open, Open::Directory(dir) if *dir == ino);
        self.take(handle.get(), is_it).is_some()
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn add(&self, open: Open) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(number).lock().insert(number, open);
        number
    }

    fn take(&self, number: u64, is_it: impl Fn(&Open) -> bool) -> Option<Open> {
        let mut shard = self.shard(number).lock();
        if shard.get(&number).is_some_and(is_it) {
            shard.remove(&number)
        } else {
            None
        }
    }

    fn shard(&self, number: u64) -> &Mutex<HashMap<u64, Open>> {
        let index = number % (SHARDS as u64);
        &self.shards[usize::try_from(index).unwrap_or_default()]
    }
}
