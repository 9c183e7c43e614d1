//! Percent encoding of keys and queries.

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode, utf8_percent_encode,
};

/// What Signature Version 4 encodes ("Create a canonical request": all but the unreserved
/// characters of RFC 3986).
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same for a path, in which `/` stays.
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// A key, or several parts of a path, as the path of a request shows it. `.` and `..` parts stay:
/// S3 does not resolve them.
pub(super) fn path(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, STRICT_PATH)
}

/// A value in a query.
pub(super) fn query(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, STRICT)
}

/// Undoes the encoding of a listing that was asked for with `encoding-type=url`: percent encoding
/// with `+` for a space, as Amazon writes it and its SDKs read it. `None` if it is not UTF-8.
pub(super) fn listed(text: String) -> Option<String> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(text);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_encoded_once_and_never_normalised() {
        for (key, expected) in [
            ("a//b", "a//b"),
            ("a/", "a/"),
            ("./x", "./x"),
            ("../y", "../y"),
            ("%41", "%2541"),
            ("a+b c", "a%2Bb%20c"),
            ("é", "%C3%A9"),
            ("\u{1}\n\u{7f}", "%01%0A%7F"),
            ("a~b_c-d.e", "a~b_c-d.e"),
            (
                "&<>\"'*()!$,:=@?#",
                "%26%3C%3E%22%27%2A%28%29%21%24%2C%3A%3D%40%3F%23",
            ),
        ] {
            assert_eq!(path(key).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn listed_names_round_trip(key in any::<String>()) {
            prop_assert_eq!(listed(query(&key).to_string()), Some(key.clone()));
            let form = query(&key).to_string().replace("%20", "+");
            prop_assert_eq!(listed(form), Some(key));
        }
    }
}
