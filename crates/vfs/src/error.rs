//! Errors: one kind per reaction of the caller, a context that says what was tried, and the source.

use std::error::Error as StdError;
use std::fmt;

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// No such name or inode.
    NotFound,
    /// The name exists already.
    Exists,
    /// A directory was needed.
    NotDirectory,
    /// Something other than a directory was needed.
    IsDirectory,
    /// The directory has entries.
    NotEmpty,
    /// The permissions of the file or the bucket forbid it.
    PermissionDenied,
    /// It is not allowed to anyone here (hard links, device nodes).
    NotPermitted,
    /// The arguments make no sense together.
    InvalidArgument,
    /// A name or path is too long.
    NameTooLong,
    /// The name cannot be part of an object key.
    IllegalName,
    /// The handle is not open, or not for this use.
    BadHandle,
    /// This operation is not offered.
    Unsupported,
    /// The mount is read-only.
    ReadOnly,
    /// No room: on the staging disk, or in an object's metadata.
    NoSpace,
    /// The file would exceed the largest object of the store.
    FileTooLarge,
    /// The content was replaced by someone else since it was opened.
    Stale,
    /// In use; try again later.
    Busy,
    /// The two names are in different filesystems.
    CrossDevice,
    /// No such extended attribute.
    NoAttribute,
    /// The caller's buffer is too small.
    RangeTooSmall,
    /// No data or hole at or after that offset.
    NoSuchRange,
    /// The store did not answer in time.
    TimedOut,
    /// The store cannot be reached.
    Unreachable,
    /// The credentials are wrong or expired.
    Unauthorized,
    /// The operation was cancelled.
    Interrupted,
    /// Stored data does not match its checksum.
    Corrupt,
    /// Anything else that failed below: disk or network.
    Io,
}

impl ErrorKind {
    /// Every kind, so that an adapter's test can show that its match is complete and sensible.
    pub const ALL: [Self; 27] = [
        Self::NotFound,
        Self::Exists,
        Self::NotDirectory,
        Self::IsDirectory,
        Self::NotEmpty,
        Self::PermissionDenied,
        Self::NotPermitted,
        Self::InvalidArgument,
        Self::NameTooLong,
        Self::IllegalName,
        Self::BadHandle,
        Self::Unsupported,
        Self::ReadOnly,
        Self::NoSpace,
        Self::FileTooLarge,
        Self::Stale,
        Self::Busy,
        Self::CrossDevice,
        Self::NoAttribute,
        Self::RangeTooSmall,
        Self::NoSuchRange,
        Self::TimedOut,
        Self::Unreachable,
        Self::Unauthorized,
        Self::Interrupted,
        Self::Corrupt,
        Self::Io,
    ];
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Exists => "exists already",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "is a directory",
            Self::NotEmpty => "directory not empty",
            Self::PermissionDenied => "permission denied",
            Self::NotPermitted => "not permitted",
            Self::InvalidArgument => "invalid argument",
            Self::NameTooLong => "name too long",
            Self::IllegalName => "no object key can hold this name",
            Self::BadHandle => "bad handle",
            Self::Unsupported => "not supported",
            Self::ReadOnly => "read-only",
            Self::NoSpace => "no space left",
            Self::FileTooLarge => "file too large",
            Self::Stale => "replaced by someone else",
            Self::Busy => "busy",
            Self::CrossDevice => "on another filesystem",
            Self::NoAttribute => "no such attribute",
            Self::RangeTooSmall => "buffer too small",
            Self::NoSuchRange => "no such range",
            Self::TimedOut => "timed out",
            Self::Unreachable => "store unreachable",
            Self::Unauthorized => "credentials refused",
            Self::Interrupted => "interrupted",
            Self::Corrupt => "stored data damaged",
            Self::Io => "input/output error",
        })
    }
}

/// An error of any operation: its kind, what was being done, and what caused it.
pub struct Error {
    kind: ErrorKind,
    context: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of any operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of that kind, with what was being done: a lowercase fragment, no full stop.
    #[must_use]
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: Some(context.into().into_boxed_str()),
            source: None,
        }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The reaction that it asks for.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            context: None,
            source: None,
        }
    }
}

impl From<crate::NameError> for Error {
    fn from(error: crate::NameError) -> Self {
        use crate::NameError;
        let kind = match error {
            NameError::TooLong => ErrorKind::NameTooLong,
            NameError::NotUtf8 => ErrorKind::IllegalName,
            NameError::Empty | NameError::IllegalByte | NameError::Dot => {
                ErrorKind::InvalidArgument
            }
        };
        Self::from(kind).with_source(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "{context}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "; caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

/// Turns a foreign error into ours, with its kind and context.
pub trait ResultExt<T> {
    /// `context` is called on error only.
    ///
    /// # Errors
    /// The error of `self`, wrapped.
    fn or_kind<C: Into<String>>(self, kind: ErrorKind, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> ResultExt<T> for std::result::Result<T, E> {
    fn or_kind<C: Into<String>>(self, kind: ErrorKind, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|source| Error::new(kind, context()).with_source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_each_kind_once() {
        let mut seen = std::collections::HashSet::new();
        assert!(ErrorKind::ALL.iter().all(|kind| seen.insert(*kind)));
        assert_eq!(ErrorKind::Io as usize + 1, ErrorKind::ALL.len());
    }

    #[test]
    fn debug_shows_the_chain() {
        let error = Error::new(ErrorKind::Io, "read block 3").with_source("disk on fire");
        assert_eq!(
            format!("{error:?}"),
            "read block 3: input/output error; caused by: disk on fire"
        );
    }
}
