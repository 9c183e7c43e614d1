//! Whole files of the disk cache that the kernel reads itself.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};

use cloudmount_testkit::linux_version;
use rustix::fs::{Advice, fadvise};

use crate::world::{World, eventually};

const SIZE: usize = (5 << 20) + 7;

/// A mount with it; `None` where the kernel or the user cannot.
fn world() -> Option<World> {
    let world = World::new()?;
    if linux_version() < (6, 9) || !rustix::process::geteuid().is_root() {
        crate::world::skipped("passthrough needs Linux 6.9 and root");
        return None;
    }
    Some(world)
}

fn content(seed: u8, len: usize) -> Vec<u8> {
    let byte = |at: usize| (at / 4096 + at % 251).to_le_bytes()[0] ^ seed;
    (0..len).map(byte).collect()
}

fn opened(world: &World) -> u64 {
    world.status()["disk_cache"]["local_files"]
        .as_u64()
        .unwrap()
}

/// Opens and reads the file until its handle is one that the kernel reads.
fn open_locally(world: &World, expected: &[u8]) -> File {
    let mut found = None;
    eventually("the kernel reads it", || {
        let before = opened(world);
        let mut file = File::open(world.folder.join("file")).unwrap();
        // On a busy disk a block may not have been kept. It is asked for again only if the kernel does not have it.
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        assert!(all == expected, "wrong bytes");
        let is_local = opened(world) > before;
        found = is_local.then_some(file);
        is_local
    });
    found.unwrap()
}

#[test]
fn what_is_whole_on_disk_is_read_there_and_one_handle_reads_one_version() {
    let Some(world) = world() else { return };
    let (old, new) = (content(1, SIZE), content(2, SIZE + 9_000));
    fs::write(world.bucket.join("file"), &old).unwrap();
    let cache = world.path("cache");
    let flags = [
        "--read-only",
        "--passthrough",
        "--ttl=0",
        "--disk-cache",
        cache.to_str().unwrap(),
    ];
    let mut mount = world.mount(&flags);
    let mut first = open_locally(&world, &old);
    let read_before = world.status()["cache"].clone();
    for _ in 0..20 {
        assert!(fs::read(world.folder.join("file")).unwrap() == old);
    }
    assert_eq!(world.status()["cache"], read_before, "the daemon was asked");
    // Somebody else replaces it.
    fs::write(world.path("new"), &new).unwrap();
    fs::rename(world.path("new"), world.bucket.join("file")).unwrap();
    let second = open_locally(&world, &new);
    let mut again = Vec::new();
    first.seek(SeekFrom::Start(0)).unwrap();
    first.read_to_end(&mut again).unwrap();
    assert!(again == old, "the handle shows another version");
    drop((first, second));
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    // What is damaged while nobody has it is found when it is opened.
    let damage = |file: &fs::DirEntry| {
        let path = file.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "data")
        {
            let mut bytes = fs::read(&path).unwrap();
            bytes[1_000_000] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    };
    for bucket in fs::read_dir(&cache).unwrap().flatten() {
        for file in fs::read_dir(bucket.path()).into_iter().flatten().flatten() {
            damage(&file);
        }
    }
    let mut mount = world.mount(&flags);
    drop(open_locally(&world, &new));
    assert!(world.status()["disk_cache"]["damaged"].as_u64() > Some(0));
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

#[test]
fn it_is_refused_where_the_file_could_be_written_here() {
    let Some(world) = World::new() else { return };
    let cache = world.path("cache");
    let cache = cache.to_str().unwrap();
    for more in [&["--disk-cache", cache][..], &["--read-only"], &[]] {
        let mut command = world.program();
        command.args(["mount", &world.url(), world.folder.to_str().unwrap()]);
        command.arg("--passthrough").args(more);
        world
            .end_of(command)
            .is_mistake(&["passthrough", "--disk-cache and --read-only"]);
    }
}
