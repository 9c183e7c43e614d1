//! The end of an operation: what it did is put down, and what is wanted next gets its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_store::{Key, Version};
use cloudmount_vfs::Instant;

use super::worker::{Done, Report, Settled, Task, Ticket};
use crate::desired::Desired;
use crate::events::{self, Event};
use crate::failpoint;
use crate::file::{Standing, Stream};
use crate::fingerprint::Source;
use crate::journal::record::Change;
use crate::key_state::{Class, Urgency};
use crate::recent;
use crate::stage::Inner;
use crate::table::Table;
use crate::{Base, RemoteBelief, StagedFile};

/// What an operation left in the bucket.
struct Left {
    remote: RemoteBelief,
    content: recent::Content,
    size: u64,
    change: events::Change,
}

impl Inner {
    /// Puts down what became of an operation.
    pub(super) async fn finish(&self, ticket: Ticket, report: Report, class: Option<Class>) {
        let now = self.now();
        let told = {
            let mut table = self.lock();
            match class {
                Some(Class::Small) => table.running.small -= 1,
                Some(Class::Large) => table.running.large -= 1,
                Some(Class::Stream) => table.running.stream -= 1,
                Some(Class::Remove) | None => {}
            }
            let told = self.put_down(&mut table, &ticket, report, now);
            table.schedule(self, &ticket.key, now);
            if let Desired::Content(file) = &ticket.desired {
                let key = file.key();
                if key != ticket.key {
                    table.schedule(self, &key, now);
                }
            }
            if ticket.task == Task::Ask {
                // Files that moved away wait for what became of their upload.
                for file in table.based_on(&ticket.key) {
                    table.schedule(self, &file.key(), now);
                }
            }
            // Before anybody can see that it ended: who reads then finds the copy that the last one who
            // has the file leaves.
            drop(ticket);
            told
        };
        self.ended.notify_waiters();
        self.freed.wake();
        if let Some(event) = told {
            // Without a reader nobody needs to know.
            self.events.send(event).await.unwrap_or_default();
        }
    }

    fn put_down(
        &self,
        table: &mut Table,
        ticket: &Ticket,
        report: Report,
        now: Instant,
    ) -> Option<Event> {
        if let Desired::Content(file) = &ticket.desired
            && ticket.task != Task::Ask
        {
            table.busy.remove(&file.id());
            file.uploaded.store(0, Ordering::Relaxed);
        }
        let key = &ticket.key;
        let state = table.get_mut(key)?;
        state.in_flight = None;
        state.sending = None;
        if report.doubts_settled == Settled::Yes {
            state.sent.clear();
        }
        if let Some(doubt) = report.doubt {
            state.doubt(doubt);
        }
        if let Some(remote) = report.remote {
            state.remote = remote;
        }
        let is_wanted = state.wants(ticket.seq);
        match report.done {
            Done::Failed(trouble) if is_wanted => self.failed(table, key, &trouble, now),
            Done::Believe(remote) => {
                state.remote = remote;
                if is_wanted {
                    self.correct(table, key, now);
                }
                None
            }
            Done::Conflict { theirs } if is_wanted => self.conflict(table, ticket, theirs, now),
            Done::Postponed if is_wanted => {
                state.due = now + self.settings.synced_delay;
                None
            }
            // What was not wanted any more decides nothing.
            Done::Failed(_)
            | Done::Conflict { .. }
            | Done::Postponed
            | Done::Later
            | Done::Cancelled => {
                self.drop_if_absent(table, key);
                None
            }
            Done::Asked => {
                if let Some(record) = table.get(key).map(|state| state.record(key)) {
                    self.note(&[record]);
                }
                None
            }
            Done::Overtaken { theirs } => self.overtaken(table, ticket, theirs, is_wanted),
            Done::Nothing { source } => {
                if let Desired::Content(file) = &ticket.desired {
                    confirm(file, source);
                }
                self.settle(table, ticket, is_wanted);
                None
            }
            done => {
                let left = self.left(table, ticket, done)?;
                self.accepted(table, now);
                Some(self.committed(table, ticket, left, is_wanted))
            }
        }
    }

