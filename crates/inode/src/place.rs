//! Where an inode stands in its directory: what lies beside it.

use cloudmount_vfs::{Cookie, InodeId};

use crate::table::InodeTable;

impl<P: Clone> InodeTable<P> {
    /// The directory whose name leads to `ino`, and that name's cookie: a scan from there meets what comes
    /// after it. `None` for the root, orphans and unknown numbers.
    #[must_use]
    pub fn place_of(&self, ino: InodeId) -> Option<(InodeId, Cookie)> {
        let link = self.link(ino)?;
        Some((link.parent, link.cookie))
    }
}
