//! A bucket that is deleted under a mount, with all that is in it, and made again.
//!
//! Laws: what is written meanwhile into files that are open is accepted, and is in the new bucket, as is what else was
//! accepted; what must be asked of the bucket is an error, and not an empty folder; `status` names what is wrong.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::life::names;
use super::moment::Place;
use crate::filesystem::{Bucket, Filesystem, binary};
use crate::run::Run;
use crate::say::say;
use crate::server::{Kind, Server};
use crate::sum::sum;
use crate::time::{now, pause};

pub(super) const NAME: &str = "bucket deleted";

/// A file that is open all the while.
const OPEN: &str = "open";
/// How long there is none, and the rest between two writes meanwhile.
const LASTING: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_millis(200);
/// What nobody could tell from a bucket that is there and empty.
const IS_SILENT: [&str; 2] = ["no error", "No such file or directory (os error 2)"];
/// Uploads are tried again within a minute at the latest.
const UPLOADED: Duration = Duration::from_secs(180);

/// Deletes one, and prints what became of what.
///
/// # Errors
/// Something is lost, or not named.
pub(super) fn run(scratch: &Path) -> Result<()> {
    let server = Server::start(Kind::Moto)?;
    let place = Place::of(Bucket::of(&server, &server.endpoint));
    place.mounted(&scratch.join("before"), |mount| {
        std::fs::create_dir(mount.folder().join("old"))?;
        Ok(std::fs::write(mount.folder().join("old/file"), "old")?)
    })?;
    let (accepted, errors, took) = place.mounted(&scratch.join("mount"), |mount| {
        std::fs::write(mount.folder().join("known"), "known")?;
        flush(mount)?;
        let mut open = File::create(mount.folder().join(OPEN))?;
        server.client("drop", "").ok()?;
        let accepted = write(mount, &mut open)?;
        drop(open);
        let errors = unknown(mount);
        names(mount, "no such bucket")?;
        server.client("make", "").ok()?;
        let began = now();
        flush(mount)?;
        Ok((accepted, errors, began.elapsed()))
    })?;
    let sums = server.client("sums", "").ok()?;
    let is_there = |(key, sum): &(&String, &String)| sums.contains(&format!("{sum} {key}"));
    let lost: Vec<_> = accepted
        .kept
        .iter()
        .filter(|file| !is_there(file))
        .collect();
    say!("| {NAME} for {} s | |", LASTING.as_secs());
    say!("|---|---|");
    say!(
        "| writes to an open file, all accepted | {} |",
        accepted.writes
    );
    say!("| new files accepted | {} |", accepted.kept.len() - 1);
    say!("| new files refused | {} |", accepted.refused);
    say!("| files that were accepted and lost | {} |", lost.len());
    say!("| in the new bucket after | {:.1} s |", took.as_secs_f64());
    for (what, error) in &errors {
        say!("| {what} | {error} |");
    }
    if !lost.is_empty() {
        bail!("lost: {lost:?}");
    }
    match errors
        .iter()
        .find(|(_, error)| IS_SILENT.contains(&&**error))
    {
        Some((what, error)) => bail!("{what} gives: {error}"),
        None => Ok(()),
    }
}

/// What became of writes.
#[derive(Debug, Default)]
struct Accepted {
    /// By key, the digest of what was accepted.
    kept: BTreeMap<String, String>,
    /// How often the open file was written and synced.
    writes: usize,
    /// New files that were not made.
    refused: usize,
}

/// Writes for a while: to the file that is open, and to new ones.
fn write(mount: &Filesystem, open: &mut File) -> Result<Accepted> {
    let mut accepted = Accepted::default();
    let mut all = String::new();
    let began = now();
    while began.elapsed() < LASTING {
        let key = format!("new-{}", accepted.writes);
        let line = format!("{key}\n");
        open.write_all(line.as_bytes())
            .and_then(|()| open.sync_all())
            .context("an open file is not written")?;
        all += &line;
        accepted.writes += 1;
        match std::fs::write(mount.folder().join(&key), &key) {
            Ok(()) => drop(accepted.kept.insert(key.clone(), sum(key.as_bytes()))),
            Err(_) => accepted.refused += 1,
        }
        pause(REST);
    }
    accepted.kept.insert(OPEN.to_owned(), sum(all.as_bytes()));
    Ok(accepted)
}

/// What becomes of calls about what this mount has not seen.
fn unknown(mount: &Filesystem) -> Vec<(&'static str, String)> {
    let told = |done: std::io::Result<()>| match done {
        Ok(()) => IS_SILENT[0].to_owned(),
        Err(error) => error.to_string(),
    };
    let old = mount.folder().join("old");
    vec![
        (
            "listing what was there",
            told(std::fs::read_dir(&old).map(drop)),
        ),
        (
            "reading what was there",
            told(std::fs::read(old.join("file")).map(drop)),
        ),
    ]
}

fn flush(mount: &Filesystem) -> Result<()> {
    Run::new(binary("cloudmount"))
        .args("flush --wait")
        .arg(mount.folder())
        .within(UPLOADED)
        .ok()
        .map(drop)
}
