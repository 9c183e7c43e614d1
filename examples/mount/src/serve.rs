//! A mount, from its start to its end.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use cloudmount::fuse::{MountError, MountErrorKind, UnmountMode, Unmounter};
use cloudmount::{Closed, CloudMount, Environment, MountSettings, Mounted, Settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::board::{Board, Progress, State};
use crate::cli::{self, Mount};
use crate::control::{self, Answer, Ended, Socket, Way};
use crate::desk::Desk;
use crate::flags::Flags;
use crate::notify::{self, Stage};
use crate::say::{complain, say};
use crate::{place, rate, record, show, signals, users};

/// Descriptors wanted: staged files, connections, and the control socket.
const DESCRIPTORS: u64 = 65_536;

/// How long a mount that was told to end while it is in use stays for those who use it. What is
/// open then ends with the process; what was closed is in the journal.
const LINGER: Duration = Duration::from_secs(10);

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How often a mount that is in use is tried again before that is said: whoever closed a file just
/// now may not be through.
const BUSY_TRIES: u32 = 10;
const BUSY_EVERY: Duration = Duration::from_millis(100);

/// How long work that nobody waits for any more may take to stop.
const STOPPING: Duration = Duration::from_secs(2);

/// What happens to a mount.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal to end.
    Signal,
    /// `cloudmount umount`, who waits for answers.
    Umount(UnixStream, Way),
    /// It is unmounted, by whomever; or the kernel gave it up.
    Ended(Option<String>),
}

/// Mounts, serves, and drains.
pub(crate) fn run(arguments: &Mount) -> Result<ExitCode> {
    log_to_stderr(&arguments.log)?;
    if arguments.way().has_parent() {
        // A session of its own, so that the terminal's end does not end it.
        rustix::process::setsid().context("leaving the terminal")?;
    }
    raise_descriptors();
    let environment = place::environment();
    #[cfg(feature = "failpoints")]
    crate::failpoints::arm(&environment)?;
    let settings = settings(&arguments.flags, &environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let builder = CloudMount::builder(&*arguments.url)
        .settings(settings)
        .environment(environment.clone());
    #[cfg(feature = "failpoints")]
    let builder = crate::failpoints::prepare(builder, &environment)?;
    let recording = (arguments.record_reads.as_deref()).map(record::Reads::begin);
    let builder = match &recording {
        Some(reads) => builder.record_reads(reads.recording()),
        None => builder,
    };
    let files = runtime.block_on(builder.open())?;
    let mut live = match Live::start(arguments, &environment, &runtime, &files) {
        Ok(live) => live,
        Err(error) => {
            // What an earlier mount left is being uploaded: the next one goes on with it.
            drop(runtime.block_on(files.close_within(Duration::ZERO)));
            runtime.shutdown_timeout(STOPPING);
            return Err(error);
        }
    };
    live.wait(&files);
    let closed = live.drain(&runtime, files);
    runtime.shutdown_timeout(STOPPING);
    recording.map_or(Ok(()), record::Reads::write)?;
    Ok(live.report(closed))
}

/// The settings of a command.
///
/// # Errors
/// A file that cannot be read, or a setting that makes no sense.
pub(crate) fn settings(flags: &Flags, environment: &Environment) -> Result<Settings> {
    let named = flags.config.clone();
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
    let settings = Settings::resolve(file.as_deref(), environment, &flags.settings())?;
    Ok(settings)
}

/// What came while uploads are waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Signal,
}

/// A mount that lives.
struct Live {
    way: cli::Way,
    mountpoint: PathBuf,
    unmounter: Unmounter,
    events: Receiver<Event>,
    board: Arc<Board>,
    desk: Arc<Desk>,
    socket: Socket,
    /// Who waits for its end.
    waiting: Vec<UnixStream>,
    /// Why it ended badly.
    error: Option<String>,
}

