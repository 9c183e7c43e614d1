//! `cargo xtask contention`: two mounts on one bucket write the same files, and nothing that was acknowledged
//! may be lost.
//!
//! Two mounts, each with a state folder of its own, show the same folder of one bucket. On each, one process
//! creates, rewrites, appends to, truncates, saves (a rename of a file made beside), moves, replaces and
//! removes the same names, chosen by a seed: a few of them more often, and more in parts, in the hot [`load`]. What a file holds says who wrote it, which version it is,
//! and which version its writer had read ([`version`]). In the end both mounts are unmounted, which uploads
//! all that waits, and a plain client reads the bucket.
//!
//! A version is *acknowledged* when every call that made it returned well, `close` and `rename` too. Each such
//! version must be
//!
//! - *present*: a record of an object in the bucket, be it under a name, or in a conflict copy; or
//! - *replaced by who had read it*: some event wrote over it, renamed over it, or removed it, and had read
//!   exactly this version there. A rewrite and an append read and write through one handle, so nothing can
//!   come between. A truncation, a save, a replacement and a removal name the file again after it was read; a
//!   handle that stays open tells whether it was still the same one, for then its file has no name left. Where
//!   it has one, and at truncations, a version is excused, too, that the other mount wrote or moved there in the last
//!   seconds before.
//!
//! A writer who ended in a conflict copy replaced nothing under the name, and excuses nothing of the other
//! mount. Besides: what is read is never torn or mixed; no version is there twice, under its name and in a
//! conflict copy of it; no version is there that nobody wrote; what was removed by who had read it, and was
//! never moved, is not under its name.
//!
//! On a server that ignores conditions, or that checks removals and removes in two steps, versions can be lost in
//! between. Such a loss is counted, and excused only by the status of the mount that may have caused it: it must
//! name that window, and that mount must have written under the version's name, or taken it away, at about that
//! time. Where a server ignores all conditions, both mounts must name the window for writes, also if nothing was lost.

mod bucket;
mod history;
mod load;
mod verdict;
mod version;
mod worker;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::filesystem::{Filesystem, Program, Wanted};
use crate::place;
use crate::say::say;
use crate::time::now;
use bucket::Shared;
use history::{Event, Kind};
use load::Load;
use verdict::{Found, Verdict, Windows, judge, without_excuse};
use worker::Worker;

/// How long an end may take: what cannot be uploaded at all is to be seen.
const DRAIN: &str = "60s";
/// Events so many seconds before and after a lost version are shown with it, if they are of its name.
const NEAR: f64 = 2.0;
/// How many violations, and events of each, are shown.
const SHOWN: usize = 10;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the bucket is; may be repeated
    #[arg(long, value_enum, default_values = ["moto", "folder"])]
    pub(crate) on: Vec<On>,
    /// How long they write, in seconds
    #[arg(long, default_value = "600")]
    pub(crate) seconds: u64,
    /// Chooses what is done; printed with each failure
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// What they do; may be repeated
    #[arg(long, value_enum, default_values = ["wide", "hot"])]
    pub(crate) load: Vec<Load>,
    /// Arguments for both mounts, cut at blanks, as "--ttl 0s"
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) mount: String,
}

impl Arguments {
    /// Runs of a quarter of a minute, on a folder.
    pub(crate) fn short() -> Self {
        Self {
            on: vec![On::Folder],
            seconds: 15,
            seed: 1,
            load: vec![Load::Wide, Load::Hot],
            mount: String::new(),
        }
    }
}

/// Where the bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum On {
    /// A folder of this machine
    Folder,
    /// moto: honours some conditions, ignores others
    Moto,
    /// rclone's S3 server: ignores all conditions
    Rclone,
    /// A cluster of Ceph in a chroot: honours conditions; root only
    Rgw,
}

