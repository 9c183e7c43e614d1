//! Names that go: files, symlinks, empty directories.

use cloudmount_inode::Expect;
use cloudmount_stage::RemoteBelief;
use cloudmount_store::Key;
use cloudmount_vfs::{ErrorKind, InodeId, Name, NodeKind, Result};

use crate::core::Inner;
use crate::list::{TRIES, restless};
use crate::ttl::Wanted;

impl Inner {
    pub(crate) async fn unlink(&self, parent: InodeId, name: &Name) -> Result<()> {
        self.writable()?;
        for _ in 0..TRIES {
            let inode = self.find_told(parent, name).await?;
            if inode.kind == NodeKind::Directory {
                return Err(ErrorKind::IsDirectory.into());
            }
            self.recall_for_readers(&inode.payload).await;
            if self.remove_name(parent, name, inode.ino, Vec::new())? {
                return Ok(());
            }
        }
        Err(restless("removing a name"))
    }

    pub(crate) async fn rmdir(&self, parent: InodeId, name: &Name) -> Result<()> {
        self.writable()?;
        for _ in 0..TRIES {
            let inode = self.find(parent, name).await?;
            if inode.kind != NodeKind::Directory {
                return Err(ErrorKind::NotDirectory.into());
            }
            self.ensure_listed(inode.ino, Wanted::Names).await?;
            let hidden = self.hidden_below(inode.ino).await?;
            let _quiet = self.no_publishing().await;
            if self.remove_name(parent, name, inode.ino, hidden)? {
                return Ok(());
            }
        }
        Err(restless("removing a directory"))
    }

    /// Removes the name if it still leads to `ino`, with what is `hidden` below it; says whether it did.
    fn remove_name(
        &self,
        parent: InodeId,
        name: &Name,
        ino: InodeId,
        hidden: Vec<(Key, RemoteBelief)>,
    ) -> Result<bool> {
        let mut table = self.table();
        let Some(inode) = table.peek(parent, name).filter(|found| found.ino == ino) else {
            return Ok(false);
        };
        if table.has_children(ino) {
            return Err(ErrorKind::NotEmpty.into());
        }
        let folder = self.folder(&table, parent)?;
        let key = self.child_key(&table, parent, name, inode.kind)?;
        let belief = self.detach(&mut table, &inode.payload, &key)?;
        // The stage first: what it refuses stays as it is. A folder's own marker last: it stays until the others go.
        for (key, belief) in hidden {
            self.stage.remove(&key, belief)?;
        }
        self.remove_manifest(&table, &inode)?;
        self.remove_marks(&inode.payload, &key)?;
        self.stage.remove(&key, belief)?;
        let expect = match inode.kind {
            NodeKind::Directory => Expect::Directory,
            NodeKind::File | NodeKind::Symlink => Expect::NotDirectory,
        };
        table.remove(parent, name, expect)?;
        self.detached(&inode.payload);
        self.touched.lock().remove(&ino);
        self.confirm_if_done(&mut table, &key);
        self.touch(&mut table, &folder);
        if let Err(error) = self.keep_folder(&mut table, &folder) {
            tracing::warn!(%error, "a folder that lost its last entry has no marker");
        }
        Ok(true)
    }
}
