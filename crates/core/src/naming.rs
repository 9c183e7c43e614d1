//! Names and keys: how each part of a key is shown as a file name, and back.
//!
//! A key is cut at `/`; each part is shown as it is wherever a path can say it. The rest has a
//! reversible escape that starts with `%~`:
//!
//! | shown as | stands for |
//! |---|---|
//! | `%~e~TEXT` | the part whose percent-encoding is TEXT: empty, `.`, `..`, holding NUL, or itself starting with `%~` |
//! | `%~f~TEXT` | the *object* of that part where a folder of the same name exists too (`a` beside `a/b`) |
//! | `%~h~HASH` | a part that is longer than 255 bytes (or would be, escaped): 128 bits of its SHA-256 |
//!
//! Laws: two parts never share a name; [`shown`] and [`part_of`] undo each other; a name that
//! starts with `%~` and is not exactly what [`shown`] makes is refused as illegal, so that what is
//! created is also what is listed. A hashed name can be undone only by [`LongNames`], which
//! remembers the parts that listings showed.

use std::collections::HashMap;
use std::fmt::Write as _;

use cloudmount_vfs::{Error, ErrorKind, Name, Result};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

/// What an escaped name starts with.
const ESCAPE: &str = "%~";

/// Most long parts that are remembered: at about 1 KiB each, 64 MiB. A mount that meets more
/// forgets the first ones, and lists again when they are asked for.
const LONG_NAMES_MAX: usize = 65_536;

/// What a part of a key leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Role {
    /// A folder, or an object without a folder of the same name.
    Plain,
    /// An object that has a folder of the same name beside it.
    BesideFolder,
}

/// One part of a key, with its role.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Part {
    /// The text between two slashes, as it is in the key.
    pub text: String,
    /// What it leads to.
    pub role: Role,
}

impl Part {
    /// A part in its plain role.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            role: Role::Plain,
        }
    }
}

/// The names in a path below the mount, with `/` between them; none in an empty one.
///
/// # Errors
/// `IllegalName`, `NameTooLong` if a part of it is no name.
pub(crate) fn names_of(path: &str) -> Result<Vec<Name>> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.map(|name| Ok(Name::new(name)?)).collect()
}

/// The name under which `part` is shown.
#[must_use]
pub fn shown(part: &Part) -> Name {
    let text = &part.text;
    let plain = part.role == Role::Plain && !text.starts_with(ESCAPE);
    if plain && let Ok(name) = Name::new(text) {
        return name;
    }
    let tag = match part.role {
        Role::BesideFolder => 'f',
        Role::Plain => 'e',
    };
    Name::new(&format!("{ESCAPE}{tag}~{}", encode(text))).unwrap_or_else(|_| hashed(part))
}

/// The part that `name` stands for.
///
/// # Errors
/// `IllegalName` for a name that starts with `%~` and is no escape; `NotFound` for a hashed name
/// that `long` does not know (a listing of its folder may teach it).
pub fn part_of(name: &Name, long: &LongNames) -> Result<Part> {
    let Some(escaped) = name.as_str().strip_prefix(ESCAPE) else {
        return Ok(Part::plain(name.as_str()));
    };
    if escaped.starts_with("h~") {
        return long.part(name).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "no listing has shown a key of this hashed name",
            )
        });
    }
    decode(escaped)
        .filter(|part| shown(part) == *name)
        .ok_or_else(|| Error::new(ErrorKind::IllegalName, "names starting with %~ are escapes"))
}

/// Whether `name` is a hash of a long part.
#[must_use]
pub fn is_hashed(name: &Name) -> bool {
    name.as_str().starts_with("%~h~")
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    let dots_only = matches!(text, "." | "..");
    for c in text.chars() {
        match c {
            '%' | '\0' => write!(encoded, "%{:02X}", c as u32).expect("a String takes any text"),
            '.' if dots_only => encoded.push_str("%2E"),
            _ => encoded.push(c),
        }
    }
    encoded
}

fn decode(escaped: &str) -> Option<Part> {
    let (tag, text) = escaped.split_once('~')?;
    let role = match tag {
        "e" => Role::Plain,
        "f" => Role::BesideFolder,
        _ => return None,
    };
    let text = percent_decode_str(text).decode_utf8().ok()?.into_owned();
    Some(Part { text, role })
}

fn hashed(part: &Part) -> Name {
    let mut hasher = Sha256::new();
    hasher.update(match part.role {
        Role::Plain => b"e",
        Role::BesideFolder => b"f",
    });
    hasher.update(part.text.as_bytes());
    let digest = hasher.finalize();
    let mut text = format!("{ESCAPE}h~");
    for byte in &digest[..16] {
        write!(text, "{byte:02x}").expect("a String takes any text");
    }
    Name::new(&text).expect("36 bytes of plain ASCII")
}

/// The parts behind hashed names, as far as listings have shown them.
#[derive(Debug, Default)]
pub struct LongNames(Mutex<HashMap<Name, Part>>);

impl LongNames {
    /// The name of `part`, remembered if it is a hash.
    pub fn show(&self, part: &Part) -> Name {
        let name = shown(part);
        if is_hashed(&name) {
            let mut known = self.0.lock();
            if known.len() >= LONG_NAMES_MAX {
                known.clear();
            }
            known.entry(name.clone()).or_insert_with(|| part.clone());
        }
        name
    }

    fn part(&self, name: &Name) -> Option<Part> {
        self.0.lock().get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(part: &Part) -> Name {
        let long = LongNames::default();
        let name = long.show(part);
        assert_eq!(&part_of(&name, &long).unwrap(), part, "shown as {name}");
        name
    }

    #[test]
    fn what_a_path_can_say_is_shown_as_it_is() {
        for text in ["a", "%", "%7E", "~%", "a\nb", "é", "a b", "...", "%a~"] {
            assert_eq!(round_trip(&Part::plain(text)).as_str(), text);
        }
    }

    #[test]
    fn what_no_path_can_say_is_escaped() {
        for (text, name) in [
            ("", "%~e~"),
            (".", "%~e~%2E"),
            ("..", "%~e~%2E%2E"),
            ("a\0b", "%~e~a%00b"),
            ("%~x", "%~e~%25~x"),
        ] {
            assert_eq!(round_trip(&Part::plain(text)).as_str(), name);
        }
        let beside = Part {
            text: "a".into(),
            role: Role::BesideFolder,
        };
        assert_eq!(round_trip(&beside).as_str(), "%~f~a");
        assert!(is_hashed(&round_trip(&Part::plain("x".repeat(256)))));
    }

    #[test]
    fn names_that_are_no_escape_are_refused() {
        let long = LongNames::default();
        for text in ["%~", "%~x", "%~e~plain", "%~e~%2e", "%~e~%zz", "%~q~a"] {
            let error = part_of(&Name::new(text).unwrap(), &long).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IllegalName, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_part_survives(text in "[^/]{0,300}", beside: bool) {
            let role = if beside { Role::BesideFolder } else { Role::Plain };
            round_trip(&Part { text, role });
        }

        #[test]
        fn any_name_leads_to_one_part_or_is_refused(text in "[^/\0]{1,80}") {
            let long = LongNames::default();
            if let Ok(name) = Name::new(&text) && let Ok(part) = part_of(&name, &long) {
                prop_assert_eq!(shown(&part), name);
            }
        }
    }
}
