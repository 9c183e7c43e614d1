//! The doctor where all is well: it says so of each check, names no fault, and leaves nothing.

use serde_json::Value;

use super::all;
use super::bucket::speaking;
use super::fault::{SECRET, file, findings, text};
use crate::server::{Mood, Server};
use crate::world::{Done, World};
use cloudmount_testkit::Dialect;

/// What it finds of a bucket at a server that does all as Amazon documents it, with a mount point, a cache and writing.
pub(super) fn found(world: &World) -> Vec<Value> {
    let server = speaking(Dialect::Plain);
    let (folder, endpoint) = (text(&world.folder), server.endpoint());
    let cache = text(world.path("cache"));
    let done = with_keys(
        world,
        &[
            "s3://pail",
            &folder,
            "--endpoint",
            &endpoint,
            "--disk-cache",
            &cache,
            "--write",
        ],
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    findings(&done)
}

fn with_keys(world: &World, arguments: &[&str]) -> Done {
    let mut program = world.program();
    program
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    program.args(["doctor", "--json"]).args(arguments);
    world.end_of(program)
}

#[test]
fn no_fault_is_named_where_all_is_well() {
    let Some(world) = World::new() else { return };
    let found = found(&world);
    for fault in all() {
        let is_named = found.iter().any(|one| {
            let text = format!("{} {}", one["found"], one["remedy"]);
            one["check"] == fault.check
                && one["verdict"] == fault.verdict.name()
                && fault.words.iter().all(|word| text.contains(word))
        });
        assert!(!is_named, "{}: {found:?}", fault.name);
    }
    for one in &found {
        assert_ne!(one["verdict"], "fail", "{one}");
        // The machine on which this runs may have an old kernel, a small disk, or one in memory.
        let is_of_the_machine = ["kernel", "limits", "staging-", "cache-"]
            .iter()
            .any(|start| {
                let check = one["check"].as_str().unwrap();
                check.starts_with(start)
            });
        assert!(is_of_the_machine || one["verdict"] != "warn", "{one}");
    }
    assert!(world.is_clean());
}

#[test]
fn all_is_well_with_a_good_mount() {
    let Some(world) = World::new() else { return };
    let server = Server::start(Mood::Kind);
    server.put("a/file", b"x".to_vec());
    let folder = text(&world.folder);
    let good = ["s3://pail/a", &folder, "--endpoint", &server.address];
    let done = with_keys(&world, &good);
    assert_eq!(done.code, Some(0), "{done:?}");
    let verdict = |done: &Done, check: &str| {
        let found = findings(done);
        let one = found.iter().find(|one| one["check"] == check);
        assert!(one.is_some(), "{check}: {done:?}");
        one.unwrap()["verdict"].clone()
    };
    for check in [
        "kernel",
        "device",
        "limits",
        "helper",
        "mount-point",
        "staging-folder",
        "staging-use",
        "location",
        "name",
        "connection",
        "tls",
        "credentials",
        "list",
    ] {
        assert_ne!(verdict(&done, check), "fail", "{check}: {done:?}");
        assert_ne!(verdict(&done, check), "skipped", "{check}: {done:?}");
    }
    for check in ["write", "delete", "capabilities"] {
        assert_eq!(verdict(&done, check), "skipped", "{done:?}");
    }
    assert_eq!(server.count(), 1, "nothing is written unasked");
    // Written, read, and removed.
    let done = with_keys(&world, &[&good[..], &["--write"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    for check in ["write", "delete"] {
        assert_eq!(verdict(&done, check), "ok", "{done:?}");
    }
    assert_ne!(verdict(&done, "capabilities"), "skipped", "{done:?}");
    assert_eq!(server.count(), 1, "nothing is left");
    assert!(server.object("a/file").is_some());
    // Other kinds of buckets, and none.
    let url = world.url();
    for arguments in [&["memory:", &folder][..], &[&url], &[]] {
        let done = with_keys(&world, arguments);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert!(world.is_clean());
}

/// What mounts already is no fault, unless another mount is wanted.
#[test]
fn a_mount_that_runs_is_known() {
    let Some(world) = World::new() else { return };
    let _mount = world.mount(&[]);
    let (url, folder) = (world.url(), text(&world.folder));
    for arguments in [&[&*url][..], &[&url, &folder]] {
        let done = with_keys(&world, arguments);
        assert_eq!(done.code, Some(0), "{done:?}");
        let found = findings(&done);
        let used = found
            .iter()
            .find(|one| one["check"] == "staging-use")
            .unwrap();
        assert_eq!(used["verdict"], "warn", "{used}");
    }
}

/// For people, the same as for programs.
#[test]
fn a_person_is_told_where_the_keys_are_from() {
    let Some(mut world) = World::new() else {
        return;
    };
    let keys = "[default]\naws_access_key_id = id\naws_secret_access_key = hunter2\n";
    let keys = file(&world, "credentials", keys);
    world.set("AWS_SHARED_CREDENTIALS_FILE", &keys);
    let server = Server::start(Mood::Kind);
    let at = ["doctor", "s3://pail", "--endpoint", &server.address];
    let said = world.run(&at);
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = format!("ok    credentials: key id by {keys}");
    assert!(
        said.out.contains("ok    credentials: key id by "),
        "{line}: {}",
        said.out
    );
    assert!(!said.out.contains(SECRET), "{}", said.out);
}
