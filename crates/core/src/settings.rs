//! Settings of the core: data, resolved by the assembly.

use std::time::Duration;

use cloudmount_inode::TableSettings;
use cloudmount_vfs::Permissions;

use crate::dialect::Dialect;
use crate::{DirectIo, Litter, TimesToLive};

/// How long a removed name is remembered: longer than any remote operation may take (10 minutes for
/// a copy), so that no late answer brings it back.
const GUARD: Duration = Duration::from_secs(15 * 60);

/// What `close` and `fsync` wait for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Durable {
    /// This machine: its staging disk.
    #[default]
    Local,
    /// The bucket.
    Remote,
}

/// What the machine's page cache keeps of files that are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum WriteCache {
    /// All of it: what was written is read again from memory, as long as there is some.
    Keep,
    /// Nothing of files that are written whole: a byte on its way is copied once less. Whoever reads them
    /// again gets them from the staging disk, as long as the stage keeps them.
    #[default]
    Bypass,
}

/// Which attributes are shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Attributes {
    /// All that the object says: each is asked for once, and again when it may have changed.
    #[default]
    Full,
    /// Where a listing tells size and date, only these, and the defaults for all else, until something that a
    /// listing cannot tell is needed: no listing and no stat asks for single objects of it.
    Listing,
}

/// What is made of the manifests of folders: objects in them that hold the attributes of their entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ManifestUse {
    /// Nothing. They are not shown all the same.
    #[default]
    Off,
    /// They are read where that saves questions.
    Read,
    /// They are written, too, unless the mount is read-only.
    Write,
}

/// Whether the mount may change the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// It may.
    #[default]
    ReadWrite,
    /// Every change is refused as `ReadOnly`.
    ReadOnly,
}

/// Whether the kernel may keep what it read through a mount.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PageCache {
    /// It may, until the file changes.
    #[default]
    Used,
    /// Every read comes here: to record what applications read.
    Bypassed,
}

/// How the core behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreSettings {
    /// Owner of what the metadata name no owner for.
    pub uid: u32,
    /// Group of what the metadata name no group for.
    pub gid: u32,
    /// Permissions of files that the metadata name none for.
    pub file_permissions: Permissions,
    /// Permissions of folders that the metadata name none for.
    pub folder_permissions: Permissions,
    /// How long what the store said is believed.
    pub ttl: TimesToLive,
    /// Which attributes are shown.
    pub attributes: Attributes,
    /// What is made of the manifests of folders.
    pub manifest: ManifestUse,
    /// Entries of a folder that are learnt or written before its manifest is, at least: 16, because a write costs as
    /// much as twelve questions by Amazon's list prices.
    pub manifest_after: u32,
    /// How attributes are written to objects that say them in no way yet.
    pub dialect: Dialect,
    /// Whether the bucket may be changed.
    pub mode: Mode,
    /// Whether the kernel may keep what it read.
    pub page_cache: PageCache,
    /// Which files are read past the page cache all the same.
    pub direct_io: DirectIo,
    /// Whether adapters are told of files on this machine that hold all of what a handle reads. Of no effect unless
    /// [`mode`](Self::mode) is `ReadOnly`: who writes a file here is to be seen by all who read it.
    pub local_files: bool,
    /// What becomes of what platforms leave behind.
    pub litter: Litter,
    /// What `close` waits for.
    pub close: Durable,
    /// What `fsync` waits for.
    pub fsync: Durable,
    /// What the page cache keeps of files that are written.
    pub write_cache: WriteCache,
    /// How long a `close` or `fsync` that waits for the bucket waits at most: 30 minutes, enough for
    /// 10 GB at 50 Mbit/s; no call hangs for ever.
    pub remote_wait: Duration,
    /// Requests for attributes that one listing makes at once, and those that are made ahead: 32 hide 20 ms of round trip behind
    /// 1,600 entries per second.
    pub heads_max: usize,
    /// Files of a folder that somebody goes through, asked for ahead of him at most; 0 asks for none. 64 are two
    /// rounds of as many requests as are made at once.
    pub files_ahead: usize,
    /// Folders of one folder that are listed in turn before those behind them are listed ahead: 3, so that
    /// who looks around pays for nothing else.
    pub list_ahead_after: u32,
    /// Inodes kept that nobody looks at, with their attributes: 100,000, some 50 MiB.
    pub idle_inodes_max: usize,
    /// The inode table's own settings.
    pub table: TableSettings,
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            uid: 0,
            gid: 0,
            file_permissions: Permissions::from_mode(0o644),
            folder_permissions: Permissions::from_mode(0o755),
            ttl: TimesToLive::default(),
            attributes: Attributes::default(),
            manifest: ManifestUse::default(),
            manifest_after: 16,
            dialect: Dialect::default(),
            mode: Mode::default(),
            page_cache: PageCache::default(),
            direct_io: DirectIo::default(),
            local_files: false,
            litter: Litter::default(),
            close: Durable::default(),
            fsync: Durable::default(),
            write_cache: WriteCache::default(),
            remote_wait: Duration::from_secs(30 * 60),
            heads_max: 32,
            files_ahead: 64,
            list_ahead_after: 3,
            idle_inodes_max: 100_000,
            table: TableSettings {
                guard: GUARD,
                cooldown: Duration::ZERO,
            },
        }
    }
}
