//! Metadata, versions, times and ranges as headers.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use chrono::DateTime;
use cloudmount_vfs::Timestamp;
use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};

use super::encode;
use crate::wire::{metadata_from_wire, metadata_to_wire, version};
use crate::{Error, ErrorKind, Metadata, ObjectMeta, Precondition, Result, Tags, Version};

const USER_PREFIX: &str = "x-amz-meta-";
const TAGS: HeaderName = HeaderName::from_static("x-amz-tagging");
const TAG_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

/// Adds the headers that carry `metadata`.
///
/// # Errors
/// `InvalidRequest` if a name is no header name, or a value holds control characters where a header
/// has no way to say them.
pub(super) fn put_metadata(headers: &mut HeaderMap, metadata: &Metadata) -> Result<()> {
    for (name, value) in [
        (CONTENT_TYPE, &metadata.content_type),
        (CACHE_CONTROL, &metadata.cache_control),
        (CONTENT_DISPOSITION, &metadata.content_disposition),
        (CONTENT_ENCODING, &metadata.content_encoding),
        (CONTENT_LANGUAGE, &metadata.content_language),
        (EXPIRES, &metadata.expires),
    ] {
        if let Some(value) = value {
            let invalid = || invalid(format!("metadata {name}: {value:?} does not fit a header"));
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?;
            headers.insert(name, value);
        }
    }
    for (name, value) in &metadata.user {
        let invalid = || invalid(format!("metadata name {name:?} does not fit a header"));
        let full = format!("{USER_PREFIX}{name}");
        let full = HeaderName::from_lowercase(full.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::try_from(metadata_to_wire(value)).map_err(|_| invalid())?;
        headers.insert(full, value);
    }
    Ok(())
}

/// Adds the header that carries the tags of what is written anew.
pub(super) fn put_tags(headers: &mut HeaderMap, tags: &Tags) -> Result<()> {
    let Tags::These(tags) = tags else {
        return Ok(());
    };
    let mut text = String::new();
    for (name, value) in tags.iter() {
        let and = if text.is_empty() { "" } else { "&" };
        let (name, value) = (encode::query(name), encode::query(value));
        // A String takes any text.
        let _ = write!(text, "{and}{name}={value}");
    }
    let value = HeaderValue::try_from(text).map_err(|_| invalid("tags".to_owned()))?;
    headers.insert(TAGS, value);
    Ok(())
}

/// How many tags there are, as far as one may know.
fn tag_count(headers: &HeaderMap) -> Tags {
    let count = text(headers, &TAG_COUNT).and_then(|count| count.trim().parse().ok());
    match count.unwrap_or(0) {
        0 => Tags::None,
        count => Tags::Unread(count),
    }
}

/// Adds the headers that ask for `precondition`.
pub(super) fn put_precondition(headers: &mut HeaderMap, precondition: &Precondition) -> Result<()> {
    match precondition {
        Precondition::None => {}
        Precondition::Absent => {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        Precondition::Matches(version) => {
            headers.insert(IF_MATCH, tag(version)?);
        }
    }
    Ok(())
}

/// A version as the value of a header.
pub(super) fn tag(version: &Version) -> Result<HeaderValue> {
    HeaderValue::from_str(version.as_str())
        .map_err(|_| invalid(format!("version {version:?} does not fit a header")))
}

fn invalid(context: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, context)
}

/// What the headers of a `HEAD` or `GET` tell; `size` is that of the whole object. `None` without
/// an `ETag`: then nobody could tell one content from the next.
pub(super) fn object_meta(headers: &HeaderMap, size: u64) -> Option<ObjectMeta> {
    Some(ObjectMeta {
        size,
        version: version(&text(headers, &ETAG)?),
        modified: text(headers, &LAST_MODIFIED)
            .and_then(|value| http_date(&value))
            .unwrap_or_default(),
        metadata: Metadata {
            content_type: text(headers, &CONTENT_TYPE),
            cache_control: text(headers, &CACHE_CONTROL),
            content_disposition: text(headers, &CONTENT_DISPOSITION),
            content_encoding: text(headers, &CONTENT_ENCODING),
            content_language: text(headers, &CONTENT_LANGUAGE),
            expires: text(headers, &EXPIRES),
            tags: tag_count(headers),
            user: headers
                .iter()
                .filter_map(|(name, value)| {
                    let name = name.as_str().strip_prefix(USER_PREFIX)?;
                    Some((name.to_owned(), metadata_from_wire(&decode(value))))
                })
                .collect(),
        },
    })
}

/// The value of one header.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(decode)
}

