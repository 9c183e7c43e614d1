//! An object of 1 GiB read from its beginning to its end: cold, again, and ten of them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::bed::requests;
use super::super::report::{Beside, Figure, Peer, Report, Target, mib};
use super::super::watched::{Seconds, watched};
use super::{Shared, forget_pages};
use crate::filesystem::Program;
use crate::proxy::Link;

/// Bytes of the object.
pub(super) const BYTES: u64 = 1 << 30;
/// Its key.
pub(super) const KEY: &str = "large";
/// Bytes of a part of the plain upload.
const PART_BYTES: &str = "8388608";
/// What the plain download tries: bytes of a range, and how many at once. The fastest is the floor.
const RANGES: [(&str, &str); 5] = [
    ("2097152", "8"),
    ("2097152", "16"),
    ("8388608", "4"),
    ("8388608", "8"),
    ("8388608", "16"),
];
/// How much more memory ten times the bytes may take.
const GROWTH_MAX: f64 = 1.1;

/// The object in the bucket, and the same bytes in a file of the disk.
pub(super) struct Object {
    source: PathBuf,
}

impl Object {
    /// Puts it there by the plain client.
    pub(super) fn put(shared: &Shared) -> Result<Self> {
        let source = shared.bed.folder("source")?.join("large");
        shared.noise.write(&source, BYTES, || true)?;
        put(shared, &source.to_string_lossy(), KEY)?;
        Ok(Self { source })
    }

    /// The file of the disk.
    pub(super) fn source(&self) -> &Path {
        &self.source
    }
}

fn put(shared: &Shared, source: &str, key: &str) -> Result<()> {
    let words = ["parts", source, key, PART_BYTES, "8"];
    shared.bed.plain(&words).map(drop)
}

/// The fastest plain download at `endpoint`: what it was, and its seconds in each of `rounds` more.
pub(super) fn floor(shared: &Shared, endpoint: &str, rounds: usize) -> Result<Beside> {
    let get = |(bytes, in_flight): (&str, &str)| {
        let words = ["get", KEY, bytes, in_flight];
        shared.bed.plain_seconds_at(endpoint, &words)
    };
    let mut best = (f64::INFINITY, RANGES[0]);
    for ranges in RANGES {
        let seconds = get(ranges)?;
        if seconds < best.0 {
            best = (seconds, ranges);
        }
    }
    let mut seconds = vec![best.0];
    for _ in 0..rounds {
        seconds.push(get(best.1)?);
    }
    let (bytes, in_flight) = best.1;
    let mib = bytes.parse::<u64>()? >> 20;
    let what = format!("plain download, ranges of {mib} MiB, {in_flight} at once");
    Ok(Beside::best(what, &seconds))
}

/// Cold, then with the kernel's pages, then without them.
pub(super) fn rows(shared: &Shared, object: &Object, report: &mut Report) -> Result<()> {
    let (bed, noise) = (shared.bed, shared.noise);
    let floor = floor(shared, &bed.server.endpoint, shared.rounds)?;
    let (mut cold, mut warm, mut again) = (vec![], vec![], vec![]);
    let (mut cpu, mut peak) = (vec![], vec![]);
    let (mut local, mut disk) = (vec![], vec![]);
    for round in 0..shared.rounds {
        noise.read(&object.source, BYTES)?;
        local.push(noise.read(&object.source, BYTES)?);
        let mount = bed.mount(Program::Cloudmount, &bed.server.endpoint)?;
        let path = mount.folder().join(KEY);
        let before = mount.cpu_seconds()?;
        cold.push(noise.read(&path, BYTES)?);
        cpu.push(mount.cpu_seconds()? - before);
        peak.push(mib(mount.peak_bytes()?));
        if round + 1 == shared.rounds {
            report.note(format!("requests for 1 GiB read: {}", requests(&mount)?));
        }
        warm.push(noise.read(&path, BYTES)?);
        forget_pages()?;
        again.push(noise.read(&path, BYTES)?);
        mount.end()?;
        forget_pages()?;
        disk.push(noise.read(&object.source, BYTES)?);
    }
    let what = |what: &str| format!("1 GiB read: {what}");
    report.figure(
        Figure::best(what("cold"), "s", &cold)
            .beside(vec![floor])
            .target(Target::Ratio(0.85)),
    );
    report.figure(
        Figure::best(what("cold, processor's time"), "s", &cpu).target(Target::AtMost(1.0)),
    );
    report.figure(Figure::best(what("cold, peak memory"), "MiB", &peak));
    let local = Beside::best("file of the disk, in the kernel's pages", &local);
    report.figure(
        Figure::best(what("again"), "s", &warm)
            .beside(vec![local])
            .target(Target::Ratio(0.9)),
    );
    let disk = Beside::best("file of the disk, not in the kernel's pages", &disk);
    report.figure(
        Figure::best(what("again, the kernel's pages dropped"), "s", &again).beside(vec![disk]),
    );
    Ok(())
}

/// `count` such objects one after the other through one mount.
pub(super) fn flat(shared: &Shared, count: usize, report: &mut Report) -> Result<()> {
    let bed = shared.bed;
    let mount = bed.mount(Program::Cloudmount, &bed.server.endpoint)?;
    let source = bed.folder("source")?.join("flat");
    shared.noise.write(&source, BYTES, || true)?;
    let mut peaks = Vec::with_capacity(count);
    for number in 0..count {
        // One at a time, so that the disk of the server need not hold them all.
        let key = format!("flat{number}");
        put(shared, &source.to_string_lossy(), &key)?;
        shared.noise.read(&mount.folder().join(&key), BYTES)?;
        peaks.push(mib(mount.peak_bytes()?));
        bed.clear(&key)?;
    }
    mount.end()?;
    std::fs::remove_file(&source)?;
    let (first, last) = (peaks[0], peaks[peaks.len() - 1]);
    report.figure(
        Figure::one(format!("{count} GiB read: peak memory"), "MiB", last)
            .beside(vec![Beside::best("after the first of them", &[first])])
            .target(Target::Ratio(1.0 / GROWTH_MAX)),
    );
    Ok(())
}

/// What a cold read costs `program`.
pub(super) fn peer(shared: &Shared, program: Program) -> Result<Peer> {
    peer_behind(shared, program, ("1 GiB read, cold", Link::default()))
}

/// The same behind a link.
pub(super) fn peer_behind(shared: &Shared, program: Program, what: (&str, Link)) -> Result<Peer> {
    watched(
        shared.bed,
        program,
        what,
        |_| Ok(()),
        |mount| {
            let close = shared.noise.read(&mount.folder().join(KEY), BYTES)?;
            Ok(Seconds {
                close,
                bucket: None,
            })
        },
    )
}
