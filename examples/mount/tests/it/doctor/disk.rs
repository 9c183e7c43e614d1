//! Faults of the folders for what waits, and for what was read.

use std::fs;

use super::fault::{Fault, Needs, Patient, Verdict, fault, file, text};
use crate::world::World;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        words: &["the disk is full", "make room"],
        beside: &["staging-folder", "staging-filesystem"],
        ..rooted(
            "the disk of the staging folder is full",
            "staging-space",
            |world| {
                let line = "mount -t tmpfs -o size=64k none \"$1\"; head -c 100000 /dev/zero > \"$1/x\" 2>\"$3/full\" || true";
                plain(world).behind(line)
            },
        )
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["little room", "--cache-dir"],
        beside: &["staging-filesystem"],
        ..rooted(
            "the disk of the staging folder is nearly full",
            "staging-space",
            |world| plain(world).behind("mount -t tmpfs -o size=500m none \"$1\""),
        )
    },
    Fault {
        words: &["has no inodes left", "make room"],
        beside: &["staging-folder", "staging-filesystem"],
        ..rooted(
            "the disk of the staging folder has no inodes",
            "staging-space",
            |world| {
                plain(world)
                    .behind("mount -t tmpfs -o size=2g,nr_inodes=2 none \"$1\"; : > \"$1/last\"")
            },
        )
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["tmpfs", "ends with the machine", "--cache-dir"],
        ..rooted(
            "the staging folder is in memory",
            "staging-filesystem",
            |world| plain(world).behind("mount -t tmpfs -o size=2g none \"$1\""),
        )
    },
    Fault {
        words: &["cannot be written", "Read-only", "--cache-dir"],
        beside: &["staging-filesystem"],
        ..rooted(
            "the staging folder is read-only",
            "staging-folder",
            |world| plain(world).behind("mount -t tmpfs -o ro,size=2g none \"$1\""),
        )
    },
    Fault {
        words: &["is not a folder", "give another --cache-dir"],
        needs: Needs::Nothing,
        ..rooted("the staging folder is a file", "staging-folder", |world| {
            let path = file(&world, "file", "x");
            with(world, &["--cache-dir", &path])
        })
    },
    Fault {
        words: &["/proc", "make it writable"],
        ..rooted(
            "the staging folder is not for this user",
            "staging-folder",
            |world| with(world, &["--state-dir", "/proc/none"]).by_nobody("/usr/bin:/bin"),
        )
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["fuse.cloudmount", "as safe as its server", "--cache-dir"],
        beside: &["staging-holes"],
        needs: Needs::Nothing,
        ..rooted(
            "the staging folder is on a network",
            "staging-filesystem",
            |world| {
                let mount = world.mount(&[]);
                let path = text(world.folder.join("state"));
                Patient::new(world, &["memory:", "--cache-dir", &path]).keeping(mount)
            },
        )
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["makes no holes", "ext4, XFS or Btrfs"],
        beside: &["staging-filesystem"],
        ..rooted(
            "the disk of the staging folder gives no room back",
            "staging-holes",
            |world| plain(world).behind("mount -t ramfs none \"$1\""),
        )
    },
    Fault {
        words: &[
            "another process uses it",
            "cloudmount umount",
            "--cache-dir",
        ],
        needs: Needs::Nothing,
        ..rooted(
            "another mount uses the staging folder",
            "staging-use",
            |world| {
                let mount = world.mount(&[]);
                let (url, other) = (world.url(), world.path("other"));
                fs::create_dir(&other).unwrap();
                Patient::new(world, &[&url, &text(other)]).keeping(mount)
            },
        )
    },
    Fault {
        words: &["/proc", "--disk-cache"],
        needs: Needs::Nothing,
        ..rooted("the cache folder cannot be made", "cache-folder", |world| {
            with(world, &["--disk-cache", "/proc/none"])
        })
    },
    Fault {
        words: &["cannot be written", "Read-only", "--disk-cache"],
        ..rooted("the cache folder is read-only", "cache-folder", |world| {
            cache(world).behind("mount -t tmpfs -o ro,size=2g none \"$3/cache\"")
        })
    },
    Fault {
        words: &["the disk is full", "--disk-cache"],
        beside: &["cache-folder"],
        ..rooted(
            "the disk of the cache folder is full",
            "cache-space",
            |world| {
                let line = "mount -t tmpfs -o size=64k none \"$3/cache\"; head -c 100000 /dev/zero > \"$3/cache/x\" 2>\"$3/full\" || true";
                cache(world).behind(line)
            },
        )
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["fuse.cloudmount", "--disk-cache"],
        beside: &["cache-holes"],
        needs: Needs::Nothing,
        ..rooted(
            "the cache folder is on a network",
            "cache-filesystem",
            |world| {
                let mount = world.mount(&[]);
                let path = text(world.folder.join("cache"));
                Patient::new(world, &["memory:", "--disk-cache", &path]).keeping(mount)
            },
        )
    },
];

/// Folders of others, small ones and such on a network take mounts.
const fn rooted(name: &'static str, check: &'static str, plant: fn(World) -> Patient) -> Fault {
    Fault {
        needs: Needs::Root,
        ..fault(name, check, plant)
    }
}

fn plain(world: World) -> Patient {
    with(world, &[])
}

fn with(world: World, more: &[&str]) -> Patient {
    let folder = text(&world.folder);
    Patient::new(world, &[&["memory:", &folder][..], more].concat())
}

fn cache(world: World) -> Patient {
    let path = world.path("cache");
    fs::create_dir(&path).unwrap();
    with(world, &["--disk-cache", &text(path)])
}
