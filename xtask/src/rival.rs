//! A plain S3 client that stays, and changes objects when it is told to.
//!
//! It stays, because starting a process closes what it inherits of this one's open files, which a mount hears as a
//! `close` of each (`flush` of FUSE): nothing may be started while files of a mount are open and not meant to be
//! closed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::Pid;

use crate::undo::{Act, Undo};

/// The client, waiting for its next line.
#[derive(Debug)]
pub(crate) struct Rival {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _kill: Undo,
}

impl Rival {
    /// Starts it. `command` answers each line of its input, as `put KEY FILE` or `remove KEY`, with `done`.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting the plain client")?;
        let kill = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self {
            child,
            input,
            output,
            _kill: kill,
        })
    }

    /// Makes what is in `file` the object under `key`. Neither holds a blank.
    ///
    /// # Errors
    /// The client ended, as it does when the server refuses.
    pub(crate) fn put(&mut self, key: &str, file: &Path) -> Result<()> {
        self.say(&format!("put {key} {}", file.display()))
    }

    /// Takes the object under `key` away.
    ///
    /// # Errors
    /// The client ended, as it does when the server refuses.
    pub(crate) fn remove(&mut self, key: &str) -> Result<()> {
        self.say(&format!("remove {key}"))
    }

    /// Has it do what a line says, as `client.py` knows it.
    ///
    /// # Errors
    /// The client ended, as it does when the server refuses.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer != "done\n" {
            bail!("the plain client ended: {:?}", self.child.try_wait()?);
        }
        Ok(())
    }
}
