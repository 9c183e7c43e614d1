//! [`NeverIndexed`]: a core whose root has the file `.metadata_never_index`. Spotlight goes through no volume that has it.
//!
//! Nobody asked Spotlight to list a bucket and to read it, so where indexers are kept away the root has this file, which is
//! empty, in no listing, and not in the bucket. It lies over the core, so that who has no Spotlight pays nothing for it.
//!
//! Laws: it costs no request; nothing makes, changes, renames or removes it; below the root, the name is like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, CachePolicy, Changes, ContentNumber, Context, Cookie, Created, DirHandle,
    DirPlusSink, DirSink, Entry, Error, ErrorKind, FileHandle, Generation, InodeId, LocalFile,
    Name, NodeKind, OpenFlags, Opened, OpenedDir, Permissions, RenameMode, Result, SeekWhence,
    SetAttr, StatFs, SyncScope, Timestamp, Vfs, XattrMode,
};

use crate::core::Core;

const NAME: &str = ".metadata_never_index";

/// The table counts up from 1 and adapters may count on from 2^62: no mount lives long enough to come to this one.
const NUMBER: u64 = (1 << 62) - 1;

/// Whether Spotlight goes through the volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spotlight {
    /// The root shows the file.
    KeptAway,
    /// That name is like any other.
    LetIn,
}

/// A core whose root has the file, if Spotlight is kept away.
#[derive(Debug)]
pub struct NeverIndexed {
    core: Arc<Core>,
    spotlight: Spotlight,
    /// Handles of the file, which nobody has to close: the core's, which count up from 1, are others.
    next: AtomicU64,
}

impl NeverIndexed {
    /// Lays the file over `core`.
    #[must_use]
    pub const fn new(core: Arc<Core>, spotlight: Spotlight) -> Self {
        Self {
            core,
            spotlight,
            next: AtomicU64::new(NUMBER),
        }
    }

    /// What lies below.
    #[must_use]
    pub const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn names(&self, parent: InodeId, name: &Name) -> bool {
        self.spotlight == Spotlight::KeptAway && parent == InodeId::ROOT && name.as_str() == NAME
    }

    fn is(&self, ino: InodeId) -> bool {
        self.spotlight == Spotlight::KeptAway && ino.get() == NUMBER
    }

    fn may_change_name(&self, parent: InodeId, name: &Name) -> Result<()> {
        if self.names(parent, name) {
            return Err(refused());
        }
        Ok(())
    }

    /// What a lookup of the file answers. It is not counted, for nothing is freed when it is forgotten.
    fn entry(&self) -> Entry {
        let (attr, ttl) = self.attr();
        Entry {
            attr,
            generation: Generation::default(),
            entry_ttl: ttl,
            attr_ttl: ttl,
        }
    }

    fn attr(&self) -> (Attr, Duration) {
        let settings = &self.core.inner.settings;
        let attr = Attr {
            ino: InodeId::new(NUMBER).expect("it is no zero"),
            kind: NodeKind::File,
            size: 0,
            permissions: Permissions::from_mode(0o444),
            links: 1,
            uid: settings.uid,
            gid: settings.gid,
            atime: Timestamp::EPOCH,
            mtime: Timestamp::EPOCH,
            ctime: Timestamp::EPOCH,
            content: ContentNumber::default(),
        };
        (attr, settings.ttl.attributes)
    }

    fn opened(&self, flags: OpenFlags) -> Result<Opened> {
        if flags.access.writes() || flags.truncate {
            return Err(refused());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Opened {
            handle: FileHandle::new(number).expect("it is no zero"),
            cache: CachePolicy::Keep,
            content: ContentNumber::default(),
        })
    }
}

fn refused() -> Error {
    let why = "the mount shows this file to keep Spotlight away";
    Error::new(ErrorKind::PermissionDenied, why)
}

