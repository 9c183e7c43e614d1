//! As much of XML as S3 needs: what to write, and the few elements that requests have.

use std::fmt::Write as _;

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Text as an element holds it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find(';') else { break };
        out.push(match &rest[1..end] {
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "amp" => '&',
            number => {
                let digits = number.trim_start_matches('#');
                let code = match digits.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => digits.parse().ok(),
                };
                code.and_then(char::from_u32).unwrap_or('\u{fffd}')
            }
        });
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

/// `<name>text</name>`.
pub(super) fn element(out: &mut String, name: &str, text: &str) {
    let text = escaped(text);
    // Writing to a String does not fail.
    let _ = write!(out, "<{name}>{text}</{name}>");
}

/// A document with that root.
pub(super) fn document(root: &str, inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">{inner}</{root}>"
    )
}

/// What stands between `<name>` and `</name>`, wherever that comes.
pub(super) fn all_of<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(&open) {
        rest = &rest[at + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(&rest[..end]);
        rest = &rest[end + close.len()..];
    }
    found
}

/// The text of the first element of that name.
pub(super) fn text_of(text: &str, name: &str) -> Option<String> {
    all_of(text, name).first().map(|text| unescaped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives() {
        for text in ["a&b<c>\"'", "&amp;", "", "é;&"] {
            let mut xml = String::new();
            element(&mut xml, "Key", text);
            assert_eq!(text_of(&xml, "Key").as_deref(), Some(text));
        }
        assert_eq!(
            text_of("<Key>&#65;&#x42;</Key>", "Key").as_deref(),
            Some("AB")
        );
        assert_eq!(all_of("<A>1</A><B/><A>2</A><A>", "A"), ["1", "2"]);
    }
}
