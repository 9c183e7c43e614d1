//! What is believed to be in the bucket.

use cloudmount_store::{Key, Precondition, Version};

/// What is believed to be under a key in the bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RemoteBelief {
    /// Nobody looked. The stage asks before it overwrites.
    Unknown,
    /// Nothing.
    Absent,
    /// That version.
    Present(Version),
}

impl RemoteBelief {
    /// The belief as a condition; `None` if there is none to be made of it.
    pub(crate) fn precondition(&self) -> Option<Precondition> {
        match self {
            Self::Unknown => None,
            Self::Absent => Some(Precondition::Absent),
            Self::Present(version) => Some(Precondition::Matches(version.clone())),
        }
    }
}

impl From<Option<Version>> for RemoteBelief {
    fn from(version: Option<Version>) -> Self {
        version.map_or(Self::Absent, Self::Present)
    }
}

/// The object that a staged file is made from: what the file does not hold itself is read there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// Where it is.
    pub key: Key,
    /// Which content.
    pub version: Version,
    /// Its size in bytes.
    pub size: u64,
}
