//! [`Ledger`]: the folder's lock, and the count of the bytes in it.
//!
//! Whoever changes which bytes are kept holds the lock: `flock` of a file in the folder, which goes with
//! its process however that ends. Who only reads needs no lock, because checksums tell what is right.
//!
//! *Law:* the count is never less than what is on the disk. Before bytes are written they are counted as
//! many as they could be; afterwards the count says what they are. So a process that is killed leaves
//! too much counted, which the next look at the files puts right. A count that is damaged, or gone, is
//! not believed: the files are counted.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use xxhash_rust::xxh3::xxh3_64;

/// The file, in the folder.
pub(crate) const NAME: &str = "ledger";

const MAGIC: [u8; 8] = *b"CMLEDGR1";

/// Magic, count, checksum.
const BYTES: usize = 24;

/// How often the file may be replaced by others while it is being locked: nobody does so on purpose.
const TRIES: usize = 8;

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
}

impl Ledger {
    /// Waits for the lock of the folder `root`, which is made if there is none.
    pub(crate) fn lock(root: &Path) -> io::Result<Self> {
        let locked = Self::lock_by(root, FlockOperation::LockExclusive)?;
        locked.ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// The lock, if nobody else has it.
    pub(crate) fn try_lock(root: &Path) -> io::Result<Option<Self>> {
        Self::lock_by(root, FlockOperation::NonBlockingLockExclusive)
    }

    fn lock_by(root: &Path, how: FlockOperation) -> io::Result<Option<Self>> {
        let path = root.join(NAME);
        for _ in 0..TRIES {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => File::from(file),
                Err(rustix::io::Errno::NOENT) => {
                    make_folder(root)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match rustix::io::retry_on_intr(|| rustix::fs::flock(&file, how)) {
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                other => other?,
            }
            // A file that was removed meanwhile is locked by nobody else.
            let held = file.metadata()?;
            if std::fs::symlink_metadata(&path)
                .is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()))
            {
                return Ok(Some(Self { file }));
            }
        }
        Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "its lock is replaced again and again",
        ))
    }

    /// Bytes on disk, at most; `None` if it is not known.
    pub(crate) fn count(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let (begin, sum) = bytes.split_at(BYTES - 8);
        let (magic, count) = begin.split_at(8);
        let is_right = magic == MAGIC && sum == xxh3_64(begin).to_le_bytes();
        let count = count.first_chunk().copied().map(u64::from_le_bytes);
        Ok(count.filter(|_| is_right))
    }

    /// Notes the count.
    pub(crate) fn note(&self, count: u64) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&count.to_le_bytes());
        let sum = xxh3_64(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

/// Makes a folder that only its owner may look into: it holds the contents of a bucket.
///
/// # Errors
/// Those of the system; none if it is there.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_count_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        let count = || Ledger::lock(&root).unwrap().count().unwrap();
        assert_eq!(count(), None);
        Ledger::lock(&root).unwrap().note(1234).unwrap();
        assert_eq!(count(), Some(1234));
        let path = root.join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(count(), None, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(count(), None, "{at} bytes");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(count(), None);
    }

    #[test]
    fn one_at_a_time_holds_it_even_if_the_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let first = Ledger::lock(&root).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn({
            let root = root.clone();
            move || {
                let second = Ledger::lock(&root).unwrap();
                tell.send(()).unwrap();
                second.count().unwrap()
            }
        });
        let nobody = told.recv_timeout(std::time::Duration::from_millis(50));
        assert!(nobody.is_err(), "the lock was given twice");
        // Who waits for the old file finds that it is not the one.
        std::fs::remove_file(root.join(NAME)).unwrap();
        Ledger::lock(&root).unwrap().note(7).unwrap();
        drop(first);
        assert_eq!(waiting.join().unwrap(), Some(7));
    }
}
