//! `umount` and `status`: they ask the process that serves the mount, and never touch the mount
//! itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rustix::mount::UnmountFlags;

use crate::control::{self, Ended};
use crate::say::{complain, say};
use crate::{place, show};

/// What the kernel calls our mounts.
const KIND: &str = "fuse.cloudmount";

/// Ends a mount.
pub(crate) fn umount(folder: &Path) -> Result<ExitCode> {
    let mountpoint = place::resolve(folder)?;
    let socket = place::socket(&place::environment(), &mountpoint)?;
    let Some(answer) = control::ask(&socket, control::UMOUNT)? else {
        return umount_dead(&mountpoint);
    };
    let ended: Ended = serde_json::from_str(&answer).context("an answer that makes no sense")?;
    for line in show::ended(&ended) {
        complain(format_args!("{line}"));
    }
    Ok(if ended.remaining_count == 0 && ended.error.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Nobody serves it: its remains are taken away.
fn umount_dead(mountpoint: &Path) -> Result<ExitCode> {
    match place::mounted_kind(mountpoint) {
        Some(kind) if kind == KIND => {}
        Some(kind) => bail!(
            "{} is a mount of {kind}, not of cloudmount\n  use umount",
            mountpoint.display()
        ),
        None => bail!("nothing is mounted at {}", mountpoint.display()),
    }
    let unmounted = rustix::mount::unmount(mountpoint, UnmountFlags::DETACH).is_ok()
        || std::process::Command::new("fusermount3")
            .arg("-uz")
            .arg(mountpoint)
            .status()
            .is_ok_and(|status| status.success());
    if !unmounted {
        bail!(
            "cannot unmount {}: its process is gone\n  run as root: umount -l {}",
            mountpoint.display(),
            mountpoint.display()
        );
    }
    complain(format_args!(
        "its process was gone; what it had not uploaded waits: mount again to go on"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Says how a mount stands.
pub(crate) fn status(folder: &Path, json: bool) -> Result<ExitCode> {
    let mountpoint = place::resolve(folder)?;
    let socket = place::socket(&place::environment(), &mountpoint)?;
    let Some(answer) = control::ask(&socket, control::STATUS)? else {
        match place::mounted_kind(&mountpoint) {
            Some(kind) if kind == KIND => bail!(
                "the process of {} is gone\n  clear it with: cloudmount umount {}",
                mountpoint.display(),
                mountpoint.display()
            ),
            _ => bail!(
                "nothing of cloudmount is mounted at {}",
                mountpoint.display()
            ),
        }
    };
    if json {
        say(format_args!("{}", answer.trim_end()));
        return Ok(ExitCode::SUCCESS);
    }
    let status: serde_json::Value =
        serde_json::from_str(&answer).context("an answer that makes no sense")?;
    for line in show::status(&status) {
        say(format_args!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}
