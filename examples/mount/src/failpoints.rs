//! Crash tests: the process kills itself at a named moment of the write path.

use std::process::ExitCode;

use anyhow::{Context, Result};
use cloudmount::Environment;

use crate::say::say;

/// Says where, as `NAME:N`: when NAME is passed for the N-th time.
const VARIABLE: &str = "CLOUDMOUNT_TEST_FAILPOINT";

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

/// Names them all, one a line.
pub(crate) fn list() -> Result<ExitCode> {
    for name in cloudmount::FAILPOINTS {
        say(format_args!("{name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
