//! In the background: the same program again, detached, and a parent that waits until it is
//! mounted.
//!
//! Not a fork of this process: threads do not survive one.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::cli::Mount;
use crate::place;
use crate::say::{complain, say};

/// Starts it; gives its exit code if it did not come to be mounted.
pub(crate) fn start(arguments: &Mount) -> Result<ExitCode> {
    let (path, mut log) = open_log(arguments)?;
    let start = log.seek(SeekFrom::End(0))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .spawn()
        .context("starting the background process")?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if !line.is_empty() {
        say(format_args!("{} (log: {})", line.trim(), path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    let mut said = String::new();
    log.seek(SeekFrom::Start(start))?;
    log.read_to_string(&mut said)?;
    complain(format_args!("{}", said.trim_end()));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.filter(|code| *code != 0).unwrap_or(1)))
}

fn open_log(arguments: &Mount) -> Result<(PathBuf, File)> {
    let environment = place::environment();
    let state = match &arguments.state_dir {
        Some(folder) => folder.clone(),
        None => match environment.get("XDG_STATE_HOME") {
            Some(state) => PathBuf::from(state).join("cloudmount"),
            None => PathBuf::from(
                environment
                    .get("HOME")
                    .context("set HOME, or give --state-dir")?,
            )
            .join(".local/state/cloudmount"),
        },
    };
    let folder = state.join("log");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let mountpoint = place::resolve(&arguments.folder)?;
    let path = folder.join(format!("{}.log", place::name_of(&mountpoint)));
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, log))
}
