//! Files being written: create, submit, metadata, and taking a settled one up again.

use std::sync::Arc;

use cloudmount_store::{Key, Metadata};
use cloudmount_vfs::Result;

use super::{Inner, Stage};
use crate::desired::Desired;
use crate::file::{Content, FileState, Standing, Stream};
use crate::journal::record::Change;
use crate::key_state::{Idle, Urgency};
use crate::table::Fill;
use crate::{Base, Lasting, RemoteBelief, StagedFile};

/// Parts that a file must have before it is uploaded while it is written: a smaller one is closed
/// soon, and goes faster in one go.
const STREAM_PARTS_MIN: u64 = 2;

/// Why a file is to be uploaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submit {
    /// It was closed: soon.
    Closed,
    /// It was flushed and stays open: once it rests.
    Synced,
}

impl Stage {
    /// A staged file for `key`, whose content is `base` (which is what the caller saw under the
    /// key), or nothing if nothing was there. The journal knows it at once. It is not uploaded
    /// before it is [submitted](Self::submit).
    ///
    /// `metadata` are put with it; with a base they are taken as the ones that it has.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn create(
        &self,
        key: &Key,
        base: Option<Base>,
        metadata: Metadata,
    ) -> Result<Arc<StagedFile>> {
        self.inner.create(key, Made::of(base), metadata)
    }

    /// A staged file without content for the key of `there`, in place of that object. It stays
    /// until the file is submitted; a rename before that takes it along.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn create_truncated(&self, there: Base, metadata: Metadata) -> Result<Arc<StagedFile>> {
        let key = there.key.clone();
        self.inner.create(&key, Made::InPlaceOf(there), metadata)
    }

    /// An empty file in place of `file`, which is to be cut to nothing and written anew: what was
    /// closed of `file` and is not in the bucket yet stays wanted, and survives a crash, until the
    /// new one is [submitted](Self::submit). `None`: nothing would be lost, so `file` itself may be
    /// cut.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn supersede(
        &self,
        file: &Arc<StagedFile>,
        metadata: Metadata,
    ) -> Result<Option<Arc<StagedFile>>> {
        self.inner.supersede(file, metadata)
    }

    /// Whether it is time to [`stream`](Self::stream) the file: it is open, its last two parts'
    /// worth of bytes was written, and nobody asked yet. Cheap: for each write.
    #[must_use]
    pub fn wants_stream(&self, file: &StagedFile) -> bool {
        self.inner.wants_stream(file)
    }

    /// Begins to upload a file that is still being written, with these metadata: its whole parts go
    /// out as they fill, and once it is submitted the rest does. Nothing of it is visible before.
    /// If its metadata are others by then, they cost a copy of the object within the store.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: the journal could not be written.
    pub fn stream(&self, file: &Arc<StagedFile>, metadata: Metadata) -> Result<()> {
        self.inner.stream(file, metadata)
    }

    /// Hands the file to the queue as it is now; what is written later needs another submit.
    /// Without effect on a file that is all in the bucket or whose name is gone.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: the journal could not be written.
    pub fn submit(&self, file: &Arc<StagedFile>, how: Submit) -> Result<()> {
        self.submit_as(file, how, None)
    }

    /// The same, with other metadata, if there are any: one record of the journal for both.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn submit_as(
        &self,
        file: &Arc<StagedFile>,
        how: Submit,
        metadata: Option<Metadata>,
    ) -> Result<()> {
        if how == Submit::Closed {
            file.close_local();
        }
        self.inner.submit(file, how, metadata)
    }

    /// Changes the metadata that are put with the file; also of one that is all in the bucket.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn set_file_metadata(&self, file: &Arc<StagedFile>, metadata: Metadata) -> Result<()> {
        self.inner.set_file_metadata(file, metadata)
    }
}

/// How a file begins.
enum Made {
    /// Empty, where nothing is.
    New,
    /// As that object, which it changes.
    From(Base),
    /// Empty, where that object is.
    InPlaceOf(Base),
}

impl Made {
    fn of(base: Option<Base>) -> Self {
        base.map_or(Self::New, Self::From)
    }

    fn there(&self) -> Option<&Base> {
        match self {
            Self::New => None,
            Self::From(there) | Self::InPlaceOf(there) => Some(there),
        }
    }
}

impl Inner {
    fn create(&self, key: &Key, made: Made, metadata: Metadata) -> Result<Arc<StagedFile>> {
        let remote = RemoteBelief::from(made.there().map(|there| there.version.clone()));
        self.edit(|edit, now| {
            let (base, origin) = match made {
                Made::New => (None, None),
                Made::From(there) => (Some(edit.correct_base(there)), None),
                Made::InPlaceOf(there) => (None, Some(edit.correct_base(there))),
            };
            let has_base = base.is_some();
            let file = self.new_file(key, base, metadata);
            {
                let mut state = file.lock();
                state.origin = origin;
                if has_base {
                    state.metadata_committed = state.metadata_generation;
                }
            }
            edit.tell(Change::File(file.lock().record(file.id())));
            edit.want(key, remote, Desired::Content(Arc::clone(&file)), None, now);
            edit.move_file(&file, key);
            Ok(file)
        })
    }

    fn wants_stream(&self, file: &StagedFile) -> bool {
        let bytes = (self.settings.part_bytes.saturating_mul(STREAM_PARTS_MIN))
            .max(self.settings.multipart_bytes_min);
        let state = file.lock();
        let size = state.content.size();
        size >= bytes
            && state.stream == Stream::Unasked
            && state.standing == Standing::Pending
            && state.content.dirty().contains(&(size - bytes..size))
    }