impl Live {
    fn start(
        arguments: &Mount,
        environment: &Environment,
        runtime: &Runtime,
        files: &CloudMount,
    ) -> Result<Self> {
        let mut how = MountSettings::default();
        how.cover_existing = arguments.may_cover();
        let (sender, events) = channel();
        // Before the mount, so that no signal can meet one that nobody would end.
        let last_resort = Arc::new(OnceLock::new());
        signals::watch(sender.clone(), Arc::clone(&last_resort))?;
        let mounted = runtime.block_on(files.mount(&*arguments.folder, how))?;
        let unmounter = mounted.unmounter();
        drop(last_resort.set(unmounter.clone()));
        let mountpoint = mounted.folder().to_owned();
        let board = Arc::new(Board::default());
        board.show(files.clone(), mountpoint.display().to_string());
        let socket = place::own_socket(environment, &mountpoint)?;
        look_at_rate(runtime, &board);
        let desk = Arc::new(Desk::new(Arc::clone(&board), runtime.handle().clone()));
        let socket = control::listen(socket, Arc::clone(&desk), sender.clone())?;
        tell_the_end(mounted, sender.clone())?;
        let said = format!("mounted {} at {}", files.location(), mountpoint.display());
        let elsewhere = files.elsewhere();
        // To whoever mounts in the background, too, who hears one line.
        let more = match elsewhere.iter().map(|other| other.waiting).sum::<usize>() {
            0 => String::new(),
            waiting => format!("; {waiting} wait for other parts of it, see cloudmount status"),
        };
        for line in show::elsewhere(&elsewhere) {
            complain(format_args!("cloudmount: {line}"));
        }
        let was_heard = say(format_args!("{said}{more}"));
        notify::tell(environment, &Stage::Ready(&said));
        if arguments.way().has_parent() {
            // So that the folder it was started in can be unmounted or removed.
            std::env::set_current_dir("/")?;
            if was_heard.is_err() {
                // Whoever started it is gone, and thinks that it failed.
                sender.send(Event::Signal)?;
            }
        }
        Ok(Self {
            way: arguments.way(),
            mountpoint,
            unmounter,
            events,
            board,
            desk,
            socket,
            waiting: Vec::new(),
            error: None,
        })
    }

