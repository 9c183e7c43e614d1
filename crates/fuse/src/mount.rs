//! The life of a mount: checked, mounted, proven live, served, unmounted.
//!
//! Not `fuser`'s own mount code, but [`fuser::Session::from_fd`]: that code unmounts its path again when
//! a session ends, and by then another filesystem may be mounted there. Here a mount is known by its
//! id in the kernel's mount table, and no other is ever unmounted.

mod beneath;
mod device;
mod error;
mod options;
mod preflight;
mod readahead;
mod table;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use cloudmount_vfs::Vfs;
use fuser::{Config, Session, SessionACL};
use parking_lot::Mutex;
use tokio::runtime::Handle;

pub use self::error::{MountError, MountErrorKind};
pub use self::options::MountOptions;
use self::table::MountId;
use crate::adapter::FuseAdapter;
use crate::notify::{KernelCache, NotifyThread};

/// A live mount. Dropping it unmounts lazily; [`join`](Self::join) waits for its end.
#[derive(Debug)]
pub struct Mount {
    unmounter: Unmounter,
    session: Option<JoinHandle<io::Result<()>>>,
}

/// Unmounts from any thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Unmounter(Arc<Place>);

/// Where a mount is, and which one it is.
#[derive(Debug)]
struct Place {
    mountpoint: PathBuf,
    id: MountId,
    /// Tells whether the mount still lives. Closed when the session ends: the kernel gives up a
    /// connection only when its last descriptor is closed, and callers would wait for ever.
    connection: Mutex<Option<OwnedFd>>,
}

/// How to unmount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnmountMode {
    /// Fails with [`MountErrorKind::Busy`] while files are open or a shell stands in it.
    Plain,
    /// Takes the mount out of the tree at once; it ends when the last file is closed.
    Lazy,
}

/// Mounts `vfs` at `mountpoint` and returns once the kernel lists the mount and has shaken hands. Operations that are not ready at once run on `runtime`, which must be driven by
/// other threads than the caller's.
///
/// Blocks for a moment; call it neither from the runtime's own threads nor from an operation.
///
/// # Errors
/// [`MountError`] says what is wrong and what to do. Nothing stays mounted.
pub fn mount<V: Vfs>(
    vfs: Arc<V>,
    mountpoint: &Path,
    options: &MountOptions,
    runtime: Handle,
) -> Result<Mount, MountError> {
    let (target, device) = match in_place_of_a_dead_one(mountpoint, options) {
        Some(mounted) => mounted,
        None => {
            let target = preflight::prepare(mountpoint, options)?;
            let device = device::mount(&target, options)?;
            (target, device)
        }
    };
    let place = Place::find(target, &device)?;
    // From here on, an early return unmounts by dropping it.
    let mut mount = Mount {
        unmounter: Unmounter(Arc::new(place)),
        session: None,
    };
    let failed = |kind, error| MountError::new(kind, mount.mountpoint()).with_source(error);
    let place = Arc::clone(&mount.unmounter.0);
    let session = serve(vfs, device, options, runtime, place)
        .map_err(|error| failed(MountErrorKind::Refused, error))?;
    mount.session = Some(session);
    // By the mount table only: a request to the mount would wait for an answer of this process. Killed in
    // the middle of that, the process could not end, for a request that was read is waited for come what
    // may, and the mount would hang for everybody.
    let not_live = || MountError::new(MountErrorKind::NotLive, mount.mountpoint());
    match mount.unmounter.0.is_visible() {
        Ok(true) => {}
        Ok(false) => return Err(not_live()),
        Err(error) => return Err(not_live().with_source(error)),
    }
    readahead::raise(&mount.unmounter.0.id, options.read_ahead_bytes);
    Ok(mount)
}

/// Mounts where a dead mount of ours is, without a moment in which nothing is mounted; `None` where there
/// is none, or that cannot be done.
fn in_place_of_a_dead_one(mountpoint: &Path, options: &MountOptions) -> Option<(PathBuf, OwnedFd)> {
    let target = preflight::last_dead_mount(mountpoint)?;
    match beneath::mount(&target, options) {
        Ok(device) => {
            tracing::info!(mountpoint = %target.display(), "taking the place of a dead mount");
            Some((target, device))
        }
        Err(error) => {
            // An older kernel, or a user without the right. It is cleared first, then.
            tracing::debug!(%error, "cannot mount beneath a dead mount");
            None
        }
    }
}

