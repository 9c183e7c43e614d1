//! Giving up what is pending, by a person's decision or because it cannot be stored: the key is left as
//! the bucket has it.
//!
//! Laws:
//! - What was staged is set aside before the journal forgets it, unless it is to be deleted.
//! - Whatever a file that is given up was made from stays: a rename goes with the removal that
//!   belongs to it.
//! - All of it, or nothing: one record of the journal.
//!
//! It takes two steps. [`Stage::plan_drop`] ends what is under way and does the work on the disk;
//! [`Stage::drop_planned`] is short, for a caller who changes its own names under its own lock.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::Key;
use cloudmount_vfs::{Error, ErrorKind, Result};

use super::{Inner, Stage};
use crate::desired::Desired;
use crate::edit::Edit;
use crate::journal::record::FileRecord;
use crate::key_state::KeyState;
use crate::queue::lacks_base;
use crate::set_aside::{self, Kept, Reason};
use crate::table::Table;
use crate::{FileId, RemoteBelief, StagedFile};

/// How long what is under way may take to end: a body of 8 MiB on a slow link. What takes longer is
/// tried again by the person.
const ENDING: Duration = Duration::from_secs(60);

/// How long the queue keeps away from keys that are about to be given up: longer than the work on
/// the disk takes. The end of the plan ends it, too.
const KEEP_AWAY: Duration = Duration::from_secs(3600);

/// Files up to 1 MiB are copied when they are set aside: that is faster than a file of their own for
/// those that share one with others. A larger one gets a second name.
const COPIED_BYTES_MAX: u64 = 1 << 20;

/// What becomes of staged bytes that are given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leftover {
    /// They are set aside, with a description.
    SetAside,
    /// The same, of files that lack what only a former object had. What got whole since is passed over.
    SetAsideInPart,
    /// They are deleted.
    Delete,
}

impl Leftover {
    /// Why they are set aside; `None`: they are not.
    const fn reason(self) -> Option<Reason> {
        match self {
            Self::SetAside => Some(Reason::Dropped),
            Self::SetAsideInPart => Some(Reason::BaseLost),
            Self::Delete => None,
        }
    }
}

/// Something that was given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The key.
    pub key: Key,
    /// What was wanted: `content`, `inline`, `metadata` or `removal`.
    pub kind: &'static str,
    /// The staged file, if it was one.
    pub file: Option<FileId>,
    /// What is believed to be there.
    pub remote: RemoteBelief,
    /// Where its bytes are now; `None`: there were none, or they were to be deleted.
    pub aside: Option<PathBuf>,
}

/// What is about to be given up: see [`Stage::plan_drop`]. Dropped without being used, it leaves
/// everything as it was.
#[derive(Debug)]
pub struct DropPlan {
    inner: Arc<Inner>,
    /// In the order of the keys.
    planned: Vec<Planned>,
    /// Where they are: of those below [`Self::planned`] that had bytes.
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Planned {
    key: Key,
    seq: u64,
    /// Of its file.
    generation: u64,
    /// Which of [`DropPlan::kept`] is what it was to become.
    kept: Option<usize>,
}

/// What is to be set aside.
enum Leaving {
    File {
        key: Key,
        file: Arc<StagedFile>,
        record: FileRecord,
    },
    Bytes {
        key: Key,
        bytes: Bytes,
    },
}

impl Stage {
    /// Prepares to give up what is pending under `keys`, and the removals that belong to renames
    /// among them: ends what is under way, and sets bytes aside. Keys with nothing pending are
    /// passed over.
    ///
    /// # Errors
    /// `Busy` if an operation does not end within a minute, or if the only copy of some bytes is in
    /// an object that another pending change will replace; `NoSpace`, `Io` of the disk.
    pub async fn plan_drop(&self, keys: &[Key], leftover: Leftover) -> Result<DropPlan> {
        let inner = &self.inner;
        let mut plan = DropPlan {
            inner: Arc::clone(inner),
            planned: Vec::new(),
            kept: Vec::new(),
        };
        let limit = inner.clock.sleep(ENDING);
        let mut limit = std::pin::pin!(limit);
        loop {
            let ended = inner.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if plan.keep_away(keys, leftover)? {
                break;
            }
            tokio::select! {
                () = &mut ended => {}
                () = &mut limit => return Err(Error::new(
                    ErrorKind::Busy,
                    "its upload is under way, and does not end; try again",
                )),
            }
        }
        if let Some(reason) = leftover.reason() {
            plan.set_aside(reason).await?;
        }
        Ok(plan)
    }

