//! Rounds: mount on what the last one left, look, work, kill, look again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Arguments;
use super::calls::{Calls, Times};
use super::clock::Clock;
use super::judge;
use super::load::{News, Trouble, Writer};
use super::mode::Mode;
use super::scene::Scenes;
use super::tree::Wrong;
use crate::conformance::backend::Backend;
use crate::conformance::daemon::{Daemon, Mount, program};
use crate::conformance::{self, On};
use crate::dice::Dice;
use crate::time::{now, pause};

/// Failpoints of files that outgrow what may be staged, and the limit with which they are passed: the smallest
/// that the program takes.
const OUTGROWN: &str = "away-";
const STAGING_LIMIT: &str = "64MiB";
/// The failpoints that are come to when somebody else was faster.
const CONFLICT: &str = "conflict-";
/// Failpoints of uploads that are given up, and how often one is.
const GIVEN_UP: &str = "abort-";
const GIVE_UP_EVERY: Duration = Duration::from_millis(300);
/// The part of the bucket.
const PART: &str = "crash";
/// The folder of the journal.
const STATE: &str = "crash";
/// Requests that a server was working at when the client died are over by then.
const QUIET: Duration = Duration::from_millis(400);
/// How often it is mounted where requests fail: all of these meet a fault once in a million times.
const MOUNT_TRIES: u32 = 5;
/// How long after a call failed its death may be heard of.
const DYING: Duration = Duration::from_secs(3);
/// The program with failpoints compacts its journal from so many bytes on: a load of a second writes more.
const JOURNAL_BYTES: u64 = 32 << 10;

/// How the daemon ends in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Killed after so long under load.
    Killed(Duration),
    /// Killed so soon that it may not even be mounted.
    KilledEarly(Duration),
    /// It kills itself when it passes this failpoint for the n-th time.
    Failpoint(String, u64),
    /// In good order.
    Clean,
}

/// When a daemon may die in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// When it is killed.
    Ours,
    /// It kills itself.
    AtAnyTime,
}

/// What a round said.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) wrong: Vec<Wrong>,
    /// Whether the failpoint was passed.
    pub(super) reached: bool,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) backend: &'a Backend,
    /// The program with failpoints, where it is used.
    with_failpoints: PathBuf,
    pub(super) failpoints: Vec<String>,
    /// What mounts wait for, in turn.
    modes: Vec<Mode>,
    mount_tries: u32,
    /// Whether answers get lost.
    has_faults: bool,
    clock: Clock,
    /// How long the load may take to reach a failpoint.
    patience: Duration,
    seed: u64,
    pub(super) writers: Vec<Writer>,
    scenes: Scenes,
    pub(super) times: Arc<Times>,
}

impl<'a> Run<'a> {
    /// Builds what is needed.
    ///
    /// # Errors
    /// It cannot be built.
    pub(super) fn new(backend: &'a Backend, arguments: &Arguments) -> Result<Self> {
        let with_failpoints = conformance::build_with_failpoints()?;
        let names = crate::run::Run::new(&with_failpoints).arg("failpoints");
        let failpoints = names.ok()?.lines().map(str::to_owned).collect();
        Ok(Self {
            backend,
            with_failpoints,
            failpoints,
            modes: Mode::all(arguments.close, arguments.fsync),
            mount_tries: if arguments.faults { MOUNT_TRIES } else { 1 },
            has_faults: arguments.faults,
            clock: Clock::new(backend.dir.path(), arguments.clock()),
            patience: Duration::from_secs(arguments.patience),
            seed: arguments.seed,
            writers: (0..arguments.writers)
                .map(|number| Writer::new(number, arguments.largest << 20))
                .collect(),
            scenes: Scenes::new(),
            times: Arc::default(),
        })
    }
}

