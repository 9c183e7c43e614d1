//! [`ListingOnly`]: an object of which nothing but a listing has told, in few bytes.
//!
//! A folder of a million objects that a program has looked at is a million inodes that the kernel holds, and so does this
//! process. Nearly all of them are never opened: what a listing tells of them is all that is known.
//!
//! Law: it is what a [`State`] of such an object says, and nothing else. Whoever needs more than to show it, or finds that
//! it has changed, has the state made of it: see `Node::lock`.

use cloudmount_cache::ObjectRef;
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Attr, ContentNumber, InodeId, NodeKind, Permissions, Timestamp};

use crate::CoreSettings;
use crate::node::{Content, State};

/// An object as a listing told it.
#[derive(Debug)]
pub(crate) struct ListingOnly {
    key: Box<str>,
    pub(crate) size: u64,
    tag: Tag,
    secs: i64,
    nanos: u32,
    uid: u32,
    gid: u32,
    permissions: Permissions,
}

/// A version. Most stores spell nearly all of theirs in the same way.
#[derive(Debug)]
enum Tag {
    /// 32 hexadecimal digits in quotes.
    Digest([u8; 16]),
    Other(Box<str>),
}

impl ListingOnly {
    /// A file with the attributes of one that nothing else is known of.
    pub(crate) fn new(
        key: &Key,
        version: Option<&Version>,
        (size, modified): (u64, Timestamp),
        settings: &CoreSettings,
    ) -> Self {
        Self {
            key: key.as_str().into(),
            size,
            tag: Tag::new(version.map_or("", Version::as_str)),
            secs: modified.secs(),
            nanos: modified.nanos(),
            uid: settings.uid,
            gid: settings.gid,
            permissions: settings.file_permissions,
        }
    }

    /// When the store wrote it.
    pub(crate) fn modified(&self) -> Timestamp {
        Timestamp::new(self.secs, self.nanos)
    }

    /// Whether it is the same that another listing tells; then it has the date as told there.
    pub(crate) fn is_still(
        &mut self,
        version: Option<&Version>,
        size: u64,
        modified: Timestamp,
    ) -> bool {
        let is_same = version.is_none_or(|version| self.tag.is(version.as_str()))
            && (size, modified.secs()) == (self.size, self.secs);
        if is_same {
            self.nanos = modified.nanos();
        }
        is_same
    }

    /// The attributes as `stat` shows them.
    pub(crate) fn attr(&self, ino: InodeId) -> Attr {
        let time = self.modified();
        Attr {
            ino,
            kind: NodeKind::File,
            size: self.size,
            permissions: self.permissions,
            links: 1,
            uid: self.uid,
            gid: self.gid,
            atime: time,
            mtime: time,
            ctime: time,
            content: ContentNumber(0),
        }
    }

    /// The same as a state.
    pub(crate) fn state(&self) -> State {
        let object = ObjectRef::new(&*self.key, self.tag.text(), self.size);
        let time = self.modified();
        State {
            mtime: time,
            ctime: time,
            modified: Some(time),
            ..State::new(
                (self.permissions, self.uid, self.gid),
                Content::Object(object),
            )
        }
    }
}

impl Tag {
    fn new(text: &str) -> Self {
        digest(text).map_or_else(|| Self::Other(text.into()), Self::Digest)
    }

    fn is(&self, text: &str) -> bool {
        match self {
            Self::Digest(known) => digest(text).as_ref() == Some(known),
            Self::Other(known) => **known == *text,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Digest(bytes) => {
                let number = u128::from_be_bytes(*bytes);
                format!("\"{number:032x}\"")
            }
            Self::Other(text) => text.to_string(),
        }
    }
}

/// The number that 32 digits in quotes stand for, if `text` is these, spelt as a number is here.
fn digest(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 32 || !digits.bytes().all(is_digit) {
        return None;
    }
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_text_that_it_was() {
        for text in [
            "\"0123456789abcdef0123456789abcdef\"",
            "\"00000000000000000000000000000000\"",
            "\"0123456789abcdef0123456789abcdef-12\"",
            "\"0123456789ABCDEF0123456789abcdef\"",
            "\"+123456789abcdef0123456789abcdef\"",
            "0123456789abcdef0123456789abcdef",
            "W/\"x\"",
            "\"",
            "",
        ] {
            let tag = Tag::new(text);
            assert_eq!(tag.text(), text);
            assert!(tag.is(text) && !tag.is("\"0123456789abcdef0123456789abcdee\""));
        }
        let digest = Tag::new("\"0123456789abcdef0123456789abcdef\"");
        assert!(matches!(digest, Tag::Digest(_)));
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<ListingOnly>() <= 72);
        assert!(size_of::<crate::node::Node>() <= 104);
    }

    #[test]
    fn the_state_shows_what_it_showed() {
        let settings = CoreSettings::default();
        let key = Key::new("d/a").unwrap();
        let version = Version::new("\"0123456789abcdef0123456789abcdef\"");
        let at = Timestamp::new(7, 9);
        let mut only = ListingOnly::new(&key, Some(&version), (5, at), &settings);
        let ino = InodeId::new(9).unwrap();
        let state = only.state();
        assert_eq!(state.attr(ino, NodeKind::File), only.attr(ino));
        assert_eq!(state.modified, Some(at));
        let Content::Object(object) = state.content else {
            panic!("{state:?}");
        };
        assert_eq!((&*object.key, &*object.version), ("d/a", version.as_str()));
        let other = Version::new("\"x\"");
        assert!(only.is_still(Some(&version), 5, Timestamp::new(7, 0)));
        assert_eq!(only.modified(), Timestamp::new(7, 0));
        assert!(only.is_still(None, 5, at));
        assert!(!only.is_still(Some(&other), 5, at));
        assert!(!only.is_still(Some(&version), 6, at));
        assert!(!only.is_still(Some(&version), 5, Timestamp::new(8, 0)));
    }
}
