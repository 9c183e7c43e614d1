//! `cargo xtask dialects`: tables. Each dialect of S3 with each suite of tests; kills of a real mount at those that are
//! written to otherwise; each fault of a server, and each of a network, with each kind of call on a real mount.

mod calls;
mod clock;
mod crashes;
mod faults;
mod gone;
mod life;
mod moment;
mod network;
mod suites;
mod supervised;
mod tree;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::place;
use crate::say::say;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Which table; may be repeated
    #[arg(long, value_enum, default_values = ["suites", "crashes", "faults", "network", "life"])]
    only: Vec<Table>,
    /// How many kills at each dialect
    #[arg(long, default_value = "10")]
    kills: u64,
    /// Kill at all failpoints at each dialect, and not only at those where the bucket is asked for something
    #[arg(long)]
    all_failpoints: bool,
    /// Which faults, by name; all, unless some are named
    #[arg(long)]
    fault: Vec<String>,
    /// For how many seconds the network is gone in the longest of them; 180 is three times as long as a request is tried
    #[arg(long, default_value = "180", value_parser = clap::value_parser!(u64).range(180..=86400))]
    long: u64,
}

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Table {
    /// Dialects and suites
    Suites,
    /// Faults and calls, on a mount of moto; needs /dev/fuse
    Faults,
    /// The same of networks, in namespaces of their own; needs root, too
    Network,
    /// A daemon that is stopped or killed, a bucket that is full or gone; needs /dev/fuse
    Life,
    /// Dialects and kills of a mount; needs /dev/fuse
    Crashes,
}

/// Makes the tables.
///
/// # Errors
/// A suite fails at a dialect; a byte that was accepted is lost, or a call ends in an error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.only.contains(&Table::Suites) {
        suites::run()?;
    }
    if arguments.only.iter().all(|table| *table == Table::Suites) {
        return Ok(());
    }
    if !place::can_mount() {
        return Ok(());
    }
    if arguments.only.contains(&Table::Faults) {
        faults::run(&arguments.fault)?;
    }
    if arguments.only.contains(&Table::Network) {
        match crate::network::missing() {
            Some(why) => say!("SKIPPED: {why}"),
            None => network::run(&arguments.fault, Duration::from_secs(arguments.long))?,
        }
    }
    if arguments.only.contains(&Table::Life) {
        life::run(&arguments.fault)?;
    }
    if arguments.only.contains(&Table::Crashes) {
        let failpoints = match arguments.all_failpoints {
            true => crashes::Failpoints::All,
            false => crashes::Failpoints::Chosen,
        };
        crashes::run(arguments.kills, failpoints)?;
    }
    Ok(())
}
