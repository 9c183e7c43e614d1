//! What is done beside the uploads: local files that nobody needs are deleted, multipart uploads
//! that nobody will finish are aborted, the journal is compacted.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{Key, UploadId};
use cloudmount_vfs::Instant;
use tokio::task::JoinSet;

use super::uploads::{self, Intent};
use crate::failpoint;
use crate::file::FileContext;
use crate::freed::LocalBytes;
use crate::journal::record::Change;
use crate::stage::Inner;
use crate::table::Table;
use crate::{FileId, StagedFile};

/// How long local files that nobody needs are gathered: 1 s. The journal must say for good that
/// they are done before they go, or a power cut would bring back a wish without its bytes; so each
/// round costs a flush of the journal, and one per second is nothing.
const GATHER: Duration = Duration::from_secs(1);

/// The same while a writer waits for their room: as long as a flush of the journal takes on a slow disk.
const GATHER_AWAITED: Duration = Duration::from_millis(20);

/// What is to be done later.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    delete_at: Option<Instant>,
    aborts: Again,
    sweeps: Again,
    /// Not before.
    compact_at: Option<Instant>,
}

/// When what failed is to be tried again.
#[derive(Debug, Default)]
struct Again(Option<Instant>);

impl Again {
    /// What is to be done now of `waiting`, together with what has `failed` long enough ago.
    fn take<T>(
        &mut self,
        waiting: &mut Vec<T>,
        failed: &mut Vec<T>,
        delay: Duration,
        now: Instant,
    ) -> Vec<T> {
        if !failed.is_empty() && *self.0.get_or_insert(now + delay) <= now {
            self.0 = None;
            waiting.append(failed);
        }
        std::mem::take(waiting)
    }
}

impl Housekeeping {
    /// Starts what there is to do; gives when to look again at the latest.
    pub(super) fn start(
        &mut self,
        inner: &Arc<Inner>,
        work: &mut JoinSet<()>,
        now: Instant,
    ) -> Option<Instant> {
        inner.files.make_room();
        let abort_again = self.start_aborts(inner, work, now);
        let sweep_again = self.start_sweep(inner, work, now);
        let compact_again = self.start_compaction(inner, work, now);
        let delete_again = self.start_deletes(inner, work, now);
        for file in inner.freed.take_dropped() {
            let inner = Arc::clone(inner);
            work.spawn(async move { super::free::free(&inner, file).await });
        }
        [abort_again, sweep_again, compact_again, delete_again]
            .into_iter()
            .flatten()
            .min()
    }

    fn start_aborts(
        &mut self,
        inner: &Arc<Inner>,
        work: &mut JoinSet<()>,
        now: Instant,
    ) -> Option<Instant> {
        let mut table = inner.lock();
        let Table {
            abandoned,
            not_aborted,
            ..
        } = &mut *table;
        let delay = inner.settings.failed_delay;
        let due = self.aborts.take(abandoned, not_aborted, delay, now);
        drop(table);
        if !due.is_empty() {
            work.spawn(abort(Arc::clone(inner), due));
        }
        self.aborts.0
    }

    fn start_sweep(
        &mut self,
        inner: &Arc<Inner>,
        work: &mut JoinSet<()>,
        now: Instant,
    ) -> Option<Instant> {
        let mut table = inner.lock();
        let Table {
            lost_starts,
            not_swept,
            ..
        } = &mut *table;
        let delay = inner.settings.failed_delay;
        let due = self.sweeps.take(lost_starts, not_swept, delay, now);
        drop(table);
        if !due.is_empty() {
            work.spawn(uploads::sweep(Arc::clone(inner), due));
        }
        self.sweeps.0
    }

    fn start_compaction(
        &mut self,
        inner: &Arc<Inner>,
        work: &mut JoinSet<()>,
        now: Instant,
    ) -> Option<Instant> {
        let journal = &inner.files.journal;
        let starved = journal.is_starved();
        if !starved && !journal.wants_compaction(inner.settings.journal_bytes_min) {
            self.compact_at = None;
            return None;
        }
        if let Some(at) = self.compact_at.filter(|at| *at > now) {
            return Some(at);
        }
        self.compact_at = Some(now + GATHER);
        let inner = Arc::clone(inner);
        work.spawn(async move {
            inner.compact().await;
            inner.freed.wake();
        });
        self.compact_at
    }

