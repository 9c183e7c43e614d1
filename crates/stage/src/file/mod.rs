//! [`StagedFile`]: a file on its way into the bucket.
//!
//! A local file holds, at the object's own offsets, what was written or fetched; the rest is read from
//! the base object, or is zero. Small ones lie side by side in shared files of the disk.
//!
//! Laws:
//! - The local file, once it exists, is as long as the file: its length needs no journal.
//! - Data bytes are in the local file before the journal vouches for them, and both before the
//!   call returns. Beyond the base the local file vouches for itself, so an append costs no record.
//! - No lock is shared between two files when they are written, but the journal's (for bytes that
//!   replace those of a base) and, of small files, the kernel's of the shared file; each is held for
//!   one `write`.
//!
//! Lock order: the stage's table, then a file, then the journal and the open files.

mod away;
mod content;
mod descriptor;
mod local;
mod pieces;
mod read;
mod shelf;
mod write;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use cloudmount_store::{Key, Metadata, Version};
use cloudmount_vfs::Result;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

pub(crate) use self::away::Away;
pub(crate) use self::content::Content;
pub use self::content::Segment;
pub(crate) use self::descriptor::OpenFiles;
pub(crate) use self::local::LocalFile;
pub(crate) use self::pieces::Pieces;
pub(crate) use self::shelf::{Held, Shelves};
pub use self::write::Fit;
use crate::freed::{Freed, LocalBytes};
use crate::journal::Journal;
use crate::journal::record::{BaseRecord, FileRecord, ranges_below};
use crate::kept::{Kept, Leaving};
use crate::key_state::Cancel;
use crate::ranges::RangeSet;
use crate::room::{BLOCK_BYTES, Room};
use crate::{Base, RemoteBelief};

/// The number of a staged file: never used twice in one staging folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct FileId(u64);

impl FileId {
    pub(crate) const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The name of its local file.
    pub(crate) fn file_name(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The file whose local file has that name.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        (name.len() == 16)
            .then(|| u64::from_str_radix(name, 16).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a staged file stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Its key waits for it: the journal follows each change.
    Pending,
    /// The bucket has it all. The next change makes it pending again.
    Settled,
    /// Its name is gone. It lives as long as someone has it open.
    Removed,
}

/// Whether a file is uploaded while it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    /// Nobody asked for it yet.
    Unasked,
    /// It is, or will be as soon as there is a slot.
    Asked,
    /// Not before it is closed: it is written back and forth.
    Refused,
}

/// An upload that waits for a file to grow.
#[derive(Debug)]
pub(crate) struct Watch {
    /// To that size, in bytes.
    pub(crate) size: u64,
    pub(crate) cancel: Arc<Cancel>,
}

/// What takes a settled file up again when it changes.
pub(crate) trait Owner: fmt::Debug + Send + Sync {
    /// Makes `file` pending if it is settled. Called without any lock of the file.
    fn take_up(&self, file: &Arc<StagedFile>) -> Result<()>;
}

/// What all files of a stage share.
#[derive(Debug)]
pub(crate) struct FileContext {
    pub(crate) journal: Journal,
    pub(crate) open_files: OpenFiles,
    pub(crate) data_dir: PathBuf,
    /// Where small files are.
    pub(crate) shelves: Arc<Shelves>,
    /// Largest object of the store, in bytes.
    pub(crate) size_max: u64,
    pub(crate) freed: Arc<Freed>,
    /// What may lie on the disk.
    pub(crate) room: Arc<Room>,
    /// What stays there once it is in the bucket.
    pub(crate) kept: Kept,
    pub(crate) pieces: Arc<Pieces>,
}

/// A file on its way into the bucket. See the [crate] for its life.
pub struct StagedFile {
    id: FileId,
    local: LocalFile,
    context: Arc<FileContext>,
    owner: Weak<dyn Owner>,
    /// Bytes of the running upload that are in the bucket.
    pub(crate) uploaded: AtomicU64,
    /// Parts of it that are on their way.
    pub(crate) sending: AtomicUsize,
    /// Set once a part of a missing base could not be read: a copy from it is not tried again.
    pub(crate) base_lost: AtomicBool,
    /// Set once it is sure that the base is no more: nobody can spare it for this file.
    pub(crate) base_gone: AtomicBool,
    state: Mutex<FileState>,
}

/// What changes of a staged file.
#[derive(Debug)]
pub(crate) struct FileState {
    pub(crate) key: Key,
    pub(crate) metadata: Metadata,
    /// Raised with each change of the metadata.
    pub(crate) metadata_generation: u64,
    /// The metadata generation that is in the bucket, 0 for none.
    pub(crate) metadata_committed: u64,
    pub(crate) content: Content,
    /// The object that was under the key when the file was cut to nothing.
    pub(crate) origin: Option<Base>,
    /// The key of the object that it takes the place of, under a name that it left.
    pub(crate) replaces: Option<Key>,
    pub(crate) standing: Standing,
    pub(crate) stream: Stream,
    pub(crate) watch: Option<Watch>,
    /// Whether the local file exists.
    pub(crate) has_local: bool,
    /// What of the local file takes room on the disk, in whole blocks.
    pub(crate) allocated: RangeSet,
    /// What only parts of its upload have.
    pub(crate) away: Option<Away>,
    /// Somebody needs what is away: the upload is joined as soon as it can be, and the file does not
    /// change until then.
    pub(crate) is_recalled: bool,
    /// What the local file need not keep: its room is not given back yet.
    pub(crate) dropping: RangeSet,
}

impl StagedFile {
    pub(crate) fn new(
        id: FileId,
        context: &Arc<FileContext>,
        owner: Weak<dyn Owner>,
        state: FileState,
    ) -> Arc<Self> {
        Self::with_local(LocalFile::new(id), id, context, owner, state)
    }

