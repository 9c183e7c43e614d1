//! `cargo xtask crash`: kills the daemon again and again under load, at random moments and at each failpoint, and
//! holds the tree and the bucket against what every call had promised.
//!
//! Laws: what a run finds depends on its seed and on the moments of the kills; the first round with a violation
//! is the last one, and its bucket, journal and logs are kept.
//!
//! What is not here: jumps of the clock. The daemon reads the machine's, and setting that would disturb whoever
//! else uses it; the tests of the stage have a clock of their own.

mod calls;
mod content;
mod faults;
mod file;
mod judge;
mod load;
mod rounds;
mod tree;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::conformance::On;
use crate::conformance::backend::Backend;
use crate::dice::Dice;
use crate::place;
use crate::say::say;
use crate::time::now;
use file::By;
use rounds::{End, Run};
use tree::Wrong;

/// A clean end, with a bucket that is compared byte for byte, comes after so many kills.
const CLEAN_EVERY: usize = 20;
/// One round in so many is killed while it starts.
const EARLY_PERCENT: u64 = 10;
/// The longest that a mount takes to start on what a kill left here, in milliseconds.
const STARTING_MS: u64 = 120;
/// The longest that a load runs before a kill, in milliseconds: several uploads' length.
const LOAD_MS: u64 = 1200;
/// The longest that a system call may take: the store tries for 60 s, its last request may be silent for 30 s,
/// and the rest is for a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(120);
/// The same for calls that wait for the bucket: they wait for 30 minutes at most.
const REMOTE_DEADLINE: Duration = Duration::from_secs(31 * 60);

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Waits {
    /// The journal
    Local,
    /// The bucket
    Remote,
}

impl Waits {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the bucket is
    #[arg(long, value_enum, default_value = "folder")]
    pub(crate) on: On,
    /// How many kills at random moments
    #[arg(long, default_value = "500")]
    pub(crate) kills: u64,
    /// Chooses what the writers do
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// What close waits for
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) close: Waits,
    /// What fsync waits for
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) fsync: Waits,
    /// How many times it is killed at each failpoint
    #[arg(long, default_value = "1")]
    pub(crate) failpoints: u64,
    /// How many seconds a load may take to reach a failpoint before that is given up
    #[arg(long, default_value = "8")]
    pub(crate) patience: u64,
    /// Put a proxy before the server that makes requests fail
    #[arg(long)]
    pub(crate) faults: bool,
    /// How many write at once
    #[arg(long, default_value = "4")]
    pub(crate) writers: u64,
    /// The largest file, in MiB
    #[arg(long, default_value = "32")]
    pub(crate) largest: u64,
}

/// Runs it.
///
/// # Errors
/// What was promised and is not so; or it cannot be tried.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::has_fuse() {
        say!("SKIPPED: it needs /dev/fuse, and this machine has none");
        return Ok(());
    }
    if arguments.on == On::Memory {
        bail!("a bucket in memory ends with its process: choose another");
    }
    let mut backend = Backend::start(arguments.on)?;
    let proxy = match arguments.faults {
        true => Some(faults::start(&mut backend, arguments.seed)?),
        false => None,
    };
    let mut run = Run::new(&backend, arguments)?;
    let start = now();
    let tally = rounds(&mut run, arguments)?;
    let mut wrong = tally.wrong;
    wrong.extend(arguments.too_slow(&run.times));
    let files: usize = run.writers.iter().map(load::Writer::files).sum();
    say!(
        "crash on {}, close {}, fsync {}, seed {}: {} rounds, {} kills, {files} files, {} violations; {:.0} s",
        backend.name,
        arguments.close.name(),
        arguments.fsync.name(),
        arguments.seed,
        tally.rounds,
        tally.kills,
        wrong.len(),
        start.elapsed().as_secs_f64()
    );
    say!("slowest calls: {}", run.times);
    if !tally.missed.is_empty() {
        say!(
            "failpoints that this load does not pass: {}",
            tally.missed.join(" ")
        );
    }
    if let Some(proxy) = &proxy {
        say!("requests: {}", proxy.counts());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    tell(&wrong, arguments.seed, tally.rounds - 1);
    let dir = backend.dir.path().to_owned();
    backend.dir.disable_cleanup(true);
    bail!(
        "{} promises were broken; bucket, journal and logs are kept in {}",
        wrong.len(),
        dir.display()
    )
}

