//! [`Kept`]: copies of objects that were uploaded from here, so that who reads again what was written
//! on this machine asks nobody.
//!
//! A staged file that is all in the bucket, and all here, becomes such a copy when nobody has it any
//! more.
//!
//! Laws:
//! - A copy is of one version of one object: asked for by another, it is not there.
//! - It is no part of what is staged. Nothing waits for it, the journal calls its file done, and a
//!   start of the stage deletes it: nothing proves that a power cut left it whole.
//! - It never changes. Its local file is freed once the last one who reads it lets go.
//! - It gives way: the oldest go first, beyond the limit, and as soon as what is staged needs room.
//! - It costs no descriptor: its file is opened to be read, among those of the staging folder.
//!
//! *Invariant:* nothing is called while the lock in here is held; a copy goes after it was released.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::FileId;
use crate::disk::disk_error;
use crate::file::{FileContext, LocalFile};
use crate::freed::{Freed, LocalBytes};
use crate::stage::Inner;

/// Copies at most: some 25 MiB of memory, and as many files as a large source tree has.
const COPIES_MAX: usize = 1 << 16;

/// Of the limit for staged files, what copies take of it unless it is set: a quarter. What is staged
/// has three quarters before anything must give way, which is also where parts of large files begin to.
const SHARE: u64 = 4;

/// Of the disk's free bytes, what copies take at most unless it is set: a quarter.
const DISK_SHARE: u64 = 4;

/// The copies.
#[derive(Debug)]
pub(crate) struct Kept {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    copies: HashMap<Key, Arc<KeptCopy>>,
    /// By age.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: u64,
}

/// The copy of one version of one object.
#[derive(Debug)]
pub(crate) struct KeptCopy {
    number: u64,
    key: Key,
    version: Version,
    size: u64,
    /// Shared with who reads it, and with what it becomes when its object gets another name or version.
    data: Arc<KeptData>,
}

/// Its bytes.
#[derive(Debug)]
struct KeptData {
    id: FileId,
    local: LocalFile,
    /// Bytes that they take on the disk.
    bytes: u64,
    freed: Arc<Freed>,
}

/// A staged file that is to be kept as a copy.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) id: FileId,
    pub(crate) local: LocalFile,
    /// Bytes that it takes on the disk.
    pub(crate) bytes: u64,
    /// The object that it is.
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) size: u64,
}

impl Drop for KeptData {
    fn drop(&mut self) {
        self.freed.file(LocalBytes {
            file: self.id,
            bytes: self.bytes,
        });
    }
}

/// What copies may take of the disk if nobody says it: of `limit` bytes for staged files, on a disk
/// with `free` bytes.
pub(crate) fn default_limit(limit: u64, free: u64) -> u64 {
    (limit / SHARE).min(free / DISK_SHARE)
}

impl Kept {
    /// None so far, and at most `limit` bytes of them.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// Keeps a file, in place of what is kept under its key. What does not fit is freed.
    pub(crate) fn keep(&self, leaving: Leaving, freed: &Arc<Freed>) {
        let Leaving { key, version, .. } = leaving;
        leaving.local.close();
        let data = Arc::new(KeptData {
            id: leaving.id,
            local: leaving.local,
            bytes: leaving.bytes,
            freed: Arc::clone(freed),
        });
        if self.limit == 0 || data.bytes > self.limit {
            return;
        }
        freed.note_done(data.id);
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        gone.extend(state.take(&key));
        while state.bytes + data.bytes > self.limit || state.copies.len() >= COPIES_MAX {
            let Some(oldest) = state.take_oldest() else {
                break;
            };
            gone.push(oldest);
        }
        let number = state.next;
        state.next += 1;
        state.put(KeptCopy {
            number,
            key,
            version,
            size: leaving.size,
            data,
        });
        drop(state);
        drop(gone);
    }

    /// The copy of that version.
    pub(crate) fn get(&self, key: &str, version: &str) -> Option<Arc<KeptCopy>> {
        let state = self.state.lock();
        let copy = state.copies.get(key)?;
        (copy.version.as_str() == version).then(|| Arc::clone(copy))
    }

    /// The content of `from` is now also, or only, that of `to`.
    pub(crate) fn moved(&self, from: (&Key, &Version), to: (&Key, &Version)) {
        if from == to {
            return;
        }
        let mut state = self.state.lock();
        let is_it = |copy: &Arc<KeptCopy>| copy.version == *from.1;
        if !state.copies.get(from.0).is_some_and(is_it) {
            return;
        }
        let Some(copy) = state.take(from.0) else {
            return;
        };
        let before = state.take(to.0);
        state.put(KeptCopy {
            number: copy.number,
            key: to.0.clone(),
            version: to.1.clone(),
            size: copy.size,
            data: Arc::clone(&copy.data),
        });
        drop(state);
        drop((copy, before));
    }

