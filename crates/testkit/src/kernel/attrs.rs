//! Calls on attributes.

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, ErrorKind, InodeId, Permissions, Result, SetAttr, SetTime, StatFs, Vfs,
    XattrMode,
};

use super::files::Growth;
use super::walk::Last;
use super::{FakeKernel, Fd, Held, refuse};

impl<V: Vfs> FakeKernel<V> {
    /// The attributes of what a path leads to; a symlink at its end is followed.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::getattr`].
    pub async fn stat(&self, path: &str) -> Result<Attr> {
        let held = self.walk(path, Last::Follow).await?;
        self.attr(&held).await
    }

    /// As [`stat`](Self::stat), of the symlink itself.
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    pub async fn lstat(&self, path: &str) -> Result<Attr> {
        let held = self.walk(path, Last::Keep).await?;
        self.attr(&held).await
    }

    /// The attributes of an open file, asked of the filesystem each time.
    ///
    /// # Errors
    /// `BadHandle` if it is not open; those of [`Vfs::getattr`].
    pub async fn fstat(&self, fd: Fd) -> Result<Attr> {
        let file = self.file(fd)?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let (attr, _) = self
            .call(|| vfs.getattr(cx, file.ino, Some(file.handle)))
            .await?;
        assert!(
            attr.ino == file.ino,
            "law: attributes of {} carry its number",
            file.ino
        );
        Ok(attr)
    }

    /// Whether a path leads to something. A dangling symlink does: to itself.
    ///
    /// # Errors
    /// Any but `NotFound`.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        match self.walk(path, Last::Keep).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The attributes of an inode: as known, or asked for.
    pub(super) async fn attr(&self, held: &Held<V>) -> Result<Attr> {
        self.follow_changes();
        let now = self.now();
        if let Some(attr) = self.shared.with(|state| state.fresh_attr(held.ino, now)) {
            return Ok(attr);
        }
        let (vfs, cx) = (self.vfs(), &self.cx);
        let (attr, ttl) = self.call(|| vfs.getattr(cx, held.ino, None)).await?;
        let until = self.now() + ttl;
        self.shared
            .with(|state| state.learn_attr(held.ino, &attr, until));
        Ok(attr)
    }

