//! What the kernel holds open here: as much of it as an adapter must know by itself.

use std::collections::{BTreeSet, HashMap};

use cloudmount_vfs::{DirHandle, FileHandle, InodeId, OpenFlags, WriteMode};
use parking_lot::Mutex;

/// What was opened and never released, with its inode.
pub(crate) struct Unreleased {
    pub(crate) files: Vec<(InodeId, FileHandle)>,
    pub(crate) dirs: Vec<(InodeId, DirHandle)>,
}

/// The open files and directories, by handle. Bounded by the kernel's own limit of open files.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    files: HashMap<FileHandle, (InodeId, WriteMode)>,
    dirs: HashMap<DirHandle, InodeId>,
}

impl OpenFiles {
    /// Before the handle is told to the kernel.
    pub(crate) fn opened(&self, ino: InodeId, handle: FileHandle, flags: OpenFlags) {
        let file = (ino, flags.write_mode);
        self.0.lock().files.insert(handle, file);
    }

    pub(crate) fn released(&self, handle: FileHandle) {
        self.0.lock().files.remove(&handle);
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
        file.is_some_and(|(_, mode)| *mode == WriteMode::Append)
    }

    /// Each inode of an open file once.
    pub(crate) fn inodes(&self) -> BTreeSet<InodeId> {
        let open = self.0.lock();
        open.files.values().map(|(ino, _)| *ino).collect()
    }

    /// Takes out what was never released.
    pub(crate) fn take(&self) -> Unreleased {
        let Open { files, dirs } = std::mem::take(&mut *self.0.lock());
        let files = files.into_iter().map(|(handle, (ino, _))| (ino, handle));
        let dirs = dirs.into_iter().map(|(handle, ino)| (ino, handle));
        Unreleased {
            files: files.collect(),
            dirs: dirs.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_appenders_and_inodes_until_release() {
        let open = OpenFiles::default();
        let append = OpenFlags {
            write_mode: WriteMode::Append,
            ..OpenFlags::WRITE
        };
        let handle = |raw| FileHandle::new(raw).unwrap();
        let dir = DirHandle::new(4).unwrap();
        open.opened(InodeId::ROOT, handle(1), OpenFlags::READ);
        open.opened(InodeId::ROOT, handle(2), append);
        open.opened(InodeId::ROOT, handle(3), append);
        open.opened_dir(InodeId::ROOT, dir);
        assert!(!open.appends(handle(1)));
        assert!(open.appends(handle(2)));
        assert_eq!(open.inodes(), BTreeSet::from([InodeId::ROOT]));
        open.released(handle(2));
        assert!(!open.appends(handle(2)));
        open.released(handle(3));
        let Unreleased { files, dirs } = open.take();
        assert_eq!(files, [(InodeId::ROOT, handle(1))]);
        assert_eq!(dirs, [(InodeId::ROOT, dir)]);
        assert!(open.inodes().is_empty());
        open.opened_dir(InodeId::ROOT, dir);
        open.released_dir(dir);
        assert!(open.take().dirs.is_empty());
    }
}
