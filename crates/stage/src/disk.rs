//! The local disk: what its errors mean, its lock, its durability.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::Path;

use cloudmount_vfs::{Error, ErrorKind, Result, ResultExt};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// Turns an error of the staging disk into the reaction that it asks for.
pub(crate) fn disk_error(error: io::Error, context: impl FnOnce() -> String) -> Error {
    let kind = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT) => ErrorKind::NoSpace,
        Some(Errno::FBIG) => ErrorKind::FileTooLarge,
        _ => ErrorKind::Io,
    };
    Error::new(kind, context()).with_source(error)
}

/// Locks the folder for this process, until the file is dropped or the process ends.
///
/// # Errors
/// `Busy` if another process has it.
pub(crate) fn lock_folder(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .or_kind(ErrorKind::Io, || format!("open {}", path.display()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::new(
            ErrorKind::Busy,
            format!("staging folder {}: another process uses it", dir.display()),
        )),
        Err(error) => Err(disk_error(error.into(), || {
            format!("lock {}", path.display())
        })),
    }
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// What changes with each start of the machine; empty where the system does not tell.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// How many bytes of `range` of the file the disk really has. After a power cut it may have fewer
/// than were written: what was never flushed reads as a hole.
pub(crate) fn data_bytes(file: &File, range: Range<u64>) -> io::Result<u64> {
    let mut bytes = 0;
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
        bytes += end - start;
        at = end;
    }
    Ok(bytes)
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
