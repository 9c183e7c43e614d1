//! Calls that wait: for the disk, for the bucket, for the end.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Error, ErrorKind, Result};
use serde::Serialize;

use super::{Inner, Stage};
use crate::desired::Desired;
use crate::failpoint;
use crate::file::Standing;
use crate::key_state::KeyState;
use crate::table::Table;
use crate::{Lasting, StagedFile};

/// What a drain left over.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct DrainReport {
    /// What is not in the bucket, at most [`Self::KEYS_MAX`] of them, in the order of the keys.
    pub remaining: Vec<Remaining>,
    /// How many are not in the bucket.
    pub remaining_count: usize,
}

/// Something that a drain left over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Remaining {
    /// The key.
    pub key: String,
    /// How far it is.
    pub phase: crate::Phase,
    /// Why the last try failed, if one did.
    pub error: Option<String>,
}

impl DrainReport {
    /// Keys that are named: more than a person reads, and bounded.
    pub const KEYS_MAX: usize = 1000;
}

/// What somebody waits for.
#[derive(Debug)]
pub(super) enum Target {
    /// A generation of a file, content and metadata.
    File {
        file: Arc<StagedFile>,
        generation: u64,
        metadata_generation: u64,
    },
    /// A desired state of a key.
    Key { key: Key, seq: u64 },
}

impl Stage {
    /// Makes the content of `file` and all that the journal says survive a power cut. Concurrent
    /// calls share the flush of the journal.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub async fn sync(&self, file: &Arc<StagedFile>) -> Result<()> {
        let (standing, has_local) = {
            let state = file.lock();
            (state.standing, state.has_local)
        };
        if standing == Standing::Settled {
            return Ok(());
        }
        if has_local {
            let file = Arc::clone(file);
            self.inner.disk.run(move || file.sync_local()).await?;
            failpoint::pass(failpoint::FSYNC_DATA_FLUSHED);
        }
        self.sync_journal().await
    }

    /// Makes all that the journal says (renames, removals, submits) survive a power cut.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub async fn sync_journal(&self) -> Result<()> {
        self.inner.files.journal.sync().await
    }

    /// Has the upload of `file` joined before its time, and waits until its bytes can be read from the
    /// object that it becomes: for what is only in its parts. The file does not change meanwhile.
    ///
    /// # Errors
    /// That of the last try, if it needs a person. `Interrupted` after the shutdown.
    pub async fn recall(&self, file: &Arc<StagedFile>) -> Result<()> {
        let inner = &self.inner;
        loop {
            let ended = inner.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if let Some(result) = inner.recalled(file) {
                return result;
            }
            ended.await;
        }
    }

    /// Waits until the bucket has what is wanted under `key` now, even if the wish changes or moves
    /// meanwhile. Does not hurry it: see [`flush_now`](Self::flush_now). An open file that is never
    /// submitted is waited for without end; the caller has a deadline.
    ///
    /// # Errors
    /// That of the last try, if it needs a person.
    pub async fn wait(&self, key: &Key) -> Result<()> {
        let inner = &self.inner;
        let Some(mut target) = inner.target(key) else {
            return Ok(());
        };
        loop {
            let ended = inner.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if let Some(result) = inner.reached(&mut target) {
                return result;
            }
            ended.await;
        }
    }

    /// Waits while a request is under way that may change the object under `key`, or until it is
    /// known what became of one whose answer was lost; says whether there was any. What a read met
    /// in between may be our own doing.
    pub async fn wait_for_rest(&self, key: &Key) -> bool {
        let inner = &self.inner;
        let is_in_doubt = inner
            .lock()
            .get(key)
            .is_some_and(|state| !state.sent.is_empty());
        if is_in_doubt {
            self.flush_now(key);
        }
        let mut was_under_way = is_in_doubt;
        loop {
            let ended = inner.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            let is_under_way = inner.lock().get(key).is_some_and(|state| {
                let may_commit = state.aim().is_some() || !state.sent.is_empty();
                // One that was hurried has no failure until its try has ended.
                let is_started =
                    state.in_flight.is_some() || (is_in_doubt && !state.sent.is_empty());
                may_commit && is_started && state.failure.is_none()
            });
            if !is_under_way {
                return was_under_way;
            }
            was_under_way = true;
            ended.await;
        }
    }

    /// The version that the content of `version` has now, if the stage itself gave it another with
    /// a change of metadata.
    #[must_use]
    pub fn same_content(&self, key: &Key, version: &Version) -> Option<Version> {
        self.inner.lock().recent.same_content(key, version)
    }

    /// Tries everything now, and waits until all is in the bucket or `deadline` has passed.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let inner = &self.inner;
        let end = inner.clock.sleep(deadline);
        let mut end = std::pin::pin!(end);
        self.flush_all();
        loop {
            let ended = inner.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if inner.lock().len() == 0 {
                return DrainReport::default();
            }
            tokio::select! {
                () = &mut ended => {}
                () = &mut end => return inner.remaining(),
            }
        }
    }
}

