//! One file of the load: what its calls promised, and so what may be there after a kill.
//!
//! Laws: what a `close` or an `fsync` acknowledged is a version; what comes after it may be there or not. A file
//! that was cut to nothing when it was opened keeps its last version until the next one; a new one is not there
//! before its first.

use std::collections::VecDeque;

use super::content::{Content, Mismatch};
use super::mode::Waits;
use crate::dice::Dice;

/// So many of its last calls are told when something is wrong with a file.
const CALLS: usize = 24;

/// What a file has that was made and never changed: the umask decides.
const ANY_MODE: u32 = u32::MAX;

/// How a file was opened to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It was made by it.
    New,
    /// With `O_TRUNC`.
    Emptied,
    /// With what it has.
    AsItIs,
}

/// From an open until its close.
#[derive(Clone, Debug)]
struct Session {
    start: Start,
    /// Whether an `fsync` made a version meanwhile.
    has_version: bool,
    /// Whether a `close` or an `fsync` is under way.
    is_closing: bool,
    /// Whether a write was acknowledged.
    has_bytes: bool,
    /// The smallest and the largest size since the last version.
    sizes: (u64, u64),
}

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Close,
    Sync,
    /// The mount after a kill showed it.
    Kill,
}

/// What a call promised, and what an object may be until the next one.
#[derive(Clone, Debug)]
struct Version {
    /// What the call that made it waited for.
    waited: Waits,
    content: Content,
    /// With some of the writes that came after it in place.
    mixed: Option<Content>,
}

/// A file.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// What its bytes are made from.
    pub(super) id: u64,
    versions: Vec<Version>,
    /// After all calls, also those under way.
    now: Content,
    session: Option<Session>,
    generation: u64,
    /// Permissions that were set: the last ones acknowledged, and those under way. None before the first.
    modes: Vec<u32>,
    /// The last calls, for a report.
    calls: VecDeque<String>,
}

/// What may be there.
#[derive(Clone, Debug)]
pub(super) enum May {
    /// No file.
    BeMissing,
    /// A file with this content.
    Be(Content),
}

impl File {
    /// A file that is about to be made.
    pub(super) fn new(id: u64) -> Self {
        let mut file = Self {
            id,
            versions: Vec::new(),
            now: Content::empty(),
            session: None,
            generation: 0,
            modes: Vec::new(),
            calls: VecDeque::new(),
        };
        file.begin(Start::New);
        file
    }

