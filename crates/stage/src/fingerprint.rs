//! [`Fingerprint`]: how a body that went out is recognised when its answer was lost.
//!
//! A server that did what was asked and whose answer never came makes the next try fail its
//! precondition. That is no conflict, and must not be reported as one.

use cloudmount_store::{Metadata, ObjectMeta, PartTag, Payload, UploadId};
use md5::{Digest, Md5};

use crate::FileId;
use crate::journal::record::SentRecord;

/// What identifies a body that went out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fingerprint {
    /// Its size in bytes, if that is known.
    pub(crate) size: Option<u64>,
    /// CRC-32 of its user metadata; `None` if it has none. They hold a modification time in
    /// nanoseconds, so two bodies hardly ever share them.
    pub(crate) user: Option<u32>,
    /// The `ETag` that a store which uses MD5 gives it, without quotes.
    pub(crate) tag: Option<String>,
    /// Which state of which file it is.
    pub(crate) source: Option<Source>,
    /// The upload in parts that is joined to it.
    pub(crate) upload: Option<UploadId>,
}

/// A state of a staged file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    pub(crate) file: FileId,
    pub(crate) generation: u64,
    pub(crate) metadata_generation: u64,
}

/// Whether an object is the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Match {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Only its content can tell.
    AskContent,
}

impl Fingerprint {
    /// Of a body with these metadata; its tag is added when it is needed.
    pub(crate) fn new(size: Option<u64>, metadata: &Metadata) -> Self {
        Self {
            size,
            user: user_checksum(metadata),
            ..Self::default()
        }
    }

    /// Of a copy of an object.
    pub(crate) fn of(there: &ObjectMeta) -> Self {
        let mut copy = Self::new(Some(there.size), &there.metadata);
        copy.tag = Some(tag_of(there));
        copy
    }

    /// Compares with what is in the bucket.
    pub(crate) fn compare(&self, there: &ObjectMeta) -> Match {
        if self.size.is_some_and(|size| size != there.size) {
            return Match::No;
        }
        let tag = tag_of(there);
        if self.tag.as_ref() == Some(&tag) {
            return Match::Yes;
        }
        match (self.user, user_checksum(&there.metadata)) {
            (Some(ours), Some(theirs)) if ours != theirs => Match::No,
            // The tags may differ because the store's are not MD5 (encryption); if ours can be
            // compared with the content, that is decisive.
            _ if self.is_plain_md5() => Match::AskContent,
            (Some(_), Some(_)) => Match::Yes,
            _ => Match::No,
        }
    }

    /// Whether the object has user metadata, and the same.
    pub(crate) fn is_marked_alike(&self, there: &ObjectMeta) -> bool {
        self.user.is_some() && self.user == user_checksum(&there.metadata)
    }

    /// Whether the tag is the MD5 of the whole body.
    fn is_plain_md5(&self) -> bool {
        self.tag.as_ref().is_some_and(|tag| tag.len() == 32)
    }

    /// Whether it is of a change of nothing but metadata, under whatever content was there.
    pub(crate) const fn is_of_metadata(&self) -> bool {
        self.source.is_none() && self.size.is_none()
    }

    /// Adds the MD5 of the body.
    pub(crate) fn with_body(mut self, payload: &Payload) -> Self {
        let mut hash = Md5::new();
        for piece in &payload.0 {
            hash.update(piece);
        }
        self.tag = Some(hex(&hash.finalize()));
        self
    }

    /// Adds the tag that S3 gives an object made of these parts, if theirs are MD5.
    pub(crate) fn with_parts(mut self, parts: &[PartTag]) -> Self {
        let mut hash = Md5::new();
        for part in parts {
            let Some(bytes) = unhex(part.tag.trim_matches('"')) else {
                return self;
            };
            hash.update(bytes);
        }
        self.tag = Some(format!("{}-{}", hex(&hash.finalize()), parts.len()));
        self
    }

