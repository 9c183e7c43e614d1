//! What a store tells about an object.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cloudmount_vfs::Timestamp;

/// Identifies one content of one key: the `ETag` as the store spells it (quotes included), or
/// whatever plays its part. Compared byte for byte, never parsed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Arc<str>);

impl Version {
    /// The version of that tag.
    #[must_use]
    pub fn new(tag: impl Into<Arc<str>>) -> Self {
        Self(tag.into())
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The tags of an object ("Categorizing your objects using tags", Amazon S3 user guide): at most ten
/// pairs, to which policies of the bucket refer. Changing them makes no new version.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Tags {
    /// None, or none that may be seen.
    #[default]
    None,
    /// So many, as `head` and `get` tell; [`Store::tags`](crate::Store::tags) reads them.
    Unread(u16),
    /// These, by name. Boxed: metadata are held for every file that was seen, and few have tags.
    These(Box<BTreeMap<String, String>>),
}

impl From<BTreeMap<String, String>> for Tags {
    fn from(tags: BTreeMap<String, String>) -> Self {
        if tags.is_empty() {
            Self::None
        } else {
            Self::These(Box::new(tags))
        }
    }
}

/// The metadata that travels with an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`, as it was written.
    pub expires: Option<String>,
    /// Tags. What is written gets [`Tags::These`]; [`Tags::Unread`] is refused, for it would lose
    /// them. A copy whose metadata are replaced gets [`Tags::These`] too, and else has those of its
    /// source; not every store keeps them then (Ceph RGW 20 does not), so it is better to give them.
    pub tags: Tags,
    /// User metadata: names without the `x-amz-meta-` prefix, in lower case. S3 takes 2 KiB in all.
    pub user: BTreeMap<String, String>,
}

/// What `head` and `get` tell about an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectMeta {
    /// Bytes of content.
    pub size: u64,
    /// Which content.
    pub version: Version,
    /// When it was written. Most stores round to whole seconds.
    pub modified: Timestamp,
    /// What travels with it.
    pub metadata: Metadata,
}
