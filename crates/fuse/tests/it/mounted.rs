//! A mounted filesystem for one test, unmounted at its end, also when it panics.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cloudmount_fuse::{Mount, MountOptions, UnmountMode, mount};
use cloudmount_testkit::Model;
use cloudmount_testkit::model::{Settings, Untold};
use cloudmount_vfs::{
    CachePolicy, Context, InodeId, Name, OpenFlags, Permissions, RenameMode, SetAttr, SystemClock,
    Vfs,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::probe::{Probe, Readiness};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long the kernel keeps names and attributes in these tests: so long that only an explicit
/// change can explain a fresh answer.
pub(crate) const TTL: Duration = Duration::from_secs(3600);

// In the order of dropping: first the mount, then what it stands on.
pub(crate) struct Mounted {
    mount: Option<Mount>,
    pub(crate) vfs: Arc<Probe<Model>>,
    dir: TempDir,
    runtime: Runtime,
}

pub(crate) fn can_mount() -> bool {
    let can = Path::new("/dev/fuse").exists();
    if !can {
        println!("skipped: no /dev/fuse");
    }
    can
}

/// An empty filesystem, in which everybody may write.
pub(crate) fn model() -> Model {
    telling(Untold::None)
}

/// One whose listings do not tell the attributes of all entries.
fn telling(untold: Untold) -> Model {
    let settings = Settings {
        ttl: TTL,
        untold,
        directory_permissions: Permissions::from_mode(0o777),
        ..Settings::default()
    };
    Model::new(Arc::new(SystemClock::new()), settings)
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

/// Runs `scenario` on a mount of each kind.
pub(crate) fn scenario(scenario: impl Fn(&Mounted)) {
    for readiness in [Readiness::Immediate, Readiness::Later] {
        on(readiness, CachePolicy::Keep, &scenario);
    }
}

/// The same, and other users may look in.
pub(crate) fn scenario_for_all_users(scenario: impl Fn(&Mounted)) {
    let mut options = MountOptions::new("test://bucket");
    options.allow_other = true;
    for readiness in [Readiness::Immediate, Readiness::Later] {
        with(readiness, CachePolicy::Keep, &options, &scenario);
    }
}

pub(crate) fn on(readiness: Readiness, cache: CachePolicy, scenario: impl FnOnce(&Mounted)) {
    let options = MountOptions::new("test://bucket");
    with(readiness, cache, &options, scenario);
}

pub(crate) fn with(
    readiness: Readiness,
    cache: CachePolicy,
    options: &MountOptions,
    scenario: impl FnOnce(&Mounted),
) {
    over(model(), (readiness, cache), options, scenario);
}

/// Runs `scenario` on a mount of each kind of a model whose listings tell no attributes at all.
pub(crate) fn scenario_with_bare_entries(scenario: impl Fn(&Mounted)) {
    let options = MountOptions::new("test://bucket");
    for readiness in [Readiness::Immediate, Readiness::Later] {
        let model = telling(Untold::All);
        let how = (readiness, CachePolicy::Keep);
        over(model, how, &options, &scenario);
    }
}

fn over(
    model: Model,
    (readiness, cache): (Readiness, CachePolicy),
    options: &MountOptions,
    scenario: impl FnOnce(&Mounted),
) {
    if !can_mount() {
        return;
    }
    println!("{readiness:?}, {cache:?}");
    let vfs = Arc::new(Probe::new(model, readiness, cache));
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let handle = runtime.handle().clone();
    let mount = mount(Arc::clone(&vfs), dir.path(), options, handle).unwrap();
    let mounted = Mounted {
        mount: Some(mount),
        vfs,
        dir,
        runtime,
    };
    scenario(&mounted);
    mounted.end();
}

impl Mounted {
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    /// Replaces content without the kernel, as another front end would.
    pub(crate) fn replace(&self, ino: InodeId, bytes: &[u8]) {
        let (vfs, cx) = (&self.vfs.inner, Context::ROOT);
        self.runtime.block_on(async {
            let empty = SetAttr {
                size: Some(0),
                ..SetAttr::default()
            };
            vfs.setattr(&cx, ino, &empty).await.unwrap();
            let opened = vfs.open(&cx, ino, OpenFlags::WRITE).await.unwrap();
            let written = vfs.write(&cx, ino, opened.handle, 0, bytes).await;
            assert_eq!(written.unwrap() as usize, bytes.len());
            vfs.release(&cx, ino, opened.handle).await.unwrap();
        });
    }

    /// Puts an object into the bucket as somebody outside.
    pub(crate) fn put_outside(&self, key: &str, bytes: &[u8]) {
        self.vfs.inner.put_outside(key, bytes).unwrap();
    }

    /// Renames in the root without the kernel.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        let names = [from, to].map(|name| Name::new(name).unwrap());
        let (root, mode) = (InodeId::ROOT, RenameMode::Replace);
        let vfs = &self.vfs.inner;
        let renamed = vfs.rename(&Context::ROOT, root, &names[0], root, &names[1], mode);
        self.runtime.block_on(renamed).unwrap();
    }

    /// Unmounts plainly, which fails if a scenario left a file open, and joins.
    fn end(mut self) {
        let mount = self.mount.take().unwrap();
        // The kernel lets go of a file a moment after the last close, where requests ran beside it.
        eventually("nothing is open", || {
            let unmounted = mount.unmounter().unmount(UnmountMode::Plain);
            unmounted.is_ok()
        });
        mount.join().unwrap();
        eventually("each open is released", || {
            self.vfs.inner.open_handles() == 0
        });
        assert_eq!(self.vfs.inner.forgotten_in_excess(), 0);
        let own = std::fs::metadata(self.root()).unwrap().dev();
        let above = std::fs::metadata(self.root().parent().unwrap()).unwrap();
        assert_eq!(own, above.dev(), "still mounted");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.vfs.hold(None);
    }
}

/// Waits for what another thread is about to do.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel and its threads run on real time"
)]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
