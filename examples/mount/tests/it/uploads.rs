//! Uploads that do not go through: shown, told at the end, and gone on with by the next mount.

use std::fs;

use rustix::process::Signal;

use crate::server::{Mood, Server};
use crate::world::{World, eventually};

const SECRET: &str = "hunter2hunter2";

fn world(server: &Server) -> Option<World> {
    let mut world = World::new()?;
    world.set("AWS_ENDPOINT_URL", &server.address);
    world.set("AWS_ACCESS_KEY_ID", "id");
    world.set("AWS_SECRET_ACCESS_KEY", SECRET);
    Some(world)
}

#[test]
fn what_is_refused_is_told_and_kept() {
    let server = Server::start(Mood::Forbidding);
    let Some(world) = world(&server) else { return };
    let mut mount = world.mount_url("s3://pail", &["--log", "debug"]);
    fs::write(world.folder.join("file"), "kept").unwrap();
    eventually("refused", || {
        world.status()["uploads"]["totals"]["failed"] == 1
    });
    let status = world.status();
    let key = &status["uploads"]["keys"][0];
    assert_eq!(
        (&key["key"], &key["phase"]),
        (&"file".into(), &"failed".into())
    );
    assert_eq!(
        (&key["bytes_total"], &key["bytes_done"]),
        (&4.into(), &0.into())
    );
    assert!(key["error"].as_str().unwrap().contains("denied"), "{key}");
    let text = world.run(&["status", world.folder.to_str().unwrap()]).out;
    assert!(
        text.contains("1 failed") && text.contains("file: content, failed, 0 % of 4 B"),
        "{text}"
    );
    let done = world.umount();
    assert_eq!(done.code, Some(1), "{done:?}");
    for part in [
        "1 not uploaded; they wait in",
        "mount again to go on",
        "  file: ",
    ] {
        assert!(done.err.contains(part), "{part} in {}", done.err);
    }
    assert_eq!(mount.end(), Some(1));
    assert!(world.is_clean());
    for said in [&mount.errors(), &status.to_string(), &text, &done.err] {
        assert!(!said.contains(SECRET), "a secret is shown: {said}");
    }
    server.set(Mood::Kind);
    let mut again = world.mount_url("s3://pail", &[]);
    assert_eq!(fs::read(world.folder.join("file")).unwrap(), b"kept");
    let done = world.umount();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(again.end(), Some(0));
    assert_eq!(server.object("file").unwrap(), b"kept");
}

#[test]
fn the_end_is_watched_and_cut_short() {
    let server = Server::start(Mood::Busy);
    let Some(world) = world(&server) else { return };
    let mut mount = world.mount_url("s3://pail", &[]);
    fs::write(world.folder.join("file"), "kept").unwrap();
    mount.signal(Signal::INT);
    eventually("progress", || mount.errors().contains("1 to upload (4 B)"));
    assert!(!world.is_mounted());
    let status = world.status();
    assert_eq!(status["state"], "draining", "{status}");
    assert_eq!(status["uploads"]["keys"][0]["key"], "file");
    // One more who asks for the end waits for it, too.
    let mut asked = world.program();
    let asked = asked.arg("umount").arg(&world.folder);
    let watched = fs::File::create(world.path("watched")).unwrap();
    let mut asked = asked.stderr(watched).spawn().unwrap();
    eventually("told", || {
        fs::read_to_string(world.path("watched"))
            .unwrap()
            .contains("1 to upload")
    });
    // Nor can the bucket be mounted meanwhile.
    let busy = world.run(&["mount", "s3://pail", world.folder.to_str().unwrap()]);
    busy.is_mistake(&["still uploads", "cloudmount umount"]);
    mount.signal(Signal::INT);
    assert_eq!(mount.end(), Some(130), "{}", mount.errors());
    assert!(!asked.wait().unwrap().success());
    assert!(mount.errors().contains("mount again to go on"));
    assert!(world.is_clean());
    assert_eq!(server.object("file"), None);
    server.set(Mood::Kind);
    let mut again = world.mount_url("s3://pail", &[]);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(again.end(), Some(0));
    assert_eq!(server.object("file").unwrap(), b"kept");
}

/// A signal ends an end that somebody else began.
#[test]
fn a_drain_has_a_limit() {
    let server = Server::start(Mood::Busy);
    let Some(world) = world(&server) else { return };
    let mut mount = world.mount_url("s3://pail", &["--drain", "3s"]);
    fs::write(world.folder.join("file"), "kept").unwrap();
    let done = world.umount();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err.contains("1 to upload") && done.err.contains("1 not uploaded"),
        "{done:?}"
    );
    assert_eq!(mount.end(), Some(1));
    let mut mount = world.mount_url("s3://pail", &[]);
    let mut asked = world.program();
    let mut asked = asked.arg("umount").arg(&world.folder).spawn().unwrap();
    eventually("draining", || {
        let status = world.run(&["status", "--json", world.folder.to_str().unwrap()]);
        status.out.contains("\"draining\"")
    });
    mount.signal(Signal::TERM);
    assert_eq!(asked.wait().unwrap().code(), Some(1));
    assert_eq!(mount.end(), Some(1));
    assert!(world.is_clean());
}

/// What waits for a bucket at one endpoint never goes to one of the same name at another.
#[test]
fn endpoints_do_not_share_what_waits() {
    let (busy, kind) = (Server::start(Mood::Busy), Server::start(Mood::Kind));
    let Some(mut world) = world(&busy) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &["--drain", "0"]);
    fs::write(world.folder.join("file"), "kept").unwrap();
    assert_eq!(world.umount().code, Some(1));
    mount.end();
    world.set("AWS_ENDPOINT_URL", &kind.address);
    let mut mount = world.mount_url("s3://pail", &[]);
    assert!(!world.folder.join("file").exists());
    assert_eq!(world.umount().code, Some(0));
    mount.end();
    assert_eq!(kind.object("file"), None);
}
