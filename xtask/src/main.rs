//! The project's own tools: `cargo xtask tidy | servers | conformance | crash | dialects | measure | contention | interop | trace | ci`.
//!
//! Laws: whatever is started is ended, also on failure and on signals; what is missing is installed
//! by name or named as skipped, never silently left out; nothing here is part of the product.

mod ci;
mod closing;
mod conformance;
mod contention;
mod crash;
mod dialects;
mod dice;
mod filesystem;
mod foreign;
mod interop;
mod measure;
mod mounts;
mod names;
mod network;
mod place;
mod proxy;
mod replaced;
mod rival;
mod run;
mod say;
mod server;
mod servers;
mod sum;
mod tidy;
mod time;
mod tools;
mod trace;
mod undo;
mod upload_state;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use say::say;

/// CloudMount's own checks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what the project demands of its own text: walls, sizes, words, links, promises
    Tidy,
    /// Start S3 servers to try things on by hand, and print how to reach them
    Servers(servers::Arguments),
    /// Run real programs on real mounts, and look at the bucket afterwards
    Conformance(conformance::Arguments),
    /// Kill the daemon again and again under load, and hold the bucket against what was promised
    Crash(crash::Arguments),
    /// Each dialect of S3 with each suite of tests, and each fault of a server with each kind of call
    Dialects(dialects::Arguments),
    /// Let two mounts write the same files of one bucket, and look whether anything was lost
    Contention(contention::Arguments),
    /// Let s3fs, rclone and ours show each other's attributes
    Interop(interop::Arguments),
    /// Replace an object again and again while others read it through a mount
    Replaced(replaced::Arguments),
    /// Change a bucket at random by a plain client while programs work on a mount of it
    Foreign(foreign::Arguments),
    /// Measure how fast it is, beside what the hardware and other filesystems do
    Measure(measure::Arguments),
    /// Record what applications read of a mount, for the comparison of eviction strategies
    Trace(trace::Arguments),
    /// Run all that must pass before a change is taken
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = undo::on_signals()
        .map_err(Into::into)
        .and_then(|()| match arguments.task {
            Task::Tidy => tidy::run(),
            Task::Servers(arguments) => servers::run(&arguments),
            Task::Conformance(arguments) => conformance::run(&arguments),
            Task::Crash(arguments) => crash::run(&arguments),
            Task::Dialects(arguments) => dialects::run(&arguments),
            Task::Contention(arguments) => contention::run(&arguments),
            Task::Interop(arguments) => interop::run(&arguments),
            Task::Replaced(arguments) => replaced::run(&arguments),
            Task::Foreign(arguments) => foreign::run(&arguments),
            Task::Measure(arguments) => measure::run(&arguments),
            Task::Trace(arguments) => trace::run(&arguments),
            Task::Ci => ci::run(),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
