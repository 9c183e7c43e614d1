//! Rounds: mount on what the last one left, look, work, kill, look again.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Arguments;
use super::calls::{Calls, Times};
use super::file::By;
use super::judge;
use super::load::{News, Trouble, Writer};
use super::tree::{Empty, Wrong};
use crate::conformance::backend::Backend;
use crate::conformance::daemon::{Daemon, Mount, program};
use crate::conformance::{self, On};
use crate::dice::Dice;
use crate::time::pause;

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
    flags: Vec<String>,
    /// Calls that wait for the bucket.
    remote: Vec<By>,
    mount_tries: u32,
    empty: Empty,
    /// How long the load may take to reach a failpoint.
    patience: Duration,
    seed: u64,
    pub(super) writers: Vec<Writer>,
    pub(super) times: Times,
}

impl<'a> Run<'a> {
    /// Builds what is needed.
    ///
    /// # Errors
    /// It cannot be built.
    pub(super) fn new(backend: &'a Backend, arguments: &Arguments) -> Result<Self> {
        let (mut with_failpoints, mut failpoints) = (PathBuf::new(), Vec::new());
        if arguments.failpoints > 0 {
            with_failpoints = conformance::build_with_failpoints()?;
            let names = crate::run::Run::new(&with_failpoints)
                .arg("failpoints")
                .ok()?;
            failpoints = names.lines().map(str::to_owned).collect();
        } else {
            conformance::build()?;
        }
        Ok(Self {
            backend,
            with_failpoints,
            failpoints,
            flags: arguments.flags(),
            remote: arguments.remote(),
            mount_tries: if arguments.faults { MOUNT_TRIES } else { 1 },
            empty: match arguments.on {
                On::Folder => Empty::MayBeLeft,
                _ => Empty::Never,
            },
            patience: Duration::from_secs(arguments.patience),
            seed: arguments.seed,
            writers: (0..arguments.writers)
                .map(|number| Writer::new(number, arguments.largest << 20))
                .collect(),
            times: Times::default(),
        })
    }
}

