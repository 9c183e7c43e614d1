//! The life of a mount: refused, mounted, unmounted by anyone, idle or busy, dead and cleared.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cloudmount_fuse::{Mount, MountErrorKind, MountOptions, UnmountMode, mount};
use cloudmount_testkit::linux_version;
use cloudmount_vfs::CachePolicy;
use rustix::mount::{MountFlags, UnmountFlags};
use tokio::runtime::Runtime;

use crate::mounted::{can_mount, eventually, model, on, runtime};
use crate::probe::{Probe, Readiness};

fn mount_tree(at: &Path, options: &MountOptions, runtime: &Runtime) -> Mount {
    mount(Arc::new(model()), at, options, runtime.handle().clone()).unwrap()
}

fn table() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap()
}

fn line_of(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap();
    let has_path = |line: &&str| line.split(' ').nth(1) == path.to_str();
    table().lines().rfind(has_path).map(str::to_owned)
}

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        println!("skipped: not root");
    }
    root
}

#[test]
fn a_mount_is_what_was_asked_for() {
    if !can_mount() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let mut options = MountOptions::new("s3://bucket/pre,fix");
    options.read_only = true;
    let mount = mount_tree(dir.path(), &options, &runtime);
    assert!(mount.is_live());
    let line = line_of(dir.path()).unwrap();
    assert!(line.starts_with("s3://bucket/pre_fix "), "{line}");
    assert!(line.contains(" fuse.cloudmount ro,nosuid,nodev,"), "{line}");
    assert!(line.contains("default_permissions"), "{line}");
    assert!(!line.contains("allow_other"), "{line}");
    let refused = fs::write(dir.path().join("file"), b"x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    let device = fs::metadata(dir.path()).unwrap().dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let ahead = fs::read_to_string(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"));
    if is_root() {
        assert_eq!(ahead.unwrap().trim(), "2048");
    }
    mount.unmounter().unmount(UnmountMode::Plain).unwrap();
    mount.join().unwrap();
    assert_eq!(line_of(dir.path()), None);
}

#[test]
fn mounting_twice_is_refused_and_harms_nothing() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        fs::write(mounted.path("file"), b"x").unwrap();
        let (runtime, options) = (runtime(), MountOptions::new("second"));
        let vfs = Arc::new(model());
        let again = mount(vfs, mounted.root(), &options, runtime.handle().clone());
        assert_eq!(again.unwrap_err().kind(), MountErrorKind::AlreadyMounted);
        assert_eq!(fs::read(mounted.path("file")).unwrap(), b"x");
        assert!(mounted.mount().is_live());
    });
}

#[test]
fn a_covered_mount_is_left_alone() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let runtime = runtime();
        let mut options = MountOptions::new("above");
        options.cover_existing = true;
        let above = mount_tree(mounted.root(), &options, &runtime);
        let below = mounted.mount().unmounter();
        let covered = below.unmount(UnmountMode::Plain).unwrap_err();
        assert_eq!(covered.kind(), MountErrorKind::Covered);
        assert!(above.is_live());
        drop(above);
        eventually("only one is left", || {
            line_of(mounted.root()).is_some_and(|line| line.starts_with("test://bucket "))
        });
    });
}

#[test]
fn a_busy_mount_is_not_unmounted_plainly() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let file = File::create(mounted.path("file")).unwrap();
        let unmounter = mounted.mount().unmounter();
        let busy = unmounter.unmount(UnmountMode::Plain).unwrap_err();
        assert_eq!(busy.kind(), MountErrorKind::Busy);
        assert!(busy.to_string().contains("close the files"), "{busy}");
        assert!(mounted.mount().is_live());
        drop(file);
    });
}

#[test]
fn a_lazy_unmount_lets_open_files_finish() {
    if !can_mount() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let mount = mount_tree(dir.path(), &MountOptions::new("lazy"), &runtime);
    let mut file = File::create(dir.path().join("file")).unwrap();
    let unmounter = mount.unmounter();
    unmounter.unmount(UnmountMode::Lazy).unwrap();
    assert_eq!(line_of(dir.path()), None);
    file.write_all(b"late").unwrap();
    assert!(mount.is_live());
    drop(file);
    mount.join().unwrap();
    unmounter.unmount(UnmountMode::Plain).unwrap();
}

#[test]
fn unmounting_while_requests_are_pending() {
    if !can_mount() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let vfs = Arc::new(Probe::new(model(), Readiness::Later, CachePolicy::Direct));
    let options = MountOptions::new("busy");
    let handle = runtime.handle().clone();
    let mount = mount(Arc::clone(&vfs), dir.path(), &options, handle).unwrap();
    let path = dir.path().join("file");
    fs::write(&path, b"x").unwrap();
    vfs.hold(Some("read"));
    let reader = thread::spawn(move || fs::read(path));
    eventually("the file is open", || vfs.count("open") == 1);
    mount.unmounter().unmount(UnmountMode::Lazy).unwrap();
    assert_eq!(line_of(dir.path()), None);
    vfs.hold(None);
    assert_eq!(reader.join().unwrap().unwrap(), b"x");
    mount.join().unwrap();
}

