//! A new mount in the place of a dead one, in one step.
//!
//! Were the dead one cleared first, and the new one mounted then, everybody who writes there in between
//! would write into the folder below, and find nothing of it again. So the new one is mounted beneath
//! the dead one (`move_mount(2)` with `MOVE_MOUNT_BENEATH`, Linux 6.5), and then the dead one is taken
//! away: who looks meets the one or the other. It takes the rights of mount(2).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};
use rustix::process::{getgid, getuid};

use super::device;
use super::options::MountOptions;

/// `MOVE_MOUNT_BENEATH` of `include/uapi/linux/mount.h`.
const BENEATH: MoveMountFlags = MoveMountFlags::from_bits_retain(0x200);

/// Mounts beneath what is at `target` now, takes that away, and gives the connection to the kernel.
/// After an error, what was there is still there, or nothing of it.
pub(super) fn mount(target: &Path, options: &MountOptions) -> io::Result<OwnedFd> {
    let device = device::open()?;
    let new = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let descriptor = device.as_raw_fd().to_string();
    let root_mode = format!("{:o}", libc::S_IFDIR);
    let (user, group) = (getuid().as_raw().to_string(), getgid().as_raw().to_string());
    for (key, value) in [
        ("source", options.shown_name().as_str()),
        ("subtype", device::SUBTYPE),
        ("fd", &descriptor),
        ("rootmode", &root_mode),
        ("user_id", &user),
        ("group_id", &group),
    ] {
        fsconfig_set_string(&new, key, value)?;
    }
    fsconfig_set_flag(&new, "default_permissions")?;
    if options.allow_other {
        fsconfig_set_flag(&new, "allow_other")?;
    }
    fsconfig_create(&new)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if options.read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    let mount = fsmount(&new, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | BENEATH;
    move_mount(&mount, "", CWD, target, flags)?;
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?;
    Ok(device)
}
