//! What the kernel holds open here: as much of it as an adapter must know by itself.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cloudmount_vfs::{
    Attr, CachePolicy, Context, Created, DirHandle, Entry, FileHandle, InodeId, OpenFlags, Opened,
    Result, Vfs, WriteMode,
};
use parking_lot::Mutex;

use crate::errno::told;
use crate::kernel_nodes::{self, KernelNodes, Number, OpenNumbers, Pages};
use crate::passthrough::Backing;

/// What was opened and never released, with its inode.
pub(crate) struct Unreleased {
    pub(crate) files: Vec<(InodeId, FileHandle)>,
    pub(crate) dirs: Vec<(InodeId, DirHandle)>,
}

impl Unreleased {
    /// Releases all of it in the name of the system: nobody is left who could be told what failed.
    pub(crate) async fn release(self, vfs: &impl Vfs) {
        let cx = Context::ROOT;
        for (ino, handle) in self.files {
            if let Err(error) = vfs.release(&cx, ino, handle).await {
                told("release", &error);
            }
        }
        for (ino, handle) in self.dirs {
            if let Err(error) = vfs.releasedir(&cx, ino, handle).await {
                told("releasedir", &error);
            }
        }
    }
}

/// The open files and directories, by handle. Bounded by the kernel's own limit of open files.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    files: HashMap<FileHandle, OpenFile>,
    dirs: HashMap<DirHandle, InodeId>,
    /// How many files are open under each number.
    numbers: Numbers,
    nodes: KernelNodes,
}

#[derive(Debug)]
struct OpenFile {
    ino: InodeId,
    number: Number,
    write_mode: WriteMode,
    /// Whether the kernel was told to read it through the filesystem.
    is_told: bool,
}

#[derive(Debug, Default)]
struct Numbers(HashMap<Number, OpenNumber>);

/// What is open under one number.
#[derive(Debug, Default)]
struct OpenNumber {
    count: usize,
    /// How many of them the kernel reads through the filesystem.
    told: usize,
    /// What it reads all of them from, else.
    backing: Option<Arc<Backing>>,
}

impl OpenNumbers for Numbers {
    fn is_open(&self, number: Number) -> bool {
        self.0.contains_key(&number)
    }
}

/// An entry, and the number by which the kernel is to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) entry: Entry,
    pub(crate) number: Number,
}

impl OpenFiles {
    /// Which file is meant by a number of the kernel, where it is asked through a handle.
    pub(crate) fn inode(&self, number: Number) -> Result<InodeId> {
        if kernel_nodes::is_second(number) {
            self.0.lock().nodes.inode(number)
        } else {
            kernel_nodes::first(number)
        }
    }

    /// The same, where it is not.
    ///
    /// # Errors
    /// `Stale`: handles only know the file by that number.
    pub(crate) fn inode_of_today(&self, number: Number) -> Result<InodeId> {
        self.0.lock().nodes.inode_of_today(number)
    }

    /// The number by which the kernel is told of a file now.
    pub(crate) fn number(&self, ino: InodeId) -> Number {
        self.0.lock().nodes.number(ino)
    }

    /// Before an entry is told to the kernel, which counts one lookup for it.
    ///
    /// # Errors
    /// `Stale`: it says less than what was told before.
    pub(crate) fn show(&self, entry: Entry) -> Result<Shown> {
        let mut open = self.0.lock();
        let Open { nodes, numbers, .. } = &mut *open;
        let number = nodes.look_up(entry.attr.ino, entry.attr.content, numbers)?;
        Ok(Shown { entry, number })
    }

    /// Before attributes are told to the kernel.
    ///
    /// # Errors
    /// `Stale`: they are not of the content that it knows by that number.
    pub(crate) fn tell(&self, number: Number, attr: &Attr) -> Result<()> {
        let mut open = self.0.lock();
        let Open { nodes, numbers, .. } = &mut *open;
        nodes.tell(number, attr.content, numbers)
    }

    /// Before the handle is told to the kernel; gives what is to be told.
    ///
    /// # Errors
    /// `Stale`: the kernel knows the size of another content. The handle is not kept.
    pub(crate) fn opened(
        &self,
        ino: InodeId,
        number: Number,
        opened: Opened,
        flags: OpenFlags,
    ) -> Result<Opened> {
        let mut open = self.0.lock();
        let pages = open.nodes.open(number, opened.content)?;
        let file = OpenFile {
            ino,
            number,
            write_mode: flags.write_mode,
            is_told: false,
        };
        open.files.insert(opened.handle, file);
        open.numbers.0.entry(number).or_default().count += 1;
        let cache = match (opened.cache, pages) {
            (CachePolicy::Keep, Pages::OfAnother) => CachePolicy::Refresh,
            (cache, _) => cache,
        };
        Ok(Opened { cache, ..opened })
    }

