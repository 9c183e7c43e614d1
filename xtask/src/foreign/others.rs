//! Changes by others: chosen by the dice, a few at a time, and waited for on the mount.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::FOLDERS;
use super::client::Client;
use super::names::{Known, Names, State};
use super::watcher::{Shown, look};
use crate::dice::Dice;
use crate::replaced::content::size;
use crate::time::{now, pause};

/// Names in each folder.
const NAMES: u64 = 8;
/// Changes at once, at most.
const AT_ONCE_MAX: u64 = 4;
/// Larger contents are left to others: here it is the number of changes that counts.
const BYTES_MAX: u64 = 256 << 10;
/// Longest rest before the next changes, in milliseconds.
const REST_MS_MAX: u64 = 300;
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(10);

/// Who changes the bucket.
pub(super) struct Others<'a> {
    client: Client,
    names: &'a Names,
    folder: PathBuf,
    /// How long a change may stay unseen.
    limit: Duration,
    dice: Dice,
    version: u64,
    seen_after: Vec<Duration>,
    pub(super) wrong: Vec<String>,
}

/// How long changes took to be seen.
pub(super) struct Delays {
    pub(super) count: usize,
    pub(super) median: Duration,
    pub(super) longest: Duration,
}

/// A change that is to be seen.
struct Change {
    name: String,
    before: Known,
    made: Instant,
}

impl<'a> Others<'a> {
    pub(super) fn new(
        client: Client,
        names: &'a Names,
        folder: &Path,
        limit: Duration,
        seed: u64,
    ) -> Self {
        Self {
            client,
            names,
            folder: folder.to_owned(),
            limit,
            dice: Dice::new(&[seed, u64::MAX]),
            version: 0,
            seen_after: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Makes so many changes, and sees each on the mount.
    ///
    /// # Errors
    /// One of them is not seen in time, or the server refuses one.
    pub(super) fn change(&mut self, changes: u64) -> Result<()> {
        let mut made = 0;
        while made < changes {
            let times = FOLDERS.map(|folder| self.time_of(folder));
            let mut waiting = Vec::new();
            let mut busy = BTreeSet::new();
            for _ in 0..self.dice.of(1..=AT_ONCE_MAX) {
                waiting.extend(self.change_one(&mut busy)?);
            }
            made += waiting.len() as u64;
            let moved = moved_folders(self.names, &waiting);
            for change in &waiting {
                self.see(change)?;
            }
            for (folder, before) in FOLDERS.iter().zip(times) {
                if moved.contains(*folder) && self.time_of(folder) == before {
                    let what = format!("the time of {folder} did not move with its names");
                    self.wrong.push(what);
                }
            }
            pause(Duration::from_millis(self.dice.of(0..=REST_MS_MAX)));
        }
        Ok(())
    }

    /// How long they took.
    pub(super) fn delays(&self) -> Delays {
        let mut all = self.seen_after.clone();
        all.sort();
        Delays {
            count: all.len(),
            median: all.get(all.len() / 2).copied().unwrap_or_default(),
            longest: all.last().copied().unwrap_or_default(),
        }
    }

    fn time_of(&self, folder: &str) -> Option<(i64, i64)> {
        let folder = self.folder.join(folder).metadata().ok()?;
        Some((folder.mtime(), folder.mtime_nsec()))
    }

    fn name(&mut self) -> String {
        let folder = self.dice.of(0..=FOLDERS.len() as u64 - 1);
        let number = self.dice.of(0..=NAMES - 1);
        let folder = usize::try_from(folder).unwrap_or_default();
        format!("{}/n{number}", FOLDERS[folder])
    }

    fn next_version(&mut self) -> u64 {
        loop {
            self.version += 1;
            if size(self.version) <= BYTES_MAX {
                return self.version;
            }
        }
    }

    /// One change of names that no other one has now.
    fn change_one(&mut self, busy: &mut BTreeSet<String>) -> Result<Vec<Change>> {
        let name = self.name();
        if !busy.insert(name.clone()) {
            return Ok(Vec::new());
        }
        let State::There { version, mode } = self.names.get(&name).state else {
            return Ok(vec![self.put(name)?]);
        };
        match self.dice.of(0..=9) {
            0..=3 => Ok(vec![self.put(name)?]),
            4..=5 => {
                let change = self.begin(&name, State::Absent);
                self.client.remove(&name)?;
                Ok(vec![change.made_now()])
            }
            6..=7 => {
                let other = if mode == Some(0o640) { 0o604 } else { 0o640 };
                let mode = Some(other);
                let change = self.begin(&name, State::There { version, mode });
                self.client.set_mode(&name, other)?;
                Ok(vec![change.made_now()])
            }
            _ => {
                let to = self.name();
                if !busy.insert(to.clone()) {
                    return Ok(vec![self.put(name)?]);
                }
                let changes = [
                    self.begin(&name, State::Absent),
                    self.begin(&to, State::There { version, mode }),
                ];
                self.client.rename(&name, &to)?;
                Ok(changes.map(Change::made_now).into())
            }
        }
    }

    fn put(&mut self, name: String) -> Result<Change> {
        let version = self.next_version();
        let mode = None;
        let change = self.begin(&name, State::There { version, mode });
        self.client.put(&name, version)?;
        Ok(change.made_now())
    }

    fn begin(&self, name: &str, state: State) -> Change {
        let before = self.names.get(name);
        self.names.begin(name, state);
        Change {
            name: name.to_owned(),
            before,
            made: now(),
        }
    }

    /// Waits until the mount shows it.
    fn see(&mut self, change: &Change) -> Result<()> {
        let path = self.folder.join(&change.name);
        let wanted = self.names.get(&change.name).state;
        loop {
            let shown = look(&path);
            let number = match &shown {
                Ok(Shown { state, number }) if *state == wanted => *number,
                _ if change.made.elapsed() < self.limit => {
                    pause(AGAIN);
                    continue;
                }
                _ => bail!(
                    "{} should be {wanted:?} after {:?}, was {:?}, and is shown as {shown:?}",
                    change.name,
                    self.limit,
                    change.before.state,
                ),
            };
            self.seen_after.push(change.made.elapsed());
            let before = self.names.get(&change.name).number;
            if before.is_some() && number.is_some() && before != number {
                let what = format!("{}: number {before:?} became {number:?}", change.name);
                self.wrong.push(what);
            }
            self.names.seen(&change.name, number);
            return Ok(());
        }
    }
}

impl Change {
    fn made_now(self) -> Self {
        Self {
            made: now(),
            ..self
        }
    }
}

/// The folders in which names came or went.
fn moved_folders(names: &Names, changes: &[Change]) -> BTreeSet<String> {
    let is_there = |state: &State| *state != State::Absent;
    let moved = changes.iter().filter(|change| {
        is_there(&change.before.state) != is_there(&names.get(&change.name).state)
    });
    let folders = moved.filter_map(|change| change.name.split_once('/'));
    folders.map(|(folder, _)| folder.to_owned()).collect()
}
