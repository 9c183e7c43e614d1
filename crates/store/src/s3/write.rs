//! `put`, and what it shares with the end of a multipart upload.

use http::Method;

use super::headers;
use super::request::{Request, Sender, Trouble};
use crate::rules::check_tags;
use crate::wire::version;
use crate::{
    Capabilities, Error, ErrorKind, Key, Payload, Precondition, PutOptions, Result, Version,
};

/// `PutObject`.
pub(super) async fn put(
    sender: &Sender,
    capabilities: &Capabilities,
    key: &Key,
    payload: Payload,
    options: PutOptions,
) -> Result<Version> {
    check_precondition(capabilities, &options.precondition, key)?;
    let mut request = Request::new("write", Method::PUT, Some(key)).content(payload);
    check_tags(capabilities, &options.metadata)?;
    headers::put_metadata(&mut request.headers, &options.metadata)?;
    headers::put_tags(&mut request.headers, &options.metadata.tags)?;
    headers::put_precondition(&mut request.headers, &options.precondition)?;
    let answer = sender.fetch(request).await;
    let answer = answer.map_err(|trouble| nothing_to_match(trouble, &options.precondition, key))?;
    answer.tag().map(|tag| version(&tag))
}

/// Refuses a condition that the endpoint would pass over in silence.
pub(super) fn check_precondition(
    capabilities: &Capabilities,
    precondition: &Precondition,
    key: &Key,
) -> Result<()> {
    let known = match precondition {
        Precondition::None => true,
        Precondition::Absent => capabilities.put_if_absent,
        Precondition::Matches(_) => capabilities.put_if_match,
    };
    if known {
        Ok(())
    } else {
        let context = format!("write {key:?}: this endpoint checks no such precondition");
        Err(Error::new(ErrorKind::Unsupported, context))
    }
}

/// S3 answers `If-Match` on a key without object with "not found"; for the caller the precondition
/// did not hold. A missing upload is another matter.
pub(super) fn nothing_to_match(trouble: Trouble, precondition: &Precondition, key: &Key) -> Error {
    let Trouble { error, code, .. } = trouble;
    let asked = matches!(precondition, Precondition::Matches(_));
    let missing = error.kind() == ErrorKind::NotFound && code != "NoSuchUpload";
    if asked && missing {
        let context = format!("write {key:?}: no object is there to match");
        Error::new(ErrorKind::Precondition, context).with_source(error)
    } else {
        error
    }
}
