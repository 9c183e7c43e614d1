//! Open files: reading, writing, and what comes after the last name is gone.

use bytes::Bytes;
use cloudmount_vfs::{
    Attr, CachePolicy, Context, Created, DirHandle, ErrorKind, FileHandle, InodeId, Name, NodeKind,
    OpenFlags, Opened, OpenedDir, Permissions, Result, SeekWhence, WriteMode,
};

use super::Flaw;
use super::content::Content;
use super::tree::{Body, OpenFile, Tree};

/// How a handle is to be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

impl Tree {
    pub(super) fn open(&mut self, ino: InodeId, flags: OpenFlags) -> Result<Opened> {
        match &self.node(ino)?.body {
            Body::Directory(_) => return Err(ErrorKind::IsDirectory.into()),
            Body::Symlink(_) => return Err(ErrorKind::InvalidArgument.into()),
            Body::File(_) => {}
        }
        if flags.truncate && !self.has(Flaw::IgnoresTruncate) {
            self.resize(ino, 0)?;
        }
        let shared = self.files.keys().next().copied();
        let fresh = self.new_handle();
        let handle = match shared {
            Some(handle) if self.has(Flaw::SharedHandle) => handle,
            _ => FileHandle::new(fresh).ok_or(ErrorKind::Io)?,
        };
        let lies = self.has(Flaw::KeepsStalePages);
        let node = self.node_mut(ino)?;
        node.opens += 1;
        let changed = std::mem::take(&mut node.changed_outside);
        let content = node.attr.content;
        let cache = if changed && !lies {
            CachePolicy::Refresh
        } else {
            CachePolicy::Keep
        };
        self.files.insert(
            handle,
            OpenFile {
                ino,
                flags,
                pinned: None,
            },
        );
        Ok(Opened {
            handle,
            cache,
            content,
        })
    }

