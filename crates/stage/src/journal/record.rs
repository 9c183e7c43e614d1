//! What the journal says. Every change is *absolute*: it says how something is from now on, never
//! how to get there, so that repeating the last part of a journal changes nothing.
//!
//! The format is JSON: readable in an emergency, and open to new fields (unknown ones are skipped).

use std::collections::BTreeMap;

use cloudmount_store::{Key, Metadata, Tags, Version};
use serde::{Deserialize, Serialize};

use crate::key_state::Beside;
use crate::plan::Layout;
use crate::ranges::RangeSet;
use crate::{Base, RemoteBelief};

/// One change. A record is a list of them, which hold together or not at all.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// The stage was opened: which start of the machine, and the next free file number.
    Opened {
        boot: String,
        next_file: u64,
        /// Numbers of files that are still there and that nobody wants any more: from and to behind.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        done: Vec<(u64, u64)>,
    },
    /// How a key stands.
    Key(KeyRecord),
    /// Nothing is wanted under the key any more: the bucket has it.
    Settled { key: String },
    /// How a staged file stands.
    File(FileRecord),
    /// Bytes were written.
    Wrote { file: u64, start: u64, end: u64 },
    /// Parts of a file are in an upload, and not in the local file any more: those named here, and
    /// those that were before if they are in the same upload.
    Away { file: u64, away: AwayRecord },
    /// Bytes were fetched from the base.
    Filled { file: u64, start: u64, end: u64 },
    /// The size was set.
    Resized {
        file: u64,
        size: u64,
        base_limit: u64,
    },
    /// A body goes out: it may be in the bucket, whatever is heard of it.
    Sending { key: String, sent: SentRecord },
    /// A multipart upload is about to be begun: `at` is this machine's wall clock, in nanoseconds
    /// since 1970.
    UploadIntended { key: String, at: i64 },
    /// What became of that is known.
    IntentEnded { key: String, at: i64 },
    /// A multipart upload exists.
    UploadStarted { key: String, upload: String },
    /// It was completed or aborted.
    UploadEnded { upload: String },
}

/// How a key stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    pub(crate) key: String,
    pub(crate) remote: BeliefRecord,
    pub(crate) desired: DesiredRecord,
    /// Whether the desired state may be uploaded: a file that was never closed is not.
    pub(crate) submitted: bool,
    /// As [`former`](Self::former) with a removal, in older journals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed_before: bool,
    /// If it was never submitted: what was wanted before, and is again if it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former: Option<Box<DesiredRecord>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<BesideRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sent: Vec<SentRecord>,
}

/// Where someone else's object is copied to, so that ours may have the key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct BesideRecord {
    /// The key of the copy.
    pub(crate) name: String,
    /// The version that is copied.
    pub(crate) theirs: String,
}

impl BesideRecord {
    /// As the table has it, unless its key is none.
    pub(crate) fn beside(&self) -> Option<Beside> {
        Some(Beside {
            name: Key::new(self.name.as_str()).ok()?,
            theirs: Version::new(self.theirs.as_str()),
        })
    }
}

/// What is believed to be in the bucket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BeliefRecord {
    Unknown,
    Absent,
    Present(String),
}

/// What is wanted under a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DesiredRecord {
    Content {
        file: u64,
        /// Bytes that the local file must at least have on the disk, to show after a power cut
        /// that they got there.
        bytes: u64,
        metadata: MetadataRecord,
    },
    Inline {
        bytes: Vec<u8>,
        metadata: MetadataRecord,
    },
    Metadata(MetadataRecord),
    Absent,
}

impl KeyRecord {
    /// The staged files that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = u64> {
        let all = std::iter::once(&self.desired).chain(self.former.as_deref());
        all.filter_map(|desired| match desired {
            DesiredRecord::Content { file, .. } => Some(*file),
            _ => None,
        })
    }
}

/// How a staged file stands. Its size is the length of its local file, if there is one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) id: u64,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<BaseRecord>,
    #[serde(default)]
    pub(crate) base_limit: u64,
    /// Below the limit only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) present: Vec<(u64, u64)>,
    /// Below the limit only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dirty: Vec<(u64, u64)>,
    /// The key of the object that it takes the place of, under a name that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<String>,
    /// What only the parts of an upload have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) away: Option<Box<AwayRecord>>,
}