    /// Gives up what was planned, and tells what that was, in the order of the keys; `None` if any
    /// of it has changed since: then nothing was done, and it is to be planned anew.
    ///
    /// The caller changes what it shows by itself: no event tells of it.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: nothing was done.
    pub fn drop_planned(&self, mut plan: DropPlan) -> Result<Option<Vec<Dropped>>> {
        let inner = &self.inner;
        let dropped = inner.edit(|edit, _| Ok(plan.apply(edit)))?;
        if dropped.is_some() {
            let kept = std::mem::take(&mut plan.kept);
            (inner.set_aside.lock()).extend(kept.into_iter().map(|kept| kept.about));
            plan.planned.clear();
        }
        Ok(dropped)
    }
}

impl DropPlan {
    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.planned.iter().map(|planned| &planned.key)
    }

    /// Decides what goes, keeps the queue away from it and ends what is under way; says whether
    /// nothing is any more.
    fn keep_away(&mut self, keys: &[Key], leftover: Leftover) -> Result<bool> {
        let inner = &self.inner;
        let now = inner.now();
        let mut table = inner.lock();
        let is_meant = |key: &Key| {
            leftover != Leftover::SetAsideInPart || table.get(key).is_some_and(lacks_base)
        };
        let all: Vec<Key> = (with_removals(&table, keys, leftover)?)
            .filter(is_meant)
            .collect();
        if leftover == Leftover::SetAside
            && let Some(key) = all.iter().find(|key| is_away(&table, key))
        {
            return Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "part of {key} is only in its upload, and cannot be set aside; it can be discarded"
                ),
            ));
        }
        self.planned.clear();
        let mut is_at_rest = true;
        for key in all {
            let Some(state) = table.get_mut(&key) else {
                continue;
            };
            state.due = now + KEEP_AWAY;
            if let Some(cancel) = &state.in_flight {
                cancel.cancel();
                is_at_rest = false;
            }
            self.planned.push(Planned {
                key: key.clone(),
                seq: state.seq,
                generation: state.generation(),
                kept: None,
            });
            table.schedule(inner, &key, now);
        }
        Ok(is_at_rest)
    }

    /// Sets aside what has bytes.
    async fn set_aside(&mut self, reason: Reason) -> Result<()> {
        let leaving: Vec<(usize, Leaving)> = {
            let table = self.inner.lock();
            let of = |(at, planned): (usize, &Planned)| {
                (leaving(&table, &planned.key).into_iter()).map(move |one| (at, one))
            };
            self.planned.iter().enumerate().flat_map(of).collect()
        };
        let dir = self.inner.dir.clone();
        let (places, leaving): (Vec<usize>, Vec<Leaving>) = leaving.into_iter().unzip();
        let work = move || {
            let mut kept = set_aside::Keeping::new(&dir, reason);
            for one in &leaving {
                match one {
                    Leaving::File { key, file, record } => {
                        let name = file.id().file_name();
                        if record.size <= COPIED_BYTES_MAX {
                            kept.pieces(&name, key.as_str(), record, &pieces(file, record)?)?;
                        } else {
                            file.move_out()?;
                            kept.file(&name, key.as_str(), record)?;
                        }
                    }
                    Leaving::Bytes { key, bytes } => kept.bytes(key.as_str(), bytes)?,
                }
            }
            kept.finish()
        };
        self.kept = self.inner.disk.run(work).await?;
        for (at, place) in places.into_iter().enumerate() {
            self.planned[place].kept.get_or_insert(at);
        }
        Ok(())
    }

    fn apply(&self, edit: &mut Edit<'_>) -> Option<Vec<Dropped>> {
        let is_as_planned = |planned: &Planned| {
            edit.get(&planned.key).is_some_and(|state| {
                state.in_flight.is_none()
                    && (state.seq, state.generation()) == (planned.seq, planned.generation)
            })
        };
        if !self.planned.iter().all(is_as_planned) {
            return None;
        }
        let dropped = |planned: &Planned| {
            let state = edit.get(&planned.key)?;
            let aside = planned.kept.and_then(|at| self.kept.get(at));
            Some(Dropped {
                key: planned.key.clone(),
                kind: crate::status::kind(&state.desired),
                file: match &state.desired {
                    Desired::Content(file) => Some(file.id()),
                    _ => None,
                },
                remote: state.remote.clone(),
                aside: aside.and_then(|kept| kept.about.path.clone()),
            })
        };
        let all: Vec<Dropped> = self.planned.iter().filter_map(dropped).collect();
        for planned in &self.planned {
            edit.forget(&planned.key);
        }
        Some(all)
    }
}

