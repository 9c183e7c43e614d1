//! `--supervise`: a process that starts the one that serves the mount, and starts it again when it crashes.
//!
//! It does as little as it can, so that nothing can befall it: it opens no bucket and touches no mount.
//! The new process clears the dead mount, replays the journal and mounts, as after any crash.
//!
//! Laws: what ends by itself is not started again, whatever its exit code; a signal to end goes on to
//! the one that serves, each once; what does not come to be mounted again is tried for as long as it
//! takes, with growing waits, for what was accepted waits behind it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use cloudmount::vfs::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::{Mount, Way};
use crate::notify::{self, Stage};
use crate::say::{complain, say};
use crate::{client, daemon, place};

/// The exit code of a Rust program whose first thread panicked.
const PANICKED: i32 = 101;

/// The first wait before a try after one that did not come to be mounted. The first try has none.
const WAIT_MIN: Duration = Duration::from_millis(200);

/// The longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What lived for so long is not one that crashes at once.
const QUIET: Duration = Duration::from_secs(60);

/// Crashes without [`QUIET`] between from which on tries wait, too: a mount that crashes at once when
/// it is used must not take the machine.
const CRASHES_AT_ONCE: u32 = 5;

/// Names in the folder below that are read at all: it is empty but for accidents.
const NAMES_MAX: usize = 10_000;

/// Names that are told of what is in the folder below: enough to know that something is.
const STRAYS_MAX: usize = 20;

/// What the supervisor hears.
#[derive(Debug)]
enum Event {
    /// The one that serves is mounted: what it said.
    Mounted(String),
    /// It has ended, and what else it said.
    Ended(ExitStatus, String),
    /// Somebody wants it all to end.
    Signal,
}

/// Serves until the mount ends by itself. `arguments` are those of this process.
pub(crate) fn run(mount: &Mount, arguments: &[OsString]) -> Result<ExitCode> {
    if mount.way() == Way::Detached {
        rustix::process::setsid().context("leaving the terminal")?;
    }
    let (sender, events) = channel();
    watch(sender.clone())?;
    let mut supervisor = Supervisor {
        arguments: arguments.to_vec(),
        mountpoint: place::resolve(&mount.folder)?,
        below: None,
        known: Vec::new(),
        way: mount.way(),
        sender,
        events,
        was_mounted: false,
        is_ending: false,
    };
    // Not the remains of an earlier one: there is nothing to be opened then.
    supervisor.below = File::open(&supervisor.mountpoint).ok();
    let known = supervisor.below.as_ref().map(names);
    supervisor.known = known.and_then(Result::ok).unwrap_or_default();
    let code = supervisor.serve()?;
    if supervisor.was_mounted && code != 0 {
        // What crashed while it ended would answer everybody with errors.
        drop(client::clear_dead(&mount.folder));
    }
    Ok(ExitCode::from(code))
}

struct Supervisor {
    arguments: Vec<OsString>,
    mountpoint: PathBuf,
    /// The folder below the mount, which only a descriptor shows that is older.
    below: Option<File>,
    /// What was in it before: it need not be empty.
    known: Vec<String>,
    way: Way,
    sender: Sender<Event>,
    events: Receiver<Event>,
    was_mounted: bool,
    is_ending: bool,
}

impl Supervisor {
    fn serve(&mut self) -> Result<u8> {
        let environment = place::environment();
        let mut wait = Duration::ZERO;
        let mut crashes = 0;
        let clock = SystemClock::new();
        loop {
            let born = clock.now();
            let pid = self.start()?;
            let (status, came_to_be, said) = self.watch_over(pid)?;
            if let Some(code) = self.end_of(status, came_to_be) {
                // Of one that was never mounted, the reason is for whoever started us.
                if self.way == Way::Detached && !said.trim().is_empty() {
                    drop(say(format_args!("{}", said.trim())));
                }
                return Ok(code);
            }
            let is_old = clock.now().saturating_since(born) > QUIET;
            crashes = if is_old { 0 } else { crashes + 1 };
            wait = match (came_to_be, crashes) {
                (true, 0..CRASHES_AT_ONCE) => Duration::ZERO,
                _ => (wait * 2).clamp(WAIT_MIN, WAIT_MAX),
            };
            let why = format!("the mount's process ended ({status}); mounting again");
            complain(format_args!("cloudmount: {why}"));
            notify::tell(&environment, &Stage::Mending(&why));
            if self.pause(wait) {
                return Ok(1);
            }
            // The dead mount stays until the next one clears it, or somebody who has had enough of it.
            if place::mounted_kind(&self.mountpoint).as_deref() != Some(place::KIND) {
                complain(format_args!(
                    "cloudmount: it was unmounted; what was accepted waits: mount again to go on"
                ));
                return Ok(1);
            }
        }
    }

