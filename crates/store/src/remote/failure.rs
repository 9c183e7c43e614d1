//! Sorts the errors of `object_store`.

use std::error::Error as _;

use object_store::Error as Foreign;
use object_store::client::{HttpError, HttpErrorKind};

use crate::{Error, ErrorKind, Key};

/// The error of doing `action` to `key`.
pub(super) fn error(action: &str, key: &Key, foreign: Foreign) -> Error {
    let context = format!("{action} {key:?}");
    Error::new(kind(&foreign), context).with_source(foreign)
}

/// The kind of an error. What `object_store` calls generic is a fault of the server unless a
/// connection lies behind it: it does not tell more, and a bounded number of new tries does no harm.
pub(super) fn kind(foreign: &Foreign) -> ErrorKind {
    match foreign {
        Foreign::NotFound { .. } => ErrorKind::NotFound,
        Foreign::AlreadyExists { .. }
        | Foreign::Precondition { .. }
        | Foreign::NotModified { .. } => ErrorKind::Precondition,
        Foreign::NotSupported { .. } | Foreign::NotImplemented { .. } => ErrorKind::Unsupported,
        Foreign::PermissionDenied { .. } => ErrorKind::Forbidden,
        Foreign::Unauthenticated { .. } => ErrorKind::Unauthorized,
        Foreign::InvalidPath { .. } | Foreign::UnknownConfigurationKey { .. } => {
            ErrorKind::InvalidRequest
        }
        other => of_connection(other).unwrap_or(ErrorKind::Server),
    }
}

fn of_connection(foreign: &Foreign) -> Option<ErrorKind> {
    let mut next = foreign.source();
    while let Some(cause) = next {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return Some(match http.kind() {
                HttpErrorKind::Timeout => ErrorKind::TimedOut,
                HttpErrorKind::Decode => ErrorKind::Io,
                _ => ErrorKind::Connection,
            });
        }
        next = cause.source();
    }
    None
}
