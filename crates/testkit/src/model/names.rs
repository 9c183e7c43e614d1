//! Names: looking up, creating, removing.

use bytes::Bytes;
use cloudmount_vfs::{Context, Entry, ErrorKind, InodeId, Name, NodeKind, Permissions, Result};

use super::Flaw;
use super::content::Content;
use super::tree::{Body, Directory, Tree};

/// The set-group-id bit: on a directory, its group goes to what is created in it.
const SET_GROUP_ID: u16 = 0o2000;

/// Longest target of a symlink in bytes: Linux's `PATH_MAX` less the final NUL.
const TARGET_BYTES_MAX: usize = 4095;

impl Tree {
    pub(super) fn lookup(&mut self, parent: InodeId, name: &Name) -> Result<Entry> {
        match self.child(parent, name)? {
            Some(ino) => self.entry(ino),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn lookup_parent(&mut self, ino: InodeId) -> Result<Entry> {
        let node = self.node(ino)?;
        match &node.place {
            Some((parent, _)) => {
                let parent = *parent;
                self.entry(parent)
            }
            None if ino == InodeId::ROOT => self.entry(ino),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn mknod(
        &mut self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        permissions: Permissions,
    ) -> Result<Entry> {
        if kind != NodeKind::File {
            return Err(ErrorKind::NotPermitted.into());
        }
        let ino = self.make(
            cx,
            parent,
            name,
            Body::File(Content::default()),
            permissions,
        )?;
        self.entry(ino)
    }

    pub(super) fn mkdir(
        &mut self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
    ) -> Result<Entry> {
        let body = Body::Directory(Directory::with_marker());
        let ino = self.make(cx, parent, name, body, permissions)?;
        self.entry(ino)
    }

    pub(super) fn symlink(
        &mut self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        target: &[u8],
    ) -> Result<Entry> {
        if target.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        if target.len() > TARGET_BYTES_MAX {
            return Err(ErrorKind::NameTooLong.into());
        }
        let mut target = target.to_vec();
        if self.has(Flaw::NormalisesTargets) {
            target.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
            target.truncate(target.len() - usize::from(target.len() > 1 && target.ends_with(b"/")));
        }
        let body = Body::Symlink(Bytes::from(target));
        let ino = self.make(cx, parent, name, body, Permissions::from_mode(0o777))?;
        self.entry(ino)
    }

    pub(super) fn readlink(&self, ino: InodeId) -> Result<Bytes> {
        match &self.node(ino)?.body {
            Body::Symlink(target) => Ok(target.clone()),
            Body::File(_) | Body::Directory(_) => Err(ErrorKind::InvalidArgument.into()),
        }
    }

    /// Creates a node under a name that must be free.
    pub(super) fn make(
        &mut self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        body: Body,
        permissions: Permissions,
    ) -> Result<InodeId> {
        if self.child(parent, name)?.is_some() {
            if !self.has(Flaw::OverwritesExisting) {
                return Err(ErrorKind::Exists.into());
            }
            self.detach(parent, name)?;
        }
        let is_directory = matches!(body, Body::Directory(_));
        self.check_key(parent, name, usize::from(is_directory))?;
        let above = self.node(parent)?.attr;
        let (mut cx, mut permissions) = (*cx, permissions);
        if above.permissions.contains(SET_GROUP_ID) && !self.has(Flaw::IgnoresSetgid) {
            cx.gid = above.gid;
            if is_directory {
                permissions = Permissions::from_mode(u32::from(permissions.bits() | SET_GROUP_ID));
            }
        }
        let ino = self.add(body, permissions, &cx);
        self.attach(parent, name, ino)?;
        Ok(ino)
    }

    /// Whether `name` in `parent`, and `more` bytes below it, still fit a key.
    pub(super) fn check_key(&self, parent: InodeId, name: &Name, more: usize) -> Result<()> {
        let Some(path) = self.path(parent) else {
            return Err(ErrorKind::NotFound.into());
        };
        let slash = usize::from(!path.is_empty());
        match path.len() + slash + name.as_str().len() + more {
            bytes if bytes > self.settings.limits.key_bytes_max => {
                Err(ErrorKind::NameTooLong.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn unlink(&mut self, parent: InodeId, name: &Name) -> Result<()> {
        match self.child(parent, name)? {
            None => Err(ErrorKind::NotFound.into()),
            Some(ino) if self.node(ino)?.attr.kind == NodeKind::Directory => {
                Err(ErrorKind::IsDirectory.into())
            }
            Some(_) if self.has(Flaw::UnlinkLeaves) => Ok(()),
            Some(_) => self.detach_and_keep(parent, name),
        }
    }

    pub(super) fn rmdir(&mut self, parent: InodeId, name: &Name) -> Result<()> {
        let Some(ino) = self.child(parent, name)? else {
            return Err(ErrorKind::NotFound.into());
        };
        if !self.directory(ino)?.is_empty() && !self.has(Flaw::RmdirIgnoresEntries) {
            return Err(ErrorKind::NotEmpty.into());
        }
        self.detach_and_keep(parent, name)
    }

    fn detach_and_keep(&mut self, parent: InodeId, name: &Name) -> Result<()> {
        self.detach(parent, name)?;
        if self.has(Flaw::FoldersVanish)
            && self.directory(parent)?.is_empty()
            && let Some((above, name)) = self.node(parent)?.place.clone()
        {
            self.detach(above, &name)?;
        }
        Ok(())
    }
}
