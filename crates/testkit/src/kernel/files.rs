//! Calls on open files.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cloudmount_vfs::{
    AccessMask, CachePolicy, ErrorKind, InodeId, OpenFlags, Opened, Result, SeekWhence, SyncScope,
    Vfs, WriteMode,
};

use super::state::OpenFile;
use super::walk::Last;
use super::{FakeKernel, Fd, Held, PageCheck, refuse};

/// How much [`FakeKernel::read_all`] reads in one call, in bytes.
const READ_ALL_BYTES: usize = 1 << 20;

impl<V: Vfs> FakeKernel<V> {
    /// Opens a file that exists; a symlink is followed.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::open`].
    pub async fn open(&self, path: &str, flags: OpenFlags) -> Result<Fd> {
        let held = self.walk(path, Last::Follow).await?;
        self.open_held(&held, flags).await
    }

    /// Opens a file, and makes it if it does not exist (`O_CREAT`; with [`OpenFlags::exclusive`]
    /// also `O_EXCL`). `mode` less the umask is for a new file.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::create`] and [`Vfs::open`].
    pub async fn create(&self, path: &str, mode: u32, flags: OpenFlags) -> Result<Fd> {
        let (parent, name) = self.walk_to_parent(path).await?;
        match self.child(&parent, &name).await {
            Ok(_) if !flags.exclusive => return self.open(path, flags).await,
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.permit_entries(&parent).await?;
        self.changing(&parent);
        let (vfs, cx, permissions) = (self.vfs(), &self.cx, self.masked(mode));
        let made = self
            .call(|| vfs.create(cx, parent.ino, &name, permissions, flags))
            .await;
        self.changing(&parent);
        let made = made?;
        self.shared.with(|state| state.expire_attr(parent.ino));
        let held = self.keep(&parent, &name, &made.entry);
        self.opened(&held, flags, made.opened).await
    }

    async fn open_held(&self, held: &Held<V>, flags: OpenFlags) -> Result<Fd> {
        let (read, write) = (flags.access.reads(), flags.access.writes());
        self.permit(
            held,
            AccessMask {
                read,
                write,
                execute: false,
            },
        )
        .await?;
        if flags.truncate {
            self.writing(held.ino);
        }
        let (vfs, cx) = (self.vfs(), &self.cx);
        let opened = self.call(|| vfs.open(cx, held.ino, flags)).await;
        if flags.truncate {
            let growth = if opened.is_ok() {
                Growth::To(0)
            } else {
                Growth::None
            };
            self.wrote(held.ino, 0..u64::MAX, growth);
        }
        self.opened(held, flags, opened?).await
    }

    async fn opened(&self, held: &Held<V>, flags: OpenFlags, opened: Opened) -> Result<Fd> {
        let fd = self.shared.with(|state| {
            let node = state.node(held.ino);
            if opened.cache == CachePolicy::Refresh {
                node.pages.clear();
            }
            let file = OpenFile {
                ino: held.ino,
                handle: opened.handle,
                flags,
                caches: opened.cache != CachePolicy::Direct,
                descriptors: 1,
                opened_size: node.attr.size,
                opened_writes: node.writes,
            };
            Fd(state.keep_file(file))
        });
        let verifies = self.shared.options.page_check == PageCheck::Verify;
        if opened.cache == CachePolicy::Keep && flags.access.reads() && verifies {
            self.verify_pages(fd).await?;
        }
        Ok(fd)
    }

    /// Reads again what the page cache holds, because the filesystem said that it is good.
    async fn verify_pages(&self, fd: Fd) -> Result<()> {
        let file = self.file(fd)?;
        let (pieces, writes) = self.shared.with(|state| {
            let node = state.node(file.ino);
            (node.pages.pieces(), node.writes)
        });
        let (vfs, cx) = (self.vfs(), &self.cx);
        for (offset, kept) in pieces {
            let size = u32::try_from(kept.len()).unwrap_or(u32::MAX);
            let now = self
                .call(|| vfs.read(cx, file.ino, file.handle, offset, size))
                .await?;
            let changed_here = self
                .shared
                .with(|state| state.node(file.ino).writes != writes);
            assert!(
                now == kept || changed_here,
                "law: the cache is kept only if the content is the one of the last open; {} at \
                 {offset} differs",
                file.ino
            );
        }
        Ok(())
    }

    /// Reads up to `size` bytes at `offset`; fewer at the end of the file.
    ///
    /// # Errors
    /// `BadHandle` if it is not open for reading; those of [`Vfs::read`].
    pub async fn read(&self, fd: Fd, offset: u64, size: usize) -> Result<Bytes> {
        let file = self.file(fd)?;
        if !file.flags.access.reads() {
            return refuse(ErrorKind::BadHandle);
        }
        let mut all = BytesMut::new();
        while all.len() < size {
            let request_max = self.shared.options.request_bytes_max.max(1);
            let asked = u32::try_from(size - all.len())
                .unwrap_or(u32::MAX)
                .min(request_max);
            let data = self
                .request(&file, offset + all.len() as u64, asked)
                .await?;
            all.extend_from_slice(&data);
            if (data.len() as u64) < u64::from(asked) {
                break;
            }
        }
        Ok(all.freeze())
    }

    async fn request(&self, file: &OpenFile, offset: u64, asked: u32) -> Result<Bytes> {
        let held = self.hold(file.ino);
        let (vfs, cx) = (self.vfs(), &self.cx);
        let (size_known, writes) = self.shared.with(|state| {
            let node = state.node(held.ino);
            (node.attr.size, node.writes)
        });
        let data = self
            .call(|| vfs.read(cx, file.ino, file.handle, offset, asked))
            .await?;
        let given = data.len() as u64;
        assert!(
            given <= u64::from(asked),
            "law: a read gives no more than asked for; of {} {given} of {asked} at {offset}",
            file.ino
        );
        let answer = Answer {
            end: offset + given,
            empty: given == 0,
            short: given < u64::from(asked),
        };
        if !answer.agrees_with(size_known) {
            self.check_answer(file, &answer, writes).await?;
        }
        self.shared.with(|state| {
            let node = state.node(file.ino);
            // Whoever wrote meanwhile may have left other bytes there.
            if file.caches && node.writes == writes {
                node.pages.insert(offset, data.clone());
            }
        });
        Ok(data)
    }

    /// A read contradicts the size that the kernel knows: it must agree with the size that there
    /// is now, or with the one when the file was opened if nobody has written here since.
    async fn check_answer(&self, file: &OpenFile, answer: &Answer, writes: u64) -> Result<()> {
        let (vfs, cx) = (self.vfs(), &self.cx);
        let (attr, _) = self
            .call(|| vfs.getattr(cx, file.ino, Some(file.handle)))
            .await?;
        let writes_now = self.shared.with(|state| {
            state.expire_attr(file.ino);
            state.node(file.ino).writes
        });
        let as_opened = writes_now == file.opened_writes && answer.agrees_with(file.opened_size);
        assert!(
            answer.agrees_with(attr.size) || as_opened || writes_now != writes,
            "law: a read is short only at the end of the file, and ends there; of {} it ended at \
             {}, the size is {}",
            file.ino,
            answer.end,
            attr.size
        );
        Ok(())
    }

    /// Writes all of `data` at `offset` (at the end, if opened to append); gives its length.
    ///
    /// # Errors
    /// `BadHandle` if it is not open for writing; those of [`Vfs::write`].
    pub async fn write(&self, fd: Fd, offset: u64, data: &[u8]) -> Result<usize> {
        let file = self.file(fd)?;
        if !file.flags.access.writes() {
            return refuse(ErrorKind::BadHandle);
        }
        let request_max = usize::try_from(self.shared.options.request_bytes_max.max(1));
        let mut at = offset;
        for piece in data.chunks(request_max.unwrap_or(usize::MAX)) {
            self.write_request(&file, at, piece).await?;
            at += piece.len() as u64;
        }
        Ok(data.len())
    }

    async fn write_request(&self, file: &OpenFile, offset: u64, data: &[u8]) -> Result<()> {
        let held = self.hold(file.ino);
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.writing(held.ino);
        let written = self
            .call(|| vfs.write(cx, file.ino, file.handle, offset, data))
            .await;
        let length = data.len() as u64;
        // Where appended bytes go only the filesystem knows; nothing there was read before.
        let (touched, growth) = match (file.flags.write_mode, &written) {
            (WriteMode::Append, Ok(_)) => (0..0, Growth::By(length)),
            (WriteMode::Append, Err(_)) => (0..0, Growth::None),
            (WriteMode::AtOffset, Ok(_)) => {
                let end = offset.saturating_add(length);
                (offset..end, Growth::AtLeast(end))
            }
            (WriteMode::AtOffset, Err(_)) => (offset..offset.saturating_add(length), Growth::None),
        };
        self.wrote(file.ino, touched, growth);
        let written = u64::from(written?);
        assert!(
            written == length,
            "law: a write takes all; {} took {written} of {length}",
            file.ino
        );
        Ok(())
    }

    /// The content of an inode is about to change through this kernel.
    pub(super) fn writing(&self, ino: InodeId) {
        self.shared.with(|state| state.node(ino).writes += 1);
    }

    /// It has changed, within `touched`.
    pub(super) fn wrote(&self, ino: InodeId, touched: Range<u64>, growth: Growth) {
        self.shared.with(|state| {
            let node = state.node(ino);
            node.writes += 1;
            node.pages.cut(touched.start, touched.end);
            node.attr.size = match growth {
                Growth::None => node.attr.size,
                Growth::By(more) => node.attr.size + more,
                Growth::AtLeast(size) => node.attr.size.max(size),
                Growth::To(size) => size,
            };
            state.expire_attr(ino);
        });
    }

    /// Flushes, as a `close` of another descriptor of the file does.
    ///
    /// # Errors
    /// Those of [`Vfs::flush`].
    pub async fn flush(&self, fd: Fd) -> Result<()> {
        let file = self.file(fd)?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.call(|| vfs.flush(cx, file.ino, file.handle)).await
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Those of [`Vfs::fsync`].
    pub async fn fsync(&self, fd: Fd, scope: SyncScope) -> Result<()> {
        let file = self.file(fd)?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.call(|| vfs.fsync(cx, file.ino, file.handle, scope))
            .await
    }

    /// Makes the file at least `offset + length` bytes long.
    ///
    /// # Errors
    /// Those of [`Vfs::fallocate`].
    pub async fn fallocate(&self, fd: Fd, offset: u64, length: u64) -> Result<()> {
        let file = self.file(fd)?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.writing(file.ino);
        let done = self
            .call(|| vfs.fallocate(cx, file.ino, file.handle, offset, length))
            .await;
        let growth = match done {
            Ok(()) => Growth::AtLeast(offset.saturating_add(length)),
            Err(_) => Growth::None,
        };
        self.wrote(file.ino, 0..0, growth);
        done
    }

    /// The next data or hole at or after `offset`.
    ///
    /// # Errors
    /// Those of [`Vfs::lseek`].
    pub async fn lseek(&self, fd: Fd, offset: u64, whence: SeekWhence) -> Result<u64> {
        let file = self.file(fd)?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        self.call(|| vfs.lseek(cx, file.ino, file.handle, offset, whence))
            .await
    }

    /// Copies up to `length` bytes from one open file to another; gives how many.
    ///
    /// # Errors
    /// Those of [`Vfs::copy_file_range`]; `InvalidArgument` if both ranges are of one file and
    /// overlap, which Linux answers by itself.
    pub async fn copy_file_range(
        &self,
        (from, from_offset): (Fd, u64),
        (to, to_offset): (Fd, u64),
        length: u64,
    ) -> Result<u64> {
        let (source, target) = (self.file(from)?, self.file(to)?);
        if source.ino == target.ino && from_offset.abs_diff(to_offset) < length {
            return refuse(ErrorKind::InvalidArgument);
        }
        let (vfs, cx) = (self.vfs(), &self.cx);
        let source = (source.ino, source.handle, from_offset);
        let there = (target.ino, target.handle, to_offset);
        self.writing(target.ino);
        let copied = self
            .call(|| vfs.copy_file_range(cx, source, there, length))
            .await;
        let growth = match &copied {
            Ok(copied) => Growth::AtLeast(to_offset.saturating_add(*copied)),
            Err(_) => Growth::None,
        };
        self.wrote(
            target.ino,
            to_offset..to_offset.saturating_add(length),
            growth,
        );
        let copied = copied?;
        assert!(copied <= length, "law: a copy is no longer than asked for");
        Ok(copied)
    }

    /// All bytes of a file: opens, reads to the end, closes.
    ///
    /// # Errors
    /// Those of the three.
    pub async fn read_file(&self, path: &str) -> Result<Bytes> {
        let fd = self.open(path, OpenFlags::READ).await?;
        let data = self.read_all(fd).await;
        self.close(fd).await?;
        data
    }

    /// All bytes of an open file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_all(&self, fd: Fd) -> Result<Bytes> {
        let mut all = BytesMut::new();
        loop {
            let data = self.read(fd, all.len() as u64, READ_ALL_BYTES).await?;
            all.extend_from_slice(&data);
            if data.len() < READ_ALL_BYTES {
                return Ok(all.freeze());
            }
        }
    }

    /// Makes `data` the content of a file, which is made with mode 0644 if it does not exist:
    /// opens, writes, closes.
    ///
    /// # Errors
    /// Those of the three.
    pub async fn write_file(&self, path: &str, data: &[u8]) -> Result<()> {
        let flags = OpenFlags {
            truncate: true,
            ..OpenFlags::WRITE
        };
        let fd = self.create(path, 0o644, flags).await?;
        let written = self.write(fd, 0, data).await;
        let closed = self.close(fd).await;
        written?;
        closed
    }
}

/// How a read ended.
struct Answer {
    /// Where its last byte is, and one.
    end: u64,
    empty: bool,
    /// Fewer bytes came than were asked for.
    short: bool,
}

impl Answer {
    /// Whether a file of that size reads so.
    const fn agrees_with(&self, size: u64) -> bool {
        (self.empty || size >= self.end) && (!self.short || size <= self.end)
    }
}

/// How a change of content changes the size, as far as the kernel knows it.
#[derive(Clone, Copy)]
pub(super) enum Growth {
    None,
    By(u64),
    AtLeast(u64),
    To(u64),
}
