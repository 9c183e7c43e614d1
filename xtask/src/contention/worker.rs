//! One process on one mount: it reads, decides by its seed, changes, and keeps a record of all of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Result as IoResult, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, OFlags, RenameFlags};

use super::history::{Event, Kind, Outcome};
use super::load::Load;
use super::version::{Id, Record, bytes, parse};
use crate::closing::close;
use crate::dice::Dice;
use crate::time::{now, pause};

/// A file with so many records is written anew.
const RECORDS_MAX: usize = 20;
/// Lengths of fillers: one in so many is large, and some are sent in parts.
const LARGE_ONE_IN: u64 = 20;
const LARGE: usize = 200_000;
const PARTS: usize = 9 << 20;

/// The process.
pub(super) struct Worker {
    pub(super) mount: u8,
    folder: PathBuf,
    start: Instant,
    load: Load,
    dice: Dice,
    number: u32,
    pub(super) events: Vec<Event>,
    /// What was refused, how often.
    pub(super) refused: BTreeMap<String, u32>,
    /// What was read and is no row of whole records.
    pub(super) torn: Vec<String>,
    /// The first of these that was met, byte for byte.
    pub(super) torn_bytes: Option<Vec<u8>>,
}

/// What was read under a name, and the handle it was read through.
struct Seen {
    file: File,
    bytes: Vec<u8>,
    last: Id,
    records: usize,
    at: f64,
}

/// What an attempt came to.
enum Tried {
    Done,
    /// It failed before it changed anything.
    Nothing(std::io::Error),
    /// It failed after it had begun to change something.
    Doubtful(std::io::Error),
}

/// Gives the error of what changes nothing yet.
macro_rules! or_nothing {
    ($done:expr) => {
        match $done {
            Ok(value) => value,
            Err(error) => return Tried::Nothing(error),
        }
    };
}

impl Worker {
    pub(super) fn new(mount: u8, folder: &Path, start: Instant, (load, seed): (Load, u64)) -> Self {
        Self {
            mount,
            folder: folder.to_owned(),
            start,
            load,
            dice: Dice::new(&[seed, u64::from(mount)]),
            number: 0,
            events: Vec::new(),
            refused: BTreeMap::new(),
            torn: Vec::new(),
            torn_bytes: None,
        }
    }

