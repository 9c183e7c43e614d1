//! One writer: files of all sizes, made, rewritten, changed in place, appended to, cut, synced, renamed, removed,
//! with some of them held open meanwhile.
//!
//! Laws: the model is told of a call before it is made and of its success after it; after an error nothing more
//! is called: what that call did is for the next mount to show.

mod moves;

use std::collections::HashMap;
use std::fs::{File as Handle, OpenOptions};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::calls::Calls;
use super::content::make;
use super::file::Start;
use super::mode::Mode;
use super::tree::{Node, Tree};
use crate::dice::Dice;
use crate::time::{now, pause};

/// Files of one writer at a time: enough to choose from, few enough to compare them all at each kill.
const MOST_FILES: usize = 16;
/// Folders of one writer at a time, its own included.
const MOST_FOLDERS: usize = 6;
/// Files of one writer that are open over other calls.
const MOST_HELD: usize = 2;
/// Files from this size on are large, and a writer has one at a time.
const LARGE: u64 = 4 << 20;
/// One write of the load.
const LONGEST_WRITE: u64 = 256 << 10;
/// A file that many writes made is written anew: comparing costs a step for each.
const DEEPEST: usize = 48;
/// Between two calls' groups, so that uploads run among them.
const LONGEST_REST_MS: u64 = 4;
/// How long after an error the daemon may be found to be dead: the error came first, the news is on its way.
const LATE_NEWS: Duration = Duration::from_secs(5);

/// What the writers are told while they work.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Close everything and end.
    pub(super) stop: AtomicBool,
    /// The daemon is dead, or will be in a moment: calls fail.
    pub(super) dead: AtomicBool,
}

/// One writer, over all rounds.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) tree: Tree,
    folder: String,
    next: u64,
    made: usize,
    /// The largest file that it makes, in bytes.
    largest: u64,
}

/// An error that is not the kill's.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) call: String,
    pub(super) error: io::Error,
}

/// One writer at work on one mount.
struct Work<'a> {
    writer: &'a mut Writer,
    calls: &'a Calls<'a>,
    mode: Mode,
    dice: Dice,
    held: HashMap<u64, Handle>,
    /// What is being done, for a report.
    doing: String,
    /// What a read gave that it should not.
    wrong: Option<String>,
}

impl Writer {
    /// The writer of that number, who has made its folder.
    pub(super) fn new(number: u64, largest: u64) -> Self {
        let folder = format!("w{number}");
        Self {
            tree: Tree::new(&folder),
            folder,
            // Numbers of files differ among writers.
            next: number << 32,
            made: 0,
            largest,
        }
    }

    /// How many files it made.
    pub(super) fn files(&self) -> usize {
        self.made
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Works until it is told to stop, or a call fails.
    ///
    /// # Errors
    /// A call that failed although the daemon was alive.
    pub(super) fn work(
        &mut self,
        calls: &Calls<'_>,
        mode: Mode,
        dice: Dice,
        news: &News,
    ) -> Result<(), Trouble> {
        let mut work = Work {
            writer: self,
            calls,
            mode,
            dice,
            held: HashMap::new(),
            doing: String::new(),
            wrong: None,
        };
        while !news.stop.load(Ordering::SeqCst) {
            if let Err(error) = work.step() {
                if work.wrong.is_none() && news.tell_of_a_death() {
                    return Ok(());
                }
                // They are closed now, by dropping them, and nobody hears whether that was acknowledged.
                for id in work.held.keys() {
                    let file = work.writer.tree.file(*id);
                    file.into_iter().for_each(super::file::File::closing);
                }
                let call = work.wrong.unwrap_or(work.doing);
                return Err(Trouble { call, error });
            }
            pause(Duration::from_millis(work.dice.of(0..=LONGEST_REST_MS)));
        }
        let ids: Vec<u64> = work.held.keys().copied().collect();
        for id in ids {
            let call = "the last close";
            work.close(id).map_err(|error| Trouble {
                call: call.into(),
                error,
            })?;
        }
        Ok(())
    }
}

impl News {
    /// Whether the daemon is dead, or is heard to be within a moment.
    fn tell_of_a_death(&self) -> bool {
        let start = now();
        while start.elapsed() < LATE_NEWS {
            if self.dead.load(Ordering::SeqCst) {
                return true;
            }
            pause(Duration::from_millis(5));
        }
        false
    }
}

impl Work<'_> {
    fn step(&mut self) -> io::Result<()> {
        let files = self.writer.tree.named().count();
        match self.dice.of(0..=99) {
            0..=24 if files < MOST_FILES => self.create(),
            0..=39 => self.with_closed(Start::Emptied),
            40..=57 => self.with_closed(Start::AsItIs),
            58..=64 => self.go_on(),
            65..=76 => self.rename(),
            77..=84 => self.remove(),
            85..=88 => self.make_folder(),
            89..=91 => self.rename_folder(),
            92..=93 => self.remove_folder(),
            94..=96 => self.set_mode(),
            _ => self.read(),
        }
    }

