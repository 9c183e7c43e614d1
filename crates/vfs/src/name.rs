//! [`Name`]: one component of a path, validated once at the edge.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// One component of a path: 1 to 255 bytes of UTF-8, without `/` and NUL, neither `.` nor `..`.
///
/// Object keys are UTF-8 (Amazon S3 user guide, "Naming Amazon S3 objects"), so a name that is not
/// could never be stored and is refused here. 255 bytes is Linux's `NAME_MAX`.
/// Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why some bytes are not a [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// No byte at all.
    Empty,
    /// More than [`Name::MAX_BYTES`] bytes.
    TooLong,
    /// Holds a `/` or a NUL byte.
    IllegalByte,
    /// Not UTF-8.
    NotUtf8,
    /// `.` or `..`, which are steps and not names: see [`Vfs::lookup_parent`](crate::Vfs::lookup_dot).
    Dot,
}

impl Name {
    /// Linux's `NAME_MAX`.
    pub const MAX_BYTES: usize = 255;

    /// Validates `text`.
    ///
    /// # Errors
    /// [`NameError`] says which rule is broken.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text.as_bytes())?;
        Ok(Self(text.into()))
    }

    /// Validates `bytes` as they come from a kernel.
    ///
    /// # Errors
    /// [`NameError`] says which rule is broken.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        check(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|_| NameError::NotUtf8)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(bytes: &[u8]) -> Result<(), NameError> {
    match bytes {
        [] => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dot),
        _ if bytes.len() > Name::MAX_BYTES => Err(NameError::TooLong),
        _ if bytes.iter().any(|b| matches!(b, b'/' | 0)) => Err(NameError::IllegalByte),
        _ => Ok(()),
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name needs at least one byte",
            Self::TooLong => "a name has at most 255 bytes",
            Self::IllegalByte => "a name holds neither '/' nor NUL",
            Self::NotUtf8 => "a name is UTF-8, because object keys are",
            Self::Dot => "'.' and '..' are not names",
        })
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let long = "x".repeat(256);
        for (bytes, expected) in [
            (&b""[..], NameError::Empty),
            (b".", NameError::Dot),
            (b"..", NameError::Dot),
            (b"a/b", NameError::IllegalByte),
            (b"a\0b", NameError::IllegalByte),
            (b"\xff", NameError::NotUtf8),
            (long.as_bytes(), NameError::TooLong),
        ] {
            assert_eq!(Name::from_bytes(bytes), Err(expected));
        }
        for good in ["a", "...", " ", "é", &"x".repeat(255)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
    }
}
