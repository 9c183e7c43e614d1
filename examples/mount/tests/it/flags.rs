//! What an earlier mount accepted is finished by the next one, whatever its flags.

use std::fs;

use rustix::process::Signal;

use crate::server::{Mood, Server};
use crate::world::{World, eventually};

/// A file is accepted by a mount that is killed before it could upload it.
fn left_by(world: &World, server: &Server, url: &str, name: &str, flags: &[&str]) {
    server.set(Mood::Busy);
    let mut mount = world.mount_url(url, flags);
    fs::write(world.folder.join(name), name).unwrap();
    mount.signal(Signal::KILL);
    mount.end();
    server.set(Mood::Kind);
}

/// Read-only is for those who use the mount. It says no word about what was promised before.
#[test]
fn a_read_only_mount_finishes_what_was_accepted() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    left_by(&world, &server, "s3://pail", "file", &[]);
    let mut mount = world.mount_url("s3://pail", &["--read-only"]);
    let refused = fs::write(world.folder.join("more"), "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    eventually("it is there", || server.object("file").is_some());
    assert_eq!(fs::read(world.folder.join("file")).unwrap(), b"file");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    assert_eq!(server.object("file").unwrap(), b"file");
}

#[test]
fn other_flags_change_nothing_about_what_was_accepted() {
    let flags = [
        &["--close", "remote", "--fsync", "remote"][..],
        &["--conflict", "fail", "--uploads", "1"],
        &["--conflict", "overwrite", "--ttl", "0", "--uid", "7"],
    ];
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    for (number, next) in flags.iter().enumerate() {
        let name = format!("file-{number}");
        left_by(&world, &server, "s3://pail", &name, &[]);
        let mut mount = world.mount_url("s3://pail", next);
        eventually("it is there", || server.object(&name).is_some());
        assert_eq!(world.umount().code, Some(0));
        assert_eq!(mount.end(), Some(0));
        assert_eq!(server.object(&name).unwrap(), name.as_bytes());
    }
}

/// It waits in a folder of its own, and only a mount of that part goes on with it: the others say so.
#[test]
fn what_waits_for_another_part_of_the_bucket_is_named() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    left_by(&world, &server, "s3://pail/sub", "file", &[]);
    let mut mount = world.mount_url("s3://pail", &[]);
    assert!(
        mount
            .said
            .contains("; 1 wait for other parts of it, see cloudmount status"),
        "{}",
        mount.said
    );
    let advice = "1 wait for s3://pail/sub/, which was mounted by itself: they go on with cloudmount mount s3://pail/sub/ FOLDER";
    assert!(mount.errors().contains(advice), "{}", mount.errors());
    let text = world.run(&["status", world.folder.to_str().unwrap()]).out;
    assert!(text.contains(advice), "{text}");
    let status = world.status();
    let elsewhere = status["elsewhere"].as_array().unwrap();
    assert_eq!(elsewhere.len(), 1, "{status}");
    let staging = elsewhere[0]["staging"].as_str().unwrap();
    assert!(fs::exists(staging).unwrap() && staging.contains("s3---pail-sub"));
    assert_eq!(server.object("sub/file"), None);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    // Another bucket, and another endpoint, have nothing to do with it.
    let other = Server::start(Mood::Kind);
    let mut mount = world.mount_url("s3://pail", &["--endpoint", &other.address]);
    assert_eq!(mount.said.matches("wait for").count(), 0, "{}", mount.said);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    // And now as it was advised.
    let mut mount = world.mount_url("s3://pail/sub", &[]);
    eventually("it is there", || server.object("sub/file").is_some());
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    let mut mount = world.mount_url("s3://pail", &[]);
    assert_eq!(mount.said.matches("wait for").count(), 0, "{}", mount.said);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}
