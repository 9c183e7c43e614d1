//! Attributes of files and of the filesystem, in types of our own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{FileHandle, InodeId};

/// What an inode is. Device nodes, fifos, sockets and hard links have no form in an object store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NodeKind {
    /// A regular file: one object.
    File,
    /// A folder: a marker object, or any key below it.
    Directory,
    /// A symbolic link: an object whose body is the target.
    Symlink,
}

/// The twelve permission bits of a mode (`0o7777`): set-uid, set-gid, sticky and rwx three times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Permissions(u16);

impl Permissions {
    /// Keeps the low twelve bits of `mode` and drops the rest (the file type).
    #[must_use]
    pub const fn from_mode(mode: u32) -> Self {
        Self((mode & 0o7777) as u16)
    }

    /// The bits, at most `0o7777`.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `bits` are set.
    #[must_use]
    pub const fn contains(self, bits: u16) -> bool {
        self.0 & bits == bits
    }
}

/// A point in time as POSIX files have it: seconds since 1970 (may be negative) and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

impl Timestamp {
    /// 1970-01-01 00:00:00 UTC.
    pub const EPOCH: Self = Self { secs: 0, nanos: 0 };

    /// `secs` since 1970 plus `nanos`; nanoseconds above 999,999,999 are cut to that.
    #[must_use]
    pub const fn new(secs: i64, nanos: u32) -> Self {
        let nanos = if nanos > 999_999_999 {
            999_999_999
        } else {
            nanos
        };
        Self { secs, nanos }
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds after [`Self::secs`], below 1,000,000,000.
    #[must_use]
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let nanos = |t: Self| i128::from(t.secs) * 1_000_000_000 + i128::from(t.nanos);
        u64::try_from(nanos(self) - nanos(earlier)).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::new(after.as_secs().cast_signed(), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                match before.subsec_nanos() {
                    0 => Self::new(-before.as_secs().cast_signed(), 0),
                    nanos => Self::new(-before.as_secs().cast_signed() - 1, 1_000_000_000 - nanos),
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let nanos = Duration::from_nanos(u64::from(time.nanos));
        let secs = Duration::from_secs(time.secs.unsigned_abs());
        let whole = if time.secs >= 0 {
            UNIX_EPOCH.checked_add(secs)
        } else {
            UNIX_EPOCH.checked_sub(secs)
        };
        whole
            .and_then(|t| t.checked_add(nanos))
            .unwrap_or(UNIX_EPOCH)
    }
}

/// The attributes of one inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Its number.
    pub ino: InodeId,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of content; for a symlink, of its target.
    pub size: u64,
    /// Permission bits.
    pub permissions: Permissions,
    /// Names that lead to it: 0 once unlinked, 2 for a directory.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of content or attributes.
    pub ctime: Timestamp,
    /// Which content this is the size of.
    pub content: ContentNumber,
}

/// Moves up whenever somebody outside is found to have replaced the content of an inode; 0 until
/// then. Changes made through the filesystem do not move it.
///
/// An adapter whose client keeps pages and sizes needs it: those of one number say nothing of the
/// content of another one, and a handle reads the content of the number that was told when it was
/// opened, or fails with `Stale`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ContentNumber(pub u64);

impl Attr {
    /// The size in blocks of 512 bytes, as `stat` reports it.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.size.div_ceil(512)
    }
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// The filesystem's own current time (`UTIME_NOW`).
    Now,
    /// That time.
    At(Timestamp),
}

/// What `setattr` is to change; `None` leaves a field as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// New permission bits.
    pub permissions: Option<Permissions>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size in bytes: cuts, or extends with zeros.
    pub size: Option<u64>,
    /// New time of last access.
    pub atime: Option<SetTime>,
    /// New time of last change of content.
    pub mtime: Option<SetTime>,
    /// The open file through which the change is asked (`ftruncate`), if any.
    pub handle: Option<FileHandle>,
}

/// What `statfs` tells. An object store has no real limit; the numbers are large and steady.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatFs {
    /// Bytes in one block, for the three counts below.
    pub block_bytes: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks free.
    pub blocks_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes free.
    pub inodes_free: u64,
    /// Longest name in bytes.
    pub name_bytes_max: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_system_time() {
        for time in [
            Timestamp::new(0, 0),
            Timestamp::new(1_700_000_000, 123_456_789),
            Timestamp::new(-1, 1),
            Timestamp::new(-1, 0),
            Timestamp::new(-5, 999_999_999),
        ] {
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn permissions_drop_the_type() {
        assert_eq!(Permissions::from_mode(0o100_644).bits(), 0o644);
    }
}