#[test]
fn somebody_else_unmounts_and_mounts_another() {
    if !can_mount() || !is_root() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let options = MountOptions::new("first");
    let first = mount_tree(dir.path(), &options, &runtime);
    let unmounter = first.unmounter();
    rustix::mount::unmount(dir.path(), UnmountFlags::empty()).unwrap();
    let second = mount_tree(dir.path(), &MountOptions::new("second"), &runtime);
    first.join().unwrap();
    unmounter.unmount(UnmountMode::Plain).unwrap();
    assert!(line_of(dir.path()).unwrap().starts_with("second "));
    assert!(second.is_live());
    drop(second);
    assert_eq!(line_of(dir.path()), None);
}

#[test]
fn an_aborted_connection_ends_the_mount_and_is_cleaned_up() {
    if !can_mount() || !is_root() {
        return;
    }
    let control = tempfile::tempdir().unwrap();
    rustix::mount::mount(
        "control",
        control.path(),
        "fusectl",
        MountFlags::empty(),
        None,
    )
    .unwrap();
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let mount = mount_tree(dir.path(), &MountOptions::new("x"), &runtime);
    let device = fs::metadata(dir.path()).unwrap().dev();
    let connection = control.path().join(libc::minor(device).to_string());
    fs::write(connection.join("abort"), b"1").unwrap();
    rustix::mount::unmount(control.path(), UnmountFlags::DETACH).unwrap();
    mount.join().unwrap();
    assert_eq!(line_of(dir.path()), None);
}

#[test]
fn the_directory_may_go_once_it_is_unmounted() {
    if !can_mount() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let mount = mount_tree(dir.path(), &MountOptions::new("x"), &runtime);
    let unmounter = mount.unmounter();
    unmounter.unmount(UnmountMode::Plain).unwrap();
    dir.close().unwrap();
    unmounter.unmount(UnmountMode::Lazy).unwrap();
    mount.join().unwrap();
}

#[test]
fn dropping_a_mount_unmounts_it() {
    if !can_mount() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    drop(mount_tree(dir.path(), &MountOptions::new("x"), &runtime));
    assert_eq!(line_of(dir.path()), None);
}

/// What a killed process leaves: a mount whose connection nobody holds.
fn leave_a_dead_mount(at: &Path, subtype: &str) {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .unwrap();
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,subtype={subtype}\0",
        device.as_raw_fd()
    );
    let data = std::ffi::CStr::from_bytes_with_nul(data.as_bytes()).unwrap();
    rustix::mount::mount("dead", at, "fuse", MountFlags::NOSUID, data).unwrap();
    drop(device);
    let dead = fs::metadata(at).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(libc::ENOTCONN));
}

#[test]
fn dead_mounts_of_ours_are_cleared() {
    if !can_mount() || !is_root() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    leave_a_dead_mount(dir.path(), "cloudmount");
    leave_a_dead_mount_on_top(dir.path());
    let mount = mount_tree(dir.path(), &MountOptions::new("fresh"), &runtime);
    fs::write(dir.path().join("file"), b"x").unwrap();
    drop(mount);
    assert_eq!(line_of(dir.path()), None);
}

/// Whether the kernel can mount beneath another mount: Linux 6.5.
fn can_mount_beneath() -> bool {
    let version = linux_version();
    let can = version >= (6, 5);
    if !can {
        println!("skipped: Linux {version:?}");
    }
    can
}

/// In between, whoever writes there would write into the folder below.
#[test]
fn a_new_mount_takes_the_place_of_a_dead_one_in_one_step() {
    if !can_mount() || !is_root() || !can_mount_beneath() {
        return;
    }
    let runtime = runtime();
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        leave_a_dead_mount(dir.path(), "cloudmount");
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (path, stop) = (dir.path().join("file"), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = fs::write(&path, b"x");
                }
            })
        };
        let mount = mount_tree(dir.path(), &MountOptions::new("fresh"), &runtime);
        eventually("it can be written", || {
            fs::read(dir.path().join("file")).is_ok_and(|text| text == b"x")
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        let line = line_of(dir.path()).unwrap();
        for part in [
            "fresh ",
            " fuse.cloudmount ",
            "nosuid",
            "nodev",
            "default_permissions",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        drop(mount);
        assert_eq!(line_of(dir.path()), None);
        let below: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert!(below.is_empty(), "{below:?}");
    }
}

/// A second crash over the first one's remains cannot be mounted by path, for the path is dead.
fn leave_a_dead_mount_on_top(at: &Path) {
    let above = tempfile::tempdir().unwrap();
    leave_a_dead_mount(above.path(), "cloudmount");
    rustix::mount::mount_move(above.path(), at).unwrap();
}

#[test]
fn dead_mounts_of_others_are_not_touched() {
    if !can_mount() || !is_root() {
        return;
    }
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    leave_a_dead_mount(dir.path(), "theirs");
    let vfs = Arc::new(model());
    let options = MountOptions::new("x");
    let refused = mount(vfs, dir.path(), &options, runtime.handle().clone()).unwrap_err();
    assert_eq!(refused.kind(), MountErrorKind::Stale);
    assert!(refused.to_string().contains("fusermount3 -uz"), "{refused}");
    rustix::mount::unmount(dir.path(), UnmountFlags::DETACH).unwrap();
}
