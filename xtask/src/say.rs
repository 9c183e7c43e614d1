//! Printing: the one way in which xtask talks to the person who runs it.
//!
//! Law: a line goes out whole and at once, so that a log shows how far a run came.

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints one line on standard output, like `println!`.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints one line. A closed standard output ends nothing: the exit code still tells.
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}"));
    drop(out.flush());
}
