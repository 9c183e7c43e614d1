//! [`Failure`]: why no usable answer came, before anyone adds what was asked.

use std::error::Error as StdError;
use std::{fmt, io};

use hyper_util::client::legacy;

use rustls::CertificateError;

use crate::ErrorKind;
use crate::reach::Distrust;

/// A request without an answer, or an answer that broke off.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How to react.
    pub(crate) kind: ErrorKind,
    /// What happened, as a lowercase fragment.
    pub(crate) detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            source: None,
        }
    }

    /// Sorts an error of the connection. `peer` is scheme, host and port.
    pub(crate) fn of_request(error: legacy::Error, peer: &str) -> Self {
        let (kind, detail) = match root(&error) {
            Root::Tls(cause) => {
                let detail = format!("TLS with {peer} failed: {cause}");
                (ErrorKind::InvalidRequest, detail)
            }
            Root::Io(io::ErrorKind::TimedOut) if !error.is_connect() => (
                ErrorKind::TimedOut,
                format!("nothing of what was sent to {peer} was acknowledged for too long"),
            ),
            Root::Io(io::ErrorKind::TimedOut) => (
                ErrorKind::TimedOut,
                format!("connecting to {peer} took too long"),
            ),
            Root::Io(cause) if error.is_connect() => (
                ErrorKind::Connection,
                format!("cannot connect to {peer}: {cause}"),
            ),
            _ if error.is_connect() => (
                ErrorKind::Connection,
                format!("cannot connect to {peer} (is the host name right?)"),
            ),
            Root::Io(_) | Root::Other => (
                ErrorKind::Connection,
                format!("the connection to {peer} broke before the answer"),
            ),
        };
        Self {
            kind,
            detail,
            source: Some(Box::new(error)),
        }
    }

    /// Sorts an error in the middle of a body.
    pub(crate) fn of_body(error: hyper::Error) -> Self {
        Self {
            kind: ErrorKind::Connection,
            detail: "the connection broke in the middle of the answer".to_owned(),
            source: Some(Box::new(error)),
        }
    }

    /// Why its certificate is not taken, if the other side speaks TLS, and only that is wrong.
    pub(crate) fn about_certificate(&self) -> Option<Distrust> {
        let source = self.source.as_deref()?;
        match root(source as &(dyn StdError + 'static)) {
            Root::Tls(rustls::Error::InvalidCertificate(why)) => Some(Distrust::new(&why)),
            _ => None,
        }
    }

    /// The store's error, with what was asked in front.
    pub(crate) fn into_error(self, asked: &str) -> crate::Error {
        let error = crate::Error::new(self.kind, format!("{asked}: {}", self.detail));
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

impl Distrust {
    fn new(why: &CertificateError) -> Self {
        use CertificateError as Why;
        match why {
            Why::Expired | Why::ExpiredContext { .. } => Self::Expired,
            Why::NotValidYet | Why::NotValidYetContext { .. } => Self::NotYet,
            Why::NotValidForName | Why::NotValidForNameContext { .. } => Self::Name,
            // One of the same name with another key is as unknown.
            Why::UnknownIssuer
            | Why::BadSignature
            | Why::UnsupportedSignatureAlgorithmContext { .. }
            | Why::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Authority,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

enum Root {
    Tls(rustls::Error),
    Io(io::ErrorKind),
    Other,
}

/// The innermost cause that says something. A TLS error comes wrapped in an I/O error, which shows
/// it through `get_ref` and not as its source.
fn root(error: &(dyn StdError + 'static)) -> Root {
    let mut found = Root::Other;
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Root::Tls(tls.clone());
        }
        let mut inner = cause.source();
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            found = Root::Io(io.kind());
            inner = io.get_ref().map(|e| e as &(dyn StdError + 'static));
        }
        next = inner;
    }
    found
}