impl Drop for DropPlan {
    fn drop(&mut self) {
        for kept in self.kept.drain(..) {
            kept.undo();
        }
        if self.planned.is_empty() {
            return;
        }
        let now = self.inner.now();
        let mut table = self.inner.lock();
        for planned in &self.planned {
            if let Some(state) = table.get_mut(&planned.key) {
                state.due = now;
                table.schedule(&self.inner, &planned.key, now);
            }
        }
        drop(table);
        self.inner.freed.wake();
    }
}

/// The keys, with those whose removal waits for a file that goes: without it, the removal would
/// take the only copy.
fn with_removals(
    table: &Table,
    keys: &[Key],
    leftover: Leftover,
) -> Result<impl Iterator<Item = Key> + use<>> {
    let asked: BTreeSet<&Key> = keys.iter().collect();
    let mut all: BTreeSet<Key> = keys.iter().cloned().collect();
    let files: Vec<(&Key, Arc<StagedFile>)> = (keys.iter())
        .filter_map(|key| Some((key, table.get(key)?)))
        .flat_map(|(key, state)| state.files().map(move |file| (key, Arc::clone(file))))
        .collect();
    // What such files lack is lost already: nothing is to be kept for them.
    let files = files
        .into_iter()
        .filter(|_| leftover != Leftover::SetAsideInPart);
    for (key, file) in files {
        let Some(base) = file.base().filter(|base| base.key != *key) else {
            continue;
        };
        match table.get(&base.key).map(|state| &state.desired) {
            Some(Desired::Absent) => {
                all.insert(base.key);
            }
            Some(Desired::Content(_) | Desired::Inline { .. })
                if leftover == Leftover::SetAside
                    && !asked.contains(&base.key)
                    && file.lock().content.missing().next().is_some() =>
            {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "{key} is still in the bucket as {0}, and what waits for {0} will replace it; name {0}, too",
                        base.key
                    ),
                ));
            }
            _ => {}
        }
    }
    Ok(all.into_iter())
}

fn is_away(table: &Table, key: &Key) -> bool {
    let mut files = (table.get(key).into_iter()).flat_map(KeyState::files);
    files.any(|file| file.is_away())
}

/// The bytes that a file has itself, with their offsets.
fn pieces(file: &StagedFile, record: &FileRecord) -> Result<Vec<(u64, Bytes)>> {
    let all = [(0, record.size)];
    let ranges = match record.present.is_empty() {
        true => &all[..],
        false => &record.present,
    };
    let read = |(start, end): &(u64, u64)| Ok((*start, file.read_local(*start..*end)?));
    ranges.iter().map(read).collect()
}

/// What the key has that nobody else has: what it was to become first.
fn leaving(table: &Table, key: &Key) -> Vec<Leaving> {
    let Some(state) = table.get(key) else {
        return Vec::new();
    };
    if let Desired::Inline { bytes, .. } = &state.desired
        && !bytes.is_empty()
    {
        return vec![Leaving::Bytes {
            key: key.clone(),
            bytes: bytes.clone(),
        }];
    }
    let of_file = |file: &Arc<StagedFile>| {
        let inside = file.lock();
        let mut record = inside.record(file.id());
        if record.size > record.base_limit && record.base_limit > 0 {
            // All behind the part of the base is its own.
            record.present.push((record.base_limit, record.size));
        }
        let has_bytes = record.base_limit == 0 || !record.present.is_empty();
        (inside.has_local && has_bytes).then(|| Leaving::File {
            key: key.clone(),
            file: Arc::clone(file),
            record,
        })
    };
    state.files().filter_map(of_file).collect()
}