/// What all rounds said.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    kills: u64,
    /// Failpoints that were never passed.
    missed: Vec<String>,
    wrong: Vec<Wrong>,
}

/// Does the rounds, until one finds something.
fn rounds(run: &mut Run<'_>, arguments: &Arguments) -> Result<Tally> {
    let mut dice = Dice::new(&[arguments.seed, arguments.kills]);
    let mut ends = Vec::new();
    for kill in 0..arguments.kills {
        ends.push(random(kill, &mut dice));
    }
    for pass in 1..=arguments.failpoints {
        let names = run.failpoints.iter();
        ends.extend(names.map(|name| End::Failpoint(name.clone(), pass)));
    }
    let mut tally = Tally::default();
    let mut reached = BTreeSet::new();
    let chunks = ends.chunks(CLEAN_EVERY);
    let all = chunks.flat_map(|chunk| chunk.iter().chain([&End::Clean]));
    for end in all {
        let round = tally.rounds;
        let report = run
            .round(round, end)
            .with_context(|| format!("seed {}, round {round} ({end:?})", arguments.seed))?;
        tally.rounds += 1;
        tally.kills += u64::from(*end != End::Clean);
        if let (true, End::Failpoint(name, _)) = (report.reached, end) {
            reached.insert(name.clone());
        }
        if !report.wrong.is_empty() {
            say!("round {round} ({end:?}): {} violations", report.wrong.len());
            tally.wrong = report.wrong;
            return Ok(tally);
        }
    }
    let missed = run
        .failpoints
        .iter()
        .filter(|name| !reached.contains(*name));
    tally.missed = missed.cloned().collect();
    Ok(tally)
}

/// A kill at a random moment.
fn random(number: u64, dice: &mut Dice) -> End {
    let early = Duration::from_millis(dice.of(0..=STARTING_MS));
    let late = Duration::from_millis(dice.of(10..=LOAD_MS));
    // There is nothing to start on in the first round.
    if number > 0 && dice.percent(EARLY_PERCENT) {
        End::KilledEarly(early)
    } else {
        End::Killed(late)
    }
}

fn tell(wrong: &[Wrong], seed: u64, round: u64) {
    for one in wrong {
        let Wrong {
            path,
            expected,
            found,
        } = one;
        say!("violation (seed {seed}, round {round}): {path}: expected {expected}; found {found}");
    }
}

impl Arguments {
    /// A run of about a minute: some kills, and each failpoint once.
    pub(crate) fn short() -> Self {
        Self {
            on: On::Folder,
            kills: 10,
            seed: 1,
            close: Waits::Local,
            fsync: Waits::Local,
            failpoints: 1,
            patience: 2,
            faults: false,
            writers: 3,
            largest: 10,
        }
    }

    /// Calls that took longer than they may.
    fn too_slow(&self, times: &calls::Times) -> Vec<Wrong> {
        let all = times.slowest().into_iter();
        all.filter(|(call, took)| *took > self.deadline(call))
            .map(|(call, took)| Wrong {
                path: call.to_owned(),
                expected: format!("{} s at most", self.deadline(call).as_secs()),
                found: format!("{:.1} s", took.as_secs_f64()),
            })
            .collect()
    }

    fn flags(&self) -> Vec<String> {
        ["--close", self.close.name(), "--fsync", self.fsync.name()]
            .map(str::to_owned)
            .to_vec()
    }

    fn remote(&self) -> Vec<By> {
        let close = (self.close == Waits::Remote).then_some(By::Close);
        let fsync = (self.fsync == Waits::Remote).then_some(By::Sync);
        close.into_iter().chain(fsync).collect()
    }

    fn deadline(&self, call: &str) -> Duration {
        match call {
            "close" if self.close == Waits::Remote => REMOTE_DEADLINE,
            "fsync" if self.fsync == Waits::Remote => REMOTE_DEADLINE,
            _ => DEADLINE,
        }
    }
}