    pub(super) fn create(
        &mut self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> Result<Created> {
        let ino = match self.child(parent, name)? {
            None => self.make(
                cx,
                parent,
                name,
                Body::File(Content::default()),
                permissions,
            )?,
            Some(_) if flags.exclusive && !self.has(Flaw::OverwritesExisting) => {
                return Err(ErrorKind::Exists.into());
            }
            Some(ino) if self.node(ino)?.attr.kind == NodeKind::Symlink => {
                return Err(ErrorKind::Exists.into());
            }
            Some(ino) => ino,
        };
        let opened = self.open(ino, flags)?;
        let entry = self.entry(ino)?;
        Ok(Created { entry, opened })
    }

    pub(super) fn release(&mut self, ino: InodeId, handle: FileHandle) -> Result<()> {
        match self.files.get(&handle) {
            Some(open) if open.ino == ino => {}
            _ => return Err(ErrorKind::BadHandle.into()),
        }
        self.files.remove(&handle);
        self.closed(ino);
        Ok(())
    }

    fn closed(&mut self, ino: InodeId) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.opens = node.opens.saturating_sub(1);
        }
        self.reclaim(ino);
    }

    pub(super) fn opendir(&mut self, ino: InodeId) -> Result<OpenedDir> {
        self.directory(ino)?;
        let handle = DirHandle::new(self.new_handle()).ok_or(ErrorKind::Io)?;
        self.node_mut(ino)?.opens += 1;
        self.dirs.insert(handle, ino);
        Ok(OpenedDir { handle })
    }

    pub(super) fn releasedir(&mut self, ino: InodeId, handle: DirHandle) -> Result<()> {
        if self.dirs.get(&handle) != Some(&ino) {
            return Err(ErrorKind::BadHandle.into());
        }
        self.dirs.remove(&handle);
        self.closed(ino);
        Ok(())
    }

    /// Whether `handle` may be used so. One that was released is honoured by inode.
    fn check(&self, ino: InodeId, handle: FileHandle, wanted: Use) -> Result<()> {
        let allowed = match self.files.get(&handle) {
            Some(open) => {
                let access = open.flags.access;
                let admits = match wanted {
                    Use::Read => access.reads(),
                    Use::Write => access.writes(),
                };
                open.ino == ino && admits
            }
            None => self.was_given(handle.get()) && !self.has(Flaw::RefusesReleased),
        };
        if !allowed {
            return Err(ErrorKind::BadHandle.into());
        }
        self.content(ino).map(|_| ())
    }

    /// Flush and fsync: nothing to do in memory, but the handle must make sense.
    pub(super) fn sync(&self, ino: InodeId, handle: FileHandle) -> Result<()> {
        match self.files.get(&handle) {
            Some(open) if open.ino == ino => Ok(()),
            None if self.was_given(handle.get()) && !self.has(Flaw::RefusesReleased) => {
                self.node(ino).map(|_| ())
            }
            _ => Err(ErrorKind::BadHandle.into()),
        }
    }

    fn content(&self, ino: InodeId) -> Result<&Content> {
        match &self.node(ino)?.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(ErrorKind::IsDirectory.into()),
            Body::Symlink(_) => Err(ErrorKind::InvalidArgument.into()),
        }
    }

    pub(super) fn content_mut(&mut self, ino: InodeId) -> Result<&mut Content> {
        match &mut self.node_mut(ino)?.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(ErrorKind::IsDirectory.into()),
            Body::Symlink(_) => Err(ErrorKind::InvalidArgument.into()),
        }
    }

    /// The content that `handle` reads.
    fn seen(&self, ino: InodeId, handle: FileHandle) -> Result<&Content> {
        match self
            .files
            .get(&handle)
            .and_then(|open| open.pinned.as_ref())
        {
            Some(pinned) => Ok(pinned),
            None => self.content(ino),
        }
    }

    pub(super) fn read(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        size: u32,
    ) -> Result<Bytes> {
        self.check(ino, handle, Use::Read)?;
        let length = match u64::from(size) {
            n if self.has(Flaw::LongRead) => n + 1,
            n if self.has(Flaw::ShortRead) => n.div_ceil(2),
            n => n,
        };
        Ok(self.seen(ino, handle)?.read(offset, length).into())
    }

    pub(super) fn write(
        &mut self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<u32> {
        self.check(ino, handle, Use::Write)?;
        let open = self.files.get(&handle);
        if open.is_some_and(|open| open.pinned.is_some()) {
            return Err(ErrorKind::Stale.into());
        }
        let appends = open.is_some_and(|open| open.flags.write_mode == WriteMode::Append);
        let half = if self.has(Flaw::HalfWrite) {
            data.len() / 2
        } else {
            data.len()
        };
        let data = &data[..half];
        let offset = match self.content(ino)?.size() {
            size if appends && !self.has(Flaw::AppendsAtOffset) => size,
            _ if offset > 0 && self.has(Flaw::MisplacesWrites) => offset.saturating_add(1),
            _ => offset,
        };
        self.check_size(offset, data.len() as u64)?;
        self.content_mut(ino)?.write(offset, data);
        self.touch_content(ino)?;
        u32::try_from(data.len()).map_err(|_| ErrorKind::InvalidArgument.into())
    }

    fn check_size(&self, offset: u64, length: u64) -> Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.settings.limits.file_bytes_max => Ok(()),
            _ => Err(ErrorKind::FileTooLarge.into()),
        }
    }

    pub(super) fn resize(&mut self, ino: InodeId, size: u64) -> Result<()> {
        self.check_size(size, 0)?;
        let leaves_tail = self.has(Flaw::TruncateLeavesTail);
        let content = self.content_mut(ino)?;
        if leaves_tail {
            content.resize_leaving_tail(size);
        } else {
            content.resize(size);
        }
        self.touch_content(ino)
    }

    pub(super) fn resize_through(
        &mut self,
        ino: InodeId,
        handle: FileHandle,
        size: u64,
    ) -> Result<()> {
        self.check(ino, handle, Use::Write)?;
        self.resize(ino, size)
    }

    /// The attributes as `handle` sees them.
    pub(super) fn attr(&self, ino: InodeId, handle: Option<FileHandle>) -> Result<Attr> {
        let node = self.node(ino)?;
        let mut attr = node.attr;
        let open = handle.and_then(|handle| self.files.get(&handle));
        if let Some(pinned) = open.and_then(|open| open.pinned.as_ref()) {
            attr.size = pinned.size();
        }
        if self.has(Flaw::WrongNumber) {
            attr.ino = node.place.as_ref().map_or(attr.ino, |(parent, _)| *parent);
        }
        Ok(attr)
    }

    pub(super) fn fallocate(
        &mut self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        self.check(ino, handle, Use::Write)?;
        if length == 0 {
            return Err(ErrorKind::InvalidArgument.into());
        }
        self.check_size(offset, length)?;
        let content = self.content_mut(ino)?;
        content.resize(content.size().max(offset + length));
        self.touch_content(ino)
    }

    pub(super) fn lseek(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        whence: SeekWhence,
    ) -> Result<u64> {
        if !self.was_given(handle.get()) {
            return Err(ErrorKind::BadHandle.into());
        }
        let content = self.seen(ino, handle)?;
        if offset >= content.size() {
            return Err(ErrorKind::NoSuchRange.into());
        }
        match whence {
            SeekWhence::Hole => Ok(content.next_hole(offset)),
            SeekWhence::Data => content
                .next_data(offset)
                .ok_or_else(|| ErrorKind::NoSuchRange.into()),
        }
    }

    pub(super) fn copy_file_range(
        &mut self,
        (from, from_handle, from_offset): (InodeId, FileHandle, u64),
        (to, to_handle, to_offset): (InodeId, FileHandle, u64),
        length: u64,
    ) -> Result<u64> {
        self.check(from, from_handle, Use::Read)?;
        self.check(to, to_handle, Use::Write)?;
        let data = self.seen(from, from_handle)?.read(from_offset, length);
        self.check_size(to_offset, data.len() as u64)?;
        self.content_mut(to)?.write(to_offset, &data);
        self.touch_content(to)?;
        Ok(data.len() as u64)
    }
}
