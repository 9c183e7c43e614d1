//! `cargo xtask replaced`: one object is replaced again and again by somebody else, while readers read it
//! through a mount.
//!
//! Demanded: whatever comes through one handle is of one version, at its place, and all of it: who reads to
//! the end gets as many bytes as the version has. The only errors are `ESTALE`, `ENOENT` where the object was
//! removed for a moment, and for pages of a mapping that they cannot be had. And readers see many of the
//! versions: a mount that shows the first for ever, or refuses everything, does not pass.

pub(crate) mod content;
mod mapping;
mod reader;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::dice::Dice;
use crate::filesystem::{Bucket, Program, Wanted};
use crate::place;
use crate::say::say;
use crate::server::{Kind, Server};
use crate::time::{now, pause};
use crate::undo::Undo;
use reader::{Reader, Seen};
use writer::Writer;

/// The object.
const KEY: &str = "object";
/// Longest rest between two replacements, in milliseconds.
const REST_MS_MAX: u64 = 80;
/// Rests are longer once in so many times, so that what was read can grow old.
const LONG_ONE_IN: u64 = 50;
const LONG: Duration = Duration::from_millis(1500);
/// The object is away for a moment once in so many times.
const AWAY_ONE_IN: u64 = 25;
/// One version in so many, at least, is seen by someone.
const SEEN_ONE_IN: u64 = 20;
/// What is wrong is shown up to so many times.
const SHOWN: usize = 10;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the bucket is; may be repeated
    #[arg(long, value_enum, default_values = ["folder", "moto"])]
    pub(crate) on: Vec<On>,
    /// How often the object is replaced
    #[arg(long, default_value = "2000")]
    pub(crate) times: u64,
    /// How many read it
    #[arg(long, default_value = "8")]
    pub(crate) readers: u64,
    /// Chooses rests and places
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
    /// Arguments for the mount, cut at blanks, as "--ttl 0s"
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) mount: String,
}

impl Arguments {
    /// As long as it may take with every change: some 15 seconds.
    pub(crate) fn short() -> Self {
        Self {
            on: vec![On::Folder],
            times: 200,
            readers: 8,
            seed: 1,
            mount: String::new(),
        }
    }
}

/// Where the bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum On {
    /// A folder of this machine
    Folder,
    /// moto
    Moto,
    /// A cluster of Ceph in a chroot; root only
    Rgw,
}

/// Runs it on each bucket.
///
/// # Errors
/// Something was read that must not be, or something cannot be started.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::can_mount() {
        return Ok(());
    }
    Program::Cloudmount.install()?;
    arguments.on.iter().try_for_each(|on| once(*on, arguments))
}

fn once(on: On, arguments: &Arguments) -> Result<()> {
    let (scratch, _remove) = Undo::scratch()?;
    let server = match on {
        On::Folder => None,
        On::Moto => Some(Server::start(Kind::Moto)?),
        On::Rgw => Some(Server::start(Kind::Rgw)?),
    };
    let (bucket, mut writer) = match &server {
        Some(server) => (
            Bucket::of(server, &server.endpoint),
            Writer::of_server(server, KEY, &scratch)?,
        ),
        None => {
            let folder = scratch.join("bucket");
            std::fs::create_dir(&folder)?;
            let writer = Writer::of_folder(&folder, KEY, &scratch);
            (Bucket::folder(&folder), writer)
        }
    };
    writer.put(0)?;
    let mounts = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
    let more: Vec<&str> = arguments.mount.split_whitespace().collect();
    let wanted = Wanted {
        program: Program::Cloudmount,
        bucket: Some(&bucket),
        folder: mounts.path(),
        scratch: &scratch,
        more: &more,
    };
    let mount = wanted.mount()?;
    let start = now();
    let path = mount.folder().join(KEY);
    let seen = replace_and_read(&mut writer, &path, arguments);
    let seen = seen.with_context(|| format!("the mount said: {}", mount.said()))?;
    mount.end()?;
    let name = on.to_possible_value();
    let name = name.as_ref().map_or("?", |name| name.get_name());
    let seconds = start.elapsed().as_secs_f64();
    judge(
        &format!("{name}, {seconds:.0} s, seed {}", arguments.seed),
        arguments,
        &seen,
    )
}

fn replace_and_read(writer: &mut Writer, path: &Path, arguments: &Arguments) -> Result<Vec<Seen>> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..arguments.readers)
            .map(|number| {
                let mut reader = Reader::new(number, path, arguments.seed);
                let is_over = &is_over;
                scope.spawn(move || {
                    reader.work(is_over);
                    reader.seen
                })
            })
            .collect();
        let replaced = replace(writer, arguments);
        is_over.store(true, Ordering::Relaxed);
        let seen = readers.into_iter().map(|reader| {
            let ended = reader.join();
            ended.map_err(|_| anyhow::anyhow!("a reader broke"))
        });
        let seen: Vec<_> = seen.collect::<Result<_>>()?;
        replaced.map(|()| seen)
    })
}

fn replace(writer: &mut Writer, arguments: &Arguments) -> Result<()> {
    let mut dice = Dice::new(&[arguments.seed, u64::MAX]);
    for number in 1..=arguments.times {
        if number.is_multiple_of(AWAY_ONE_IN) {
            writer.remove()?;
            pause(Duration::from_millis(dice.of(0..=REST_MS_MAX)));
        }
        writer.put(number)?;
        pause(if number.is_multiple_of(LONG_ONE_IN) {
            LONG
        } else {
            Duration::from_millis(dice.of(0..=REST_MS_MAX))
        });
    }
    Ok(())
}

fn judge(what: &str, arguments: &Arguments, seen: &[Seen]) -> Result<()> {
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    let most = seen
        .iter()
        .map(|one| one.versions)
        .max()
        .unwrap_or_default();
    let mut refused = std::collections::BTreeMap::<&str, u64>::new();
    for (error, count) in seen.iter().flat_map(|one| &one.refused) {
        *refused.entry(error).or_default() += count;
    }
    let wrong: Vec<_> = seen.iter().flat_map(|one| &one.wrong).collect();
    say!(
        "replaced on {what}: {} times, {} readers, {} handles, {} reads, up to {most} versions seen by one; \
         refused {refused:?}; wrong {}",
        arguments.times,
        arguments.readers,
        sum(|one| one.handles),
        sum(|one| one.reads),
        wrong.len(),
    );
    wrong.iter().take(SHOWN).for_each(|what| say!("  {what}"));
    if !wrong.is_empty() {
        bail!("{} reads were of no one version", wrong.len());
    }
    if most < arguments.times / SEEN_ONE_IN {
        bail!(
            "no reader saw more than {most} of {} versions",
            arguments.times
        );
    }
    Ok(())
}
