//! Errors of stores: one kind per reaction.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use cloudmount_vfs as vfs;

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// No such object or upload; of a request that is answered without words (`HEAD`), perhaps no such bucket.
    NotFound,
    /// There is no such bucket, which says nothing of its objects: it may be made again, or be there after all.
    NoBucket,
    /// The precondition did not hold: someone else was there.
    Precondition,
    /// The range starts at or after the end of the object.
    Range,
    /// The request is wrong and will be so again.
    InvalidRequest,
    /// The credentials do not allow it.
    Forbidden,
    /// The credentials are missing, wrong or expired.
    Unauthorized,
    /// The endpoint does not offer it.
    Unsupported,
    /// The object is archived: it must be restored before it is read or copied. That says nothing of
    /// other objects.
    Archived,
    /// The object or its metadata are larger than the store takes.
    TooLarge,
    /// The bucket is over its quota.
    Quota,
    /// Too many requests: wait and try again.
    Throttled,
    /// A fault on the server's side: try again.
    Server,
    /// No connection, or it broke: try again.
    Connection,
    /// No answer in time: try again. The server may or may not have done it.
    TimedOut,
    /// The answer made no sense, or the local disk failed.
    Io,
}

impl ErrorKind {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::Server | Self::Connection | Self::TimedOut
        )
    }
}

/// An error of a store: its kind, what was asked, what caused it.
pub struct Error {
    kind: ErrorKind,
    context: Box<str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of that kind; `context` says what was asked, as a lowercase fragment. It must not
    /// hold credentials: it reaches logs.
    #[must_use]
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        let context = context.into().into_boxed_str();
        Self {
            kind,
            context,
            retry_after: None,
            source: None,
        }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with how long the server asked to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The reaction that it asks for.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the server asked to wait before the next try.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::NoBucket => "there is no such bucket",
            Self::Precondition => "precondition failed",
            Self::Range => "range not satisfiable",
            Self::InvalidRequest => "request refused as invalid",
            Self::Forbidden => "access denied",
            Self::Unauthorized => "credentials refused",
            Self::Unsupported => "not supported by this store",
            Self::Archived => "archived",
            Self::TooLarge => "too large for this store",
            Self::Quota => "over quota",
            Self::Throttled => "throttled",
            Self::Server => "server error",
            Self::Connection => "connection failed",
            Self::TimedOut => "timed out",
            Self::Io => "unusable answer",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.context, self.kind)
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

impl From<Error> for vfs::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound => vfs::ErrorKind::NotFound,
            ErrorKind::Precondition | ErrorKind::Range => vfs::ErrorKind::Stale,
            ErrorKind::NoBucket | ErrorKind::InvalidRequest | ErrorKind::Server | ErrorKind::Io => {
                vfs::ErrorKind::Io
            }
            ErrorKind::Forbidden => vfs::ErrorKind::PermissionDenied,
            ErrorKind::Unauthorized => vfs::ErrorKind::Unauthorized,
            ErrorKind::Unsupported | ErrorKind::Archived => vfs::ErrorKind::Unsupported,
            ErrorKind::TooLarge => vfs::ErrorKind::FileTooLarge,
            ErrorKind::Quota => vfs::ErrorKind::NoSpace,
            ErrorKind::Throttled | ErrorKind::TimedOut => vfs::ErrorKind::TimedOut,
            ErrorKind::Connection => vfs::ErrorKind::Unreachable,
        };
        Self::new(kind, "object store").with_source(error)
    }
}
