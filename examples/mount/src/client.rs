//! `umount` and `status`: they ask the process that serves the mount, and never touch the mount
//! itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use rustix::mount::UnmountFlags;

use crate::control::{self, Answer, Ask, Way};
use crate::say::{complain, say};
use crate::{place, show};

/// What the kernel calls our mounts.
const KIND: &str = "fuse.cloudmount";

/// Ends a mount.
pub(crate) fn umount(folder: &Path, way: Way) -> Result<ExitCode> {
    let mountpoint = place::resolve(folder)?;
    let shown = mountpoint.display();
    let sockets = place::sockets(&place::environment(), &mountpoint);
    let Some(mut asked) = control::ask(&sockets, Ask::Umount { way })? else {
        return umount_dead(&mountpoint);
    };
    loop {
        match asked.next()? {
            Some(Answer::Progress(progress)) => {
                complain(format_args!("{}", show::progress(&progress)));
            }
            Some(Answer::Busy { users }) => {
                let by = match users.is_empty() {
                    true => String::new(),
                    false => format!(" by {}", users.join(", ")),
                };
                bail!(
                    "{shown} is in use{by}\n  close that first, or: cloudmount umount --lazy {shown}"
                );
            }
            Some(Answer::Ended(ended)) => {
                asked.end();
                for line in show::ended(&ended) {
                    complain(format_args!("{line}"));
                }
                let is_good = ended.remaining_count == 0 && ended.error.is_none();
                return Ok(match is_good {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                });
            }
            Some(Answer::Refused { why }) => bail!("{why}"),
            Some(Answer::Status { .. }) => bail!("an answer that makes no sense"),
            None => bail!(
                "the process of {shown} ended before it said how\n  mount again: it goes on with what waits"
            ),
        }
    }
}

/// Nobody serves it: its remains are taken away.
fn umount_dead(mountpoint: &Path) -> Result<ExitCode> {
    let shown = mountpoint.display();
    match place::mounted_kind(mountpoint) {
        Some(kind) if kind == KIND => {}
        Some(kind) => bail!("{shown} is a mount of {kind}, not of cloudmount\n  use umount"),
        None => bail!("nothing is mounted at {shown}"),
    }
    let unmounted = rustix::mount::unmount(mountpoint, UnmountFlags::DETACH).is_ok()
        || std::process::Command::new("fusermount3")
            .arg("-uz")
            .arg(mountpoint)
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !unmounted {
        bail!("cannot unmount {shown}: its process is gone\n  run as root: umount -l {shown}");
    }
    complain(format_args!(
        "its process was gone; what it had not uploaded waits: mount again to go on"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Says how a mount stands.
pub(crate) fn status(folder: &Path, json: bool) -> Result<ExitCode> {
    let mountpoint = place::resolve(folder)?;
    let shown = mountpoint.display();
    let sockets = place::sockets(&place::environment(), &mountpoint);
    let Some(mut asked) = control::ask(&sockets, Ask::Status)? else {
        match place::mounted_kind(&mountpoint) {
            Some(kind) if kind == KIND => bail!(
                "the process of {shown} is gone, or belongs to another user\n  if it is gone, clear it with: cloudmount umount {shown}"
            ),
            _ => bail!("nothing of cloudmount is mounted at {shown}"),
        }
    };
    match asked.next()? {
        Some(Answer::Status { status }) if json => say(format_args!("{status}"))?,
        Some(Answer::Status { status }) => {
            for line in show::status(&status) {
                say(format_args!("{line}"))?;
            }
        }
        Some(Answer::Refused { why }) => bail!("{why}"),
        _ => bail!("the process of {shown} ended before it answered"),
    }
    Ok(ExitCode::SUCCESS)
}
