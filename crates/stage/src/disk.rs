//! The local disk: what its errors mean, its lock, its durability.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use cloudmount_vfs::{Error, ErrorKind, Result, ResultExt};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// What stays free of the disk by default: 1 GiB, for the journal, for logs and for others.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Smallest default limit: 256 MiB. On a disk with less room the disk itself is the limit.
const LIMIT_BYTES_MIN: u64 = 256 << 20;

/// Turns an error of the staging disk into the reaction that it asks for.
pub(crate) fn disk_error(error: io::Error, context: impl FnOnce() -> String) -> Error {
    let kind = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT) => ErrorKind::NoSpace,
        Some(Errno::FBIG) => ErrorKind::FileTooLarge,
        _ => ErrorKind::Io,
    };
    Error::new(kind, context()).with_source(error)
}

/// How often, and after which pauses, a lock that another process has is tried again: for half a
/// second. A process that was killed lets go when the kernel has ended all of it, and one that is just
/// being started has the files of its parent until it runs a program of its own.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Locks the folder for this process, until the file is dropped or the process ends.
///
/// # Errors
/// `Busy` if another process has it, and does not let go within half a second.
#[expect(
    clippy::disallowed_methods,
    reason = "once, before anything runs that could be kept waiting, and only where the folder is taken"
)]
pub(crate) fn lock_folder(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .or_kind(ErrorKind::Io, || format!("open {}", path.display()))?;
    for turn in 0..LOCK_TRIES {
        if turn > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => {
                return Err(disk_error(error.into(), || {
                    format!("lock {}", path.display())
                }));
            }
        }
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!("staging folder {}: another process uses it", dir.display()),
    ))
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// How many bytes of `range` of the file the disk really has. After a power cut it may have fewer
/// than were written: what was never flushed reads as a hole.
pub(crate) fn data_bytes(file: &File, range: Range<u64>) -> io::Result<u64> {
    let ranges = data_ranges(file, range)?;
    Ok(ranges.iter().map(|data| data.end - data.start).sum())
}

/// What of `range` of the file the disk has, in order.
pub(crate) fn data_ranges(file: &File, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        if start >= range.end {
            break;
        }
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start))?.min(range.end);
        ranges.push(start..end);
        at = end;
    }
    Ok(ranges)
}

/// How many bytes may be staged in `folder` if nobody says it: what is there already, and three
/// quarters of what is free, of which a gibibyte stays free.
pub(crate) fn default_limit(folder: &Path) -> u64 {
    let staged: u64 = (std::fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|entry| entry.metadata().ok())
        .map(|about| about.blocks().saturating_mul(512))
        .sum();
    limit_of(staged, free_bytes(folder))
}

/// What is free of the disk that `folder` is on.
pub(crate) fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn limit_of(staged: u64, free: u64) -> u64 {
    let kept = (free / 4).max(FREE_BYTES_MIN);
    staged
        .saturating_add(free.saturating_sub(kept))
        .max(LIMIT_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_folder_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock_folder(dir.path()).unwrap();
        assert_eq!(lock_folder(dir.path()).unwrap_err().kind(), ErrorKind::Busy);
        drop(first);
        lock_folder(dir.path()).unwrap();
    }

    #[test]
    fn a_default_limit_leaves_room_for_others() {
        const GIB: u64 = 1 << 30;
        assert_eq!(limit_of(0, 100 * GIB), 75 * GIB);
        assert_eq!(limit_of(20 * GIB, 100 * GIB), 95 * GIB);
        assert_eq!(limit_of(0, 2 * GIB), GIB);
        assert_eq!(limit_of(5 * GIB, GIB / 2), 5 * GIB);
        assert_eq!(limit_of(0, 2 << 20), 256 << 20);
    }

    #[test]
    fn holes_are_no_data() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(data_bytes(&file, 0..1 << 20).unwrap(), 0);
        file.write_all_at(&[1; 4096], 512 << 10).unwrap();
        assert_eq!(data_bytes(&file, 0..1 << 20).unwrap(), 4096);
        assert_eq!(data_bytes(&file, 0..(512 << 10) + 10).unwrap(), 10);
        assert_eq!(data_bytes(&file, (512 << 10) + 4000..1 << 20).unwrap(), 96);
        assert_eq!(data_bytes(&file, 600 << 10..700 << 10).unwrap(), 0);
    }
}
