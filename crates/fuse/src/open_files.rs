//! Which files the kernel holds open here: what an adapter must know of them by itself.

use std::collections::{BTreeSet, HashMap};

use cloudmount_vfs::{FileHandle, InodeId, OpenFlags, WriteMode};
use parking_lot::Mutex;

#[derive(Clone, Copy, Debug)]
struct OpenFile {
    ino: InodeId,
    write_mode: WriteMode,
}

/// The open files, by handle. Bounded by the kernel's own limit of open files.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<HashMap<FileHandle, OpenFile>>);

impl OpenFiles {
    /// Before the handle is told to the kernel.
    pub(crate) fn opened(&self, ino: InodeId, handle: FileHandle, flags: OpenFlags) {
        let write_mode = flags.write_mode;
        self.0.lock().insert(handle, OpenFile { ino, write_mode });
    }

    pub(crate) fn released(&self, handle: FileHandle) {
        self.0.lock().remove(&handle);
    }

    /// Whether writes through `handle` go to the end of the file, whatever their offset.
    pub(crate) fn appends(&self, handle: FileHandle) -> bool {
        let files = self.0.lock();
        files
            .get(&handle)
            .is_some_and(|file| file.write_mode == WriteMode::Append)
    }

    /// Each open inode once.
    pub(crate) fn inodes(&self) -> BTreeSet<InodeId> {
        self.0.lock().values().map(|file| file.ino).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_appenders_and_inodes_until_release() {
        let files = OpenFiles::default();
        let append = OpenFlags {
            write_mode: WriteMode::Append,
            ..OpenFlags::WRITE
        };
        let handle = |raw| FileHandle::new(raw).unwrap();
        files.opened(InodeId::ROOT, handle(1), OpenFlags::READ);
        files.opened(InodeId::ROOT, handle(2), append);
        assert!(!files.appends(handle(1)));
        assert!(files.appends(handle(2)));
        assert_eq!(files.inodes(), BTreeSet::from([InodeId::ROOT]));
        files.released(handle(2));
        assert!(!files.appends(handle(2)));
        files.released(handle(1));
        assert!(files.inodes().is_empty());
    }
}
