//! What a directory holds: what the store lists, with what is pending laid over it.
//!
//! Laws: what is to be removed is not shown, what is to be put is; a folder is shown as long as
//! anything will be below it; an object beside a folder of the same name has a name of its own.

use std::collections::{BTreeMap, BTreeSet};

use cloudmount_inode::Listed;
use cloudmount_stage::{Desired, PendingChild, PendingView};
use cloudmount_store::{Key, ListedObject, Version};
use cloudmount_vfs::{InodeId, Name, NodeKind, Timestamp};

use crate::core::Table;
use crate::dialect;
use crate::naming::{LongNames, Part, Role};

/// What an entry stands for.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// Keys below it, or a marker.
    Folder,
    /// An object in the bucket.
    Object(SeenObject),
    /// What is to be an object.
    Pending(Key, PendingView),
}

/// An object as a listing tells it.
#[derive(Clone, Debug)]
pub(crate) struct SeenObject {
    pub(crate) key: Key,
    pub(crate) size: u64,
    /// `None`: this store does not list them.
    pub(crate) version: Option<Version>,
    pub(crate) modified: Timestamp,
}

impl From<ListedObject> for SeenObject {
    fn from(object: ListedObject) -> Self {
        Self {
            key: object.key,
            size: object.size,
            version: object.version,
            modified: object.modified,
        }
    }
}

/// What the store has told about a directory.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) prefix: String,
    pub(crate) objects: Vec<ListedObject>,
    pub(crate) folders: Vec<String>,
    /// Folders below which something goes: whether anything else is there.
    pub(crate) looked_into: BTreeMap<String, bool>,
}

/// The entries of a directory.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) listed: Vec<Listed>,
    pub(crate) seen: Vec<Seen>,
}

#[derive(Default)]
struct Both {
    folder: bool,
    object: Option<Seen>,
}

impl Snapshot {
    /// The entries of `dir`, or the folders that must be looked into first.
    pub(crate) fn entries(
        &self,
        table: &Table,
        dir: InodeId,
        pending: Vec<PendingChild>,
        long: &LongNames,
    ) -> Result<Entries, Vec<String>> {
        let mut parts = self.parts();
        let mut doubtful = Vec::new();
        for child in pending {
            match child {
                PendingChild::Folder {
                    part,
                    has_content: true,
                } => parts.entry(part).or_default().folder = true,
                PendingChild::Folder { part, .. } => {
                    let Some(both) = parts.get_mut(&part).filter(|both| both.folder) else {
                        continue;
                    };
                    match self.looked_into.get(&part) {
                        Some(has_others) => both.folder = *has_others,
                        None => doubtful.push(part),
                    }
                }
                PendingChild::Key(key, view) => {
                    let part = key.as_str()[self.prefix.len()..].to_owned();
                    let both = parts.entry(part).or_default();
                    match view.desired {
                        Desired::Absent => both.object = None,
                        Desired::Metadata(_) => {}
                        Desired::Content(_) | Desired::Inline { .. } => {
                            both.object = Some(Seen::Pending(key, view));
                        }
                    }
                }
            }
        }
        if !doubtful.is_empty() {
            return Err(doubtful);
        }
        Ok(named(parts, table, dir, long))
    }

    fn parts(&self) -> BTreeMap<String, Both> {
        let mut parts = BTreeMap::<String, Both>::new();
        for folder in &self.folders {
            let part = folder[self.prefix.len()..].trim_end_matches('/');
            // `a//` has the part that is empty.
            parts.entry(part.to_owned()).or_default().folder = true;
        }
        for object in &self.objects {
            let part = &object.key.as_str()[self.prefix.len()..];
            if !part.is_empty() {
                let both = parts.entry(part.to_owned()).or_default();
                both.object = Some(Seen::Object(object.clone().into()));
            }
        }
        parts
    }
}

fn named(parts: BTreeMap<String, Both>, table: &Table, dir: InodeId, long: &LongNames) -> Entries {
    let mut entries = Entries::default();
    for (text, both) in parts {
        let role = if both.folder {
            let name = long.show(&Part::plain(&*text));
            let kind = NodeKind::Directory;
            entries.listed.push(Listed { name, kind });
            entries.seen.push(Seen::Folder);
            Role::BesideFolder
        } else {
            Role::Plain
        };
        if let Some(seen) = both.object {
            let name = long.show(&Part { text, role });
            let known = table.kind_of(dir, &name);
            let kind = seen.kind(known);
            entries.listed.push(Listed { name, kind });
            entries.seen.push(seen);
        }
    }
    entries
}

impl Seen {
    /// What it is, as far as can be told, where its name is `known` to be something.
    pub(crate) fn kind(&self, known: Option<NodeKind>) -> NodeKind {
        match self {
            Self::Folder => NodeKind::Directory,
            Self::Pending(_, view) => view.kind(),
            // A listing tells no symlink from a file: what it was, it is until a closer look.
            Self::Object(_) => match known {
                Some(NodeKind::Symlink) => NodeKind::Symlink,
                _ => NodeKind::File,
            },
        }
    }
}

/// What a pending object will be.
pub(crate) trait PendingKind {
    /// A file or a symlink.
    fn kind(&self) -> NodeKind;
}

impl PendingKind for PendingView {
    fn kind(&self) -> NodeKind {
        let metadata = self.metadata().unwrap_or_default();
        match dialect::read(&metadata).kind {
            Some(NodeKind::Symlink) => NodeKind::Symlink,
            _ => NodeKind::File,
        }
    }
}

/// Which keys the stage changed while the store was being asked, as parts of the names in a folder.
pub(crate) fn changed_parts(prefix: &str, keys: &[Key]) -> BTreeSet<String> {
    let part = |key: &Key| {
        let rest = key.as_str().strip_prefix(prefix)?;
        let part = rest.split_once('/').map_or(rest, |(part, _)| part);
        (!rest.is_empty()).then(|| part.to_owned())
    };
    keys.iter().filter_map(part).collect()
}

/// The names that a part may be shown under.
pub(crate) fn names_of(part: &str, long: &LongNames) -> [Name; 2] {
    [Role::Plain, Role::BesideFolder].map(|role| {
        long.show(&Part {
            text: part.to_owned(),
            role,
        })
    })
}
