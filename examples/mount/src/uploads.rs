//! `flush`, `pause`, `resume`, `invalidate`, `reconnect`, `retry` and `drop`: they ask the process that serves the mount.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::client::asked;
use crate::control::{Answer, Ask, Bytes, Wait};
use crate::place::{self, Located};
use crate::say::{complain, say};
use crate::show;

/// Uploads now what waits at `path`.
pub(crate) fn flush(path: &Path, wait: Wait) -> Result<ExitCode> {
    let Located { mountpoint, below } = place::locate(path)?;
    let shown = mountpoint.display();
    let mut asked = asked(&mountpoint, &Ask::Flush { path: below, wait })?;
    loop {
        match asked.next()? {
            Some(Answer::Progress(progress)) => {
                complain(format_args!("{}", show::progress(&progress)));
            }
            Some(Answer::Flushed {
                open,
                remaining,
                remaining_count,
            }) => {
                for line in show::still_open(&open) {
                    complain(format_args!("{line}"));
                }
                if wait == Wait::No {
                    say(format_args!("{remaining_count} to upload"))?;
                    return Ok(ExitCode::SUCCESS);
                }
                for line in show::not_there(&remaining, remaining_count) {
                    complain(format_args!("{line}"));
                }
                return Ok(match remaining_count {
                    0 => ExitCode::SUCCESS,
                    _ => ExitCode::FAILURE,
                });
            }
            Some(Answer::Refused { why }) => bail!("{}", or_resume(&why, &mountpoint)),
            Some(_) => bail!("an answer that makes no sense"),
            None => bail!(
                "the process of {shown} ended before it was done\n  mount again: it goes on with what waits"
            ),
        }
    }
}

/// How long a flush waits.
pub(crate) fn wait(is_waited_for: bool, timeout: Option<Duration>) -> Wait {
    match (is_waited_for, timeout) {
        (false, _) => Wait::No,
        (true, None) => Wait::Yes,
        (true, Some(limit)) => Wait::Within(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// Starts no new uploads.
pub(crate) fn pause(folder: &Path) -> Result<ExitCode> {
    let mountpoint = mountpoint(folder)?;
    let keys = done(&mountpoint, &Ask::Pause)?;
    let shown = mountpoint.display();
    say(format_args!(
        "paused: {keys} wait; go on with: cloudmount resume {shown}"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Goes on.
pub(crate) fn resume(folder: &Path) -> Result<ExitCode> {
    let keys = done(&mountpoint(folder)?, &Ask::Resume)?;
    say(format_args!("{keys} to upload"))?;
    Ok(ExitCode::SUCCESS)
}

/// Tries now what failed.
pub(crate) fn retry(folder: &Path, paths: &[PathBuf]) -> Result<ExitCode> {
    let mountpoint = mountpoint(folder)?;
    let paths = below(&mountpoint, paths)?;
    let keys = done(&mountpoint, &Ask::Retry { paths })?;
    say(format_args!("{keys} tried now"))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the store again about `path`.
pub(crate) fn invalidate(path: &Path) -> Result<ExitCode> {
    let Located { mountpoint, below } = place::locate(path)?;
    match asked(&mountpoint, &Ask::Invalidate { path: below })?.next()? {
        Some(Answer::Invalidated) => Ok(ExitCode::SUCCESS),
        Some(Answer::Refused { why }) => bail!("{why}"),
        Some(_) | None => bail!(
            "the process of {} ended before it was done",
            mountpoint.display()
        ),
    }
}

/// Begins anew with the network.
pub(crate) fn reconnect(folder: &Path) -> Result<ExitCode> {
    let mountpoint = mountpoint(folder)?;
    match asked(&mountpoint, &Ask::Reconnect)?.next()? {
        Some(Answer::Connected { connection }) => {
            say(format_args!("{}", show::connection(&connection)))?;
            let is_offline = connection
                .get("state")
                .is_some_and(|state| state == "offline");
            Ok(if is_offline {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            })
        }
        Some(Answer::Refused { why }) => bail!("{why}"),
        _ => bail!(
            "the process of {} ended before it was done",
            mountpoint.display()
        ),
    }
}

/// Gives up what waits.
pub(crate) fn give_up(folder: &Path, paths: &[PathBuf], bytes: Bytes) -> Result<ExitCode> {
    let mountpoint = mountpoint(folder)?;
    let paths = below(&mountpoint, paths)?;
    let mut asked = asked(&mountpoint, &Ask::Drop { paths, bytes })?;
    loop {
        match asked.next()? {
            Some(Answer::Progress(progress)) => {
                complain(format_args!("{}", show::progress(&progress)));
            }
            Some(Answer::Dropped { dropped }) => {
                for (key, kind, aside) in &dropped {
                    let line = show::dropped(key, kind, aside.as_deref());
                    say(format_args!("{line}"))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Some(Answer::Refused { why }) => bail!("{why}"),
            _ => bail!(
                "the process of {} ended before it answered",
                mountpoint.display()
            ),
        }
    }
}

fn done(mountpoint: &Path, ask: &Ask) -> Result<usize> {
    match asked(mountpoint, ask)?.next()? {
        Some(Answer::Done { keys }) => Ok(keys),
        Some(Answer::Refused { why }) => bail!("{}", or_resume(&why, mountpoint)),
        _ => bail!(
            "the process of {} ended before it answered",
            mountpoint.display()
        ),
    }
}

/// The library says what to do; here it is a command.
fn or_resume(why: &str, mountpoint: &Path) -> String {
    let command = format!("cloudmount resume {}", mountpoint.display());
    why.replace("resume them first", &command)
}

fn mountpoint(folder: &Path) -> Result<PathBuf> {
    let Located { mountpoint, below } = place::locate(folder)?;
    if !below.is_empty() {
        bail!(
            "{} is in the mount at {}\n  name the mount point first",
            folder.display(),
            mountpoint.display()
        );
    }
    Ok(mountpoint)
}

/// The paths as they are below the mount. One that leads elsewhere is meant below it.
fn below(mountpoint: &Path, paths: &[PathBuf]) -> Result<Vec<String>> {
    let one = |path: &PathBuf| {
        if let Ok(located) = place::locate(path)
            && located.mountpoint == mountpoint
        {
            return Ok(located.below);
        }
        if path.is_absolute() {
            bail!("{} is not in {}", path.display(), mountpoint.display());
        }
        Ok(place::locate(&mountpoint.join(path))?.below)
    };
    paths.iter().map(one).collect()
}
