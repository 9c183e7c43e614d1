//! What was written but never closed before a crash, what a person gave up, and anything else that
//! cannot be uploaded as it is: moved aside, named, never deleted.
//!
//! Beside each local file stands a description: the key, the ranges that are in the file and the
//! object that the rest comes from, so that a person can put it together.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cloudmount_vfs::Result;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::disk::{disk_error, sync_folder};
use crate::failpoint;
use crate::journal::record::{FileRecord, range_set};
use crate::platform;

/// Where they are kept, below the staging folder.
pub(crate) const FOLDER: &str = "set-aside";

/// What the names of descriptions end in.
const DESCRIPTION: &str = "json";

/// Files that are flushed one by one, at some milliseconds each. For more, it is faster to flush all
/// that the disk has to write.
const FLUSHED_ONE_BY_ONE: usize = 16;

/// Why a file was set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It was being written when the process ended, and never closed or flushed.
    NeverClosed,
    /// Bytes that had been written did not get to the disk before the machine stopped.
    Incomplete,
    /// The journal does not say which key it was for.
    Unknown,
    /// A person gave its upload up.
    Dropped,
    /// It was changed in part, and someone else replaced or removed the object that has the rest.
    BaseLost,
}

/// A file that was set aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetAside {
    /// The key that it was for.
    pub key: Option<String>,
    /// Why it is here.
    pub reason: Reason,
    /// Where its bytes are; `None`: there are none left.
    pub path: Option<PathBuf>,
    /// Its size in bytes.
    pub size: u64,
    /// Ranges (start and end) that the file has; the rest of it is in the base, or is zero. Empty
    /// if it has all.
    pub ranges: Vec<(u64, u64)>,
    /// Key and version of the object that the rest comes from.
    pub base: Option<(String, String)>,
}

/// Moves the local file `name` aside. May be repeated after a crash half-way.
pub(crate) fn set_aside(
    dir: &Path,
    name: &str,
    key: Option<&str>,
    reason: Reason,
    file: Option<&FileRecord>,
) -> Result<SetAside> {
    let folder = dir.join(FOLDER);
    let (from, to) = (dir.join("data").join(name), folder.join(name));
    let failed = |error| disk_error(error, || format!("set aside {}", from.display()));
    let length = (std::fs::metadata(&from).or_else(|_| std::fs::metadata(&to)))
        .map(|data| data.len())
        .ok();
    let size = length.unwrap_or_else(|| file.map_or(0, |file| file.size));
    let about = SetAside {
        key: key.map(str::to_owned),
        reason,
        path: length.map(|_| to.clone()),
        size,
        ranges: file.map(|file| ranges_of(file, size)).unwrap_or_default(),
        base: file.and_then(base_of),
    };
    write_description(&to, &about)?;
    failpoint::pass(failpoint::ASIDE_DESCRIBED);
    match std::fs::rename(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    failpoint::pass(failpoint::ASIDE_MOVED);
    sync_folder(&folder).map_err(failed)?;
    Ok(about)
}

/// What is given up, as it is set aside. Gone again if [`finish`](Self::finish) is not reached.
#[derive(Debug)]
pub(crate) struct Keeping {
    dir: PathBuf,
    reason: Reason,
    kept: Vec<Kept>,
}

/// Something that was set aside and may be taken back.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) about: SetAside,
    path: PathBuf,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        for kept in self.kept.drain(..) {
            kept.undo();
        }
    }
}

impl Kept {
    /// Takes it back: what it was for goes on.
    pub(crate) fn undo(self) {
        for path in [self.path.with_extension(DESCRIPTION), self.path] {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!(%error, path = %path.display(), "set aside for nothing");
            }
        }
    }
}

impl Keeping {
    pub(crate) fn new(dir: &Path, reason: Reason) -> Self {
        Self {
            dir: dir.to_owned(),
            reason,
            kept: Vec::new(),
        }
    }

