//! [`LocalFile`]: a file of this machine that stands in for what a handle reads.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A file of this machine with all bytes that a handle reads, each at its own offset, and as long as what the
/// handle reads. As long as a clone of this lives, no byte of it changes, and its place on the disk is not freed.
/// What is mapped into memory of it stays right even after that.
#[derive(Clone)]
pub struct LocalFile(Arc<dyn AsFd + Send + Sync>);

impl LocalFile {
    /// `file` keeps what holds the promise above, until it is dropped.
    pub fn new(file: impl AsFd + Send + Sync + 'static) -> Self {
        Self(Arc::new(file))
    }
}

impl AsFd for LocalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for LocalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalFile").field(&self.0.as_fd()).finish()
    }
}
