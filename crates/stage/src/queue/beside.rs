//! Beside: someone else's object under the key of a file whose parts can be joined under no other.
//!
//! A conflict copy is ours under another name; but parts that are nowhere else belong to one name. So
//! the two change places: theirs is copied to the name of a conflict copy, and then ours takes the key,
//! on the condition that theirs is still what was copied.
//!
//! Laws:
//! - Nothing replaces theirs before the copy of it is there, whole.
//! - The name of the copy is in the journal before the copy is made: after a crash, or an answer that
//!   was lost, the same name is looked at, and what is there already is not copied again.
//! - What someone puts under the key meanwhile is another object, and gets a copy of its own.

use cloudmount_store::{
    CopySource, ErrorKind, GetOptions, Key, ObjectMeta, PartTag, Payload, Result, StoreExt,
    UploadId, Version,
};
use cloudmount_vfs as vfs;

use super::condition::Write;
use super::conflict::conflict_key;
use super::effect::left_by;
use super::worker::{Done, Job, Trouble};
use crate::RemoteBelief;
use crate::events::Event;
use crate::failpoint;
use crate::fingerprint::{Fingerprint, Match};
use crate::key_state::Beside;
use crate::plan::Layout;
use crate::recent;

/// Names that are tried: each that is taken was given to something else within the same second.
const NAMES_MAX: usize = 8;

/// Objects up to this are read and put where the store cannot copy them: 8 MiB, as one part.
const PUT_BYTES_MAX: u64 = 8 << 20;

/// Bytes of a part that is read and sent on: 8 MiB, unless the upload would have too many.
const READ_PART_BYTES: u64 = 8 << 20;

/// What became of one try to copy.
enum Tried {
    /// The copy is there, in that version.
    There(Version),
    /// The name has something else.
    Taken,
    /// What was to be copied is not under the key any more.
    Moved,
}

