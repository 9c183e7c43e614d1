//! Which bucket, and which part of it: what is meant is often not what is written.

use cloudmount_store::Location;

use super::Finding;
use crate::{Settings, address};

const CHECK: &str = "location";

/// The location, if it is one, and what is to be said of it. A provider that it names is noted in `settings`.
pub(super) fn look(text: &str, settings: &mut Settings) -> (Option<Location>, Vec<Finding>) {
    let text = match address::of_bucket(text, settings) {
        Ok(text) => text,
        Err(error) => {
            let (what, remedy) = error.parts();
            let finding = Finding::fail(CHECK, what).or(remedy.unwrap_or_default());
            return (None, vec![finding]);
        }
    };
    let location: Location = match text.parse() {
        Ok(location) => location,
        Err(error) => {
            let error: cloudmount_store::Error = error;
            let finding = Finding::fail(CHECK, error.to_string());
            return (None, vec![finding.or("write s3://BUCKET/PREFIX")]);
        }
    };
    let prefix = match &location {
        Location::S3 { prefix, .. }
        | Location::Gcs { prefix, .. }
        | Location::Azure { prefix, .. } => prefix.as_str(),
        Location::Folder { .. } | Location::Memory => "",
    };
    let finding = match oddity(prefix) {
        None => Finding::ok(CHECK, location.to_string()),
        Some(odd) => Finding::warn(CHECK, format!("the prefix {prefix:?} {odd}"))
            .or("it is taken as it is written, nothing is decoded: check that keys begin so"),
    };
    (Some(location), vec![finding])
}

/// What of a prefix is rarely meant.
fn oddity(prefix: &str) -> Option<&'static str> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = prefix.as_bytes();
    let has_escape = (bytes.iter().enumerate())
        .any(|(at, byte)| *byte == b'%' && is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)));
    let mut parts = prefix.strip_suffix('/').unwrap_or(prefix).split('/');
    if prefix.chars().any(char::is_control) {
        Some("has control characters")
    } else if has_escape {
        Some("has what looks like an escape of URLs")
    } else if prefix.contains('\\') {
        Some("has a backslash, which parts no folders")
    } else if prefix.contains(['?', '#']) {
        Some("has a ? or #, which end no key")
    } else if !prefix.is_empty() && parts.clone().any(str::is_empty) {
        Some("has an empty part (a slash too many)")
    } else if parts.clone().any(|part| part == "." || part == "..") {
        Some("has a part that is . or ..")
    } else if parts.any(|part| part.trim() != part) {
        Some("has a part that begins or ends with a blank")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn odd_prefixes_are_pointed_out() {
        for (text, verdict, words) in [
            ("s3://pail", Verdict::Ok, "s3://pail"),
            ("s3://pail/photos/2026/", Verdict::Ok, "photos"),
            ("s3://pail/été (1)", Verdict::Ok, "été"),
            ("memory:", Verdict::Ok, "memory:"),
            ("b2://pail/a", Verdict::Ok, "s3://pail/a"),
            ("b2:/pail", Verdict::Fail, "two slashes"),
            ("s3://pail/a%20b", Verdict::Warn, "escape of URLs"),
            ("s3://pail/a\\b", Verdict::Warn, "backslash"),
            ("s3://pail/a?b", Verdict::Warn, "? or #"),
            ("s3://pail//a", Verdict::Warn, "empty part"),
            ("s3://pail/../a", Verdict::Warn, ". or .."),
            ("s3://pail/a /b", Verdict::Warn, "blank"),
            ("s3://pail/a\u{1}b", Verdict::Warn, "control"),
            ("pail", Verdict::Fail, "no scheme"),
            ("s3://", Verdict::Fail, "bucket is missing"),
        ] {
            let (location, found) = look(text, &mut Settings::default());
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].verdict, verdict, "{text}: {found:?}");
            assert!(found[0].found.contains(words), "{text}: {found:?}");
            assert_eq!(location.is_none(), verdict == Verdict::Fail, "{text}");
        }
    }
}
