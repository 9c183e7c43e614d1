//! `cargo xtask crash`: kills the daemon again and again under load, at random moments and at each failpoint, and
//! holds the tree and the bucket against what every call had promised.
//!
//! Laws: what a run finds depends on its seed and on the moments of the kills; the first round with a violation
//! is the last one, and its bucket, journal and logs are kept; a failpoint at which no kill came is a violation,
//! too.

mod calls;
mod clock;
mod content;
mod faults;
mod file;
mod judge;
mod load;
mod mode;
mod rounds;
mod scene;
mod tree;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::conformance::On;
use crate::conformance::backend::Backend;
use crate::dice::Dice;
use crate::place;
use crate::say::say;
use crate::time::now;
use mode::{Mode, Waits};
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
/// How often a failpoint is tried until the load passes it.
const FAILPOINT_TRIES: u32 = 3;

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
    /// What close waits for; both in turn, if it is not given
    #[arg(long, value_enum)]
    pub(crate) close: Option<Waits>,
    /// What fsync waits for; both in turn, if it is not given
    #[arg(long, value_enum)]
    pub(crate) fsync: Option<Waits>,
    /// How many times it is killed at each failpoint
    #[arg(long, default_value = "1")]
    pub(crate) failpoints: u64,
    /// Only at these failpoints, by name; at all, unless some are named
    #[arg(long)]
    pub(crate) at: Vec<String>,
    /// How many seconds a load may take to reach a failpoint before that is given up
    #[arg(long, default_value = "8")]
    pub(crate) patience: u64,
    /// Let the daemon's wall clock jump, and, where the bucket has a server, put a proxy before that makes requests
    /// fail
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
        true => faults::start(&mut backend, arguments.seed)?,
        false => None,
    };
    let mut run = Run::new(&backend, arguments)?;
    let start = now();
    run.only_at(&arguments.at, arguments.on)?;
    let tally = rounds(&mut run, arguments)?;
    let mut wrong = tally.wrong;
    wrong.extend(arguments.too_slow(&run.times));
    let files: usize = run.writers.iter().map(load::Writer::files).sum();
    say!(
        "crash on {}{}, close {}, fsync {}, seed {}: {} rounds, {} kills at random, {} at {} of {} failpoints, {files} \
         files, {} violations; {:.0} s",
        backend.name,
        if arguments.faults { " with faults" } else { "" },
        arguments.close.map_or("both", Waits::name),
        arguments.fsync.map_or("both", Waits::name),
        arguments.seed,
        tally.rounds,
        tally.random,
        tally.hits.values().sum::<u64>(),
        tally.hits.values().filter(|hits| **hits > 0).count(),
        tally.hits.len(),
        wrong.len(),
        start.elapsed().as_secs_f64()
    );
    say!("longest calls: {}", run.times);
    let hits = tally
        .hits
        .iter()
        .map(|(name, hits)| format!("{name} {hits}"));
    say!(
        "kills at failpoints: {}",
        hits.collect::<Vec<_>>().join(", ")
    );
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
    /// Kills at random moments.
    random: u64,
    /// Kills at each failpoint.
    hits: BTreeMap<String, u64>,
    wrong: Vec<Wrong>,
}

/// Does the rounds, until one finds something.
fn rounds(run: &mut Run<'_>, arguments: &Arguments) -> Result<Tally> {
    let mut dice = Dice::new(&[arguments.seed, arguments.kills]);
    let mut ends = Vec::new();
    for kill in 0..arguments.kills {
        ends.push(random(kill, &mut dice));
    }
    let mut tally = Tally::default();
    for pass in 1..=arguments.failpoints {
        let names = run.failpoints.iter();
        ends.extend(names.map(|name| End::Failpoint(name.clone(), pass)));
        tally.hits = run
            .failpoints
            .iter()
            .map(|name| (name.clone(), 0))
            .collect();
    }
    let chunks = ends.chunks(CLEAN_EVERY);
    let all = chunks.flat_map(|chunk| chunk.iter().chain([&End::Clean]));
    for end in all {
        for _ in 0..FAILPOINT_TRIES {
            if tally.round(run, arguments.seed, end)? {
                break;
            }
        }
        if !tally.wrong.is_empty() {
            return Ok(tally);
        }
    }
    let missed = tally.hits.iter().filter(|(_, hits)| **hits == 0);
    tally.wrong.extend(missed.map(|(name, _)| Wrong {
        path: name.clone(),
        expected: "to be passed, and to kill the daemon".to_owned(),
        found: format!("nothing, in {FAILPOINT_TRIES} tries"),
    }));
    Ok(tally)
}

impl Tally {
    /// Does one round; says whether it need not be done again, as one that did not come to its failpoint.
    fn round(&mut self, run: &mut Run<'_>, seed: u64, end: &End) -> Result<bool> {
        let round = self.rounds;
        let report = run
            .round(round, end)
            .with_context(|| format!("seed {seed}, round {round} ({end:?})"))?;
        self.rounds += 1;
        match end {
            End::Clean if report.wrong.is_empty() => say!(
                "bucket and tree are as promised after {} kills at random and {} at failpoints",
                self.random,
                self.hits.values().sum::<u64>()
            ),
            End::Clean => {}
            End::Failpoint(name, _) if report.reached => {
                *self.hits.entry(name.clone()).or_default() += 1;
            }
            End::Failpoint(..) | End::Killed(_) | End::KilledEarly(_) => self.random += 1,
        }
        if !report.wrong.is_empty() {
            say!("round {round} ({end:?}): {} violations", report.wrong.len());
        }
        self.wrong = report.wrong;
        Ok(report.reached || !matches!(end, End::Failpoint(..)) || !self.wrong.is_empty())
    }
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
            close: None,
            fsync: None,
            failpoints: 1,
            at: Vec::new(),
            patience: 10,
            faults: false,
            writers: 3,
            largest: 10,
        }
    }

    /// Calls that took longer than they may in any of the modes.
    fn too_slow(&self, times: &calls::Times) -> Vec<Wrong> {
        let modes = Mode::all(self.close, self.fsync);
        let limit = |call| {
            let limits = modes.iter().map(|mode| mode.deadline(call));
            limits.max().unwrap_or_default()
        };
        let all = times.slowest().into_iter();
        all.filter(|(call, took)| *took > limit(call))
            .map(|(call, took)| Wrong {
                path: call.to_owned(),
                expected: format!("{} s at most", limit(call).as_secs()),
                found: format!("{:.1} s", took.as_secs_f64()),
            })
            .collect()
    }

    fn clock(&self) -> clock::Kind {
        match self.faults {
            true => clock::Kind::Jumps,
            false => clock::Kind::Steady,
        }
    }
}
