//! Why there are no credentials, in words that a person can act on.
//!
//! Law: what others say may hold a secret, as an address does that a token was sent to: only what was found out here is told.

use std::error::Error as _;

use crate::http::Failure;
use crate::s3::settings::S3Credentials;
use crate::{Error, ErrorKind};

/// Why there are none, where it was found out here, in words that hold no secret: others' may have one in an address.
pub(super) fn why(error: &object_store::Error) -> Option<String> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            let text = ours.to_string();
            let kind = format!(": {}", ours.kind());
            return Some(text.strip_suffix(&kind).unwrap_or(&text).to_owned());
        }
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(failure.detail.clone());
        }
        source = cause.source();
    }
    None
}

/// Why the file with the token that these credentials are had for cannot be read, if that is so.
pub(super) async fn unreadable(credentials: &S3Credentials) -> Option<String> {
    let (S3Credentials::WebIdentity { token_file, .. } | S3Credentials::Pod { token_file, .. }) =
        credentials
    else {
        return None;
    };
    let error = tokio::fs::File::open(token_file).await.err()?;
    Some(format!("cannot read the token in {token_file}: {error}"))
}

/// Of which kind it is that there are no credentials: a service that cannot be reached may be so later.
pub(in crate::s3) fn kind_of(error: &object_store::Error) -> ErrorKind {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<Error>()
            && error.kind().is_transient()
        {
            return error.kind();
        }
        source = cause.source();
    }
    ErrorKind::Unauthorized
}
