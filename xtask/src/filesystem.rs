//! A mounted filesystem and the process that serves it: ours, or one that it is held against.
//!
//! Laws: all are started, watched and ended in the same way; none outlives its [`Filesystem`], and no mount
//! stays.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::network::Side;
use crate::run::{Run, wait};
use crate::server::Server;
use crate::time::wait_until;
use crate::undo::{Act, Undo};
use crate::{mounts, place, tools};

/// How long a mount may take to appear.
const MOUNTING: Duration = Duration::from_secs(60);
/// How long an end may take: ours uploads what is left.
const ENDING: Duration = Duration::from_secs(1800);
/// How long a process may live on when its mount is gone.
const DYING: Duration = Duration::from_secs(30);
/// How many last lines of what it said are shown when something fails.
const SHOWN_LINES: usize = 8;
/// What stands in each line with which the end of ours tells how far it is.
const PROGRESS: &str = " under way";
/// Of the processor's time in `/proc` (`proc_pid_stat(5)`): `sysconf(_SC_CLK_TCK)` is 100 on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What serves a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Program {
    /// Ours
    Cloudmount,
    /// s3fs, from Debian
    S3fs,
    /// rclone mount --vfs-cache-mode full
    Rclone,
    /// The same with --use-server-modtime --vfs-fast-fingerprint
    RcloneFast,
    /// No bucket at all: a folder of this disk through FUSE, in C
    Bindfs,
}

/// What is mounted where.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// What serves it.
    pub(crate) program: Program,
    /// The bucket: how to reach it, and its name. bindfs takes none.
    pub(crate) bucket: Option<&'a Bucket>,
    /// The mount point: an empty folder.
    pub(crate) folder: &'a Path,
    /// A folder of its own, for what it caches, and its log.
    pub(crate) scratch: &'a Path,
    /// More arguments.
    pub(crate) more: &'a [&'a str],
}

/// A bucket for a [`Filesystem`].
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// As ours takes it.
    url: String,
    /// How to reach it, for S3.
    endpoint: String,
    /// Variables that say the same, with the keys.
    environment: Vec<(String, String)>,
    /// From where it is reached; `None`: from this machine's own network.
    side: Option<Side>,
}

/// A mounted filesystem.
#[derive(Debug)]
pub(crate) struct Filesystem {
    program: Program,
    folder: PathBuf,
    log: PathBuf,
    child: Child,
    // The mount goes before the process.
    unmount: Option<Undo>,
    kill: Option<Undo>,
}

impl Program {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cloudmount => "cloudmount",
            Self::S3fs => "s3fs",
            Self::Rclone => "rclone",
            Self::RcloneFast => "rclone-fast",
            Self::Bindfs => "bindfs",
        }
    }

    /// Sees to it that it is there.
    ///
    /// # Errors
    /// It cannot be installed or built.
    pub(crate) fn install(self) -> Result<()> {
        match self {
            Self::Cloudmount => build("cloudmount-mount"),
            Self::S3fs => tools::programs(&["s3fs"]),
            Self::Rclone | Self::RcloneFast => tools::python().map(drop),
            Self::Bindfs => tools::programs(&["bindfs"]),
        }
    }
}

/// Builds the binaries of a package as users have them: with optimisations.
///
/// # Errors
/// It does not compile.
pub(crate) fn build(package: &str) -> Result<()> {
    Run::cargo()
        .args("build --quiet --release --bins --package")
        .arg(package)
        .dir(place::root())
        .echo()
        .within(Duration::from_secs(1800))
        .ok()
        .map(drop)
}

/// A binary of ours.
pub(crate) fn binary(name: &str) -> PathBuf {
    place::target().join("release").join(name)
}

impl Bucket {
    /// The whole bucket of a server, reached at `endpoint`: its own, or a proxy before it.
    pub(crate) fn of(server: &Server, endpoint: &str) -> Self {
        Self {
            url: format!("s3://{}", server.bucket),
            endpoint: endpoint.to_owned(),
            environment: server.environment_at(endpoint),
            side: None,
        }
    }

    /// The same, for a program on that side of a network.
    pub(crate) fn from(mut self, side: &Side) -> Self {
        self.side = Some(side.clone());
        self
    }

    /// The same, for a program that has these variables, too.
    pub(crate) fn with_environment<const N: usize>(
        mut self,
        variables: [(&str, String); N],
    ) -> Self {
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        self.environment.extend(variables);
        self
    }

    /// A folder as a bucket, which only ours takes.
    pub(crate) fn folder(folder: &Path) -> Self {
        Self {
            url: format!("file://{}", folder.display()),
            endpoint: String::new(),
            environment: Vec::new(),
            side: None,
        }
    }

    fn name(&self) -> &str {
        self.url.trim_start_matches("s3://")
    }
}

