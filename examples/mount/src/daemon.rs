//! In the background: the same program again, detached, and a parent that waits until it is
//! mounted.
//!
//! Not a fork of this process: threads do not survive one. What the child says on its standard
//! output goes to the parent: that it is mounted, or why not.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Read as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::cli::Mount;
use crate::place;
use crate::say::{complain, say};

/// From this size on, a log makes way for a new one: hours of debugging, not a disk.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Starts it; gives its exit code if it did not come to be mounted.
pub(crate) fn start(mount: &Mount, arguments: &[OsString]) -> Result<ExitCode> {
    let (path, log) = open_log(mount)?;
    let mut child = again(arguments, "--detached")?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("starting the background process")?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        output.read_line(&mut said)?;
        if said.starts_with("mounted ") {
            say(format_args!("{} (log: {})", said.trim(), path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        output.read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    match said.trim() {
        "" => complain(format_args!(
            "cloudmount: the background process ended ({status})\n  see {}",
            path.display()
        )),
        said => complain(format_args!("{said}")),
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.filter(|code| *code != 0).unwrap_or(1)))
}

/// This program once more, as it was started, with one more flag. It is called by its own name, whatever
/// this process was called by.
pub(crate) fn again(arguments: &[OsString], flag: &str) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("cloudmount");
    // The first one is the command, and the last ones may be no flags any more.
    let (first, rest) = arguments.split_at(arguments.len().min(1));
    command.args(first).arg(flag).args(rest);
    Ok(command)
}

fn open_log(arguments: &Mount) -> Result<(PathBuf, File)> {
    let environment = place::environment();
    let folder = place::state_dir(arguments.flags.state_dir.as_deref(), &environment)?.join("log");
    // As it is told to a person, who may be elsewhere later.
    let folder = std::path::absolute(folder)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let mountpoint = place::resolve(&arguments.folder)?;
    let path = folder.join(format!("{}.log", place::name_of(&mountpoint)));
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        // The one before is enough to look back.
        drop(std::fs::rename(&path, path.with_extension("old.log")));
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, log))
}