/// Runs it on each bucket.
///
/// # Errors
/// A version was lost, or something cannot be started.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::can_mount() {
        return Ok(());
    }
    Program::Cloudmount.install()?;
    let mut failed = Vec::new();
    for (on, load) in runs(arguments) {
        let name = format!("{} {}", word(on), word(load));
        say!(
            "# on {name}, {} s, seed {}",
            arguments.seconds,
            arguments.seed
        );
        if let Err(error) = once(on, load, arguments) {
            say!("{error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "contention: failed on {} with seed {}",
        failed.join(", "),
        arguments.seed
    )
}

/// Each load on each bucket.
fn runs(arguments: &Arguments) -> impl Iterator<Item = (On, Load)> {
    let loads = |on| arguments.load.iter().map(move |load| (on, *load));
    arguments.on.iter().copied().flat_map(loads)
}

/// The word for a value in the command.
fn word<T: ValueEnum>(value: T) -> String {
    let possible = value.to_possible_value();
    possible.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn once(on: On, load: Load, arguments: &Arguments) -> Result<()> {
    let shared = Shared::start(on, format!("{}-{}", word(load), arguments.seed))?;
    let mounts = [1, 2].map(|number| mount(&shared, number, &arguments.mount));
    let [first, second] = mounts;
    let mounts = [first?, second?];
    let start = now();
    let end = start + Duration::from_secs(arguments.seconds);
    let workers = std::thread::scope(|scope| {
        let running: Vec<_> = (1..)
            .zip(&mounts)
            .map(|(number, mount)| {
                let chosen = (load, arguments.seed);
                let mut worker = Worker::new(number, mount.folder(), start, chosen);
                scope.spawn(move || {
                    worker.work(end);
                    worker
                })
            })
            .collect();
        let ended = running.into_iter().map(|running| {
            running
                .join()
                .map_err(|_| anyhow::anyhow!("a worker broke"))
        });
        ended.collect::<Result<Vec<_>>>()
    })?;
    let statuses = mounts.iter().map(Filesystem::status);
    let windows = statuses.map(|status| Ok(windows(&status?)));
    let windows: Vec<Windows> = windows.collect::<Result<_>>()?;
    // Where not all could be uploaded it is said, and what is there is looked at all the same.
    let stuck: Vec<String> = mounts
        .into_iter()
        .filter_map(|mount| mount.end().err())
        .map(|error| format!("{error:#}"))
        .collect();
    shared.keep_logs()?;
    let (found, strange) = shared.read()?;
    let events: Vec<Event> = workers
        .iter()
        .flat_map(|worker| worker.events.clone())
        .collect();
    let verdict = judge(&events, &found);
    let torn: Vec<String> = workers
        .iter()
        .flat_map(|worker| worker.torn.clone())
        .chain(strange)
        .collect();
    keep(&shared, &events, &found)?;
    keep_torn(&shared, &workers)?;
    tell(&workers, &verdict, &windows);
    let judged = decide(on, &events, &verdict, &torn, &windows);
    match stuck.first() {
        None => judged,
        Some(first) => {
            judged.err().iter().for_each(|error| say!("{error:#}"));
            bail!("not all was uploaded: {first}")
        }
    }
}

fn mount(shared: &Shared, number: u8, more: &str) -> Result<Filesystem> {
    let (folder, scratch) = shared.places(number)?;
    let mut words: Vec<&str> = more.split_whitespace().collect();
    words.extend(shared.flags());
    words.extend(["--drain", DRAIN]);
    let wanted = Wanted {
        program: Program::Cloudmount,
        bucket: Some(&shared.bucket),
        folder: &folder,
        scratch: &scratch,
        more: &words,
    };
    wanted.mount()
}

fn windows(status: &Value) -> Windows {
    let named = status.pointer("/uploads/windows").and_then(Value::as_array);
    let is_named = |name: &str| named.is_some_and(|all| all.iter().any(|one| one == name));
    Windows {
        writes: is_named("writes"),
        removals: is_named("removals"),
    }
}

/// Keeps what was done and what was found, to look at after a failure.
fn keep(shared: &Shared, events: &[Event], found: &[Found]) -> Result<()> {
    let mut events = events.to_vec();
    events.sort_by(|a, b| a.ended.total_cmp(&b.ended));
    let mut lines = events
        .iter()
        .map(serde_json::to_string)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    for one in found {
        let versions: Vec<_> = one.versions.iter().map(ToString::to_string).collect();
        lines.push(format!("found {:?}: {}", one.key, versions.join(" ")));
    }
    let file = shared.report()?;
    std::fs::write(&file, lines.join("\n"))?;
    say!("what was done and found: {}", file.display());
    Ok(())
}

/// Keeps what each worker read first that was no row of whole records.
fn keep_torn(shared: &Shared, workers: &[Worker]) -> Result<()> {
    for worker in workers {
        if let (Some(bytes), Some(what)) = (&worker.torn_bytes, worker.torn.first()) {
            let mut file = shared.report()?;
            file.set_extension(format!("torn{}", worker.mount));
            std::fs::write(&file, bytes)?;
            say!("{what}; its bytes: {}", file.display());
        }
    }
    Ok(())
}

fn tell(workers: &[Worker], verdict: &Verdict, windows: &[Windows]) {
    for worker in workers {
        let refused: Vec<_> = (worker.refused.iter())
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        let removing = |event: &&Event| event.replaced().is_some();
        let unclear = (worker.events.iter())
            .filter(removing)
            .filter(|event| event.kind != Kind::Truncate && !event.is_exact);
        say!(
            "mount {}: {} things done, {} of them not exact; refused: {}",
            worker.mount,
            worker.events.len(),
            unclear.count(),
            refused.join(", ")
        );
    }
    say!(
        "{} versions acknowledged, {} present, the rest replaced by who had read them but for {}; {} conflict \
         copies; windows: {windows:?}",
        verdict.acknowledged,
        verdict.present,
        verdict.violations.len(),
        verdict.conflicts,
    );
}

fn decide(
    on: On,
    events: &[Event],
    verdict: &Verdict,
    torn: &[String],
    windows: &[Windows],
) -> Result<()> {
    if verdict.acknowledged < 20 {
        bail!("only {} versions: nothing was tried", verdict.acknowledged);
    }
    for violation in verdict.violations.iter().take(SHOWN) {
        say!("{violation}");
        for event in about(events, violation) {
            say!("    {event}");
        }
    }
    if let Some(first) = torn.first() {
        bail!("{} files are no row of whole records: {first}", torn.len());
    }
    if on == On::Rclone && !windows.iter().all(|window| window.writes) {
        bail!("this server ignores conditions, and the status does not say that a window is open");
    }
    let left = without_excuse(&verdict.violations, events, windows);
    match left.first() {
        None => Ok(()),
        Some(first) => bail!(
            "{} of {} violations are excused by no window: {first}",
            left.len(),
            verdict.violations.len()
        ),
    }
}

/// The events that touch the version of a violation, or its name around that time.
fn about<'a>(events: &'a [Event], violation: &verdict::Violation) -> Vec<&'a Event> {
    let id = violation.id();
    let made = events.iter().find(|event| event.makes == Some(id));
    let near = |event: &&Event| {
        let is_same = [event.makes, event.read, event.read_to].contains(&Some(id));
        let is_near = made.is_some_and(|made| {
            let is_name = event.name == made.name || event.to.as_ref() == Some(&made.name);
            is_name && (event.ended - made.ended).abs() < NEAR
        });
        is_same || is_near
    };
    let mut about: Vec<_> = events.iter().filter(near).collect();
    about.sort_by(|a, b| a.ended.total_cmp(&b.ended));
    about
}

/// The versions in a file of the bucket.
///
/// # Errors
/// It is no row of whole records.
fn versions(file: &Path) -> Result<Vec<version::Id>> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let records = version::parse(&bytes)?;
    Ok(records.into_iter().map(|record| record.id).collect())
}