impl Wanted<'_> {
    /// The command that stays in the foreground and serves `folder`.
    fn command(&self) -> Result<Command> {
        let folder = self.folder;
        let bucket = || self.bucket.context("it needs a bucket");
        let mut command;
        match self.program {
            Program::Cloudmount => {
                let bucket = bucket()?;
                command = Command::new(binary("cloudmount"));
                command.arg("mount").arg(&bucket.url).arg(folder);
                command.arg("--state-dir").arg(self.scratch.join("state"));
            }
            Program::S3fs => {
                let bucket = bucket()?;
                command = Command::new("s3fs");
                command.arg(bucket.name()).arg(folder).arg("-f");
                command.args(["-o", &format!("url={}", bucket.endpoint)]);
                command.args(["-o", "use_path_request_style"]);
            }
            Program::Rclone | Program::RcloneFast => {
                let bucket = bucket()?;
                command = Command::new(tools::python()?.with_file_name("rclone"));
                command
                    .args(["mount", &format!(":s3:{}", bucket.name())])
                    .arg(folder)
                    .args(["--vfs-cache-mode", "full", "--s3-env-auth"])
                    .args(["--s3-provider", "Ceph", "--config", ""])
                    .arg("--cache-dir")
                    .arg(self.scratch.join("cache"));
                command.args(["--s3-endpoint", &bucket.endpoint]);
                if self.program == Program::RcloneFast {
                    command.args(["--use-server-modtime", "--vfs-fast-fingerprint"]);
                }
            }
            Program::Bindfs => {
                let under = self.scratch.join("under");
                std::fs::create_dir_all(&under)?;
                command = Command::new("bindfs");
                command.arg("-f").arg(under).arg(folder);
            }
        }
        command.args(self.more);
        if let Some(bucket) = &self.bucket {
            let all = bucket.environment.iter();
            command.envs(all.map(|(name, value)| (name, value)));
        }
        let side = self.bucket.and_then(|bucket| bucket.side.as_ref());
        Ok(match side {
            Some(side) => side.command(&command),
            None => command,
        })
    }

    /// Mounts it.
    ///
    /// # Errors
    /// It does not mount; the error tells what it said.
    pub(crate) fn mount(&self) -> Result<Filesystem> {
        let name = self.program.name();
        let folder = self.folder.to_owned();
        let log = self.scratch.join("log");
        let output = std::fs::File::create(&log)?;
        let child = self
            .command()?
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let kill = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let unmount = Undo::new(Act::Unmount(folder.clone()));
        let mut filesystem = Filesystem {
            program: self.program,
            folder,
            log,
            child,
            unmount: Some(unmount),
            kill: Some(kill),
        };
        wait_until(name, MOUNTING, || {
            if let Some(status) = filesystem.child.try_wait()? {
                bail!("{name} ended: {status}\n{}", filesystem.said());
            }
            Ok(mounts::is_mounted(&filesystem.folder).then_some(()))
        })?;
        Ok(filesystem)
    }
}

impl Filesystem {
    /// What serves it.
    pub(crate) fn program(&self) -> Program {
        self.program
    }

    /// Where it is mounted.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process that serves it.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it said last.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }

    /// The most memory that its process had, in bytes (`proc_pid_status(5)`, `VmHWM`).
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no VmHWM")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// Seconds of the processor that its process took, in user and kernel.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the name, which may hold blanks; utime is field 14, stime 15.
        let (_, rest) = stat.rsplit_once(')').context("no such stat")?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        let ticks = |at: usize| -> Result<u32> {
            Ok(fields.get(at - 3).context("no such field")?.parse()?)
        };
        Ok(f64::from(ticks(14)? + ticks(15)?) / TICKS_PER_SECOND)
    }

    /// What ours says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn status(&self) -> Result<Value> {
        let asked = Run::new(binary("cloudmount"))
            .args("status --json")
            .arg(&self.folder);
        Ok(serde_json::from_str(&asked.ok()?)?)
    }

    /// Stops its process until what is given is dropped.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn stop(&self) -> Result<Undo> {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::STOP)?;
        Ok(Undo::new(Act::Continue(process)))
    }

    /// What ours says of itself to people.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn shown(&self) -> Result<String> {
        let asked = Run::new(binary("cloudmount")).arg("status");
        asked.arg(&self.folder).ok()
    }

    /// Unmounts in good order. Ours uploads first what waits.
    ///
    /// # Errors
    /// It is in use, cannot upload, or does not end.
    pub(crate) fn end(mut self) -> Result<()> {
        let name = self.program.name();
        let asked = match self.program {
            Program::Cloudmount => Run::new(binary("cloudmount")).arg("umount"),
            _ if place::is_root() => Run::new("umount"),
            _ => Run::new("fusermount3").arg("-u"),
        };
        let asked = asked.arg(&self.folder).within(ENDING).end()?;
        if !asked.success() {
            let said = asked.tail();
            let lines = said.lines().filter(|line| !line.contains(PROGRESS));
            let lines: Vec<_> = lines.collect();
            bail!("umount of {name}: {}", lines.join("\n"));
        }
        if wait(&mut self.child, DYING)?.is_none() {
            bail!("{name} does not end\n{}", self.said());
        }
        for undo in [self.unmount.take(), self.kill.take()] {
            undo.into_iter().for_each(Undo::forget);
        }
        Ok(())
    }

    /// Kills it, with what it has not uploaded, and takes its mount away.
    ///
    /// # Errors
    /// It cannot be killed.
    pub(crate) fn kill(mut self) -> Result<()> {
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        wait(&mut self.child, DYING)?;
        drop(self.unmount.take());
        self.kill.take().into_iter().for_each(Undo::forget);
        Ok(())
    }
}