    /// Remembers a call for a report.
    pub(super) fn note(&mut self, call: String) {
        if self.calls.len() >= CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    /// The last calls.
    pub(super) fn story(&self) -> String {
        let calls: Vec<&str> = self.calls.iter().map(|call| &**call).collect();
        calls.join(", ")
    }

    /// It is about to be opened.
    pub(super) fn begin(&mut self, start: Start) {
        self.note(format!("open {start:?}"));
        if start == Start::Emptied {
            self.now = Content::empty();
        }
        self.generation += 1;
        let size = self.now.size();
        self.session = Some(Session {
            start,
            has_version: false,
            is_closing: false,
            has_bytes: false,
            sizes: (size, size),
        });
    }

    /// `length` bytes are about to be written at `at`; the answer is their generation.
    pub(super) fn write(&mut self, at: u64, length: u64) -> u64 {
        let size = self.now.size();
        let last = self.calls.back_mut();
        match last.filter(|last| at == size && last.starts_with("write")) {
            // One of a long row.
            Some(last) => *last = format!("write on to {}", at + length),
            None => self.note(format!("write {length} at {at} of {size}")),
        }
        self.now.write(at, length, self.generation);
        self.changed();
        self.generation
    }

    /// The next write is one of its own.
    pub(super) fn next_generation(&mut self) {
        self.generation += 1;
    }

    /// The size is about to be set.
    pub(super) fn cut(&mut self, size: u64) {
        self.note(format!("cut to {size}"));
        self.now.cut(size);
        self.changed();
    }

    fn changed(&mut self) {
        let size = self.now.size();
        let Some(session) = &mut self.session else {
            return;
        };
        session.sizes = (session.sizes.0.min(size), session.sizes.1.max(size));
        let mixed = session.mixed(self.versions.last(), &self.now);
        if let Some(version) = self.versions.last_mut() {
            version.mixed = mixed.or_else(|| version.mixed.take());
        }
    }

    /// A write was acknowledged.
    pub(super) fn wrote(&mut self) {
        if let Some(session) = &mut self.session {
            session.has_bytes = true;
        }
    }

    /// A `close` or an `fsync` is about to be called.
    pub(super) fn closing(&mut self) {
        self.note("close or fsync".to_owned());
        if let Some(session) = &mut self.session {
            session.is_closing = true;
        }
    }

    /// An `fsync` was acknowledged, which waited for that.
    pub(super) fn synced(&mut self, waited: Waits) {
        self.promise(By::Sync, waited);
        let size = self.now.size();
        if let Some(session) = &mut self.session {
            session.is_closing = false;
            session.has_version = true;
            session.sizes = (size, size);
        }
    }

    /// A `close` was acknowledged, which waited for that.
    pub(super) fn closed(&mut self, waited: Waits) {
        self.promise(By::Close, waited);
        self.session = None;
    }

    fn promise(&mut self, by: By, waited: Waits) {
        let number = self.versions.len();
        self.note(format!("version {number} by {by:?}, {}", waited.name()));
        self.versions.push(Version {
            waited,
            content: self.now.clone(),
            mixed: None,
        });
    }

    /// Its permissions are about to be set.
    pub(super) fn change_mode(&mut self, mode: u32) {
        self.note(format!("chmod {mode:o}"));
        if self.modes.is_empty() {
            self.modes.push(ANY_MODE);
        }
        self.modes.push(mode);
    }

    /// That was acknowledged.
    pub(super) fn mode_changed(&mut self) {
        self.modes.drain(..self.modes.len().saturating_sub(1));
    }

    /// The next mount showed `mode`; what it may have shown, if it may not.
    pub(super) fn settle_mode(&mut self, mode: u32) -> Option<String> {
        let is_known = !self.modes.is_empty() && !self.modes.contains(&ANY_MODE);
        let wrong = (is_known && !self.modes.contains(&mode)).then(|| {
            let modes: Vec<_> = self.modes.iter().map(|mode| format!("{mode:o}")).collect();
            modes.join(" or ")
        });
        self.modes = vec![mode];
        wrong
    }

    /// Whether somebody has it open to write.
    pub(super) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Whether, if the process died now, its bytes would have to be set aside.
    pub(super) fn is_to_be_set_aside(&self) -> bool {
        let mut session = self.session.iter();
        session.any(|session| session.has_bytes && !session.is_closing)
            && self.now.size() > 0
            && self.versions.is_empty()
    }

    /// What it is, after all calls.
    pub(super) fn now(&self) -> &Content {
        &self.now
    }

    /// All that the next mount may show of it if the process died now.
    pub(super) fn after_a_kill(&self) -> Vec<May> {
        let last = self.versions.last();
        let former = last.map_or(May::BeMissing, |version| May::Be(version.content.clone()));
        let Some(session) = &self.session else {
            return vec![former];
        };
        if let Some(mixed) = session.mixed(last, &self.now) {
            return vec![May::Be(mixed)];
        }
        let mut all = vec![former];
        if session.is_closing {
            all.push(May::Be(self.now.clone()));
        }
        all
    }

    /// What the next mount showed: one of [`after_a_kill`](Self::after_a_kill), with `size` bytes.
    pub(super) fn settle(&mut self, shown: &Content, size: u64) {
        self.session = None;
        self.now = shown.clone().with_size(size);
        self.generation += 1;
        self.promise(By::Kill, Waits::Local);
    }

    /// Whether an object with these bytes is this file as a call left it, or as it was at one moment
    /// between; the answer is the number of the version, from 0 on, or how it differs from the last one.
    pub(super) fn version_of(&self, bytes: &[u8]) -> Result<usize, Option<Mismatch>> {
        if let Some(session) = &self.session
            && session.is_closing
            && self.now.mismatch(self.id, bytes).is_none()
        {
            return Ok(self.versions.len());
        }
        if let Some(session) = &self.session
            && session.is_new()
            && session.sizes.1 >= bytes.len() as u64
            && let so_far = self.now.clone().with_size(bytes.len() as u64)
            && so_far.mismatch(self.id, bytes).is_none()
        {
            return Ok(self.versions.len());
        }
        let found = (self.versions.iter().enumerate().rev()).find(|(_, version)| {
            [Some(&version.content), version.mixed.as_ref()]
                .into_iter()
                .flatten()
                .any(|content| content.mismatch(self.id, bytes).is_none())
        });
        match (found, self.versions.last()) {
            (Some((at, _)), _) => Ok(at),
            (None, Some(last)) => Err(last.content.mismatch(self.id, bytes)),
            (None, None) => Err(None),
        }
    }

    /// The number of the last version that a call waited for until it was in the bucket.
    pub(super) fn last_awaited(&self) -> Option<usize> {
        let mut versions = self.versions.iter();
        versions.rposition(|version| version.waited == Waits::Remote)
    }

    /// Forgets all but the last version: what was before is nowhere any more.
    pub(super) fn forget_former(&mut self) {
        let last = self.versions.pop();
        self.versions = last.into_iter().collect();
    }

    /// A place to write at: within the file, or a little beyond its end.
    pub(super) fn place(&self, dice: &mut Dice) -> u64 {
        dice.of(0..=self.now.size() + self.now.size() / 20)
    }
}

impl Session {
    /// Whether it writes a new file, and nothing was promised of that yet. What it has written so far may be
    /// uploaded before its close: a program that is started meanwhile, as this one does for the second
    /// machine, closes its copies of all open files (`execve(2)`, `O_CLOEXEC`), and the kernel tells the
    /// filesystem of each close alike.
    fn is_new(&self) -> bool {
        self.start == Start::New && !self.has_version
    }

