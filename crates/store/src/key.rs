//! [`Key`]: the raw key of an object.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The key of an object: 1 to 1024 bytes of UTF-8, taken as they are.
///
/// `a//b`, `a/`, `./x` and keys with control characters are legal and different keys (Amazon S3
/// user guide, "Naming Amazon S3 objects"). Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why some text is not a [`Key`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// No byte at all.
    Empty,
    /// More than [`Key::MAX_BYTES`] bytes.
    TooLong,
}

impl Key {
    /// The longest key that S3, GCS and Azure Blob take, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Validates `text`.
    ///
    /// # Errors
    /// [`KeyError`] says which rule is broken.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, KeyError> {
        let text = text.into();
        match text.len() {
            0 => Err(KeyError::Empty),
            n if n > Self::MAX_BYTES => Err(KeyError::TooLong),
            _ => Ok(Self(text)),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it ends in `/`: the marker of a folder.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        self.0.ends_with('/')
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a key needs at least one byte",
            Self::TooLong => "a key has at most 1024 bytes",
        })
    }
}

impl std::error::Error for KeyError {}
