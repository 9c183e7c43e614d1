//! Calls that make, move and remove names.

use bytes::Bytes;
use cloudmount_vfs::{
    Entry, ErrorKind, InodeId, Name, NodeKind, Permissions, RenameMode, Result, Vfs,
};

use super::walk::Last;
use super::{FakeKernel, Held, refuse};

impl<V: Vfs> FakeKernel<V> {
    /// Makes a directory; `mode` less the umask.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::mkdir`].
    pub async fn mkdir(&self, path: &str, mode: u32) -> Result<()> {
        let (parent, name) = self.place_for(path).await?;
        let (vfs, cx, permissions) = (self.vfs(), &self.cx, self.masked(mode));
        let made = self
            .call(|| vfs.mkdir(cx, parent.ino, &name, permissions))
            .await;
        self.made(&parent, &name, NodeKind::Directory, made)
    }

    /// Makes an empty file; `mode` less the umask.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::mknod`].
    pub async fn mknod(&self, path: &str, mode: u32) -> Result<()> {
        let (parent, name) = self.place_for(path).await?;
        let (vfs, cx, permissions) = (self.vfs(), &self.cx, self.masked(mode));
        let kind = NodeKind::File;
        let made = self
            .call(|| vfs.mknod(cx, parent.ino, &name, kind, permissions))
            .await;
        self.made(&parent, &name, kind, made)
    }

    /// Makes a symlink at `path` that says `target`.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::symlink`].
    pub async fn symlink(&self, target: &str, path: &str) -> Result<()> {
        let (parent, name) = self.place_for(path).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let made = self
            .call(|| vfs.symlink(cx, parent.ino, &name, target.as_bytes()))
            .await;
        self.made(&parent, &name, NodeKind::Symlink, made)
    }

    /// What a symlink says.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::readlink`].
    pub async fn readlink(&self, path: &str) -> Result<Bytes> {
        let held = self.walk(path, Last::Keep).await?;
        self.target(&held).await
    }

    pub(super) async fn target(&self, held: &Held<V>) -> Result<Bytes> {
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.call(|| vfs.readlink(cx, held.ino)).await
    }

    /// Removes a file or symlink.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::unlink`].
    pub async fn unlink(&self, path: &str) -> Result<()> {
        let (parent, name) = self.place_of(path).await?;
        self.changing(&parent);
        let (vfs, cx) = (self.vfs(), &self.cx);
        let removed = self.call(|| vfs.unlink(cx, parent.ino, &name)).await;
        self.removed(&parent, &name, removed)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::rmdir`].
    pub async fn rmdir(&self, path: &str) -> Result<()> {
        let (parent, name) = self.place_of(path).await?;
        self.changing(&parent);
        let (vfs, cx) = (self.vfs(), &self.cx);
        let removed = self.call(|| vfs.rmdir(cx, parent.ino, &name)).await;
        self.removed(&parent, &name, removed)
    }

    /// Moves `from` to `to`, over what is there.
    ///
    /// # Errors
    /// As [`rename_with`](Self::rename_with).
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_with(from, to, RenameMode::Replace).await
    }

    /// Moves `from` to `to`.
    ///
    /// # Errors
    /// Those of the ways there, and of [`Vfs::rename`]; `NotEmpty` if `to` is a directory above
    /// `from`, which Linux answers by itself.
    pub async fn rename_with(&self, from: &str, to: &str, mode: RenameMode) -> Result<()> {
        let (parent, name) = self.place_of(from).await?;
        let (new_parent, new_name) = self.place_of(to).await?;
        self.permit_entries(&new_parent).await?;
        if mode == RenameMode::Replace && self.names_ancestor(from, &new_parent, &new_name).await {
            return refuse(ErrorKind::NotEmpty);
        }
        self.changing(&parent);
        self.changing(&new_parent);
        let (vfs, cx) = (self.vfs(), &self.cx);
        let (old_dir, new_dir) = (parent.ino, new_parent.ino);
        let moved = self
            .call(|| vfs.rename(cx, old_dir, &name, new_dir, &new_name, mode))
            .await;
        self.changing(&parent);
        self.changing(&new_parent);
        moved?;
        self.moved((old_dir, &name), (new_dir, &new_name), mode);
        Ok(())
    }

    fn moved(&self, from: (InodeId, &Name), to: (InodeId, &Name), mode: RenameMode) {
        self.shared.with(|state| {
            for place in [from, to] {
                if let Some(child) = state.last_known(place.0, place.1) {
                    state.expire_attr(child);
                }
                state.expire_attr(place.0);
            }
            if mode == RenameMode::Exchange {
                state.unlink(from.0, from.1);
                state.unlink(to.0, to.1);
            } else if from != to {
                state.rename(from, to);
            }
        });
    }

    /// Whether `name` in `parent` is a directory on the way to `path`'s last part.
    async fn names_ancestor(&self, path: &str, parent: &Held<V>, name: &Name) -> bool {
        let Some(target) = self.shared.with(|state| state.last_known(parent.ino, name)) else {
            return false;
        };
        let mut way = path.trim_end_matches('/');
        while let Some((above, _)) = way.rsplit_once('/') {
            way = above;
            match self.walk(way, Last::Follow).await {
                Ok(held) if held.ino == target && !way.is_empty() => return true,
                Ok(_) | Err(_) => {}
            }
        }
        false
    }

    pub(super) fn masked(&self, mode: u32) -> Permissions {
        Permissions::from_mode(mode & !u32::from(self.shared.options.umask))
    }

    /// The place for a new name. Linux looks it up first.
    async fn place_for(&self, path: &str) -> Result<(Held<V>, Name)> {
        let (parent, name) = self.walk_to_parent(path).await?;
        self.look(&parent, &name).await?;
        self.permit_entries(&parent).await?;
        self.changing(&parent);
        Ok((parent, name))
    }

    /// The place of a name that is to be taken away.
    async fn place_of(&self, path: &str) -> Result<(Held<V>, Name)> {
        let (parent, name) = self.walk_to_parent(path).await?;
        self.look(&parent, &name).await?;
        self.permit_removal(&parent, &name).await?;
        Ok((parent, name))
    }

    /// Looks a name up; that there is none is no error yet.
    async fn look(&self, parent: &Held<V>, name: &Name) -> Result<()> {
        match self.child(parent, name).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Tells scans that the entries of a directory are changing.
    pub(super) fn changing(&self, parent: &Held<V>) {
        self.shared
            .with(|state| state.node(parent.ino).renames += 1);
    }

    pub(super) fn made(
        &self,
        parent: &Held<V>,
        name: &Name,
        kind: NodeKind,
        made: Result<Entry>,
    ) -> Result<()> {
        self.changing(parent);
        let entry = made?;
        assert!(
            entry.attr.kind == kind,
            "law: what is made is what was asked for; {name:?} is a {:?}, not a {kind:?}",
            entry.attr.kind
        );
        self.shared.with(|state| state.expire_attr(parent.ino));
        drop(self.keep(parent, name, &entry));
        Ok(())
    }

    fn removed(&self, parent: &Held<V>, name: &Name, removed: Result<()>) -> Result<()> {
        self.changing(parent);
        removed?;
        self.shared.with(|state| {
            state.expire_attr(parent.ino);
            if let Some(child) = state.last_known(parent.ino, name) {
                state.expire_attr(child);
            }
            state.unlink(parent.ino, name);
        });
        Ok(())
    }
}
