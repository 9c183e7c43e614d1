//! `cargo xtask measure list`: folders of many objects, listed cold, near and far, and walked.
//!
//! Laws: each mount is a new one with nothing on its disk; what is shown is compared with what was put, name by name
//! and size by size, to the last entry; what was put stays for all rounds.

mod invented;
mod memory;
mod shown;
mod tree;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::How;
use super::bed::{self, Bed, number};
use super::report::{Beside, Figure, Report, Target};
use super::watched::{Seconds, watched};
use crate::filesystem::{Filesystem, Program};
use crate::proxy::{Link, Plan, Proxy};

/// Puts at once when a folder is filled.
const IN_FLIGHT: &str = "32";
/// Entries of a page: what S3 gives at most ("ListObjectsV2", `MaxKeys`).
const PAGE: usize = 1000;
/// Of the link of the far row, between a request and its answer.
const ROUND_TRIP: std::time::Duration = std::time::Duration::from_millis(20);
/// What makes ours ask for no single object.
const LISTING_ONLY: [&str; 2] = ["--attributes", "listing"];

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) how: How,
    /// Only these rows; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Row>,
    /// Objects of the near row
    #[arg(long, default_value = "10000")]
    near: usize,
    /// Objects of the far row, and of the tree
    #[arg(long, default_value = "300000")]
    entries: usize,
    /// Folders of the tree
    #[arg(long, default_value = "3000")]
    folders: usize,
    /// Bytes that each object has at least; of those with more than 4,095 nobody asks whether they are symlinks
    #[arg(long, default_value = "0")]
    bytes: usize,
    /// How many seconds a walk over the tree may take
    #[arg(long, default_value = "600")]
    within: u64,
    /// Entries of the row of memory
    #[arg(long, default_value = "1000000")]
    many: usize,
}

/// A row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Row {
    /// `ls -l` of 10,000 objects
    Near,
    /// `ls -l` of 300,000 objects behind 20 ms
    Far,
    /// `find` over 300,000 objects in 3,000 folders
    Tree,
    /// A million entries: how much memory they take
    Memory,
}

/// What the rows share.
struct Shared<'a> {
    bed: &'a Bed,
    list: &'a List,
}

/// A folder of objects that were put by the plain client.
struct Filled {
    name: &'static str,
    count: usize,
    /// That each has at least.
    bytes: usize,
}

impl Shared<'_> {
    fn rounds(&self) -> usize {
        self.list.how.rounds()
    }

    /// Fills a folder; with 0 `folders` it has none.
    fn fill(
        &self,
        report: &mut Report,
        name: &'static str,
        (count, folders): (usize, usize),
    ) -> Result<Filled> {
        let words = [
            "fill",
            name,
            &count.to_string(),
            &folders.to_string(),
            &self.list.bytes.to_string(),
            IN_FLIGHT,
        ];
        let seconds = self.bed.plain_seconds(&words)?;
        report.note(format!("{count} objects put into {name} in {seconds:.0} s"));
        let bytes = self.list.bytes;
        Ok(Filled { name, count, bytes })
    }

    /// Asks for the folder's pages one after the other, by way of `endpoint`; gives the seconds.
    fn pages(&self, filled: &Filled, endpoint: &str) -> Result<f64> {
        let prefix = format!("{}/", filled.name);
        let said = self.bed.plain_at(endpoint, &["pages", &prefix])?;
        let count = said.get("count").and_then(Value::as_u64);
        if count != Some(filled.count as u64) {
            bail!("the pages in sequence: {said}, not {}", filled.count);
        }
        number(&said, "seconds")
    }

    fn clear(&self, filled: &Filled) -> Result<()> {
        self.bed.clear(&format!("{}/", filled.name))
    }
}

/// Measures the rows that are wanted.
pub(super) fn rows(list: &List, bed: &Bed, report: &mut Report) -> Result<()> {
    let shared = Shared { bed, list };
    let wanted = |row| list.only.is_empty() || list.only.contains(&row);
    if wanted(Row::Near) {
        near(&shared, report)?;
    }
    if wanted(Row::Far) {
        far(&shared, report)?;
    }
    if wanted(Row::Tree) {
        tree::rows(&shared, report)?;
    }
    if wanted(Row::Memory) {
        memory::rows(&shared, list.many, report)?;
    }
    Ok(())
}

