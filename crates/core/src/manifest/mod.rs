//! What is known of the entries of one folder, in a form that outlives a mount: each with the object that it
//! describes.
//!
//! A [`Manifest`] is pure data. It lies on this machine (`remembered`), one for each folder whose objects
//! were asked for, and, where that is set, in the bucket (`published`), for other mounts.
//!
//! Laws:
//! - An entry counts only for the object that it is bound to: the one with that version, that size and that
//!   date. It never says that an object is there, nor that it is not.
//! - [`decode`] takes any bytes, needs no more memory than some times as many, and gives either all that was
//!   encoded or nothing.
//! - What a newer program wrote is told from what is damaged, and both from what is none of ours.

pub(crate) mod format;
pub mod merge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use cloudmount_store::{Key, Metadata, ObjectMeta, Version};
use cloudmount_vfs::Timestamp;

pub use format::{Unreadable, decode, encode};

/// The last part of the key of a folder's manifest. No file has that name.
pub const NAME: &str = ".cloudmount-manifest";

/// Whether `key` is that of a manifest.
#[must_use]
pub fn is_key(key: &Key) -> bool {
    let folder = key.as_str().strip_suffix(NAME);
    folder.is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
}

/// Entries of a manifest, at most: more than fit [`BYTES_MAX`].
pub const ENTRIES_MAX: usize = 1 << 20;

/// Bytes of a manifest, at most: the attributes of some 180,000 files, which take three times as much of memory while
/// they are read or written. A folder with more keeps those of the names that come first.
pub const BYTES_MAX: usize = 32 << 20;

/// Which content of an object, put when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Its version, as a listing tells it.
    pub version: Version,
    /// Bytes of content.
    pub size: u64,
    /// When the store took it: new metadata alone change neither version nor size.
    pub modified: Timestamp,
}

/// What is known of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Which one.
    pub binding: Binding,
    /// All that travels with it.
    pub metadata: Metadata,
    /// The target of a symlink, where it was read.
    pub target: Option<Bytes>,
}

/// What is known of the objects of one folder, by the last part of their keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// By part: none is empty, or has a slash in it.
    pub entries: BTreeMap<String, Known>,
}

impl Binding {
    /// Whether both are the same, as far as can be told: some answers have dates in whole seconds.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.modified, other.modified);
        let is_rounded = ours.nanos() == 0 || theirs.nanos() == 0;
        self.version == other.version
            && self.size == other.size
            && !self.version.as_str().is_empty()
            && ours.secs() == theirs.secs()
            && (is_rounded || ours == theirs)
    }
}

impl Known {
    /// What a question for the object would be answered.
    #[must_use]
    pub fn meta(&self) -> ObjectMeta {
        ObjectMeta {
            size: self.binding.size,
            version: self.binding.version.clone(),
            modified: self.binding.modified,
            metadata: self.metadata.clone(),
        }
    }
}

impl Manifest {
    /// Adds what `before` knows of other names, as far as they are wanted. Says what became of `before`.
    pub fn add_missing(&mut self, before: Self, is_wanted: impl Fn(&str) -> bool) -> Outcome {
        let count = before.entries.len();
        let mut same = 0;
        for (part, known) in before.entries {
            match self.entries.entry(part) {
                Entry::Occupied(ours) => same += usize::from(*ours.get() == known),
                Entry::Vacant(place) if is_wanted(place.key()) => {
                    place.insert(known);
                    same += 1;
                }
                Entry::Vacant(_) => {}
            }
        }
        Outcome::of(same, count, self)
    }
}

/// What became of a manifest to which something was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is as it was.
    Same,
    /// It is another one.
    Changed,
}

impl Outcome {
    /// Of so many entries before, so many are the same `now`.
    fn of(same: usize, before: usize, now: &Manifest) -> Self {
        if same == before && same == now.entries.len() {
            Self::Same
        } else {
            Self::Changed
        }
    }
}