    /// The object under `key` has `version` now, or is gone: a copy of another one is of no use.
    pub(crate) fn replaced(&self, key: &Key, version: Option<&Version>) {
        let mut state = self.state.lock();
        let is_other = |copy: &Arc<KeptCopy>| Some(&copy.version) != version;
        let gone = match state.copies.get(key).is_some_and(is_other) {
            true => state.take(key),
            false => None,
        };
        drop(state);
        drop(gone);
    }

    /// A copy that cannot be read goes.
    fn lost(&self, copy: &KeptCopy) {
        let mut state = self.state.lock();
        let is_it = |there: &Arc<KeptCopy>| there.number == copy.number;
        let gone = match state.copies.get(&copy.key).is_some_and(is_it) {
            true => state.take(&copy.key),
            false => None,
        };
        drop(state);
        drop(gone);
    }

    /// Lets the oldest copies go, until that frees so many bytes.
    pub(crate) fn give_way(&self, bytes: u64) {
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        let mut freed = 0;
        while freed < bytes
            && let Some(oldest) = state.take_oldest()
        {
            freed += oldest.data.bytes;
            gone.push(oldest);
        }
        drop(state);
        drop(gone);
    }

    /// Bytes of the disk that all copies take.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// What they may take.
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }
}

impl State {
    fn put(&mut self, copy: KeptCopy) {
        self.bytes += copy.data.bytes;
        self.order.insert(copy.number, copy.key.clone());
        self.copies.insert(copy.key.clone(), Arc::new(copy));
    }

    fn take(&mut self, key: &Key) -> Option<Arc<KeptCopy>> {
        let copy = self.copies.remove(key)?;
        self.order.remove(&copy.number);
        self.bytes -= copy.data.bytes;
        Some(copy)
    }

    fn take_oldest(&mut self) -> Option<Arc<KeptCopy>> {
        let (_, key) = self.order.first_key_value()?;
        let key = key.clone();
        self.take(&key)
    }
}

/// Copies of objects that were uploaded from here, for who reads.
#[derive(Clone, Debug)]
pub struct Copies {
    inner: Arc<Inner>,
}

/// One of them. It stays readable as long as this lives, or until the stage is shut down.
#[derive(Clone, Debug)]
pub struct Copied {
    inner: Arc<Inner>,
    copy: Arc<KeptCopy>,
}

impl Copies {
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The copy of that version of an object, if there is one.
    #[must_use]
    pub fn get(&self, key: &str, version: &str) -> Option<Copied> {
        let copy = self.inner.files.kept.get(key, version)?;
        let inner = Arc::clone(&self.inner);
        Some(Copied { inner, copy })
    }

    /// `key` was found to have `version` in the bucket: a copy of another one goes.
    pub fn replaced(&self, key: &Key, version: &Version) {
        self.inner.files.kept.replaced(key, Some(version));
    }
}

impl Copied {
    /// Bytes of the object.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.copy.size
    }

    /// The bytes of `range`, which lies within the size.
    ///
    /// # Errors
    /// `Io`, `Corrupt`: the file is not as it was left; the copy is not given any more. `Interrupted`
    /// after the shutdown.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let (files, data) = (Arc::clone(&self.inner.files), Arc::clone(&self.copy.data));
        let work = move || data.read(&files, range);
        let read = self.inner.disk.run(work).await;
        if read.is_err() {
            self.inner.files.kept.lost(&self.copy);
        }
        read
    }
}

impl KeptData {
    fn read(&self, files: &FileContext, range: Range<u64>) -> Result<Bytes> {
        let length = range.end - range.start;
        let bytes = (self.local.read(files, range, Vec::new()))
            .map_err(|error| disk_error(error, || format!("read kept file {}", self.id)))?;
        if bytes.len() as u64 != length {
            let context = format!("kept file {} is shorter than it was", self.id);
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        Ok(bytes.into())
    }
}

impl FileContext {
    /// Has copies give way to what is staged if room is short. Gives how many bytes are lacking even so.
    pub(crate) fn make_room(&self) -> u64 {
        let lacking = self.lacking();
        if lacking > 0 {
            self.kept.give_way(lacking);
        }
        self.lacking()
    }

    /// Bytes that are lacking when all is deleted that is to be.
    pub(crate) fn lacking(&self) -> u64 {
        self.room.lacking().saturating_sub(self.freed.bytes())
    }
}

#[cfg(test)]
mod tests;
