//! [`FuseAdapter`]: `fuser`'s trait, each method one line that hands over to `ops`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use cloudmount_vfs::{InodeId, Result, Vfs};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, INodeNo, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use crate::decode;
use crate::dispatch::{Dispatcher, guarded};
use crate::indexers::Indexers;
use crate::open_files::OpenFiles;
use crate::ops::{Asked, Call, Shared};

/// Shows a [`Vfs`] to the kernel.
#[derive(Debug)]
pub struct FuseAdapter<V> {
    vfs: Arc<V>,
    shared: Shared,
}

impl<V: Vfs> FuseAdapter<V> {
    /// Operations that are not ready at once are finished on `runtime`.
    #[must_use]
    pub fn new(vfs: Arc<V>, runtime: Handle) -> Self {
        let shared = Shared {
            dispatcher: Dispatcher::new(runtime),
            open_files: Arc::default(),
            dots: Arc::default(),
            passthrough: Arc::default(),
            indexers: Indexers::TurnedAway,
        };
        Self { vfs, shared }
    }

    /// Has the kernel read whole files of this machine itself, where it can.
    #[must_use]
    pub fn with_passthrough(self) -> Self {
        self.shared.passthrough.want();
        self
    }

    /// Lets programs in that index all files of a machine (`updatedb` and the like). By default their `opendir` of
    /// the root is refused with `EACCES`.
    #[must_use]
    pub fn with_indexers(mut self) -> Self {
        self.shared.indexers = Indexers::LetIn;
        self
    }

    pub(crate) fn open_files(&self) -> Arc<OpenFiles> {
        Arc::clone(&self.shared.open_files)
    }

    /// A request that comes through a handle, or asks a directory.
    fn call(&self, request: &Request, number: INodeNo) -> Call<'_, V> {
        self.call_of(request, self.shared.open_files.inode(number.0))
    }

    /// A request that asks what the file is today.
    fn call_today(&self, request: &Request, number: INodeNo) -> Call<'_, V> {
        self.call_of(request, self.shared.open_files.inode_of_today(number.0))
    }

    fn call_of(&self, request: &Request, ino: Result<InodeId>) -> Call<'_, V> {
        let vfs = Arc::clone(&self.vfs);
        let asked = Asked {
            shared: &self.shared,
            pid: request.pid(),
        };
        Call(asked, vfs, decode::context(request), ino)
    }
}

impl<V: Vfs> fuser::Filesystem for FuseAdapter<V> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        crate::negotiate::negotiate(config, &self.shared.passthrough)
    }

    /// The session is over. Releases that the kernel had not sent yet were dropped with it.
    fn destroy(&mut self) {
        let unreleased = self.shared.open_files.take();
        let vfs = Arc::clone(&self.vfs);
        self.shared
            .dispatcher
            .run(async move { unreleased.release(&*vfs).await });
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.call(request, parent).lookup(name, reply);
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        if let Ok(ino) = self.shared.open_files.forget(ino.0, nlookup) {
            let count = self.shared.dots.settle(ino, nlookup);
            if count > 0 {
                guarded(|| self.vfs.forget(ino, count));
            }
        }
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        self.call_today(request, ino).getattr(ino, fh, reply);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let owner = (uid, gid);
        let set = decode::set_attr(mode, owner, size, (atime, mtime), fh);
        self.call_today(request, ino).setattr(ino, set, reply);
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.call(request, ino).readlink(reply);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        self.call(request, parent).mknod(name, mode, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.call(request, parent).mkdir(name, mode, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.call(request, parent).unlink(name, reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.call(request, parent).rmdir(name, reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.call(request, parent).symlink(link_name, target, reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let to = (newparent, newname);
        self.call(request, parent).rename(name, to, flags, reply);
    }

    /// An object has one key: hard links have no form in an object store.
    fn link(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.call_today(request, ino).open(ino, flags.0, reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.call(request, parent).create(name, mode, flags, reply);
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.call(request, ino).read(fh, offset, size, reply);
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.call(request, ino)
            .write(ino, fh, offset, data, write_flags, reply);
    }

    fn flush(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.call(request, ino).flush(fh, reply);
    }

    fn release(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.call(request, ino).release(fh, reply);
    }

    fn fsync(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.call(request, ino).fsync(fh, datasync, reply);
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.call(request, ino).opendir(reply);
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        self.call(request, ino).readdir(fh, offset, reply);
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.call(request, ino).readdirplus(fh, offset, reply);
    }

    fn releasedir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.call(request, ino).releasedir(fh, reply);
    }

    fn fsyncdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.call(request, ino).fsyncdir(fh, datasync, reply);
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.call(request, ino).statfs(reply);
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.call_today(request, ino)
            .setxattr(name, value, flags, reply);
    }

    fn getxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        self.call_today(request, ino).getxattr(name, size, reply);
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.call_today(request, ino).listxattr(size, reply);
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.call_today(request, ino).removexattr(name, reply);
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        self.call_today(request, ino).access(mask, reply);
    }

    /// `ENOTTY` is what ioctl(2) says of files that have none; `chattr` and `cp --reflink` ask.
    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    /// `ENOSYS` on purpose: the kernel then answers all later polls itself, with "always ready",
    /// which is what POSIX says of regular files.
    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let range = (offset, length);
        self.call(request, ino).fallocate(fh, range, mode, reply);
    }

    fn lseek(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.call(request, ino).lseek(fh, offset, whence, reply);
    }

    fn copy_file_range(
        &self,
        request: &Request,
        ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (from, to) = ((ino_in, fh_in, offset_in), (ino_out, fh_out, offset_out));
        self.call(request, ino_in)
            .copy_file_range(from, to, len, reply);
    }
}