impl Target {
    /// What is wanted now under a key: what was submitted, if anything was.
    pub(super) fn of(key: &Key, state: &KeyState) -> Self {
        let (desired, seq) = state.aim().unwrap_or((&state.desired, state.seq));
        match desired {
            Desired::Content(file) => {
                let inside = file.lock();
                Self::File {
                    file: Arc::clone(file),
                    generation: inside.content.generation(),
                    metadata_generation: inside.metadata_generation,
                }
            }
            _ => Self::Key {
                key: key.clone(),
                seq,
            },
        }
    }

    /// What took the place of a file before that was in the bucket: it was written anew, or another
    /// one was given its name. `None` if nothing did that is to be uploaded.
    fn successor(&self, table: &Table) -> Option<Self> {
        let Self::File { file, .. } = self else {
            return None;
        };
        let key = {
            let inside = file.lock();
            (inside.standing == Standing::Removed).then(|| inside.key.clone())?
        };
        let state = table.get(&key).filter(|state| state.submitted.is_some())?;
        let is_newer = matches!(&state.desired, Desired::Content(newer) if newer.id() > file.id());
        is_newer.then(|| Self::of(&key, state))
    }

    /// Where it is wanted by now.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::File { file, .. } => file.key(),
            Self::Key { key, .. } => key.clone(),
        }
    }
}

impl Inner {
    /// Whether nothing of `file` is away; if something is, its upload is hurried.
    fn recalled(&self, file: &Arc<StagedFile>) -> Option<Result<()>> {
        if self.is_stopped() {
            let context = "the stage was shut down";
            return Some(Err(Error::new(ErrorKind::Interrupted, context)));
        }
        let now = self.now();
        let mut table = self.lock();
        let key = {
            let mut state = file.lock();
            if !state.is_away() {
                state.is_recalled = false;
                return Some(Ok(()));
            }
            if state.standing == Standing::Removed {
                let context = "part of the file was only in its upload, which ended with its name";
                return Some(Err(Error::new(ErrorKind::Stale, context)));
            }
            state.is_recalled = true;
            state.key.clone()
        };
        let state = table.get_mut(&key)?;
        if let Some(in_flight) = &state.in_flight {
            in_flight.poke();
            return None;
        }
        match &state.failure {
            Some(failure) if failure.lasting == Lasting::Permanent => {
                // Writers are not kept from what they can do.
                file.lock().is_recalled = false;
                Some(Err(Error::new(failure.kind, failure.text.clone())))
            }
            Some(_) => None,
            None => {
                state.due = now;
                table.schedule(self, &key, now);
                drop(table);
                self.freed.wake();
                None
            }
        }
    }

    fn target(&self, key: &Key) -> Option<Target> {
        (self.lock().get(key)).map(|state| Target::of(key, state))
    }

    /// Whether it is there; `None`: not yet. What was written anew meanwhile is there when that is.
    pub(super) fn reached(&self, target: &mut Target) -> Option<Result<()>> {
        let table = self.lock();
        if let Some(successor) = target.successor(&table) {
            *target = successor;
        }
        let key = match &*target {
            Target::File {
                file,
                generation,
                metadata_generation,
            } => {
                let state = file.lock();
                if state.standing != Standing::Pending
                    || (state.content.committed() >= Some(*generation)
                        && state.metadata_committed >= *metadata_generation)
                {
                    return Some(Ok(()));
                }
                state.key.clone()
            }
            Target::Key { key, seq } => {
                match table.get(key) {
                    Some(state) if state.wants(*seq) => {}
                    _ => return Some(Ok(())),
                }
                key.clone()
            }
        };
        let state = table.get(&key)?;
        let failure = state
            .failure
            .as_ref()
            .filter(|_| state.in_flight.is_none())?;
        (failure.lasting == Lasting::Permanent)
            .then(|| Err(Error::new(failure.kind, failure.text.clone())))
    }

    fn remaining(&self) -> DrainReport {
        let table = self.lock();
        let named = table
            .iter()
            .take(DrainReport::KEYS_MAX)
            .map(|(key, state)| Remaining {
                key: key.as_str().to_owned(),
                phase: state.phase(),
                error: state.failure.as_ref().map(|failure| failure.text.clone()),
            });
        DrainReport {
            remaining: named.collect(),
            remaining_count: table.len(),
        }
    }
}
