//! Many files of 4 KiB, each by stat, open, read and close: cold, and again.

use anyhow::Result;

use super::super::report::{Beside, Figure, Peer, Report, Target};
use super::super::watched::{Seconds, watched};
use super::super::work::SMALL_BYTES;
use super::Shared;
use crate::filesystem::Program;
use crate::proxy::Link;

/// Where the files are in the bucket.
const PREFIX: &str = "files";

/// Files, written by a mount of ours that has ended.
struct Files<'a>(&'a Shared<'a>);

impl<'a> Files<'a> {
    fn put(shared: &'a Shared, count: usize) -> Result<Self> {
        let bed = shared.bed;
        let mount = bed.mount(Program::Cloudmount, &bed.server.endpoint)?;
        let root = mount.folder().join(PREFIX);
        std::fs::create_dir(&root)?;
        shared.noise.tree(&root, count)?;
        let expected = (count as u64, (count * SMALL_BYTES) as u64);
        bed.settled(&mount, "files/", expected)?;
        mount.end()?;
        Ok(Self(shared))
    }

    fn clear(self) -> Result<()> {
        self.0.bed.clear("files/")
    }
}

/// Ours beside a passthrough filesystem.
pub(super) fn rows(shared: &Shared, count: usize, report: &mut Report) -> Result<()> {
    let (bed, noise) = (shared.bed, shared.noise);
    let files = Files::put(shared, count)?;
    let (mut cold, mut warm, mut bindfs) = (vec![], vec![], vec![]);
    for _ in 0..shared.rounds {
        let mount = bed.mount(Program::Bindfs, "")?;
        noise.tree(mount.folder(), count)?;
        noise.walk(mount.folder(), count)?;
        bindfs.push(noise.walk(mount.folder(), count)?);
        mount.end()?;
        let mount = bed.mount(Program::Cloudmount, &bed.server.endpoint)?;
        let root = mount.folder().join(PREFIX);
        cold.push(noise.walk(&root, count)?);
        warm.push(noise.walk(&root, count)?);
        mount.end()?;
    }
    files.clear()?;
    let what = |what: &str| format!("{count} files of 4 KiB read: {what}");
    report.figure(Figure::best(what("cold"), "s", &cold));
    report.figure(
        Figure::best(what("again"), "s", &warm)
            .beside(vec![Beside::best("bindfs, again", &bindfs)])
            .target(Target::Ratio(0.9)),
    );
    Ok(())
}

/// What they cost `program`, cold.
pub(super) fn peer(shared: &Shared, program: Program, count: usize) -> Result<Peer> {
    let files = Files::put(shared, count)?;
    let what = format!("{count} files of 4 KiB read, cold");
    let peer = watched(
        shared.bed,
        program,
        (&what, Link::default()),
        |_| Ok(()),
        |mount| {
            let close = shared.noise.walk(&mount.folder().join(PREFIX), count)?;
            Ok(Seconds {
                close,
                bucket: None,
            })
        },
    )?;
    files.clear()?;
    Ok(peer)
}
