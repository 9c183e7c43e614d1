//! Compaction: a fresh log with what is alive, then what was appended meanwhile, put in place by a
//! rename.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_vfs::Result;

use super::record::Change;
use super::{Journal, LOG_NAME, frame};
use crate::disk::{disk_error, sync_folder};
use crate::failpoint;

/// The name of the log that is being written.
const NEW_NAME: &str = "journal.new";

/// Changes per record of a snapshot: they need not hold together.
const SNAPSHOT_CHANGES: usize = 64;

/// Buffered bytes of the log that is being written.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes and flushes a log that describes `snapshot`, under the name of a new one.
pub(super) fn write_new(dir: &Path, snapshot: &[Change]) -> Result<(File, u64)> {
    let path = dir.join(NEW_NAME);
    let failed = |error| disk_error(error, || format!("write {}", path.display()));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    buffer.extend_from_slice(&frame::header());
    let mut bytes = 0;
    for changes in snapshot.chunks(SNAPSHOT_CHANGES) {
        frame::encode(changes, &mut buffer)?;
        if buffer.len() >= BUFFER_BYTES {
            file.write_all(&buffer).map_err(failed)?;
            bytes += buffer.len() as u64;
            buffer.clear();
        }
    }
    file.write_all(&buffer).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok((file, bytes + buffer.len() as u64))
}

/// Removes what was written of a new log.
pub(super) fn clear_new(dir: &Path) {
    let path = dir.join(NEW_NAME);
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::debug!(path = %path.display(), %error, "left over");
    }
}

/// Puts the new log in place.
pub(super) fn install(dir: &Path) -> Result<()> {
    std::fs::rename(dir.join(NEW_NAME), dir.join(LOG_NAME))
        .and_then(|()| sync_folder(dir))
        .map_err(|error| {
            disk_error(error, || {
                format!("replace the journal in {}", dir.display())
            })
        })
}

impl Journal {
    /// Compacts. `snapshot` is called once every later append is kept too, so it may see some of
    /// them already; records are absolute, so that does no harm. Blocks: for a thread of its own.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: then the old log goes on.
    pub(crate) fn compact(&self, snapshot: impl FnOnce() -> Vec<Change>) -> Result<()> {
        {
            let mut log = self.log.lock();
            if log.tail.is_some() {
                return Ok(());
            }
            log.tail = Some(Vec::new());
        }
        let was_starved = self.is_starved();
        if was_starved {
            self.reserve.release();
        }
        let done = write_new(&self.dir, &snapshot())
            .and_then(|(file, bytes)| self.switch(Arc::new(file), bytes));
        if done.is_err() {
            self.log.lock().tail = None;
            clear_new(&self.dir);
        } else if was_starved {
            self.reserve.take();
        }
        done
    }

    fn switch(&self, file: Arc<File>, snapshot_bytes: u64) -> Result<()> {
        let failed = |error| disk_error(error, || "write the compacted journal".to_owned());
        let mut bytes = snapshot_bytes;
        // Without the lock first: what is left for under it is short, or empty.
        let appended = {
            let mut log = self.log.lock();
            let tail = log.tail.replace(Vec::new()).unwrap_or_default();
            let appended = log.appended;
            drop(log);
            file.write_all_at(&tail, bytes).map_err(failed)?;
            bytes += tail.len() as u64;
            file.sync_data().map_err(failed)?;
            appended
        };
        let mut log = self.log.lock();
        let tail = log.tail.take().unwrap_or_default();
        file.write_all_at(&tail, bytes).map_err(failed)?;
        bytes += tail.len() as u64;
        // What was flushed in the old file must be so in the new one before it takes its place.
        if self.synced.load(Ordering::Acquire) > appended {
            file.sync_data().map_err(failed)?;
        }
        failpoint::pass(failpoint::COMPACTION_WRITTEN);
        install(&self.dir)?;
        failpoint::pass(failpoint::COMPACTION_INSTALLED);
        log.file = file;
        log.bytes = bytes;
        log.bytes_compacted = bytes;
        log.epoch += 1;
        self.starved.store(false, Ordering::Relaxed);
        self.synced.fetch_max(appended, Ordering::AcqRel);
        Ok(())
    }
}
