//! `impl Vfs for Model`: each operation is one step on the tree.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, Changes, Context, Cookie, Created, DirHandle, DirPlusSink, DirSink, Entry,
    FileHandle, InodeId, Name, NodeKind, OpenFlags, Opened, OpenedDir, Permissions, RenameMode,
    Result, SeekWhence, SetAttr, StatFs, SyncScope, Vfs, XattrMode,
};

use super::{Flaw, Model};

/// What `statfs` tells: the numbers that a bucket has, which has no end.
const STATFS: StatFs = StatFs {
    block_bytes: 4096,
    blocks: 1 << 38,
    blocks_free: 1 << 38,
    inodes: 1 << 32,
    inodes_free: 1 << 32,
    name_bytes_max: 255,
};

impl Vfs for Model {
    async fn lookup(&self, _: &Context, parent: InodeId, name: &Name) -> Result<Entry> {
        self.step(|tree| tree.lookup(parent, name)).await
    }

    async fn lookup_parent(&self, _: &Context, ino: InodeId) -> Result<Entry> {
        self.step(|tree| tree.lookup_parent(ino)).await
    }

    fn forget(&self, ino: InodeId, count: u64) {
        self.tree().forget(ino, count);
    }

    async fn getattr(
        &self,
        _: &Context,
        ino: InodeId,
        handle: Option<FileHandle>,
    ) -> Result<(Attr, Duration)> {
        self.step(|tree| Ok((tree.attr(ino, handle)?, tree.settings.ttl)))
            .await
    }

    async fn setattr(&self, _: &Context, ino: InodeId, set: &SetAttr) -> Result<(Attr, Duration)> {
        self.step(|tree| Ok((tree.setattr(ino, set)?, tree.settings.ttl)))
            .await
    }

    async fn readlink(&self, _: &Context, ino: InodeId) -> Result<Bytes> {
        self.step(|tree| tree.readlink(ino)).await
    }

    async fn mknod(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.step(|tree| tree.mknod(cx, parent, name, kind, permissions))
            .await
    }

    async fn mkdir(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.step(|tree| tree.mkdir(cx, parent, name, permissions))
            .await
    }

    async fn unlink(&self, _: &Context, parent: InodeId, name: &Name) -> Result<()> {
        self.step(|tree| tree.unlink(parent, name)).await
    }

    async fn rmdir(&self, _: &Context, parent: InodeId, name: &Name) -> Result<()> {
        self.step(|tree| tree.rmdir(parent, name)).await
    }

    async fn symlink(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        target: &[u8],
    ) -> Result<Entry> {
        self.step(|tree| tree.symlink(cx, parent, name, target))
            .await
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
        self.step(|tree| tree.rename((parent, name), (new_parent, new_name), mode))
            .await
    }

    async fn open(&self, _: &Context, ino: InodeId, flags: OpenFlags) -> Result<Opened> {
        self.step(|tree| tree.open(ino, flags)).await
    }

    async fn create(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> Result<Created> {
        self.step(|tree| tree.create(cx, parent, name, permissions, flags))
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
        self.step(|tree| tree.read(ino, handle, offset, size)).await
    }

    async fn write(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<u32> {
        self.step(|tree| tree.write(ino, handle, offset, data))
            .await
    }

    async fn flush(&self, _: &Context, ino: InodeId, handle: FileHandle) -> Result<()> {
        self.step(|tree| tree.sync(ino, handle)).await
    }

    async fn fsync(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        _: SyncScope,
    ) -> Result<()> {
        self.step(|tree| tree.sync(ino, handle)).await
    }

    async fn release(&self, _: &Context, ino: InodeId, handle: FileHandle) -> Result<()> {
        self.at_once(|tree| tree.release(ino, handle))
    }

    async fn opendir(&self, _: &Context, ino: InodeId) -> Result<OpenedDir> {
        self.step(|tree| tree.opendir(ino)).await
    }

    async fn readdir(
        &self,
        _: &Context,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        self.step(|tree| tree.readdir(ino, handle, from, sink))
            .await
    }

    async fn readdirplus(
        &self,
        _: &Context,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> Result<()> {
        self.step(|tree| tree.readdirplus(ino, handle, from, sink))
            .await
    }

    async fn releasedir(&self, _: &Context, ino: InodeId, handle: DirHandle) -> Result<()> {
        self.at_once(|tree| tree.releasedir(ino, handle))
    }

    async fn fsyncdir(&self, _: &Context, ino: InodeId, _: DirHandle, _: SyncScope) -> Result<()> {
        self.step(|tree| tree.directory(ino).map(|_| ())).await
    }

    async fn statfs(&self, _: &Context, _: InodeId) -> Result<StatFs> {
        self.step(|tree| {
            let more = u64::from(tree.has(Flaw::BoundlessStatfs));
            Ok(StatFs {
                blocks_free: STATFS.blocks_free + more,
                ..STATFS
            })
        })
        .await
    }

    async fn setxattr(
        &self,
        _: &Context,
        ino: InodeId,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        self.step(|tree| tree.setxattr(ino, name, value, mode))
            .await
    }

    async fn getxattr(&self, _: &Context, ino: InodeId, name: &str) -> Result<Bytes> {
        self.step(|tree| tree.getxattr(ino, name)).await
    }

    async fn listxattr(&self, _: &Context, ino: InodeId) -> Result<Vec<String>> {
        self.step(|tree| tree.listxattr(ino)).await
    }

    async fn removexattr(&self, _: &Context, ino: InodeId, name: &str) -> Result<()> {
        self.step(|tree| tree.removexattr(ino, name)).await
    }

    async fn access(&self, cx: &Context, ino: InodeId, mask: AccessMask) -> Result<()> {
        self.step(|tree| tree.access(cx, ino, mask)).await
    }

    async fn fallocate(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        self.step(|tree| tree.fallocate(ino, handle, offset, length))
            .await
    }

    async fn lseek(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        whence: SeekWhence,
    ) -> Result<u64> {
        self.step(|tree| tree.lseek(ino, handle, offset, whence))
            .await
    }

    async fn copy_file_range(
        &self,
        _: &Context,
        from: (InodeId, FileHandle, u64),
        to: (InodeId, FileHandle, u64),
        length: u64,
    ) -> Result<u64> {
        self.step(|tree| tree.copy_file_range(from, to, length))
            .await
    }

    fn changes(&self) -> Option<Changes> {
        self.take_changes()
    }
}
