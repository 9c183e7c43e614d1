//! What a directory holds: what the store lists, with what is pending laid over it.
//!
//! Laws: what is to be removed is not shown, what is to be put is; a folder is shown as long as
//! anything will be below it; an object beside a folder of the same name has a name of its own; the
//! folder's manifest is not shown, nor are the scratch objects of a probe, which lie in the root.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cloudmount_inode::Listed;
use cloudmount_stage::{Desired, PendingChild, PendingView};
use cloudmount_store::probe::SCRATCH;
use cloudmount_store::{Key, ListedObject, Version};
use cloudmount_vfs::{InodeId, Name, NodeKind, Timestamp};

use crate::Litter;
use crate::core::Table;
use crate::dialect;
use crate::manifest;
use crate::markers::{self, Marks};
use crate::naming::{LongNames, Part, Role};

/// What an entry stands for.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// Keys below it, or a marker: those of other tools are named.
    Folder(Marks),
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

/// How much of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Portion {
    /// All of it.
    #[default]
    All,
    /// A part, and others come.
    Some,
    /// The last part.
    Last,
}

/// What the store has told about a directory.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) portion: Portion,
    pub(crate) prefix: String,
    pub(crate) objects: Vec<ListedObject>,
    pub(crate) folders: Vec<String>,
    /// Folders below which something goes, or went since: whether anything else is there.
    pub(crate) looked_into: BTreeMap<String, bool>,
    /// Whether it shows what was done here lately, however late the store lists.
    pub(crate) is_caught_up: bool,
}

/// The parts of names in a folder that the stage has changed.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Of folders that are listed: something below them was changed, or their marker.
    pub(crate) folders: BTreeSet<String>,
    /// All others.
    pub(crate) other: BTreeSet<String>,
}

/// The entries of a directory.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) listed: Vec<Listed>,
    pub(crate) seen: Vec<Seen>,
    /// Whether a folder is marked by a suffix.
    pub(crate) has_suffixes: bool,
}

/// What is there under one part of a key.
#[derive(Default)]
pub(crate) struct Both {
    pub(crate) folder: bool,
    pub(crate) object: Option<Seen>,
    /// Of the folder.
    pub(crate) marks: Marks,
}

impl Snapshot {
    /// The entries of `dir`, or the folders that must be looked into first. `unsure` are folders that may be listed
    /// only for what was removed since.
    pub(crate) fn entries(
        &self,
        table: &Table,
        dir: InodeId,
        (pending, mut unsure): (Vec<PendingChild>, BTreeSet<String>),
        (long, litter): (&LongNames, &Litter),
    ) -> Result<Entries, Vec<String>> {
        let mut parts = self.parts();
        for child in pending {
            match child {
                PendingChild::Folder {
                    part,
                    has_content: true,
                } => {
                    unsure.remove(&part);
                    parts.entry(part).or_default().folder = true;
                }
                PendingChild::Folder { part, .. } => drop(unsure.insert(part)),
                PendingChild::Key(key, _) if manifest::is_key(&key) => {}
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
        parts.retain(|part, _| !litter.hides(part));
        let mut doubtful = Vec::new();
        for part in unsure {
            let Some(both) = parts.get_mut(&part).filter(|both| both.folder) else {
                continue;
            };
            match self.looked_into.get(&part) {
                Some(has_others) => both.folder = *has_others,
                None => doubtful.push(part),
            }
        }
        if !doubtful.is_empty() {
            return Err(doubtful);
        }
        let has_suffixes = markers::take_out(&mut parts, table, dir, long);
        Ok(Entries {
            has_suffixes,
            ..named(parts, table, dir, long)
        })
    }

    /// What the stage has changed here, whose `keys` these are, while the store was being asked.
    pub(crate) fn changed(&self, keys: &[Key]) -> Changed {
        let (mut below, mut other) = (BTreeSet::new(), BTreeSet::new());
        for key in keys {
            match key.as_str().strip_prefix(&*self.prefix) {
                None | Some("" | manifest::NAME) => {}
                Some(rest) => match rest.split_once('/') {
                    Some((part, _)) => drop(below.insert(part.to_owned())),
                    None => drop(other.insert(rest.to_owned())),
                },
            }
        }
        let mut folders = BTreeSet::new();
        if !below.is_empty() {
            let listed = self.folders.iter().map(|folder| self.part_of(folder));
            folders.extend(listed.filter_map(|part| below.take(part)));
        }
        other.extend(below);
        Changed { folders, other }
    }

    /// The parts of names that it shows.
    pub(crate) fn shown_parts(&self) -> HashSet<&str> {
        let folders = self.folders.iter().map(|folder| self.part_of(folder));
        let objects = self.objects.iter();
        let objects = objects.map(|object| &object.key.as_str()[self.prefix.len()..]);
        folders.chain(objects).collect()
    }

    /// Whether the folder's own marker is in it.
    pub(crate) fn shows_marker(&self) -> bool {
        let mut objects = self.objects.iter();
        objects.any(|object| object.key.as_str() == self.prefix)
    }

    /// The folder's own manifest.
    pub(crate) fn manifest(&self) -> Option<&ListedObject> {
        let is_it = |object: &&ListedObject| {
            object.key.as_str().strip_prefix(&*self.prefix) == Some(manifest::NAME)
        };
        self.objects.iter().find(is_it)
    }

    /// `a//` has the part that is empty.
    fn part_of<'a>(&self, folder: &'a str) -> &'a str {
        folder[self.prefix.len()..].trim_end_matches('/')
    }

    fn parts(&self) -> BTreeMap<String, Both> {
        let mut parts = BTreeMap::<String, Both>::new();
        for folder in &self.folders {
            parts
                .entry(self.part_of(folder).to_owned())
                .or_default()
                .folder = true;
        }
        for object in &self.objects {
            let part = &object.key.as_str()[self.prefix.len()..];
            let is_scratch = self.prefix.is_empty() && part.starts_with(SCRATCH);
            if !part.is_empty() && part != manifest::NAME && !is_scratch {
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
            entries.seen.push(Seen::Folder(both.marks));
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
            Self::Folder(_) => NodeKind::Directory,
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

/// The names that a part may be shown under.
pub(crate) fn names_of(part: &str, long: &LongNames) -> [Name; 2] {
    [Role::Plain, Role::BesideFolder].map(|role| {
        long.show(&Part {
            text: part.to_owned(),
            role,
        })
    })
}