/// Shakes hands with the kernel and starts the threads.
fn serve<V: Vfs>(
    vfs: Arc<V>,
    device: OwnedFd,
    options: &MountOptions,
    runtime: Handle,
    place: Arc<Place>,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let mut adapter = FuseAdapter::new(Arc::clone(&vfs), runtime);
    if options.passthrough {
        adapter = adapter.with_passthrough();
    }
    if options.indexers {
        adapter = adapter.with_indexers();
    }
    let open_files = adapter.open_files();
    let notify_device = File::from(device.try_clone()?);
    let mut config = Config::default();
    config.n_threads = Some(options.dispatch_threads());
    // A descriptor per thread, so that the threads do not share one queue lock; it needs the device
    // to be opened again, which the helper's users may not be allowed to.
    config.clone_fd = device::open().is_ok();
    // The kernel itself keeps other users out, by the uids that it has; a second check here would
    // refuse what it sends for them with ids of its own.
    let session = Session::from_fd(adapter, device, SessionACL::All, config)?;
    let cache = KernelCache {
        notifier: session.notifier(),
        device: notify_device,
        open_files,
    };
    let notify = vfs
        .changes()
        .map(|changes| NotifyThread::start(changes, cache))
        .transpose()?;
    thread::Builder::new()
        .name("fuse-session".into())
        .spawn(move || {
            let result = session.run();
            drop(place.connection.lock().take());
            if let Some(notify) = notify {
                notify.stop();
            }
            result
        })
}

impl Place {
    /// Which mount is at `target` now that mounting has succeeded.
    fn find(target: PathBuf, device: &OwnedFd) -> Result<Self, MountError> {
        let found = table::mount_at(&target).and_then(|id| Ok((id, device.try_clone()?)));
        match found {
            Ok((Some(id), connection)) => Ok(Self {
                mountpoint: target,
                id,
                connection: Mutex::new(Some(connection)),
            }),
            Ok((None, _)) => Err(MountError::new(MountErrorKind::NotLive, target)),
            Err(error) => Err(MountError::new(MountErrorKind::NotLive, target).with_source(error)),
        }
    }

    fn is_connected(&self) -> bool {
        self.connection
            .lock()
            .as_ref()
            .is_some_and(device::is_connected)
    }

    /// Whether our mount is the one at its path. While it is connected nothing else has its id;
    /// after that, only what is dead itself may be taken for it.
    fn is_visible(&self) -> io::Result<bool> {
        match table::mount_at(&self.mountpoint) {
            Ok(Some(found)) if found == self.id => {}
            Ok(_) => return Ok(false),
            // The directory was removed, as it can be once nothing is mounted there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(self.is_connected() || table::is_dead(&self.mountpoint))
    }
}

impl Mount {
    /// Where it is mounted: an absolute path without symlinks.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.unmounter.0.mountpoint
    }

    /// What unmounts it from another thread, as after a signal.
    #[must_use]
    pub fn unmounter(&self) -> Unmounter {
        self.unmounter.clone()
    }

    /// Whether the kernel still sends requests.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| !session.is_finished())
    }

    /// Waits until the mount has ended, whoever ended it, and all dispatch threads have too.
    /// What the kernel had open has been released, or is being released on the runtime, as are
    /// operations that were pending. Lookups that the kernel never forgot stay counted. Blocks.
    ///
    /// # Errors
    /// [`MountErrorKind::Broken`] if the connection to the kernel failed.
    pub fn join(mut self) -> Result<(), MountError> {
        let ended = match self.session.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => return Ok(()),
            // An end like any other: Linux 6.18 answers so now and then, instead of ENODEV, to a
            // thread that was reading while the last file of a detached mount was closed.
            Some(Ok(Err(error))) if error.kind() == io::ErrorKind::ConnectionAborted => {
                return Ok(());
            }
            Some(Ok(Err(error))) => error,
            Some(Err(_)) => io::Error::other("a session thread panicked"),
        };
        Err(MountError::new(MountErrorKind::Broken, self.mountpoint()).with_source(ended))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.unmounter.unmount(UnmountMode::Lazy) {
            tracing::warn!(%error, "cannot unmount");
        }
    }
}

impl Unmounter {
    /// Unmounts, unless that has happened already. Blocks, and with [`UnmountMode::Plain`] waits for
    /// requests to be served: never call it from an operation.
    ///
    /// # Errors
    /// [`MountErrorKind::Busy`], [`MountErrorKind::Covered`], [`MountErrorKind::NotAllowed`].
    pub fn unmount(&self, mode: UnmountMode) -> Result<(), MountError> {
        let place = &*self.0;
        let failed = |kind| MountError::new(kind, &place.mountpoint);
        match place.is_visible() {
            Ok(true) => device::unmount(&place.mountpoint, mode),
            Ok(false) if place.is_connected() => match table::filesystem_type(&place.id) {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(failed(MountErrorKind::Covered)),
                Err(error) => Err(failed(MountErrorKind::Io).with_source(error)),
            },
            Ok(false) => Ok(()),
            Err(error) => Err(failed(MountErrorKind::Io).with_source(error)),
        }
    }
}