impl Run<'_> {
    /// Leaves all failpoints out but those that are named, if any is, and those that only somebody else brings about, where nobody
    /// else can write.
    ///
    /// # Errors
    /// One that is named is not there.
    pub(super) fn only_at(&mut self, names: &[String], on: On) -> Result<()> {
        if on == On::Given {
            self.failpoints.retain(|name| !name.starts_with(CONFLICT));
        }
        if let Some(unknown) = names.iter().find(|name| !self.failpoints.contains(name)) {
            bail!("there is no failpoint {unknown}");
        }
        if !names.is_empty() {
            self.failpoints.retain(|name| names.contains(name));
        }
        Ok(())
    }

    /// Does one round.
    ///
    /// # Errors
    /// Something cannot be done that has nothing to do with a kill.
    pub(super) fn round(&mut self, round: u64, end: &End) -> Result<Report> {
        match end {
            End::KilledEarly(after) => self.killed_early(round, *after),
            End::Failpoint(name, nth) => self.failpoint(round, name, *nth),
            End::Killed(after) => {
                let daemon = self.mount(round)?;
                self.work(round, daemon, Death::Ours, |run, daemon, _, news| {
                    pause(*after / 2);
                    run.clock.jump(run.seed, round)?;
                    pause(*after / 2);
                    news.dead.store(true, Ordering::SeqCst);
                    daemon.kill().map(|()| true)
                })
            }
            End::Clean => self.clean(round),
        }
    }

    /// What calls wait for in a round.
    fn mode(&self, round: u64) -> Mode {
        let at = usize::try_from(round).unwrap_or_default();
        self.modes[at % self.modes.len()]
    }

    /// Starts the daemon of a round, and does not wait for it. Every other one is the program with failpoints, whose
    /// journal is compacted early, and whose clock may jump.
    fn spawn(&self, round: u64, armed: Option<&str>) -> Result<Daemon> {
        let log = format!("round-{round}");
        let environment: Vec<_> = [
            ("CLOUDMOUNT_TEST_CLOCK", Some(self.clock.place())),
            (
                "CLOUDMOUNT_TEST_JOURNAL_BYTES",
                Some(JOURNAL_BYTES.to_string()),
            ),
            ("CLOUDMOUNT_TEST_FAILPOINT", armed.map(str::to_owned)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
        let mut flags = self.mode(round).flags().to_vec();
        if armed.is_some_and(|armed| armed.starts_with(OUTGROWN)) {
            flags.extend(["--staging-limit", STAGING_LIMIT]);
        }
        let program = match (round % 2, armed) {
            (0, None) => program(),
            _ => self.with_failpoints.clone(),
        };
        Daemon::spawn(
            self.backend,
            &Mount {
                program,
                part: PART,
                state: STATE,
                log: &log,
                more: &flags,
                environment: &environment,
            },
        )
    }

    fn mount(&self, round: u64) -> Result<Daemon> {
        let mounted = self.start(round, None)?;
        mounted.context("it was killed before it was mounted, and not by this")
    }

    /// Mounts; `None`: it killed itself before that.
    fn start(&self, round: u64, armed: Option<&str>) -> Result<Option<Daemon>> {
        let mut said = String::new();
        // The first look at a bucket does not insist, for a person is there to see what is wrong.
        for _ in 0..self.mount_tries {
            let mut daemon = self.spawn(round, armed)?;
            if daemon.is_mounted()? {
                return Ok(Some(daemon));
            }
            match daemon.is_killed_within(DYING) {
                Ok(true) => return daemon.kill().map(|()| None),
                Ok(false) => said = daemon.said(),
                Err(error) => said = error.to_string(),
            }
        }
        bail!("it does not mount:\n{said}")
    }

    fn killed_early(&mut self, round: u64, after: Duration) -> Result<Report> {
        let daemon = self.spawn(round, None)?;
        pause(after);
        daemon.kill()?;
        self.look()
    }

    /// A round with a failpoint; what the load does not come to by itself is brought about.
    fn failpoint(&mut self, round: u64, name: &str, nth: u64) -> Result<Report> {
        if name.starts_with("aside-") {
            let report = self.leave_open(round)?;
            if !report.wrong.is_empty() {
                return Ok(report);
            }
        }
        let patience = self.patience;
        // Before any file is open: see `Rival`.
        let mut rival = match name.starts_with(CONFLICT) {
            true => self.backend.rival()?,
            false => None,
        };
        let armed = format!("{name}:{nth}");
        let Some(daemon) = self.start(round, Some(&armed))? else {
            let mut report = self.look()?;
            report.reached = true;
            return Ok(report);
        };
        self.work(
            round,
            daemon,
            Death::AtAnyTime,
            |run, mut daemon, calls, news| {
                run.clock.jump(run.seed, round)?;
                let mut scene = Ok(());
                if name.starts_with(CONFLICT) {
                    let others = (run.backend, rival.as_mut());
                    scene = run.scenes.conflict(others, PART, &daemon, calls);
                }
                let mut held = None;
                if name.starts_with(OUTGROWN) {
                    held = Some(run.scenes.outgrow(calls)?);
                }
                let (began, mut reached) = (now(), false);
                while name.starts_with(GIVEN_UP) && !reached && began.elapsed() < patience {
                    run.scenes.give_up(calls);
                    reached = daemon.is_killed_within(GIVE_UP_EVERY)?;
                }
                let reached = reached || daemon.is_killed_within(patience)?;
                news.dead.store(true, Ordering::SeqCst);
                daemon.kill()?;
                drop(held);
                scene.map(|()| reached)
            },
        )
    }

    /// The daemon is killed while somebody writes a file that was never closed.
    fn leave_open(&mut self, round: u64) -> Result<Report> {
        let daemon = self.mount(round)?;
        self.work(round, daemon, Death::Ours, |run, daemon, calls, news| {
            let file = run.scenes.leave_open(calls)?;
            news.dead.store(true, Ordering::SeqCst);
            daemon.kill()?;
            drop(file);
            Ok(true)
        })
    }

    /// Looks at what the mount shows after the last round, works, and lets `end` end it.
    fn work(
        &mut self,
        round: u64,
        mut daemon: Daemon,
        death: Death,
        end: impl FnOnce(&mut Self, Daemon, &Calls<'_>, &News) -> Result<bool>,
    ) -> Result<Report> {
        let times = Arc::clone(&self.times);
        let looked = Calls::new(daemon.folder(), &times)
            .map_err(Into::into)
            .and_then(|calls| Ok((self.first_look(&daemon, &calls, round)?, calls)));
        let (wrong, calls) = match looked {
            Ok(looked) => looked,
            // What was not looked at yet is looked at in the next round.
            Err(_) if death == Death::AtAnyTime && daemon.is_killed_within(DYING)? => {
                daemon.kill()?;
                let mut report = self.look()?;
                report.reached = true;
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        let mut report = Report {
            wrong,
            reached: false,
        };
        if !report.wrong.is_empty() {
            daemon.kill()?;
            return Ok(report);
        }
        let (ended, troubles) =
            self.load(&calls, round, |run, news| end(run, daemon, &calls, news))?;
        report.reached = ended;
        report.wrong.extend(troubles.into_iter().map(trouble));
        let looked = self.look()?;
        report.wrong.extend(looked.wrong);
        Ok(report)
    }

    /// All writers at work, while `meanwhile` runs; what it gave, and what failed though nothing had died.
    fn load<T>(
        &mut self,
        calls: &Calls<'_>,
        round: u64,
        meanwhile: impl FnOnce(&mut Self, &News) -> Result<T>,
    ) -> Result<(T, Vec<Trouble>)> {
        let (seed, mode) = (self.seed, self.mode(round));
        let news = News::default();
        let mut writers = std::mem::take(&mut self.writers);
        let done = std::thread::scope(|scope| {
            let threads: Vec<_> = (writers.iter_mut().enumerate())
                .map(|(number, writer)| {
                    let dice = Dice::new(&[seed, round, number as u64]);
                    let news = &news;
                    scope.spawn(move || writer.work(calls, mode, dice, news))
                })
                .collect();
            let gave = meanwhile(self, &news);
            if gave.is_err() {
                news.dead.store(true, Ordering::SeqCst);
                news.stop.store(true, Ordering::SeqCst);
            }
            let mut troubles = Vec::new();
            for thread in threads {
                match thread.join() {
                    Ok(worked) => troubles.extend(worked.err()),
                    Err(_) => bail!("a writer panicked"),
                }
            }
            Ok((gave?, troubles))
        });
        self.writers = writers;
        done
    }

    /// Uploads in parts that are left for good before a round: none, but where they cannot be told from others'.
    fn excused_uploads(&self) -> Result<Vec<String>> {
        match self.backend.dates_uploads() {
            true => Ok(Vec::new()),
            false => self.backend.uploads(PART),
        }
    }

    fn clean(&mut self, round: u64) -> Result<Report> {
        let excused = self.excused_uploads()?;
        let daemon = self.mount(round)?;
        let times = Arc::clone(&self.times);
        let calls = Calls::new(daemon.folder(), &times)?;
        let mut wrong = self.first_look(&daemon, &calls, round)?;
        if wrong.is_empty() {
            let ((), troubles) = self.load(&calls, round, |run, news| {
                run.clock.jump(run.seed, round)?;
                pause(Duration::from_millis(500));
                news.stop.store(true, Ordering::SeqCst);
                Ok(())
            })?;
            wrong.extend(troubles.into_iter().map(trouble));
        }
        if wrong.is_empty() {
            // Nothing died: it must be as every call said.
            wrong.extend(judge::settle(&mut self.writers, &calls)?);
        }
        drop(calls);
        daemon.end()?;
        if wrong.is_empty() {
            let scratch = tempfile::tempdir()?;
            let mut objects = self.backend.objects(PART, scratch.path())?;
            let scenes = Scenes::take(&mut objects);
            wrong.extend(self.scenes.after_end(&scenes)?);
            wrong.extend(judge::after_end(&self.writers, &objects)?);
            // An answer that got lost names none either.
            if self.backend.dates_uploads() || !self.has_faults {
                let mut left = self.backend.uploads(PART)?;
                left.retain(|upload| !excused.contains(upload));
                wrong.extend(judge::uploads(left));
            }
            for writer in &mut self.writers {
                writer.tree.forget_former();
            }
        }
        Ok(Report {
            wrong,
            reached: false,
        })
    }

    /// Keeps the journal as a kill left it, for who has to find out why something is gone: the next start writes
    /// another.
    fn keep_journal(&self) -> Result<()> {
        let dir = self.backend.dir.path();
        for bucket in std::fs::read_dir(dir.join(STATE).join("staging"))? {
            let journal = bucket?.path().join("journal.log");
            if journal.is_file() {
                std::fs::copy(journal, dir.join("journal-of-the-last-kill"))?;
            }
        }
        Ok(())
    }

    /// Looks at the bucket after a kill.
    fn look(&self) -> Result<Report> {
        self.keep_journal()?;
        if self.backend.endpoint().is_some() {
            pause(QUIET);
        }
        let scratch = tempfile::tempdir()?;
        let mut objects = self.backend.objects(PART, scratch.path())?;
        let scenes = Scenes::take(&mut objects);
        let mut wrong = self.scenes.after_kill(&scenes)?;
        wrong.extend(judge::after_kill(&self.writers, &objects)?);
        Ok(Report {
            wrong,
            reached: false,
        })
    }

    /// What a mount shows after the last round, or, in the first one, the writers' folders made.
    fn first_look(&mut self, daemon: &Daemon, calls: &Calls<'_>, round: u64) -> Result<Vec<Wrong>> {
        if round == 0 {
            for writer in &self.writers {
                calls.make_folder(writer.folder())?;
            }
            return Ok(Vec::new());
        }
        let mut aside = judge::to_be_set_aside(&self.writers);
        let mut wrong = judge::set_aside(&daemon.status()?, &aside);
        aside = self.scenes.take_left_open();
        if !aside.is_empty() {
            wrong.extend(judge::set_aside(&daemon.status()?, &aside));
        }
        let settled = judge::settle(&mut self.writers, calls);
        wrong.extend(settled.context("looking at what the mount shows")?);
        Ok(wrong)
    }
}

fn trouble(trouble: Trouble) -> Wrong {
    Wrong {
        path: trouble.call,
        expected: "to succeed: nothing had died".to_owned(),
        found: trouble.error.to_string(),
    }
}
