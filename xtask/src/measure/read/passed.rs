//! The same object through the cache on disk, whose file the kernel reads itself (`--passthrough`).

use anyhow::{Context, Result, bail};

use super::super::report::{Beside, Figure, Report, Target, mib};
use super::large::{BYTES, KEY, Object};
use super::{Shared, forget_pages};
use crate::filesystem::{Filesystem, Program};

/// How often the object is read, at most, until all of it is on disk: what arrives faster than the disk takes it is left
/// out, and kept when it comes again.
const TIMES: usize = 20;

/// From the kernel's pages, and without them.
pub(super) fn rows(shared: &Shared, object: &Object, report: &mut Report) -> Result<()> {
    let (bed, noise) = (shared.bed, shared.noise);
    let (mut warm, mut again, mut cpu) = (vec![], vec![], vec![]);
    let (mut local, mut disk) = (vec![], vec![]);
    let mut peak = 0.0;
    for _ in 0..shared.rounds {
        let cache = bed.folder("replicas")?;
        let folder = cache.to_string_lossy();
        let more = ["--read-only", "--passthrough", "--disk-cache", &folder];
        let mount = bed.mount_with(Program::Cloudmount, &bed.server.endpoint, &more)?;
        let path = mount.folder().join(KEY);
        until_passed(&mount, || noise.read(&path, BYTES).map(drop))?;
        // Both from the disk first, so that the pages of both came in the same way.
        forget_pages()?;
        again.push(noise.read(&path, BYTES)?);
        let before = mount.cpu_seconds()?;
        warm.push(noise.read(&path, BYTES)?);
        cpu.push(mount.cpu_seconds()? - before);
        forget_pages()?;
        disk.push(noise.read(object.source(), BYTES)?);
        local.push(noise.read(object.source(), BYTES)?);
        peak = mib(mount.peak_bytes()?);
        mount.end()?;
        std::fs::remove_dir_all(&cache)?;
    }
    let what = |what: &str| format!("1 GiB read: {what}");
    let local = Beside::best("file of the disk, in the kernel's pages", &local);
    report.figure(
        Figure::best(what("again, passed through"), "s", &warm)
            .beside(vec![local])
            .target(Target::Ratio(0.9)),
    );
    report.figure(Figure::best(
        what("again, passed through, processor's time"),
        "s",
        &cpu,
    ));
    let disk = Beside::best("file of the disk, not in the kernel's pages", &disk);
    report.figure(
        Figure::best(
            what("again, passed through, the kernel's pages dropped"),
            "s",
            &again,
        )
        .beside(vec![disk])
        .target(Target::Ratio(0.9)),
    );
    report.figure(Figure::one(
        what("passed through, peak memory"),
        "MiB",
        peak,
    ));
    Ok(())
}

/// Reads until the mount has opened the whole file for the kernel.
fn until_passed(mount: &Filesystem, read: impl Fn() -> Result<()>) -> Result<()> {
    for _ in 0..TIMES {
        // What the kernel has in memory is not asked for again.
        forget_pages()?;
        read()?;
        let status = mount.status()?;
        let opened = status.pointer("/disk_cache/local_files");
        if opened.context("no disk cache in the status")?.as_u64() > Some(0) {
            return Ok(());
        }
    }
    bail!(
        "the kernel was never given the file; the mount said: {}",
        mount.said()
    )
}
