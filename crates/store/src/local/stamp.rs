//! [`Stamp`]: what tells one content of a file from another.

use cloudmount_vfs::Timestamp;
use rustix::fs::Stat;

use crate::Version;

/// What the filesystem tells about a file that changes with every write to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Nanoseconds since 1970 of the last write.
    written: i128,
    /// Nanoseconds since 1970 of the last change of anything, which no program can set.
    changed: i128,
}

impl Stamp {
    // The types of these fields differ between platforms.
    pub(super) fn of(stat: &Stat) -> Self {
        let nanos = |secs: i128, nanos: i128| secs * 1_000_000_000 + nanos;
        Self {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            written: nanos(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            changed: nanos(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        }
    }

    /// The version of a file with that stamp.
    pub(super) fn version(&self) -> Version {
        let Self {
            inode,
            size,
            written,
            changed,
        } = self;
        Version::new(format!("\"{inode:x}-{size:x}-{written:x}-{changed:x}\""))
    }

    /// When it was last written.
    pub(super) fn modified(&self) -> Timestamp {
        timestamp(self.written)
    }

    /// Whether the content is that of `earlier` still. Unlike the version, this allows for changes of
    /// names and attributes: a file that is replaced while it is read keeps its bytes.
    pub(super) fn same_content(&self, earlier: &Self) -> bool {
        (self.inode, self.size, self.written) == (earlier.inode, earlier.size, earlier.written)
    }
}

/// Nanoseconds since 1970 as a timestamp.
pub(super) fn timestamp(nanos: i128) -> Timestamp {
    const SECOND: i128 = 1_000_000_000;
    let secs = i64::try_from(nanos.div_euclid(SECOND)).unwrap_or(0);
    let nanos = u32::try_from(nanos.rem_euclid(SECOND)).unwrap_or(0);
    Timestamp::new(secs, nanos)
}

/// A timestamp as nanoseconds since 1970.
pub(super) fn nanos(time: Timestamp) -> i128 {
    i128::from(time.secs()) * 1_000_000_000 + i128::from(time.nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_convert_both_ways() {
        for time in [
            Timestamp::new(0, 0),
            Timestamp::new(1_700_000_000, 999_999_999),
            Timestamp::new(-1, 1),
            Timestamp::new(-5, 0),
        ] {
            assert_eq!(timestamp(nanos(time)), time);
        }
    }
}
