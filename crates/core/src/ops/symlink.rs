//! Reading symlinks.

use bytes::Bytes;
use cloudmount_stage::{Base, Desired};
use cloudmount_store::{GetOptions, Key, StoreExt, Version};
use cloudmount_vfs::{ErrorKind, InodeId, NodeKind, Result};

use crate::core::Inner;
use crate::list::{TRIES, restless};
use crate::node::{Content, Node};

/// Where a target is to be had.
enum Source {
    Here(Bytes),
    There(Key, Option<Version>),
}

impl Inner {
    pub(crate) async fn readlink(&self, ino: InodeId) -> Result<Bytes> {
        let node = self.node(ino)?;
        if node.kind != NodeKind::Symlink {
            return Err(ErrorKind::InvalidArgument.into());
        }
        if let Content::Link {
            target: Some(target),
            ..
        } = &node.lock().content
        {
            return Ok(target.clone());
        }
        let node = self.told_node(ino).await?;
        self.target(&node).await
    }

    /// The target of a symlink, read once and kept with its node.
    pub(crate) async fn target(&self, node: &Node) -> Result<Bytes> {
        for _ in 0..TRIES {
            let (key, version) = match self.target_source(node)? {
                Source::Here(target) => return Ok(target),
                Source::There(key, version) => (key, version),
            };
            let options = GetOptions {
                range: None,
                if_match: version.clone(),
            };
            let target = match self.store.get_bytes(&key, options).await {
                Ok(target) => target,
                Err(error) if error.kind() == cloudmount_store::ErrorKind::Precondition => {
                    // Replaced since its attributes were learnt.
                    node.lock().standing = crate::node::Standing::Listed;
                    return Err(ErrorKind::Stale.into());
                }
                Err(error) => return Err(error.into()),
            };
            if let Content::Link {
                target: slot,
                version: known,
                size,
            } = &mut node.lock().content
                && (*known == version || known.is_none())
                && *size == target.len() as u64
            {
                *slot = Some(target.clone());
                return Ok(target);
            }
        }
        Err(restless("reading a symlink"))
    }

    fn target_source(&self, node: &Node) -> Result<Source> {
        let table = self.table();
        let key = self.key(&table, node)?.ok_or(ErrorKind::InvalidArgument)?;
        let state = node.lock();
        let Content::Link {
            target, version, ..
        } = &state.content
        else {
            return Err(ErrorKind::InvalidArgument.into());
        };
        if let Some(target) = target {
            return Ok(Source::Here(target.clone()));
        }
        Ok(match self.stage.pending(&key).map(|view| view.desired) {
            Some(Desired::Inline { bytes, .. }) => Source::Here(bytes),
            Some(Desired::Content(file)) => match file.base() {
                // A rename under way: it is still where it was.
                Some(Base { key, version, .. }) => Source::There(key, Some(version)),
                None => Source::Here(file.read_local(0..file.size())?),
            },
            _ => Source::There(key, version.clone()),
        })
    }
}
