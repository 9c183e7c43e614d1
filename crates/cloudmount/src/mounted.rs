//! Mounting with the Linux kernel.

use std::path::{Path, PathBuf};

use cloudmount_fuse::{Mount, MountOptions, UnmountMode, Unmounter};
use tokio::runtime::Handle;

use crate::{CloudMount, Error, Result};

/// How to mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MountSettings {
    /// Whether other users may look in.
    pub allow_other: bool,
    /// Whether to mount over a folder that is not empty.
    pub cover_existing: bool,
}

/// A live mount. Dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    mount: Mount,
}

impl CloudMount {
    /// Mounts at `folder`, which must exist and be empty. Blocks for a moment: call it from a
    /// thread that is not the runtime's (`spawn_blocking` will do).
    ///
    /// # Errors
    /// What is wrong with the mount point or the machine, and what to do; nothing stays mounted.
    pub fn mount(
        &self,
        folder: &Path,
        settings: MountSettings,
        runtime: Handle,
    ) -> Result<Mounted> {
        let mut options = MountOptions::new(self.location().to_string());
        options.allow_other = settings.allow_other;
        options.cover_existing = settings.cover_existing;
        options.read_only = self.shared.settings.read_only;
        let mount = cloudmount_fuse::mount(self.vfs(), folder, &options, runtime)
            .map_err(|error| Error::new("cannot mount").because(error))?;
        Ok(Mounted { mount })
    }
}

impl Mounted {
    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.mount.mountpoint().to_owned()
    }

    /// What unmounts it from another thread.
    #[must_use]
    pub fn unmounter(&self) -> Unmounter {
        self.mount.unmounter()
    }

    /// Unmounts: at once if nobody uses it, else lazily, and waits until the last one is done.
    /// Blocks.
    ///
    /// # Errors
    /// The kernel refuses, or its connection broke.
    pub fn unmount(self) -> Result<()> {
        let unmounter = self.unmounter();
        let unmounted = unmounter
            .unmount(UnmountMode::Plain)
            .or_else(|_| unmounter.unmount(UnmountMode::Lazy));
        unmounted.map_err(|error| Error::new("cannot unmount").because(error))?;
        self.join()
    }

    /// Waits until the mount has ended, whoever ends it. Blocks.
    ///
    /// # Errors
    /// The connection to the kernel broke.
    pub fn join(self) -> Result<()> {
        self.mount
            .join()
            .map_err(|error| Error::new("the mount ended badly").because(error))
    }
}
