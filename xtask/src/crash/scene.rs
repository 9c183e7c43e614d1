//! What the load does not come to by itself: somebody else who writes to the bucket, and a file that is open and was
//! never closed when the daemon dies.
//!
//! Laws: their files lie at the root of the mount, where no writer works. Of a conflict both contents end up in the
//! bucket, each once, and theirs has the name. What was never closed is named as set aside, and never in the bucket.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::calls::Calls;
use super::content::make;
use super::tree::Wrong;
use crate::conformance::backend::{Backend, Objects};
use crate::conformance::daemon::Daemon;
use crate::rival::Rival;
use crate::time::wait_until;
use crate::upload_state::is_uploaded;

/// Files that two change at once have such keys, and so have the copies that conflicts leave.
const RIVAL: &str = "rival-";
/// Files that are left open have such keys.
const OPEN: &str = "open-";
/// What stands in the name of a conflict's copy after the key (docs/semantics.md).
const COPY: &str = " (conflict from ";
/// Their files are so long: more than is ever held in the journal.
const LENGTH: usize = 20_000;
/// Bytes of a file that outgrows the staging limit, twice as many, and of one write of it.
const OUTGROWING: usize = 128 << 20;
const OUTGROWING_PIECE: usize = 1 << 20;
/// Bytes of a file that is removed while it is uploaded: its upload begins long before.
const GIVEN_UP: usize = 48 << 20;
/// How long an upload may take, with faults.
const UPLOAD: Duration = Duration::from_secs(120);
/// Numbers of files that no writer has.
const FIRST: u64 = 1 << 48;

/// The scenes of a run.
#[derive(Debug)]
pub(super) struct Scenes {
    next: u64,
    conflicts: Vec<Conflict>,
    /// Files that were never closed, and of which no status was asked yet.
    left_open: Vec<String>,
}

/// A file that was changed here and in the bucket.
#[derive(Debug)]
struct Conflict {
    key: String,
    before: Vec<u8>,
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

/// Waits until the bucket has a file. Asked of its attribute: a program that is started while writers have files
/// open would close its copies of them, and the kernel would tell of that as of their own closes.
///
/// # Errors
/// The daemon dies, or it takes too long.
fn uploaded(path: &Path) -> Result<()> {
    wait_until("an upload", UPLOAD, || Ok(is_uploaded(path)?.then_some(())))
}

impl Scenes {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST,
            conflicts: Vec::new(),
            left_open: Vec::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Somebody else writes a file to the bucket while it is written here.
    ///
    /// # Errors
    /// A call fails before the last close; or the bucket cannot be written to.
    pub(super) fn conflict(
        &mut self,
        (backend, rival): (&Backend, Option<&mut Rival>),
        part: &str,
        daemon: &Daemon,
        calls: &Calls<'_>,
    ) -> Result<()> {
        let number = self.number();
        let key = format!("{RIVAL}{number}");
        let [before, ours, theirs] = [1, 2, 3].map(|version| make(number, version, 0, LENGTH));
        let made = calls.open(&key, OpenOptions::new().write(true).create_new(true))?;
        calls.write(&made, &before, 0)?;
        calls.close(made)?;
        uploaded(&daemon.folder().join(&key))?;
        let (first, rest) = ours.split_at(LENGTH / 2);
        let changed = calls.open(&key, OpenOptions::new().write(true).truncate(true))?;
        calls.write(&changed, first, 0)?;
        backend.put(rival, &format!("{part}/{key}"), &theirs)?;
        calls.write(&changed, rest, first.len() as u64)?;
        self.conflicts.push(Conflict {
            key,
            before,
            ours,
            theirs,
        });
        // It fails if the daemon dies before it answers; what was written is on its way by then.
        drop(calls.close(changed));
        Ok(())
    }

    /// A file that stays open until the result is dropped, after the daemon's death.
    ///
    /// # Errors
    /// A call fails.
    pub(super) fn leave_open(&mut self, calls: &Calls<'_>) -> Result<File> {
        let number = self.number();
        let key = format!("{OPEN}{number}");
        let file = calls.open(&key, OpenOptions::new().write(true).create_new(true))?;
        calls.write(&file, &make(number, 1, 0, LENGTH), 0)?;
        self.left_open.push(key);
        Ok(file)
    }

    /// A file that outgrows what may be staged, and stays open until the result is dropped, after the daemon's
    /// death.
    ///
    /// # Errors
    /// It cannot be made. Writes fail when the daemon dies, as they should.
    pub(super) fn outgrow(&mut self, calls: &Calls<'_>) -> Result<File> {
        let number = self.number();
        let key = format!("{OPEN}{number}");
        let file = calls.open(&key, OpenOptions::new().write(true).create_new(true))?;
        let piece = make(number, 1, 0, OUTGROWING_PIECE);
        for at in (0..OUTGROWING).step_by(OUTGROWING_PIECE) {
            if calls.write(&file, &piece, at as u64).is_err() {
                break;
            }
        }
        self.left_open.push(key);
        Ok(file)
    }