    /// Works until `end`.
    pub(super) fn work(&mut self, end: Instant) {
        while now() < end {
            let kind = self.choose();
            let name = self.name();
            let to = matches!(kind, Kind::Move | Kind::Replace).then(|| self.name());
            if to.as_ref() != Some(&name) {
                self.once(kind, name, to);
            }
            let rest = self.below(self.load.rest_ms_max());
            pause(Duration::from_millis(rest));
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.dice.next() % limit
    }

    fn name(&mut self) -> String {
        format!("file{:02}.txt", self.below(self.load.names()))
    }

    fn choose(&mut self) -> Kind {
        self.load.kind(self.dice.next())
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn new_record(&mut self, base: Option<Id>) -> (Record, Vec<u8>) {
        self.number += 1;
        let id = Id {
            mount: self.mount,
            number: self.number,
        };
        let short = usize::try_from(self.below(3000)).unwrap_or_default();
        let length = if self.below(self.load.parts_one_in()) == 0 {
            PARTS + short
        } else if self.below(LARGE_ONE_IN) == 0 {
            LARGE + short
        } else {
            short
        };
        let record = Record { id, base };
        (record, bytes(record, length))
    }

    fn once(&mut self, kind: Kind, name: String, to: Option<String>) {
        let mut event = Event {
            mount: self.mount,
            kind,
            name,
            to,
            read: None,
            read_to: None,
            makes: None,
            read_at: self.seconds(),
            ended: 0.0,
            outcome: Outcome::Acknowledged,
            is_exact: true,
        };
        let tried = match kind {
            Kind::Create => self.create(&mut event),
            Kind::Rewrite | Kind::Append => self.through_a_handle(&mut event),
            Kind::Truncate | Kind::Save | Kind::Remove => self.by_name(&mut event),
            Kind::Move | Kind::Replace => self.rename(&mut event),
        };
        event.ended = self.seconds();
        let error = match tried {
            Tried::Done => None,
            Tried::Nothing(error) => {
                self.refuse(kind, &error);
                return;
            }
            Tried::Doubtful(error) => Some(error),
        };
        if let Some(error) = error {
            event.outcome = Outcome::Doubtful;
            self.refuse(kind, &error);
        }
        self.events.push(event);
    }

    fn refuse(&mut self, kind: Kind, error: &std::io::Error) {
        let number = error.raw_os_error().unwrap_or_default();
        let name = match number {
            libc::ENOENT => "ENOENT".to_owned(),
            libc::EEXIST => "EEXIST".to_owned(),
            libc::ESTALE => "ESTALE".to_owned(),
            other => format!("errno {other} ({error})"),
        };
        *self.refused.entry(format!("{kind:?} {name}")).or_default() += 1;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a file whole. It is read past the kernel's cache, so that the mount itself answers.
    fn read(&mut self, name: &str, options: &mut OpenOptions) -> IoResult<Seen> {
        let direct = OFlags::DIRECT.bits().cast_signed();
        let mut file = options
            .read(true)
            .custom_flags(direct)
            .open(self.path(name))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        match parse(&bytes) {
            Ok(records) => Ok(Seen {
                file,
                last: records
                    .last()
                    .map(|record| record.id)
                    .ok_or(ErrorKind::InvalidData)?,
                records: records.len(),
                bytes,
                at: self.seconds(),
            }),
            Err(error) => {
                let at = self.seconds();
                let mount = self.mount;
                self.torn
                    .push(format!("mount {mount} read {name} at {at:.3}: {error:#}"));
                self.torn_bytes.get_or_insert(bytes);
                Err(ErrorKind::InvalidData.into())
            }
        }
    }

    /// The same where nothing may be.
    fn read_any(&mut self, name: &str) -> IoResult<Option<Seen>> {
        match self.read(name, &mut File::options()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn create(&mut self, event: &mut Event) -> Tried {
        let mut file = or_nothing!(File::create_new(self.path(&event.name)));
        let (record, content) = self.new_record(None);
        event.makes = Some(record.id);
        let written = file.write_all(&content);
        ended(written, close(file))
    }

    /// Rewrites or appends: what was read is what the handle is of, so that nothing comes between.
    fn through_a_handle(&mut self, event: &mut Event) -> Tried {
        let mut seen = or_nothing!(self.read(&event.name, File::options().write(true)));
        event.read = Some(seen.last);
        event.read_at = seen.at;
        if event.kind == Kind::Append && seen.records >= RECORDS_MAX {
            event.kind = Kind::Rewrite;
        }
        let (record, content) = self.new_record(Some(seen.last));
        let (from, end) = match event.kind {
            Kind::Append => (seen.bytes.len(), None),
            _ => (0, Some(content.len())),
        };
        or_nothing!(seen.file.seek(SeekFrom::Start(from as u64)));
        let Some((first, rest)) = content.split_at_checked(1) else {
            return Tried::Done;
        };
        // A handle whose file changed elsewhere says so at the first byte, and nothing has happened.
        or_nothing!(seen.file.write_all(first));
        event.makes = Some(record.id);
        let written = seen.file.write_all(rest).and_then(|()| match end {
            Some(end) => seen.file.set_len(end as u64),
            None => Ok(()),
        });
        ended(written, close(seen.file))
    }

    /// Truncates, saves or removes. In between somebody else's version may come; then the handle knows.
    fn by_name(&mut self, event: &mut Event) -> Tried {
        let mut seen = or_nothing!(self.read(&event.name, &mut File::options()));
        event.read = Some(seen.last);
        event.read_at = seen.at;
        let path = self.path(&event.name);
        let tried = match event.kind {
            Kind::Remove => match std::fs::remove_file(&path) {
                Ok(()) => Tried::Done,
                Err(error) => changed_by(error),
            },
            Kind::Save => {
                let (record, content) = self.new_record(event.read);
                let beside = self.path(&format!(".save-{}", record.id));
                or_nothing!(write_new(&beside, &content));
                match std::fs::rename(&beside, &path) {
                    Ok(()) => {
                        event.makes = Some(record.id);
                        Tried::Done
                    }
                    Err(error) => {
                        drop(std::fs::remove_file(&beside));
                        changed_by(error)
                    }
                }
            }
            _ => {
                let mut file = or_nothing!(File::options().write(true).truncate(true).open(&path));
                let (record, content) = self.new_record(event.read);
                event.makes = Some(record.id);
                // The handle shows the new bytes at once, whatever was there before.
                event.is_exact = false;
                let written = file.write_all(&content);
                return ended(written, close(file));
            }
        };
        event.is_exact = is_gone(&mut seen);
        tried
    }

    fn rename(&mut self, event: &mut Event) -> Tried {
        let Some(to) = event.to.clone() else {
            return Tried::Done;
        };
        let seen = or_nothing!(self.read(&event.name, &mut File::options()));
        event.read = Some(seen.last);
        let mut there = or_nothing!(self.read_any(&to));
        event.read_to = there.as_ref().map(|there| there.last);
        event.read_at = there.as_ref().map_or(seen.at, |there| there.at);
        let (from, target) = (self.path(&event.name), self.path(&to));
        let renamed = match event.kind {
            Kind::Move => {
                rustix::fs::renameat_with(CWD, &from, CWD, &target, RenameFlags::NOREPLACE)
                    .map_err(std::io::Error::from)
            }
            _ => std::fs::rename(&from, &target),
        };
        // Where nothing was read, something may have come: it is not known what.
        event.is_exact = there.as_mut().is_some_and(is_gone);
        match renamed {
            Ok(()) => Tried::Done,
            Err(error) => changed_by(error),
        }
    }
}

/// Errors of a name that is not what it was are told before anything is changed; of others nobody knows.
fn changed_by(error: std::io::Error) -> Tried {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EEXIST | libc::ESTALE) => Tried::Nothing(error),
        _ => Tried::Doubtful(error),
    }
}

fn ended(written: IoResult<()>, closed: IoResult<()>) -> Tried {
    match written.and(closed) {
        Ok(()) => Tried::Done,
        Err(error) => Tried::Doubtful(error),
    }
}

fn write_new(path: &Path, content: &[u8]) -> IoResult<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    close(file)
}

/// Whether what was read through the handle is surely what lost its name just now: the handle still shows it,
/// and its file has no name left. A file that had got another name before, as a conflict copy does, has one.
fn is_gone(seen: &mut Seen) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = Vec::with_capacity(seen.bytes.len());
    let file = &mut seen.file;
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    let is_nameless = file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
    read.is_ok() && bytes == seen.bytes && is_nameless
}
