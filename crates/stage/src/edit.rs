//! [`Edit`]: one change of the table that the journal learns of in one record.
//!
//! Law: nothing of it is done before the record is written, and nothing of it can fail after. A
//! rename of ten thousand keys is one edit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{Key, Metadata};
use cloudmount_vfs::{Instant, Result};

use crate::desired::Desired;
use crate::file::Standing;
use crate::journal::Journal;
use crate::journal::record::Change;
use crate::key_state::{Cancel, Former, KeyState};
use crate::table::Table;
use crate::{Base, FileId, RemoteBelief, StagedFile};

/// A change of the table that is being put together.
#[derive(Debug)]
pub(crate) struct Edit<'a> {
    table: &'a mut Table,
    now: Instant,
    changed: BTreeMap<Key, Option<KeyState>>,
    /// Files whose name goes away.
    removed: Vec<Arc<StagedFile>>,
    /// Files that get a key, and whether the journal must be told all about them.
    moved: Vec<(Arc<StagedFile>, Key)>,
    metadata: HashMap<FileId, Metadata>,
    /// Files that take the place of an object under a name that is left.
    replacing: Vec<(Arc<StagedFile>, Key)>,
    records: Vec<Change>,
    cancelled: Vec<Arc<Cancel>>,
}

impl<'a> Edit<'a> {
    pub(crate) fn new(table: &'a mut Table, now: Instant) -> Self {
        Self {
            table,
            now,
            changed: BTreeMap::new(),
            removed: Vec::new(),
            moved: Vec::new(),
            metadata: HashMap::new(),
            replacing: Vec::new(),
            records: Vec::new(),
            cancelled: Vec::new(),
        }
    }

