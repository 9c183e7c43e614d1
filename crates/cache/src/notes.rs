//! [`Notes`]: small things that are worth remembering over a restart, by name, in a folder with a limit.
//!
//! ```text
//! FOLDER/ledger                the lock, and the count of bytes
//! FOLDER/BUCKET/<sha-256>.note "CMNOTES1", the name, the body, a checksum of it all
//! ```
//!
//! # Laws
//!
//! - A note is given as it was written under that name, or not at all: what is damaged, cut off, or of others is
//!   found out, and removed.
//! - **The limit is exact**, however many processes write, with the same lock and count as
//!   [`disk`](crate::disk) has: files count as blocks of 4 KiB. Who needs room removes what was wanted least
//!   lately. A note takes no more than a part of the limit.
//! - A note is replaced as a whole. Who reads needs no lock. Of two who write one, the later one counts.
//! - Nothing is synced: what a crash of the machine loses was worth a few requests.
//! - Only their owner may read notes: they hold what is known of a bucket.
//!
//! All calls block on the disk.

mod care;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use sha2::Digest as _;
use xxhash_rust::xxh3::xxh3_128;

use crate::disk::{digest_of, hex, make_folder};
use crate::ledger::Ledger;

pub use care::{BucketNotes, NotesCheck, check_notes, clear_notes, notes_info};

const MAGIC: [u8; 8] = *b"CMNOTES1";

/// The checksum at the end.
const SUM: usize = 16;

/// What the names of notes end with, and those of what is being written.
const NOTE: &str = "note";
const DRAFT: &str = "draft";

/// The smallest piece of disk.
const PAGE_BYTES: u64 = 4096;

/// The part of the limit that one note may take, so that none pushes out all others.
const NOTE_PART: u64 = 4;

/// The part of the limit that is freed at a time, so that not every note has the folder gone through.
const STEP_PART: u64 = 8;

/// The longest name: one of 1,024 bytes, the most that S3 allows for a key, with room for other stores.
const NAME_BYTES_MAX: usize = 4096;

/// The smallest limit: below, a note would have no room.
const LIMIT_BYTES_MIN: u64 = 64 << 10;

/// What [`Notes`] are made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotesSettings {
    /// The folder. Several buckets and several processes may share it; a [`DiskCache`](crate::disk::DiskCache) has
    /// another one.
    pub folder: PathBuf,
    /// What tells this bucket from every other.
    pub bucket: String,
    /// The name of the bucket's folder in it: one component, for people.
    pub bucket_folder: String,
    /// Bytes of disk for all in the folder, at least 64 KiB.
    pub limit_bytes: u64,
}

/// Notes of one bucket. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct Notes(Arc<NotesSettings>);

/// What was found under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// Nothing.
    Absent,
    /// Something that no [`Notes`] wrote so. It is removed.
    Damaged,
    /// The body.
    There(Vec<u8>),
}

/// A file of a note, to be counted or removed.
struct Found {
    path: PathBuf,
    used: SystemTime,
    disk_bytes: u64,
}

impl Notes {
    /// Notes in that folder, which is made with the first one.
    #[must_use]
    pub fn new(settings: NotesSettings) -> Self {
        Self(Arc::new(NotesSettings {
            limit_bytes: settings.limit_bytes.max(LIMIT_BYTES_MIN),
            ..settings
        }))
    }

