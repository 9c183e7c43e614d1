//! A running `cloudmount mount`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::backend::Backend;
use crate::run::{Run, wait};
use crate::undo::{Act, Undo};
use crate::{mounts, place};

/// How long an end may take: it uploads what is left.
const ENDING: Duration = Duration::from_secs(1800);

/// A mount and the process behind it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) folder: PathBuf,
    log: PathBuf,
    // The mount goes before the process.
    unmount: Option<Undo>,
    kill: Option<Undo>,
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    place::target().join("release/cloudmount")
}

/// What is mounted, and how.
#[derive(Debug)]
pub(crate) struct Mount<'a> {
    /// The program that does it.
    pub(crate) program: PathBuf,
    /// Which part of the bucket.
    pub(crate) part: &'a str,
    /// The name of the folder of its journal.
    pub(crate) state: &'a str,
    /// The name of its log.
    pub(crate) log: &'a str,
    /// More flags.
    pub(crate) more: &'a [&'a str],
    /// More of the environment.
    pub(crate) environment: &'a [(String, String)],
}

impl Daemon {
    /// Mounts a part of the bucket. `state` names the folder of its journal.
    pub(crate) fn start(backend: &Backend, part: &str, state: &str, more: &[&str]) -> Result<Self> {
        Self::mount(
            backend,
            &Mount {
                program: program(),
                part,
                state,
                log: state,
                more,
                environment: &[],
            },
        )
    }

    /// Mounts, and waits until it is mounted.
    ///
    /// # Errors
    /// It does not mount; nothing is left of it.
    pub(crate) fn mount(backend: &Backend, mount: &Mount<'_>) -> Result<Self> {
        let mut daemon = Self::spawn(backend, mount)?;
        if !daemon.is_mounted()? {
            bail!("it does not mount:\n{}", daemon.said());
        }
        Ok(daemon)
    }

    /// Waits until it is mounted; says whether it is, or ended before.
    ///
    /// # Errors
    /// It cannot be heard.
    pub(crate) fn is_mounted(&mut self) -> Result<bool> {
        let mut line = String::new();
        if let Some(output) = self.child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        Ok(line.starts_with("mounted "))
    }

    /// Starts to mount, and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn spawn(backend: &Backend, mount: &Mount<'_>) -> Result<Self> {
        let folder = backend.dir.path().join("mnt");
        std::fs::create_dir_all(&folder)?;
        let log = backend.dir.path().join(format!("{}.log", mount.log));
        let errors = std::fs::File::create(&log)?;
        let environment = backend.environment.iter().chain(mount.environment);
        let child = Command::new(&mount.program)
            .arg("mount")
            .arg(backend.url(mount.part)?)
            .arg(&folder)
            .arg("--state-dir")
            .arg(backend.dir.path().join(mount.state))
            .args(backend.flags())
            .args(mount.more)
            .envs(environment.map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .context("starting cloudmount")?;
        let kill = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let unmount = Undo::new(Act::Unmount(folder.clone()));
        Ok(Self {
            child,
            folder,
            log,
            unmount: Some(unmount),
            kill: Some(kill),
        })
    }

    /// What it said on standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The most memory it had, in bytes (`proc_pid_status(5)`, `VmHWM`).
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no VmHWM")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// Unmounts in good order: all must be uploaded, and nothing complained about.
    pub(crate) fn end(mut self) -> Result<()> {
        let asked = Run::new(program())
            .arg("umount")
            .arg(&self.folder)
            .within(ENDING)
            .end()?;
        if !asked.success() {
            bail!("umount failed: {}\n{}", asked.tail(), self.said());
        }
        match wait(&mut self.child, Duration::from_secs(20))? {
            Some(status) if status.success() => {}
            other => bail!("the daemon ended with {other:?}:\n{}", self.said()),
        }
        if mounts::is_mounted(&self.folder) {
            bail!("it is still mounted");
        }
        self.forget();
        Ok(())
    }

    /// Kills it at once, and takes its mount away.
    pub(crate) fn kill(mut self) -> Result<()> {
        match kill_process_group(Pid::from_child(&self.child), Signal::KILL) {
            // It ended before.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        wait(&mut self.child, Duration::from_secs(20))?;
        drop(self.unmount.take());
        self.forget();
        Ok(())
    }

    /// Whether it kills itself within `limit`.
    ///
    /// # Errors
    /// It cannot be asked; or it ends in another way.
    pub(crate) fn is_killed_within(&mut self, limit: Duration) -> Result<bool> {
        match wait(&mut self.child, limit)? {
            None => Ok(false),
            Some(status) if status.signal() == Some(Signal::KILL.as_raw()) => Ok(true),
            Some(status) => bail!("it ended, {status}:\n{}", self.said()),
        }
    }

    /// What `cloudmount status --json` says.
    ///
    /// # Errors
    /// It does not answer, or not in JSON.
    pub(crate) fn status(&self) -> Result<serde_json::Value> {
        let text = Run::new(program())
            .args("status --json")
            .arg(&self.folder)
            .ok()?;
        Ok(serde_json::from_str(&text)?)
    }

    fn forget(&mut self) {
        if let Some(unmount) = self.unmount.take() {
            unmount.forget();
        }
        if let Some(kill) = self.kill.take() {
            kill.forget();
        }
    }

    /// Where it is mounted.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}
