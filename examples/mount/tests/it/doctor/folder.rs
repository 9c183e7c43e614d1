//! Faults of the mount point.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::fault::{self, Fault, Needs, Patient, Verdict, file, text};
use crate::world::World;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        words: &["does not exist", "mkdir -p"],
        ..fault("the mount point is missing", |world| at(world, "missing"))
    },
    Fault {
        words: &["is not a folder", "choose an empty folder"],
        ..fault("the mount point is a file", |world| {
            file(&world, "file", "x");
            at(world, "file")
        })
    },
    Fault {
        words: &["is not empty: it has 1 entries", "--nonempty"],
        ..fault("the mount point is not empty", |world| {
            fs::create_dir_all(world.path("full/of")).unwrap();
            at(world, "full")
        })
    },
    Fault {
        words: &["may not be written by this user", "belongs to this user"],
        needs: Needs::Root,
        ..fault("the mount point belongs to somebody else", |world| {
            fs::create_dir(world.path("theirs")).unwrap();
            at(world, "theirs").by_nobody("/usr/bin:/bin")
        })
    },
    Fault {
        words: &[
            "closed/mnt: Permission denied",
            "choose a folder that this user may look into",
        ],
        needs: Needs::Root,
        ..fault("the mount point is out of sight", |world| {
            fs::create_dir_all(world.path("closed/mnt")).unwrap();
            let closed = fs::Permissions::from_mode(0o700);
            fs::set_permissions(world.path("closed"), closed).unwrap();
            at(world, "closed/mnt").by_nobody("/usr/bin:/bin")
        })
    },
    Fault {
        words: &["one in the other", "another mount point"],
        ..fault("the mount point is in the staging folder", |world| {
            fs::create_dir_all(world.path("home/cloudmount/mnt")).unwrap();
            at(world, "home/cloudmount/mnt")
        })
    },
    Fault {
        words: &["is a mount of tmpfs", "unmount that first"],
        needs: Needs::Root,
        ..fault("something else is mounted there", |world| {
            at(world, "mnt").behind("mount -t tmpfs none \"$2\"")
        })
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["is mounted by cloudmount", "cloudmount umount"],
        ..fault("it is mounted already", |world| {
            let mount = world.mount(&[]);
            at(world, "mnt").keeping(mount)
        })
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["transport endpoint is not connected", "mount again"],
        ..fault("a mount whose process was killed", |world| {
            let mut mount = world.mount(&[]);
            mount.signal(Signal::KILL);
            mount.end();
            at(world, "mnt")
        })
    },
];

const fn fault(name: &'static str, plant: fn(World) -> Patient) -> Fault {
    fault::fault(name, "mount-point", plant)
}

fn at(world: World, name: &str) -> Patient {
    let path = text(world.path(name));
    Patient::new(world, &["memory:", &path])
}
