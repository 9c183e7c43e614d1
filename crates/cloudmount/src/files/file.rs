//! [`File`]: an open file.

use std::fmt;

use bytes::{Bytes, BytesMut};
use cloudmount_vfs::{FileHandle, SetAttr, SyncScope, Vfs as _};

use super::held::{Held, at_once};
use super::{Metadata, cx, failed};
use crate::Result;

/// What one read or write moves at a time: 1 MiB, as the kernel does.
const PIECE_BYTES: usize = 1 << 20;

/// An open file: it keeps its content even if its name is given to another one, or removed.
///
/// Dropping it closes it without telling what went wrong; [`close`](Self::close) tells.
pub struct File {
    held: Held,
    handle: FileHandle,
    /// As it was opened, for messages.
    path: String,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let core = self.held.core();
        drop(at_once(core.release(&cx(), self.held.ino(), self.handle)));
    }
}

impl File {
    pub(super) fn new(held: Held, handle: FileHandle, path: &str) -> Self {
        let path = path.to_owned();
        Self { held, handle, path }
    }

    /// What is known of it now.
    ///
    /// # Errors
    /// The store fails.
    pub async fn metadata(&self) -> Result<Metadata> {
        let got = (self.held.core())
            .getattr(&cx(), self.held.ino(), Some(self.handle))
            .await;
        let (attr, _) = got.map_err(self.failed("stat"))?;
        Ok(Metadata::from(&attr))
    }

    /// Up to `length` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The object was replaced in the bucket since it was opened, or the store fails.
    pub async fn read_at(&self, offset: u64, length: u64) -> Result<Bytes> {
        let read = self.read_inner(offset, length).await;
        read.map_err(self.failed("read"))
    }

    /// Writes at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    /// It was opened to be read, the staging disk is full, or the store fails.
    pub async fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let written = self.write_inner(offset, data).await;
        written.map_err(self.failed("write"))
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub async fn set_len(&self, size: u64) -> Result<()> {
        let set = SetAttr {
            size: Some(size),
            handle: Some(self.handle),
            ..SetAttr::default()
        };
        let (core, ino) = (self.held.core(), self.held.ino());
        let set = core.setattr(&cx(), ino, &set).await;
        set.map(drop).map_err(self.failed("cut"))
    }

    /// Makes what was written survive a crash of this machine or, by [`Settings::fsync`]
    /// (crate::Settings::fsync), waits until it is in the bucket.
    ///
    /// # Errors
    /// The staging disk or the upload fails.
    pub async fn sync(&self) -> Result<()> {
        let (core, ino) = (self.held.core(), self.held.ino());
        let scope = SyncScope::DataAndAttributes;
        let synced = core.fsync(&cx(), ino, self.handle, scope).await;
        synced.map_err(self.failed("sync"))
    }

    /// Closes it: what was written is handed to the upload queue.
    ///
    /// # Errors
    /// The staging disk fails or, if close waits for it, the upload.
    pub async fn close(self) -> Result<()> {
        let flushed = self.flush().await;
        flushed.map_err(self.failed("close"))
    }

    pub(super) async fn flush(&self) -> cloudmount_vfs::Result<()> {
        let (core, ino) = (self.held.core(), self.held.ino());
        core.flush(&cx(), ino, self.handle).await
    }

    pub(super) async fn read_inner(
        &self,
        offset: u64,
        length: u64,
    ) -> cloudmount_vfs::Result<Bytes> {
        let (core, ino) = (self.held.core(), self.held.ino());
        let mut all = BytesMut::new();
        while (all.len() as u64) < length {
            let left = length - all.len() as u64;
            let size = u32::try_from(left.min(PIECE_BYTES as u64)).unwrap_or(u32::MAX);
            let at = offset.saturating_add(all.len() as u64);
            let piece = core.read(&cx(), ino, self.handle, at, size).await?;
            let is_last = (piece.len() as u64) < u64::from(size);
            if all.is_empty() && (is_last || piece.len() as u64 == length) {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
            if is_last {
                break;
            }
        }
        Ok(all.freeze())
    }

    pub(super) async fn write_inner(&self, offset: u64, data: &[u8]) -> cloudmount_vfs::Result<()> {
        let (core, ino) = (self.held.core(), self.held.ino());
        let mut at = offset;
        for piece in data.chunks(PIECE_BYTES) {
            core.write(&cx(), ino, self.handle, at, piece).await?;
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    fn failed(&self, what: &str) -> impl FnOnce(cloudmount_vfs::Error) -> crate::Error + use<> {
        failed(what, &self.path)
    }
}