/// Parts of an upload that has not been joined yet, whose bytes are nowhere else.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct AwayRecord {
    /// What the upload is to become.
    pub(crate) key: String,
    pub(crate) upload: String,
    /// What the object will have.
    pub(crate) metadata: MetadataRecord,
    pub(crate) layout: Layout,
    /// Their tags, by their index from 0.
    pub(crate) parts: BTreeMap<u16, String>,
}

/// The object that a file is made from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct BaseRecord {
    pub(crate) key: String,
    pub(crate) version: String,
    pub(crate) size: u64,
}

/// What identifies a body that went out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SentRecord {
    pub(crate) size: Option<u64>,
    pub(crate) user: Option<u32>,
    pub(crate) tag: Option<String>,
    /// The staged file that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<u64>,
    /// The upload in parts that is joined to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<String>,
}

/// The metadata of an object.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetadataRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "TagsRecord::is_none")]
    tags: TagsRecord,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user: BTreeMap<String, String>,
}

/// The tags of an object.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TagsRecord {
    #[default]
    None,
    Unread(u16),
    These(BTreeMap<String, String>),
}

impl TagsRecord {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl From<Metadata> for MetadataRecord {
    fn from(metadata: Metadata) -> Self {
        Self {
            content_type: metadata.content_type,
            cache_control: metadata.cache_control,
            content_disposition: metadata.content_disposition,
            content_encoding: metadata.content_encoding,
            content_language: metadata.content_language,
            expires: metadata.expires,
            tags: match metadata.tags {
                Tags::None => TagsRecord::None,
                Tags::Unread(count) => TagsRecord::Unread(count),
                Tags::These(tags) => TagsRecord::These(*tags),
            },
            user: metadata.user,
        }
    }
}

impl From<MetadataRecord> for Metadata {
    fn from(record: MetadataRecord) -> Self {
        Self {
            content_type: record.content_type,
            cache_control: record.cache_control,
            content_disposition: record.content_disposition,
            content_encoding: record.content_encoding,
            content_language: record.content_language,
            expires: record.expires,
            tags: match record.tags {
                TagsRecord::None => Tags::None,
                TagsRecord::Unread(count) => Tags::Unread(count),
                TagsRecord::These(tags) => Tags::These(Box::new(tags)),
            },
            user: record.user,
        }
    }
}

impl From<&RemoteBelief> for BeliefRecord {
    fn from(belief: &RemoteBelief) -> Self {
        match belief {
            RemoteBelief::Unknown => Self::Unknown,
            RemoteBelief::Absent => Self::Absent,
            RemoteBelief::Present(version) => Self::Present(version.as_str().to_owned()),
        }
    }
}

impl From<BeliefRecord> for RemoteBelief {
    fn from(record: BeliefRecord) -> Self {
        match record {
            BeliefRecord::Unknown => Self::Unknown,
            BeliefRecord::Absent => Self::Absent,
            BeliefRecord::Present(tag) => Self::Present(Version::new(tag)),
        }
    }
}

impl From<&Base> for BaseRecord {
    fn from(base: &Base) -> Self {
        Self {
            key: base.key.as_str().to_owned(),
            version: base.version.as_str().to_owned(),
            size: base.size,
        }
    }
}

impl BaseRecord {
    /// The base, unless its key is none.
    pub(crate) fn base(&self) -> Option<Base> {
        Some(Base {
            key: Key::new(self.key.as_str()).ok()?,
            version: Version::new(self.version.as_str()),
            size: self.size,
        })
    }
}

/// The part of `set` below `limit`, as the journal writes it.
pub(crate) fn ranges_below(set: &RangeSet, limit: u64) -> Vec<(u64, u64)> {
    set.within(0..limit)
        .map(|range| (range.start, range.end))
        .collect()
}

/// The set that the journal wrote.
pub(crate) fn range_set(ranges: &[(u64, u64)]) -> RangeSet {
    ranges.iter().map(|(start, end)| *start..*end).collect()
}
