//! Open files and their bytes.

use std::sync::Arc;

use cloudmount_vfs::{Context, Error, ErrorKind, InodeId, OpenFlags, Opened, Result, Vfs};
use fuser::{
    FileHandle, INodeNo, ReplyData, ReplyEmpty, ReplyLseek, ReplyOpen, ReplyWrite, WriteFlags,
};

use super::{Asked, Call, answer, done, privileges};
use crate::errno::told;
use crate::{decode, encode};

/// The most that one `copy_file_range` reports: its reply holds 32 bits, and Linux cuts all
/// transfers to this (`MAX_RW_COUNT`).
const COPY_BYTES_MAX: u64 = 0x7fff_f000;

/// A file and a place in it, as `copy_file_range` names both its ends.
pub(crate) type Place = (INodeNo, FileHandle, u64);

impl<V: Vfs> Call<'_, V> {
    pub(crate) fn open(self, number: INodeNo, flags: i32, reply: ReplyOpen) {
        let Self(shared, vfs, cx, ino) = self;
        let files = Arc::clone(&shared.open_files);
        let flags = decode::open_flags(flags);
        // What is opened would stay so if it were given up before the file is cut.
        let shared = match &flags {
            Ok(flags) if flags.truncate => shared.to_the_end(),
            _ => shared,
        };
        let work = async move {
            let (ino, flags) = (ino?, flags?);
            let opened: Opened = privileges::open(&*vfs, &cx, ino, flags).await?;
            match files.opened(ino, number.0, opened, flags) {
                Ok(opened) => Ok((opened, vfs.local_file(ino, opened.handle))),
                Err(error) => {
                    vfs.release(&cx, ino, opened.handle).await?;
                    Err(error)
                }
            }
        };
        let (files, passthrough) = (
            Arc::clone(&shared.open_files),
            Arc::clone(&shared.passthrough),
        );
        answer(
            shared,
            "open",
            reply,
            work,
            move |reply, (opened, local)| {
                let begin = || passthrough.begin(local?, |file| reply.open_backing(file));
                let backing = files.backing(opened.handle, begin);
                encode::opened(reply, opened, backing.as_deref());
            },
        );
    }

    pub(crate) fn read(self, handle: FileHandle, offset: u64, size: u32, reply: ReplyData) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::file_handle(handle);
        let work = async move { vfs.read(&cx, ino?, handle?, offset, size).await };
        answer(shared, "read", reply, work, encode::data);
    }

    /// Straight from the request's buffer if the write is ready at once; with a copy if not.
    pub(crate) fn write(
        self,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        reply: ReplyWrite,
    ) {
        let Self(shared, vfs, cx, ino) = self;
        let (ino, handle) = match (ino, decode::file_handle(handle)) {
            (Ok(ino), Ok(handle)) => (ino, handle),
            (Err(error), _) | (_, Err(error)) => return reply.error(told("write", &error)),
        };
        if flags.contains(WriteFlags::FUSE_WRITE_CACHE) && shared.open_files.appends(handle) {
            let data: Box<[u8]> = data.into();
            // Pages of a content that was replaced have no place in the one of today.
            let ino = match shared.open_files.inode_of_today(number.0) {
                Ok(ino) => ino,
                Err(error) => return reply.error(told("write", &error)),
            };
            let work = async move { write_back(&*vfs, &cx, ino, offset, &data).await };
            return answer(
                shared.to_the_end(),
                "write",
                reply,
                work,
                ReplyWrite::written,
            );
        }
        let dispatcher = &shared.dispatcher;
        if flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
            let to = (ino, handle, offset);
            let first = privileges::write(&*vfs, &cx, to, data);
            let again = |data: Box<[u8]>| {
                let vfs = Arc::clone(&vfs);
                async move { privileges::write(&*vfs, &cx, to, &data).await }
            };
            return dispatcher.run_write(
                reply,
                (data, shared.pid),
                first,
                again,
                ReplyWrite::written,
            );
        }
        let first = vfs.write(&cx, ino, handle, offset, data);
        let again = |data: Box<[u8]>| {
            let vfs = Arc::clone(&vfs);
            async move { vfs.write(&cx, ino, handle, offset, &data).await }
        };
        dispatcher.run_write(reply, (data, shared.pid), first, again, ReplyWrite::written);
    }

    pub(crate) fn flush(self, handle: FileHandle, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::file_handle(handle);
        let work = async move { vfs.flush(&cx, ino?, handle?).await };
        answer(shared, "flush", reply, work, done);
    }

    pub(crate) fn release(self, handle: FileHandle, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::file_handle(handle);
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let handle = handle?;
            files.released(handle);
            vfs.release(&cx, ino?, handle).await
        };
        answer(shared.to_the_end(), "release", reply, work, done);
    }

    pub(crate) fn fsync(self, handle: FileHandle, data_only: bool, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::file_handle(handle);
        let scope = decode::sync_scope(data_only);
        let work = async move { vfs.fsync(&cx, ino?, handle?, scope).await };
        answer(shared, "fsync", reply, work, done);
    }

    pub(crate) fn fallocate(
        self,
        handle: FileHandle,
        (offset, length): (u64, u64),
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::file_handle(handle);
        let work = async move {
            decode::fallocate_mode(mode)?;
            vfs.fallocate(&cx, ino?, handle?, offset, length).await
        };
        answer(shared, "fallocate", reply, work, done);
    }

    pub(crate) fn lseek(self, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::file_handle(handle);
        let work = async move {
            let whence = decode::seek_whence(whence)?;
            let offset = u64::try_from(offset).map_err(|_| ErrorKind::NoSuchRange)?;
            let found = vfs.lseek(&cx, ino?, handle?, offset, whence).await?;
            i64::try_from(found).map_err(|_| Error::from(ErrorKind::NoSuchRange))
        };
        answer(shared, "lseek", reply, work, ReplyLseek::offset);
    }

    /// `EOPNOTSUPP`, the contract's default, makes the kernel copy through its page cache.
    pub(crate) fn copy_file_range(self, from: Place, to: Place, length: u64, reply: ReplyWrite) {
        let Self(shared, vfs, cx, _) = self;
        let (from, to) = (place(shared, from), place(shared, to));
        let work = async move {
            let length = length.min(COPY_BYTES_MAX);
            let copied = vfs.copy_file_range(&cx, from?, to?, length).await?;
            u32::try_from(copied).map_err(|_| Error::from(ErrorKind::Io))
        };
        answer(shared, "copy_file_range", reply, work, ReplyWrite::written);
    }
}

fn place(
    shared: Asked<'_>,
    (number, handle, offset): Place,
) -> Result<(InodeId, cloudmount_vfs::FileHandle, u64)> {
    let ino = shared.open_files.inode(number.0)?;
    Ok((ino, decode::file_handle(handle)?, offset))
}

/// A write that comes from the page cache through a handle that appends: mmap of a file opened
/// with `O_APPEND`. Its offset counts, so it needs a handle that does not append.
async fn write_back<V: Vfs>(
    vfs: &V,
    cx: &Context,
    ino: InodeId,
    offset: u64,
    data: &[u8],
) -> Result<u32> {
    let opened = vfs.open(cx, ino, OpenFlags::WRITE).await?;
    let written = vfs.write(cx, ino, opened.handle, offset, data).await;
    vfs.release(cx, ino, opened.handle).await?;
    written
}
