//! Mounting with the Linux kernel.

use std::path::{Path, PathBuf};

use cloudmount_fuse::{Mount, MountError, MountErrorKind, MountOptions, UnmountMode, Unmounter};

use crate::stack::tell_of_plain_http;
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

/// A live mount. Dropping it unmounts lazily; files that were closed are uploaded all the same, as
/// long as the [`CloudMount`] lives.
#[derive(Debug)]
pub struct Mounted {
    mount: Mount,
}

impl CloudMount {
    /// Mounts at `folder`, which must exist and be empty, and returns when it can be used. Needs a
    /// runtime of several threads: the mount is served by it.
    ///
    /// # Errors
    /// What is wrong with the mount point or the machine, and what to do; nothing stays mounted.
    pub async fn mount(
        &self,
        folder: impl Into<PathBuf>,
        settings: MountSettings,
    ) -> Result<Mounted> {
        let mut options = MountOptions::new(self.location().to_string());
        options.allow_other = settings.allow_other || self.shared.settings.allow_other;
        options.cover_existing = settings.cover_existing;
        options.read_only = self.shared.settings.read_only;
        options.passthrough = self.shared.settings.passthrough;
        options.indexers = self.shared.settings.indexers;
        let (vfs, folder, runtime) = (self.volume(), folder.into(), self.shared.runtime.clone());
        let mounting = move || cloudmount_fuse::mount(vfs, &folder, &options, runtime);
        let mount = blocking(mounting).await?.map_err(refused)?;
        // Not before: who makes a mistake is told of that alone.
        tell_of_plain_http(self.shared.endpoint.as_deref());
        Ok(Mounted { mount })
    }
}

impl Mounted {
    /// Where it is mounted: an absolute path without symlinks.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.mount.mountpoint()
    }

    /// What unmounts it from another thread.
    #[must_use]
    pub fn unmounter(&self) -> Unmounter {
        self.mount.unmounter()
    }

    /// Unmounts: at once if nobody uses it, else lazily, and waits until the last one is done.
    ///
    /// # Errors
    /// The kernel refuses, or its connection broke.
    pub async fn unmount(self) -> Result<()> {
        blocking(move || {
            let unmounter = self.unmounter();
            let unmounted = unmounter
                .unmount(UnmountMode::Plain)
                .or_else(|_| unmounter.unmount(UnmountMode::Lazy));
            unmounted.map_err(|error| Error::new("cannot unmount").because(error))?;
            self.join()
        })
        .await?
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

fn refused(error: MountError) -> Error {
    let kind = error.kind();
    let refused = Error::new("cannot mount").because(error);
    match kind {
        MountErrorKind::NotEmpty => {
            refused.or("or hide what is in it while it is mounted: --nonempty")
        }
        _ => refused,
    }
}

/// Runs what blocks beside the runtime's own threads, which must go on to serve the kernel.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new("the work was given up").because(error))
}
