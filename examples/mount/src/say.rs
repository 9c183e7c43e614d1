//! Output: results on standard output, everything else on standard error.
//!
//! Law: a closed output ends no mount.

use std::fmt::Arguments;
use std::io::{Result, Write as _};

/// A result, on standard output.
///
/// # Errors
/// Nobody listens.
pub(crate) fn say(text: Arguments<'_>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// For the person at the terminal, on standard error.
pub(crate) fn complain(text: Arguments<'_>) {
    let mut out = std::io::stderr().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}
