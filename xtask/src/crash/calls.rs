//! System calls of the load, each with its time.
//!
//! Law: no call is made by a path outside the mount: paths go through a descriptor of its root, so that once
//! the mount is gone they fail, and do not reach the folder below it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::now;

/// The slowest of each kind of call.
#[derive(Debug, Default)]
pub(super) struct Times(Mutex<BTreeMap<&'static str, Duration>>);

impl Times {
    fn note(&self, call: &'static str, took: Duration) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = times.entry(call).or_default();
        *slowest = (*slowest).max(took);
    }

    /// The slowest of each, the slowest first.
    pub(super) fn slowest(&self) -> Vec<(&'static str, Duration)> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = times.iter().map(|(call, took)| (*call, *took)).collect();
        all.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        all
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (call, took) in self.slowest() {
            write!(f, "{call} {:.2} s  ", took.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The calls of one mount.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    root: File,
    times: &'a Times,
}

impl<'a> Calls<'a> {
    /// Those of the mount at `folder`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn new(folder: &Path, times: &'a Times) -> io::Result<Self> {
        let root = File::open(folder)?;
        Ok(Self { root, times })
    }

    fn at(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{path}", self.root.as_raw_fd()))
    }

    fn timed<T>(&self, call: &'static str, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let start = now();
        let made = make();
        self.times.note(call, start.elapsed());
        made
    }

    pub(super) fn open(&self, path: &str, how: &OpenOptions) -> io::Result<File> {
        self.timed("open", || how.open(self.at(path)))
    }

    pub(super) fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.timed("write", || file.write_all_at(bytes, at))
    }

    /// At the end, wherever it is; the file is open with `O_APPEND`.
    pub(super) fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.timed("append", || io::Write::write_all(&mut &*file, bytes))
    }

    pub(super) fn cut(&self, file: &File, size: u64) -> io::Result<()> {
        self.timed("truncate", || file.set_len(size))
    }

    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.timed("fsync", || file.sync_all())
    }

    /// Closes, and tells what `close` said, which dropping a file does not.
    #[expect(
        unsafe_code,
        reason = "close(2) by number is the only way to its answer"
    )]
    pub(super) fn close(&self, file: File) -> io::Result<()> {
        self.timed("close", || {
            // SAFETY: the number was given up by its only owner just now, and is not used again.
            unsafe { rustix::io::try_close(file.into_raw_fd()) }.map_err(io::Error::from)
        })
    }

    /// The bytes and the permissions of a file.
    pub(super) fn read(&self, path: &str) -> io::Result<(Vec<u8>, u32)> {
        self.timed("read", || {
            let mut file = File::open(self.at(path))?;
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut file, &mut bytes)?;
            let mode = file.metadata()?.permissions().mode() & 0o777;
            Ok((bytes, mode))
        })
    }

    pub(super) fn set_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        let permissions = Permissions::from_mode(mode);
        self.timed("chmod", || {
            std::fs::set_permissions(self.at(path), permissions)
        })
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.timed("rename", || std::fs::rename(self.at(from), self.at(to)))
    }

    pub(super) fn unlink(&self, path: &str) -> io::Result<()> {
        self.timed("unlink", || std::fs::remove_file(self.at(path)))
    }

    pub(super) fn make_folder(&self, path: &str) -> io::Result<()> {
        self.timed("mkdir", || std::fs::create_dir(self.at(path)))
    }

    pub(super) fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.timed("rmdir", || std::fs::remove_dir(self.at(path)))
    }

    /// All names below `folder`, and its own; those of folders end in `/`.
    pub(super) fn names(&self, folder: &str) -> io::Result<std::collections::BTreeSet<String>> {
        let mut names = std::collections::BTreeSet::new();
        let mut left = vec![folder.to_owned()];
        while let Some(folder) = left.pop() {
            let entries: Vec<_> = self.timed("list", || {
                let entries = std::fs::read_dir(self.at(&folder))?;
                entries
                    .map(|entry| {
                        let entry = entry?;
                        Ok((entry.file_name(), entry.file_type()?))
                    })
                    .collect::<io::Result<_>>()
            })?;
            for (name, kind) in entries {
                let path = format!("{folder}/{}", name.to_string_lossy());
                if kind.is_dir() {
                    left.push(path);
                } else {
                    names.insert(path);
                }
            }
            names.insert(format!("{folder}/"));
        }
        Ok(names)
    }
}
