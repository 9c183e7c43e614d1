//! Ends: asked for, by signal, from outside, while in use, and by force.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::world::{World, eventually};

#[test]
fn umount_waits_until_all_is_in_the_bucket() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    for number in 0..50 {
        fs::write(
            world.folder.join(format!("file-{number}")),
            vec![3; 100_000],
        )
        .unwrap();
    }
    let done = world.umount();
    assert_eq!((done.code, &*done.err), (Some(0), ""));
    // The process is gone by now, not only on its way.
    assert!(world.is_clean());
    assert_eq!(mount.end(), Some(0));
    let names = fs::read_dir(&world.bucket)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let files = names.filter(|name| name.to_string_lossy().starts_with("file-"));
    assert_eq!(files.count(), 50);
    let sockets = fs::read_dir(world.path("run/cloudmount")).unwrap().count();
    assert_eq!(sockets, 0);
    world.umount().is_mistake(&["nothing is mounted at"]);
    let status = world.run(&["status", world.folder.to_str().unwrap()]);
    status.is_mistake(&["nothing of cloudmount is mounted at"]);
}

#[test]
fn an_unmount_from_outside_drains_too() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    fs::write(world.folder.join("file"), "x").unwrap();
    let unmounted = Command::new("fusermount3")
        .arg("-u")
        .arg(&world.folder)
        .status();
    if !unmounted.is_ok_and(|status| status.success()) {
        let done = Command::new("umount").arg(&world.folder).status().unwrap();
        assert!(done.success());
    }
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
    assert_eq!(fs::read(world.bucket.join("file")).unwrap(), b"x");
    assert!(world.is_clean());
}

#[test]
fn a_mount_in_use_stays_and_its_user_is_named() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    let mut user = Command::new("cat")
        .current_dir(&world.folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut file = fs::File::create(world.folder.join("file")).unwrap();
    let named = format!("cat (process {})", user.id());
    let busy = world.umount();
    let _ = user.kill();
    user.wait().unwrap();
    busy.is_mistake(&["is in use by", &named, "--lazy"]);
    assert!(world.is_mounted());
    assert_eq!(world.status()["state"], "mounted");
    // Lazily, it ends with the last file.
    let mut lazy = world.program();
    let lazy = lazy.args(["umount", "--lazy"]).arg(&world.folder);
    let mut waiting = lazy.stderr(Stdio::null()).spawn().unwrap();
    eventually("out of sight", || !world.is_mounted());
    eventually("told", || world.status()["state"] == "in-use");
    assert!(waiting.try_wait().unwrap().is_none());
    file.write_all(b"late").unwrap();
    drop(file);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
    assert_eq!(fs::read(world.bucket.join("file")).unwrap(), b"late");
}

/// The variable that makes a writer of [`a_writer`]: the file that it is to keep open.
const WRITER: &str = "CLOUDMOUNT_TEST_WRITER";

/// No test by itself, but a process that writes a file and keeps it open. A file that the tests
/// had open themselves would be flushed by every process that they start.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own needs to be told"
)]
fn a_writer() {
    let Some(path) = std::env::var_os(WRITER) else {
        return;
    };
    let mut file = fs::File::create(path).unwrap();
    file.write_all(b"half").unwrap();
    eprintln!("written");
    // Until the test has seen enough.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

pub(crate) fn writer(path: &Path) -> Child {
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer
        .args(["--exact", "ends::a_writer", "--nocapture"])
        .env(WRITER, path);
    let writer = writer
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(writer.stderr.as_mut().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said, "written\n");
    writer
}

/// It ends all the same; what was not closed is put aside, and the next mount names it.
#[test]
fn a_signal_ends_a_mount_in_use() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    let mut open = writer(&world.folder.join("open"));
    fs::write(world.folder.join("closed"), "whole").unwrap();
    mount.signal(Signal::TERM);
    let code = mount.end();
    let errors = mount.errors();
    assert_eq!(code, Some(1), "{errors}");
    for part in [
        "in use; it goes out of sight",
        "1 not uploaded",
        "open: it was not closed",
    ] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    assert!(world.is_clean());
    assert_eq!(fs::read(world.bucket.join("closed")).unwrap(), b"whole");
    assert!(!world.bucket.join("open").exists());
    drop(open.stdin.take());
    open.wait().unwrap();
    let again = world.mount(&[]);
    let aside = &world.status()["uploads"]["set_aside"][0];
    assert_eq!(aside["key"], "open", "{aside}");
    let kept = fs::read(aside["path"].as_str().unwrap()).unwrap();
    assert_eq!(kept, b"half");
    let text = world.run(&["status", world.folder.to_str().unwrap()]).out;
    assert!(
        text.contains("set aside after a crash (never-closed): open in"),
        "{text}"
    );
    drop(again);
}

/// Not even while the first one is being heeded.
#[test]
fn two_signals_leave_no_dead_mount() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    let mut open = writer(&world.folder.join("open"));
    mount.signal(Signal::TERM);
    mount.signal(Signal::INT);
    assert_eq!(mount.end(), Some(130), "{}", mount.errors());
    assert!(world.is_clean());
    drop(open.stdin.take());
    open.wait().unwrap();
}

#[test]
fn a_dead_mount_is_told_and_cleared() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    fs::write(world.folder.join("file"), "x").unwrap();
    mount.signal(Signal::KILL);
    mount.end();
    let dead = fs::read_dir(&world.folder).unwrap_err();
    assert_eq!(dead.kind(), std::io::ErrorKind::NotConnected);
    let status = world.run(&["status", world.folder.to_str().unwrap()]);
    status.is_mistake(&["is gone", "cloudmount umount"]);
    let done = world.umount();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("mount again to go on"), "{done:?}");
    assert!(world.is_clean());
    // And the next mount does so by itself.
    let mut mount = world.mount(&[]);
    mount.signal(Signal::KILL);
    mount.end();
    let mut mount = world.mount(&[]);
    assert_eq!(fs::read(world.folder.join("file")).unwrap(), b"x");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    assert_eq!(fs::read(world.bucket.join("file")).unwrap(), b"x");
}

#[test]
fn a_mount_of_another_kind_is_left_alone() {
    let Some(world) = World::new() else { return };
    world
        .run(&["umount", "/proc"])
        .is_mistake(&["is a mount of proc", "use umount"]);
    assert!(fs::exists("/proc/self").unwrap());
}
