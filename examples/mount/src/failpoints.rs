//! Crash tests: the process kills itself at a named moment of the write path, its wall clock jumps, and its journal
//! is compacted early.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cloudmount::vfs::{BoxFuture, Clock, Instant, SystemClock, Timestamp};
use cloudmount::{Builder, Environment};

use crate::say::say;

/// Says where, as `NAME:N`: when NAME is passed for the N-th time.
const VARIABLE: &str = "CLOUDMOUNT_TEST_FAILPOINT";
/// Names a file with the seconds that the wall clock is ahead of the machine's, or behind it if there are less than
/// none. It is read at each look at the clock.
const CLOCK: &str = "CLOUDMOUNT_TEST_CLOCK";
/// Says from how many bytes on the journal is compacted.
const JOURNAL: &str = "CLOUDMOUNT_TEST_JOURNAL_BYTES";

/// Arms what the environment names.
///
/// # Errors
/// It names none that there is.
pub(crate) fn arm(environment: &Environment) -> Result<()> {
    let Some(text) = environment.get(VARIABLE) else {
        return Ok(());
    };
    let parsed = text
        .split_once(':')
        .and_then(|(name, nth)| Some((name, nth.parse().ok()?)));
    let (name, nth) = parsed.with_context(|| format!("{VARIABLE} is no NAME:N: {text}"))?;
    Ok(cloudmount::arm_failpoint(name, nth)?)
}

/// Gives what is to be opened the clock and the journal that the environment asks for.
///
/// # Errors
/// The number of bytes is none.
pub(crate) fn prepare(mut builder: Builder, environment: &Environment) -> Result<Builder> {
    if let Some(file) = environment.get(CLOCK) {
        builder = builder.clock(Arc::new(JumpingClock {
            machine: SystemClock::new(),
            ahead: file.into(),
        }));
    }
    if let Some(text) = environment.get(JOURNAL) {
        let bytes = text.parse().with_context(|| format!("{JOURNAL}={text}"))?;
        builder = builder.journal_bytes_min(bytes);
    }
    Ok(builder)
}

/// Names them all, one a line.
pub(crate) fn list() -> Result<ExitCode> {
    for name in cloudmount::FAILPOINTS {
        say(format_args!("{name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The machine's clocks, with a wall clock that somebody sets.
#[derive(Debug)]
struct JumpingClock {
    machine: SystemClock,
    /// The file that says how many seconds it is ahead.
    ahead: PathBuf,
}

impl Clock for JumpingClock {
    fn wall(&self) -> Timestamp {
        let ahead = std::fs::read_to_string(&self.ahead);
        let ahead = ahead.ok().and_then(|text| text.trim().parse::<i64>().ok());
        let now = self.machine.wall();
        Timestamp::new(now.secs().saturating_add(ahead.unwrap_or(0)), now.nanos())
    }

    fn now(&self) -> Instant {
        self.machine.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.machine.sleep(duration)
    }
}