/// UTF-8 if it is that, or else Latin-1: some stores give back raw bytes.
fn decode(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// A time of HTTP: `Wed, 12 Oct 2009 17:50:00 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::new(time.timestamp(), 0))
}

/// `Date`: when the server answered.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(&text(headers, &DATE)?)
}

/// `Content-Length`.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.trim().parse().ok()
}

/// `Content-Range: bytes 0-9/100` as the range and the size of the whole.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let value = text(headers, &CONTENT_RANGE)?;
    let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let size = size.parse().ok()?;
    (first <= last && last < size).then_some((first..last + 1, size))
}

/// `Retry-After` in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(http_date(&value)?.saturating_since(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (HeaderName::from_static(name), value)
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn metadata_round_trip() {
        let metadata = Metadata {
            content_type: Some("text/plain".to_owned()),
            content_disposition: Some("attachment; filename=é".to_owned()),
            expires: Some("0".to_owned()),
            user: [("mode", "33188"), ("name", "日本\n"), ("empty", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Metadata::default()
        };
        let mut headers = headers(&[
            ("etag", "\"x\""),
            ("last-modified", "Mon, 12 Oct 2009 17:50:00 GMT"),
        ]);
        put_metadata(&mut headers, &metadata).unwrap();
        let meta = object_meta(&headers, 3).unwrap();
        assert_eq!(meta.metadata, metadata);
        assert_eq!(meta.modified, Timestamp::new(1_255_369_800, 0));
        assert_eq!(meta.version, Version::new("\"x\""));
    }

    #[test]
    fn tags_are_a_query_and_a_count() {
        let pairs = [("a b", "x/y&=é"), ("c", "")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut found = HeaderMap::new();
        put_tags(&mut found, &Tags::These(Box::new(pairs.into()))).unwrap();
        assert_eq!(found[TAGS], "a%20b=x%2Fy%26%3D%C3%A9&c=");
        for (count, expected) in [("0", Tags::None), ("2", Tags::Unread(2)), ("", Tags::None)] {
            let headers = headers(&[("etag", "x"), ("x-amz-tagging-count", count)]);
            let found = object_meta(&headers, 0).unwrap().metadata.tags;
            assert_eq!(found, expected, "{count:?}");
        }
    }

    #[test]
    fn raw_bytes_are_read() {
        let raw = HeaderValue::from_bytes(b"\xe9").unwrap();
        let mut headers = headers(&[("etag", "x"), ("x-amz-meta-utf", "é")]);
        headers.insert("x-amz-meta-latin", raw);
        let user = object_meta(&headers, 0).unwrap().metadata.user;
        assert_eq!(user["utf"], "é");
        assert_eq!(user["latin"], "é");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let name = Metadata {
            user: [("a b".to_owned(), String::new())].into(),
            ..Metadata::default()
        };
        let capital = Metadata {
            user: [("Mode".to_owned(), String::new())].into(),
            ..Metadata::default()
        };
        let value = Metadata {
            content_type: Some("a\nb".to_owned()),
            ..Metadata::default()
        };
        for metadata in [name, capital, value] {
            let error = put_metadata(&mut HeaderMap::new(), &metadata).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{metadata:?}");
        }
    }

    #[test]
    fn ranges() {
        for (value, expected) in [
            ("bytes 0-9/100", Some((0..10, 100))),
            ("bytes 99-99/100", Some((99..100, 100))),
            ("bytes 0-100/100", None),
            ("bytes 5-4/100", None),
            ("bytes */100", None),
            ("bytes 0-9/*", None),
        ] {
            assert_eq!(
                content_range(&headers(&[("content-range", value)])),
                expected
            );
        }
    }

    #[test]
    fn waits() {
        let now = Timestamp::new(1_255_369_790, 0);
        for (value, expected) in [
            ("3", Some(3)),
            ("Mon, 12 Oct 2009 17:50:00 GMT", Some(10)),
            ("Mon, 12 Oct 2009 17:40:00 GMT", Some(0)),
            ("soon", None),
        ] {
            let headers = headers(&[("retry-after", value)]);
            assert_eq!(
                retry_after(&headers, now),
                expected.map(Duration::from_secs)
            );
        }
    }
}
