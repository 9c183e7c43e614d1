//! A mount that is used, and what it tells of itself.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rustix::process::Signal;

use crate::server::{Mood, Server};
use crate::world::{World, eventually};

#[test]
fn a_mounted_folder_is_a_folder() {
    let Some(world) = World::new() else { return };
    fs::write(world.bucket.join("before"), "there already").unwrap();
    let mut mount = world.mount(&[]);
    let expected = format!("mounted {} at {}\n", world.url(), world.folder.display());
    assert_eq!(mount.said, expected);
    let at = |name: &str| world.folder.join(name);
    assert_eq!(fs::read_to_string(at("before")).unwrap(), "there already");
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/one"), "first").unwrap();
    fs::write(at("two"), vec![7; 3 << 20]).unwrap();
    fs::rename(at("two"), at("folder/three")).unwrap();
    fs::remove_file(at("before")).unwrap();
    let meta = fs::metadata(at("folder/one")).unwrap();
    let user = rustix::process::geteuid().as_raw();
    assert_eq!((meta.len(), meta.uid()), (5, user));
    let mut names: Vec<_> = fs::read_dir(at("folder"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["one", "three"]);
    mount.signal(Signal::TERM);
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
    assert!(world.is_clean());
    // Another tool sees the same, byte for byte, and so does the next mount.
    assert_eq!(fs::read(world.bucket.join("folder/one")).unwrap(), b"first");
    assert!(fs::read(world.bucket.join("folder/three")).unwrap() == vec![7; 3 << 20]);
    assert!(!world.bucket.join("before").exists());
    let mut again = world.mount(&[]);
    assert_eq!(fs::read_to_string(at("folder/one")).unwrap(), "first");
    assert!(!at("before").exists());
    again.signal(Signal::INT);
    assert_eq!(again.end(), Some(0), "{}", again.errors());
}

#[test]
fn flags_and_variables_reach_the_mount() {
    let Some(mut world) = World::new() else {
        return;
    };
    fs::write(world.bucket.join("file"), "x").unwrap();
    let flags = ["--uid", "1234", "--gid", "4321", "--file-mode", "0640"];
    let mut mount = world.mount(&flags);
    let meta = fs::metadata(world.folder.join("file")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (1234, 4321));
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    world.set("CLOUDMOUNT_READ_ONLY", "true");
    let mut mount = world.mount(&[]);
    let refused = fs::write(world.folder.join("new"), "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

/// What it does to the cache is `cargo xtask trace`'s concern; here it is a trace, and of all reads.
#[test]
fn reads_are_recorded_on_demand() {
    let Some(world) = World::new() else { return };
    let trace = world.path("reads.trace");
    let file = world.folder.join("file");
    let mut mount = world.mount(&["--cache-strategy", "sieve"]);
    fs::write(&file, "some bytes").unwrap();
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    let mut mount = world.mount(&["--record-reads", trace.to_str().unwrap()]);
    let before = fs::read(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    let reads = cloudmount::cache::trace::read(&fs::read(trace).unwrap()).unwrap();
    let same = |read: &&cloudmount::cache::trace::Read| read.offset == 0 && read.size == 10;
    assert_eq!(reads.iter().filter(same).count(), 2, "{reads:?}");
}

#[test]
fn status_says_how_it_stands() {
    let Some(world) = World::new() else { return };
    let mount = world.mount(&["--cache-memory", "64MiB"]);
    fs::write(world.folder.join("file"), "some bytes").unwrap();
    let status = world.status();
    assert_eq!(status["state"], "mounted");
    assert_eq!(status["location"], *world.url());
    assert_eq!(status["folder"], *world.folder.display().to_string());
    assert_eq!(status["pid"], mount.child.id());
    assert_eq!(status["cache"]["limit_bytes"], 64 << 20);
    assert!(status["uploads"]["totals"]["keys"].is_u64(), "{status}");
    assert!(
        status["uploads"]["budgets"][0]["limit"].is_u64(),
        "{status}"
    );
    assert!(status["requests"]["operations"].is_object(), "{status}");
    // By any name of the folder.
    let link = world.path("link");
    std::os::unix::fs::symlink(&world.folder, &link).unwrap();
    let text = world.run(&["status", link.to_str().unwrap()]);
    assert_eq!(text.code, Some(0), "{text:?}");
    for part in [
        ": mounted (process",
        "uploads: ",
        "cache: ",
        "body bytes: 0 B of",
    ] {
        assert!(text.out.contains(part), "{part} in {}", text.out);
    }
}

#[test]
fn many_files_may_be_open() {
    let Some(world) = World::new() else { return };
    let mut limited = world.command("sh");
    let line = r#"ulimit -Sn 128 && exec "$0" mount "$1" "$2""#;
    limited.args(["-c", line, env!("CARGO_BIN_EXE_cloudmount"), &world.url()]);
    limited.arg(&world.folder);
    let mount = world.mounted_by(limited);
    let limits = fs::read_to_string(format!("/proc/{}/limits", mount.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let mut fields = line
        .split_whitespace()
        .skip(3)
        .map(|field| field.parse::<u64>().unwrap());
    let (soft, hard) = (fields.next().unwrap(), fields.next().unwrap());
    assert_eq!(soft, hard.min(65_536), "{line}");
}

#[test]
fn two_buckets_are_mounted_side_by_side() {
    let Some(world) = World::new() else { return };
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    let _first = world.mount(&[]);
    let mut program = world.program();
    program.args(["mount", "memory:"]).arg(&other);
    let mut second = world.mounted_by(program);
    fs::write(other.join("a"), "x").unwrap();
    assert!(!world.folder.join("a").exists());
    let other = other.to_str().unwrap();
    let status = world.run(&["status", "--json", other]).out;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let staging = status["staging"].as_str().unwrap();
    assert!(fs::exists(staging).unwrap());
    let done = world.run(&["umount", other]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(second.end(), Some(0));
    assert!(!fs::exists(staging).unwrap(), "of memory, nothing is left");
    assert!(world.is_mounted());
    assert_eq!(world.status()["state"], "mounted");
}

#[test]
fn a_bucket_that_is_gone_for_a_while_is_an_error_and_costs_nothing() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    server.put("there", b"x".to_vec());
    let mut mount = world.mount_url("s3://pail", &["--ttl", "0s"]);
    let at = |name: &str| world.folder.join(name);
    let mut kept = fs::File::create(at("kept")).unwrap();
    server.set(Mood::Empty);
    kept.write_all(b"accepted").unwrap();
    kept.sync_all().unwrap();
    drop(kept);
    let gone = Some(rustix::io::Errno::IO.raw_os_error());
    assert_eq!(fs::metadata(at("there")).unwrap_err().raw_os_error(), gone);
    assert_eq!(fs::metadata(at("else")).unwrap_err().raw_os_error(), gone);
    let folder = world.folder.to_str().unwrap();
    eventually("the status names it", || {
        let shown = world.run(&["status", folder]).out;
        shown.contains("there is no such bucket")
    });
    server.set(Mood::Kind);
    assert_eq!(fs::read(at("there")).unwrap(), b"x");
    let flushed = world.run(&["flush", "--wait", folder]);
    assert_eq!(flushed.code, Some(0), "{flushed:?}");
    assert_eq!(server.object("kept").as_deref(), Some(&b"accepted"[..]));
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
}
