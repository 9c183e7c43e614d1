//! Errors that people read: what is wrong, and what to do.

use std::error::Error as StdError;
use std::fmt;

/// An error with its remedy.
pub struct Error {
    what: String,
    remedy: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of what this crate does.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What is wrong, as a fragment without a full stop.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: None,
            source: None,
        }
    }

    /// What to do about it.
    pub(crate) fn or(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What is wrong and why, and what to do.
    pub(crate) fn parts(&self) -> (String, Option<String>) {
        let text = self.to_string();
        match &self.remedy {
            Some(remedy) => {
                let what = text.strip_suffix(remedy.as_str()).unwrap_or(&text);
                (what.trim_end().to_owned(), Some(remedy.clone()))
            }
            None => (text, None),
        }
    }

    /// The kind of the filesystem's error that caused it, if one did.
    #[must_use]
    pub fn kind(&self) -> Option<cloudmount_vfs::ErrorKind> {
        let mut source = self.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<cloudmount_vfs::Error>() {
                return Some(error.kind());
            }
            source = cause.source();
        }
        None
    }
}

impl fmt::Display for Error {
    /// One line: what, why, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut source = self.source.as_deref().map(|source| source as &dyn StdError);
        let mut said = self.what.clone();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said.push_str(&text);
            }
            source = cause.source();
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<cloudmount_vfs::Error> for Error {
    fn from(error: cloudmount_vfs::Error) -> Self {
        Self {
            what: error.to_string(),
            remedy: None,
            source: Some(error.into()),
        }
    }
}
