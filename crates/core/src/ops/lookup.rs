//! Names that lead to inodes, and taking them back.

use cloudmount_vfs::{Entry, ErrorKind, InodeId, Name, Result};

use crate::core::{Inner, Table};
use crate::know::Inode;
use crate::list::{TRIES, restless};
use crate::walk::Look;

/// How many inodes one `forget` lets go at most: a few more than one, so that a backlog shrinks.
const RECLAIM_STEP: usize = 8;

impl Inner {
    pub(crate) async fn lookup(&self, parent: InodeId, name: &Name) -> Result<Entry> {
        for _ in 0..TRIES {
            let inode = self.find_name(parent, name).await?;
            let inode = self.recollect_of(&inode).await.unwrap_or(inode);
            self.look_into(&inode).await;
            let want = self.looked(inode.ino, Look::Attributes);
            let inode = if self.can_show(&inode.payload) {
                inode
            } else {
                self.known_to_show(inode, want).await?
            };
            // It may have lost its name, and its number, since.
            if let Ok(entry) = self.entry(&mut self.table(), &inode) {
                return Ok(entry);
            }
        }
        Err(restless("looking up a name"))
    }

    pub(crate) async fn lookup_parent(&self, ino: InodeId) -> Result<Entry> {
        let parent = {
            let table = self.table();
            let parent = match table.parent_of(ino) {
                Some((parent, _)) => parent,
                None if ino == InodeId::ROOT => InodeId::ROOT,
                None => return Err(ErrorKind::NotFound.into()),
            };
            table.get(parent).ok_or(ErrorKind::NotFound)?
        };
        self.shown_node(parent.ino).await?;
        self.entry(&mut self.table(), &parent)
    }

    /// What a lookup answers; counts one.
    pub(crate) fn entry(&self, table: &mut Table, inode: &Inode) -> Result<Entry> {
        table.remember(inode.ino)?;
        Ok(self.entry_of(table, inode))
    }

    /// The same, counting none.
    pub(crate) fn entry_of(&self, table: &Table, inode: &Inode) -> Entry {
        Entry {
            attr: inode.payload.attr(),
            generation: inode.generation,
            entry_ttl: self.entry_left(table, &inode.payload),
            attr_ttl: self.attributes_left(table, &inode.payload),
        }
    }

    pub(crate) fn forget(&self, ino: InodeId, count: u64) {
        let freed = {
            let mut table = self.table();
            let gone = table.forget(ino, count);
            let idle = table.reclaim(self.settings.idle_inodes_max, RECLAIM_STEP);
            (gone, idle)
        };
        // Outside the lock: a file that goes may have a descriptor to close.
        drop(freed);
    }
}