    fn start_deletes(
        &mut self,
        inner: &Arc<Inner>,
        work: &mut JoinSet<()>,
        now: Instant,
    ) -> Option<Instant> {
        if !inner.freed.has_files() {
            self.delete_at = None;
            return None;
        }
        let gather = match inner.files.room.is_awaited() {
            true => GATHER_AWAITED,
            false => GATHER,
        };
        let at = (*self.delete_at.get_or_insert(now + gather)).min(now + gather);
        if at > now {
            self.delete_at = Some(at);
            return Some(at);
        }
        if inner.files.journal.is_starved() {
            // It does not say that they are done. It is compacted first.
            self.delete_at = Some(now + GATHER);
            return self.delete_at;
        }
        self.delete_at = None;
        let (inner, files) = (Arc::clone(inner), inner.freed.take_files());
        work.spawn(async move { delete(&inner, files).await });
        None
    }
}

async fn delete(inner: &Inner, files: Vec<LocalBytes>) {
    if let Err(error) = inner.files.journal.sync().await {
        // The next start finds and deletes them.
        tracing::warn!(%error, "done files are kept, for the journal could not be flushed");
        return;
    }
    let context = Arc::clone(&inner.files);
    let work = move || {
        failpoint::pass(failpoint::DELETE_BEFORE);
        let ids: Vec<FileId> = files.iter().map(|local| local.file).collect();
        delete_files(&context, &ids);
        failpoint::pass(failpoint::DELETED);
        context.room.give_back(context.freed.deleted(&files));
        Ok(())
    };
    let deleted = inner.disk.run(work).await;
    if let Err(error) = deleted {
        tracing::warn!(%error, "deleting staged files");
    }
}

fn delete_files(context: &FileContext, files: &[FileId]) {
    for id in context.shelves.free(&context.open_files, files) {
        let path = context.data_dir.join(id.file_name());
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // The next start finds and deletes it.
            tracing::warn!(path = %path.display(), %error, "cannot delete a staged file");
        }
    }
}

/// Aborts uploads, one after the other: nobody waits for it. What fails is tried again later, also
/// after a restart, because the journal still knows it.
async fn abort(inner: Arc<Inner>, uploads: Vec<(Key, UploadId)>) {
    for (key, upload) in uploads {
        match inner.store.multipart_abort(&key, &upload).await {
            Ok(()) => {
                failpoint::pass(failpoint::ABORT_ANSWERED);
                inner.forget_upload(&upload);
            }
            Err(error) => {
                tracing::warn!(%key, %error, "a multipart upload could not be aborted");
                inner.lock().not_aborted.push((key, upload));
            }
        }
    }
}

/// All that the journal must know.
fn snapshot(inner: &Inner) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut files: Vec<Arc<StagedFile>> = Vec::new();
    {
        let table = inner.lock();
        changes.extend(table.intents.iter().map(Intent::begun));
        for (upload, key) in &table.uploads {
            changes.push(Change::UploadStarted {
                key: key.as_str().to_owned(),
                upload: upload.0.clone(),
            });
        }
        for (key, state) in table.iter() {
            files.extend(state.files().map(Arc::clone));
            changes.push(state.record(key));
        }
    }
    for file in files {
        let record = file.lock().record(file.id());
        changes.push(Change::File(record));
    }
    // Last, so that it names what was done with before the table was looked at.
    changes.insert(0, inner.opened());
    changes
}

impl Inner {
    /// Deletes all kept copies, and whatever else nobody needs. Says whether anything was deleted.
    pub(crate) async fn free_disk(&self) -> bool {
        self.files.kept.give_way(u64::MAX);
        let files = self.freed.take_files();
        let is_any = !files.is_empty();
        if is_any {
            delete(self, files).await;
        }
        is_any
    }

    /// The same, to be able to write again where the disk was full.
    pub(crate) async fn free_full_disk(self: &Arc<Self>) -> bool {
        if self.files.kept.bytes() == 0 && !self.freed.has_files() {
            return false;
        }
        if self.files.journal.is_starved() {
            // It does not say what is done. Compacted, it does.
            self.compact().await;
        }
        !self.files.journal.is_starved() && self.free_disk().await
    }

    async fn compact(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        let work = move || inner.files.journal.compact(|| snapshot(&inner));
        if let Err(error) = self.disk.run(work).await {
            tracing::warn!(%error, "the journal could not be compacted");
        }
    }

    /// A multipart upload exists no more.
    pub(super) fn forget_upload(&self, upload: &UploadId) {
        if self.lock().uploads.remove(upload).is_none() {
            return;
        }
        let told = self.files.journal.append(&[Change::UploadEnded {
            upload: upload.0.clone(),
        }]);
        if let Err(error) = told {
            tracing::debug!(%error, "an ended upload will be aborted once more after a restart");
        }
    }
}