    /// The local file `name`. It stays where it is, for those who have it open, under a second name
    /// here.
    pub(crate) fn file(&mut self, name: &str, key: &str, file: &FileRecord) -> Result<()> {
        let (from, to) = (
            self.dir.join("data").join(name),
            self.dir.join(FOLDER).join(name),
        );
        let failed = |error| disk_error(error, || format!("set aside {}", from.display()));
        match std::fs::hard_link(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // Left by an end between the two steps of an earlier try.
                std::fs::remove_file(&to).map_err(failed)?;
                std::fs::hard_link(&from, &to).map_err(failed)?;
            }
            // The disk has no second names.
            Err(_) => std::fs::copy(&from, &to).map(drop).map_err(failed)?,
        }
        self.describe(to, key, Some(file))
    }

    /// A copy of a small local file: what is at these offsets, and holes between.
    pub(crate) fn pieces(
        &mut self,
        name: &str,
        key: &str,
        file: &FileRecord,
        pieces: &[(u64, Bytes)],
    ) -> Result<()> {
        let path = self.dir.join(FOLDER).join(name);
        let failed = |error| disk_error(error, || format!("set aside {}", path.display()));
        match std::fs::remove_file(&path) {
            // Left by an end between the two steps of an earlier try. It may be a second name of the
            // local file, and must not be written.
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let copy = std::fs::File::create_new(&path).map_err(failed)?;
        copy.set_len(file.size).map_err(failed)?;
        for (offset, bytes) in pieces {
            copy.write_all_at(bytes, *offset).map_err(failed)?;
        }
        self.describe(path, key, Some(file))
    }

    /// Bytes that no local file has: the target of a symlink.
    pub(crate) fn bytes(&mut self, key: &str, bytes: &[u8]) -> Result<()> {
        let folder = self.dir.join(FOLDER);
        let failed = |error| disk_error(error, || format!("set aside {key}"));
        for number in 0_u64.. {
            let path = folder.join(format!("inline-{number}"));
            match std::fs::File::create_new(&path) {
                Ok(mut file) => {
                    file.write_all(bytes).map_err(failed)?;
                    return self.describe(path, key, None);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn describe(&mut self, path: PathBuf, key: &str, file: Option<&FileRecord>) -> Result<()> {
        let failed = |error| disk_error(error, || format!("set aside {}", path.display()));
        let about = SetAside {
            key: Some(key.to_owned()),
            reason: self.reason,
            path: Some(path.clone()),
            size: std::fs::metadata(&path).map_err(failed)?.len(),
            ranges: file.map(|file| file.present.clone()).unwrap_or_default(),
            base: file.and_then(base_of),
        };
        write_description(&path, &about)?;
        self.kept.push(Kept { about, path });
        Ok(())
    }

    /// All of it survives a power cut from here on.
    pub(crate) fn finish(mut self) -> Result<Vec<Kept>> {
        let folder = self.dir.join(FOLDER);
        self.flush(&folder)
            .map_err(|error| disk_error(error, || format!("flush {}", folder.display())))?;
        Ok(std::mem::take(&mut self.kept))
    }

    fn flush(&self, folder: &Path) -> std::io::Result<()> {
        if self.kept.len() > FLUSHED_ONE_BY_ONE {
            match platform::sync_filesystem(&std::fs::File::open(folder)?) {
                Err(Errno::NOSYS) => {}
                done => return Ok(done?),
            }
        }
        for kept in &self.kept {
            std::fs::File::open(&kept.path)?.sync_data()?;
            std::fs::File::open(kept.path.with_extension(DESCRIPTION))?.sync_data()?;
        }
        sync_folder(folder)
    }
}

/// Takes back what was set aside for a file that is wanted after all: the process ended before the
/// journal said that it was given up.
pub(crate) fn take_back(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
    let folder = dir.join(FOLDER);
    let failed = |error| disk_error(error, || format!("list {}", folder.display()));
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if name.is_some_and(&is_wanted) {
            std::fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// What the local file has, if that is not all. Of what was only in an upload in parts, which is given
/// up with it, nothing is left.
fn ranges_of(file: &FileRecord, size: u64) -> Vec<(u64, u64)> {
    let Some(away) = &file.away else {
        return file.present.clone();
    };
    let mut here = range_set(&file.present);
    here.insert(file.base_limit..size);
    for part in away.ranges() {
        here.remove(part);
    }
    here.iter().map(|range| (range.start, range.end)).collect()
}

fn base_of(file: &FileRecord) -> Option<(String, String)> {
    let base = file.base.as_ref()?;
    Some((base.key.clone(), base.version.clone()))
}

/// Writes what is known of `path` beside it.
fn write_description(path: &Path, about: &SetAside) -> Result<()> {
    let failed = |error| disk_error(error, || format!("describe {}", path.display()));
    let text =
        serde_json::to_vec_pretty(about).map_err(|error| failed(std::io::Error::other(error)))?;
    std::fs::write(path.with_extension(DESCRIPTION), text).map_err(failed)
}

/// Everything that is set aside, by name.
pub(crate) fn list(dir: &Path) -> Result<Vec<SetAside>> {
    let folder = dir.join(FOLDER);
    let failed = |error| disk_error(error, || format!("list {}", folder.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.path());
    }
    names.sort();
    let described = names
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == DESCRIPTION));
    Ok(described
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .collect())
}
