//! Running a program to its end, within a time, with its output kept for the report.
//!
//! Laws: the program leads a process group of its own; when its time is up, or xtask ends, the
//! whole group is killed; a program that cannot be killed (asleep in a dead mount) is left, not
//! waited for.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use crate::time::{now, pause};
use crate::undo::{Act, Undo};

/// Enough for any tool that is not told otherwise; nothing may hang a run for ever.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a killed group may take to die before it is left alone.
const DYING: Duration = Duration::from_secs(5);
/// How many last lines of a failed program's output the report shows.
const SHOWN_LINES: usize = 15;

/// How the variables begin that tell of a package (the Cargo Book, "Environment variables Cargo sets for
/// crates").
const OF_A_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

fn begins(name: &OsStr, start: &str) -> bool {
    name.as_encoded_bytes().starts_with(start.as_bytes())
}

/// A program to run.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    limit: Duration,
    echo: bool,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when its time was up.
    pub(crate) status: Option<ExitStatus>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Run {
    /// Runs `program`, found in the path or given in full.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            limit: PATIENCE,
            echo: false,
        }
    }

    /// Runs cargo, as if from a shell: `cargo run` has told this process which package it is of, and build
    /// scripts that ask for that (ring's does) would run again at each change between the two.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a child is told is seen to here"
    )]
    pub(crate) fn cargo() -> Self {
        let mut run = Self::new(crate::place::cargo());
        let told = std::env::vars_os().map(|(name, _)| name);
        for name in told.filter(|name| OF_A_PACKAGE.iter().any(|start| begins(name, start))) {
            run.command.env_remove(name);
        }
        run
    }

    /// Runs `program` as root: directly, or through sudo that asks for no password.
    pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Self {
        if crate::place::is_root() {
            Self::new(program)
        } else {
            Self::new("sudo").arg("-n").arg(program)
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments, cut at blanks.
    pub(crate) fn args(mut self, args: &str) -> Self {
        self.command.args(args.split_whitespace());
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn envs(mut self, all: &[(String, String)]) -> Self {
        self.command
            .envs(all.iter().map(|(name, value)| (name, value)));
        self
    }

    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Lets the output through to the terminal instead of keeping it.
    pub(crate) fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    /// Runs to the end and gives standard output.
    ///
    /// # Errors
    /// It cannot start, fails, or takes too long; the error shows its last lines.
    pub(crate) fn ok(self) -> Result<String> {
        let name = self.name();
        let limit = self.limit;
        let ended = self.end()?;
        match ended.status {
            Some(status) if status.success() => Ok(ended.out),
            Some(status) => bail!("{name}: {status}\n{}", ended.tail()),
            None => bail!(
                "{name}: not done after {} s\n{}",
                limit.as_secs(),
                ended.tail()
            ),
        }
    }

    /// Runs to the end, whatever the end.
    ///
    /// # Errors
    /// It cannot start.
    pub(crate) fn end(mut self) -> Result<Ended> {
        let name = self.name();
        let mut kept = None;
        if !self.echo {
            let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?);
            self.command
                .stdout(out.try_clone()?)
                .stderr(err.try_clone()?);
            kept = Some((out, err));
        }
        let mut child = self
            .command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let undo = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let status = wait(&mut child, self.limit)?;
        drop(undo);
        if status.is_none() {
            wait(&mut child, DYING)?;
        }
        let (out, err) = match kept {
            Some((out, err)) => (text_of(out)?, text_of(err)?),
            None => (String::new(), String::new()),
        };
        Ok(Ended { status, out, err })
    }

    /// The command line, for reports.
    fn name(&self) -> String {
        let program = Path::new(self.command.get_program());
        let program = program.file_name().unwrap_or(program.as_os_str());
        std::iter::once(program)
            .chain(self.command.get_args())
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Ended {
    /// Whether it ended well.
    pub(crate) fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The last lines of what it said.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<_> = self.out.lines().chain(self.err.lines()).collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

/// Waits for `child` at most for `limit`; None when the time is up.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let elapsed = start.elapsed();
        if elapsed > limit {
            return Ok(None);
        }
        // Its time is measured, too: to about a fiftieth, and to a millisecond.
        pause((elapsed / 50).clamp(Duration::from_millis(1), Duration::from_millis(20)));
    }
}

/// Whether `program` is in the path.
pub(crate) fn in_path(program: &str) -> bool {
    let path = crate::place::variable("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    // Debian keeps some tools where only root's path looks.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

fn text_of(mut file: File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Run {
        Run::new("sh").arg("-c").arg(script)
    }

    #[test]
    fn a_failure_shows_the_last_lines() {
        assert_eq!(shell("echo out; echo err >&2").ok().unwrap(), "out\n");
        let error = shell("echo why >&2; exit 3").ok().unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.ends_with("why"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("(sleep 1; touch {}/late) & wait", dir.path().display());
        let error = shell(&script)
            .within(Duration::from_millis(100))
            .ok()
            .unwrap_err();
        assert!(error.to_string().contains("not done after"), "{error}");
        pause(Duration::from_millis(1300));
        assert!(!dir.path().join("late").exists());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Run::new("/no/such/tool").ok().unwrap_err().to_string();
        assert!(error.contains("starting tool"), "{error}");
    }
}
