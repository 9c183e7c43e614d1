//! What must be undone whatever happens: processes to end, mounts to take away, folders to remove.
//!
//! Laws: an [`Undo`] acts once, when it is dropped or when a signal ends xtask, whichever comes
//! first; the last one made acts first; undoing never panics and never waits for ever.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::say::say;
use crate::time::pause;

/// How often a folder is tried to be removed, and the rest between: a second in all.
const REMOVALS: u32 = 50;
const RETRY: Duration = Duration::from_millis(20);

/// Shells answer with 128 + SIGINT when a run was interrupted.
const INTERRUPTED: i32 = 130;

static PENDING: Mutex<Vec<(u64, Act)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// One thing to undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Kill every process of this group.
    KillGroup(Pid),
    /// Detach the mount at this folder, if there is one.
    Unmount(PathBuf),
    /// Remove this folder and what is in it. Nothing may ever be mounted there.
    Remove(PathBuf),
    /// Remove this network namespace.
    Namespace(String),
    /// Let this stopped process go on.
    Continue(Pid),
}

/// Acts when dropped.
#[derive(Debug)]
pub(crate) struct Undo(u64);

impl Undo {
    /// Promises that `act` will happen.
    pub(crate) fn new(act: Act) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        pending().push((id, act));
        Self(id)
    }

    /// A new folder to work in, which is removed in the end: after all that was promised later, so that no mount
    /// shows anything there by then.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn scratch() -> io::Result<(PathBuf, Self)> {
        let folder = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
        let folder = folder.keep();
        let remove = Self::new(Act::Remove(folder.clone()));
        Ok((folder, remove))
    }

    /// Takes the promise back.
    pub(crate) fn forget(self) {
        drop(take(self.0));
        std::mem::forget(self);
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(act) = take(self.0) {
            act.perform();
        }
    }
}

fn pending() -> std::sync::MutexGuard<'static, Vec<(u64, Act)>> {
    PENDING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take(id: u64) -> Option<Act> {
    let mut pending = pending();
    let at = pending.iter().position(|(other, _)| *other == id)?;
    Some(pending.remove(at).1)
}

impl Act {
    fn perform(self) {
        match self {
            Self::KillGroup(group) => drop(kill_process_group(group, Signal::KILL)),
            Self::Remove(place) => {
                // Who writes there was killed just now, and may not be dead yet.
                for _ in 0..REMOVALS {
                    match std::fs::remove_dir_all(&place) {
                        Err(error) if error.kind() != ErrorKind::NotFound => pause(RETRY),
                        _ => return,
                    }
                }
            }
            Self::Namespace(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "del", &name]).stderr(Stdio::null());
                drop(command.status());
            }
            Self::Continue(process) => drop(kill_process(process, Signal::CONT)),
            Self::Unmount(place) => {
                // Lazy, so that a dead daemon or an open file cannot keep it.
                if crate::mounts::is_mounted(&place) {
                    let tool = if crate::place::is_root() {
                        "umount"
                    } else {
                        "fusermount3"
                    };
                    let flag = if crate::place::is_root() { "-l" } else { "-uz" };
                    let mut command = Command::new(tool);
                    command.arg(flag).arg(&place).stderr(Stdio::null());
                    drop(command.status());
                }
            }
        }
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP undo everything before they end xtask.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) fn on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            say!("interrupted: ending what was started");
            while let Some((_, act)) = { pending().pop() } {
                act.perform();
            }
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    fn sleeper() -> (std::process::Child, Act) {
        let child = Command::new("sleep")
            .arg("60")
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Pid::from_child(&child);
        (child, Act::KillGroup(group))
    }

    #[test]
    fn a_dropped_undo_ends_the_group() {
        let (mut child, act) = sleeper();
        drop(Undo::new(act));
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_folder_is_removed_with_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(folder.join("deep/file"), "x").unwrap();
        drop(Undo::new(Act::Remove(folder.clone())));
        assert!(!folder.exists() && dir.path().exists());
    }

    #[test]
    fn a_forgotten_undo_does_nothing() {
        let (mut child, act) = sleeper();
        Undo::new(act).forget();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
