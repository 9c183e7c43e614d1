//! `umount` and `status`: they ask the process that serves the mount, and never touch the mount
//! itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use rustix::mount::UnmountFlags;

use crate::control::{self, Answer, Ask, Asked, Way};
use crate::place::{self, KIND, Located};
use crate::say::{complain, say};
use crate::show;

/// Ends a mount.
pub(crate) fn umount(folder: &Path, way: Way) -> Result<ExitCode> {
    let mountpoint = place::resolve(folder)?;
    let shown = mountpoint.display();
    let sockets = place::sockets(&place::environment(), &mountpoint);
    let Some(mut asked) = control::ask(&sockets, &Ask::Umount { way })? else {
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
            Some(Answer::Note { text }) => complain(format_args!("{text}")),
            Some(_) => bail!("an answer that makes no sense"),
            None => bail!(
                "the process of {shown} ended before it said how\n  mount again: it goes on with what waits"
            ),
        }
    }
}

/// Clears the remains of a mount whose process is gone; of one that lives, nothing.
///
/// # Errors
/// There are none, or they cannot be cleared.
pub(crate) fn clear_dead(folder: &Path) -> Result<()> {
    let mountpoint = place::resolve(folder)?;
    // No cache of the kernel answers this.
    let is_dead = |error| error == rustix::io::Errno::NOTCONN;
    if !rustix::fs::statfs(&mountpoint).is_err_and(is_dead) {
        bail!("{} is no dead mount", mountpoint.display());
    }
    umount_dead(&mountpoint).map(drop)
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

/// Says how a mount stands, or what is at a path in it.
pub(crate) fn status(path: &Path, json: bool) -> Result<ExitCode> {
    let Located { mountpoint, below } = place::locate(path)?;
    let shown = mountpoint.display();
    let is_all = below.is_empty();
    match asked(&mountpoint, &Ask::Status { path: below })?.next()? {
        Some(Answer::Status { status }) if json => say(format_args!("{status}"))?,
        Some(Answer::Status { status }) => {
            let lines = match is_all {
                true => show::status(&status),
                false => show::status_of_path(&status),
            };
            for line in lines {
                say(format_args!("{line}"))?;
            }
        }
        Some(Answer::Refused { why }) => bail!("{why}"),
        _ => bail!("the process of {shown} ended before it answered"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the mount at `mountpoint`.
///
/// # Errors
/// There is none, or nobody answers.
pub(crate) fn asked(mountpoint: &Path, ask: &Ask) -> Result<Asked> {
    let sockets = place::sockets(&place::environment(), mountpoint);
    if let Some(asked) = control::ask(&sockets, ask)? {
        return Ok(asked);
    }
    let shown = mountpoint.display();
    match place::mounted_kind(mountpoint) {
        Some(kind) if kind == KIND => bail!(
            "the process of {shown} is gone, or belongs to another user\n  if it is gone, clear it with: cloudmount umount {shown}"
        ),
        _ => bail!("nothing of cloudmount is mounted at {shown}"),
    }
}
