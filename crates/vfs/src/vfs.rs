//! [`Vfs`]: every operation of a filesystem, async, without callbacks and without FUSE types.

use std::future::Future;

use bytes::Bytes;

use crate::{
    AccessMask, Attr, Changes, Context, Cookie, Created, DirHandle, DirPlusSink, DirSink, Entry,
    ErrorKind, FileHandle, InodeId, LocalFile, Name, NodeKind, OpenFlags, Opened, OpenedDir,
    Permissions, RenameMode, Result, SeekWhence, SetAttr, StatFs, SyncScope, XattrMode,
};

/// A filesystem.
///
/// Laws for implementors:
///
/// - **Cancel-safe until applied.** A future that is dropped before it is ready has either done
///   nothing that the caller can see, or only what a repetition of the call would do again. An
///   adapter relies on it: it polls an operation once with the request's own buffer and, if the
///   operation is not ready, drops it and starts it again with a copy on the runtime.
/// - **Lookup counts.** Each [`Entry`] returned, and each child that a [`DirPlusSink`] took, counts
///   one lookup; an inode lives at least until [`forget`](Self::forget) has taken back all of them.
/// - **Handles by inode.** Every call with a handle names the inode too. A read, write, flush or
///   fsync whose handle is already released is honoured by inode: kernels may reorder them.
/// - **Nothing blocks.** No method waits for the network, the disk's fsync excepted, other than by
///   returning a pending future.
pub trait Vfs: Send + Sync + 'static {
    /// Finds `name` in `parent`.
    ///
    /// # Errors
    /// `NotFound`; `NotDirectory`; any error of the store.
    fn lookup(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
    ) -> impl Future<Output = Result<Entry>> + Send;

    /// The directory above `ino` (of the root: the root). Counts a lookup, as `..` does over NFS.
    /// The directory itself (`.`) is found by [`getattr`](Self::getattr).
    ///
    /// # Errors
    /// `NotFound` if `ino` is unknown or was removed.
    fn lookup_parent(
        &self,
        cx: &Context,
        ino: InodeId,
    ) -> impl Future<Output = Result<Entry>> + Send;

    /// Takes back `count` lookups of `ino`. Never fails, never waits; unknown numbers are ignored.
    fn forget(&self, ino: InodeId, count: u64);

    /// The attributes of `ino`, and how long they may be kept.
    ///
    /// # Errors
    /// `NotFound` if the inode is unknown; any error of the store.
    fn getattr(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: Option<FileHandle>,
    ) -> impl Future<Output = Result<(Attr, std::time::Duration)>> + Send;

    /// Changes attributes; a size cuts the file or extends it with zeros.
    ///
    /// # Errors
    /// `NotFound`; `IsDirectory` for a size; `ReadOnly`; `NoSpace`; any error of the store.
    fn setattr(
        &self,
        cx: &Context,
        ino: InodeId,
        set: &SetAttr,
    ) -> impl Future<Output = Result<(Attr, std::time::Duration)>> + Send;

    /// The target of a symlink: 1 to 4095 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` if it is not a symlink; any error of the store.
    fn readlink(&self, cx: &Context, ino: InodeId) -> impl Future<Output = Result<Bytes>> + Send;

    /// Creates an empty regular file (`kind` other than `File`: `NotPermitted`).
    ///
    /// # Errors
    /// `Exists`; `NotFound` if the parent is gone; `NameTooLong` if the key would be; `ReadOnly`.
    fn mknod(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        permissions: Permissions,
    ) -> impl Future<Output = Result<Entry>> + Send;

    /// Creates a directory.
    ///
    /// # Errors
    /// As [`mknod`](Self::mknod).
    fn mkdir(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
    ) -> impl Future<Output = Result<Entry>> + Send;

    /// Removes a file or symlink. Open handles keep working.
    ///
    /// # Errors
    /// `NotFound`; `IsDirectory`; `ReadOnly`.
    fn unlink(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`; `NotDirectory`; `NotEmpty`; `ReadOnly`.
    fn rmdir(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Creates a symlink to `target` (1 to 4095 bytes, not interpreted).
    ///
    /// # Errors
    /// As [`mknod`](Self::mknod); `NameTooLong` for a longer target.
    fn symlink(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        target: &[u8],
    ) -> impl Future<Output = Result<Entry>> + Send;

    /// Moves `name` in `parent` to `new_name` in `new_parent`.
    ///
    /// # Errors
    /// `NotFound`; `Exists` with `NoReplace`; `NotEmpty`, `IsDirectory`, `NotDirectory` if the
    /// target does not admit it; `InvalidArgument` to move a directory below itself, or for an
    /// unsupported mode; `ReadOnly`.
    fn rename(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        new_parent: InodeId,
        new_name: &Name,
        mode: RenameMode,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`; `IsDirectory`; `ReadOnly` for writing; any error of the store.
    fn open(
        &self,
        cx: &Context,
        ino: InodeId,
        flags: OpenFlags,
    ) -> impl Future<Output = Result<Opened>> + Send;

    /// Creates and opens a file in one step. Without `exclusive`, an existing file is opened.
    ///
    /// # Errors
    /// As [`mknod`](Self::mknod) and [`open`](Self::open).
    fn create(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> impl Future<Output = Result<Created>> + Send;

    /// A file of this machine that holds all that the handle reads, if there is one that an adapter may have read in
    /// place of [`read`](Self::read). What is read there is read without the filesystem, which neither counts nor checks
    /// it. Never of a handle that writes, nor of a file that may be written here while the answer is kept.
    fn local_file(&self, ino: InodeId, handle: FileHandle) -> Option<LocalFile> {
        let _ = (ino, handle);
        None
    }

    /// Reads up to `size` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// `BadHandle` if not open for reading; `Stale` if the object was replaced; store errors.
    fn read(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        size: u32,
    ) -> impl Future<Output = Result<Bytes>> + Send;

    /// Writes all of `data` at `offset` (at the end, if opened to append) and returns its length.
    ///
    /// # Errors
    /// `BadHandle` if not open for writing; `NoSpace`; `FileTooLarge`; store errors.
    fn write(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> impl Future<Output = Result<u32>> + Send;

    /// One descriptor of the handle was closed: what was written is staged, and errors are told.
    ///
    /// # Errors
    /// Errors of staging, or with `close = remote` of the upload.
    fn flush(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Makes what was written survive a crash of this machine (or be in the bucket, by setting).
    ///
    /// # Errors
    /// Errors of the staging disk, or of the upload.
    fn fsync(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
        scope: SyncScope,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The last descriptor of the handle was closed.
    ///
    /// # Errors
    /// Nobody receives them; for logs only.
    fn release(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Opens a directory.
    ///
    /// # Errors
    /// `NotFound`; `NotDirectory`.
    fn opendir(&self, cx: &Context, ino: InodeId)
    -> impl Future<Output = Result<OpenedDir>> + Send;

    /// Offers the entries after `from`, first `.` and `..`, until `sink` is full or none is left.
    ///
    /// # Errors
    /// `NotDirectory`; any error of the store.
    fn readdir(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirSink,
    ) -> impl Future<Output = Result<()>> + Send;

    /// As [`readdir`](Self::readdir), with what a lookup of each entry would answer, as far as that is known or the sink wants it
    /// ([`Unknown`](crate::Unknown)).
    ///
    /// # Errors
    /// As [`readdir`](Self::readdir).
    fn readdirplus(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The directory was closed.
    ///
    /// # Errors
    /// Nobody receives them; for logs only.
    fn releasedir(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: DirHandle,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Makes changes of the directory's entries durable, as [`fsync`](Self::fsync) does for files.
    ///
    /// # Errors
    /// Errors of the journal, or of the store.
    fn fsyncdir(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: DirHandle,
        scope: SyncScope,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Room and limits.
    ///
    /// # Errors
    /// None that are foreseen.
    fn statfs(&self, cx: &Context, ino: InodeId) -> impl Future<Output = Result<StatFs>> + Send;

    /// Sets an extended attribute. `name` is the full name with its namespace (`user.x`).
    ///
    /// # Errors
    /// `Exists`, `NoAttribute` by `mode`; `NoSpace` when the object's metadata is full;
    /// `Unsupported` for other namespaces than `user.`
    fn setxattr(
        &self,
        cx: &Context,
        ino: InodeId,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// `NoAttribute`.
    fn getxattr(
        &self,
        cx: &Context,
        ino: InodeId,
        name: &str,
    ) -> impl Future<Output = Result<Bytes>> + Send;

    /// The names of all extended attributes.
    ///
    /// # Errors
    /// `NotFound`; any error of the store.
    fn listxattr(
        &self,
        cx: &Context,
        ino: InodeId,
    ) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// `NoAttribute`; `ReadOnly`.
    fn removexattr(
        &self,
        cx: &Context,
        ino: InodeId,
        name: &str,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Checks permissions as the caller; for adapters whose kernel does not.
    ///
    /// # Errors
    /// `PermissionDenied`; `NotFound`.
    fn access(
        &self,
        cx: &Context,
        ino: InodeId,
        mask: AccessMask,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Makes the file at least `offset + length` bytes long (`fallocate` mode 0).
    ///
    /// # Errors
    /// `NoSpace`; `FileTooLarge`; `BadHandle`.
    fn fallocate(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The next data or hole at or after `offset`.
    ///
    /// # Errors
    /// `NoSuchRange` at or after the end of the file, and if no data follows.
    fn lseek(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        whence: SeekWhence,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Copies up to `length` bytes from one open file to another; returns how many.
    ///
    /// # Errors
    /// As [`read`](Self::read) and [`write`](Self::write).
    fn copy_file_range(
        &self,
        cx: &Context,
        from: (InodeId, FileHandle, u64),
        to: (InodeId, FileHandle, u64),
        length: u64,
    ) -> impl Future<Output = Result<u64>> + Send {
        let _ = (cx, from, to, length);
        async { Err(ErrorKind::Unsupported.into()) }
    }

    /// The stream of what the caller must forget. There is one: a second call gives `None`.
    fn changes(&self) -> Option<Changes>;
}