    fn stream(&self, file: &Arc<StagedFile>, metadata: Metadata) -> Result<()> {
        if self.capabilities.parts_max < 2 {
            file.lock().stream = Stream::Refused;
            return Ok(());
        }
        if !file.has_metadata(&metadata) {
            self.set_file_metadata(file, metadata)?;
        }
        let key = {
            let mut state = file.lock();
            state.stream = Stream::Asked;
            state.key.clone()
        };
        self.freed.key(key);
        Ok(())
    }

    fn supersede(
        &self,
        file: &Arc<StagedFile>,
        metadata: Metadata,
    ) -> Result<Option<Arc<StagedFile>>> {
        self.edit(|edit, _| {
            let key = file.key();
            let is_submitted = edit
                .get(&key)
                .is_some_and(|state| state.submitted.is_some());
            if !is_submitted || !edit.is_wanted(&key, file) {
                return Ok(None);
            }
            let new = self.new_file(&key, None, metadata);
            edit.tell(Change::File(new.lock().record(new.id())));
            edit.supersede(&key, &new);
            edit.move_file(&new, &key);
            Ok(Some(new))
        })
    }

    pub(crate) fn new_file(
        &self,
        key: &Key,
        base: Option<Base>,
        metadata: Metadata,
    ) -> Arc<StagedFile> {
        let state = FileState::new(key.clone(), metadata, Content::new(base));
        StagedFile::new(self.next_file(), &self.files, self.owner(), state)
    }

    fn submit(
        &self,
        file: &Arc<StagedFile>,
        how: Submit,
        metadata: Option<Metadata>,
    ) -> Result<()> {
        if metadata.is_some() {
            self.take_up_file(file)?;
        }
        self.edit(|edit, now| {
            let key = file.key();
            let is_wanted = edit.is_wanted(&key, file);
            match metadata {
                Some(metadata) if is_wanted => edit.set_metadata(file, metadata),
                Some(metadata) => file.lock().set_metadata(metadata),
                None => {}
            }
            if !is_wanted {
                return Ok(());
            }
            let generation = file.generation();
            edit.drop_former(&key);
            if how == Submit::Closed {
                edit.note_close(self.settings.close_delay);
            }
            edit.update(&key, |state| {
                state.submitted = Some(generation);
                state.poke();
                let waits_since = *state.waits_since.get_or_insert(now);
                let delay = match how {
                    Submit::Closed => {
                        state.idle = None;
                        self.settings.close_delay
                    }
                    Submit::Synced => {
                        state.idle = Some(Idle {
                            generation,
                            postponed: 0,
                        });
                        self.settings.synced_delay
                    }
                };
                let is_retried = (state.failure.as_ref())
                    .is_some_and(|failure| failure.lasting == Lasting::Transient);
                let due = if state.urgency == Urgency::Hurry {
                    now
                } else {
                    // Who closes a file again and again does not put its upload off for ever.
                    (now + delay).min(waits_since + self.settings.synced_delay.max(delay))
                };
                // New content does not cure a network; it may cure a refusal.
                state.due = if is_retried { state.due.max(due) } else { due };
            });
            Ok(())
        })?;
        self.fill_small(file);
        Ok(())
    }

    /// Fetches what a small file that was closed still needs of its base, which someone else may
    /// replace before its upload: it would be fetched for that anyway.
    fn fill_small(&self, file: &Arc<StagedFile>) {
        let is_small = {
            let state = file.lock();
            state.standing == Standing::Pending
                && state.content.missing().next().is_some()
                && (state.content.base())
                    .is_some_and(|base| base.size < self.settings.multipart_bytes_min)
                && !state.content.is_whole_base()
        };
        if is_small {
            let wanted = (Arc::clone(file), Fill::Keep);
            self.lock().fills.push_back(wanted);
            self.freed.wake();
        }
    }

    fn set_file_metadata(&self, file: &Arc<StagedFile>, metadata: Metadata) -> Result<()> {
        self.take_up_file(file)?;
        self.edit(|edit, now| {
            let key = file.key();
            if !edit.is_wanted(&key, file) {
                file.lock().set_metadata(metadata);
                return Ok(());
            }
            edit.set_metadata(file, metadata);
            let is_committed = file.lock().content.is_committed();
            edit.update(&key, |state| {
                // Of a file that is being written they go with the content.
                if state.submitted.is_none() && state.former.is_none() && is_committed {
                    state.submitted = Some(file.generation());
                    state.due = now + self.settings.close_delay;
                }
            });
            Ok(())
        })
    }

    /// Makes a settled file pending again: it is about to change.
    pub(crate) fn take_up_file(&self, file: &Arc<StagedFile>) -> Result<()> {
        if file.lock().standing != Standing::Settled {
            return Ok(());
        }
        self.edit(|edit, now| {
            let (key, base) = {
                let state = file.lock();
                if state.standing != Standing::Settled {
                    return Ok(());
                }
                let base = state.content.base().map(|base| base.version.clone());
                (state.key.clone(), base)
            };
            if edit.get(&key).is_some() {
                // Its name got another meaning since: the file lives on without one.
                file.lock().standing = Standing::Removed;
                return Ok(());
            }
            edit.tell(Change::File(file.lock().record(file.id())));
            let remote = RemoteBelief::from(base);
            edit.want(&key, remote, Desired::Content(Arc::clone(file)), None, now);
            edit.move_file(file, &key);
            Ok(())
        })
    }
}
