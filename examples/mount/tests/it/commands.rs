//! What a person can see and do about uploads, by the commands of the program.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::ends::writer;
use crate::server::{Mood, Server};
use crate::world::{Done, World, eventually};

fn run(world: &World, command: &str, paths: &[&Path], flags: &[&str]) -> Done {
    let mut arguments = vec![command];
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
    arguments.extend(flags);
    world.run(&arguments)
}

fn failed(world: &World, count: u64) {
    eventually("refused", || {
        world.status()["uploads"]["totals"]["failed"] == count
    });
}

#[test]
fn a_flush_waits_until_it_is_in_the_bucket() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    fs::create_dir(world.folder.join("d")).unwrap();
    fs::write(world.folder.join("d/closed"), "closed").unwrap();
    let mut open = writer(&world.folder.join("d/open"));
    // From within the mount, too: the path is found by itself.
    let mut flush = world.program();
    flush.args(["flush", "--wait", "d"]);
    flush.current_dir(&world.folder);
    let done = world.end_of(flush);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("1 still open") && done.err.contains("d/open"));
    assert_eq!(fs::read(world.bucket.join("d/closed")).unwrap(), b"closed");
    assert_eq!(fs::read(world.bucket.join("d/open")).unwrap(), b"half");
    drop(open.stdin.take());
    open.wait().unwrap();
    let mut more = (fs::OpenOptions::new().append(true))
        .open(world.folder.join("d/open"))
        .unwrap();
    more.write_all(b" and all").unwrap();
    drop(more);
    let done = run(&world, "flush", &[&world.folder], &["--wait"]);
    assert_eq!((done.code, &*done.err), (Some(0), ""), "{done:?}");
    let open = fs::read(world.bucket.join("d/open")).unwrap();
    assert_eq!(open, b"half and all");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    let gone = run(&world, "flush", &[&world.folder], &[]);
    gone.is_mistake(&["nothing of cloudmount is mounted at"]);
}

