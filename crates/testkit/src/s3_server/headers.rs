//! Metadata, conditions, versions and times as headers.

use std::ops::Range;

use chrono::DateTime;
use cloudmount_store::{
    Error, ErrorKind, Metadata, ObjectMeta, Precondition, Result, Tags, Version,
};
use cloudmount_vfs::Timestamp;

use crate::loopback::{Request, Response, parameters};

const USER_PREFIX: &str = "x-amz-meta-";

/// The metadata of what a request writes. Values stay as they travel: what they mean is the client's.
pub(super) fn metadata(request: &Request) -> Result<Metadata> {
    let of = |name: &str| request.header(name).map(str::to_owned);
    let user = (request.headers.iter())
        .filter_map(|(name, value)| {
            Some((name.strip_prefix(USER_PREFIX)?.to_owned(), value.clone()))
        })
        .collect();
    let tags = match request.header("x-amz-tagging") {
        None => Tags::None,
        Some(text) => {
            let invalid = || Error::new(ErrorKind::InvalidRequest, "x-amz-tagging");
            Tags::These(Box::new(parameters(text).ok_or_else(invalid)?))
        }
    };
    Ok(Metadata {
        content_type: of("content-type"),
        cache_control: of("cache-control"),
        content_disposition: of("content-disposition"),
        content_encoding: of("content-encoding"),
        content_language: of("content-language"),
        expires: of("expires"),
        tags,
        user,
    })
}

/// The headers that tell about an object.
pub(super) fn tell(mut response: Response, meta: &ObjectMeta) -> Response {
    let metadata = &meta.metadata;
    for (name, value) in [
        ("Content-Type", &metadata.content_type),
        ("Cache-Control", &metadata.cache_control),
        ("Content-Disposition", &metadata.content_disposition),
        ("Content-Encoding", &metadata.content_encoding),
        ("Content-Language", &metadata.content_language),
        ("Expires", &metadata.expires),
    ] {
        if let Some(value) = value {
            response = response.header(name, value);
        }
    }
    for (name, value) in &metadata.user {
        response = response.header(&format!("{USER_PREFIX}{name}"), value);
    }
    let tags = match &metadata.tags {
        Tags::None => 0,
        Tags::Unread(count) => usize::from(*count),
        Tags::These(tags) => tags.len(),
    };
    if tags > 0 {
        response = response.header("x-amz-tagging-count", tags.to_string());
    }
    response
        .header("ETag", meta.version.as_str())
        .header("Last-Modified", http_date(meta.modified))
        .header("Accept-Ranges", "bytes")
}

/// The condition that a write is to be checked by.
///
/// # Errors
/// `Unsupported`: another one than S3 has.
pub(super) fn precondition(request: &Request) -> Result<Precondition> {
    match (request.header("if-none-match"), request.header("if-match")) {
        (None, None) => Ok(Precondition::None),
        (Some("*"), None) => Ok(Precondition::Absent),
        (None, Some(tag)) => Ok(Precondition::Matches(Version::new(tag))),
        _ => Err(Error::new(ErrorKind::Unsupported, "such a condition")),
    }
}

/// The version that a header names.
pub(super) fn version(request: &Request, header: &str) -> Option<Version> {
    request.header(header).map(Version::new)
}

/// `bytes=0-9`; what is no range is as none, as HTTP has it.
pub(super) fn range(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}

/// The same, of what is read: also `bytes=10-`, to the end.
pub(super) fn range_to_read(text: &str) -> Option<Range<u64>> {
    let from = || {
        let first = text.strip_prefix("bytes=")?.strip_suffix('-')?;
        Some(first.parse().ok()?..u64::MAX)
    };
    range(text).or_else(from)
}

/// `Wed, 12 Oct 2009 17:50:00 GMT`.
pub(super) fn http_date(time: Timestamp) -> String {
    let time = DateTime::from_timestamp(time.secs(), 0).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// `2009-10-12T17:50:30.000Z`.
pub(super) fn document_date(time: Timestamp) -> String {
    let time = DateTime::from_timestamp(time.secs(), time.nanos()).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
