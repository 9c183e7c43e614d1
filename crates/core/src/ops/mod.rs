//! The operations, one file for each family, and `impl Vfs for Core` that hands each call on.

mod attr;
mod create;
mod data;
mod dirs;
mod lookup;
mod open;
mod recall;
mod remove;
mod rename;
mod symlink;
mod tree;
mod whole;
mod xattr;

pub(crate) use rename::Move;

use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, Changes, Context, Cookie, Created, DirHandle, DirPlusSink, DirSink, Entry,
    FileHandle, InodeId, LocalFile, Name, NodeKind, OpenFlags, Opened, OpenedDir, Permissions,
    RenameMode, Result, SeekWhence, SetAttr, StatFs, SyncScope, Vfs, XattrMode,
};

use crate::core::Core;

impl Vfs for Core {
    async fn lookup(&self, _: &Context, parent: InodeId, name: &Name) -> Result<Entry> {
        self.inner.lookup(parent, name).await
    }

    async fn lookup_parent(&self, _: &Context, ino: InodeId) -> Result<Entry> {
        self.inner.lookup_parent(ino).await
    }

    fn forget(&self, ino: InodeId, count: u64) {
        self.inner.forget(ino, count);
    }

    async fn getattr(
        &self,
        _: &Context,
        ino: InodeId,
        _: Option<FileHandle>,
    ) -> Result<(Attr, Duration)> {
        self.inner.getattr(ino).await
    }

    async fn setattr(&self, _: &Context, ino: InodeId, set: &SetAttr) -> Result<(Attr, Duration)> {
        self.inner.setattr(ino, set).await
    }

    async fn readlink(&self, _: &Context, ino: InodeId) -> Result<Bytes> {
        self.inner.readlink(ino).await
    }

    async fn mknod(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.inner.mknod(cx, parent, name, kind, permissions).await
    }

    async fn mkdir(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.inner.mkdir(cx, parent, name, permissions).await
    }

    async fn unlink(&self, _: &Context, parent: InodeId, name: &Name) -> Result<()> {
        self.inner.unlink(parent, name).await
    }

    async fn rmdir(&self, _: &Context, parent: InodeId, name: &Name) -> Result<()> {
        self.inner.rmdir(parent, name).await
    }

    async fn symlink(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        target: &[u8],
    ) -> Result<Entry> {
        self.inner.symlink(cx, parent, name, target).await
    }

    async fn rename(
        &self,
        _: &Context,
        parent: InodeId,
        name: &Name,
        new_parent: InodeId,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<()> {
        (self.inner)
            .rename((parent, name), (new_parent, new_name), mode)
            .await
    }

    async fn open(&self, _: &Context, ino: InodeId, flags: OpenFlags) -> Result<Opened> {
        self.inner.open(ino, flags).await
    }

    fn local_file(&self, ino: InodeId, handle: FileHandle) -> Option<LocalFile> {
        self.inner.local_file(ino, handle)
    }

    async fn create(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> Result<Created> {
        (self.inner)
            .create(cx, parent, name, permissions, flags)
            .await
    }

    async fn read(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        size: u32,
    ) -> Result<Bytes> {
        self.inner.read(ino, handle, offset, size).await
    }

    async fn write(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<u32> {
        self.inner.write(ino, handle, offset, data).await
    }

    async fn flush(&self, _: &Context, ino: InodeId, handle: FileHandle) -> Result<()> {
        self.inner.flush(ino, handle).await
    }

    async fn fsync(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        _: SyncScope,
    ) -> Result<()> {
        self.inner.fsync(ino, handle).await
    }

    async fn release(&self, _: &Context, ino: InodeId, handle: FileHandle) -> Result<()> {
        self.inner.release(ino, handle)
    }

    async fn opendir(&self, _: &Context, ino: InodeId) -> Result<OpenedDir> {
        self.inner.opendir(ino)
    }

    async fn readdir(
        &self,
        _: &Context,
        ino: InodeId,
        _: DirHandle,
        from: Cookie,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        self.inner.readdir(ino, from, sink).await
    }

    async fn readdirplus(
        &self,
        _: &Context,
        ino: InodeId,
        _: DirHandle,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> Result<()> {
        self.inner.readdirplus(ino, from, sink).await
    }

    async fn releasedir(&self, _: &Context, ino: InodeId, handle: DirHandle) -> Result<()> {
        self.inner.releasedir(ino, handle)
    }

    async fn fsyncdir(&self, _: &Context, ino: InodeId, _: DirHandle, _: SyncScope) -> Result<()> {
        self.inner.fsyncdir(ino).await
    }

    async fn statfs(&self, _: &Context, _: InodeId) -> Result<StatFs> {
        Ok(attr::STATFS)
    }

    async fn setxattr(
        &self,
        _: &Context,
        ino: InodeId,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        self.inner.setxattr(ino, name, value, mode).await
    }

    async fn getxattr(&self, _: &Context, ino: InodeId, name: &str) -> Result<Bytes> {
        self.inner.getxattr(ino, name).await
    }

    async fn listxattr(&self, _: &Context, ino: InodeId) -> Result<Vec<String>> {
        self.inner.listxattr(ino).await
    }

    async fn removexattr(&self, _: &Context, ino: InodeId, name: &str) -> Result<()> {
        self.inner.removexattr(ino, name).await
    }

    async fn access(&self, cx: &Context, ino: InodeId, mask: AccessMask) -> Result<()> {
        self.inner.access(cx, ino, mask).await
    }

    async fn fallocate(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        self.inner.fallocate(ino, handle, offset, length).await
    }

    async fn lseek(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        whence: SeekWhence,
    ) -> Result<u64> {
        self.inner.lseek(ino, handle, offset, whence)
    }

    async fn copy_file_range(
        &self,
        _: &Context,
        from: (InodeId, FileHandle, u64),
        to: (InodeId, FileHandle, u64),
        length: u64,
    ) -> Result<u64> {
        self.inner.copy_file_range(from, to, length).await
    }

    fn changes(&self) -> Option<Changes> {
        self.take_changes()
    }
}