    /// What a file may be between its last version and `now`; `None` where nothing between is allowed.
    fn mixed(&self, last: Option<&Version>, now: &Content) -> Option<Content> {
        let last = last?;
        let is_in_place = self.start == Start::AsItIs || self.has_version;
        is_in_place.then(|| last.content.mixed(now, self.sizes.0..=self.sizes.1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::make;
    use super::*;

    fn written(file: &mut File, length: u64) -> Vec<u8> {
        let generation = file.write(0, length);
        file.wrote();
        make(file.id, generation, 0, usize::try_from(length).unwrap())
    }

    /// What may be there, as words for each of the candidates; `-` for no file.
    fn may(file: &File, candidates: &[(&str, &[u8])]) -> String {
        let all = file.after_a_kill();
        let missing = all.iter().any(|may| matches!(may, May::BeMissing));
        let there = candidates.iter().filter(|(_, bytes)| {
            all.iter().any(|may| match may {
                May::Be(content) => content.mismatch(file.id, bytes).is_none(),
                May::BeMissing => false,
            })
        });
        let names = there.map(|(name, _)| *name);
        names
            .chain(missing.then_some("-"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_new_file_is_missing_until_it_is_closed() {
        let mut file = File::new(1);
        let bytes = written(&mut file, 100);
        let all = [("new", &*bytes)];
        assert_eq!(may(&file, &all), "-");
        assert!(file.is_to_be_set_aside());
        file.closing();
        assert_eq!(may(&file, &all), "new -");
        file.closed(Waits::Local);
        assert_eq!(may(&file, &all), "new");
        assert!(!file.is_to_be_set_aside());
    }

    #[test]
    fn a_rewrite_is_the_old_until_it_is_closed_and_never_between() {
        let mut file = File::new(1);
        let old = written(&mut file, 100);
        file.closed(Waits::Local);
        file.begin(Start::Emptied);
        let new = written(&mut file, 100);
        let between = [&new[..50], &old[50..]].concat();
        let all = [
            ("old", &*old),
            ("new", &*new),
            ("half", &new[..50]),
            ("between", &*between),
        ];
        assert_eq!(may(&file, &all), "old");
        assert!(file.version_of(&new).is_err());
        file.closing();
        assert_eq!(may(&file, &all), "old new");
        file.closed(Waits::Local);
        assert_eq!(may(&file, &all), "new");
        assert_eq!(
            (file.version_of(&old), file.version_of(&new)),
            (Ok(0), Ok(1))
        );
        assert!(file.version_of(&between).is_err());
    }

    #[test]
    fn writes_in_place_may_be_there_or_not_since_the_last_version() {
        let mut file = File::new(1);
        let old = written(&mut file, 100);
        file.closed(Waits::Local);
        file.begin(Start::AsItIs);
        let new = written(&mut file, 50);
        let between = [&new[..], &old[50..]].concat();
        let all = [("old", &*old), ("between", &*between), ("cut", &new[..])];
        assert_eq!(may(&file, &all), "old between");
        file.closing();
        file.synced(Waits::Remote);
        assert_eq!(may(&file, &all), "between");
        assert_eq!(file.last_awaited(), Some(1));
        file.settle(&file.now.clone(), 100);
        assert_eq!(may(&file, &all), "between");
        assert!(!file.is_open());
    }

    #[test]
    fn what_was_written_so_far_may_be_uploaded_before_the_close() {
        let mut file = File::new(7);
        assert_eq!(file.version_of(b""), Ok(0), "as it was made");
        let first = written(&mut file, 100);
        assert_eq!(file.version_of(&first), Ok(0));
        assert_eq!(file.version_of(&first[..60]), Ok(0));
        file.version_of(&[&first[..], b"more"].concat())
            .unwrap_err();
        let mut other = first.clone();
        other[50] ^= 1;
        file.version_of(&other).unwrap_err();
        file.closing();
        file.closed(Waits::Local);
        file.version_of(&first[..60]).unwrap_err();
        assert_eq!(file.version_of(&first), Ok(0));
    }
}
