//! Faults of the machine: its kernel, its device, its helper, its limits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::fault::{Fault, Needs, Patient, Verdict, text};
use crate::world::World;

/// Where the helper is, for who is not root.
const USUAL: &str = "/usr/bin:/bin";

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "no /dev/fuse",
        check: "device",
        verdict: Verdict::Fail,
        words: &["there is no /dev/fuse", "modprobe fuse"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| plain(world).behind("mount -t tmpfs none /dev"),
    },
    Fault {
        name: "/dev/fuse is not for this user",
        check: "device",
        verdict: Verdict::Fail,
        words: &["may not be opened by this user", "chmod 666 /dev/fuse"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| {
            // Nobody opens a device where there may be none; who is nobody gets this one, with that.
            let line = "[ -e \"$3/fuse\" ] || mknod \"$3/fuse\" c 10 229; mount --bind \"$3/fuse\" \"$3/fuse\"; mount -o remount,bind,nodev \"$3/fuse\"";
            as_user(world).behind(line)
        },
    },
    Fault {
        name: "the kernel has no driver for FUSE",
        check: "kernel",
        verdict: Verdict::Warn,
        words: &["without the driver fuse", "modprobe fuse"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| plain(world).behind("mount --bind /dev/null /proc/filesystems"),
    },
    Fault {
        name: "fusermount3 is not installed",
        check: "helper",
        verdict: Verdict::Fail,
        words: &["fusermount3 is not installed", "apt install fuse3"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| plain(world).by_nobody("/nowhere"),
    },
    Fault {
        name: "fusermount3 is not set-uid",
        check: "helper",
        verdict: Verdict::Fail,
        words: &["is not set-uid root", "chmod u+s /usr/bin/fusermount3"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| {
            let helper = world.path("helper");
            fs::write(&helper, "").unwrap();
            fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
            as_user(world).behind("mount --bind \"$3/helper\" /usr/bin/fusermount3")
        },
    },
    Fault {
        name: "users may not let others in",
        check: "allow-other",
        verdict: Verdict::Fail,
        words: &["user_allow_other", "/etc/fuse.conf"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| {
            let folder = text(&world.folder);
            let patient =
                Patient::new(world, &["memory:", &folder, "--allow-other"]).by_nobody(USUAL);
            patient.behind("mount --bind /dev/null /etc/fuse.conf")
        },
    },
    Fault {
        name: "a user has as many mounts as are allowed",
        check: "user-mounts",
        verdict: Verdict::Fail,
        words: &["0 of 0 mounts", "mount_max in /etc/fuse.conf"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| {
            fs::write(world.path("fuse.conf"), "mount_max = 0\n").unwrap();
            as_user(world).behind("mount --bind \"$3/fuse.conf\" /etc/fuse.conf")
        },
    },
    Fault {
        name: "few files may be open",
        check: "limits",
        verdict: Verdict::Fail,
        words: &["only 256 files may be open", "ulimit -Hn"],
        beside: &[],
        needs: Needs::Root,
        plant: |world| plain(world).behind("ulimit -n 256"),
    },
    Fault {
        name: "fewer files may be open than usual",
        check: "limits",
        verdict: Verdict::Warn,
        words: &["only 1024 files may be open", "LimitNOFILE="],
        beside: &[],
        needs: Needs::Root,
        plant: |world| plain(world).behind("ulimit -n 1024"),
    },
];

fn plain(world: World) -> Patient {
    let folder = text(&world.folder);
    Patient::new(world, &["memory:", &folder])
}

fn as_user(world: World) -> Patient {
    plain(world).by_nobody(USUAL)
}
