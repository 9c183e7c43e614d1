//! What a listing of a folder says of the folder itself: that it has no marker, and so no attributes but the defaults.
//!
//! Who goes through a tree asks for the attributes of each folder before he lists it. A listing that was made ahead answers
//! that, too.
//!
//! Laws:
//! - A listing counts as a question about the marker that was asked when the listing was, and by the same rules: not where the
//!   marker is pending or was changed here since, nor where listings may be late and it was left in the bucket lately.
//! - Only a listing that is whole, and believed at that moment, says that something is not there.

use cloudmount_stage::Mark;
use cloudmount_store::{Key, Trust};
use cloudmount_vfs::{InodeId, NodeKind};

use crate::core::{Inner, Table};
use crate::know::Inode;
use crate::list::News;
use crate::seen::Snapshot;

impl Inner {
    /// A whole listing of `dir` was applied that was asked for after `mark`.
    pub(crate) fn saw_no_marker(
        &self,
        table: &Table,
        (dir, mark): (InodeId, Mark),
        snapshot: &Snapshot,
        news: &News,
    ) {
        if snapshot.is_empty() || news.has_marker || !table.listing_is_valid(dir, self.now()) {
            return;
        }
        let Some(folder) = table.get(dir) else {
            return;
        };
        let Ok(Some(key)) = self.key(table, &folder.payload) else {
            return;
        };
        let prefix = &snapshot.prefix;
        let changed = self.stage.keys_changed_since(mark, prefix);
        let was_changed = changed.is_none_or(|keys| keys.contains(&key));
        let is_own = was_changed || self.stage.pending(&key).is_some();
        if is_own || key.as_str() != prefix || self.was_marked_lately(&key) {
            return;
        }
        let until = self.attributes_until();
        let mut state = folder.payload.lock();
        // The markers of other tools lie beside it.
        if state.marks.is_none() {
            state.no_marker(until, &self.settings);
        }
    }

    /// Whether this mount has left a marker in the bucket that a late listing may not show yet.
    fn was_marked_lately(&self, key: &Key) -> bool {
        match self.store.capabilities().trust {
            Trust::Exact => false,
            Trust::Claimed => self.stage.left_lately(key).is_some(),
        }
    }

    /// Has a folder of which nothing is known listed with those behind it, if somebody goes through them: that brings what he
    /// wants next, and tells which of them have no attributes of their own.
    pub(crate) async fn look_into(&self, inode: &Inode) {
        if inode.kind != NodeKind::Directory || self.can_show(&inode.payload) {
            return;
        }
        let goes_through = {
            let table = self.table();
            let after = self.settings.list_ahead_after;
            !table.listing_is_valid(inode.ino, self.now())
                && (table.parent_of(inode.ino))
                    .is_some_and(|(above, _)| self.turns.lock().will_be_ahead(above, after))
        };
        if goes_through {
            self.look_ahead(&inode.payload).await;
        }
    }

    /// Whether the folders of `dir` are gone through: who wants the attributes of one lists it then, and that may tell them.
    pub(crate) fn is_gone_through(&self, dir: InodeId) -> bool {
        let ttl = self.settings.ttl.of_listed();
        self.turns.lock().is_lately(dir, self.now(), ttl)
    }
}