    /// A file is removed, and then closed, after its upload has begun: what the store has of it is aborted. It ends
    /// early when the daemon dies.
    pub(super) fn give_up(&mut self, calls: &Calls<'_>) {
        let number = self.number();
        let key = format!("{OPEN}{number}");
        let Ok(file) = calls.open(&key, OpenOptions::new().write(true).create_new(true)) else {
            return;
        };
        let piece = make(number, 1, 0, OUTGROWING_PIECE);
        let offsets = (0..GIVEN_UP).step_by(OUTGROWING_PIECE);
        let is_written = |at: &usize| calls.write(&file, &piece, *at as u64).is_ok();
        match offsets.take_while(is_written).last() {
            // It died before it had a byte.
            None => {}
            // If it dies just now, nobody can say whether the file was still there.
            Some(at) if at + OUTGROWING_PIECE == GIVEN_UP => drop(calls.unlink(&key)),
            Some(_) => self.left_open.push(key),
        }
    }

    /// The paths that the next status must name as set aside, each in a list of its own.
    pub(super) fn take_left_open(&mut self) -> Vec<Vec<String>> {
        let left = std::mem::take(&mut self.left_open);
        left.into_iter().map(|key| vec![key]).collect()
    }

    /// Takes the scenes' objects out of `objects`.
    pub(super) fn take(objects: &mut Objects) -> Objects {
        let (scenes, others) = std::mem::take(objects)
            .into_iter()
            .partition(|(key, _)| key.starts_with(RIVAL));
        *objects = others;
        scenes
    }

    /// Their objects after a kill: nothing that nobody wrote, and nothing twice.
    ///
    /// # Errors
    /// An object cannot be read.
    pub(super) fn after_kill(&self, objects: &Objects) -> Result<Vec<Wrong>> {
        self.judge(objects, |conflict, copies, there| {
            there == Some(&conflict.theirs) && copies <= 1
        })
    }

    /// Their objects after all is uploaded.
    ///
    /// # Errors
    /// An object cannot be read.
    pub(super) fn after_end(&self, objects: &Objects) -> Result<Vec<Wrong>> {
        self.judge(objects, |conflict, copies, there| {
            there == Some(&conflict.theirs) && copies == 1
        })
    }

    /// Holds each conflict's object and the number of its copies against `is_right`.
    fn judge(
        &self,
        objects: &Objects,
        is_right: impl Fn(&Conflict, usize, Option<&Vec<u8>>) -> bool,
    ) -> Result<Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut bytes = BTreeMap::new();
        for (key, place) in objects {
            bytes.insert(&**key, std::fs::read(place)?);
        }
        for conflict in &self.conflicts {
            let there = bytes.remove(&*conflict.key);
            let first = format!("{}{COPY}", conflict.key);
            let (copies, others): (BTreeMap<_, _>, BTreeMap<_, _>) = bytes
                .into_iter()
                .partition(|(key, _)| key.starts_with(&first));
            bytes = others;
            let are_ours = copies.values().all(|copy| *copy == conflict.ours);
            if !are_ours || !is_right(conflict, copies.len(), there.as_ref()) {
                let lengths = copies.values().map(Vec::len);
                wrong.push(Wrong {
                    path: conflict.key.clone(),
                    expected: "what the other one wrote, and what was written here once beside it".to_owned(),
                    found: format!(
                        "an object of {:?} bytes ({}), and copies {copies:?} of {:?} bytes, which {}",
                        there.as_ref().map(Vec::len),
                        conflict.whose(there.as_ref()),
                        lengths.collect::<Vec<_>>(),
                        if are_ours { "are ours" } else { "are not all ours" },
                        copies = copies.keys().collect::<Vec<_>>(),
                    ),
                });
            }
        }
        wrong.extend(bytes.keys().map(|key| Wrong {
            path: (*key).to_owned(),
            expected: "nothing: nobody made it".to_owned(),
            found: "an object".to_owned(),
        }));
        Ok(wrong)
    }
}

impl Conflict {
    fn whose(&self, bytes: Option<&Vec<u8>>) -> &'static str {
        match bytes {
            None => "nobody's",
            Some(bytes) if *bytes == self.theirs => "theirs",
            Some(bytes) if *bytes == self.ours => "ours",
            Some(bytes) if *bytes == self.before => "as before",
            Some(_) => "none of these",
        }
    }
}
