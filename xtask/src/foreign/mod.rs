//! `cargo xtask foreign`: a plain S3 client changes a bucket at random while programs work on a real mount of it.
//!
//! Demanded: each change is seen within the time to live; where somebody posts notifications, at once, though what was told
//! is believed for an hour. What was seen once stays until the next change of that name. What is read is of one version.
//! What programs do here holds at once and for ever: nothing comes back, nothing is lost, in the same folders and at the same
//! time. A name keeps its number as long as it exists, and a folder's time moves with its names. In the end the bucket
//! holds what both did, and nothing else.

mod client;
mod names;
mod others;
mod program;
mod watcher;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::filesystem::{Bucket, Filesystem, Program, Wanted};
use crate::place;
use crate::say::say;
use crate::server::{Kind, Server, free_port};
use crate::time::now;
use crate::undo::Undo;
use names::Names;
use others::{Delays, Others};

/// Folders in which all work.
const FOLDERS: [&str; 4] = ["d0", "d1", "d2", "d3"];
/// Programs that change files of their own on the mount.
const PROGRAMS: u64 = 2;
/// Programs that look at what the client changes.
const WATCHERS: u64 = 2;
/// What is wrong is shown up to so many times.
const SHOWN: usize = 10;
/// How long after the time to live a change may be seen: what it takes to look on a machine that has much to do. Other
/// attributes of an object that was just written are certain two seconds later.
const LATE: Duration = Duration::from_secs(6);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the bucket is; may be repeated
    #[arg(long, value_enum, default_values = ["moto"])]
    pub(crate) on: Vec<On>,
    /// Who tells of changes; may be repeated
    #[arg(long, value_enum, default_values = ["nobody", "client"])]
    pub(crate) told_by: Vec<ToldBy>,
    /// How many changes the client makes
    #[arg(long, default_value = "300")]
    pub(crate) changes: u64,
    /// Chooses them; printed with each failure
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}

impl Arguments {
    /// As long as it may take with every change: some 20 seconds.
    pub(crate) fn short() -> Self {
        Self {
            on: vec![On::Moto],
            told_by: vec![ToldBy::Nobody, ToldBy::Client],
            changes: 20,
            seed: 1,
        }
    }
}

/// Where the bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum On {
    /// moto
    Moto,
    /// A cluster of Ceph in a chroot; root only
    Rgw,
}

/// Who tells the mount of changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ToldBy {
    /// Nobody: the time to live is a second
    Nobody,
    /// The client posts what it has done; the time to live is an hour
    Client,
    /// The server posts all that is done, also by the mount: RGW can; the time to live is an hour
    Server,
}

/// Runs it on each bucket.
///
/// # Errors
/// A change was not seen, or something else is wrong, or cannot be started.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::can_mount() {
        return Ok(());
    }
    Program::Cloudmount.install()?;
    for on in &arguments.on {
        for told_by in &arguments.told_by {
            if (*on, *told_by) == (On::Moto, ToldBy::Server) {
                bail!("moto posts nothing: use rgw");
            }
            once(*on, *told_by, arguments)?;
        }
    }
    Ok(())
}

