//! A small file that was changed in part is made whole before its close is answered: what it lacks
//! is read of the object that it is made from, mostly from the cache.
//!
//! Law: what was acknowledged does not depend on an object that someone else may replace. Who finds
//! the object replaced is told so by the close, and nothing was acknowledged. Where the store is slow
//! or away, the close does not wait for it longer than [`WAIT_MAX`]; then the stage goes on.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{Base, StagedFile};
use cloudmount_vfs::{Error, ErrorKind, Result};
use futures::future::{Either, select};

use crate::core::Inner;
use crate::handles::OpenFile;
use crate::list::TRIES;
use crate::node::{Content, Node, object_ref};

/// Objects from here on are not made whole: 32 MiB, which a fast line brings while the close waits. Of
/// larger ones, what did not change is copied within the store, and never comes here.
const BYTES_MAX: u64 = 32 << 20;

/// Bytes that are taken at a time: 1 MiB, as much as the largest write of the kernel.
const PIECE_BYTES: u64 = 1 << 20;

/// How long a close waits: 2 s, in which a fast line brings all of it, and which a person endures
/// where there is no line.
const WAIT_MAX: Duration = Duration::from_secs(2);

impl Inner {
    /// Makes what was written through the handle whole.
    ///
    /// # Errors
    /// `Stale`: what it lacks cannot be had any more.
    pub(crate) async fn make_whole(&self, node: &Node, open: Option<&OpenFile>) -> Result<()> {
        if lacking(node).is_none() {
            return Ok(());
        }
        let all = std::pin::pin!(self.fetch_all(node, open));
        match select(all, self.clock.sleep(WAIT_MAX)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Ok(()),
        }
    }

    async fn fetch_all(&self, node: &Node, open: Option<&OpenFile>) -> Result<()> {
        let mut tries = 0;
        while let Some((file, base, range)) = lacking(node) {
            match self.fetch_piece(open, &base, &range).await {
                Ok(bytes) => match file.fill(range.start, &bytes) {
                    Ok(()) => {}
                    // The limit of what is staged: the upload fetches it when there is room.
                    Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(()),
                    Err(error) => return Err(error),
                },
                Err(error) if error.kind() == ErrorKind::Stale => {
                    let has_moved = file.base().as_ref() != Some(&base);
                    tries += 1;
                    if tries > TRIES || !(has_moved || self.was_our_doing_under(&base.key).await) {
                        return Err(error);
                    }
                }
                Err(error) => {
                    // The stage fetches it when it can.
                    tracing::debug!(key = %base.key, %error, "a file is not whole at its close");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn fetch_piece(
        &self,
        open: Option<&OpenFile>,
        base: &Base,
        range: &Range<u64>,
    ) -> Result<bytes::Bytes> {
        let object = object_ref(&base.key, &base.version, base.size);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = match open {
            Some(open) => open.reader.read(&object, range.start, length).await?,
            None => {
                let reader = self.cache.reader();
                reader.read(&object, range.start, length).await?
            }
        };
        if bytes.len() == length {
            return Ok(bytes);
        }
        let context = "an object is shorter than it said";
        Err(Error::new(ErrorKind::Corrupt, context))
    }
}

/// The first piece that a changed small file lacks of its base.
fn lacking(node: &Node) -> Option<(Arc<StagedFile>, Base, Range<u64>)> {
    let file = match &node.lock().content {
        Content::Staged(file) => Arc::clone(file),
        _ => return None,
    };
    let base = file.base().filter(|base| base.size < BYTES_MAX)?;
    // Nothing of it was changed: it is copied, or is there.
    if file.is_clean() {
        return None;
    }
    let missing = file.fill_plan().into_iter().next()?;
    let end = missing.end.min(missing.start + PIECE_BYTES);
    Some((file, base, missing.start..end))
}