impl Run<'_> {
    /// Does one round.
    ///
    /// # Errors
    /// Something cannot be done that has nothing to do with a kill.
    pub(super) fn round(&mut self, round: u64, end: &End) -> Result<Report> {
        match end {
            End::KilledEarly(after) => self.killed_early(round, *after),
            End::Failpoint(name, nth) => self.failpoint(round, name, *nth),
            End::Killed(after) => {
                let daemon = self.mount(round, &[])?;
                self.work(round, daemon, Death::Ours, |daemon, news| {
                    pause(*after);
                    news.dead.store(true, Ordering::SeqCst);
                    daemon.kill().map(|()| true)
                })
            }
            End::Clean => self.clean(round),
        }
    }

    fn mount(&self, round: u64, environment: &[(String, String)]) -> Result<Daemon> {
        let flags: Vec<_> = self.flags.iter().map(|flag| &**flag).collect();
        let log = format!("round-{round}");
        let mount = || Daemon::mount(self.backend, &self.how(&log, &flags, environment));
        // The first look at a bucket does not insist, for a person is there to see what is wrong.
        let mut mounted = mount();
        for _ in 1..self.mount_tries {
            mounted = mounted.or_else(|_| mount());
        }
        mounted
    }

    fn how<'a>(
        &'a self,
        log: &'a str,
        flags: &'a [&'a str],
        environment: &'a [(String, String)],
    ) -> Mount<'a> {
        let program = match environment {
            [] => program(),
            _ => self.with_failpoints.clone(),
        };
        Mount {
            program,
            part: PART,
            state: STATE,
            log,
            more: flags,
            environment,
        }
    }

    fn killed_early(&mut self, round: u64, after: Duration) -> Result<Report> {
        let flags: Vec<_> = self.flags.iter().map(|flag| &**flag).collect();
        let log = format!("round-{round}");
        let daemon = Daemon::spawn(self.backend, &self.how(&log, &flags, &[]))?;
        pause(after);
        daemon.kill()?;
        self.look()
    }

    fn failpoint(&mut self, round: u64, name: &str, nth: u64) -> Result<Report> {
        let patience = self.patience;
        let variable = "CLOUDMOUNT_TEST_FAILPOINT".to_owned();
        let environment = [(variable, format!("{name}:{nth}"))];
        let Ok(daemon) = self.mount(round, &environment) else {
            // It passed it before it was mounted; if that was not why, the next round tells.
            let mut report = self.look()?;
            report.reached = true;
            return Ok(report);
        };
        self.work(round, daemon, Death::AtAnyTime, |mut daemon, news| {
            let reached = daemon.ends_within(patience)?;
            news.dead.store(true, Ordering::SeqCst);
            daemon.kill()?;
            Ok(reached)
        })
    }

    /// Looks at what the mount shows after the last round, works, and lets `end` end it.
    fn work(
        &mut self,
        round: u64,
        mut daemon: Daemon,
        death: Death,
        end: impl FnOnce(Daemon, &News) -> Result<bool>,
    ) -> Result<Report> {
        let mut report = Report::default();
        let calls = Calls::new(daemon.folder(), &self.times);
        let looked = calls.map_err(Into::into).and_then(|calls| {
            let wrong = first_look(&mut self.writers, &daemon, &calls, round, self.empty)?;
            Ok((calls, wrong))
        });
        let calls;
        (calls, report.wrong) = match looked {
            Ok(looked) => looked,
            // What was not looked at yet is looked at in the next round.
            Err(_) if death == Death::AtAnyTime && daemon.ends_within(DYING)? => {
                daemon.kill()?;
                let mut report = self.look()?;
                report.reached = true;
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        if !report.wrong.is_empty() {
            daemon.kill()?;
            return Ok(report);
        }
        let news = News::default();
        let (ended, troubles) = load(&mut self.writers, &calls, &news, self.seed, round, || {
            end(daemon, &news)
        })?;
        report.reached = ended;
        report.wrong.extend(troubles.into_iter().map(trouble));
        let looked = self.look()?;
        report.wrong.extend(looked.wrong);
        Ok(report)
    }

    fn clean(&mut self, round: u64) -> Result<Report> {
        let daemon = self.mount(round, &[])?;
        let calls = Calls::new(daemon.folder(), &self.times)?;
        let mut wrong = first_look(&mut self.writers, &daemon, &calls, round, self.empty)?;
        if wrong.is_empty() {
            let news = News::default();
            let ((), troubles) = load(&mut self.writers, &calls, &news, self.seed, round, || {
                pause(Duration::from_millis(500));
                news.stop.store(true, Ordering::SeqCst);
                Ok(())
            })?;
            wrong.extend(troubles.into_iter().map(trouble));
        }
        if wrong.is_empty() {
            // Nothing died: it must be as every call said.
            wrong.extend(judge::settle(&mut self.writers, &calls, self.empty)?);
        }
        drop(calls);
        daemon.end()?;
        if wrong.is_empty() {
            let scratch = tempfile::tempdir()?;
            let objects = self.backend.objects(PART, scratch.path())?;
            wrong.extend(judge::after_end(&self.writers, &objects)?);
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
        let objects = self.backend.objects(PART, scratch.path())?;
        Ok(Report {
            wrong: judge::after_kill(&self.writers, &objects, &self.remote, self.empty)?,
            reached: false,
        })
    }
}

/// What a mount shows after the last round, or, in the first one, the writers' folders made.
fn first_look(
    writers: &mut [Writer],
    daemon: &Daemon,
    calls: &Calls<'_>,
    round: u64,
    empty: Empty,
) -> Result<Vec<Wrong>> {
    if round == 0 {
        for writer in writers.iter() {
            calls.make_folder(writer.folder())?;
        }
        return Ok(Vec::new());
    }
    let aside = judge::to_be_set_aside(writers);
    let mut wrong = judge::set_aside(&daemon.status()?, &aside);
    wrong.extend(judge::settle(writers, calls, empty).context("looking at what the mount shows")?);
    Ok(wrong)
}

/// All writers at work, while `meanwhile` runs; what it gave, and what failed though nothing had died.
fn load<T>(
    writers: &mut [Writer],
    calls: &Calls<'_>,
    news: &News,
    seed: u64,
    round: u64,
    meanwhile: impl FnOnce() -> Result<T>,
) -> Result<(T, Vec<Trouble>)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (writers.iter_mut().enumerate())
            .map(|(number, writer)| {
                let dice = Dice::new(&[seed, round, number as u64]);
                scope.spawn(move || writer.work(calls, dice, news))
            })
            .collect();
        let gave = meanwhile();
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
    })
}

fn trouble(trouble: Trouble) -> Wrong {
    Wrong {
        path: trouble.call,
        expected: "to succeed: nothing had died".to_owned(),
        found: trouble.error.to_string(),
    }
}
