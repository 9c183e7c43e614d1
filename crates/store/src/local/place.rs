//! Where a key lies in the folder: pure.
//!
//! A key that a path can say lies at that path: the *shown* tree, which is the folder itself. Every
//! other key lies in the *hidden* tree, `.cloudmount/keys/`, one name of the filesystem for each
//! part of the key:
//!
//! - `d` and the part, for every part but the last: a folder;
//! - `f` and the part, for the last: a file. The last part of `a/` is empty, so its file is `f`;
//! - in parts, `%` is `%25` and NUL is `%00`; all else stands for itself;
//! - a part whose escaped text is longer than 200 bytes is cut into such lengths (never within a
//!   character or an escape), all but the last in folders that start with `c`.
//!
//! So `a//../b` is `.cloudmount/keys/da/d/d../fb`. The letter keeps `.`, `..` and the empty part from
//! meaning anything to the filesystem, and files from colliding with folders.

use std::borrow::Cow;

use crate::Key;

/// The name of the folder that holds what is not an ordinary file. No key is shown below it.
pub(super) const STATE: &str = ".cloudmount";

/// Longest name that common filesystems take, in bytes (`NAME_MAX` of Linux and macOS).
const NAME_BYTES_MAX: usize = 255;

/// Longest piece of an escaped part, in bytes; with its letter it also fits filesystems that take
/// only a little less than 255.
const PIECE_BYTES_MAX: usize = 200;

/// Names from the top of a tree down to a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Path {
    /// The folders that lead to it.
    pub(super) folders: Vec<String>,
    /// Its own name.
    pub(super) name: String,
}

/// The path of a key in the shown tree, if a path can say it. For a marker it leads to the folder.
pub(super) fn shown(key: &Key) -> Option<Path> {
    let text = key.as_str();
    let mut names = shown_names(text.strip_suffix('/').unwrap_or(text))?;
    let name = names.pop()?;
    Some(Path {
        folders: names,
        name,
    })
}

/// The names of a folder of the shown tree, given as a prefix of keys: empty, or with a last `/`.
/// `None` if no path can say it.
pub(super) fn shown_folder(prefix: &str) -> Option<Vec<String>> {
    match prefix.strip_suffix('/') {
        None => Some(Vec::new()),
        Some(path) => shown_names(path),
    }
}

fn shown_names(path: &str) -> Option<Vec<String>> {
    let names: Vec<String> = path.split('/').map(str::to_owned).collect();
    let sayable = names.iter().all(|name| is_shown_name(name)) && names[0] != STATE;
    sayable.then_some(names)
}

/// Whether a part of a key can be a name of the filesystem.
fn is_shown_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && part.len() <= NAME_BYTES_MAX && !part.contains('\0')
}

/// The path of a key in the hidden tree. Every key has one.
pub(super) fn hidden(key: &Key) -> Path {
    let (folder, last) = match key.as_str().rfind('/') {
        Some(slash) => key.as_str().split_at(slash + 1),
        None => ("", key.as_str()),
    };
    let mut folders = hidden_folder(folder);
    let mut names = hidden_names('f', last);
    let name = names.pop().unwrap_or_default();
    folders.append(&mut names);
    Path { folders, name }
}

/// The names of a folder of the hidden tree, given as a prefix of keys: empty, or with a last `/`.
pub(super) fn hidden_folder(prefix: &str) -> Vec<String> {
    match prefix.strip_suffix('/') {
        None => Vec::new(),
        Some(path) => path
            .split('/')
            .flat_map(|part| hidden_names('d', part))
            .collect(),
    }
}

/// The names of one part; the last has the letter `kind`.
fn hidden_names(kind: char, part: &str) -> Vec<String> {
    let escaped = escape(part);
    let mut rest = escaped.as_ref();
    let mut names = Vec::new();
    while rest.len() > PIECE_BYTES_MAX {
        let (piece, after) = rest.split_at(cut(rest));
        names.push(format!("c{piece}"));
        rest = after;
    }
    names.push(format!("{kind}{rest}"));
    names
}

fn escape(part: &str) -> Cow<'_, str> {
    if !part.contains(['%', '\0']) {
        return Cow::Borrowed(part);
    }
    Cow::Owned(part.replace('%', "%25").replace('\0', "%00"))
}

/// Where the first piece of a long escaped text ends.
fn cut(text: &str) -> usize {
    let mut at = PIECE_BYTES_MAX;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    // An escape has three bytes; do not end after its first or second.
    match text[..at].rfind('%') {
        Some(percent) if at - percent < 3 => percent,
        _ => at,
    }
}

