//! `cargo xtask dialects`: two tables. Each dialect of S3 with each suite of tests, and each fault of a server with
//! each kind of call on a real mount.

mod calls;
mod faults;
mod suites;
mod tree;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::place;
use crate::say::say;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Which table; may be repeated
    #[arg(long, value_enum, default_values = ["suites", "faults"])]
    only: Vec<Table>,
    /// Which faults, by name; all, unless some are named
    #[arg(long)]
    fault: Vec<String>,
}

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Table {
    /// Dialects and suites
    Suites,
    /// Faults and calls, on a mount of moto; needs /dev/fuse
    Faults,
}

/// Makes the tables.
///
/// # Errors
/// A suite fails at a dialect; a byte that was accepted is lost, or a call ends in an error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.only.contains(&Table::Suites) {
        suites::run()?;
    }
    if arguments.only.contains(&Table::Faults) {
        if !place::has_fuse() {
            say!("SKIPPED: mounts need /dev/fuse, and this machine has none");
            return Ok(());
        }
        faults::run(&arguments.fault)?;
    }
    Ok(())
}