    pub(crate) fn record(&self) -> SentRecord {
        SentRecord {
            size: self.size,
            user: self.user,
            tag: self.tag.clone(),
            file: self.source.map(|source| source.file.get()),
            upload: self.upload.as_ref().map(|upload| upload.0.clone()),
        }
    }
}

impl From<SentRecord> for Fingerprint {
    /// After a crash nobody knows which generation of the file went out.
    fn from(record: SentRecord) -> Self {
        let source = record.file.map(|file| Source {
            file: FileId::new(file),
            generation: Source::UNKNOWN,
            metadata_generation: Source::UNKNOWN,
        });
        Self {
            size: record.size,
            user: record.user,
            tag: record.tag,
            source,
            upload: record.upload.map(UploadId),
        }
    }
}

impl Source {
    /// A generation that no file has: they begin at 1.
    const UNKNOWN: u64 = 0;
}

/// The `ETag` of an object as fingerprints have it.
fn tag_of(there: &ObjectMeta) -> String {
    let tag = there.version.as_str().trim_matches('"');
    tag.to_ascii_lowercase()
}

fn user_checksum(metadata: &Metadata) -> Option<u32> {
    if metadata.user.is_empty() {
        return None;
    }
    let mut hasher = crc32fast::Hasher::new();
    for (name, value) in &metadata.user {
        for text in [name.to_ascii_lowercase().as_str(), value.trim()] {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        }
    }
    Some(hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 32 {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    (text.as_bytes().chunks(2))
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cloudmount_store::Version;
    use cloudmount_vfs::Timestamp;

    use super::*;

    fn metadata(mtime: &str) -> Metadata {
        let user = (!mtime.is_empty()).then(|| ("mtime".to_owned(), mtime.to_owned()));
        Metadata {
            user: user.into_iter().collect(),
            ..Metadata::default()
        }
    }

    fn object(size: u64, tag: &str, mtime: &str) -> ObjectMeta {
        ObjectMeta {
            size,
            version: Version::new(tag),
            modified: Timestamp::EPOCH,
            metadata: metadata(mtime),
        }
    }

    #[test]
    fn who_is_who() {
        let plain = Fingerprint::new(Some(5), &metadata("1.5"));
        let hashed = plain
            .clone()
            .with_body(&Bytes::from_static(b"hello").into());
        let bare = Fingerprint::new(Some(5), &metadata(""));
        // The MD5 of "hello".
        let tag = "\"5D41402ABC4B2A76B9719D911017C592\"";
        let check = |ours: &Fingerprint, theirs: ObjectMeta, expected| {
            assert_eq!(ours.compare(&theirs), expected, "{ours:?} and {theirs:?}");
        };
        check(&hashed, object(5, tag, "other"), Match::Yes);
        check(&hashed, object(6, tag, "1.5"), Match::No);
        check(&hashed, object(5, "\"kms\"", "1.5"), Match::AskContent);
        check(&hashed, object(5, "\"kms\"", ""), Match::AskContent);
        check(&hashed, object(5, "\"kms\"", "2"), Match::No);
        check(&plain, object(5, "\"kms\"", "1.5"), Match::Yes);
        check(&plain, object(5, "\"kms\"", ""), Match::No);
        check(&bare, object(5, "\"kms\"", ""), Match::No);
    }

    #[test]
    fn the_tag_of_parts() {
        let part = |number, tag: &str| PartTag {
            number,
            tag: format!("\"{tag}\""),
        };
        // md5(md5("hello") ++ md5("hello")), as S3 computes it.
        let hello = "5d41402abc4b2a76b9719d911017c592";
        let parts = [part(1, hello), part(2, hello)];
        let both = Fingerprint::default().with_parts(&parts);
        let mut hash = Md5::new();
        hash.update(unhex(hello).unwrap());
        hash.update(unhex(hello).unwrap());
        assert_eq!(both.tag, Some(format!("{}-2", hex(&hash.finalize()))));
        assert_eq!(
            Fingerprint::default().with_parts(&[part(1, "opaque")]).tag,
            None
        );
    }
}
