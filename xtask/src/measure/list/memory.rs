//! A million entries in one folder: how much memory the daemon has at most while they are listed.

use std::fs::read_dir;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Result, bail};

use super::invented::Invented;
use super::{LISTING_ONLY, Shared, shown};
use crate::filesystem::{Filesystem, Program};
use crate::measure::report::{Beside, Figure, Report, Target};

/// How many bytes an entry may take besides its name.
const ENTRY_MAX: f64 = 200.0;

/// How the entries are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Names and kinds: `ls`, `find`.
    Names,
    /// All attributes: `ls -l`. Then the kernel holds all inodes, too.
    Attributes,
}

/// The peak beyond that of a mount that lists a folder of one page.
pub(super) fn rows(shared: &Shared, count: usize, report: &mut Report) -> Result<()> {
    let server = Invented::start(count)?;
    for (way, what) in [(Way::Names, "names"), (Way::Attributes, "attributes, too")] {
        let mut runs = Vec::new();
        for _ in 0..shared.rounds() {
            let (bed, more) = (shared.bed, LISTING_ONLY);
            let mount = bed.mount_with(Program::Cloudmount, server.endpoint(), &more)?;
            look(&mount, "small", Invented::SMALL, way)?;
            let before = mount.peak_bytes()?;
            look(&mount, "large", count, way)?;
            let more = mount.peak_bytes()?.saturating_sub(before);
            runs.push(bytes(more)? / bytes(count as u64)?);
            mount.end()?;
        }
        let name = shown::name(0).len() as u64;
        let what = format!("{count} entries listed, {what}: peak memory for each");
        report.figure(
            Figure::best(what, "B", &runs)
                .beside(vec![Beside::best("its name", &[bytes(name)?])])
                .target(Target::AtMost(ENTRY_MAX + bytes(name)?)),
        );
    }
    Ok(())
}

fn bytes(count: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}

/// Reads a folder to its end; each name must come once.
fn look(mount: &Filesystem, folder: &str, count: usize, way: Way) -> Result<()> {
    let mut seen = vec![false; count];
    for entry in read_dir(mount.folder().join(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("file"));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let place = number.and_then(|number| Some((number, seen.get_mut(number)?)));
        let Some((number, place)) = place.filter(|(_, place)| !**place) else {
            bail!("{name:?} was never put, or comes twice");
        };
        *place = true;
        if way == Way::Attributes && entry.metadata()?.size() != shown::size(number) as u64 {
            bail!("{name:?} has another size");
        }
    }
    match seen.iter().position(|seen| !seen) {
        Some(missing) => bail!("{} is missing", shown::name(missing)),
        None => Ok(()),
    }
}