    /// What a success left in the bucket; the file it was made of is told.
    fn left(&self, table: &mut Table, ticket: &Ticket, done: Done) -> Option<Left> {
        let key = &ticket.key;
        let replaced = |version, size, change| Left {
            remote: RemoteBelief::from(version),
            content: recent::Content::Replaced,
            size,
            change,
        };
        let kept = |version, size| Left {
            remote: RemoteBelief::Present(version),
            content: recent::Content::Kept,
            size,
            change: events::Change::Metadata,
        };
        match (done, &ticket.desired) {
            (
                Done::Content {
                    source,
                    version,
                    size,
                },
                Desired::Content(file),
            ) => {
                self.content_committed(table, file, key, &version, size, source);
                let change = events::Change::Content {
                    file: source.file,
                    generation: source.generation,
                };
                Some(replaced(Some(version), size, change))
            }
            (Done::FileMetadata { source, version }, Desired::Content(file)) => {
                self.base_moved(table, key, &version);
                Some(kept(version, confirm(file, source)))
            }
            (Done::Metadata { version }, _) => {
                self.base_moved(table, key, &version);
                Some(kept(version, 0))
            }
            (Done::Inline { version, size }, _) => {
                Some(replaced(Some(version), size, events::Change::Inline))
            }
            (Done::Removed, _) => Some(replaced(None, 0, events::Change::Removed)),
            _ => None,
        }
    }

    pub(super) fn content_committed(
        &self,
        table: &mut Table,
        file: &Arc<StagedFile>,
        key: &Key,
        version: &Version,
        size: u64,
        source: Source,
    ) {
        let former = {
            let mut inside = file.lock();
            let former = inside.content.base().map(|base| base.key.clone());
            let former = [former, inside.replaces.take()];
            let base = Base {
                key: key.clone(),
                version: version.clone(),
                size,
            };
            let was = inside.content.base_only().cloned();
            inside.content.committed_as(source.generation, base);
            if let Some(was) = was
                && inside.content.is_committed()
            {
                let (from, to) = ((&was.key, &was.version), (key, version));
                self.files.kept.moved(from, to);
            }
            if inside.is_recalled {
                // Somebody needed room, and all but what was written since is in the bucket.
                StagedFile::drop_copies(&mut inside);
                self.freed.room_of(file);
            }
            inside.joined();
            inside.stream = Stream::Unasked;
            inside.metadata_committed = inside.metadata_committed.max(source.metadata_generation);
            if inside.standing == Standing::Pending && !inside.is_done() {
                // Under the file's lock: what is written from here on comes after it.
                self.note(&[Change::File(inside.record(file.id()))]);
            }
            former
        };
        file.base_lost.store(false, Ordering::Relaxed);
        file.base_gone.store(false, Ordering::Relaxed);
        table.note_base(key, file);
        if let Some(session) = table.sessions.remove(&file.id()) {
            table.abandoned.push(session.names());
        }
        for former in former.into_iter().flatten().filter(|former| former != key) {
            // What waited for this copy, such as the removal of the former name.
            self.freed.key(former);
        }
    }

    /// The object under `key` has the same content under a new version.
    pub(super) fn base_moved(&self, table: &mut Table, key: &Key, version: &Version) {
        let before = table.get(key).map(|state| state.remote.clone());
        if let Some(RemoteBelief::Present(before)) = &before {
            self.files.kept.moved((key, before), (key, version));
            if let Some(Desired::Content(file)) = table.get(key).map(|state| &state.desired) {
                file.lock().origin_moved((key, before), version);
            }
        }
        for file in table.based_on(key) {
            let mut inside = file.lock();
            let Some(mut base) = inside.content.base().cloned() else {
                continue;
            };
            if before == Some(RemoteBelief::Present(base.version.clone())) {
                base.version = version.clone();
                inside.content.base_moved(base);
                if inside.standing == Standing::Pending && !inside.is_done() {
                    self.note(&[Change::File(inside.record(file.id()))]);
                }
            }
        }
    }

