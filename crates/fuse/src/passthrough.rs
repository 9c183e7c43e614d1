//! Files of this machine that the kernel reads itself, in place of the filesystem (`FUSE_PASSTHROUGH`).
//!
//! The facts are from Linux `fs/fuse/{passthrough,iomode,backing}.c` of 6.18.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use cloudmount_vfs::LocalFile;
use fuser::{BackingId, InitFlags, KernelConfig};
use rustix::io::Errno;

/// Whether it is done.
#[derive(Debug, Default)]
pub(crate) struct Passthrough(AtomicBool);

/// A file that the kernel reads.
#[derive(Debug)]
pub(crate) struct Backing {
    // Before the file: the kernel is told first that it is not read any more.
    id: BackingId,
    #[expect(
        dead_code,
        reason = "keeps the file as it is while the kernel reads it"
    )]
    file: LocalFile,
}

impl Backing {
    pub(crate) const fn id(&self) -> &BackingId {
        &self.id
    }
}

impl Passthrough {
    /// From now on, if the kernel can.
    pub(crate) fn want(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Asks the kernel for it, if it is wanted.
    pub(crate) fn negotiate(&self, config: &mut KernelConfig) {
        if self.0.load(Ordering::Relaxed)
            && (config
                .add_capabilities(InitFlags::FUSE_PASSTHROUGH)
                .is_err()
                || config.set_max_stack_depth(1).is_err())
        {
            self.give_up(&"this kernel cannot do it (Linux 6.9 and later can)");
        }
    }

    /// Tells the kernel of `file` by `open`. `None` where that is not wanted, or is refused. If it is refused for good, it
    /// is not tried again: `EPERM` without `CAP_SYS_ADMIN`, `ELOOP` where the file itself is of a filesystem over another,
    /// `EOPNOTSUPP` where it cannot be read like that.
    pub(crate) fn begin(
        &self,
        file: LocalFile,
        open: impl FnOnce(&LocalFile) -> io::Result<BackingId>,
    ) -> Option<Backing> {
        if !self.0.load(Ordering::Relaxed) {
            return None;
        }
        match open(&file) {
            Ok(id) => Some(Backing { id, file }),
            Err(error) => {
                let errno = error.raw_os_error().map(Errno::from_raw_os_error);
                if matches!(errno, Some(Errno::PERM | Errno::LOOP | Errno::OPNOTSUPP)) {
                    self.give_up(&error);
                } else {
                    tracing::debug!(%error, "a file is read without passthrough");
                }
                None
            }
        }
    }

    fn give_up(&self, why: &dyn std::fmt::Display) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::warn!(%why, "files are read without passthrough");
        }
    }
}
