//! [`Freed`]: what the drop of a [`Hold`](crate::Hold) or of a staged file leaves to the queue.
//!
//! A value may be dropped under any lock, so a drop only notes and wakes. *Invariant:* the lock in
//! here is the innermost one of the crate: nothing is called while it is held.

use std::sync::Arc;

use cloudmount_store::Key;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ranges::RangeSet;
use crate::{FileId, StagedFile};

/// The local file of a staged file that is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalBytes {
    pub(crate) file: FileId,
    /// Bytes that it has on the disk.
    pub(crate) bytes: u64,
}

/// What became free.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    list: Mutex<FreedList>,
    wake: Notify,
}

/// Keys whose holds ended, and local files that nobody needs.
#[derive(Debug, Default)]
struct FreedList {
    /// Keys that may be free to change now.
    keys: Vec<Key>,
    /// Local files to delete.
    files: Vec<LocalBytes>,
    /// Bytes of those that are not deleted yet.
    bytes: u64,
    /// The numbers of local files that are on the disk and that nobody wants to upload: those to
    /// delete, and copies that are kept.
    done: RangeSet,
    /// Files of which a part need not be kept on the disk.
    dropped: Vec<Arc<StagedFile>>,
}

impl Freed {
    /// Notes that something about `key` may let the queue go on.
    pub(crate) fn key(&self, key: Key) {
        self.list.lock().keys.push(key);
        self.wake.notify_one();
    }

    /// Notes a local file to delete.
    pub(crate) fn file(&self, file: LocalBytes) {
        let mut list = self.list.lock();
        list.done.insert(number(file.file));
        list.bytes += file.bytes;
        list.files.push(file);
        drop(list);
        self.wake.notify_one();
    }

    /// Notes that nobody wants to upload the local file `id`, which stays for now.
    pub(crate) fn note_done(&self, id: FileId) {
        self.list.lock().done.insert(number(id));
    }

    /// Notes that local files are deleted. Gives the bytes that they had.
    pub(crate) fn deleted(&self, files: &[LocalBytes]) -> u64 {
        let mut list = self.list.lock();
        for file in files {
            list.done.remove(number(file.file));
        }
        let bytes = files.iter().map(|file| file.bytes).sum();
        list.bytes = list.bytes.saturating_sub(bytes);
        bytes
    }

    /// The numbers of local files that may be on the disk and that nobody wants to upload: from and to
    /// behind.
    pub(crate) fn done(&self) -> Vec<(u64, u64)> {
        let list = self.list.lock();
        list.done.iter().map(|one| (one.start, one.end)).collect()
    }

    /// Bytes of local files that are to be deleted.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.lock().bytes
    }

    /// Notes that `file` has room to give back.
    pub(crate) fn room_of(&self, file: &Arc<StagedFile>) {
        self.list.lock().dropped.push(Arc::clone(file));
        self.wake.notify_one();
    }

    /// Takes the files that have room to give back.
    pub(crate) fn take_dropped(&self) -> Vec<Arc<StagedFile>> {
        std::mem::take(&mut self.list.lock().dropped)
    }

    /// Wakes the queue.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes the keys.
    pub(crate) fn take_keys(&self) -> Vec<Key> {
        std::mem::take(&mut self.list.lock().keys)
    }

    /// Whether there are files.
    pub(crate) fn has_files(&self) -> bool {
        !self.list.lock().files.is_empty()
    }

    /// Takes the files.
    pub(crate) fn take_files(&self) -> Vec<LocalBytes> {
        std::mem::take(&mut self.list.lock().files)
    }

    /// Completes after the next wake, or at once if there was one since the last.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

fn number(id: FileId) -> std::ops::Range<u64> {
    id.get()..id.get() + 1
}
