//! Programs that work on one mount, one after the other, and then the bucket itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::backend::Backend;
use super::daemon::Daemon;
use super::{Extent, bucket};
use crate::run::Run;
use crate::time::now;
use crate::{place, tools};

/// Scripts in `xtask/suites`.
const SCRIPTS: &[&str] = &["fsx", "git", "sqlite", "tar", "rsync", "fio", "cargo"];

/// The part of the bucket.
const PART: &str = "suites";

/// Takes a suite's name, when it began, and its figures or failure.
pub(super) type Note<'a> = dyn FnMut(&str, Instant, Result<String>) + 'a;

/// Runs those that are wanted.
pub(super) fn run(
    backend: &Backend,
    extent: Extent,
    wanted: &dyn Fn(&str) -> bool,
    note: &mut Note<'_>,
) -> Result<()> {
    let scripts: Vec<_> = SCRIPTS.iter().filter(|name| wanted(name)).collect();
    if scripts.is_empty() && !wanted("bucket") {
        return Ok(());
    }
    tools::programs(&["git", "sqlite3", "rsync", "fio", "tar", "fusermount3"])?;
    let path = tools::path_with(&tools::cargo_tools()?);
    let daemon = Daemon::start(backend, PART, "suites", &[])?;
    for name in scripts {
        let start = now();
        let done = script(name, daemon.folder(), backend, extent, &path);
        note(name, start, done.map(|()| String::new()));
    }
    let peak = daemon.peak_bytes()?;
    let start = now();
    if wanted("bucket") {
        let checked = bucket::check(backend, PART, daemon);
        let figures = checked.map(|text| format!("{text}; peak memory {} MiB", peak >> 20));
        note("bucket", start, figures);
    } else if let Err(error) = daemon.end() {
        note("umount", start, Err(error));
    }
    Ok(())
}

fn script(name: &str, mount: &Path, backend: &Backend, extent: Extent, path: &str) -> Result<()> {
    let quick = match extent {
        Extent::Quick => "1",
        Extent::Full => "0",
    };
    Run::new("bash")
        .arg(place::root().join(format!("xtask/suites/{name}.sh")))
        .arg(mount)
        .arg(backend.dir.path().join("scratch").join(name))
        .env("QUICK", quick)
        .env("PATH", path)
        .within(Duration::from_secs(1800))
        .ok()
        .map(drop)
}
