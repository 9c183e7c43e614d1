//! The end of an operation that did not succeed: it failed, or somebody else was faster.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_store::{self as store, Key, Version};
use cloudmount_vfs::{self as vfs, Instant};

use super::conflict::conflict_key;
use super::in_the_way::gives_way;
use super::refused::extent;
use super::upload::is_permanent;
use super::worker::{Ticket, Trouble};
use crate::desired::Desired;
use crate::edit::Edit;
use crate::events::{Event, Lasting};
use crate::failpoint;
use crate::journal::record::Change;
use crate::key_state::{Extent, Failure, KeyState, Urgency, retry_delay};
use crate::stage::Inner;
use crate::table::Table;
use crate::{ConflictPolicy, RemoteBelief};

/// Tries that correct a wrong belief at once; more of them in a row wait like failures.
const CORRECTIONS_MAX: u32 = 3;

impl Inner {
    pub(super) fn failed(
        &self,
        table: &mut Table,
        key: &Key,
        trouble: &Trouble,
        now: Instant,
    ) -> Option<Event> {
        let (mut failure, wait) = failure(trouble);
        let attempts = table.get(key)?.attempts;
        if let Trouble::Store(error) = trouble
            && gives_way(table, key, attempts, error)
        {
            failure.lasting = Lasting::Transient;
        }
        let state = table.get_mut(key)?;
        let was = state.failure.as_ref().map(|failure| failure.lasting);
        state.attempts = state.attempts.saturating_add(1);
        state.corrections = 0;
        let attempts = state.attempts;
        let delay = match (failure.lasting, failure.extent) {
            (Lasting::Permanent, Extent::Bucket) => self.refused_delay(table, key, attempts),
            (Lasting::Permanent, Extent::Key) => self.settings.failed_delay,
            (Lasting::Transient, _) => retry_delay(&self.settings, key, attempts),
        };
        let state = table.get_mut(key)?;
        state.due = now + delay.max(wait.unwrap_or_default());
        state.urgency = Urgency::Normal;
        let is_news = state.attempts == 1
            || (failure.lasting == Lasting::Permanent && was != Some(Lasting::Permanent));
        let event = if self.settings.conflict == ConflictPolicy::KeepBoth && lacks_base(state) {
            Event::BaseLost {
                key: key.clone(),
                error: failure.text.clone(),
            }
        } else {
            Event::Failed {
                key: key.clone(),
                error: failure.text.clone(),
                kind: failure.kind,
                lasting: failure.lasting,
            }
        };
        let is_news = is_news || matches!(event, Event::BaseLost { .. });
        tracing::warn!(%key, attempts = state.attempts, error = failure.text, "upload failed");
        state.failure = Some(failure);
        is_news.then_some(event)
    }

    /// A wrong belief was corrected: again at once, but not for ever. Failures before it do not count: a belief that they have
    /// left behind is not to wait for as long as they did.
    pub(super) fn correct(&self, table: &mut Table, key: &Key, now: Instant) {
        let Some(state) = table.get_mut(key) else {
            return;
        };
        state.corrections = state.corrections.saturating_add(1);
        state.due = if state.corrections <= CORRECTIONS_MAX {
            now
        } else {
            now + retry_delay(&self.settings, key, state.corrections)
        };
    }

    /// Someone else's object is where ours should go.
    pub(super) fn conflict(
        &self,
        table: &mut Table,
        ticket: &Ticket,
        theirs: Version,
        now: Instant,
    ) -> Option<Event> {
        let key = &ticket.key;
        let kept = match self.settings.conflict {
            ConflictPolicy::Overwrite => {
                table.get_mut(key)?.remote = RemoteBelief::Present(theirs);
                self.correct(table, key, now);
                return None;
            }
            ConflictPolicy::KeepBoth => self.keep_both(table, key, now),
            ConflictPolicy::Fail => None,
        };
        if kept.is_none() {
            let context = format!("upload {key}: someone else changed it");
            let trouble = Trouble::Local(vfs::Error::new(vfs::ErrorKind::Stale, context));
            // The conflict is what is told.
            self.failed(table, key, &trouble, now);
        }
        Some(Event::Conflict {
            key: key.clone(),
            kept_as: kept,
            file: match &ticket.desired {
                Desired::Content(file) => Some(file.id()),
                _ => None,
            },
            theirs: Some(theirs),
        })
    }

