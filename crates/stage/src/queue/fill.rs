//! Fill: the bytes that only the base has are fetched into the staged file, so that the base may be
//! overwritten.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_store::ErrorKind;
use cloudmount_vfs as vfs;

use super::upload::is_permanent;
use crate::StagedFile;
use crate::file::Standing;
use crate::journal::record::Change;
use crate::stage::Inner;
use crate::table::Fill;

/// Bytes fetched by one request: as much as a part.
const PIECE_BYTES: u64 = 8 << 20;

/// Longest wait after a fill that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Fills one file, and lets go on what waited for it. If it fails, it is asked for again a little
/// later; if the base is no more, nobody need spare it any longer.
pub(super) async fn run(inner: Arc<Inner>, file: Arc<StagedFile>, why: Fill) {
    let base = file.base();
    let failed = fill(&inner, &file, why).await.err();
    let now = inner.now();
    let mut table = inner.lock();
    table.fill_after.retain(|_, at| *at > now);
    if let Some(error) = failed {
        tracing::warn!(file = %file.id(), %error, "the unchanged part of a file could not be fetched");
        if is_permanent(error.kind()) {
            file.base_gone.store(true, Ordering::Relaxed);
        } else {
            table.fill_after.insert(file.id(), now + RETRY);
        }
    }
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

async fn fill(inner: &Inner, file: &Arc<StagedFile>, why: Fill) -> vfs::Result<()> {
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
    if state.content.missing().next().is_some() || why == Fill::Keep {
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
    let bytes = (inner.read_base(base, range).await).map_err(vfs::Error::from)?;
    if bytes.len() as u64 == range.end - range.start {
        Ok(bytes)
    } else {
        let context = format!("read {range:?} of {}", base.key);
        Err(cloudmount_store::Error::new(ErrorKind::Io, context).into())
    }
}
