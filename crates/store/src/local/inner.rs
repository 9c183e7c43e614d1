//! [`Inner`]: the open folder, its state folder, and what they are used with.

use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudmount_vfs::{Clock, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, open, openat, statat,
};
use rustix::io::Errno;

use super::folder::{FILE_MODE, FOLDER_MODE, failed, open_folder, walk};
use super::list::Parked;
use super::place::STATE;
use super::record::Home;
use super::stamp::{nanos, timestamp};
use super::{Durability, LocalSettings};
use crate::{Error, ErrorKind, Result};

/// A folder within the state folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The hidden tree of keys.
    Keys,
    /// Metadata, where they are no attributes.
    Meta,
    /// Multipart uploads in progress.
    Uploads,
    /// What is being written.
    Temp,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Meta => "meta",
            Self::Uploads => "uploads",
            Self::Temp => "tmp",
        }
    }
}

/// The open folder. All of its methods block.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) root: OwnedFd,
    pub(super) settings: LocalSettings,
    pub(super) home: Home,
    pub(super) clock: Arc<dyn Clock>,
    /// Listings that will probably go on.
    pub(super) parked: Mutex<Vec<Parked>>,
    /// Opened when first needed, and again if someone removed it.
    state: Mutex<Option<Arc<State>>>,
    /// Serialises what changes names, within this store; the lock file does so between processes.
    commit: Mutex<()>,
    /// The last time that a file was stamped with, in nanoseconds.
    stamped: Mutex<i128>,
    /// Counts names of temporary files.
    names: AtomicU64,
    /// Begins them: differs between stores that run at a time.
    instance: String,
}

/// The state folder and its lock file.
#[derive(Debug)]
struct State {
    folder: OwnedFd,
    lock: OwnedFd,
}

/// The right to change names. Taken for single steps, never while content is written.
pub(super) struct Commit<'a> {
    state: Arc<State>,
    _local: MutexGuard<'a, ()>,
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        // Unlocking fails only for a descriptor that is none.
        let _ = flock(&self.state.lock, FlockOperation::Unlock);
    }
}

impl Inner {
    pub(super) fn open(
        path: &Path,
        settings: LocalSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let what = || format!("open the folder {}", path.display());
        // The one link that is followed: the user named it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|errno| failed(what(), errno))?;
        let now = nanos(clock.wall());
        let instance = format!("{:x}-{now:x}", std::process::id());
        let mut inner = Self {
            root,
            settings,
            home: Home::Attribute,
            clock,
            parked: Mutex::default(),
            state: Mutex::default(),
            commit: Mutex::default(),
            stamped: Mutex::new(0),
            names: AtomicU64::new(0),
            instance,
        };
        match inner.state() {
            Ok(_) => {}
            // A folder that can only be read is a bucket that can only be read.
            Err(error) if error.kind() == ErrorKind::Forbidden => {}
            Err(error) => return Err(error),
        }
        inner.refuse_folded_names()?;
        inner.home = inner.find_home();
        Ok(inner)
    }

    /// Refuses a filesystem on which two keys that differ in case would be one file.
    fn refuse_folded_names(&self) -> Result<()> {
        let found = |name: &str| statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let upper = STATE.to_uppercase();
        match (found(STATE), found(&upper)) {
            (Some(lower), Some(upper)) if lower.st_ino == upper.st_ino => Err(Error::new(
                ErrorKind::Unsupported,
                "a local folder on a filesystem that does not tell upper from lower case",
            )),
            _ => Ok(()),
        }
    }

    /// The state folder, made if it is missing.
    fn state(&self) -> Result<Arc<State>> {
        if let Some(state) = self.state_if_there() {
            return Ok(state);
        }
        let what = || format!("make the folder {STATE}");
        match mkdirat(&self.root, STATE, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(what(), errno)),
        }
        let folder = open_folder(&self.root, STATE).map_err(|errno| failed(what(), errno))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&folder, "lock", flags, FILE_MODE);
        let lock = lock.map_err(|errno| failed("open the lock file", errno))?;
        let state = Arc::new(State { folder, lock });
        *self.state.lock() = Some(Arc::clone(&state));
        Ok(state)
    }

    fn state_if_there(&self) -> Option<Arc<State>> {
        let state = self.state.lock().clone()?;
        // A folder that was removed has no links left.
        let linked = fstat(&state.folder).is_ok_and(|stat| stat.st_nlink > 0);
        linked.then_some(state)
    }

    /// A part of the state folder, made if it is missing.
    pub(super) fn part(&self, part: Part) -> Result<OwnedFd> {
        let state = self.state()?;
        let what = || format!("open the folder {STATE}/{}", part.name());
        match open_folder(&state.folder, part.name()) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(|errno| failed(what(), errno)),
        }
        match mkdirat(&state.folder, part.name(), FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(what(), errno)),
        }
        open_folder(&state.folder, part.name()).map_err(|errno| failed(what(), errno))
    }

    /// A part of the state folder, if it is there.
    pub(super) fn part_if_there(&self, part: Part) -> Result<Option<OwnedFd>> {
        match self.state_if_there() {
            Some(state) => walk(&state.folder, &[part.name().to_owned()]),
            None => walk(&self.root, &[STATE.to_owned(), part.name().to_owned()]),
        }
    }

    /// The right to change names.
    pub(super) fn commit(&self) -> Result<Commit<'_>> {
        let local = self.commit.lock();
        let state = self.state()?;
        match flock(&state.lock, FlockOperation::LockExclusive) {
            // Without file locks, as on some network filesystems, only this store is serialised.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => {}
            Err(errno) => return Err(failed("lock the store", errno)),
        }
        Ok(Commit {
            state,
            _local: local,
        })
    }

    /// A time for a new file that no file of this store got before. Time stamps of the kernel are
    /// some milliseconds apart, and inode numbers are used again, so both together do not tell two
    /// quick rewrites apart.
    pub(super) fn new_stamp(&self) -> Timestamp {
        let now = nanos(self.clock.wall());
        let mut stamped = self.stamped.lock();
        *stamped = now.max(*stamped + 1);
        timestamp(*stamped)
    }

    /// A name that nothing in the state folder has.
    pub(super) fn new_name(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let mut name = self.instance.clone();
        // Writing to a string cannot fail.
        let _ = write!(name, "-{number:x}");
        name
    }

    /// Flushes a file or folder if the settings say so.
    pub(super) fn flush(&self, what: impl AsFd) -> Result<()> {
        match self.settings.durability {
            Durability::Process => Ok(()),
            Durability::Machine => {
                rustix::fs::fsync(what).map_err(|errno| failed("flush to the disk", errno))
            }
        }
    }

    /// Where the state folder's own descriptor is, for probing attributes.
    pub(super) fn state_folder(&self) -> Option<OwnedFd> {
        let state = self.state_if_there()?;
        state.folder.try_clone().ok()
    }

    /// The folder of the root, for readers that need a descriptor of their own.
    pub(super) fn shown_folder(&self, names: &[String]) -> Result<Option<OwnedFd>> {
        walk(&self.root, names)
    }

    /// A folder of the hidden tree, if it is there.
    pub(super) fn hidden_folder(&self, names: &[String]) -> Result<Option<OwnedFd>> {
        match self.part_if_there(Part::Keys)? {
            Some(keys) => walk(keys, names),
            None => Ok(None),
        }
    }
}