/// `ls -l` of one folder, with each way of attributes, beside its pages in sequence.
fn near(shared: &Shared, report: &mut Report) -> Result<()> {
    let filled = shared.fill(report, "near", (shared.list.near, 0))?;
    let endpoint = &shared.bed.server.endpoint;
    let target = Target::Ratio(1.0);
    beside_pages(shared, &filled, (endpoint, ""), target, report)?;
    let what = format!("ls -l of {} objects, cold", filled.count);
    let work = |mount: &Filesystem| shown::listed(mount, &filled);
    peers(shared, &what, work, report);
    shared.clear(&filled)
}

/// The same behind 20 ms.
fn far(shared: &Shared, report: &mut Report) -> Result<()> {
    let filled = shared.fill(report, "far", (shared.list.entries, 0))?;
    let link = Link {
        round_trip: ROUND_TRIP,
        ..Link::default()
    };
    let proxy = Proxy::start(&shared.bed.server.endpoint, link, Plan::default())?;
    let place = (&*proxy.endpoint(), " behind 20 ms");
    beside_pages(shared, &filled, place, Target::Ratio(4.0), report)?;
    drop(proxy);
    shared.clear(&filled)
}

fn beside_pages(
    shared: &Shared,
    filled: &Filled,
    (endpoint, place): (&str, &str),
    target: Target,
    report: &mut Report,
) -> Result<()> {
    let (mut floor, mut listing, mut full) = (vec![], vec![], vec![]);
    let mut alone = vec![];
    for round in 0..shared.rounds() {
        floor.push(shared.pages(filled, endpoint)?);
        alone.push(shown::in_memory(filled)?);
        let said = |what: &str| (round == 0).then(|| format!("{what}{place}"));
        let with = said("attributes of the listing");
        listing.push(cold(
            shared,
            filled,
            endpoint,
            &LISTING_ONLY,
            (with, report),
        )?);
        // Behind the link, it would be the looks at single objects that are measured.
        if place.is_empty() {
            let with = said("all attributes");
            full.push(cold(shared, filled, endpoint, &[], (with, report))?);
        }
    }
    let pages = filled.count.div_ceil(PAGE);
    let floor = || {
        vec![
            Beside::best(format!("{pages} pages in sequence"), &floor),
            Beside::best("ls -l of as many files in memory", &alone),
        ]
    };
    let what = |what: &str| format!("ls -l of {} objects{place}: {what}", filled.count);
    let row = |what, runs: &[f64]| Figure::best(what, "s", runs).beside(floor());
    report.figure(row(what("attributes of the listing"), &listing).target(target));
    if place.is_empty() {
        report.figure(row(what("all attributes"), &full));
    }
    Ok(())
}

/// Seconds of `ls -l` on a new mount; notes the requests, if that is wanted.
fn cold(
    shared: &Shared,
    filled: &Filled,
    endpoint: &str,
    more: &[&str],
    (said, report): (Option<String>, &mut Report),
) -> Result<f64> {
    let mount = shared.bed.mount_with(Program::Cloudmount, endpoint, more)?;
    let seconds = shown::listed(&mount, filled)?;
    if let Some(said) = said {
        let count = filled.count;
        let made = bed::requests(&mount)?;
        report.note(format!("requests for ls -l of {count}, {said}: {made}"));
    }
    mount.end()?;
    Ok(seconds)
}

/// What the same work costs others, through the counting proxy.
fn peers(
    shared: &Shared,
    what: &str,
    work: impl Fn(&Filesystem) -> Result<f64>,
    report: &mut Report,
) {
    let work = |mount: &Filesystem| {
        Ok(Seconds {
            close: work(mount)?,
            bucket: None,
        })
    };
    for program in shared.list.how.peers() {
        let link = Link::default();
        let peer = watched(shared.bed, program, (what, link), |_| Ok(()), work);
        report.tried(&format!("{what}: {}", program.name()), peer);
    }
}
