//! Making room on the staging disk while a file goes out: parts that the store has are dropped here
//! when room is short.
//!
//! Not before: what is here is read without the network, and can be sent again.

use std::future::Future;
use std::sync::Arc;

use super::session::Session;
use super::worker::Job;
use crate::StagedFile;
use crate::stage::Inner;

impl Job<'_> {
    /// Drops parts if room is short, and gives what frees their room.
    pub(super) fn free_room<'a>(
        &'a self,
        file: &Arc<StagedFile>,
        session: &Session,
    ) -> Option<impl Future<Output = ()> + use<'a>> {
        let lacking = self.inner.files.make_room();
        if lacking == 0 {
            return None;
        }
        match file.send_away(session, |bytes| bytes < lacking) {
            Ok(true) => Some(free(self.inner, Arc::clone(file))),
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(%error, "parts that the bucket has are kept here, too");
                None
            }
        }
    }
}

/// Gives the room of what `file` dropped back.
pub(super) async fn free(inner: &Inner, file: Arc<StagedFile>) {
    if let Err(error) = inner.files.journal.sync().await {
        tracing::warn!(%error, "what was dropped stays on the disk, for the journal could not be flushed");
        return;
    }
    if let Err(error) = inner.disk.run(move || file.punch()).await {
        tracing::warn!(%error, "what was dropped stays on the disk");
    }
}
