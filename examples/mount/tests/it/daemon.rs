//! Mounts in the background.

use std::fs;

use crate::world::{World, eventually};

#[test]
fn a_daemon_is_mounted_when_its_starter_ends() {
    let Some(world) = World::new() else { return };
    let url = world.url();
    let folder = world.folder.to_str().unwrap();
    let started = world.run(&["mount", "--daemon", &url, folder]);
    assert_eq!((started.code, &*started.err), (Some(0), ""));
    let said = format!("mounted {url} at {folder} (log: ");
    assert!(started.out.starts_with(&said), "{started:?}");
    assert!(world.is_mounted());
    fs::write(world.folder.join("file"), "x").unwrap();
    let status = world.status();
    let pid = status["pid"].as_u64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields after the name: state, parent, group, session.
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap();
    assert_eq!(session, pid.to_string(), "it leads a session of its own");
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(),
        Some("/")
    );
    assert_eq!(world.umount().code, Some(0));
    assert!(world.is_clean());
    assert_eq!(fs::read(world.bucket.join("file")).unwrap(), b"x");
    let log = started
        .out
        .trim_end_matches(")\n")
        .rsplit_once("(log: ")
        .unwrap()
        .1;
    assert!(fs::exists(log).unwrap());
}

/// The background process leaves the folder that it was started in.
#[test]
fn a_daemon_keeps_to_relative_folders() {
    let Some(world) = World::new() else { return };
    let mut program = world.program();
    program.args([
        "mount",
        "--daemon",
        "--cache-dir",
        "cache",
        "--state-dir",
        "state",
    ]);
    program
        .args([&*world.url(), "mnt"])
        .current_dir(world.path("."));
    let started = world.end_of(program);
    assert_eq!(started.code, Some(0), "{started:?}");
    for name in ["one", "two"] {
        fs::write(world.folder.join(name), vec![1; 10_000]).unwrap();
        fs::read(world.folder.join(name)).unwrap();
    }
    let staging = world.status()["staging"].as_str().unwrap().to_owned();
    assert!(
        staging.starts_with(world.path("cache/staging").to_str().unwrap()),
        "{staging}"
    );
    let log = format!("(log: {}/", world.path("state/log").display());
    assert!(started.out.contains(&log), "{started:?}");
    assert_eq!(world.umount().code, Some(0));
    assert!(world.is_clean());
    assert_eq!(fs::read(world.bucket.join("two")).unwrap(), vec![1; 10_000]);
}

/// As in the foreground, and at the terminal of whoever started it.
#[test]
fn a_daemon_that_cannot_mount_says_why() {
    let Some(world) = World::new() else { return };
    let missing = world.path("missing");
    let missing = missing.to_str().unwrap();
    let url = world.url();
    for (arguments, words) in [
        (["--daemon", &url, missing], ["does not exist", "mkdir"]),
        (
            ["--daemon", "s3:/x", world.folder.to_str().unwrap()],
            ["two slashes", "s3://BUCKET"],
        ),
    ] {
        let failed = world.run(&[["mount"].as_slice(), arguments.as_slice()].concat());
        failed.is_mistake(&words);
        assert!(world.is_clean());
    }
}

/// Whoever gave up waiting for it believes that there is no mount.
#[test]
fn a_daemon_without_a_starter_ends() {
    let Some(world) = World::new() else { return };
    let mut detached = world.program();
    detached
        .args(["mount", "--detached", &world.url()])
        .arg(&world.folder);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = detached
        .stdout(writer)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut code = None;
    eventually("ended", || {
        code = child.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(0)));
    assert!(world.is_clean());
}
