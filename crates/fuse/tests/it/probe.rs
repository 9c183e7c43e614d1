//! A filesystem around another that pends, holds, counts and fails on demand. What changed, the
//! tests say themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, CachePolicy, Change, ChangeSender, Changes, Clock, Context, Cookie, Created,
    DirHandle, DirPlusEntry, DirPlusSink, DirSink, Entry, ErrorKind, FileHandle, InodeId,
    LocalFile, Name, NodeKind, OpenFlags, Opened, OpenedDir, Permissions, RenameMode, Result,
    SeekWhence, SetAttr, SinkState, StatFs, SyncScope, SystemClock, Unknown, Vfs, XattrMode,
    change_channel,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Whether operations are ready at the first poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readiness {
    Immediate,
    /// None is, and some wait for a timer.
    Later,
}

pub(crate) struct Probe<V> {
    pub(crate) inner: V,
    readiness: Readiness,
    cache: CachePolicy,
    clock: SystemClock,
    begun: AtomicUsize,
    counts: Mutex<BTreeMap<&'static str, usize>>,
    failures: Mutex<HashMap<&'static str, ErrorKind>>,
    held: watch::Sender<Option<&'static str>>,
    waiting: AtomicUsize,
    sender: ChangeSender,
    changes: Mutex<Option<Changes>>,
    local: Mutex<Option<LocalFile>>,
    /// A name, and how many listings from now on show its file as it was before.
    late: Mutex<(String, usize)>,
}

/// Gives entries on; a file of that name with an older content, as often as is left.
struct Late<'a> {
    sink: &'a mut dyn DirPlusSink,
    late: &'a Mutex<(String, usize)>,
}

impl DirPlusSink for Late<'_> {
    fn unknown(&self) -> Unknown {
        self.sink.unknown()
    }

    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        let mut late = self.late.lock();
        match entry {
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            } if late.1 > 0 && name.as_str() == late.0 => {
                late.1 -= 1;
                let mut old = **entry;
                old.attr.content.0 = old.attr.content.0.checked_sub(1).unwrap();
                self.sink.add(&DirPlusEntry::Child {
                    name,
                    entry: &old,
                    cookie: *cookie,
                })
            }
            entry => self.sink.add(entry),
        }
    }
}

/// One that waits, until it goes on or is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<V: Vfs> Probe<V> {
    /// Every open says `cache`.
    pub(crate) fn new(inner: V, readiness: Readiness, cache: CachePolicy) -> Self {
        let (sender, changes) = change_channel(64);
        Self {
            inner,
            readiness,
            cache,
            clock: SystemClock::new(),
            begun: AtomicUsize::new(0),
            counts: Mutex::default(),
            failures: Mutex::default(),
            held: watch::Sender::new(None),
            waiting: AtomicUsize::new(0),
            sender,
            changes: Mutex::new(Some(changes)),
            local: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// How often the kernel asked for `operation`.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.counts.lock().get(operation).copied().unwrap_or(0)
    }

    pub(crate) fn reset(&self) {
        self.counts.lock().clear();
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().clone()
    }

    /// From now on, `operation` fails.
    pub(crate) fn fail(&self, operation: &'static str, kind: ErrorKind) {
        self.failures.lock().insert(operation, kind);
    }

    /// From now on, `operation` waits; `None` lets all go on.
    pub(crate) fn hold(&self, operation: Option<&'static str>) {
        self.held.send_replace(operation);
    }

    /// Operations that wait because they are held.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn changed(&self, change: Change) {
        self.sender.send(change);
    }

    /// So many listings show the file of that name as it was before its last change.
    pub(crate) fn overtake(&self, name: &str, times: usize) {
        *self.late.lock() = (name.to_owned(), times);
    }

    /// How many of them have not done so.
    pub(crate) fn not_overtaken(&self) -> usize {
        self.late.lock().1
    }

    /// From now on, every handle can be read from that file.
    pub(crate) fn give(&self, local: Option<LocalFile>) {
        *self.local.lock() = local;
    }

    async fn before(&self, operation: &'static str) -> Result<()> {
        if self.readiness == Readiness::Later {
            tokio::task::yield_now().await;
            let begun = self.begun.fetch_add(1, Ordering::Relaxed);
            if begun.is_multiple_of(16) {
                self.clock.sleep(Duration::from_micros(100)).await;
            }
        }
        let mut held = self.held.subscribe();
        let waits = *held.borrow() == Some(operation);
        let waiting = waits.then(|| Waiting::new(&self.waiting));
        // The sender lives in `self`, so waiting cannot fail.
        let _ = held.wait_for(|held| *held != Some(operation)).await;
        drop(waiting);
        *self.counts.lock().entry(operation).or_insert(0) += 1;
        match self.failures.lock().get(operation) {
            Some(kind) => Err((*kind).into()),
            None => Ok(()),
        }
    }
}

