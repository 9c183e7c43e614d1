//! Extended attributes: of the namespace `user.`, kept in the object's metadata; but for the one that
//! tells how far the upload is.

use bytes::Bytes;
use cloudmount_vfs::{Error, ErrorKind, InodeId, Result, XattrMode};

use crate::core::Inner;
use crate::dialect::Xattrs;
use crate::node::Node;
use crate::upload_state::UPLOAD;

/// The only namespace: the others belong to the kernel or need privileges.
const USER: &str = "user.";

/// Namespaces of Linux that are not offered (`xattr(7)`): labels and access lists among them.
const NOT_OFFERED: [&str; 3] = ["security.", "system.", "trusted."];

fn is_offered(name: &str) -> bool {
    name.strip_prefix(USER).is_some_and(|rest| !rest.is_empty())
}

/// Nobody sets or removes the state of an upload.
fn not_the_state(name: &str) -> Result<()> {
    if name == UPLOAD {
        return Err(Error::new(ErrorKind::NotPermitted, UPLOAD));
    }
    Ok(())
}

impl Inner {
    pub(crate) async fn setxattr(
        &self,
        ino: InodeId,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        self.node(ino)?;
        if !is_offered(name) {
            return Err(ErrorKind::Unsupported.into());
        }
        not_the_state(name)?;
        self.writable()?;
        let node = self.known_node(ino).await?;
        self.change_xattrs(&node, |xattrs| {
            match (mode, xattrs.contains_key(name)) {
                (XattrMode::Create, true) => return Err(ErrorKind::Exists.into()),
                (XattrMode::Replace, false) => return Err(ErrorKind::NoAttribute.into()),
                _ => {}
            }
            xattrs.insert(name.to_owned(), Bytes::copy_from_slice(value));
            Ok(())
        })
    }

    pub(crate) async fn getxattr(&self, ino: InodeId, name: &str) -> Result<Bytes> {
        if !is_offered(name) {
            // The kernel asks for `security.capability` at each first write: no request for that.
            self.node(ino)?;
            // `ls -l` asks each file for its label and its access list, unless it hears that there are none at all.
            let is_foreign = NOT_OFFERED.iter().any(|space| name.starts_with(space));
            return Err(if is_foreign {
                ErrorKind::Unsupported.into()
            } else {
                ErrorKind::NoAttribute.into()
            });
        }
        if name == UPLOAD {
            return self.upload_state(&*self.node(ino)?).map(Bytes::from);
        }
        let node = self.told_node(ino).await?;
        let value = node.lock().xattrs.get(name).cloned();
        value.ok_or_else(|| ErrorKind::NoAttribute.into())
    }

    pub(crate) async fn listxattr(&self, ino: InodeId) -> Result<Vec<String>> {
        let node = self.told_node(ino).await?;
        let names = node.lock().xattrs.keys().cloned().collect();
        Ok(names)
    }

    pub(crate) async fn removexattr(&self, ino: InodeId, name: &str) -> Result<()> {
        not_the_state(name)?;
        self.writable()?;
        let node = self.known_node(ino).await?;
        self.change_xattrs(&node, |xattrs| match xattrs.remove(name) {
            Some(_) => Ok(()),
            None => Err(ErrorKind::NoAttribute.into()),
        })
    }

    fn change_xattrs(
        &self,
        node: &Node,
        change: impl FnOnce(&mut Xattrs) -> Result<()>,
    ) -> Result<()> {
        let mut table = self.table();
        let mut state = node.lock();
        let before = (state.xattrs.clone(), state.ctime);
        change(&mut state.xattrs)?;
        state.ctime = self.clock.wall();
        let stored = self.store_attributes(&mut table, node, &mut state);
        if stored.is_err() {
            (state.xattrs, state.ctime) = before;
        }
        stored
    }
}