    /// Serves until it is unmounted.
    fn wait(&mut self, files: &CloudMount) {
        loop {
            match self.events.recv() {
                Ok(Event::Signal) => {
                    if self.unmount(Way::Plain).is_ok() {
                        return self.linger(files, Some(LINGER));
                    }
                    complain(format_args!(
                        "cloudmount: in use; it goes out of sight now, and ends in {} s",
                        LINGER.as_secs()
                    ));
                    if let Err(error) = self.unmount(Way::Lazy) {
                        self.error = Some(error.to_string());
                    }
                    return self.linger(files, Some(LINGER));
                }
                Ok(Event::Umount(caller, way)) => match self.unmount(way) {
                    Ok(()) => {
                        self.waiting.push(caller);
                        return self.linger(files, None);
                    }
                    // A caller who goes away is no concern of ours.
                    Err(error) => drop(control::tell(&caller, &self.refusal(&error))),
                },
                Ok(Event::Ended(error)) => {
                    self.error = error;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn unmount(&self, way: Way) -> std::result::Result<(), MountError> {
        if way == Way::Lazy {
            return self.unmounter.unmount(UnmountMode::Lazy);
        }
        let mut tries = 1;
        loop {
            match self.unmounter.unmount(UnmountMode::Plain) {
                Err(error) if error.kind() == MountErrorKind::Busy && tries < BUSY_TRIES => {
                    tries += 1;
                    std::thread::park_timeout(BUSY_EVERY);
                }
                done => return done,
            }
        }
    }

    fn refusal(&self, error: &MountError) -> Answer {
        if error.kind() == MountErrorKind::Busy {
            let users = users::of(&self.mountpoint);
            return Answer::Busy { users };
        }
        let why = error.to_string();
        Answer::Refused { why }
    }

    /// Stays for those who still have files open, at most for `limit`.
    fn linger(&mut self, files: &CloudMount, limit: Option<Duration>) {
        self.board.set(State::InUse);
        let mut waited = Duration::ZERO;
        let mut limit = limit;
        loop {
            match self.events.recv_timeout(TELL_EVERY) {
                Ok(Event::Ended(error)) => {
                    self.error = self.error.take().or(error);
                    return;
                }
                Ok(Event::Umount(caller, _)) => self.waiting.push(caller),
                // Whoever asked to wait has changed their mind.
                Ok(Event::Signal) => limit = Some(waited),
                Err(RecvTimeoutError::Timeout) => {
                    waited += TELL_EVERY;
                    self.tell(&Progress::of(files));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if limit.is_some_and(|limit| waited >= limit) {
                complain(format_args!(
                    "cloudmount: files are still open; what was not closed is put aside"
                ));
                return;
            }
        }
    }

    /// Uploads what waits, and tells how it goes.
    fn drain(&mut self, runtime: &Runtime, files: CloudMount) -> Closed {
        self.board.set(State::Draining);
        notify::tell(&place::environment(), &Stage::Stopping);
        if files.is_paused() {
            self.note("uploads were paused; they go on now, so that all gets into the bucket");
        }
        let watched = files.clone();
        let closed = runtime.block_on(async {
            let telling = async {
                let mut every = tokio::time::interval(TELL_EVERY);
                every.tick().await;
                loop {
                    every.tick().await;
                    if self.hear() == Heard::Signal {
                        break;
                    }
                    let progress = Progress::of(&watched);
                    if self.way == cli::Way::Foreground {
                        complain(format_args!(
                            "cloudmount: {}; Ctrl-C ends at once, and the next mount goes on",
                            show::progress(&progress)
                        ));
                    }
                    self.tell(&progress);
                }
            };
            tokio::select! {
                closed = files.close() => closed,
                () = telling => watched.close_within(Duration::ZERO).await,
            }
        });
        // Those who came too late for the last look.
        self.hear();
        self.board.clear();
        runtime.block_on(self.desk.close());
        closed
    }

    /// Takes in who else waits, and whether somebody has lost patience.
    fn hear(&mut self) -> Heard {
        let mut heard = Heard::Nothing;
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Umount(caller, _) => self.waiting.push(caller),
                Event::Signal => heard = Heard::Signal,
                Event::Ended(_) => {}
            }
        }
        heard
    }

    /// Tells those who wait how it goes.
    fn tell(&mut self, progress: &Progress) {
        self.tell_all(&Answer::Progress(progress.clone()));
    }

    /// Tells everybody something to know.
    fn note(&mut self, text: &str) {
        complain(format_args!("cloudmount: {text}"));
        self.tell_all(&Answer::Note { text: text.into() });
    }

    /// Who does not listen is not told again.
    fn tell_all(&mut self, answer: &Answer) {
        self.waiting
            .retain(|caller| control::tell(caller, answer).is_ok());
    }

    fn report(self, closed: Closed) -> ExitCode {
        let is_good = closed.is_complete() && self.error.is_none();
        let ended = Ended {
            staging: closed.staging.display().to_string(),
            remaining_count: closed.remaining_count,
            remaining: closed.remaining,
            error: self.error,
        };
        for line in show::ended(&ended) {
            complain(format_args!("cloudmount: {line}"));
        }
        drop(self.socket);
        let answer = Answer::Ended(ended);
        for caller in &self.waiting {
            drop(control::tell(caller, &answer));
        }
        // They wait for the end of this process, too, which closes what they listen at.
        std::mem::forget(self.waiting);
        if is_good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Notes now and then how much went over the wire.
fn look_at_rate(runtime: &Runtime, board: &Arc<Board>) {
    let board = Arc::downgrade(board);
    runtime.spawn(async move {
        let mut every = tokio::time::interval(rate::EVERY);
        let begin = every.tick().await;
        let mut now = begin;
        while let Some(board) = board.upgrade() {
            board.look(now.saturating_duration_since(begin));
            drop(board);
            now = every.tick().await;
        }
    });
}

/// Waits for the end of the mount, whoever ends it.
fn tell_the_end(mounted: Mounted, events: Sender<Event>) -> Result<()> {
    std::thread::Builder::new()
        .name("mount-end".into())
        .spawn(move || {
            let error = mounted.join().err().map(|error| error.to_string());
            drop(events.send(Event::Ended(error)));
        })?;
    Ok(())
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
