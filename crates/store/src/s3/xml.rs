//! Reading and writing the little XML that S3 speaks.
//!
//! [`walk`] streams over an answer and hands out each element as it closes. It is forgiving:
//! unknown elements, missing ones, any namespace, and text that cannot be decoded (told as `None`,
//! so that one odd entry does not spoil the others) are all fine; only broken markup is an error.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// An element that has just closed: where it is, below the root (`Contents/Key`, for the root
/// itself nothing), and its text since its last child.
pub(super) struct Element<'a> {
    pub(super) path: &'a str,
    /// `None` if it holds what cannot be decoded.
    pub(super) text: Option<&'a str>,
}

/// The markup is broken.
#[derive(Debug)]
pub(super) struct Broken;

/// The text of an element as it is read. The memory is used again for the next: a listing has thousands.
#[derive(Default)]
struct Text {
    text: String,
    is_odd: bool,
}

impl Text {
    fn clear(&mut self) {
        self.text.clear();
        self.is_odd = false;
    }

    fn append(&mut self, piece: Option<&str>) {
        match piece {
            Some(piece) => self.text.push_str(piece),
            None => self.is_odd = true,
        }
    }

    fn get(&self) -> Option<&str> {
        (!self.is_odd).then_some(&*self.text)
    }
}

fn reader(xml: &[u8]) -> Reader<&[u8]> {
    let mut reader = Reader::from_reader(xml.trim_ascii_start());
    reader.config_mut().expand_empty_elements = true;
    reader
}

/// Whether the root is called `name`: nothing behind its beginning is read.
pub(super) fn has_root(xml: &[u8], name: &str) -> bool {
    let mut reader = reader(xml);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => return start.local_name().as_ref() == name.as_bytes(),
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// Calls `visit` for each element, and gives the name of the root.
pub(super) fn walk(xml: &[u8], mut visit: impl FnMut(Element<'_>)) -> Result<String, Broken> {
    let mut reader = reader(xml);
    let mut root = None;
    let mut path = String::new();
    let mut text = Text::default();
    // Lengths of `path` at which each open element below the root begins.
    let mut open: Vec<usize> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| Broken)? {
            Event::Start(start) => {
                let name = start.local_name();
                let name = std::str::from_utf8(name.as_ref()).map_err(|_| Broken)?;
                if root.is_none() {
                    root = Some(name.to_owned());
                } else {
                    open.push(path.len());
                    if !path.is_empty() {
                        path.push('/');
                    }
                    path.push_str(name);
                }
                text.clear();
            }
            Event::End(_) => {
                visit(Element {
                    path: &path,
                    text: text.get(),
                });
                text.clear();
                match open.pop() {
                    Some(length) => path.truncate(length),
                    None => return root.ok_or(Broken),
                }
            }
            Event::Text(piece) => text.append(piece.decode().ok().as_deref()),
            Event::CData(piece) => text.append(piece.decode().ok().as_deref()),
            Event::GeneralRef(name) => {
                let character = resolve(&name);
                let mut bytes = [0; 4];
                text.append(character.map(|c| &*c.encode_utf8(&mut bytes)));
            }
            Event::Eof => return Err(Broken),
            _ => {}
        }
    }
}

fn resolve(name: &BytesRef<'_>) -> Option<char> {
    if let Some(character) = name.resolve_char_ref().ok()? {
        return Some(character);
    }
    match &**name {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"apos" => Some('\''),
        b"quot" => Some('"'),
        _ => None,
    }
}

/// Whether XML 1.0 can say `text` so that every parser reads the same: no control characters
/// (line ends are changed, the others forbidden) and no white space at the ends (often cut off).
pub(super) fn can_say(text: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    !text.contains(forbidden) && text.trim() == text
}

/// `text` as the content of an element.
pub(super) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elements(xml: &str) -> Vec<(String, Option<String>)> {
        let mut found = Vec::new();
        walk(xml.as_bytes(), |e| {
            found.push((e.path.to_owned(), e.text.map(str::to_owned)));
        })
        .unwrap();
        found
    }

    #[test]
    fn paths_and_texts() {
        let xml = " <?xml version=\"1.0\"?><!-- c --><x:R xmlns:x=\"u\"> <A><B>1&amp;&#x32;<![CDATA[<3>]]></B>\
                   <E/></A>tail</x:R>";
        let expected = [
            ("A/B", Some("1&2<3>")),
            ("A/E", Some("")),
            ("A", Some("")),
            ("", Some("tail")),
        ];
        let expected = expected.map(|(path, text)| (path.to_owned(), text.map(str::to_owned)));
        assert_eq!(elements(xml), expected);
    }

    #[test]
    fn odd_text_spoils_only_itself() {
        for odd in ["&nope;", "&#0;", "&#xD800;"] {
            let xml = format!("<R><A>{odd}</A><B>b</B></R>");
            let found = elements(&xml);
            assert_eq!(found[0], ("A".to_owned(), None), "{odd}");
            assert_eq!(found[1], ("B".to_owned(), Some("b".to_owned())));
        }
        let found = std::cell::RefCell::new(Vec::new());
        walk(b"<R><A>\xff</A></R>", |e| {
            found.borrow_mut().push(e.text.is_none());
        })
        .unwrap();
        assert_eq!(found.into_inner(), [true, false]);
    }

    #[test]
    fn broken_markup_is_told() {
        for xml in [
            "",
            "text",
            "<R><A></R>",
            "<R><A>",
            "<R",
            "<html><br></html>",
        ] {
            assert!(walk(xml.as_bytes(), |_| {}).is_err(), "{xml:?}");
        }
    }

    #[test]
    fn what_xml_can_say() {
        for good in ["a", "a b", "a//b", "é日", "&<>\"'"] {
            assert!(can_say(good), "{good:?}");
        }
        for bad in [
            "\u{1}", "a\nb", "a\r", "\t", " a", "a ", "\u{2028}", "\u{7f}", "\u{85}", "\u{ffff}",
        ] {
            assert!(!can_say(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_is_read_back(text in any::<String>()) {
            let xml = format!("<R><K>{}</K></R>", escape(&text));
            prop_assert_eq!(&elements(&xml)[0].1, &Some(text));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = walk(&bytes, |_| {});
        }
    }
}
