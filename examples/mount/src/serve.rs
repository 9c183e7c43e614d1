//! A mount, from its start to its end.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use cloudmount::fuse::{UnmountMode, Unmounter};
use cloudmount::{Closed, CloudMount, Environment, MountSettings, Settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::runtime::Runtime;

use crate::cli::{Mount, Way};
use crate::control::{self, Ended, Socket};
use crate::say::{complain, say};
use crate::{bytes, place};

/// Descriptors wanted: staged files, connections, and the control socket.
const DESCRIPTORS: u64 = 65_536;

/// How long a mount that is in use may take to end once it is out of sight. What is open then ends
/// with the process; what was closed is in the journal.
const LINGER: Duration = Duration::from_secs(10);

/// How often progress is told while the end waits for uploads.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What ends a mount.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal.
    Signal,
    /// `cloudmount umount`, who waits for an answer.
    Umount(Option<UnixStream>),
    /// Somebody else unmounted it, or the kernel gave it up.
    Ended(Option<String>),
}

/// Mounts, serves, and drains.
pub(crate) fn run(arguments: &Mount) -> Result<ExitCode> {
    log_to_stderr(&arguments.log)?;
    if arguments.way() == Way::Detached {
        // A session of its own, so that the terminal's end does not end it.
        rustix::process::setsid().context("leaving the terminal")?;
    }
    raise_descriptors();
    let environment = place::environment();
    let settings = settings(arguments, &environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let files = runtime.block_on(
        CloudMount::builder(&*arguments.url)
            .settings(settings)
            .environment(environment.clone())
            .open(),
    )?;
    let served = serve(arguments, &environment, &runtime, &files);
    // The socket outlives the mount: `status` tells of the drain, too.
    // Also of a mount that failed: what an earlier one left is being uploaded.
    let (socket, reply, error) = match served {
        Ok(served) => (served.socket, served.reply, served.error),
        Err(error) => {
            drop(runtime.block_on(files.close_within(Duration::ZERO)));
            return Err(error);
        }
    };
    let closed = drain(&runtime, files);
    drop(socket);
    Ok(report(closed, error, reply))
}

fn settings(arguments: &Mount, environment: &Environment) -> Result<Settings> {
    let named = arguments.config.clone();
    let config = named.clone().or_else(|| {
        let base = environment.get("XDG_CONFIG_HOME").map(Into::into);
        let home = || Some(Path::new(environment.get("HOME")?).join(".config"));
        Some(base.or_else(home)?.join("cloudmount/config.toml"))
    });
    let file = match config.as_deref().map(std::fs::read_to_string) {
        Some(Ok(text)) => Some(text),
        Some(Err(error)) if named.is_some() || error.kind() != std::io::ErrorKind::NotFound => {
            let path = config.unwrap_or_default();
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => None,
    };
    let settings = Settings::resolve(file.as_deref(), environment, &arguments.settings())?;
    Ok(settings)
}

/// A mount that has ended.
struct Served {
    socket: Socket,
    /// Who waits for an answer.
    reply: Option<UnixStream>,
    /// What went wrong.
    error: Option<String>,
}

/// Serves until somebody ends it.
fn serve(
    arguments: &Mount,
    environment: &Environment,
    runtime: &Runtime,
    files: &CloudMount,
) -> Result<Served> {
    let mut how = MountSettings::default();
    how.allow_other = arguments.allow_other;
    how.cover_existing = arguments.nonempty;
    let (sender, events) = channel();
    // Before the mount, so that no signal can meet one that nobody would end.
    watch_signals(sender.clone())?;
    let mounted = runtime.block_on(files.mount(&*arguments.folder, how))?;
    let folder = mounted.folder().to_owned();
    let status = {
        let (files, folder) = (files.clone(), folder.display().to_string());
        move || status_of(&files, &folder)
    };
    let socket = place::socket(environment, &folder)?;
    let socket = control::listen(socket, status, sender.clone())?;
    let unmounter = mounted.unmounter();
    std::thread::Builder::new()
        .name("mount-end".into())
        .spawn(move || {
            let error = mounted.join().err().map(|error| error.to_string());
            drop(sender.send(Event::Ended(error)));
        })?;
    say(format_args!(
        "mounted {} at {}",
        files.location(),
        folder.display()
    ));
    if arguments.way() == Way::Detached {
        // So that the folder it was started in can be unmounted or removed.
        std::env::set_current_dir("/")?;
    }
    let (reply, error) = wait(&events, &unmounter);
    Ok(Served {
        socket,
        reply,
        error,
    })
}

fn wait(events: &Receiver<Event>, unmounter: &Unmounter) -> (Option<UnixStream>, Option<String>) {
    let mut reply = None;
    loop {
        match events.recv() {
            Ok(Event::Umount(stream)) => reply = stream,
            Ok(Event::Signal) => {}
            Ok(Event::Ended(error)) => return (reply, error),
            Err(_) => return (reply, None),
        }
        if unmounter.unmount(UnmountMode::Plain).is_err() {
            complain(format_args!(
                "cloudmount: in use; it goes out of sight now and ends when the last file is closed"
            ));
            if let Err(error) = unmounter.unmount(UnmountMode::Lazy) {
                return (reply, Some(error.to_string()));
            }
        }
        match events.recv_timeout(LINGER) {
            Ok(Event::Ended(error)) => return (reply, error),
            Ok(Event::Umount(stream)) => reply = stream.or(reply),
            Ok(Event::Signal) | Err(RecvTimeoutError::Disconnected) => return (reply, None),
            Err(RecvTimeoutError::Timeout) => {
                complain(format_args!(
                    "cloudmount: files are still open; what is written to them from now on is lost"
                ));
                return (reply, None);
            }
        }
    }
}

fn watch_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut count = 0;
            for _ in signals.forever() {
                count += 1;
                drop(events.send(Event::Signal));
                if count > 1 {
                    complain(format_args!(
                        "cloudmount: ended at once; what was closed is in the journal, mount again to go on"
                    ));
                    std::process::exit(130);
                }
            }
        })?;
    Ok(())
}