fn once(on: On, told_by: ToldBy, arguments: &Arguments) -> Result<()> {
    let (scratch, _remove) = Undo::scratch()?;
    let mounts = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
    let server = Server::start(match on {
        On::Moto => Kind::Moto,
        On::Rgw => Kind::Rgw,
    })?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let more = match told_by {
        ToldBy::Nobody => vec!["--ttl", "1s"],
        ToldBy::Client | ToldBy::Server => vec!["--ttl", "1h", "--webhook", &address],
    };
    let bucket = Bucket::of(&server, &server.endpoint);
    let wanted = Wanted {
        program: Program::Cloudmount,
        bucket: Some(&bucket),
        folder: mounts.path(),
        scratch: &scratch,
        more: &more,
    };
    let mount = wanted.mount()?;
    let mut client = client::Client::start(&server, &scratch)?;
    match told_by {
        ToldBy::Nobody => {}
        ToldBy::Client => client.post_to(&address)?,
        ToldBy::Server => client.have_posted_to(&address)?,
    }
    let limit = LATE
        + match told_by {
            ToldBy::Nobody => Duration::from_secs(1),
            ToldBy::Client | ToldBy::Server => Duration::ZERO,
        };
    let names = Names::default();
    let mut others = Others::new(client, &names, mount.folder(), limit, arguments.seed);
    let start = now();
    let worked = work(&mut others, &names, mount.folder(), arguments);
    let worked = worked.with_context(|| said(&mount, arguments.seed))?;
    mount.end()?;
    let wrong = [
        worked.wrong,
        in_bucket(&server, &scratch, &names, worked.files)?,
    ]
    .concat();
    let seconds = start.elapsed().as_secs();
    let delays: Delays = others.delays();
    say!(
        "foreign on {}, told by {told_by:?}, {seconds} s, seed {}: {} changes by others, seen after {} ms (half of them), {} ms \
         (the last); {} by programs here, {} looks; wrong {}",
        server.kind.name(),
        arguments.seed,
        delays.count,
        delays.median.as_millis(),
        delays.longest.as_millis(),
        worked.done,
        worked.looks,
        wrong.len(),
    );
    wrong.iter().take(SHOWN).for_each(|what| say!("  {what}"));
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} things were wrong", wrong.len())
}

fn said(mount: &Filesystem, seed: u64) -> String {
    format!("seed {seed}; the mount said: {}", mount.said())
}

/// What all of them did.
struct Worked {
    /// Calls that changed something here.
    done: u64,
    /// Looks at what others changed.
    looks: u64,
    wrong: Vec<String>,
    /// What the programs here left.
    files: BTreeMap<String, Vec<u8>>,
}

fn work(
    others: &mut Others<'_>,
    names: &Names,
    folder: &Path,
    arguments: &Arguments,
) -> Result<Worked> {
    for name in FOLDERS {
        std::fs::create_dir(folder.join(name))?;
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let programs: Vec<_> = (0..PROGRAMS)
            .map(|number| {
                let mut program = program::Program::new(number, folder, arguments.seed);
                scope.spawn(move || {
                    program.work(is_over);
                    program
                })
            })
            .collect();
        let watchers: Vec<_> = (0..WATCHERS)
            .map(|number| {
                let mut watcher = watcher::Watcher::new(number, folder, names, arguments.seed);
                scope.spawn(move || {
                    watcher.work(is_over);
                    watcher
                })
            })
            .collect();
        let changed = others.change(arguments.changes);
        is_over.store(true, Ordering::Relaxed);
        let mut worked = Worked {
            done: 0,
            looks: 0,
            wrong: others.wrong.clone(),
            files: BTreeMap::new(),
        };
        for program in programs {
            let program = program.join().map_err(|_| broke("a program"))?;
            worked.done += program.done;
            worked.wrong.extend(program.wrong.iter().cloned());
            worked.files.extend(program.files());
        }
        for watcher in watchers {
            let watcher = watcher.join().map_err(|_| broke("a watcher"))?;
            worked.looks += watcher.looks;
            worked.wrong.extend(watcher.wrong);
        }
        worked
            .wrong
            .iter()
            .take(SHOWN)
            .for_each(|what| say!("  {what}"));
        changed.map(|()| worked)
    })
}

fn broke(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what} broke")
}

/// What the bucket holds in the end that it must not, and what it lacks.
fn in_bucket(
    server: &Server,
    scratch: &Path,
    names: &Names,
    mut wanted: BTreeMap<String, Vec<u8>>,
) -> Result<Vec<String>> {
    wanted.extend(names.contents());
    let folder = scratch.join("objects");
    std::fs::create_dir(&folder)?;
    let listed = server.client("save", &folder.to_string_lossy()).ok()?;
    let mut wrong = Vec::new();
    for line in listed.lines() {
        let (number, key) = line.split_once(' ').context("no such line")?;
        if key.ends_with('/') {
            continue;
        }
        match wanted.remove(key) {
            None => wrong.push(format!("{key} is in the bucket, and nobody left it there")),
            Some(content) if content != std::fs::read(folder.join(number))? => {
                wrong.push(format!("{key} has another content in the bucket"));
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        wanted
            .keys()
            .map(|key| format!("{key} is not in the bucket")),
    );
    Ok(wrong)
}
