//! What becomes of a law, and the checks that laws are made of.

use std::fmt;

use cloudmount_store::{Error, ErrorKind};

/// A law that was not broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was tried, and held.
    Held,
    /// The store does not offer what the law is about.
    Skipped(&'static str),
}

/// Why a law is broken.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken(String);

/// The result of trying a law.
pub type Verdict = Result<Outcome, Broken>;

impl Broken {
    /// Broken because of that.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(format!("unexpected error: {error:?}"))
    }
}

/// Breaks the law unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err($crate::store_suite::Broken::new(format!($($why)+)));
        }
    };
}

pub(super) use ensure;

/// Breaks the law unless both are equal.
pub(super) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<(), Broken> {
    ensure!(
        found == wanted,
        "{what}: found {found:?}, wanted {wanted:?}"
    );
    Ok(())
}

/// Breaks the law unless the bytes are equal; tells where they differ rather than all of them.
pub(super) fn same_bytes(what: &str, found: &[u8], wanted: &[u8]) -> Result<(), Broken> {
    if found == wanted {
        return Ok(());
    }
    let at = (found.iter().zip(wanted)).position(|(a, b)| a != b);
    let at = at.unwrap_or_else(|| found.len().min(wanted.len()));
    Err(Broken::new(format!(
        "{what}: {} bytes, wanted {}; they differ at byte {at}",
        found.len(),
        wanted.len()
    )))
}

/// Breaks the law unless it failed with that kind.
pub(super) fn fails<T: fmt::Debug>(
    what: &str,
    result: cloudmount_store::Result<T>,
    kind: ErrorKind,
) -> Result<(), Broken> {
    fails_with(what, result, &[kind])
}

/// Breaks the law unless it failed with one of those kinds.
pub(super) fn fails_with<T: fmt::Debug>(
    what: &str,
    result: cloudmount_store::Result<T>,
    kinds: &[ErrorKind],
) -> Result<(), Broken> {
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => Err(Broken::new(format!(
            "{what}: failed with {error:?}, not {kinds:?}"
        ))),
        Ok(value) => Err(Broken::new(format!(
            "{what}: gave {value:?}, not {kinds:?}"
        ))),
    }
}