/// Uploads what waits, and tells how it goes.
fn drain(runtime: &Runtime, files: CloudMount) -> Closed {
    let watched = files.clone();
    runtime.block_on(async move {
        let tell = async {
            let mut every = tokio::time::interval(TELL_EVERY);
            every.tick().await;
            loop {
                every.tick().await;
                let uploads = watched.status().uploads;
                let totals = uploads.totals;
                let error = uploads.keys.iter().find_map(|key| key.error.as_deref());
                complain(format_args!(
                    "cloudmount: {} to upload ({}), {} under way{}{}; Ctrl-C ends at once",
                    totals.keys,
                    bytes::human(totals.bytes),
                    totals.in_flight,
                    if error.is_some() {
                        "; last error: "
                    } else {
                        ""
                    },
                    error.unwrap_or_default()
                ));
            }
        };
        tokio::select! {
            closed = files.close() => closed,
            () = tell => unreachable!("it tells for ever"),
        }
    })
}

fn report(closed: Closed, error: Option<String>, reply: Option<UnixStream>) -> ExitCode {
    let is_good = closed.is_complete() && error.is_none();
    let ended = Ended {
        staging: closed.staging.display().to_string(),
        remaining_count: closed.remaining_count,
        remaining: closed.remaining,
        error,
    };
    for line in crate::show::ended(&ended) {
        complain(format_args!("cloudmount: {line}"));
    }
    if let Some(mut stream) = reply
        && let Ok(text) = serde_json::to_string(&ended)
    {
        drop(writeln!(stream, "{text}"));
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn status_of(files: &CloudMount, folder: &str) -> serde_json::Value {
    let mut status = serde_json::to_value(files.status()).unwrap_or_default();
    if let Some(fields) = status.as_object_mut() {
        fields.insert("folder".into(), folder.into());
        fields.insert("pid".into(), std::process::id().into());
    }
    status
}

/// As many descriptors as the system allows, up to what is of use.
fn raise_descriptors() {
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if now.current.is_some_and(|current| current < wanted) {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: now.maximum,
        };
        if setrlimit(Resource::Nofile, limit).is_err() {
            complain(format_args!(
                "cloudmount: cannot open more than {} files at once (ulimit -n)",
                now.current.unwrap_or_default()
            ));
        }
    }
}

fn log_to_stderr(filter: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("--log {filter}: write as error, warn, info or debug"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(())
}