    fn committed(&self, table: &mut Table, ticket: &Ticket, left: Left, is_wanted: bool) -> Event {
        let key = &ticket.key;
        let version = match &left.remote {
            RemoteBelief::Present(version) => Some(version.clone()),
            RemoteBelief::Absent | RemoteBelief::Unknown => None,
        };
        self.files.kept.replaced(key, version.as_ref());
        if let Some(state) = table.get_mut(key) {
            let before = std::mem::replace(&mut state.remote, left.remote.clone());
            state.sent.clear();
            state.beside = None;
            let step = (before, left.remote.clone());
            table.recent.note(key, step, left.content, self.now());
        }
        self.settle(table, ticket, is_wanted);
        Event::Committed {
            key: key.clone(),
            change: left.change,
            version,
            size: left.size,
        }
    }

    /// After a success: forgets the key if the bucket has what is wanted, and else puts down from
    /// where it goes on.
    pub(super) fn settle(&self, table: &mut Table, ticket: &Ticket, is_wanted: bool) {
        let key = &ticket.key;
        let Some(state) = table.get_mut(key) else {
            return;
        };
        if is_wanted {
            state.attempts = 0;
            state.corrections = 0;
            state.failure = None;
            state.urgency = Urgency::Normal;
        }
        if state.is_former(ticket.seq) {
            self.settle_former(table, key);
            return;
        }
        let done = match &state.desired {
            Desired::Content(file) => {
                let mut inside = file.lock();
                if inside.is_done() {
                    inside.standing = Standing::Settled;
                    true
                } else {
                    if is_wanted && !inside.content.is_committed() {
                        // Written since: the next submit goes on, if it did not come already.
                        let committed = inside.content.committed().unwrap_or(0);
                        state.submitted =
                            state.submitted.filter(|submitted| *submitted > committed);
                        state.idle = None;
                        state.waits_since = None;
                    }
                    false
                }
            }
            Desired::Absent => state.is_surely_absent(),
            Desired::Inline { .. } | Desired::Metadata(_) => is_wanted,
        };
        if !done {
            let record = state.record(key);
            self.note(&[record]);
            return;
        }
        let state = table.remove(key);
        self.note(&[Change::Settled {
            key: key.as_str().to_owned(),
        }]);
        failpoint::pass(failpoint::COMMIT_NOTED);
        if let Some(Desired::Content(file)) = state.map(|state| state.desired) {
            table.note_settled(key, &file);
        }
    }

    /// What was wanted before the open file came is in the bucket: only that one is wanted now.
    fn settle_former(&self, table: &mut Table, key: &Key) {
        let Some(state) = table.get_mut(key) else {
            return;
        };
        let is_done = state
            .former
            .as_ref()
            .is_some_and(|former| match &former.desired {
                Desired::Content(file) => file.lock().is_done(),
                _ => true,
            });
        if is_done {
            // It is what the open file was, wherever that one goes.
            let there = state.former_base();
            state.forget_former();
            if let Desired::Content(open) = &state.desired {
                open.lock().origin = there;
            }
        }
        let record = state.record(key);
        self.note(&[record]);
    }

    /// A key that is to hold nothing, and surely does.
    fn drop_if_absent(&self, table: &mut Table, key: &Key) {
        let is_absent = table.get(key).is_some_and(|state| {
            matches!(state.desired, Desired::Absent) && state.is_surely_absent()
        });
        if is_absent {
            table.remove(key);
            self.note(&[Change::Settled {
                key: key.as_str().to_owned(),
            }]);
        }
    }

    /// Writes a record whose loss costs only a repetition after a crash.
    pub(super) fn note(&self, record: &[Change]) {
        if let Err(error) = self.files.journal.append(record) {
            tracing::warn!(%error, "the journal could not be written; uploads may be repeated");
        }
    }
}

/// What was sent of `file` is there, with the content that its base had; gives its size.
fn confirm(file: &StagedFile, source: Source) -> u64 {
    let mut inside = file.lock();
    inside.content.confirm(source.generation);
    inside.metadata_committed = inside.metadata_committed.max(source.metadata_generation);
    inside.content.base().map_or(0, |base| base.size)
}
