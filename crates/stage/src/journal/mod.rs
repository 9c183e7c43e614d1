//! The journal: what must survive a crash, in one append-only file.
//!
//! Laws:
//! - A record is in the file (not only in memory) when [`Journal::append`] returns: it survives
//!   `kill -9`. After [`Journal::sync`] it survives a power cut; callers share one `fdatasync`.
//! - Records stand in the order in which the locks of what they describe were held.
//! - A failed append leaves no trace. A torn tail is cut, and nothing else is ever lost.
//! - Compaction replaces the file in one step, and keeps what was appended meanwhile.

pub(crate) mod record;
pub(crate) mod replay;

mod compact;
mod frame;
mod reserve;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloudmount_vfs::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use self::record::Change;
use self::replay::Replayed;
use self::reserve::Reserve;
use crate::disk::disk_error;
use crate::failpoint;

/// The name of the log in the staging folder.
const LOG_NAME: &str = "journal.log";

/// The journal of one staging folder.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    log: Mutex<Log>,
    /// Records appended (their count) that are known to survive a power cut.
    synced: AtomicU64,
    /// Set while the disk has no room for more records.
    starved: AtomicBool,
    reserve: Reserve,
    /// Who flushes now. The others wait for it, and are mostly done when it is.
    flusher: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Log {
    file: Arc<File>,
    bytes: u64,
    /// Bytes right after the last compaction: what was alive then.
    bytes_compacted: u64,
    /// Records appended since the journal was opened.
    appended: u64,
    /// Raised when the file is replaced.
    epoch: u64,
    /// Set at the end: the folder may have another owner by now.
    closed: bool,
    /// While a compaction runs: frames appended since it began.
    tail: Option<Vec<u8>>,
}

/// Reads the journal of `dir`. A missing one is empty.
///
/// # Errors
/// `Unsupported` and `Corrupt` if it is not readable as a whole; `Io`.
pub(crate) fn load(dir: &Path) -> Result<Replayed> {
    let path = dir.join(LOG_NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Replayed::default());
        }
        Err(error) => return Err(disk_error(error, || format!("open {}", path.display()))),
    };
    let bytes = (file.metadata())
        .map_err(|error| disk_error(error, || format!("stat {}", path.display())))?
        .len();
    let mut state = frame::read(BufReader::with_capacity(1 << 20, file), bytes)?;
    state.forget_unwanted_files();
    Ok(state)
}

impl Journal {
    /// Begins a journal that describes `snapshot`, in place of the one that is there. If there is no
    /// room for it, the old one goes on after its first `good_bytes`: a full disk must not keep the
    /// uploads from making room.
    pub(crate) fn begin(dir: &Path, snapshot: &[Change], good_bytes: u64) -> Result<Self> {
        let reserve = Reserve::new(dir);
        let written = compact::write_new(dir, snapshot).or_else(|error| {
            if error.kind() == ErrorKind::NoSpace {
                reserve.release();
            }
            compact::write_new(dir, snapshot)
        });
        match written {
            Ok((file, bytes)) => {
                compact::install(dir)?;
                reserve.take();
                Ok(Self::of(dir, file, bytes))
            }
            Err(error) if error.kind() == ErrorKind::NoSpace && good_bytes > 0 => {
                tracing::warn!(%error, "the journal is not compacted");
                compact::clear_new(dir);
                let path = dir.join(LOG_NAME);
                let file = (File::options().read(true).write(true).open(&path))
                    .map_err(|error| disk_error(error, || format!("open {}", path.display())))?;
                let journal = Self::of(dir, file, good_bytes);
                journal.starved.store(true, Ordering::Relaxed);
                let opened = &snapshot[..snapshot.len().min(1)];
                if let Err(error) = journal.append(opened) {
                    // Without it, the files are only looked at more closely after the next start.
                    tracing::debug!(%error, "no room for the first record");
                }
                Ok(journal)
            }
            Err(error) => Err(error),
        }
    }

    fn of(dir: &Path, file: File, bytes: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            log: Mutex::new(Log {
                file: Arc::new(file),
                bytes,
                bytes_compacted: bytes,
                appended: 0,
                epoch: 0,
                closed: false,
                tail: None,
            }),
            synced: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            reserve: Reserve::new(dir),
            flusher: tokio::sync::Mutex::default(),
        }
    }

    /// Appends one record.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: then nothing was appended.
    pub(crate) fn append(&self, record: &[Change]) -> Result<()> {
        let mut encoded = Vec::with_capacity(512);
        frame::encode(record, &mut encoded)?;
        failpoint::pass(failpoint::JOURNAL_BEFORE);
        let mut log = self.log.lock();
        if log.closed {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "the stage was shut down",
            ));
        }
        if failpoint::comes(failpoint::JOURNAL_TORN) {
            let half = log
                .file
                .write_all_at(&encoded[..encoded.len() / 2], log.bytes);
            drop(half);
            failpoint::kill();
        }
        // At an explicit offset, so that a failed write is written over by the next one.
        if let Err(error) = log.file.write_all_at(&encoded, log.bytes) {
            let error = disk_error(error, || "append to the journal".to_owned());
            if error.kind() == ErrorKind::NoSpace {
                self.starved.store(true, Ordering::Relaxed);
            }
            return Err(error);
        }
        log.bytes += encoded.len() as u64;
        log.appended += 1;
        if let Some(tail) = &mut log.tail {
            tail.extend_from_slice(&encoded);
        }
        failpoint::pass(failpoint::JOURNAL_APPENDED);
        Ok(())
    }

    /// Makes all that was appended until now survive a power cut.
    ///
    /// # Errors
    /// `Io`, `NoSpace`.
    pub(crate) async fn sync(&self) -> Result<()> {
        let wanted = self.log.lock().appended;
        loop {
            if self.synced.load(Ordering::Acquire) >= wanted {
                return Ok(());
            }
            let _flusher = self.flusher.lock().await;
            if self.synced.load(Ordering::Acquire) >= wanted {
                return Ok(());
            }
            let (file, reached, epoch) = {
                let log = self.log.lock();
                (Arc::clone(&log.file), log.appended, log.epoch)
            };
            flush(file).await?;
            failpoint::pass(failpoint::JOURNAL_FLUSHED);
            // A file that was replaced meanwhile says nothing about the one that replaced it.
            if self.log.lock().epoch == epoch {
                self.synced.fetch_max(reached, Ordering::AcqRel);
            }
        }
    }

    /// Appends nothing from here on.
    pub(crate) fn close(&self) {
        self.log.lock().closed = true;
    }

    /// Bytes of the log.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.log.lock().bytes
    }

    /// Whether records are missing for want of room: what they would say must not be relied on
    /// until the journal is compacted.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }

    /// Whether dead records dominate a log of more than `bytes_min` bytes.
    pub(crate) fn wants_compaction(&self, bytes_min: u64) -> bool {
        let log = self.log.lock();
        log.tail.is_none() && log.bytes > bytes_min && log.bytes / 4 > log.bytes_compacted
    }
}

async fn flush(file: Arc<File>) -> Result<()> {
    tokio::task::spawn_blocking(move || file.sync_data())
        .await
        .map_err(|error| {
            Error::new(ErrorKind::Interrupted, "flush the journal").with_source(error)
        })?
        .map_err(|error| disk_error(error, || "flush the journal".to_owned()))
}
