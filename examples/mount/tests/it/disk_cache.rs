//! The cache on disk below a real mount: kept through kills, attacked, shared, and looked after.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{World, eventually};

/// Files of the bucket, from one byte to some hundred blocks.
const FILES: [(&str, usize); 5] = [
    ("byte", 1),
    ("small", 5_000),
    ("block", 128 << 10),
    ("d/odd", 3_000_017),
    ("large", 20 << 20),
];

/// Bytes that repeat after a prime number of them, and differ from file to file.
fn content(name: &str, len: usize) -> Vec<u8> {
    let seed = name
        .bytes()
        .fold(7_u32, |sum, byte| sum * 31 + u32::from(byte))
        % 1000
        + 1;
    let period: Vec<u8> = (0..65_521_u32)
        .map(|at| {
            (at.wrapping_mul(2_654_435_761) >> 13)
                .wrapping_mul(seed)
                .to_le_bytes()[1]
        })
        .collect();
    period.into_iter().cycle().take(len).collect()
}

fn fill(world: &World) {
    fs::create_dir(world.bucket.join("d")).unwrap();
    for (name, len) in FILES {
        fs::write(world.bucket.join(name), content(name, len)).unwrap();
    }
}

/// Reads every file, forwards; all of them are right.
fn all_right(folder: &Path) {
    for (name, len) in FILES {
        let read = fs::read(folder.join(name)).unwrap();
        assert!(read == content(name, len), "wrong bytes in {name}");
    }
}

fn replicas(cache: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for bucket in fs::read_dir(cache).into_iter().flatten().flatten() {
        for file in fs::read_dir(bucket.path()).into_iter().flatten().flatten() {
            found.push(file.path());
        }
    }
    found.sort();
    found
}

fn disk(world: &World) -> Value {
    world.status()["disk_cache"].clone()
}

#[test]
fn what_was_read_is_there_after_a_kill_and_damage_is_fetched_again() {
    let Some(world) = World::new() else { return };
    fill(&world);
    let cache = world.path("cache");
    let flags = ["--disk-cache", cache.to_str().unwrap()];
    // Killed while it fills, at several moments.
    for kept in [1, 30, 100] {
        let mut mount = world.mount(&flags);
        let reading = std::thread::spawn({
            let folder = world.folder.clone();
            // It fails when the mount dies.
            move || drop(fs::read(folder.join("large")))
        });
        let used = || {
            replicas(&cache)
                .iter()
                .map(|file| file.metadata().map_or(0, |meta| meta.blocks() * 512))
                .sum::<u64>()
        };
        eventually("something is kept", || used() > kept << 17);
        mount.signal(Signal::KILL);
        mount.end();
        reading.join().unwrap();
        assert_eq!(world.umount().code, Some(0));
    }
    let mut mount = world.mount(&flags);
    all_right(&world.folder);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));

    // All of it comes from the disk now.
    let mut mount = world.mount(&flags);
    all_right(&world.folder);
    let found = disk(&world);
    assert!(found["hits"].as_u64() > Some(0), "{found}");
    assert_eq!(
        (&found["misses"], &found["damaged"], &found["off"]),
        (&0.into(), &0.into(), &Value::Null)
    );
    mount.signal(Signal::KILL);
    mount.end();
    assert_eq!(world.umount().code, Some(0));

    // One bit of every file, and one file cut in half.
    for (turn, file) in replicas(&cache).into_iter().enumerate() {
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&file)
            .unwrap();
        let len = open.metadata().unwrap().len();
        let (at, mut byte) = (len * 2 / 3, [0]);
        open.read_exact_at(&mut byte, at).unwrap();
        open.write_all_at(&[byte[0] ^ (1 << (turn % 8))], at)
            .unwrap();
        if len > 3_500_000 {
            open.set_len(len / 2).unwrap();
        }
    }
    fs::remove_file(cache.join("ledger")).unwrap();
    let mut mount = world.mount(&flags);
    all_right(&world.folder);
    eventually("damage is told", || {
        disk(&world)["damaged"].as_u64() >= Some(5)
    });
    // What is written through the mount is another version.
    fs::write(world.folder.join("small"), "new").unwrap();
    assert_eq!(fs::read(world.folder.join("small")).unwrap(), b"new");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    let mut mount = world.mount(&flags);
    assert_eq!(fs::read(world.folder.join("small")).unwrap(), b"new");
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

#[test]
fn two_mounts_share_a_folder_and_it_is_looked_after_meanwhile() {
    let Some(world) = World::new() else { return };
    fill(&world);
    let (cache, second) = (world.path("cache"), world.path("second"));
    fs::create_dir(&second).unwrap();
    let folder = cache.to_str().unwrap();
    let run = |command: &str| world.run(&["cache", command, folder]);
    run("info").is_mistake(&["not the folder of a cache", "--disk-cache"]);
    let flags = ["--disk-cache", folder, "--disk-cache-size", "16MiB"];
    let _one = world.mount(&flags);
    let staging = world.path("staging");
    let mut other = world.program();
    other.args(["mount", &world.url()]).arg(&second).args(flags);
    other.arg("--cache-dir").arg(staging);
    let mut other = world.mounted_by(other);
    std::thread::scope(|scope| {
        scope.spawn(|| all_right(&world.folder));
        scope.spawn(|| all_right(&second));
    });
    let check = run("verify");
    assert_eq!(check.code, Some(0), "{check:?}");
    let info = world.run(&["cache", "info", "--json", folder]);
    let info: Value = serde_json::from_str(&info.out).unwrap();
    let buckets = info["buckets"].as_object().unwrap();
    assert_eq!(buckets.len(), 1);
    let (_, bucket) = buckets.iter().next().unwrap();
    let used = bucket["disk_bytes"].as_u64().unwrap();
    assert!(used > 4 << 20 && used <= 16 << 20, "{info}");
    assert!(run("info").out.contains("objects"));

    let damaged = replicas(&cache).into_iter().find(|file| {
        let is_data = file.extension().is_some_and(|end| end == "data");
        is_data && file.metadata().unwrap().len() == 3_000_017
    });
    if let Some(damaged) = damaged {
        let open = OpenOptions::new().write(true).open(damaged).unwrap();
        open.write_all_at(&[0x5A; 3_000_017], 0).unwrap();
        let check = run("verify");
        assert_eq!(check.code, Some(1), "{check:?}");
        assert_eq!(run("verify").code, Some(0));
    }
    let clear = run("clear");
    assert!(clear.out.ends_with("freed\n"), "{clear:?}");
    assert!(replicas(&cache).is_empty());
    all_right(&world.folder);
    other.signal(Signal::KILL);
    other.end();
    all_right(&world.folder);
    assert!(disk(&world)["used_bytes"].as_u64().unwrap() <= 16 << 20);
    assert_eq!(world.umount().code, Some(0));
}

#[test]
fn a_folder_that_cannot_be_is_told_at_once() {
    let Some(world) = World::new() else { return };
    fs::write(world.path("file"), "").unwrap();
    let inside = world.path("file/cache");
    let mount = ["mount", &world.url(), world.folder.to_str().unwrap()];
    let mut arguments = mount.map(str::to_owned).to_vec();
    arguments.extend(["--disk-cache".to_owned(), inside.display().to_string()]);
    let refused = world.run(&arguments);
    refused.is_mistake(&["cannot use the disk cache", "--disk-cache"]);
    assert!(world.is_clean());
}
