//! `cargo xtask measure read`: the way of what is read, cold and warm, near and far.
//!
//! Cold means: a new mount, with nothing on its disk. Everyone gets the same objects from the same server,
//! which has them in its memory.

mod far;
mod files;
mod large;
mod locks;
mod passed;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::How;
use super::bed::Bed;
use super::report::Report;
use super::work::Noise;

#[derive(Args, Debug)]
pub(super) struct Read {
    #[command(flatten)]
    pub(super) how: How,
    /// Only these rows; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Row>,
    /// Files of the row of small files
    #[arg(long, default_value = "2000")]
    files: usize,
    /// GiB of the row of many bytes
    #[arg(long, default_value = "10")]
    gigabytes: usize,
}

/// A row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Row {
    /// A file of 1 GiB, cold, and then again
    Large,
    /// The same from the cache on disk, whose file the kernel reads itself
    Passed,
    /// The same, cold, behind 20 ms and 80 MB/s for each connection
    Far,
    /// 4 KiB at random places, cold, behind 20 ms
    Random,
    /// Files of 4 KiB, cold, and then again
    Small,
    /// 10 GiB through one mount: how much memory that takes
    Flat,
    /// Eight readers at once, from memory: whether they wait for each other
    Locks,
}

/// What the rows share.
struct Shared<'a> {
    bed: &'a Bed,
    noise: &'a Noise,
    rounds: usize,
}

/// Measures the rows that are wanted.
pub(super) fn rows(read: &Read, bed: &Bed, noise: &Noise, report: &mut Report) -> Result<()> {
    let rounds = read.how.rounds();
    let shared = Shared { bed, noise, rounds };
    let wanted = |row| read.only.is_empty() || read.only.contains(&row);
    let large = [Row::Large, Row::Passed, Row::Far, Row::Random]
        .into_iter()
        .any(wanted)
        .then(|| large::Object::put(&shared))
        .transpose()?;
    if let Some(large) = large.as_ref().filter(|_| wanted(Row::Large)) {
        large::rows(&shared, large, report)?;
    }
    if let Some(large) = large.as_ref().filter(|_| wanted(Row::Passed)) {
        passed::rows(&shared, large, report)?;
    }
    if wanted(Row::Far) {
        far::sequential(&shared, report)?;
    }
    if wanted(Row::Random) {
        far::random(&shared, report)?;
    }
    if wanted(Row::Small) {
        files::rows(&shared, read.files, report)?;
    }
    if wanted(Row::Flat) {
        large::flat(&shared, read.gigabytes, report)?;
    }
    if wanted(Row::Locks) {
        locks::rows(&shared, report)?;
    }
    for program in read.how.peers() {
        let mut take = |peer| report.tried(program.name(), peer);
        if wanted(Row::Large) {
            take(large::peer(&shared, program));
        }
        if wanted(Row::Far) {
            take(far::peer(&shared, program));
        }
        if wanted(Row::Random) {
            take(far::random_peer(&shared, program));
        }
        if wanted(Row::Small) {
            take(files::peer(&shared, program, read.files));
        }
    }
    Ok(())
}

/// Makes the kernel forget all pages that can be read again (`proc_sys_vm(5)`, `drop_caches`), of files on
/// the disk and of every mount.
fn forget_pages() -> Result<()> {
    rustix::fs::sync();
    Ok(std::fs::write("/proc/sys/vm/drop_caches", "1")?)
}
