//! Descriptors of a working mount: few, enough, and nobody else's.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use crate::world::{Mounted, World};

/// Files of the walk, unless `CLOUDMOUNT_TEST_WALK` says how many.
const FILES: usize = 3_000;

/// Files in a folder of it.
const IN_FOLDER: usize = 100;

/// Programs that walk at once, and files that each keeps open.
const WALKERS: usize = 4;
const KEPT_OPEN: usize = 32;

/// A mount that was started with the limit that `limit` asks the shell for.
fn mount(world: &World, limit: &str) -> Mounted {
    let mut command = world.command("sh");
    let program = env!("CARGO_BIN_EXE_cloudmount");
    command
        .args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh", program])
        .args(["mount", &world.url()])
        .arg(&world.folder)
        .arg("--disk-cache")
        .arg(world.path("cache"));
    world.mounted_by(command)
}

/// The soft and the hard limit.
fn limits(mount: &Mounted) -> (u64, u64) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", mount.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut fields = line.unwrap().split_whitespace().skip(3);
    let mut next = || fields.next().unwrap().parse().unwrap_or(u64::MAX);
    (next(), next())
}

/// Descriptors that a program started by the mount would have, with what they lead to; without those that
/// the mount has from whoever started the tests.
fn inherited(mount: &Mounted) -> Vec<String> {
    let given = inherited_from(std::process::id());
    let mut all = inherited_from(mount.pid());
    all.retain(|one| !given.contains(one));
    all
}

fn inherited_from(pid: u32) -> Vec<String> {
    const CLOSED_ON_EXEC: u64 = 0o2_000_000;
    let here = PathBuf::from(format!("/proc/{pid}"));
    let mut found = Vec::new();
    for entry in fs::read_dir(here.join("fdinfo")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // One that was closed meanwhile is none.
        let Ok(info) = fs::read_to_string(here.join("fdinfo").join(&name)) else {
            continue;
        };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u64::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        let is_standard = ["0", "1", "2"].contains(&name.as_str());
        if !is_standard && flags & CLOSED_ON_EXEC == 0 {
            let to = fs::read_link(here.join("fd").join(&name)).unwrap_or_default();
            found.push(format!("{name}: {}", to.display()));
        }
    }
    found
}

#[test]
fn the_limit_is_raised_and_nobody_inherits_a_descriptor() {
    let Some(world) = World::new() else { return };
    for number in 0..20 {
        fs::write(
            world.bucket.join(format!("theirs{number}")),
            vec![7; 200_000],
        )
        .unwrap();
    }
    let mut mount = mount(&world, "-S -n 64");
    let (soft, hard) = limits(&mount);
    assert_eq!(soft, hard.min(65_536));
    let mut open = Vec::new();
    for number in 0..20 {
        let theirs = world.folder.join(format!("theirs{number}"));
        assert_eq!(fs::read(&theirs).unwrap().len(), 200_000);
        open.push(fs::File::open(theirs).unwrap());
        let mut ours = fs::File::create(world.folder.join(format!("ours{number}"))).unwrap();
        ours.write_all(&vec![8; 100_000]).unwrap();
        open.push(ours);
        assert_eq!(inherited(&mount), [""; 0]);
    }
    assert_eq!(fs::read_dir(&world.folder).unwrap().count(), 40);
    assert!(world.status().is_object());
    drop(open);
    for _ in 0..20 {
        assert_eq!(inherited(&mount), [""; 0], "while uploads go");
    }
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

/// Reads all files of a folder, and leaves the last of them open.
fn walk(folder: &Path, open: &mut Vec<fs::File>) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        if open.len() == KEPT_OPEN {
            open.remove(0);
        }
        open.push(fs::File::open(&path).unwrap());
        seen += 1;
    }
    seen
}

#[test]
fn a_walk_and_many_writers_need_few_descriptors() {
    let Some(world) = World::new() else { return };
    #[expect(
        clippy::disallowed_methods,
        reason = "how long it takes is chosen by who runs it"
    )]
    let files = std::env::var("CLOUDMOUNT_TEST_WALK").map_or(FILES, |text| text.parse().unwrap());
    let folders = files.div_ceil(IN_FOLDER);
    for folder in 0..folders {
        let folder = world.bucket.join(format!("folder{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..IN_FOLDER {
            fs::write(folder.join(format!("file{file}")), b"a file").unwrap();
        }
    }
    let mut mount = mount(&world, "-n 512");
    assert_eq!(limits(&mount), (512, 512));
    // Each in a file of its own on the staging disk.
    let writers: Vec<_> = (0..320)
        .map(|number| {
            let mut file = fs::File::create(world.folder.join(format!("ours{number}"))).unwrap();
            file.write_all(&vec![9; 70_000]).unwrap();
            file
        })
        .collect();
    let walkers: Vec<_> = (0..WALKERS)
        .map(|walker| {
            let all: Vec<_> = (walker..folders)
                .step_by(WALKERS)
                .map(|folder| world.folder.join(format!("folder{folder}")))
                .collect();
            thread::spawn(move || {
                let mut open = Vec::new();
                all.iter()
                    .map(|folder| walk(folder, &mut open))
                    .sum::<usize>()
            })
        })
        .collect();
    let seen: usize = walkers.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(seen, folders * IN_FOLDER);
    drop(writers);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    assert_eq!(mount.errors(), "");
    for number in 0..320 {
        let there = fs::metadata(world.bucket.join(format!("ours{number}"))).unwrap();
        assert_eq!(there.len(), 70_000);
    }
}
