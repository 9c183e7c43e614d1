//! What is done beside the uploads: local files that nobody needs are deleted, multipart uploads
//! that nobody will finish are aborted, the journal is compacted.

use std::sync::Arc;

use cloudmount_store::{Key, UploadId};
use tokio::task::JoinSet;

use crate::desired::Desired;
use crate::file::FileContext;
use crate::journal::record::Change;
use crate::stage::Inner;
use crate::{FileId, StagedFile};

/// Starts what there is to do.
pub(super) fn start(inner: &Arc<Inner>, work: &mut JoinSet<()>) {
    let files = inner.freed.take_files();
    if !files.is_empty() {
        let context = Arc::clone(&inner.files);
        work.spawn_blocking(move || delete(&context, &files));
    }
    let abandoned = std::mem::take(&mut inner.lock().abandoned);
    if !abandoned.is_empty() {
        work.spawn(abort(Arc::clone(inner), abandoned));
    }
    if inner
        .files
        .journal
        .wants_compaction(inner.settings.journal_bytes_min)
    {
        let inner = Arc::clone(inner);
        work.spawn_blocking(move || {
            if let Err(error) = inner.files.journal.compact(|| snapshot(&inner)) {
                tracing::warn!(%error, "the journal could not be compacted");
            }
        });
    }
}

fn delete(context: &FileContext, files: &[FileId]) {
    for id in files {
        let path = context.data_dir.join(id.file_name());
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // The next start finds and deletes it.
            tracing::warn!(path = %path.display(), %error, "cannot delete a staged file");
        }
    }
}

/// Aborts uploads, one after the other: nobody waits for it. What fails is tried again after the
/// next start, because the journal still knows it.
async fn abort(inner: Arc<Inner>, uploads: Vec<(Key, UploadId)>) {
    for (key, upload) in uploads {
        match inner.store.multipart_abort(&key, &upload).await {
            Ok(()) => inner.forget_upload(&upload),
            Err(error) => tracing::warn!(%key, %error, "a multipart upload could not be aborted"),
        }
    }
}

/// All that the journal must know.
fn snapshot(inner: &Inner) -> Vec<Change> {
    let mut changes = vec![inner.opened()];
    let mut files: Vec<Arc<StagedFile>> = Vec::new();
    {
        let table = inner.lock();
        for (upload, key) in &table.uploads {
            changes.push(Change::UploadStarted {
                key: key.as_str().to_owned(),
                upload: upload.0.clone(),
            });
        }
        for (key, state) in table.iter() {
            if let Desired::Content(file) = &state.desired {
                files.push(Arc::clone(file));
            }
            changes.push(state.record(key));
        }
    }
    for file in files {
        let record = file.lock().record(file.id());
        changes.push(Change::File(record));
    }
    changes
}

impl Inner {
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
