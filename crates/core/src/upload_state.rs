//! How far the upload of a file is, as an extended attribute: for scripts and file managers.
//!
//! Laws: it is read from the stage when it is asked for, costs no request, and is never stored. It is
//! not listed, so that nothing that copies attributes (`cp -a`, `rsync -X`) meets it.

use cloudmount_stage::{KeyStatus, Phase, Scope};
use cloudmount_vfs::{InodeId, NodeKind, Result};

use crate::core::Inner;
use crate::node::Node;

/// The attribute.
pub(crate) const UPLOAD: &str = "user.cloudmount.upload";

/// What it says of what is in the bucket as it is here.
const CLEAN: &str = "clean";

impl Inner {
    /// Of a file: `clean`, `open` (it is being written), `queued`, `uploading NN%`, `waiting: WHY`
    /// or `failed: WHY`. Of a folder: `clean`, or `N pending`, with all below it.
    pub(crate) fn upload_state(&self, node: &Node) -> Result<String> {
        let table = self.table();
        let is_root = node.ino == InodeId::ROOT;
        if !is_root && !table.is_linked(node.ino) {
            // Without a name it never gets into the bucket.
            return Ok(CLEAN.to_owned());
        }
        let key = self.key(&table, node)?;
        if node.kind == NodeKind::Directory {
            let scope = Scope::below(key.as_ref().map_or("", |key| key.as_str()));
            return Ok(match self.stage.count_pending(&scope) {
                0 => CLEAN.to_owned(),
                pending => format!("{pending} pending"),
            });
        }
        let status = key.and_then(|key| self.stage.key_status(&key));
        Ok(status.map_or_else(|| CLEAN.to_owned(), said))
    }
}

fn said(status: KeyStatus) -> String {
    let why = |error: Option<String>| error.unwrap_or_default();
    match status.phase {
        Phase::Open => "open".to_owned(),
        Phase::Queued => "queued".to_owned(),
        Phase::InFlight => {
            let percent = (status.bytes_done * 100).checked_div(status.bytes_total);
            format!("uploading {}%", percent.unwrap_or(0).min(100))
        }
        Phase::Waiting => format!("waiting: {}", why(status.error)),
        Phase::Failed => format!("failed: {}", why(status.error)),
    }
}
