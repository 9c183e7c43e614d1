//! Somebody else who replaces the object: a plain client, which knows nothing of mounts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use super::content::whole;
use crate::server::Server;
use crate::undo::{Act, Undo};

/// How it reaches the bucket.
pub(super) enum Writer {
    /// By names in a folder that is a bucket.
    Folder {
        /// The object.
        file: PathBuf,
        /// A file beside the bucket, renamed over the object.
        new: PathBuf,
    },
    /// By requests of a client that is told what to do on its input.
    Client {
        /// The object.
        key: String,
        /// A file of this machine, from which it sends.
        new: PathBuf,
        child: Child,
        input: ChildStdin,
        output: BufReader<ChildStdout>,
        _kill: Undo,
    },
}

impl Writer {
    /// One that replaces a file of a folder.
    pub(super) fn of_folder(bucket: &Path, key: &str, scratch: &Path) -> Self {
        Self::Folder {
            file: bucket.join(key),
            new: scratch.join("new"),
        }
    }

    /// One that replaces an object of a server.
    ///
    /// # Errors
    /// The client does not start.
    pub(super) fn of_server(server: &Server, key: &str, scratch: &Path) -> Result<Self> {
        let mut child = server
            .changing_client()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting the plain client")?;
        let kill = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self::Client {
            key: key.to_owned(),
            new: scratch.join("new"),
            child,
            input,
            output,
            _kill: kill,
        })
    }

    /// Makes `number` the version of the object.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn put(&mut self, number: u64) -> Result<()> {
        match self {
            Self::Folder { file, new } => {
                std::fs::write(&*new, whole(number))?;
                Ok(std::fs::rename(new, file)?)
            }
            Self::Client { key, new, .. } => {
                std::fs::write(&*new, whole(number))?;
                let line = format!("put {key} {}", new.display());
                self.say(&line)
            }
        }
    }

    /// Takes the object away.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(&mut self) -> Result<()> {
        match self {
            Self::Folder { file, .. } => Ok(std::fs::remove_file(file)?),
            Self::Client { key, .. } => {
                let line = format!("remove {key}");
                self.say(&line)
            }
        }
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let Self::Client {
            child,
            input,
            output,
            ..
        } = self
        else {
            bail!("a folder takes no requests");
        };
        writeln!(input, "{line}")?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        if answer != "done\n" {
            bail!("the plain client ended: {:?}", child.try_wait()?);
        }
        Ok(())
    }
}