    /// Before a file is told to the kernel that was found or made, and opened.
    ///
    /// # Errors
    /// `Stale`, as above. Neither the lookup is counted then nor the handle kept.
    pub(crate) fn created(&self, created: Created, flags: OpenFlags) -> Result<(Shown, Opened)> {
        let ino = created.entry.attr.ino;
        let shown = self.show(created.entry)?;
        match self.opened(ino, shown.number, created.opened, flags) {
            Ok(opened) => {
                self.backing(opened.handle, || None);
                Ok((shown, opened))
            }
            Err(error) => {
                self.take_back(shown.number);
                Err(error)
            }
        }
    }

    /// What [`show`](Self::show) gave is not told after all.
    pub(crate) fn take_back(&self, number: Number) {
        self.0.lock().nodes.take_back(number);
    }

    /// The kernel gives back lookups; of which file.
    pub(crate) fn forget(&self, number: Number, count: u64) -> Result<InodeId> {
        self.0.lock().nodes.forget(number, count)
    }

    pub(crate) fn released(&self, handle: FileHandle) {
        let mut open = self.0.lock();
        let Some(file) = open.files.remove(&handle) else {
            return;
        };
        let Slot::Occupied(mut number) = open.numbers.0.entry(file.number) else {
            return;
        };
        number.get_mut().count -= 1;
        number.get_mut().told -= usize::from(file.is_told);
        if number.get().count == 0 {
            let last = number.remove();
            // Outside the lock: the kernel is told.
            drop(open);
            drop(last);
        }
    }

    /// What the kernel is to read an open file from, before its handle is told; `None`: the filesystem. All handles of
    /// one number are read from the same file, or none is: the kernel refuses any other with `EIO`
    /// (`fuse_file_io_open`). So `begin` is asked only while none is open that is read through the filesystem, and what it
    /// gave counts for all that come while one is open.
    pub(crate) fn backing(
        &self,
        handle: FileHandle,
        begin: impl FnOnce() -> Option<Backing>,
    ) -> Option<Arc<Backing>> {
        let mut open = self.0.lock();
        let Open { files, numbers, .. } = &mut *open;
        let file = files.get_mut(&handle)?;
        let number = numbers.0.get_mut(&file.number)?;
        if number.backing.is_none() && number.told == 0 {
            number.backing = begin().map(Arc::new);
        }
        if number.backing.is_none() {
            file.is_told = true;
            number.told += 1;
        }
        number.backing.clone()
    }

    /// Before the handle is told to the kernel.
    pub(crate) fn opened_dir(&self, ino: InodeId, handle: DirHandle) {
        self.0.lock().dirs.insert(handle, ino);
    }

    pub(crate) fn released_dir(&self, handle: DirHandle) {
        self.0.lock().dirs.remove(&handle);
    }

    /// Whether writes through `handle` go to the end of the file, whatever their offset.
    pub(crate) fn appends(&self, handle: FileHandle) -> bool {
        let open = self.0.lock();
        let file = open.files.get(&handle);
        file.is_some_and(|file| file.write_mode == WriteMode::Append)
    }

    /// Each number of an open file once.
    pub(crate) fn numbers(&self) -> BTreeSet<Number> {
        self.0.lock().numbers.0.keys().copied().collect()
    }

    /// Takes out what was never released.
    pub(crate) fn take(&self) -> Unreleased {
        let Open { files, dirs, .. } = std::mem::take(&mut *self.0.lock());
        let files = files.into_iter().map(|(handle, file)| (file.ino, handle));
        let dirs = dirs.into_iter().map(|(handle, ino)| (ino, handle));
        Unreleased {
            files: files.collect(),
            dirs: dirs.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_vfs::ContentNumber;

    use super::*;

    #[test]
    fn knows_appenders_and_inodes_until_release() {
        let open = OpenFiles::default();
        let append = OpenFlags {
            write_mode: WriteMode::Append,
            ..OpenFlags::WRITE
        };
        let root = InodeId::ROOT.get();
        let opened = |raw| Opened {
            handle: FileHandle::new(raw).unwrap(),
            cache: CachePolicy::Keep,
            content: ContentNumber::default(),
        };
        let handle = |raw| opened(raw).handle;
        let dir = DirHandle::new(4).unwrap();
        for (raw, flags) in [(1, OpenFlags::READ), (2, append), (3, append)] {
            open.opened(InodeId::ROOT, root, opened(raw), flags)
                .unwrap();
        }
        open.opened_dir(InodeId::ROOT, dir);
        assert!(!open.appends(handle(1)));
        assert!(open.appends(handle(2)));
        assert_eq!(open.numbers(), BTreeSet::from([root]));
        open.released(handle(2));
        assert!(!open.appends(handle(2)));
        open.released(handle(3));
        open.released(handle(3));
        assert_eq!(open.numbers(), BTreeSet::from([root]));
        let Unreleased { files, dirs } = open.take();
        assert_eq!(files, [(InodeId::ROOT, handle(1))]);
        assert_eq!(dirs, [(InodeId::ROOT, dir)]);
        assert!(open.numbers().is_empty());
        open.opened_dir(InodeId::ROOT, dir);
        open.released_dir(dir);
        assert!(open.take().dirs.is_empty());
    }
}