impl Job<'_> {
    /// Copies what someone else made under the key, in the version `theirs`, to a name of its own;
    /// ours may replace that version then.
    pub(super) async fn put_theirs_beside(&mut self, theirs: &Version) -> Done {
        match self.theirs_beside(theirs).await {
            Ok(done) => done,
            Err(trouble) => Done::Failed(trouble),
        }
    }

    async fn theirs_beside(&mut self, version: &Version) -> std::result::Result<Done, Trouble> {
        let theirs = match self.there().await? {
            Some(there) if there.version == *version => there,
            _ => return Ok(Done::Believe(self.remote.clone())),
        };
        let mut left = RemoteBelief::Absent;
        let mut taken = Vec::new();
        while taken.len() < NAMES_MAX && !self.cancel.is_cancelled() {
            let Some(name) = self.name_beside(&theirs, &taken)? else {
                break;
            };
            match self.copy_beside(&theirs, &name, &mut left).await? {
                Tried::There(copy) => {
                    self.note_beside(&theirs, &name, copy).await?;
                    return Ok(Done::Believe(RemoteBelief::Present(theirs.version)));
                }
                Tried::Taken => {
                    left = RemoteBelief::Absent;
                    taken.push(name);
                }
                Tried::Moved => return Ok(Done::Believe(self.remote.clone())),
            }
        }
        if self.cancel.is_cancelled() {
            return Ok(Done::Cancelled);
        }
        Err(self.name_taken())
    }

    /// The name that theirs gets, which the journal knows from here on. `None`: there is none.
    fn name_beside(&self, theirs: &ObjectMeta, taken: &[Key]) -> vfs::Result<Option<Key>> {
        let inner = self.inner;
        let mut table = inner.lock();
        let noted = table
            .get(self.key)
            .and_then(|state| state.beside.as_ref())
            .filter(|noted| noted.theirs == theirs.version && !taken.contains(&noted.name));
        if let Some(noted) = noted {
            return Ok(Some(noted.name.clone()));
        }
        let is_taken = |key: &Key| {
            taken.contains(key)
                || table.get(key).is_some()
                || table.settled(key).is_some()
                || table.recent.knows(key)
        };
        let host = &inner.settings.host;
        let Some(name) = conflict_key(self.key, host, inner.clock.wall(), is_taken) else {
            return Ok(None);
        };
        let Some(state) = table.get_mut(self.key) else {
            return Ok(None);
        };
        let before = state.beside.replace(Beside {
            name: name.clone(),
            theirs: theirs.version.clone(),
        });
        let told = inner.files.journal.append(&[state.record(self.key)]);
        if told.is_err() {
            state.beside = before;
        }
        told.map(|()| Some(name))
    }

    /// The copy is there: ours may replace theirs.
    async fn note_beside(
        &mut self,
        theirs: &ObjectMeta,
        name: &Key,
        copy: Version,
    ) -> vfs::Result<()> {
        let there = RemoteBelief::Present(theirs.version.clone());
        {
            let mut table = self.inner.lock();
            let copy = RemoteBelief::Present(copy);
            let step = (RemoteBelief::Absent, copy);
            (table.recent).note(name, step, recent::Content::Replaced, self.inner.now());
            if let Some(state) = table.get_mut(self.key) {
                state.remote = there.clone();
                let record = state.record(self.key);
                self.inner.files.journal.append(&[record])?;
            }
        }
        self.remote = there;
        tracing::warn!(
            key = %self.key, theirs_as = %name,
            "someone else made an object of that name; it has another name now, for ours has parts that can be joined under this one only"
        );
        let told = Event::TheirsBeside {
            key: self.key.clone(),
            theirs_as: name.clone(),
        };
        // Without a reader nobody needs to know.
        self.inner.events.send(told).await.unwrap_or_default();
        Ok(())
    }

    /// Copies theirs to `name`, where `left` is what a try before left there.
    async fn copy_beside(
        &self,
        theirs: &ObjectMeta,
        name: &Key,
        left: &mut RemoteBelief,
    ) -> std::result::Result<Tried, Trouble> {
        let error = match self.copied(theirs, name, left).await {
            Ok(version) => {
                failpoint::pass(failpoint::COPY_ANSWERED);
                return Ok(Tried::There(version));
            }
            Err(Trouble::Store(error)) => error,
            Err(trouble) => return Err(trouble),
        };
        if let Some(wrong) = left_by(&error) {
            // Another version was copied: that is to be replaced, not kept.
            *left = wrong.clone();
        }
        if !matches!(
            error.kind(),
            ErrorKind::Precondition | ErrorKind::NotFound | ErrorKind::Range
        ) {
            return Err(error.into());
        }
        let there = match self.inner.store.head(name).await {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Tried::Moved),
            Err(error) => return Err(error.into()),
        };
        let copy = Fingerprint::of(theirs);
        match copy.compare(&there) {
            // A try before this one made it.
            Match::Yes => Ok(Tried::There(there.version)),
            Match::AskContent if self.is_content_of(&copy, name, &there).await? => {
                Ok(Tried::There(there.version))
            }
            _ if *left == RemoteBelief::Present(there.version) => Ok(Tried::Moved),
            Match::AskContent | Match::No => Ok(Tried::Taken),
        }
    }

    /// Copies within the store, or, where it does not do that, through here.
    async fn copied(
        &self,
        theirs: &ObjectMeta,
        name: &Key,
        left: &mut RemoteBelief,
    ) -> std::result::Result<Version, Trouble> {
        let inner = self.inner;
        let source = CopySource {
            key: self.key.clone(),
            if_match: Some(theirs.version.clone()),
        };
        if inner.conditions.copies() && theirs.size <= inner.conditions.copy_bytes_max() {
            let write = Write::Copy {
                source: &source,
                size: theirs.size,
                metadata: &theirs.metadata,
            };
            match inner.write(name, left, &write).await {
                Ok(version) => return Ok(version),
                Err(error) => match error.kind() {
                    ErrorKind::Unsupported | ErrorKind::TooLarge | ErrorKind::InvalidRequest => {
                        if let Some(wrong) = left_by(&error) {
                            *left = wrong.clone();
                        }
                    }
                    _ => return Err(error.into()),
                },
            }
        }
        let metadata = (inner.with_tags(self.key, &theirs.metadata).await?).into_owned();
        if theirs.size <= PUT_BYTES_MAX {
            let Some(_room) = inner.bodies.for_put(theirs.size).await else {
                return Err(vfs::Error::from(vfs::ErrorKind::Interrupted).into());
            };
            let options = GetOptions {
                range: None,
                if_match: source.if_match,
            };
            let payload = Payload::from(inner.store.get_bytes(self.key, options).await?);
            let write = Write::Put {
                payload: &payload,
                metadata: &metadata,
            };
            return Ok(inner.write(name, left, &write).await?);
        }
        let upload = inner.begin_upload(name, metadata).await?;
        let joined = async {
            let parts = if inner.offered().part_copy {
                (inner.copied_parts(name, &upload, &source, theirs.size)).await?
            } else {
                self.read_parts(name, &upload, theirs).await?
            };
            let write = Write::Complete {
                upload: &upload,
                parts: &parts,
            };
            inner.write(name, left, &write).await
        };
        match joined.await {
            Ok(version) => {
                inner.forget_upload(&upload);
                Ok(version)
            }
            Err(error) => {
                inner.lock().abandoned.push((name.clone(), upload));
                inner.freed.wake();
                Err(error.into())
            }
        }
    }

    /// Reads theirs, and sends it as the parts of an upload.
    async fn read_parts(
        &self,
        name: &Key,
        upload: &UploadId,
        theirs: &ObjectMeta,
    ) -> Result<Vec<PartTag>> {
        let inner = self.inner;
        let count_max = u64::from(inner.capabilities.parts_max.max(1));
        let part_bytes = READ_PART_BYTES
            .max(inner.capabilities.part_bytes_min)
            .max(theirs.size.div_ceil(count_max));
        let count = u16::try_from(theirs.size.div_ceil(part_bytes)).unwrap_or(u16::MAX);
        let mut parts = Vec::with_capacity(usize::from(count));
        for index in 0..count {
            let range = Layout::equal(part_bytes).range(index, theirs.size);
            let Some(_room) = inner.bodies.for_part(range.end - range.start).await else {
                let context = format!("copy {} while the stage ends", self.key);
                return Err(cloudmount_store::Error::new(ErrorKind::Io, context));
            };
            let options = GetOptions {
                range: Some(range),
                if_match: Some(theirs.version.clone()),
            };
            let bytes = inner.store.get_bytes(self.key, options).await?;
            let sent = (inner.store).multipart_put(name, upload, index + 1, bytes.into());
            parts.push(sent.await?);
        }
        Ok(parts)
    }
}