    /// One whose bytes a former process may have left.
    pub(crate) fn with_local(
        local: LocalFile,
        id: FileId,
        context: &Arc<FileContext>,
        owner: Weak<dyn Owner>,
        state: FileState,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            local,
            context: Arc::clone(context),
            owner,
            uploaded: AtomicU64::new(0),
            sending: AtomicUsize::new(0),
            base_lost: AtomicBool::new(false),
            base_gone: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// The key that it is for now. A rename changes it, a conflict may.
    #[must_use]
    pub fn key(&self) -> Key {
        self.state.lock().key.clone()
    }

    /// The metadata that will be put with it.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.state.lock().metadata.clone()
    }

    /// Whether these are the metadata that will be put with it; without a copy of them.
    #[must_use]
    pub fn has_metadata(&self, metadata: &Metadata) -> bool {
        self.state.lock().metadata == *metadata
    }

    /// Raised with each change of the content.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.state.lock().content.generation()
    }

    /// How often it became what someone else had written: a rename takes what is there, and nothing that was read or
    /// shown before is of the same content.
    #[must_use]
    pub fn adopted(&self) -> u64 {
        self.state.lock().content.adopted()
    }

    /// The size, and [`adopted`](Self::adopted) with it.
    #[must_use]
    pub fn shown(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.content.size(), state.content.adopted())
    }

    /// Whether all of the current content is in the bucket (under this key or, while a rename is
    /// pending, under the former one).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let state = self.state.lock();
        state.content.is_committed() || state.content.is_whole_base()
    }

    /// The object that its holes are read from.
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        self.state.lock().content.base().cloned()
    }

    /// Whether the object that it is made from must stay as it is for now.
    pub(crate) fn needs_base(&self) -> bool {
        !self.base_gone.load(Ordering::Relaxed) && self.lock().needs_base()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, FileState> {
        self.state.lock()
    }

    /// Closes the descriptor: nobody writes for now.
    pub(crate) fn close_local(&self) {
        self.local.close();
    }
}

impl FileState {
    /// A file that the journal does not know yet.
    pub(crate) fn new(key: Key, metadata: Metadata, content: Content) -> Self {
        Self {
            key,
            metadata,
            metadata_generation: 1,
            metadata_committed: 0,
            content,
            origin: None,
            replaces: None,
            standing: Standing::Pending,
            stream: Stream::Unasked,
            watch: None,
            has_local: false,
            allocated: RangeSet::default(),
            away: None,
            is_recalled: false,
            dropping: RangeSet::default(),
        }
    }

    /// Whether its metadata are in the bucket.
    pub(crate) const fn metadata_is_committed(&self) -> bool {
        self.metadata_generation == self.metadata_committed
    }