    /// Gives ours another key, in one record.
    pub(super) fn keep_both(&self, table: &mut Table, key: &Key, now: Instant) -> Option<Key> {
        let is_taken = |key: &Key| {
            // One of a moment ago may be in the bucket already.
            table.get(key).is_some() || table.settled(key).is_some() || table.recent.knows(key)
        };
        let other = conflict_key(key, &self.settings.host, self.clock.wall(), is_taken)?;
        let state = table.get(key)?;
        let (desired, seq) = state.aim().unwrap_or((&state.desired, state.seq));
        let (desired, is_former) = (desired.clone(), state.is_former(seq));
        let submitted = if is_former { Some(0) } else { state.submitted };
        let mut edit = Edit::new(table, now);
        if let Desired::Content(file) = &desired {
            edit.move_file(file, &other);
            edit.tell(Change::File(file.lock().record(file.id())));
        }
        if is_former {
            // The open file keeps the key, and the belief: it meets theirs when its turn comes.
            drop(edit.take_former(key));
        }
        edit.want(&other, RemoteBelief::Absent, desired, submitted, now);
        if !is_former {
            edit.forget(key);
        }
        match edit.finish(&self.files.journal) {
            Ok(keys) => {
                failpoint::pass(failpoint::CONFLICT_NOTED);
                for key in &keys {
                    table.schedule(self, key, now);
                }
                Some(other)
            }
            Err(error) => {
                tracing::error!(%key, %error, "a conflict copy could not be noted");
                None
            }
        }
    }

    /// A removal or a change of metadata met someone else's object: theirs stays.
    pub(super) fn overtaken(
        &self,
        table: &mut Table,
        ticket: &Ticket,
        theirs: Option<Version>,
        is_wanted: bool,
    ) -> Option<Event> {
        let key = &ticket.key;
        let state = table.get_mut(key)?;
        state.remote = RemoteBelief::from(theirs.clone());
        if let Desired::Content(file) = &ticket.desired {
            let mut inside = file.lock();
            let generation = inside.content.generation();
            inside.content.confirm(generation);
            inside.metadata_committed = inside.metadata_generation;
        }
        self.settle_overtaken(table, ticket, is_wanted);
        Some(Event::Conflict {
            key: key.clone(),
            kept_as: None,
            file: None,
            theirs,
        })
    }

    pub(super) fn settle_overtaken(&self, table: &mut Table, ticket: &Ticket, is_wanted: bool) {
        let key = &ticket.key;
        if let Some(state) = (table.get_mut(key)).filter(|state| state.is_former(ticket.seq)) {
            state.forget_former();
            let record = state.record(key);
            self.note(&[record]);
            return;
        }
        if is_wanted && !matches!(ticket.desired, Desired::Content(_)) {
            table.remove(key);
            self.note(&[Change::Settled {
                key: key.as_str().to_owned(),
            }]);
        } else {
            self.settle(table, ticket, is_wanted);
        }
    }
}

/// Whether what is wanted is a file that lacks what only a former object had.
pub(crate) fn lacks_base(state: &KeyState) -> bool {
    match state.aim() {
        Some((Desired::Content(file), _)) => {
            file.base_gone.load(Ordering::Relaxed) && !file.fill_plan().is_empty()
        }
        _ => false,
    }
}

fn failure(trouble: &Trouble) -> (Failure, Option<Duration>) {
    match trouble {
        Trouble::Store(error) => {
            let passes = error.kind().is_transient()
                || matches!(
                    error.kind(),
                    store::ErrorKind::Io | store::ErrorKind::Precondition
                );
            let lasting = if passes {
                Lasting::Transient
            } else {
                Lasting::Permanent
            };
            let failure = Failure {
                text: error.to_string(),
                kind: vfs_kind(error.kind()),
                lasting,
                extent: extent(error.kind()),
            };
            (failure, error.retry_after())
        }
        Trouble::Local(error) => {
            let lasting = if is_permanent(error.kind()) {
                Lasting::Permanent
            } else {
                Lasting::Transient
            };
            let failure = Failure {
                text: error.to_string(),
                kind: error.kind(),
                lasting,
                extent: Extent::Key,
            };
            (failure, None)
        }
    }
}

fn vfs_kind(kind: store::ErrorKind) -> vfs::ErrorKind {
    vfs::Error::from(store::Error::new(kind, "")).kind()
}