    /// A number for something new that is wanted.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.table.next_seq()
    }

    /// Notes that a file is closed now; another one that is closed within `pause` follows it.
    pub(crate) fn note_close(&mut self, pause: Duration) {
        self.table.burst.note_close(self.now + pause);
    }

    /// How a key stands after what was edited so far.
    pub(crate) fn get(&self, key: &Key) -> Option<&KeyState> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.table.get(key),
        }
    }

    /// The file that is all in the bucket under `key` and still open somewhere.
    pub(crate) fn settled(&self, key: &Key) -> Option<Arc<StagedFile>> {
        let file = self.table.settled(key)?;
        let is_taken = self
            .moved
            .iter()
            .any(|(moved, _)| Arc::ptr_eq(moved, &file));
        (!is_taken && file.lock().standing == Standing::Settled).then_some(file)
    }

    /// Whether `file` is what is wanted under `key`.
    pub(crate) fn is_wanted(&self, key: &Key, file: &Arc<StagedFile>) -> bool {
        self.get(key).is_some_and(
            |state| matches!(&state.desired, Desired::Content(wanted) if Arc::ptr_eq(wanted, file)),
        )
    }

    /// `base`, with the version that the stage itself gave the same content since.
    pub(crate) fn correct_base(&self, mut base: Base) -> Base {
        if let Some(version) = self.table.recent.same_content(&base.key, &base.version) {
            base.version = version;
        }
        base
    }

    /// Wants `desired` under `key`, and gives up what was wanted there. `submitted` as in
    /// [`KeyState`]. `remote` counts only if the stage knows nothing better.
    pub(crate) fn want(
        &mut self,
        key: &Key,
        remote: RemoteBelief,
        desired: Desired,
        submitted: Option<u64>,
        due: Instant,
    ) {
        self.give_up(key, &desired);
        let former_seq = self.table.next_seq();
        let seq = self.table.next_seq();
        let mut state = match self.get(key) {
            Some(old) => {
                let mut state = old.clone();
                state.former = before(old, former_seq).filter(|_| submitted.is_none());
                state.poke();
                state
            }
            None => {
                let remote = self.table.recent.correct(key, remote);
                KeyState::new(remote, Desired::Absent, self.now)
            }
        };
        state.desired = desired;
        state.seq = seq;
        state.submitted = submitted;
        state.due = due;
        state.idle = None;
        state.waits_since = None;
        state.attempts = 0;
        state.corrections = 0;
        state.failure = None;
        self.changed.insert(key.clone(), Some(state));
    }

    /// Wants `file`, which is about to be written, under `key`; until it is submitted, what was
    /// wanted there stays wanted, and is uploaded in its time.
    pub(crate) fn supersede(&mut self, key: &Key, file: &Arc<StagedFile>) {
        let seq = self.table.next_seq();
        self.update(key, |state| {
            let desired = std::mem::replace(&mut state.desired, Desired::Content(Arc::clone(file)));
            state.former = Some(Former {
                desired,
                seq: std::mem::replace(&mut state.seq, seq),
            });
            state.submitted = None;
            state.idle = None;
        });
    }

    /// What was wanted before the open file came is wanted no more. If the bucket has it under a name
    /// that is left only, it stays there until the file that takes its place is in the bucket.
    pub(crate) fn drop_former(&mut self, key: &Key) {
        let Some(state) = self.get(key).filter(|state| state.former.is_some()) else {
            return;
        };
        let in_flight = state.in_flight.clone();
        if let Some(Former {
            desired: Desired::Content(file),
            ..
        }) = self.take_former(key)
        {
            self.cancelled.extend(in_flight);
            let left = {
                let state = file.lock();
                let base = state.content.base().map(|base| base.key.clone());
                base.filter(|base| base != key)
                    .or_else(|| state.replaces.clone())
            };
            let wanted = self.get(key).map(|state| state.desired.clone());
            if let (Some(left), Some(Desired::Content(wanted))) = (left, wanted) {
                self.replace(&wanted, left);
            }
            self.removed.push(file);
        }
    }

    /// `file` takes the place of what the bucket has under `left`, a name that it does not have any
    /// more, unless it is made from an object.
    pub(crate) fn replace(&mut self, file: &Arc<StagedFile>, left: Key) {
        let mut record = {
            let state = file.lock();
            if state.content.base().is_some() || state.replaces.is_some() {
                return;
            }
            state.record(file.id())
        };
        record.replaces = Some(left.as_str().to_owned());
        self.records.push(Change::File(record));
        self.replacing.push((Arc::clone(file), left));
    }

    /// Takes what was wanted before the open file came, for another key to want.
    pub(crate) fn take_former(&mut self, key: &Key) -> Option<Former> {
        let mut former = None;
        self.update(key, |state| former = state.former.take());
        former
    }

    /// Wants nothing under `key`. If nothing can be there, the key is forgotten instead.
    pub(crate) fn want_absent(&mut self, key: &Key, remote: RemoteBelief, due: Instant) {
        let is_absent = match self.get(key) {
            Some(state) => state.is_surely_absent(),
            None => self.table.recent.correct(key, remote.clone()) == RemoteBelief::Absent,
        };
        if !is_absent {
            self.want(key, remote, Desired::Absent, Some(0), due);
            return;
        }
        self.give_up(key, &Desired::Absent);
        if self.get(key).is_some() {
            self.changed.insert(key.clone(), None);
        }
    }

    /// Forgets what is wanted under `key`.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.give_up(key, &Desired::Absent);
        self.changed.insert(key.clone(), None);
    }

    /// Gives `file` to `key`: what was wanted under its former key is none of its business then.
    pub(crate) fn move_file(&mut self, file: &Arc<StagedFile>, to: &Key) {
        self.moved.push((Arc::clone(file), to.clone()));
    }

    /// Gives `file` other metadata.
    pub(crate) fn set_metadata(&mut self, file: &Arc<StagedFile>, metadata: Metadata) {
        self.metadata.insert(file.id(), metadata);
        if !self.moved.iter().any(|(moved, _)| Arc::ptr_eq(moved, file)) {
            let key = file.key();
            self.moved.push((Arc::clone(file), key));
        }
    }

    /// Adds something that the journal learns in the same record, before the keys.
    pub(crate) fn tell(&mut self, change: Change) {
        self.records.push(change);
    }

    /// Changes a key without wanting anything else of it.
    pub(crate) fn update(&mut self, key: &Key, change: impl FnOnce(&mut KeyState)) {
        if let Some(state) = self.get(key) {
            let mut state = state.clone();
            change(&mut state);
            self.changed.insert(key.clone(), Some(state));
        }
    }

    /// Whatever file had the key loses its name, unless it is the one that is wanted now or was
    /// moved away in this edit.
    fn give_up(&mut self, key: &Key, wanted: &Desired) {
        let pending: Vec<_> = (self.get(key).into_iter())
            .flat_map(|state| state.files().map(|file| (file, state.in_flight.clone())))
            .map(|(file, in_flight)| (Arc::clone(file), in_flight))
            .collect();
        let settled = self.settled(key).map(|file| (file, None));
        for (file, in_flight) in pending.into_iter().chain(settled) {
            let stays = matches!(wanted, Desired::Content(new) if Arc::ptr_eq(new, &file));
            let last_move = self
                .moved
                .iter()
                .rev()
                .find(|(moved, _)| Arc::ptr_eq(moved, &file));
            let moves = last_move.is_some_and(|(_, to)| to != key);
            if !stays && !moves {
                self.cancelled.extend(in_flight);
                self.removed.push(file);
            }
        }
    }

    /// Writes the record, then does it. Gives the keys that changed.
    pub(crate) fn finish(mut self, journal: &Journal) -> Result<Vec<Key>> {
        let mut record = std::mem::take(&mut self.records);
        for (key, state) in &self.changed {
            record.push(match state {
                Some(state) => {
                    let metadata = match &state.desired {
                        Desired::Content(file) => self.metadata.get(&file.id()),
                        _ => None,
                    };
                    state.record_with(key, metadata)
                }
                None => Change::Settled {
                    key: key.as_str().to_owned(),
                },
            });
        }
        if !record.is_empty() {
            journal.append(&record)?;
        }
        Ok(self.apply())
    }

    fn apply(mut self) -> Vec<Key> {
        for file in self.removed.drain(..) {
            let mut state = file.lock();
            state.standing = Standing::Removed;
            self.table.forget_settled(&state.key);
            if let Some(session) = self.table.sessions.remove(&file.id()) {
                self.table.abandoned.push(session.names());
            }
        }
        for (file, key) in self.moved.drain(..) {
            let mut state = file.lock();
            if state.standing == Standing::Settled {
                self.table.forget_settled(&state.key);
            }
            state.standing = Standing::Pending;
            state.key = key;
            if let Some(metadata) = self.metadata.remove(&file.id()) {
                state.set_metadata(metadata);
            }
            let base = state.content.base().map(|base| base.key.clone());
            drop(state);
            if let Some(base) = base {
                self.table.note_base(&base, &file);
            }
        }
        for (file, left) in self.replacing.drain(..) {
            self.table.note_base(&left, &file);
            file.lock().replaces = Some(left);
        }
        for cancel in self.cancelled.drain(..) {
            cancel.cancel();
        }
        let mut keys = Vec::with_capacity(self.changed.len());
        for (key, state) in std::mem::take(&mut self.changed) {
            match state {
                Some(state) => self.table.insert(&key, state),
                None => {
                    self.table.remove(&key);
                }
            }
            keys.push(key);
        }
        keys
    }
}

/// The removal or the change of metadata that was wanted before an open file came. The latter under
/// `seq`, which no operation has: what is under way for it ends as if nobody wanted it, and after a
/// crash it is made again.
fn before(state: &KeyState, seq: u64) -> Option<Former> {
    match &state.desired {
        Desired::Absent => Some(Former {
            desired: Desired::Absent,
            seq: state.seq,
        }),
        Desired::Metadata(metadata) => Some(Former {
            desired: Desired::Metadata(metadata.clone()),
            seq,
        }),
        Desired::Content(_) | Desired::Inline { .. } => {
            let former = state.former.as_ref();
            former
                .filter(|former| matches!(former.desired, Desired::Absent | Desired::Metadata(_)))
                .cloned()
        }
    }
}