/// Operations that are the core's.
macro_rules! through {
    ($($call:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(async fn $call(&self, cx: &Context, $($arg: $kind),*) -> Result<$answer> {
            self.core.$call(cx, $($arg),*).await
        })*
    };
}

/// Operations that change what stands under a name: the core's, but for that of the file.
macro_rules! unless_named {
    ($($call:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(async fn $call(
            &self,
            cx: &Context,
            parent: InodeId,
            name: &Name
            $(, $arg: $kind)*
        ) -> Result<$answer> {
            self.may_change_name(parent, name)?;
            self.core.$call(cx, parent, name $(, $arg)*).await
        })*
    };
}

/// Operations on an inode: the core's, but for those on the file.
macro_rules! unless_it_is {
    ($($call:ident($this:ident $(, $arg:ident: $kind:ty)*) -> $answer:ty, or $own:expr;)*) => {
        $(async fn $call(
            &$this,
            cx: &Context,
            ino: InodeId
            $(, $arg: $kind)*
        ) -> Result<$answer> {
            if $this.is(ino) {
                return $own;
            }
            $this.core.$call(cx, ino $(, $arg)*).await
        })*
    };
}

impl Vfs for NeverIndexed {
    through! {
        lookup_parent(ino: InodeId) -> Entry;
        readlink(ino: InodeId) -> Bytes;
        write(ino: InodeId, handle: FileHandle, offset: u64, data: &[u8]) -> u32;
        opendir(ino: InodeId) -> OpenedDir;
        readdir(ino: InodeId, handle: DirHandle, from: Cookie, sink: &mut dyn DirSink) -> ();
        readdirplus(
            ino: InodeId, handle: DirHandle, from: Cookie, sink: &mut dyn DirPlusSink
        ) -> ();
        releasedir(ino: InodeId, handle: DirHandle) -> ();
        fsyncdir(ino: InodeId, handle: DirHandle, scope: SyncScope) -> ();
        statfs(ino: InodeId) -> StatFs;
        fallocate(ino: InodeId, handle: FileHandle, offset: u64, length: u64) -> ();
        lseek(ino: InodeId, handle: FileHandle, offset: u64, whence: SeekWhence) -> u64;
        copy_file_range(
            from: (InodeId, FileHandle, u64), to: (InodeId, FileHandle, u64), length: u64
        ) -> u64;
    }

    unless_named! {
        mknod(kind: NodeKind, permissions: Permissions) -> Entry;
        mkdir(permissions: Permissions) -> Entry;
        unlink() -> ();
        rmdir() -> ();
        symlink(target: &[u8]) -> Entry;
        create(permissions: Permissions, flags: OpenFlags) -> Created;
    }

    unless_it_is! {
        getattr(self, handle: Option<FileHandle>) -> (Attr, Duration), or Ok(self.attr());
        setattr(self, set: &SetAttr) -> (Attr, Duration), or Err(refused());
        open(self, flags: OpenFlags) -> Opened, or self.opened(flags);
        read(self, handle: FileHandle, offset: u64, size: u32) -> Bytes, or Ok(Bytes::new());
        flush(self, handle: FileHandle) -> (), or Ok(());
        fsync(self, handle: FileHandle, scope: SyncScope) -> (), or Ok(());
        release(self, handle: FileHandle) -> (), or Ok(());
        setxattr(self, name: &str, value: &[u8], mode: XattrMode) -> (), or Err(refused());
        getxattr(self, name: &str) -> Bytes, or Err(ErrorKind::NoAttribute.into());
        listxattr(self) -> Vec<String>, or Ok(Vec::new());
        removexattr(self, name: &str) -> (), or Err(refused());
        access(self, mask: AccessMask) -> (), or match mask.write || mask.execute {
            true => Err(refused()),
            false => Ok(()),
        };
    }

    async fn lookup(&self, cx: &Context, parent: InodeId, name: &Name) -> Result<Entry> {
        if self.names(parent, name) {
            return Ok(self.entry());
        }
        self.core.lookup(cx, parent, name).await
    }

    async fn rename(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        new_parent: InodeId,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<()> {
        self.may_change_name(parent, name)?;
        self.may_change_name(new_parent, new_name)?;
        (self.core)
            .rename(cx, parent, name, new_parent, new_name, mode)
            .await
    }

    fn forget(&self, ino: InodeId, count: u64) {
        self.core.forget(ino, count);
    }

    fn local_file(&self, ino: InodeId, handle: FileHandle) -> Option<LocalFile> {
        self.core.local_file(ino, handle)
    }

    fn changes(&self) -> Option<Changes> {
        self.core.changes()
    }
}
