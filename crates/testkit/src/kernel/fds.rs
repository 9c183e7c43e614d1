//! Descriptors: small numbers that mean open files, as processes have them.

use cloudmount_vfs::{ErrorKind, Result, Vfs};

use super::state::OpenFile;
use super::{FakeKernel, refuse};

/// A descriptor of an open file. Its number is the lowest free one, so that it is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fd(pub(super) u64);

impl Fd {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl<V: Vfs> FakeKernel<V> {
    pub(super) fn file(&self, fd: Fd) -> Result<OpenFile> {
        let state = self.shared.state.lock();
        let file = state
            .descriptors
            .get(&fd.0)
            .and_then(|file| state.files.get(file));
        file.copied().ok_or_else(|| ErrorKind::BadHandle.into())
    }

    /// The number of the file behind a descriptor.
    ///
    /// # Errors
    /// `BadHandle` if it is not open.
    pub fn ino_of(&self, fd: Fd) -> Result<cloudmount_vfs::InodeId> {
        Ok(self.file(fd)?.ino)
    }

    /// The filesystem's own handle behind a descriptor, for calls past the kernel.
    ///
    /// # Errors
    /// `BadHandle` if it is not open.
    pub fn handle_of(&self, fd: Fd) -> Result<cloudmount_vfs::FileHandle> {
        Ok(self.file(fd)?.handle)
    }

    /// A second descriptor of the same open file (`dup`).
    ///
    /// # Errors
    /// `BadHandle` if it is not open.
    pub fn dup(&self, fd: Fd) -> Result<Fd> {
        let mut state = self.shared.state.lock();
        let Some(id) = state.descriptors.get(&fd.0).copied() else {
            return refuse(ErrorKind::BadHandle);
        };
        if let Some(file) = state.files.get_mut(&id) {
            file.descriptors += 1;
        }
        Ok(Fd(state.new_descriptor(id)))
    }

    /// Closes a descriptor: flushes, and releases the file if it was the last one.
    ///
    /// # Errors
    /// What the flush answers; the descriptor is closed all the same.
    pub async fn close(&self, fd: Fd) -> Result<()> {
        let (file, last) = {
            let mut state = self.shared.state.lock();
            let Some(id) = state.descriptors.remove(&fd.0) else {
                return refuse(ErrorKind::BadHandle);
            };
            let Some(file) = state.files.get_mut(&id) else {
                return refuse(ErrorKind::BadHandle);
            };
            file.descriptors -= 1;
            let file = *file;
            if file.descriptors == 0 {
                state.files.remove(&id);
            }
            (file, file.descriptors == 0)
        };
        let (vfs, cx) = (self.vfs(), &self.cx);
        let _held = self.hold(file.ino);
        let flushed = self.call(|| vfs.flush(cx, file.ino, file.handle)).await;
        if last {
            self.shared
                .with(|state| state.drop_handle(file.handle.get()));
            // Nobody receives the errors of a release.
            let released = self.call(|| vfs.release(cx, file.ino, file.handle)).await;
            self.shared.with(|state| state.closed(file.ino));
            drop(released);
        }
        self.shared.with(|state| state.expire_attr(file.ino));
        flushed
    }
}