#[test]
fn a_flush_says_what_is_not_there_and_why() {
    let server = Server::start(Mood::Forbidding);
    let Some(world) = World::at(&server) else {
        return;
    };
    let _mount = world.mount_url("s3://pail", &["--drain", "0"]);
    fs::write(world.folder.join("file"), "kept").unwrap();
    let done = run(&world, "flush", &[&world.folder], &["--wait"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err.contains("1 not in the bucket:\n  file: "),
        "{done:?}"
    );
    assert!(done.err.contains("denied"), "{done:?}");
    // A store that is busy is waited for, but not for longer than one wants; and how it goes is told.
    server.set(Mood::Busy);
    let file = world.folder.join("file");
    let done = run(&world, "flush", &[&file], &["--wait", "--timeout", "3s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("1 to upload (4 B)"), "{done:?}");
    let late = run(&world, "flush", &[&file], &["--timeout", "3s"]);
    assert_eq!(late.code, Some(2), "it waits for nothing: {late:?}");
    server.set(Mood::Kind);
    let done = run(&world, "flush", &[&file], &["--wait"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(server.object("file").unwrap(), b"kept");
}

#[test]
fn uploads_pause_until_they_are_resumed_or_the_end() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &[]);
    let said = run(&world, "pause", &[&world.folder], &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("cloudmount resume"), "{said:?}");
    fs::write(world.folder.join("file"), "kept").unwrap();
    let flush = run(&world, "flush", &[&world.folder], &["--wait"]);
    flush.is_mistake(&["uploads are paused", "cloudmount resume"]);
    assert_eq!(world.status()["uploads"]["paused"], true);
    let text = run(&world, "status", &[&world.folder], &[]).out;
    assert!(
        text.contains("uploads (paused: cloudmount resume"),
        "{text}"
    );
    assert_eq!(server.object("file"), None);
    let said = run(&world, "resume", &[&world.folder], &[]);
    assert_eq!((said.code, &*said.out), (Some(0), "1 to upload\n"));
    eventually("it is there", || server.object("file").is_some());
    run(&world, "pause", &[&world.folder], &[]);
    fs::write(world.folder.join("last"), "kept, too").unwrap();
    let done = world.umount();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.err.contains("uploads were paused; they go on"),
        "{done:?}"
    );
    assert_eq!(mount.end(), Some(0));
    assert_eq!(server.object("last").unwrap(), b"kept, too");
}

#[test]
fn what_failed_is_tried_again_at_once() {
    let server = Server::start(Mood::Forbidding);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &[]);
    for name in ["one", "two"] {
        fs::write(world.folder.join(name), name).unwrap();
    }
    failed(&world, 2);
    let path = world.folder.join("one");
    let text = run(&world, "status", &[&path], &[]).out;
    assert!(text.starts_with("one: 1 waiting"), "{text}");
    assert!(
        text.contains("one: content, failed") && !text.contains("two"),
        "{text}"
    );
    assert!(text.contains(", next try in "), "{text}");
    server.set(Mood::Kind);
    let said = run(&world, "retry", &[&world.folder, &path], &[]);
    assert_eq!(
        (said.code, &*said.out),
        (Some(0), "1 tried now\n"),
        "{said:?}"
    );
    eventually("it is there", || server.object("one").is_some());
    assert_eq!(server.object("two"), None);
    // A name alone is meant below the mount.
    let said = run(&world, "retry", &[&world.folder, Path::new("two")], &[]);
    assert_eq!(&*said.out, "1 tried now\n", "{said:?}");
    eventually("it is there, too", || server.object("two").is_some());
    let nothing = run(&world, "status", &[&path], &[]).out;
    assert_eq!(nothing, "one: nothing waits\n");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

#[test]
fn what_is_dropped_is_set_aside_and_the_bucket_is_shown() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &["--ttl", "0"]);
    let (path, other) = (world.folder.join("file"), world.folder.join("other"));
    fs::write(&path, "theirs").unwrap();
    let done = run(&world, "flush", &[&path], &["--wait"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    server.set(Mood::Forbidding);
    fs::write(&path, "mine, and longer").unwrap();
    fs::write(&other, "nothing").unwrap();
    failed(&world, 2);
    let mut open = fs::OpenOptions::new().append(true).open(&path).unwrap();
    open.write_all(b"!").unwrap();
    let refused = run(&world, "drop", &[&world.folder, &path], &[]);
    refused.is_mistake(&["file is open for writing", "close it"]);
    drop(open);
    let dropped = run(&world, "drop", &[&world.folder, &path], &[]);
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert!(
        dropped
            .out
            .starts_with("file: gave up the upload; what was written is in ")
    );
    let aside = dropped.out.trim().rsplit(' ').next().unwrap();
    assert_eq!(fs::read(aside).unwrap(), b"mine, and longer!");
    // The kernel shows what the bucket has, at once.
    assert_eq!(fs::metadata(&path).unwrap().len(), 6);
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    let text = run(&world, "status", &[&world.folder], &[]).out;
    assert!(
        text.contains(&format!("set aside given up: file in {aside}")),
        "{text}"
    );
    let dropped = run(&world, "drop", &[&world.folder, &other], &["--discard"]);
    assert_eq!(&*dropped.out, "other: gave up the upload\n", "{dropped:?}");
    assert!(!other.exists());
    let nothing = run(&world, "drop", &[&world.folder, &other], &[]);
    nothing.is_mistake(&["nothing waits there", "status says what waits"]);
    let elsewhere = run(&world, "drop", &[&world.folder, Path::new("/etc")], &[]);
    elsewhere.is_mistake(&["/etc is not in "]);
    assert_eq!(world.umount().code, Some(0), "nothing is left");
    assert_eq!(mount.end(), Some(0));
    assert_eq!(server.object("file").unwrap(), b"theirs");
}

/// Scripts and file managers see it without the program.
#[test]
fn an_attribute_tells_the_state() {
    let server = Server::start(Mood::Forbidding);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mount = world.mount_url("s3://pail", &[]);
    let path = world.folder.join("file");
    let state = || {
        let mut value = [0; 256];
        let length = rustix::fs::getxattr(&path, "user.cloudmount.upload", &mut value).unwrap();
        String::from_utf8(value[..length].to_vec()).unwrap()
    };
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"x").unwrap();
    assert_eq!(state(), "open");
    drop(file);
    eventually("refused", || state().starts_with("failed: "));
    server.set(Mood::Kind);
    run(&world, "retry", &[&world.folder], &[]);
    eventually("there", || state() == "clean");
    let mut names = [0; 256];
    assert_eq!(rustix::fs::listxattr(&path, &mut names[..]).unwrap(), 0);
    let flags = rustix::fs::XattrFlags::empty();
    let set = rustix::fs::setxattr(&path, "user.cloudmount.upload", b"clean", flags);
    assert_eq!(set.unwrap_err(), rustix::io::Errno::PERM);
    let removed = rustix::fs::removexattr(&path, "user.cloudmount.upload");
    assert_eq!(removed.unwrap_err(), rustix::io::Errno::PERM);
    drop(mount);
}

/// Linux tells a mount of this kind nothing of `sync` and `syncfs`: they return, whatever waits.
#[test]
fn sync_does_not_wait_for_the_bucket() {
    let server = Server::start(Mood::Busy);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &["--fsync", "remote"]);
    fs::write(world.folder.join("file"), "kept").unwrap();
    let folder = fs::File::open(&world.folder).unwrap();
    rustix::fs::syncfs(&folder).unwrap();
    drop(folder);
    assert_eq!(server.object("file"), None);
    server.set(Mood::Kind);
    let done = run(&world, "flush", &[&world.folder], &["--wait"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(server.object("file").unwrap(), b"kept");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

#[test]
fn what_others_changed_is_shown_after_an_invalidation() {
    let Some(world) = World::new() else { return };
    let put = |name: &str, text: &str| fs::write(world.bucket.join(name), text).unwrap();
    fs::create_dir(world.bucket.join("d")).unwrap();
    put("a", "old");
    put("d/x", "x");
    let mut mount = world.mount(&["--ttl", "1h"]);
    let read = |name: &str| fs::read_to_string(world.folder.join(name)).ok();
    let names = || {
        let listed = fs::read_dir(world.folder.join("d")).unwrap();
        let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let old = || (read("a"), read("new"), names());
    let text = |text: &str| Some(text.to_owned());
    let before = (text("old"), None, vec!["x".to_owned()]);
    assert_eq!(old(), before);
    put("a", "newer");
    put("new", "new");
    put("d/y", "y");
    fs::remove_file(world.bucket.join("d/x")).unwrap();
    // An hour is not over.
    assert_eq!(old(), before);

    // One file, and the folder that it is in.
    let done = run(&world, "invalidate", &[&world.folder.join("a")], &[]);
    assert_eq!((done.code, &*done.out, &*done.err), (Some(0), "", ""));
    eventually("the new content", || read("a") == text("newer"));
    assert_eq!(names(), ["x"]);
    // All of it. What is only here stays.
    fs::write(world.folder.join("d/local"), "local").unwrap();
    assert_eq!(
        run(&world, "invalidate", &[&world.folder], &[]).code,
        Some(0)
    );
    eventually("all that is new", || {
        read("new") == text("new") && names() == ["local", "y"]
    });
    assert_eq!(read("d/x"), None);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}
