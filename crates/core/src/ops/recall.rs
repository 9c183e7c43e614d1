//! Bytes of large files that only parts of their uploads have: they are recalled before anyone needs them.

use std::sync::Arc;

use cloudmount_stage::{Scope, StagedFile};
use cloudmount_vfs::{Error, ErrorKind, Result};
use futures::future::{Either, select};

use crate::core::Inner;
use crate::node::{Content, Node};

impl Inner {
    /// Waits until what only parts of an upload have can be read from an object, with a limit.
    pub(crate) async fn recall(&self, file: &Arc<StagedFile>) -> Result<()> {
        let recalled = std::pin::pin!(self.stage.recall(file));
        let limit = self.clock.sleep(self.settings.remote_wait);
        match select(recalled, limit).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(Error::new(
                ErrorKind::TimedOut,
                "waiting for the bucket, which alone has a part of the file",
            )),
        }
    }

    /// The same of whatever the content of `node` is.
    pub(crate) async fn recall_node(&self, node: &Node) -> Result<()> {
        let file = match &node.lock().content {
            Content::Staged(file) => Arc::clone(file),
            _ => return Ok(()),
        };
        self.recall(&file).await
    }

    /// The same of all files in `scope`.
    pub(crate) async fn recall_all(&self, scope: &Scope) -> Result<()> {
        for file in self.stage.away_in(scope) {
            self.recall(&file).await?;
        }
        Ok(())
    }

    /// The same of a file that is about to lose its name, for those who have it open: the upload ends
    /// with the name.
    pub(crate) async fn recall_for_readers(&self, node: &Node) {
        if node.lock().handles == 0 {
            return;
        }
        if let Err(error) = self.recall_node(node).await {
            tracing::debug!(%error, "who has the file open loses what only its upload has");
        }
    }
}