/// What a name in the hidden tree stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HiddenName<'n> {
    /// A piece of a part; more of it lies in that folder.
    Piece(&'n str),
    /// The end of a part that is a folder.
    Folder(&'n str),
    /// The end of the last part.
    File(&'n str),
}

/// Reads a name of the hidden tree; its text is still escaped. `None` for a name that this module
/// did not make.
pub(super) fn hidden_name(name: &str) -> Option<HiddenName<'_>> {
    let mut letters = name.chars();
    let first = letters.next()?;
    let text = letters.as_str();
    match first {
        'c' => Some(HiddenName::Piece(text)),
        'd' => Some(HiddenName::Folder(text)),
        'f' => Some(HiddenName::File(text)),
        _ => None,
    }
}

/// The part that an escaped text stands for. `None` if it is no escaped text.
pub(super) fn unescape(escaped: &str) -> Option<String> {
    let mut pieces = escaped.split('%');
    let mut part = pieces.next()?.to_owned();
    for piece in pieces {
        part.push(match piece.get(..2)? {
            "25" => '%',
            "00" => '\0',
            _ => return None,
        });
        part.push_str(&piece[2..]);
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn path(path: &Path) -> String {
        let names = path.folders.iter().chain([&path.name]);
        names.map(String::as_str).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn what_a_path_can_say_is_shown_there() {
        let long = "x".repeat(255);
        let texts = [
            "a",
            "a/b.txt",
            "...",
            ".hidden",
            "a/.cloudmount/b",
            "ctl\u{1}\n",
            &long,
        ];
        for text in texts {
            assert_eq!(path(&shown(&key(text)).unwrap()), text);
        }
        assert_eq!(path(&shown(&key("a/b/")).unwrap()), "a/b");
    }

    #[test]
    fn what_no_path_can_say_is_not_shown() {
        let long = "x".repeat(256);
        let texts = [
            "/",
            "//",
            "a//b",
            "/a",
            "a//",
            ".",
            "..",
            "./a",
            "a/..",
            "a/../b",
            "../",
            "nul\0",
            ".cloudmount",
            ".cloudmount/",
            ".cloudmount/keys/fa",
            &long,
        ];
        for text in texts {
            assert_eq!(shown(&key(text)), None, "{text:?}");
        }
    }

    #[test]
    fn hidden_paths_are_as_documented() {
        let check = |text: &str, wanted: &str| assert_eq!(path(&hidden(&key(text))), wanted);
        check("a", "fa");
        check("a/", "da/f");
        check("a//../b", "da/d/d../fb");
        check("/", "d/f");
        check("100%/nul\0", "d100%25/fnul%00");
        let long = "x".repeat(201);
        check(&long, &format!("c{}/fx", "x".repeat(200)));
        let percents = format!("{}%", "x".repeat(199));
        check(&percents, &format!("c{}/f%25", "x".repeat(199)));
    }

    /// Reads a hidden path back, as a listing does.
    fn read(path: &Path) -> Option<String> {
        let mut text = String::new();
        let mut part = String::new();
        for name in path.folders.iter().chain([&path.name]) {
            match hidden_name(name)? {
                HiddenName::Piece(piece) => part.push_str(piece),
                HiddenName::Folder(end) => {
                    part.push_str(end);
                    text.push_str(&unescape(&part)?);
                    text.push('/');
                    part.clear();
                }
                HiddenName::File(end) => {
                    part.push_str(end);
                    text.push_str(&unescape(&part)?);
                }
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn a_hidden_path_reads_back(
            text in prop_oneof![
                "[a%\0./]{1,40}",
                "(/|\\.|x|\u{e4}|%|\u{1f600}){1,80}",
                "[%\u{65e5}x]{150,250}",
            ]
        ) {
            let key = key(&text);
            let path = hidden(&key);
            for name in path.folders.iter().chain([&path.name]) {
                prop_assert!(is_shown_name(name), "{name:?} is no name");
                prop_assert!(!name.contains('/'));
            }
            prop_assert_eq!(read(&path), Some(text));
        }

        #[test]
        fn a_shown_path_never_leads_out(text in "[a./\0]{1,12}|(\\.\\./){1,3}x") {
            if let Some(path) = shown(&key(&text)) {
                for name in path.folders.iter().chain([&path.name]) {
                    prop_assert!(!name.contains('/') && name != ".." && name != "." && !name.is_empty());
                }
            }
        }
    }
}
