//! What was learnt of the bucket is forgotten by demand: someone knows that it has changed.
//!
//! Law: what exists here only, or was removed here, is not touched: it is not what was learnt.

use cloudmount_vfs::{Change, InodeId, Name, Result};

use crate::core::{Core, Inner, Table};
use crate::naming::names_of;

impl Core {
    /// Believes no longer what is known of a path below the mount, with `/` between names, and of all
    /// below it: names, attributes, and which version of a content is the newest. Whoever looks next
    /// asks the store. An empty path is everything.
    ///
    /// The kernel is told by way of its changes, so it may be some milliseconds late.
    ///
    /// # Errors
    /// `IllegalName`, `NameTooLong` if a part of the path is no name.
    pub fn invalidate(&self, path: &str) -> Result<()> {
        self.inner.invalidate(&names_of(path)?);
        Ok(())
    }
}

impl Inner {
    pub(crate) fn invalidate(&self, names: &[Name]) {
        let mut table = self.table();
        let mut at = InodeId::ROOT;
        for name in names {
            // Folders on the way may have come or gone with it.
            table.expire(at, name);
            table.expire_listing(at);
            self.changed_name(at, name);
            self.doubt_attributes(&table, at);
            match table.peek(at, name) {
                Some(found) => at = found.ino,
                None => return,
            }
        }
        let below = table.walk(at).into_iter().map(|(ino, _)| ino);
        for ino in below.chain([at]).collect::<Vec<_>>() {
            for name in table.expire_names(ino) {
                self.changed_name(ino, &name);
            }
            self.doubt_attributes(&table, ino);
        }
    }

    pub(crate) fn changed_name(&self, parent: InodeId, name: &Name) {
        let name = name.clone();
        self.changes.send(Change::Entry { parent, name });
    }

    /// The attributes are asked for before they are shown again.
    pub(crate) fn doubt_attributes(&self, table: &Table, ino: InodeId) {
        if let Some(inode) = table.get(ino) {
            inode.payload.lock().doubt();
        }
        self.changes.send(Change::Attributes(ino));
    }
}