    /// The longest body that is kept.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        let room = self.0.limit_bytes / NOTE_PART;
        usize::try_from(room).unwrap_or(usize::MAX) - self.frame_bytes() - NAME_BYTES_MAX
    }

    /// What was written under `name` last.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self, name: &str) -> io::Result<Note> {
        let path = self.path(name, NOTE);
        let Some(file) = open(&path)? else {
            return Ok(Note::Absent);
        };
        match self.parse(&read_whole(&file, self.0.limit_bytes)?, name) {
            Some(body) => {
                // It is of use: others go first. Where that cannot be said, it may go as well.
                rustix::fs::futimens(&file, &NOW).ok();
                Ok(Note::There(body))
            }
            None => {
                remove(&path)?;
                Ok(Note::Damaged)
            }
        }
    }

    /// Puts `body` under `name`, in place of what was there. One that is too long is not kept.
    ///
    /// # Errors
    /// Those of the disk: then what was there may be gone.
    pub fn write(&self, name: &str, body: &[u8]) -> io::Result<()> {
        let limit = self.0.limit_bytes;
        let bytes = self.frame(name, body);
        let need = pages(bytes.len() as u64);
        let path = self.path(name, NOTE);
        let ledger = Ledger::lock(&self.0.folder)?;
        if name.len() > NAME_BYTES_MAX || body.len() > self.body_bytes_max() {
            // What is there is not true any more.
            return remove(&path);
        }
        let mut used = match ledger.count()? {
            Some(count) => count,
            None => count(&self.0.folder)?,
        };
        if used + need > limit {
            used = make_room(&self.0.folder, limit - need.max(limit / STEP_PART))?;
        }
        let before = disk_bytes(&path)?;
        ledger.note(used + need)?;
        self.put(name, &bytes, &path)?;
        ledger.note(used.saturating_sub(before) + need)
    }

    fn put(&self, name: &str, bytes: &[u8], path: &Path) -> io::Result<()> {
        make_folder(&self.folder())?;
        let draft = self.path(name, DRAFT);
        let written = create(&draft).and_then(|mut file| file.write_all(bytes));
        let written = written.and_then(|()| std::fs::rename(&draft, path));
        if written.is_err() {
            remove(&draft).ok();
        }
        written
    }

    fn folder(&self) -> PathBuf {
        self.0.folder.join(&self.0.bucket_folder)
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        let hex = hex(&digest_of(&[&self.0.bucket, name]).finalize());
        self.folder().join(format!("{hex}.{extension}"))
    }

    /// What there is besides name and body.
    fn frame_bytes(&self) -> usize {
        MAGIC.len() + 4 + 4 + self.0.bucket.len() + SUM
    }

    fn frame(&self, name: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.frame_bytes() + name.len() + body.len());
        bytes.extend(self.head(name));
        bytes.extend(body);
        let sum = xxh3_128(&bytes).to_le_bytes();
        bytes.extend(sum);
        bytes
    }

    fn head(&self, name: &str) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        for part in [&*self.0.bucket, name] {
            // Longer ones are not kept.
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            head.extend(len.to_le_bytes());
            head.extend(part.as_bytes());
        }
        head
    }

    fn parse(&self, bytes: &[u8], name: &str) -> Option<Vec<u8>> {
        let body = body_of(bytes)?;
        body.strip_prefix(&*self.head(name)).map(<[u8]>::to_vec)
    }
}

const NOW: Timestamps = Timestamps {
    last_access: Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    },
    last_modification: Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    },
};

/// What comes before the checksum, if that is right.
fn body_of(bytes: &[u8]) -> Option<&[u8]> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    let is_right = body.starts_with(&MAGIC) && sum == xxh3_128(body).to_le_bytes();
    is_right.then_some(body)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

/// All of it, up to `max` bytes: longer ones are none of ours.
fn read_whole(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

const fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_BYTES)
}

fn disk_bytes(path: &Path) -> io::Result<u64> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(pages(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Visits each file of ours below `root`, with the name of its folder.
fn each(root: &Path, mut visit: impl FnMut(&str, Found) -> io::Result<()>) -> io::Result<()> {
    for bucket in entries(root)? {
        let bucket = bucket?;
        if !bucket.file_type()?.is_dir() {
            continue;
        }
        let name = bucket.file_name();
        let name = name.to_string_lossy();
        for file in entries(&bucket.path())? {
            let path = file?.path();
            if !is_ours(&path) {
                continue;
            }
            match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => {
                    let used = found.modified()?;
                    let disk_bytes = pages(found.len());
                    visit(
                        &name,
                        Found {
                            path,
                            used,
                            disk_bytes,
                        },
                    )?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    matches!(extension, Some(NOTE | DRAFT))
        && stem.is_some_and(|stem| stem.len() == 64 && stem.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<std::fs::DirEntry>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

/// Bytes of disk that all below `root` take. Only under the lock.
fn count(root: &Path) -> io::Result<u64> {
    let mut used = 0;
    each(root, |_, found| {
        used += found.disk_bytes;
        Ok(())
    })?;
    Ok(used)
}

/// Removes what was wanted least lately, until no more than `target` bytes are left; gives how many are. Only
/// under the lock.
fn make_room(root: &Path, target: u64) -> io::Result<u64> {
    let mut all = Vec::new();
    each(root, |_, found| {
        all.push(found);
        Ok(())
    })?;
    all.sort_by_key(|found| found.used);
    let mut used = all.iter().map(|found| found.disk_bytes).sum();
    for found in all {
        if used <= target {
            break;
        }
        remove(&found.path)?;
        used -= found.disk_bytes;
    }
    Ok(used)
}
