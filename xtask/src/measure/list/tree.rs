//! `find` over many folders: requests, beside as many pages as there are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Filled, LISTING_ONLY, PAGE, Shared, peers};
use crate::filesystem::{Filesystem, Program};
use crate::measure::bed::{made, told};
use crate::measure::report::{Beside, Figure, Report, Target};
use crate::run::Run;
use crate::time::now;

/// How many requests more than pages there may be.
const MORE_MAX: f64 = 1.1;

/// Seconds of the walk and what it cost.
pub(super) fn rows(shared: &Shared, report: &mut Report) -> Result<()> {
    let (count, folders) = (shared.list.entries, shared.list.folders);
    let limit = Duration::from_secs(shared.list.within);
    let filled = shared.fill(report, "tree", (count, folders))?;
    let find = format!("find over {count} objects in {folders} folders");
    let ways = [("", &LISTING_ONLY[..]), (", all attributes", &[])];
    let mut runs = vec![];
    for (way, flags) in ways {
        runs.push((way, ours(shared, &filled, (way, flags), report)?));
    }
    let cold = format!("{find}, cold");
    peers(shared, &cold, |mount| walked(mount, &filled, limit), report);
    shared.clear(&filled)?;
    let pages = f64::from(u32::try_from(count.div_ceil(PAGE))?);
    for (way, (seconds, requests)) in runs {
        let what = |what: &str| format!("{find}{way}: {what}");
        report.figure(Figure::best(what("seconds"), "s", &seconds));
        report.figure(
            Figure::best(what("requests"), "", &requests)
                .beside(vec![Beside::best("pages", &[pages])])
                .target(Target::Ratio(1.0 / MORE_MAX)),
        );
    }
    Ok(())
}

/// Seconds of each walk over new mounts of ours, and the requests.
fn ours(
    shared: &Shared,
    filled: &Filled,
    (way, flags): (&str, &[&str]),
    report: &mut Report,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let limit = Duration::from_secs(shared.list.within);
    let (mut seconds, mut requests) = (vec![], vec![]);
    for round in 0..shared.rounds() {
        let bed = shared.bed;
        let endpoint = &bed.server.endpoint;
        let mount = bed.mount_with(Program::Cloudmount, endpoint, flags)?;
        let before = made(&mount)?;
        seconds.push(walked(&mount, filled, limit)?);
        let since = since(made(&mount)?, &before);
        requests.push(f64::from(u32::try_from(since.values().sum::<u64>())?));
        if round == 0 {
            report.note(format!("requests for find{way}: {}", told(&since)));
        }
        mount.end()?;
    }
    Ok((seconds, requests))
}

/// Seconds of `find`.
fn walked(mount: &Filesystem, filled: &Filled, limit: Duration) -> Result<f64> {
    let start = now();
    let found = Run::new("find")
        .arg(mount.folder().join(filled.name))
        .args("-type f")
        .within(limit)
        .ok()?;
    let seconds = start.elapsed().as_secs_f64();
    let shown = found.lines().count();
    if shown != filled.count {
        bail!("find shows {shown} of {}", filled.count);
    }
    Ok(seconds)
}

fn since(after: BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after
        .into_iter()
        .map(|(name, count)| (name.clone(), count - before.get(&name).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect()
}