    /// Sets permission bits.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::setattr`].
    pub async fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        let held = self.walk(path, Last::Follow).await?;
        self.permit_owner(&held).await?;
        let permissions = Some(Permissions::from_mode(mode));
        self.set(
            &held,
            SetAttr {
                permissions,
                ..SetAttr::default()
            },
        )
        .await
    }

    /// Sets owner and group, of a symlink itself.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::setattr`].
    pub async fn chown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let held = self.walk(path, Last::Keep).await?;
        self.permit_superuser()?;
        self.set(
            &held,
            SetAttr {
                uid,
                gid,
                ..SetAttr::default()
            },
        )
        .await
    }

    /// Sets the times of last access and change.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::setattr`].
    pub async fn utimens(
        &self,
        path: &str,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        let held = self.walk(path, Last::Follow).await?;
        self.permit_owner(&held).await?;
        self.set(
            &held,
            SetAttr {
                atime,
                mtime,
                ..SetAttr::default()
            },
        )
        .await
    }

    /// Cuts a file or extends it.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::setattr`].
    pub async fn truncate(&self, path: &str, size: u64) -> Result<()> {
        let held = self.walk(path, Last::Follow).await?;
        self.permit(
            &held,
            AccessMask {
                read: false,
                write: true,
                execute: false,
            },
        )
        .await?;
        self.set(
            &held,
            SetAttr {
                size: Some(size),
                ..SetAttr::default()
            },
        )
        .await
    }

    /// Cuts an open file or extends it.
    ///
    /// # Errors
    /// `BadHandle` if it is not open; those of [`Vfs::setattr`].
    pub async fn ftruncate(&self, fd: Fd, size: u64) -> Result<()> {
        let file = self.file(fd)?;
        let held = self.hold(file.ino);
        let handle = Some(file.handle);
        self.set(
            &held,
            SetAttr {
                size: Some(size),
                handle,
                ..SetAttr::default()
            },
        )
        .await
    }

    /// Any change of attributes; of a symlink itself.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::setattr`].
    pub async fn setattr(&self, path: &str, set: &SetAttr) -> Result<()> {
        let held = self.walk(path, Last::Keep).await?;
        self.set(&held, *set).await
    }

    async fn set(&self, held: &Held<V>, set: SetAttr) -> Result<()> {
        if set.size.is_some() {
            self.writing(held.ino);
        }
        let (vfs, cx) = (self.vfs(), &self.cx);
        let done = self.call(|| vfs.setattr(cx, held.ino, &set)).await;
        if let Some(size) = set.size {
            let growth = if done.is_ok() {
                Growth::To(size)
            } else {
                Growth::None
            };
            self.wrote(held.ino, size..u64::MAX, growth);
        }
        let (attr, ttl) = done?;
        check_set(held.ino, &set, &attr);
        let until = self.now() + ttl;
        self.shared
            .with(|state| state.learn_attr(held.ino, &attr, until));
        Ok(())
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::setxattr`].
    pub async fn setxattr(
        &self,
        path: &str,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        let held = self.walk(path, Last::Follow).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let done = self
            .call(|| vfs.setxattr(cx, held.ino, name, value, mode))
            .await;
        self.shared.with(|state| state.expire_attr(held.ino));
        done
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::getxattr`].
    pub async fn getxattr(&self, path: &str, name: &str) -> Result<Bytes> {
        let held = self.walk(path, Last::Follow).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.call(|| vfs.getxattr(cx, held.ino, name)).await
    }

    /// The names of all extended attributes, in order.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::listxattr`].
    pub async fn listxattr(&self, path: &str) -> Result<Vec<String>> {
        let held = self.walk(path, Last::Follow).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let mut names = self.call(|| vfs.listxattr(cx, held.ino)).await?;
        names.sort();
        Ok(names)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::removexattr`].
    pub async fn removexattr(&self, path: &str, name: &str) -> Result<()> {
        let held = self.walk(path, Last::Follow).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let done = self.call(|| vfs.removexattr(cx, held.ino, name)).await;
        self.shared.with(|state| state.expire_attr(held.ino));
        done
    }

    /// Whether the caller may, as the filesystem sees it.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::access`].
    pub async fn access(&self, path: &str, mask: AccessMask) -> Result<()> {
        let held = self.walk(path, Last::Follow).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.call(|| vfs.access(cx, held.ino, mask)).await
    }

    /// Room and limits.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::statfs`].
    pub async fn statfs(&self, path: &str) -> Result<StatFs> {
        let held = self.walk(path, Last::Follow).await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let told = self.call(|| vfs.statfs(cx, held.ino)).await?;
        if told.block_bytes == 0 {
            return refuse(ErrorKind::InvalidArgument);
        }
        Ok(told)
    }
}

#[track_caller]
fn check_set(ino: InodeId, set: &SetAttr, told: &Attr) {
    let time = |set: Option<SetTime>| match set {
        Some(SetTime::At(at)) => Some(at),
        Some(SetTime::Now) | None => None,
    };
    let holds = set
        .permissions
        .is_none_or(|permissions| permissions == told.permissions)
        && set.uid.is_none_or(|uid| uid == told.uid)
        && set.gid.is_none_or(|gid| gid == told.gid)
        && set.size.is_none_or(|size| size == told.size)
        && time(set.atime).is_none_or(|at| at == told.atime)
        && time(set.mtime).is_none_or(|at| at == told.mtime);
    assert!(
        holds,
        "law: setattr answers with what was set; {ino}: asked {set:?}, told {told:?}"
    );
}
