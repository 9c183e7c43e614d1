//! [`Model`]: a filesystem that is obviously right, to compare others with.
//!
//! Everything is in memory, in maps, under one mutex; each operation is one step. It keeps every
//! law of [`Vfs`](cloudmount_vfs::Vfs): lookup counts, stable cookies, files without a name, appending, holes,
//! `user.` attributes, set-group-id directories, times of the directory above. Hard links and
//! device nodes do not exist, as in a bucket.
//!
//! Its content is also a bucket ([`Model::bucket`]): what a foreign client puts there changes the
//! files, and folders exist by their marker or by what is below them. Of the keys that no path can
//! say it knows nothing: it refuses them.
//!
//! To show that a check can fail, the model can be told to make one mistake: [`Flaw`].
//!
//! *Invariant:* it does no I/O, has no thread, and knows the time from its [`Clock`] only.

mod attr;
mod bucket;
mod content;
mod dir;
mod files;
mod flaw;
mod foreign;
mod names;
mod rename;
mod tree;
mod vfs;
mod world;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cloudmount_store::{Key, Metadata, Store};
use cloudmount_vfs::{
    Changes, Clock, Context, Cookie, Error, ErrorKind, InodeId, Permissions, Result, Timestamp,
    change_channel,
};
use parking_lot::{Mutex, MutexGuard};

pub use flaw::Flaw;
pub use world::ModelWorld;

use bucket::Bucket;
use tree::Tree;

/// Changes that are kept for the kernel before they become "everything". Small, so that tests of
/// thousands of changes meet the overflow too.
const CHANGES_MAX: usize = 1024;

/// How the model behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long names and attributes may be kept by the caller.
    pub ttl: Duration,
    /// Where a filesystem over a bucket differs from one on a disk.
    pub limits: Limits,
    /// Whether operations are ready at once.
    pub pace: Pace,
    /// Who owns the root, and files that a foreign client put.
    pub owner: Context,
    /// Permissions of files that a foreign client put.
    pub file_permissions: Permissions,
    /// Permissions of the root, and of folders that a foreign client made.
    pub directory_permissions: Permissions,
    /// Of which entries `readdirplus` does not tell the attributes, where the sink takes that.
    pub untold: Untold,
    /// A mistake to make.
    pub flaw: Option<Flaw>,
}

/// Some entries of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Untold {
    /// None.
    None,
    /// Every other one, so that both kinds are met.
    EveryOther,
    /// All.
    All,
}

impl Untold {
    const fn is_it(self, cookie: Cookie) -> bool {
        match self {
            Self::None => false,
            Self::EveryOther => cookie.0 % 2 == 1,
            Self::All => true,
        }
    }
}

/// Where a filesystem over a bucket differs from one on a disk.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest key, prefix included, in bytes; beyond it, `NameTooLong`.
    pub key_bytes_max: usize,
    /// Largest file in bytes; beyond it, `FileTooLarge`.
    pub file_bytes_max: u64,
    /// Names and values of all extended attributes of one file, in bytes; beyond it, `NoSpace`.
    pub xattr_bytes_max: usize,
    /// Whether two names can change places.
    pub exchange: Exchange,
}

/// Whether two names can change places in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exchange {
    /// `InvalidArgument`, as Linux answers for filesystems that cannot.
    Refused,
    /// They do.
    Offered,
}

/// When operations become ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// At the first poll.
    AtOnce,
    /// At the second poll; the first does nothing.
    Yielding,
}

impl Default for Limits {
    /// Those of S3: keys of 1024 bytes, 5 TiB, 2 KiB of user metadata.
    fn default() -> Self {
        Self {
            key_bytes_max: Key::MAX_BYTES,
            file_bytes_max: 5 << 40,
            xattr_bytes_max: 2 << 10,
            exchange: Exchange::Refused,
        }
    }
}

impl Default for Settings {
    /// A TTL of one second, the limits of S3, owned by root.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(1),
            limits: Limits::default(),
            pace: Pace::AtOnce,
            owner: Context::ROOT,
            file_permissions: Permissions::from_mode(0o644),
            directory_permissions: Permissions::from_mode(0o755),
            untold: Untold::EveryOther,
            flaw: None,
        }
    }
}

/// The reference filesystem; see the [module](self).
#[derive(Clone, Debug)]
pub struct Model {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    tree: Mutex<Tree>,
    changes: Mutex<Option<Changes>>,
    pace: Pace,
    applies_early: bool,
}

impl Model {
    /// An empty filesystem.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let (sender, changes) = change_channel(CHANGES_MAX);
        let applies_early = settings.flaw == Some(Flaw::AppliesBeforeReady);
        let pace = settings.pace;
        let tree = Tree::new(settings, sender, clock.wall());
        let (tree, changes) = (Mutex::new(tree), Mutex::new(Some(changes)));
        Self {
            shared: Arc::new(Shared {
                clock,
                tree,
                changes,
                pace,
                applies_early,
            }),
        }
    }

    /// The same files in a new filesystem, as after unmounting and mounting again: no handle is
    /// open, no lookup counted, what had no name is gone, and the numbers are others.
    #[must_use]
    pub fn remounted(&self) -> Self {
        let new = Self::new(Arc::clone(&self.shared.clock), self.tree().settings.clone());
        new.tree().copy_from(&self.tree());
        new
    }

    /// The files as objects: each under the key that its path says, folders under `path/`.
    ///
    /// Multipart uploads and copies are not offered: it is there for plain clients of tests.
    #[must_use]
    pub fn bucket(&self) -> Arc<dyn Store> {
        Arc::new(Bucket::new(self.clone()))
    }

    /// Puts an object as a foreign client does.
    ///
    /// # Errors
    /// `InvalidArgument`: a part of the key is no name, or is a file where a folder must be.
    pub fn put_outside(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let put = self.tree().foreign_put(key, bytes, Metadata::default());
        let failed = |why| Error::new(ErrorKind::InvalidArgument, format!("{key:?}: {why:?}"));
        put.map(drop).map_err(failed)
    }

    /// How many lookups were counted and not yet forgotten.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.tree().nodes.values().map(|node| node.lookups).sum()
    }

    /// How many lookups were forgotten that had never been counted: the caller's mistakes.
    #[must_use]
    pub fn forgotten_in_excess(&self) -> u64 {
        self.tree().forgotten_in_excess
    }

    /// How many files and directories are open.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        let tree = self.tree();
        tree.files.len() + tree.dirs.len()
    }

    /// How many inodes there are, with the root and with those that have lost their name.
    #[must_use]
    pub fn inodes(&self) -> usize {
        self.tree().nodes.len()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        let mut tree = self.shared.tree.lock();
        tree.now = self.now();
        tree
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.wall()
    }

    fn take_changes(&self) -> Option<Changes> {
        self.shared.changes.lock().take()
    }

    fn at_once<T>(&self, step: impl FnOnce(&mut Tree) -> Result<T>) -> Result<T> {
        let mut tree = self.tree();
        let vague = tree.has(Flaw::ErrorsAreIo);
        step(&mut tree).map_err(|error| if vague { ErrorKind::Io.into() } else { error })
    }

    async fn step<T>(&self, step: impl FnOnce(&mut Tree) -> Result<T>) -> Result<T> {
        if self.shared.applies_early {
            let result = self.at_once(step);
            pause().await;
            return result;
        }
        if self.shared.pace == Pace::Yielding {
            pause().await;
        }
        self.at_once(step)
    }
}

/// Is pending once.
async fn pause() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The root's number, for the parts of the model.
const ROOT: InodeId = InodeId::ROOT;
