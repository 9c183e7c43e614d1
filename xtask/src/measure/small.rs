//! 10,000 files of 4 KiB in 100 folders, made one after the other as `tar x` does.

use anyhow::Result;

use super::bed::{Bed, requests};
use super::report::{Beside, Figure, Peer, Report, Target, mib};
use super::watched::{Seconds, watched};
use super::work::{Noise, SMALL_BYTES};
use crate::filesystem::{Filesystem, Program};
use crate::proxy::Link;
use crate::time::now;

/// Puts at once of the plain client: as many as ours has.
const IN_FLIGHT: &str = "32";

/// Writes the files `rounds` times, in turns with the others.
pub(super) fn written(
    bed: &Bed,
    noise: &Noise,
    (rounds, files): (usize, usize),
    report: &mut Report,
) -> Result<()> {
    let mut disk = Vec::new();
    let (mut bindfs, mut closed, mut bucket, mut cpu, mut peak) =
        (vec![], vec![], vec![], vec![], vec![]);
    let [mut plain, mut alike, mut both] = [vec![], vec![], vec![]];
    for round in 0..rounds {
        bed.at_rest()?;
        disk.push(noise.tree(&bed.folder("bare")?, files)?.closed());
        let mount = bed.mount(Program::Bindfs, "")?;
        bindfs.push(noise.tree(mount.folder(), files)?.closed());
        mount.end()?;
        let (count, bytes) = (files.to_string(), SMALL_BYTES.to_string());
        for (what, floor) in [("puts", &mut plain), ("files", &mut alike)] {
            let words = [what, "floor", &count, &bytes, IN_FLIGHT];
            floor.push(bed.plain_seconds(&words)?);
            bed.clear("floor/")?;
        }
        both.push(at_once(bed, noise, files)?);
        let mount = bed.mount(Program::Cloudmount, &bed.server.endpoint)?;
        let first = format!("first-small{round}");
        bed.know_endpoint(&mount, &first)?;
        let root = mount.folder().join("small");
        std::fs::create_dir(&root)?;
        bed.at_rest()?;
        let before = mount.cpu_seconds()?;
        let took = noise.tree(&root, files)?;
        closed.push(took.closed());
        let there = bed.settled(&mount, "small/", expected(files))?;
        bucket.push(there - took.began);
        cpu.push(mount.cpu_seconds()? - before);
        peak.push(mib(mount.peak_bytes()?));
        if round + 1 == rounds {
            report.note(format!("requests for {files} files: {}", requests(&mount)?));
        }
        mount.end()?;
        bed.clear("small/")?;
        bed.clear(&first)?;
    }
    let what = |what: &str| format!("{files} files of 4 KiB: {what}");
    report.figure(
        Figure::best(what("until the last close"), "s", &closed)
            .beside(vec![
                Beside::best("bindfs", &bindfs),
                Beside::best("bare disk", &disk),
            ])
            .target(Target::Ratio(0.8)),
    );
    report.figure(
        Figure::best(what("until all are in the bucket"), "s", &bucket)
            .beside(vec![
                Beside::best("plain puts, 32 at once", &plain),
                Beside::best("with the same headers", &alike),
                Beside::best("those while bindfs is written", &both),
            ])
            .target(Target::Ratio(0.8)),
    );
    report.figure(Figure::best(what("processor's time"), "s", &cpu));
    report.figure(Figure::best(what("peak memory"), "MiB", &peak));
    Ok(())
}

/// How long it takes until both are done, in seconds: the files written through bindfs, and as many put by the plain
/// client with the headers of files, at once. Whoever passes files through the kernel and puts them does at least
/// the work of both.
fn at_once(bed: &Bed, noise: &Noise, files: usize) -> Result<f64> {
    let mount = bed.mount(Program::Bindfs, "")?;
    bed.at_rest()?;
    let (count, bytes) = (files.to_string(), SMALL_BYTES.to_string());
    let start = now();
    let words = ["files", "floor", &count, &bytes, IN_FLIGHT];
    bed.plain_beside(&words, || noise.tree(mount.folder(), files))?;
    let took = start.elapsed().as_secs_f64();
    mount.end()?;
    bed.clear("floor/")?;
    Ok(took)
}

fn expected(files: usize) -> (u64, u64) {
    (files as u64, (files * SMALL_BYTES) as u64)
}

/// What the files cost `program`, by the count of a proxy.
pub(super) fn peer(bed: &Bed, noise: &Noise, program: Program, files: usize) -> Result<Peer> {
    let what = format!("{files} files of 4 KiB");
    let root = |mount: &Filesystem| mount.folder().join("small");
    let prepare = |mount: &Filesystem| Ok(std::fs::create_dir(root(mount))?);
    let peer = watched(bed, program, (&what, Link::default()), prepare, |mount| {
        let took = noise.tree(&root(mount), files)?;
        let there = bed.settled(mount, "small/", expected(files))?;
        Ok(Seconds {
            close: took.closed(),
            bucket: Some(there - took.began),
        })
    })?;
    bed.clear("small/")?;
    Ok(peer)
}
