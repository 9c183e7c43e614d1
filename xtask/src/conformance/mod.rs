//! `cargo xtask conformance`: real programs on real mounts, and what the bucket holds afterwards.
//!
//! Laws: every mount and server is ended, whatever happens; a figure that is printed was measured
//! in this run.

pub(crate) mod backend;
mod bucket;
pub(crate) mod daemon;
mod errors;
mod load;
mod pjdfstest;
mod suites;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::place;
use crate::run::Run;
use crate::say::say;
use crate::time::now;
use backend::Backend;

/// Where the mounted bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum On {
    /// In the daemon's memory
    Memory,
    /// A folder of this machine
    Folder,
    /// An S3 server of moto, installed and started for the run
    Moto,
    /// An S3 server of rclone: no conditions, no copies of parts, no markers
    Rclone,
    /// A cluster of Ceph in a chroot, installed for it: 1.5 GB, root only
    Rgw,
    /// The S3 server of the AWS_ environment variables, and its bucket in XTASK_BUCKET
    Given,
}

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    Quick,
    Full,
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the bucket is; may be repeated
    #[arg(long, value_enum, default_values = ["memory", "folder", "moto"])]
    pub(crate) on: Vec<On>,
    /// Short runs
    #[arg(long)]
    pub(crate) quick: bool,
    /// Suites: fsx git sqlite tar rsync fio cargo bucket pjdfstest latency memory errors
    /// [default: all but latency and memory]
    pub(crate) suites: Vec<String>,
}

const ALL: &[&str] = &[
    "fsx",
    "git",
    "sqlite",
    "tar",
    "rsync",
    "fio",
    "cargo",
    "bucket",
    "pjdfstest",
    "errors",
];

/// Runs the suites on each backend.
///
/// # Errors
/// The first that failed, after all have run.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::has_fuse() {
        say!("SKIPPED: mounted suites need /dev/fuse, and this machine has none");
        return Ok(());
    }
    let extent = if arguments.quick {
        Extent::Quick
    } else {
        Extent::Full
    };
    let wanted = |name: &str| match &*arguments.suites {
        [] => ALL.contains(&name),
        some => some.iter().any(|one| one == name),
    };
    if let Some(unknown) = (arguments.suites.iter())
        .find(|name| !ALL.contains(&&***name) && !["latency", "memory"].contains(&&***name))
    {
        bail!("there is no suite {unknown}; there are {}", ALL.join(" "));
    }
    build()?;
    let mut failures = Vec::new();
    for on in &arguments.on {
        let backend = Backend::start(*on)?;
        say!("# on {}", backend.name);
        let mut note = |name: &str, start: std::time::Instant, result: Result<String>| match result
        {
            Ok(figures) => say!(
                "{name:<10} ok      {:>7.1} s  {figures}",
                start.elapsed().as_secs_f64()
            ),
            Err(error) => {
                say!("{name:<10} FAILED\n{error:#}");
                failures.push(format!("{name} on {}", backend.name));
            }
        };
        suites::run(&backend, extent, &wanted, &mut note)?;
        type Special = (&'static str, fn(&Backend, Extent) -> Result<String>);
        const SPECIAL: &[Special] = &[
            ("pjdfstest", pjdfstest::run),
            ("latency", load::latency),
            ("memory", load::memory),
            ("errors", errors::run),
        ];
        for (name, run) in SPECIAL {
            if wanted(name) {
                let start = now();
                note(name, start, run(&backend, extent));
            }
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        bail!("conformance: failed: {}", failures.join(", "))
    }
}

/// Builds the program as users have it: with optimisations.
///
/// # Errors
/// It cannot be built.
pub(crate) fn build() -> Result<()> {
    build_with("")
}

/// Builds the program with failpoints, and gives its place. The ordinary one is built again after it: cargo keeps
/// what both are made of, and puts either in the same place.
///
/// # Errors
/// One cannot be built.
pub(crate) fn build_with_failpoints() -> Result<PathBuf> {
    build_with("--features failpoints")?;
    let folder = place::target().join("failpoints");
    let program = folder.join("cloudmount");
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(daemon::program(), &program)?;
    build()?;
    Ok(program)
}

fn build_with(more: &str) -> Result<()> {
    Run::cargo()
        .args("build --quiet --release --package cloudmount-mount")
        .args(more)
        .dir(place::root())
        .echo()
        .within(std::time::Duration::from_secs(1800))
        .ok()
        .map(drop)
}
