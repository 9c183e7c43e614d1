//! Fill: the bytes that only the base has are fetched into the staged file, so that the base may be
//! overwritten.

use std::ops::Range;
use std::sync::Arc;

use cloudmount_store::{ErrorKind, GetOptions, StoreExt};
use cloudmount_vfs as vfs;

use crate::StagedFile;
use crate::file::Standing;
use crate::journal::record::Change;
use crate::stage::Inner;

/// Bytes fetched by one request: as much as a part.
const PIECE_BYTES: u64 = 8 << 20;

/// Fills one file, and lets go on what waited for it. If it fails, it is asked for again when the
/// wait has lasted as long once more.
pub(super) async fn run(inner: Arc<Inner>, file: Arc<StagedFile>) {
    let base = file.base();
    if let Err(error) = fill(&inner, &file).await {
        tracing::warn!(file = %file.id(), %error, "the unchanged part of a file could not be fetched");
    }
    let now = inner.now();
    let mut table = inner.lock();
    table.busy.remove(&file.id());
    table.running.fill -= 1;
    let key = file.key();
    table.schedule(&inner, &key, now);
    if let Some(base) = base {
        table.schedule(&inner, &base.key, now);
    }
    drop(table);
    inner.freed.wake();
}

async fn fill(inner: &Inner, file: &Arc<StagedFile>) -> vfs::Result<()> {
    loop {
        let Some(base) = file.base() else {
            return Ok(());
        };
        let Some(missing) = file.fill_plan().into_iter().next() else {
            break;
        };
        let range = missing.start..missing.end.min(missing.start + PIECE_BYTES);
        let bytes = fetch(inner, &base, &range).await?;
        let file = Arc::clone(file);
        inner
            .disk
            .run(move || file.fill(range.start, &bytes))
            .await?;
    }
    let mut state = file.lock();
    if state.content.missing().next().is_some() {
        return Ok(());
    }
    state.content.forget_base();
    if state.standing == Standing::Pending {
        let record = Change::File(state.record(file.id()));
        inner.files.journal.append(&[record])?;
    }
    Ok(())
}

async fn fetch(inner: &Inner, base: &crate::Base, range: &Range<u64>) -> vfs::Result<bytes::Bytes> {
    let Some(_room) = inner.bodies.for_part(range.end - range.start).await else {
        return Err(vfs::ErrorKind::Interrupted.into());
    };
    let options = GetOptions {
        range: Some(range.clone()),
        if_match: Some(base.version.clone()),
    };
    let bytes = inner
        .store
        .get_bytes(&base.key, options)
        .await
        .map_err(vfs::Error::from)?;
    if bytes.len() as u64 == range.end - range.start {
        Ok(bytes)
    } else {
        let context = format!("read {range:?} of {}", base.key);
        Err(cloudmount_store::Error::new(ErrorKind::Io, context).into())
    }
}