    /// Whether content and metadata are in the bucket, under its key.
    pub(crate) fn is_done(&self) -> bool {
        self.content.is_committed()
            && self.metadata_is_committed()
            && self.content.base().is_some_and(|base| base.key == self.key)
    }

    pub(crate) fn needs_base(&self) -> bool {
        let Some(base) = self.content.base() else {
            return false;
        };
        self.content.missing().next().is_some()
            || (self.standing == Standing::Pending && base.key != self.key)
    }

    /// The object in the bucket, if all of it is in the local file.
    fn whole_object(&self) -> Option<Base> {
        if !self.has_local || !self.is_done() {
            return None;
        }
        self.content.whole_copy().cloned()
    }

    /// Whether the object under `key`, a name that it left, is all that the bucket has of it.
    pub(crate) fn stands_for(&self, key: &Key) -> bool {
        self.standing == Standing::Pending
            && *key != self.key
            && self.replaces.as_ref() == Some(key)
    }

    /// The object that was closed last, if that is under `key` in this version: what the file
    /// was before it was changed.
    pub(crate) fn origin(&self, key: &Key, remote: &RemoteBelief) -> Option<Base> {
        let origins = [self.content.base(), self.origin.as_ref()];
        let mut origins = origins.into_iter().flatten();
        let is_there = |base: &&Base| {
            base.key == *key && *remote == RemoteBelief::Present(base.version.clone())
        };
        origins.find(is_there).cloned()
    }

    /// The object of that key and version, which the file may have been, has the same content under another version.
    pub(crate) fn origin_moved(&mut self, (key, before): (&Key, &Version), version: &Version) {
        if let Some(origin) = &mut self.origin
            && origin.key == *key
            && origin.version == *before
        {
            origin.version = version.clone();
        }
    }

    /// Wakes the upload that waits for the file to be as large as it is.
    pub(crate) fn wake_watch(&mut self) {
        let size = self.content.size();
        if let Some(watch) = self.watch.take_if(|watch| watch.size <= size) {
            watch.cancel.poke();
        }
    }

    /// Bytes of the disk that `range` would take beyond those that it has.
    pub(crate) fn growth(&self, range: &Range<u64>) -> u64 {
        let gaps = self.allocated.gaps(blocks(range));
        gaps.map(|gap| gap.end - gap.start).sum()
    }

    pub(crate) fn set_metadata(&mut self, metadata: Metadata) {
        self.metadata = metadata;
        self.metadata_generation += 1;
    }

    /// What the journal says of it.
    pub(crate) fn record(&self, id: FileId) -> FileRecord {
        let limit = self.content.base_limit();
        FileRecord {
            id: id.get(),
            size: self.content.size(),
            base: self.content.base().map(BaseRecord::from),
            base_limit: limit,
            present: ranges_below(self.content.present(), limit),
            dirty: ranges_below(self.content.dirty(), limit),
            replaces: self.replaces.as_ref().map(|key| key.as_str().to_owned()),
            away: self.away.as_ref().map(|away| Box::new(away.record())),
        }
    }
}

/// The blocks that `range` touches.
pub(crate) fn blocks(range: &Range<u64>) -> Range<u64> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / BLOCK_BYTES * BLOCK_BYTES..range.end.next_multiple_of(BLOCK_BYTES)
}

impl fmt::Debug for StagedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedFile")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.standing == Standing::Pending {
            // The stage itself ends; the next one finds it in the journal.
            return;
        }
        let bytes = state.allocated.total();
        let object = (state.standing == Standing::Settled)
            .then(|| state.whole_object())
            .flatten();
        if let Some(base) = object
            && self.context.lacking() == 0
        {
            let leaving = Leaving {
                id: self.id,
                local: std::mem::replace(&mut self.local, LocalFile::new(self.id)),
                bytes,
                key: base.key,
                version: base.version,
                size: base.size,
            };
            self.context.kept.keep(leaving, &self.context.freed);
        } else if state.has_local {
            let file = self.id;
            self.context.freed.file(LocalBytes { file, bytes });
        }
        let base = state.content.base().map(|base| base.key.clone());
        for key in base.into_iter().chain(state.replaces.take()) {
            self.context.freed.key(key);
        }
    }
}
