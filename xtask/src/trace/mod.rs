//! `cargo xtask trace`: records what applications read of a mount, for the comparison of eviction
//! strategies.
//!
//! A folder of this machine is the bucket; the program mounts it with `--record-reads`, so that the
//! kernel keeps nothing and every read is told. Then real work is done in the mount ([`work`]). What
//! comes of it are numbers only, in `benches/traces`; `cargo bench --bench cache_strategies` replays
//! them, and `docs/caching.md` shows what strategies make of them.
//!
//! A new recording is another one: programs and threads do not read twice in the same order. So the
//! document has to be written again after it, which a test demands.

mod project;
mod work;

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::filesystem::{Bucket, Filesystem, Program, Wanted};
use crate::place;
use crate::say::say;
use crate::undo::Undo;

/// A trace in the repository has no more bytes than this: all of them are in every clone for ever.
const TRACE_BYTES_MAX: usize = 200_000;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// What is to be recorded [default: everything]
    #[arg(value_enum)]
    work: Vec<Work>,
}

/// What is done in the mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Work {
    /// A git repository is cloned, built, searched, changed and built again
    Build,
    /// Epochs of training over shuffled shards
    Training,
    /// Jumps in large films, with some seconds of each place
    Scrubbing,
    /// A folder is read through while some files are read often
    Scan,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Training => "training",
            Self::Scrubbing => "scrubbing",
            Self::Scan => "scan",
        }
    }

    /// What is in the bucket before it is mounted.
    fn prepare(self, bucket: &Path, scratch: &Path) -> Result<()> {
        match self {
            Self::Build => project::prepare(bucket, scratch),
            Self::Training => work::prepare_training(bucket),
            Self::Scrubbing => work::prepare_scrubbing(bucket),
            Self::Scan => work::prepare_scan(bucket),
        }
    }

    fn run(self, mount: &Path) -> Result<()> {
        match self {
            Self::Build => project::run(mount),
            Self::Training => work::train(mount),
            Self::Scrubbing => work::scrub(mount),
            Self::Scan => work::scan(mount),
        }
    }
}

/// Records them, one after the other.
///
/// # Errors
/// Something cannot be mounted, the work fails, or its trace is too large.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::has_fuse() {
        bail!("mounts need /dev/fuse, and this machine has none");
    }
    crate::tools::programs(&["git", "make", "cc"])?;
    Program::Cloudmount.install()?;
    let all = Work::value_variants();
    let chosen = match &arguments.work[..] {
        [] => all,
        some => some,
    };
    for work in chosen {
        record(*work).with_context(|| format!("recording {}", work.name()))?;
    }
    say!("now: cargo bench -p cloudmount-benches --bench cache_strategies");
    Ok(())
}

fn record(work: Work) -> Result<()> {
    let (scratch, _remove) = Undo::scratch()?;
    let [bucket, folder, own, around] =
        ["bucket", "mount", "own", "around"].map(|name| scratch.join(name));
    for folder in [&bucket, &folder, &own, &around] {
        std::fs::create_dir(folder)?;
    }
    work.prepare(&bucket, &around)?;
    let trace = own.join("reads.trace");
    let mount = Wanted {
        program: Program::Cloudmount,
        bucket: Some(&Bucket::folder(&bucket)),
        folder: &folder,
        scratch: &own,
        more: &["--record-reads", &trace.to_string_lossy()],
    };
    let mount = mount.mount()?;
    work.run(&folder)
        .with_context(|| format!("in the mount, which says:\n{}", mount.said()))?;
    Filesystem::end(mount)?;
    let bytes = std::fs::read(&trace).context("the mount left no trace")?;
    if bytes.len() > TRACE_BYTES_MAX {
        bail!(
            "{} bytes are more than {TRACE_BYTES_MAX}: do less",
            bytes.len()
        );
    }
    let name = format!("{}.trace", work.name());
    std::fs::write(place::root().join("benches/traces").join(&name), &bytes)?;
    say!("{name}: {} bytes", bytes.len());
    Ok(())
}
