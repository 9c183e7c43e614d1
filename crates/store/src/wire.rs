//! How versions and metadata are spelled in headers, whatever the store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::Version;

/// The version that a tag names. Some stores leave the quotes out in listings only; with them
/// everywhere, a listed version equals the one that `head` tells.
pub(crate) fn version(tag: &str) -> Version {
    let tag = tag.trim();
    if tag.starts_with('"') || tag.starts_with("W/") {
        Version::new(tag)
    } else {
        Version::new(format!("\"{tag}\""))
    }
}

/// Begins a word of RFC 2047 ("MIME part three", section 2).
const WORD: &str = "=?";

/// A value of user metadata as a header shows it.
///
/// Plain words of printable ASCII stay as they are. Anything else (other characters, spaces at an
/// end or in a row, which signing would collapse, or text that looks encoded) becomes one encoded
/// word of RFC 2047, as Amazon itself shows values that are not ASCII. [`metadata_from_wire`]
/// undoes it.
pub(crate) fn metadata_to_wire(value: &str) -> String {
    let printable = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    let steady = value.trim() == value && !value.contains("  ");
    if printable && steady && !value.contains(WORD) {
        value.to_owned()
    } else {
        format!("=?UTF-8?B?{}?=", BASE64.encode(value))
    }
}

/// Undoes [`metadata_to_wire`], and reads what other tools and Amazon write: encoded words in UTF-8,
/// several of them too, in base64 or quoted-printable. What is not wholly encoded is left alone.
pub(crate) fn metadata_from_wire(value: &str) -> String {
    let mut bytes = Vec::new();
    for word in value.split(' ') {
        match encoded_word(word) {
            Some(part) => bytes.extend_from_slice(&part),
            None => return value.to_owned(),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

fn encoded_word(word: &str) -> Option<Vec<u8>> {
    let inner = word.strip_prefix(WORD)?.strip_suffix("?=")?;
    let (charset, rest) = inner.split_once('?')?;
    let (encoding, text) = rest.split_once('?')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match encoding {
        "B" | "b" => BASE64.decode(text).ok(),
        "Q" | "q" => quoted(text.as_bytes()),
        _ => None,
    }
}

fn quoted(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        text = rest;
        match first {
            b'_' => out.push(b' '),
            b'=' => {
                let (hex, rest) = text.split_at_checked(2)?;
                out.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
                text = rest;
            }
            other => out.push(*other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_have_quotes() {
        for (tag, expected) in [("\"a\"", "\"a\""), ("a", "\"a\""), ("W/\"a\"", "W/\"a\"")] {
            assert_eq!(version(tag).as_str(), expected);
        }
    }

    #[test]
    fn known_metadata_words() {
        for (wire, value) in [
            ("plain", "plain"),
            ("", ""),
            ("=?UTF-8?B?w6k=?=", "é"),
            ("=?utf-8?q?a_=C3=A9?=", "a é"),
            ("=?UTF-8?Q?a?= =?UTF-8?Q?b?=", "ab"),
            ("=?UTF-8?B?not base64?=", "=?UTF-8?B?not base64?="),
            ("=?ISO-8859-1?Q?=E9?=", "=?ISO-8859-1?Q?=E9?="),
            ("half =?UTF-8?Q?a?=", "half =?UTF-8?Q?a?="),
            ("=?UTF-8?Q?=C?=", "=?UTF-8?Q?=C?="),
        ] {
            assert_eq!(metadata_from_wire(wire), value);
        }
    }

    proptest! {
        #[test]
        fn metadata_values_round_trip(value in any::<String>()) {
            let wire = metadata_to_wire(&value);
            prop_assert!(wire.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(metadata_from_wire(&wire), value);
        }

        #[test]
        fn ascii_metadata_values_round_trip(value in "[ =?a-zA-Z0-9/+]{0,12}") {
            prop_assert_eq!(metadata_from_wire(&metadata_to_wire(&value)), value);
        }
    }
}
