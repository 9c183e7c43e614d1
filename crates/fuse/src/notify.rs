//! What the kernel must forget: drains [`Changes`] on a thread of its own.
//!
//! Laws: never on a dispatch thread, never under a lock. Dropping pages waits for the pages' locks,
//! which a read holds until it is answered; dropping a name waits for the directory's lock, which
//! a create holds until it is answered. The dispatch threads stay free to answer them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use cloudmount_vfs::{Change, Changes, ChangesCloser, InodeId};
use fuser::{INodeNo, Notifier};

use crate::open_files::OpenFiles;

/// `FUSE_NOTIFY_INC_EPOCH` of `include/uapi/linux/fuse.h` (protocol 7.44, Linux 6.16).
const NOTIFY_INC_EPOCH: u32 = 8;

/// The running thread.
#[derive(Debug)]
pub(crate) struct NotifyThread {
    closer: ChangesCloser,
    thread: JoinHandle<()>,
}

impl NotifyThread {
    /// Starts the thread that tells the kernel.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(mut changes: Changes, cache: KernelCache) -> io::Result<Self> {
        let closer = changes.closer();
        let thread = thread::Builder::new()
            .name("fuse-notify".into())
            .spawn(move || {
                while let Some(change) = changes.next_blocking() {
                    cache.forget(&change);
                }
            })?;
        Ok(Self { closer, thread })
    }

    /// Ends it. Call it once the session is over: a dead connection refuses what is left at once.
    pub(crate) fn stop(self) {
        self.closer.close();
        if self.thread.join().is_err() {
            tracing::error!("the thread that sends invalidations had panicked");
        }
    }
}

/// What the kernel keeps of this mount.
pub(crate) struct KernelCache {
    pub(crate) notifier: Notifier,
    /// The connection, for the one message that `fuser` cannot say.
    pub(crate) device: File,
    pub(crate) open_files: Arc<OpenFiles>,
}

impl KernelCache {
    fn forget(&self, change: &Change) {
        let result = match change {
            Change::Attributes(ino) => self.attributes(*ino),
            Change::Content(ino) => self.content(*ino),
            Change::Entry { parent, name } => self
                .notifier
                .inval_entry(self.number(*parent), OsStr::new(name.as_str())),
            Change::Removed {
                parent,
                child,
                name,
            } => self.notifier.delete(
                self.number(*parent),
                self.number(*child),
                OsStr::new(name.as_str()),
            ),
            Change::Everything => self.everything(),
        };
        if let Err(error) = result {
            tracing::debug!(?change, %error, "the kernel did not take an invalidation");
        }
    }

    /// A negative offset drops attributes and leaves pages alone (`fuse_reverse_inval_inode`).
    fn attributes(&self, ino: InodeId) -> io::Result<()> {
        self.notifier.inval_inode(self.number(ino), -1, 0)
    }

    /// All pages from offset 0 on.
    fn content(&self, ino: InodeId) -> io::Result<()> {
        self.notifier.inval_inode(self.number(ino), 0, 0)
    }

    /// Every name is looked up again, which brings fresh attributes; files that are open lose
    /// their pages here, and those that are not when they are opened, by the answer to `open`.
    /// Kernels before 6.16 cannot forget all names at once: there, names live until their TTL ends.
    fn everything(&self) -> io::Result<()> {
        for number in self.open_files.numbers() {
            self.notifier.inval_inode(INodeNo(number), 0, 0)?;
        }
        self.attributes(InodeId::ROOT)?;
        self.next_epoch()
    }

    /// The number by which the kernel knows the inode now. Handles that were opened before its content
    /// was replaced know it by others, and keep what they have.
    fn number(&self, ino: InodeId) -> INodeNo {
        INodeNo(self.open_files.number(ino))
    }

    fn next_epoch(&self) -> io::Result<()> {
        let length: u32 = 16;
        let unique: u64 = 0;
        let mut message = Vec::with_capacity(16);
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&NOTIFY_INC_EPOCH.to_ne_bytes());
        message.extend_from_slice(&unique.to_ne_bytes());
        // One write is one message; `write_all` would not split it, but says so less clearly.
        (&self.device).write(&message).map(drop)
    }
}