    /// The exit code to end with; `None` if it is to be started again.
    fn end_of(&self, status: ExitStatus, came_to_be: bool) -> Option<u8> {
        let is_crash = status.signal().is_some() || status.code() == Some(PANICKED);
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let code = code.unwrap_or(1);
        match (is_crash, came_to_be) {
            _ if self.is_ending => Some(code),
            // It ended by itself.
            (false, true) => Some(code),
            // It never worked; or it does not again, for a reason that may pass.
            (_, false) => (!self.was_mounted).then_some(code),
            (true, true) => None,
        }
    }

    /// Starts the one that serves.
    fn start(&self) -> Result<Pid> {
        let flag = match self.was_mounted {
            false => "--supervised=first",
            true => "--supervised=again",
        };
        let mut child = daemon::again(&self.arguments, flag)?
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the process that serves")?;
        let pid = Pid::from_child(&child);
        let output = child.stdout.take();
        let sender = self.sender.clone();
        std::thread::Builder::new()
            .name("child".into())
            .spawn(move || listen(child, output, &sender))?;
        Ok(pid)
    }

    /// Waits for its end: how it ended, whether it was mounted, and what it said if not.
    fn watch_over(&mut self, pid: Pid) -> Result<(ExitStatus, bool, String)> {
        let mut came_to_be = false;
        if self.is_ending {
            let _ = kill_process(pid, Signal::TERM);
        }
        loop {
            match self.events.recv()? {
                Event::Mounted(said) => {
                    came_to_be = true;
                    let is_first = !self.was_mounted;
                    self.was_mounted = true;
                    notify::tell(&place::environment(), &Stage::Ready(said.trim()));
                    if !is_first {
                        self.tell_strays();
                    }
                    let is_heard = !is_first || say(format_args!("{}", said.trim())).is_ok();
                    match is_heard {
                        true if is_first => {}
                        true => complain(format_args!("cloudmount: {} again", said.trim())),
                        // Whoever started us is gone, and thinks that it failed.
                        false => {
                            self.is_ending = true;
                            let _ = kill_process(pid, Signal::TERM);
                        }
                    }
                }
                Event::Ended(status, said) => return Ok((status, came_to_be, said)),
                Event::Signal => {
                    self.is_ending = true;
                    notify::tell(&place::environment(), &Stage::Stopping);
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
        }
    }

    /// Names what was written into the folder below while nothing was mounted: where the kernel cannot
    /// replace a dead mount in one step, there is such a moment.
    fn tell_strays(&self) {
        let Some(mut names) = self.below.as_ref().and_then(|below| names(below).ok()) else {
            return;
        };
        names.retain(|name| !self.known.contains(name));
        names.truncate(STRAYS_MAX);
        if !names.is_empty() {
            complain(format_args!(
                "cloudmount: in the folder below {}, and not in the bucket: {}",
                self.mountpoint.display(),
                names.join(", ")
            ));
        }
    }

    /// Waits; whether it is to end meanwhile.
    fn pause(&mut self, wait: Duration) -> bool {
        match self.events.recv_timeout(wait) {
            Ok(_) => {
                complain(format_args!(
                    "cloudmount: ended; what was accepted waits: mount again to go on"
                ));
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }
}

/// The names in a folder.
fn names(folder: &File) -> std::io::Result<Vec<String>> {
    let entries = rustix::fs::Dir::read_from(folder)?;
    let names = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        (name != "." && name != "..").then_some(name)
    });
    Ok(names.take(NAMES_MAX).collect())
}

/// Hears what it says, and how it ends.
fn listen(mut child: Child, output: Option<ChildStdout>, sender: &Sender<Event>) {
    let mut said = String::new();
    if let Some(output) = output {
        let mut output = BufReader::new(output);
        drop(output.read_line(&mut said));
        if said.starts_with("mounted ") {
            drop(sender.send(Event::Mounted(std::mem::take(&mut said))));
        }
        drop(output.read_to_string(&mut said));
    }
    if let Ok(status) = child.wait() {
        drop(sender.send(Event::Ended(status, said)));
    }
}

fn watch(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                if events.send(Event::Signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(())
}
