//! Output: results on standard output, everything else on standard error.
//!
//! Law: a closed output ends nothing: the mount goes on.

use std::fmt::Arguments;
use std::io::Write as _;

/// A result, on standard output.
pub(crate) fn say(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// For the person at the terminal, on standard error.
pub(crate) fn complain(text: Arguments<'_>) {
    let mut out = std::io::stderr().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}
