//! System calls of the daemon that fail or are late, by `strace(1)`.
//!
//! Which calls: the HTTP client connects with `connect`, reads with `recvfrom` and writes with `writev`. Answers to the
//! kernel's FUSE are written with `writev`, too, so that one is left alone. Which threads: those of the runtime and of FUSE,
//! which do all that goes to the store; the one at the control socket is not meant.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::wait;
use crate::time::wait_until;
use crate::undo::{Act, Undo};

/// How the names of those threads begin.
const THREADS: [&str; 2] = ["tokio-rt", "fuser-"];
/// How long strace may take to hold them, and to let them go.
const HOLDING: Duration = Duration::from_secs(20);
/// How it marks what it brought about.
const MARK: &str = "(INJECTED)";
const MARK_DELAYED: &str = "(DELAYED)";

/// What is injected.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) name: &'static str,
    /// As strace takes it, each after `inject=`.
    what: &'static [&'static str],
}

/// What connections there are breaks at their next answer, so that new ones are needed.
const BROKEN: &str = "recvfrom:error=ECONNRESET";

pub(super) const ALL: &[Injected] = &[
    Injected {
        name: "recvfrom: ECONNRESET",
        what: &[BROKEN],
    },
    Injected {
        name: "one recvfrom of five: ECONNRESET",
        what: &["recvfrom:error=ECONNRESET:when=5+5"],
    },
    Injected {
        name: "recvfrom: ETIMEDOUT",
        what: &["recvfrom:error=ETIMEDOUT"],
    },
    Injected {
        name: "connect: ETIMEDOUT",
        what: &["connect:error=ETIMEDOUT", BROKEN],
    },
    Injected {
        name: "connect: ENETUNREACH",
        what: &["connect:error=ENETUNREACH", BROKEN],
    },
    Injected {
        name: "connect: ECONNREFUSED",
        what: &["connect:error=ECONNREFUSED", BROKEN],
    },
    Injected {
        name: "connect: EADDRNOTAVAIL",
        what: &["connect:error=EADDRNOTAVAIL", BROKEN],
    },
    Injected {
        name: "connect and recvfrom: 200 ms late",
        what: &["connect:delay_enter=200ms", "recvfrom:delay_enter=200ms"],
    },
];

impl Injected {
    /// Injects it into that process while `work` runs.
    ///
    /// # Errors
    /// strace cannot, or nothing came to be injected.
    pub(super) fn inject(&self, daemon: u32, log: &Path, work: impl FnOnce()) -> Result<()> {
        let mut command = Command::new("strace");
        command.args(["-e", "trace=connect,recvfrom"]);
        for what in self.what {
            command.args(["-e", &format!("inject={what}")]);
        }
        for thread in threads(daemon)? {
            command.args(["-p", &thread]);
        }
        let messages = log.with_extension("messages");
        let mut child = command
            .arg("-o")
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&messages)?)
            .process_group(0)
            .spawn()
            .context("starting strace")?;
        let process = Pid::from_child(&child);
        let kill = Undo::new(Act::KillGroup(process));
        wait_until("strace", HOLDING, || {
            if let Some(status) = child.try_wait()? {
                bail!("{status}: {}", std::fs::read_to_string(&messages)?);
            }
            let said = std::fs::read_to_string(&messages)?;
            Ok(said.contains("attached").then_some(()))
        })?;
        work();
        // A request to end lets go of what it holds in good order.
        kill_process(process, Signal::TERM)?;
        if wait(&mut child, HOLDING)?.is_none() {
            bail!("strace does not let go");
        }
        kill.forget();
        let told = std::fs::read_to_string(log)?;
        if !told.contains(MARK) && !told.contains(MARK_DELAYED) {
            bail!("nothing was injected: no such call was made");
        }
        Ok(())
    }
}

/// The threads that deal with the store.
fn threads(process: u32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        // One may end just now.
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if THREADS.iter().any(|start| name.starts_with(start)) {
            found.push(task.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}
