//! Attributes that are only shown: where a listing is enough for them.
//!
//! Law: what is shown so is never written. Whoever changes attributes, or needs what a listing does not tell, asks
//! for them first: see `know`.

use std::sync::Arc;

use cloudmount_inode::Lookup;
use cloudmount_vfs::{ErrorKind, InodeId, Name, Result, Timestamp};

use crate::Attributes;
use crate::core::Inner;
use crate::know::Inode;
use crate::node::{Content, Node, State};

impl Inner {
    /// As [`find`](Self::find), to be shown only.
    pub(crate) async fn find_shown(&self, parent: InodeId, name: &Name) -> Result<Inode> {
        let inode = self.find_name(parent, name).await?;
        let inode = self.recollect_of(&inode).await.unwrap_or(inode);
        if self.can_show(&inode.payload) {
            return Ok(inode);
        }
        self.known(inode).await
    }

    /// As [`find`](Self::find), for who needs to know which object it is, and what, but writes none of its
    /// attributes.
    pub(crate) async fn find_told(&self, parent: InodeId, name: &Name) -> Result<Inode> {
        let inode = self.find_name(parent, name).await?;
        let inode = self.recollect_of(&inode).await.unwrap_or(inode);
        if self.is_told(&inode.payload) {
            return Ok(inode);
        }
        self.known(inode).await
    }

    /// As [`known_node`](Self::known_node), to be shown only.
    pub(crate) async fn shown_node(&self, ino: InodeId) -> Result<Arc<Node>> {
        let inode = self.table().get(ino).ok_or(ErrorKind::NotFound)?;
        if self.is_known(&inode.payload) {
            return Ok(inode.payload);
        }
        if self.recollect_of(&inode).await.is_some() {
            return Err(ErrorKind::Stale.into());
        }
        if self.is_told(&inode.payload) {
            return Ok(inode.payload);
        }
        if self.can_show(&inode.payload) && self.is_named(ino).await? {
            return Ok(inode.payload);
        }
        self.known_node(ino).await
    }

    /// The node with all its attributes told, to be shown only.
    pub(crate) async fn told_node(&self, ino: InodeId) -> Result<Arc<Node>> {
        let inode = self.table().get(ino).ok_or(ErrorKind::NotFound)?;
        if self.recollect_of(&inode).await.is_none() && self.is_told(&inode.payload) {
            return Ok(inode.payload);
        }
        self.known_node(ino).await
    }

    /// Whether all its attributes are known, or told by a manifest.
    pub(crate) fn is_told(&self, node: &Node) -> bool {
        node.ino == InodeId::ROOT || node.look(|_| false, |state| state.is_told(self.now()))
    }

    /// Whether what is known of it may be shown, as far as its name is believed.
    pub(crate) fn can_show(&self, node: &Node) -> bool {
        self.is_told(node)
            || self.settings.attributes == Attributes::Listing
                && node.look(
                    |listed| listed.modified() != Timestamp::EPOCH,
                    State::is_listed,
                )
    }

    /// Whether its name leads to it now; a listing tells, if the name is believed no longer.
    async fn is_named(&self, ino: InodeId) -> Result<bool> {
        let (parent, name) = {
            let mut table = self.table();
            let Some((parent, name)) = table.parent_of(ino) else {
                return Ok(false);
            };
            if let Ok(Lookup::Known(found)) = table.lookup(parent, &name, self.now()) {
                return Ok(found.ino == ino);
            }
            (parent, name)
        };
        match self.find_name(parent, &name).await {
            Ok(found) => Ok(found.ino == ino),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl State {
    /// Whether a listing, or more, has told of it.
    fn is_listed(&self) -> bool {
        match self.content {
            Content::Folder { .. } | Content::Staged(_) => true,
            // One that was looked up alone, and whose memory was reclaimed, has no date.
            Content::Object(_) | Content::Link { .. } => {
                (self.modified).is_some_and(|modified| modified != Timestamp::EPOCH)
            }
        }
    }
}
