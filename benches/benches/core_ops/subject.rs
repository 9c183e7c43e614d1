//! A filesystem to be measured, with the bucket that it shows.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::{Key, PutOptions, Store};
use cloudmount_vfs::{
    Attr, Context, Cookie, DirEntry, DirHandle, DirPlusEntry, DirPlusSink, DirSink, FileHandle,
    InodeId, Name, OpenFlags, SinkState, Unknown, Vfs,
};
use futures::FutureExt;
use tokio::runtime::Runtime;

/// Files in the folder `many`.
pub(crate) const NAMES: usize = 10_000;
/// Bytes of the file `data`.
pub(crate) const DATA_BYTES: usize = 32 << 20;
/// Entries in one reply: as many as fit into 32 KiB of a directory buffer.
const PAGE: usize = 200;

const CX: Context = Context::ROOT;

/// Puts what is measured into a bucket: a folder of small files, and one large file.
pub(crate) async fn fill(store: &dyn Store) {
    let put = async |key: String, bytes: Bytes| {
        let key = Key::new(key).unwrap();
        let options = PutOptions::default();
        store.put(&key, bytes.into(), options).await.unwrap();
    };
    for n in 0..NAMES {
        put(format!("many/{}", name(n)), Bytes::from_static(b"small")).await;
    }
    put("data".to_owned(), vec![0x5A; DATA_BYTES].into()).await;
}

/// The `n`th name in the folder `many`.
pub(crate) fn name(n: usize) -> Name {
    Name::new(&format!("photo-2024-08-17-{n:06}.jpeg")).unwrap()
}

/// A filesystem over such a bucket.
pub(crate) struct Subject<V> {
    pub(crate) label: &'static str,
    pub(crate) runtime: Runtime,
    pub(crate) vfs: Arc<V>,
}

impl<V: Vfs> Subject<V> {
    /// Carries out what may have to wait.
    pub(crate) fn wait<T>(&self, operation: impl Future<Output = T>) -> T {
        self.runtime.block_on(operation)
    }

    pub(crate) fn find(&self, parent: InodeId, name: &Name) -> InodeId {
        self.wait(self.vfs.lookup(&CX, parent, name))
            .unwrap()
            .attr
            .ino
    }

    pub(crate) fn find_root(&self, name: &str) -> InodeId {
        self.find(InodeId::ROOT, &Name::new(name).unwrap())
    }

    /// A lookup that must need nothing from the bucket.
    pub(crate) fn lookup_now(&self, parent: InodeId, name: &Name) -> InodeId {
        let found = self.vfs.lookup(&CX, parent, name).now_or_never();
        found.expect("the name is known").unwrap().attr.ino
    }

    /// A `stat` that must need nothing from the bucket.
    pub(crate) fn stat_now(&self, ino: InodeId) -> Attr {
        let found = self.vfs.getattr(&CX, ino, None).now_or_never();
        found.expect("the attributes are known").unwrap().0
    }

    pub(crate) fn open(&self, ino: InodeId, flags: OpenFlags) -> FileHandle {
        self.wait(self.vfs.open(&CX, ino, flags)).unwrap().handle
    }

    pub(crate) fn read(&self, file: (InodeId, FileHandle), offset: u64, size: u32) -> Bytes {
        let read = self.vfs.read(&CX, file.0, file.1, offset, size);
        self.wait(read).unwrap()
    }

    /// A read that must find its bytes in memory.
    pub(crate) fn read_now(&self, file: (InodeId, FileHandle), offset: u64, size: u32) -> Bytes {
        let read = self.vfs.read(&CX, file.0, file.1, offset, size);
        read.now_or_never().expect("the bytes are here").unwrap()
    }

    pub(crate) fn write(&self, file: (InodeId, FileHandle), offset: u64, data: &[u8]) {
        let write = self.vfs.write(&CX, file.0, file.1, offset, data);
        assert_eq!(self.wait(write).unwrap() as usize, data.len());
    }

    pub(crate) fn close(&self, file: (InodeId, FileHandle)) {
        self.wait(self.vfs.flush(&CX, file.0, file.1)).unwrap();
        self.wait(self.vfs.release(&CX, file.0, file.1)).unwrap();
    }

    /// `create`, `write`, `close`, and the kernel forgets the file.
    pub(crate) fn create(&self, parent: InodeId, name: &Name, data: &[u8]) {
        let permissions = cloudmount_vfs::Permissions::from_mode(0o644);
        let flags = OpenFlags::WRITE;
        let create = self.vfs.create(&CX, parent, name, permissions, flags);
        let created = self.wait(create).unwrap();
        let file = (created.entry.attr.ino, created.opened.handle);
        self.write(file, 0, data);
        self.close(file);
        self.vfs.forget(file.0, 1);
    }

    pub(crate) fn unlink(&self, parent: InodeId, name: &Name) {
        self.wait(self.vfs.unlink(&CX, parent, name)).unwrap();
    }

    /// All of a directory in pages, names and types only. Gives how many there were.
    pub(crate) fn readdir(&self, dir: InodeId) -> usize {
        let handle = self.opendir(dir);
        let (mut total, mut from) = (0, Cookie::START);
        loop {
            let mut page = Page::new(from);
            let read = self.vfs.readdir(&CX, dir, handle, from, &mut page);
            self.wait(read).unwrap();
            if page.taken == 0 {
                break;
            }
            (total, from) = (total + page.taken, page.last);
        }
        self.closedir(dir, handle);
        total
    }

    /// All of a directory with attributes, and forgets what it took: `ls -l`.
    pub(crate) fn readdirplus(&self, dir: InodeId) -> usize {
        let handle = self.opendir(dir);
        let (mut total, mut from) = (0, Cookie::START);
        loop {
            let mut page = Page::new(from);
            let read = self.vfs.readdirplus(&CX, dir, handle, from, &mut page);
            self.wait(read).unwrap();
            if page.taken == 0 {
                break;
            }
            (total, from) = (total + page.taken, page.last);
            for ino in page.children {
                self.vfs.forget(ino, 1);
            }
        }
        self.closedir(dir, handle);
        total
    }

    fn opendir(&self, dir: InodeId) -> DirHandle {
        self.wait(self.vfs.opendir(&CX, dir)).unwrap().handle
    }

    fn closedir(&self, dir: InodeId, handle: DirHandle) {
        self.wait(self.vfs.releasedir(&CX, dir, handle)).unwrap();
    }
}

/// One reply's worth of entries.
struct Page {
    taken: usize,
    last: Cookie,
    children: Vec<InodeId>,
}

impl Page {
    fn new(from: Cookie) -> Self {
        Self {
            taken: 0,
            last: from,
            children: Vec::new(),
        }
    }

    fn take(&mut self, cookie: Cookie) -> SinkState {
        if self.taken == PAGE {
            return SinkState::Full;
        }
        self.taken += 1;
        self.last = cookie;
        SinkState::Taken
    }
}

impl DirSink for Page {
    fn add(&mut self, entry: &DirEntry<'_>) -> SinkState {
        self.take(entry.cookie)
    }
}

impl DirPlusSink for Page {
    fn unknown(&self) -> Unknown {
        Unknown::Bare
    }

    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        match entry {
            DirPlusEntry::Dot { entry, .. } => self.take(entry.cookie),
            DirPlusEntry::Child { entry, cookie, .. }
            | DirPlusEntry::Bare { entry, cookie, .. } => {
                let state = self.take(*cookie);
                if state == SinkState::Taken {
                    self.children.push(entry.attr.ino);
                }
                state
            }
        }
    }
}
