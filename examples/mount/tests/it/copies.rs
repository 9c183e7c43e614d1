//! What was written through a real mount is read again from the copy on the staging disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::world::{World, eventually};

/// Files of one block, of a slot, of a part and of several.
const FILES: [(&str, usize); 4] = [
    ("small", 4096),
    ("odd", 50_001),
    ("part", 7 << 20),
    ("large", 20 << 20),
];

fn content(name: &str, len: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(len, |sum, byte| sum * 31 + usize::from(byte))
        | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn gets(world: &World) -> u64 {
    let status = world.status();
    // Kinds of requests that were never made are not named.
    let requests = &status["requests"]["operations"]["get"]["requests"];
    requests.as_u64().unwrap_or(0)
}

fn budget(world: &World, name: &str) -> u64 {
    let status = world.status();
    let budgets = status["uploads"]["budgets"].as_array().unwrap();
    let budget = budgets.iter().find(|budget| budget["name"] == name);
    budget.unwrap()["used"].as_u64().unwrap()
}

/// Writes all files in small pieces, and waits until copies of them are kept.
fn write_all(world: &World) {
    for (name, len) in FILES {
        let mut file = File::create(world.folder.join(name)).unwrap();
        for piece in content(name, len).chunks(10_000) {
            file.write_all(piece).unwrap();
        }
    }
    let flushed = world.run(&["flush", "--wait", world.folder.to_str().unwrap()]);
    assert_eq!(flushed.code, Some(0), "{flushed:?}");
    let all: usize = FILES.iter().map(|(_, len)| len).sum();
    eventually("all is kept", || budget(world, "kept bytes") >= all as u64);
}

fn all_right(world: &World) {
    for (name, len) in FILES {
        let read = fs::read(world.folder.join(name)).unwrap();
        assert!(read == content(name, len), "wrong bytes in {name}");
    }
}

/// The local files of staged files and copies.
fn local_files(world: &World) -> Vec<PathBuf> {
    let staging = world.path("home/cloudmount/staging");
    let buckets = fs::read_dir(staging).unwrap();
    let data = buckets.map(|bucket| bucket.unwrap().path().join("data"));
    data.flat_map(|data| fs::read_dir(data).into_iter().flatten())
        .map(|file| file.unwrap().path())
        .collect()
}

#[test]
fn what_was_written_through_a_mount_is_read_again_without_a_request() {
    let Some(world) = World::new() else { return };
    for flags in [&[][..], &["--write-cache", "keep"]] {
        let mut mount = world.mount(flags);
        write_all(&world);
        let before = gets(&world);
        all_right(&world);
        all_right(&world);
        assert_eq!(gets(&world), before);
        assert_eq!(budget(&world, "staged bytes"), 0);
        assert_eq!(world.umount().code, Some(0));
        assert_eq!(mount.end(), Some(0));
        assert!(local_files(&world).is_empty());
    }
    assert!(world.is_clean());
}

#[test]
fn without_room_for_copies_it_is_fetched() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&["--kept-limit", "0"]);
    let (name, len) = FILES[0];
    fs::write(world.folder.join(name), content(name, len)).unwrap();
    let flushed = world.run(&["flush", "--wait", world.folder.to_str().unwrap()]);
    assert_eq!(flushed.code, Some(0), "{flushed:?}");
    eventually("it is deleted", || local_files(&world).is_empty());
    let before = gets(&world);
    let read = fs::read(world.folder.join(name)).unwrap();
    assert!(read == content(name, len));
    assert_eq!(gets(&world), before + 1);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

#[test]
fn copies_end_with_a_kill_and_nothing_of_them_is_set_aside() {
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&[]);
    write_all(&world);
    mount.signal(Signal::KILL);
    mount.end();
    assert_eq!(world.umount().code, Some(0));
    assert!(!local_files(&world).is_empty());
    let mut mount = world.mount(&[]);
    assert!(local_files(&world).is_empty());
    let status = world.status();
    assert_eq!(status["uploads"]["totals"]["keys"], 0);
    assert_eq!(status["uploads"]["set_aside"].as_array().unwrap().len(), 0);
    assert_eq!(budget(&world, "kept bytes"), 0);
    all_right(&world);
    assert!(gets(&world) > 0);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}
