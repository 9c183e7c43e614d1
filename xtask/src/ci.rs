//! `cargo xtask ci`: all that must pass before a change is taken.
//!
//! Law: it fails when anything fails; what is left out is said.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::conformance::{self, On};
use crate::contention;
use crate::crash;
use crate::foreign;
use crate::interop;
use crate::replaced;
use crate::run::Run;
use crate::say::say;
use crate::server::{self, Server};
use crate::time::now;
use crate::{place, tidy};

/// One cargo call, with a cold cache on two cores.
const STEP: Duration = Duration::from_secs(2400);

/// What random rows of the tests begin with, unless the environment says something else: a change fails for what
/// it does, not for what is drawn that day. New rows are drawn by `cargo test`, which begins with another each time.
const RANDOM_SEED: &str = "1";

/// Runs every step.
///
/// # Errors
/// The first step that fails.
pub(crate) fn run() -> Result<()> {
    crate::tools::programs(&["fusermount3", "git"])?;
    step("format", || cargo("fmt --all --check").ok().map(drop))?;
    step("clippy", || {
        cargo("clippy --workspace --all-targets --quiet -- -D warnings")
            .ok()
            .map(drop)
    })?;
    step("tidy", tidy::run)?;
    step("tests", || cargo("test --workspace").ok().map(drop))?;
    step("store on moto", || store_on(server::Kind::Moto))?;
    step("store on rclone", || store_on(server::Kind::Rclone))?;
    step("fuzzers build", || {
        crate::tools::programs(&["c++"])?;
        cargo("check --quiet --manifest-path fuzz/Cargo.toml")
            .ok()
            .map(drop)
    })?;
    step("quick start", || {
        if !place::has_fuse() {
            say!("SKIPPED: it needs /dev/fuse, and this machine has none");
            return Ok(());
        }
        Run::new("bash")
            .arg(place::root().join(".ci/quickstart"))
            .echo()
            .within(STEP)
            .ok()
            .map(drop)
    })?;
    step("mounted", || {
        conformance::run(&conformance::Arguments {
            on: vec![On::Memory, On::Folder, On::Moto],
            quick: true,
            suites: Vec::new(),
        })
    })?;
    step("two mounts", || {
        contention::run(&contention::Arguments::short())
    })?;
    step("others' attributes", || {
        interop::run(&interop::Arguments::default())
    })?;
    step("replaced", || replaced::run(&replaced::Arguments::short()))?;
    step("foreign", || foreign::run(&foreign::Arguments::short()))?;
    step("crash", || crash::run(&crash::Arguments::short()))
}

fn store_on(kind: server::Kind) -> Result<()> {
    let server = Server::start(kind)?;
    cargo("test --package cloudmount-store --test it s3")
        .env(
            "CLOUDMOUNT_TEST_S3",
            server.for_store_tests(&server.endpoint),
        )
        .ok()
        .map(drop)
}

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = now();
    say!("## {name}");
    run().with_context(|| format!("ci: {name}"))?;
    say!("## {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Without the frames of panics: a report of a run shows its last lines, and those are to say what differs.
fn cargo(arguments: &str) -> Run {
    Run::cargo()
        .args(arguments)
        .env("RUST_BACKTRACE", "0")
        .env(
            "PROPTEST_RNG_SEED",
            place::variable("PROPTEST_RNG_SEED").unwrap_or_else(|| RANDOM_SEED.into()),
        )
        .dir(place::root())
        .echo()
        .within(STEP)
}