macro_rules! through {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(async fn $name(&self, cx: &Context, $($arg: $type),*) -> Result<$out> {
            self.before(stringify!($name)).await?;
            self.inner.$name(cx, $($arg),*).await
        })*
    };
}

impl<V: Vfs> Vfs for Probe<V> {
    through! {
        lookup(parent: InodeId, name: &Name) -> Entry;
        lookup_parent(ino: InodeId) -> Entry;
        getattr(ino: InodeId, handle: Option<FileHandle>) -> (Attr, Duration);
        setattr(ino: InodeId, set: &SetAttr) -> (Attr, Duration);
        readlink(ino: InodeId) -> Bytes;
        mknod(parent: InodeId, name: &Name, kind: NodeKind, permissions: Permissions) -> Entry;
        mkdir(parent: InodeId, name: &Name, permissions: Permissions) -> Entry;
        unlink(parent: InodeId, name: &Name) -> ();
        rmdir(parent: InodeId, name: &Name) -> ();
        symlink(parent: InodeId, name: &Name, target: &[u8]) -> Entry;
        rename(
            parent: InodeId, name: &Name, to: InodeId, new_name: &Name, mode: RenameMode
        ) -> ();
        read(ino: InodeId, handle: FileHandle, offset: u64, size: u32) -> Bytes;
        write(ino: InodeId, handle: FileHandle, offset: u64, data: &[u8]) -> u32;
        flush(ino: InodeId, handle: FileHandle) -> ();
        fsync(ino: InodeId, handle: FileHandle, scope: SyncScope) -> ();
        release(ino: InodeId, handle: FileHandle) -> ();
        opendir(ino: InodeId) -> OpenedDir;
        readdir(ino: InodeId, handle: DirHandle, from: Cookie, sink: &mut dyn DirSink) -> ();
        releasedir(ino: InodeId, handle: DirHandle) -> ();
        fsyncdir(ino: InodeId, handle: DirHandle, scope: SyncScope) -> ();
        statfs(ino: InodeId) -> StatFs;
        setxattr(ino: InodeId, name: &str, value: &[u8], mode: XattrMode) -> ();
        getxattr(ino: InodeId, name: &str) -> Bytes;
        listxattr(ino: InodeId) -> Vec<String>;
        removexattr(ino: InodeId, name: &str) -> ();
        access(ino: InodeId, mask: AccessMask) -> ();
        fallocate(ino: InodeId, handle: FileHandle, offset: u64, length: u64) -> ();
        lseek(ino: InodeId, handle: FileHandle, offset: u64, whence: SeekWhence) -> u64;
        copy_file_range(
            from: (InodeId, FileHandle, u64), to: (InodeId, FileHandle, u64), length: u64
        ) -> u64;
    }

    async fn readdirplus(
        &self,
        cx: &Context,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> Result<()> {
        self.before("readdirplus").await?;
        let late = &self.late;
        let mut sink = Late { sink, late };
        self.inner
            .readdirplus(cx, ino, handle, from, &mut sink)
            .await
    }

    async fn open(&self, cx: &Context, ino: InodeId, flags: OpenFlags) -> Result<Opened> {
        self.before("open").await?;
        let mut opened = self.inner.open(cx, ino, flags).await?;
        opened.cache = self.cache;
        Ok(opened)
    }

    async fn create(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> Result<Created> {
        self.before("create").await?;
        let created = self.inner.create(cx, parent, name, permissions, flags);
        let mut created = created.await?;
        created.opened.cache = self.cache;
        Ok(created)
    }

    fn local_file(&self, _: InodeId, _: FileHandle) -> Option<LocalFile> {
        self.local.lock().clone()
    }

    fn forget(&self, ino: InodeId, count: u64) {
        self.inner.forget(ino, count);
    }

    fn changes(&self) -> Option<Changes> {
        self.changes.lock().take()
    }
}