    fn size(&mut self) -> u64 {
        let large = self.writer.tree.named();
        let has_large = large.filter(|(_, file)| file.now().size() >= LARGE).count() > 0;
        let size = match self.dice.of(0..=99) {
            0..=4 => 0,
            5..=49 => self.dice.of(1..=6_000),
            50..=89 => self.dice.of(6_000..=300_000),
            90..=96 => self.dice.of(300_000..=3_000_000),
            _ if has_large => 1_000_000,
            _ => self.dice.of(LARGE..=LARGE.max(self.writer.largest)),
        };
        size.min(self.writer.largest)
    }

    /// A folder, and a name in it that nobody has.
    fn new_path(&mut self) -> String {
        let folders = self.folders();
        let folder = self.dice.one(&folders).cloned();
        self.writer.next += 1;
        let folder = folder.unwrap_or_else(|| self.writer.folder.clone());
        format!("{folder}/f{}", self.writer.next & 0xFFFF_FFFF)
    }

    fn folders(&self) -> Vec<String> {
        let names = self.writer.tree.names().iter();
        names
            .filter(|(_, node)| **node == Node::Folder)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// One of the files that nobody has open.
    fn closed(&mut self) -> Option<(String, u64)> {
        let all: Vec<_> = (self.writer.tree.named())
            .filter(|(_, file)| !file.is_open())
            .map(|(path, file)| (path.to_owned(), file.id))
            .collect();
        self.dice.one(&all).cloned()
    }

    fn create(&mut self) -> io::Result<()> {
        let path = self.new_path();
        let id = self.writer.next;
        self.doing = format!("create {path}");
        self.writer.tree.make_file(&path, id);
        self.writer.made += 1;
        let mut how = OpenOptions::new();
        let file = self.calls.open(&path, how.write(true).create_new(true))?;
        self.held.insert(id, file);
        let size = self.size();
        self.fill(id, size)?;
        self.finish(id)
    }

    fn with_closed(&mut self, start: Start) -> io::Result<()> {
        let Some((path, id)) = self.closed() else {
            return Ok(());
        };
        let is_deep = (self.writer.tree.look(id)).is_some_and(|file| file.now().depth() > DEEPEST);
        let start = if is_deep { Start::Emptied } else { start };
        let is_append = start == Start::AsItIs && self.dice.percent(30);
        self.doing = format!("open {path} ({start:?})");
        self.model(id, |file| file.begin(start));
        let mut how = OpenOptions::new();
        how.write(!is_append).append(is_append);
        how.truncate(start == Start::Emptied);
        let file = self.calls.open(&path, &how)?;
        self.held.insert(id, file);
        if start == Start::Emptied {
            let size = self.size();
            self.fill(id, size)?;
        } else if is_append {
            self.append(id)?;
            let file = self.held.remove(&id);
            return file.map_or(Ok(()), |file| self.close_handle(id, file));
        } else {
            self.change(id)?;
        }
        self.finish(id)
    }

    /// Goes on with a file that is held.
    fn go_on(&mut self) -> io::Result<()> {
        let ids: Vec<u64> = self.held.keys().copied().collect();
        let Some(id) = self.dice.one(&ids).copied() else {
            return Ok(());
        };
        if self.dice.percent(50) {
            self.change(id)?;
        }
        if self.dice.percent(30) {
            self.sync(id)?;
        }
        if self.dice.percent(50) {
            self.close(id)?;
        }
        Ok(())
    }

    fn model<T>(&mut self, id: u64, tell: impl FnOnce(&mut super::file::File) -> T) -> Option<T> {
        self.writer.tree.file(id).map(tell)
    }

    /// Writes `size` bytes from the start on.
    fn fill(&mut self, id: u64, size: u64) -> io::Result<()> {
        let mut at = 0;
        while at < size {
            let length = (size - at).min(LONGEST_WRITE);
            self.write(id, at, length)?;
            at += length;
        }
        Ok(())
    }

    fn write(&mut self, id: u64, at: u64, length: u64) -> io::Result<()> {
        let Some(generation) = self.model(id, |file| file.write(at, length)) else {
            return Ok(());
        };
        let bytes = make(
            id,
            generation,
            at,
            usize::try_from(length).unwrap_or_default(),
        );
        if let Some(file) = self.held.get(&id) {
            self.calls.write(file, &bytes, at)?;
        }
        self.model(id, |file| file.wrote());
        Ok(())
    }

    /// Some writes anywhere, and now and then a cut.
    fn change(&mut self, id: u64) -> io::Result<()> {
        for _ in 0..self.dice.of(1..=4) {
            let length = self.dice.of(1..=60_000);
            let Some(file) = self.writer.tree.look(id) else {
                return Ok(());
            };
            let (at, size) = (file.place(&mut self.dice), file.now().size());
            if size > 0 && self.dice.percent(12) {
                let size = self.dice.of(0..=size + size / 10);
                self.model(id, |file| file.cut(size));
                if let Some(file) = self.held.get(&id) {
                    self.calls.cut(file, size)?;
                }
            } else {
                self.model(id, |file| file.next_generation());
                self.write(id, at, length)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, id: u64) -> io::Result<()> {
        for _ in 0..self.dice.of(1..=3) {
            let length = self.dice.of(1..=60_000);
            let at = (self.writer.tree.look(id)).map_or(0, |file| file.now().size());
            let generation = self.model(id, |file| file.write(at, length)).unwrap_or(0);
            let bytes = make(
                id,
                generation,
                at,
                usize::try_from(length).unwrap_or_default(),
            );
            if let Some(file) = self.held.get(&id) {
                self.calls.append(file, &bytes)?;
            }
            self.model(id, |file| file.wrote());
        }
        Ok(())
    }

    /// Perhaps syncs, and closes unless it is kept open.
    fn finish(&mut self, id: u64) -> io::Result<()> {
        if self.dice.percent(20) {
            self.sync(id)?;
            if self.dice.percent(50) {
                self.change(id)?;
            }
        }
        if self.held.len() <= MOST_HELD && self.dice.percent(15) {
            return Ok(());
        }
        self.close(id)
    }

    fn sync(&mut self, id: u64) -> io::Result<()> {
        self.model(id, |file| file.closing());
        if let Some(file) = self.held.get(&id) {
            self.calls.sync(file)?;
        }
        let waited = self.mode.fsync;
        self.model(id, |file| file.synced(waited));
        Ok(())
    }

    fn close(&mut self, id: u64) -> io::Result<()> {
        let file = self.held.remove(&id);
        file.map_or(Ok(()), |file| self.close_handle(id, file))
    }

    fn close_handle(&mut self, id: u64, file: Handle) -> io::Result<()> {
        self.model(id, |file| file.closing());
        self.calls.close(file)?;
        let waited = self.mode.close;
        self.model(id, |file| file.closed(waited));
        Ok(())
    }

    /// What was written is what is read, at once.
    fn read(&mut self) -> io::Result<()> {
        let all: Vec<_> = (self.writer.tree.named())
            .map(|(path, file)| (path.to_owned(), file.id))
            .collect();
        let Some((path, id)) = self.dice.one(&all).cloned() else {
            return Ok(());
        };
        self.doing = format!("read {path}");
        let (bytes, _) = self.calls.read(&path)?;
        let file = self.writer.tree.look(id);
        let Some(mismatch) = file.and_then(|file| file.now().mismatch(id, &bytes)) else {
            return Ok(());
        };
        let size = bytes.len();
        self.wrong = Some(format!(
            "read {path}: expected {} at {}, found {size} other bytes (file {id})",
            mismatch.expected, mismatch.at
        ));
        Err(io::ErrorKind::InvalidData.into())
    }
}
