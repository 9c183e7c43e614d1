//! A running `cloudmount mount`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
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

impl Daemon {
    /// Mounts a part of the bucket. `state` names the folder of its journal.
    pub(crate) fn start(backend: &Backend, part: &str, state: &str, more: &[&str]) -> Result<Self> {
        let folder = backend.dir.path().join("mnt");
        std::fs::create_dir_all(&folder)?;
        let log = backend.dir.path().join(format!("{state}.log"));
        let errors = std::fs::File::create(&log)?;
        let mut child = Command::new(program())
            .arg("mount")
            .arg(backend.url(part)?)
            .arg(&folder)
            .arg("--state-dir")
            .arg(backend.dir.path().join(state))
            .args(backend.flags())
            .args(more)
            .envs(
                backend
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .context("starting cloudmount")?;
        let kill = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let unmount = Undo::new(Act::Unmount(folder.clone()));
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let daemon = Self {
            child,
            folder,
            log,
            unmount: Some(unmount),
            kill: Some(kill),
        };
        if !line.starts_with("mounted ") {
            bail!("it does not mount:\n{}", daemon.said());
        }
        Ok(daemon)
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
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        wait(&mut self.child, Duration::from_secs(20))?;
        drop(self.unmount.take());
        self.forget();
        Ok(())
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
