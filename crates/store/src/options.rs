//! What goes into and comes out of the operations of a [`Store`](crate::Store).

use std::ops::Range;

use bytes::Bytes;
use cloudmount_vfs::Timestamp;

use crate::{Key, Metadata, Version};

/// A condition on what is under a key now, checked by the store in the same step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Precondition {
    /// No condition.
    #[default]
    None,
    /// Nothing may be there (`If-None-Match: *`).
    Absent,
    /// That version must be there (`If-Match`).
    Matches(Version),
}

/// How to read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GetOptions {
    /// Which bytes; `None`: all. A range that starts at or after the end is
    /// [`ErrorKind::Range`](crate::ErrorKind::Range); one that ends after it is cut.
    pub range: Option<Range<u64>>,
    /// Fail with [`ErrorKind::Precondition`](crate::ErrorKind::Precondition) unless this version
    /// is there.
    pub if_match: Option<Version>,
}

/// Content to write, in pieces that follow one another. Cloning is cheap, so a retry can send it
/// again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload(pub Vec<Bytes>);

impl Payload {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(vec![bytes])
    }
}

/// How to write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PutOptions {
    /// What must be under the key before.
    pub precondition: Precondition,
    /// What travels with the object.
    pub metadata: Metadata,
}

/// What a copy does with the metadata of its source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CopyMetadata {
    /// The target gets the source's.
    Keep,
    /// The target gets these instead.
    Replace(Metadata),
}

/// Where a copy reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopySource {
    /// The key.
    pub key: Key,
    /// Fail with [`ErrorKind::Precondition`](crate::ErrorKind::Precondition) unless this version
    /// is there.
    pub if_match: Option<Version>,
}

/// How to copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyOptions {
    /// What happens to metadata.
    pub metadata: CopyMetadata,
    /// What must be under the target key before. Many stores cannot check this on copy: see
    /// [`Capabilities::copy_if`](crate::Capabilities).
    pub precondition: Precondition,
    /// How many bytes the source has, if that is known: a server that copies is waited for as long as so many may take, and else
    /// for ten minutes.
    pub source_bytes: Option<u64>,
}

/// An object to remove, as long as it is that version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removal {
    /// Its key.
    pub key: Key,
    /// What is to be there.
    pub version: Version,
}

/// One page of a listing to ask for. Keys come in byte order of their UTF-8 text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListRequest {
    /// Only keys that start with this; may be empty.
    pub prefix: String,
    /// Group keys by the first `/` after the prefix into [`ListPage::prefixes`].
    pub by_folder: bool,
    /// Only keys after this one (and only used on the first page).
    pub start_after: Option<String>,
    /// Continue where [`ListPage::next`] said.
    pub token: Option<String>,
    /// At most so many objects and prefixes together, and never more than the store puts on a page, which is
    /// 1,000 with S3 and most others. `None`: 1,000.
    pub limit: Option<u16>,
}

/// An object as a listing shows it: without metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedObject {
    /// Its key.
    pub key: Key,
    /// Bytes of content.
    pub size: u64,
    /// Which content; some stores list none.
    pub version: Option<Version>,
    /// When it was written.
    pub modified: Timestamp,
}

/// One page of a listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    /// Objects, by key.
    pub objects: Vec<ListedObject>,
    /// With `by_folder`: what several keys have in common up to and including the next `/`, whole
    /// (it starts with the request's prefix), in order.
    pub prefixes: Vec<String>,
    /// How to ask for the next page; `None`: this was the last.
    pub next: Option<String>,
}

/// A multipart upload in progress, as the store names it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UploadId(pub String);

/// An upload in parts that was started, and neither completed nor given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedUpload {
    /// The key that it is to become.
    pub key: Key,
    /// The upload.
    pub upload: UploadId,
    /// When it was started, by the store's clock. Most stores round down to whole seconds or to
    /// milliseconds.
    pub started: Timestamp,
}

/// One page of uploads in progress.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UploadsPage {
    /// Uploads, by key; those of one key in any order.
    pub uploads: Vec<ListedUpload>,
    /// How to ask for the next page; `None`: this was the last.
    pub next: Option<String>,
}

/// A part that was uploaded or copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartTag {
    /// Its number, 1 to 10,000.
    pub number: u16,
    /// Its tag, as the store gave it.
    pub tag: String,
}
