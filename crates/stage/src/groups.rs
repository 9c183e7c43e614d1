//! [`Groups`]: changes of many keys that a person sees as one: the rename of a folder, the removal of
//! what is in it.
//!
//! Laws: it is for people only, and decides nothing; it is bounded, lives in memory, and after a
//! restart keys are shown one by one. How much is left is counted in the table when somebody asks, so
//! it cannot drift from what is done.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use cloudmount_store::Key;
use serde::Serialize;

use crate::desired::Desired;
use crate::key_state::KeyState;

/// Renames that are remembered. More at once are a program at work, and the oldest are shown key by
/// key.
const RENAMES_MAX: usize = 100;

/// Folders whose removals are counted: those of a large tree. Beyond, counting begins anew.
const FOLDERS_MAX: usize = 10_000;

/// Removals in a tree that are shown as one: fewer are shown by name.
const REMOVALS_MIN: usize = 10;

/// A change of many keys that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GroupStatus {
    /// The folder, ending in `/`.
    pub folder: String,
    /// The folder that it becomes; `None`: what is below it is removed.
    pub to: Option<String>,
    /// Keys that it is about.
    pub keys_total: usize,
    /// Of these, the ones that are done.
    pub keys_done: usize,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    renames: Vec<Rename>,
    /// By folder.
    removals: BTreeMap<String, Removals>,
}

/// A folder that is renamed.
#[derive(Debug)]
struct Rename {
    from: String,
    to: String,
    /// The numbers of all that it wants.
    seqs: RangeInclusive<u64>,
    keys: usize,
}

/// What is removed directly in a folder.
#[derive(Debug)]
struct Removals {
    keys: usize,
    last: Key,
}

/// What a look at the table finds.
#[derive(Debug, Default)]
pub(crate) struct Look {
    groups: Vec<GroupStatus>,
    /// Numbers that belong to renames that are shown.
    renames: Vec<RangeInclusive<u64>>,
    /// Folders whose removals are shown as one.
    removals: Vec<String>,
}

impl Groups {
    /// A folder is renamed, with so many keys, by all that has one of these numbers.
    pub(crate) fn renamed(&mut self, from: &Key, to: &Key, seqs: RangeInclusive<u64>, keys: usize) {
        if self.renames.len() >= RENAMES_MAX {
            self.renames.remove(0);
        }
        self.renames.push(Rename {
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            seqs,
            keys,
        });
    }

    /// The key that was last to be removed in the folder of `key`.
    pub(crate) fn last_removed(&self, key: &Key) -> Option<&Key> {
        self.removals.get(folder_of(key)).map(|found| &found.last)
    }

    /// A key is to be removed. `is_over`: what was to be removed there before is.
    pub(crate) fn removed(&mut self, key: &Key, is_over: IsOver) {
        let folder = folder_of(key);
        if self.removals.len() >= FOLDERS_MAX && !self.removals.contains_key(folder) {
            self.removals.clear();
        }
        match self.removals.get_mut(folder) {
            Some(removals) if is_over == IsOver::No => {
                removals.keys += 1;
                removals.last = key.clone();
            }
            _ => {
                let removals = Removals {
                    keys: 1,
                    last: key.clone(),
                };
                self.removals.insert(folder.to_owned(), removals);
            }
        }
    }

    /// How far everything is, by what is pending; what is done is forgotten.
    pub(crate) fn look<'a>(
        &mut self,
        pending: impl Iterator<Item = (&'a Key, &'a KeyState)>,
    ) -> Look {
        let mut parts: Vec<HashSet<&str>> = vec![HashSet::new(); self.renames.len()];
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, state) in pending {
            let rename = (self.renames.iter()).position(|rename| rename.seqs.contains(&state.seq));
            if let Some(at) = rename {
                let rename = &self.renames[at];
                let text = key.as_str();
                // The old and the new name of a key are one.
                let part = text.strip_prefix(&*rename.from);
                parts[at].extend(part.or_else(|| text.strip_prefix(&*rename.to)));
            } else if matches!(state.desired, Desired::Absent) {
                *left.entry(folder_of(key)).or_default() += 1;
            }
        }
        let mut look = Look::default();
        for (rename, left) in self.renames.iter().zip(&parts) {
            if !left.is_empty() {
                look.renames.push(rename.seqs.clone());
                look.groups.push(GroupStatus {
                    folder: rename.from.clone(),
                    to: Some(rename.to.clone()),
                    keys_total: rename.keys,
                    keys_done: rename.keys.saturating_sub(left.len()),
                });
            }
        }
        let mut left_of = parts.iter();
        self.renames
            .retain(|_| left_of.next().is_some_and(|left| !left.is_empty()));
        let trees = trees(&self.removals, &left);
        // A folder counts as long as anything is left of the tree that it is in.
        let is_over = |tree: &GroupStatus| tree.keys_done == tree.keys_total;
        let over = trees.iter().filter(|tree| is_over(tree));
        for tree in over {
            (self.removals).retain(|folder, _| !is_in(folder, &tree.folder));
        }
        let shown = (trees.into_iter())
            .filter(|tree| !is_over(tree) && !tree.folder.is_empty())
            .filter(|tree| tree.keys_total >= REMOVALS_MIN);
        for tree in shown {
            look.removals.push(tree.folder.clone());
            look.groups.push(tree);
        }
        look
    }
}

/// Whether what was to be removed before is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IsOver {
    Yes,
    No,
}

impl Look {
    /// Whether the key is shown as part of something.
    pub(crate) fn has(&self, key: &Key, state: &KeyState) -> bool {
        self.renames.iter().any(|seqs| seqs.contains(&state.seq))
            || (matches!(state.desired, Desired::Absent)
                && (self.removals.iter()).any(|folder| folder_of(key).starts_with(&**folder)))
    }

    pub(crate) fn groups(self) -> Vec<GroupStatus> {
        self.groups
    }
}

/// Folders below one another are one tree.
fn trees(removals: &BTreeMap<String, Removals>, left: &BTreeMap<&str, usize>) -> Vec<GroupStatus> {
    let mut trees: Vec<GroupStatus> = Vec::new();
    for (folder, removals) in removals {
        let left = left.get(&**folder).copied().unwrap_or(0);
        let total = removals.keys.max(left);
        match trees.last_mut() {
            Some(top) if is_in(folder, &top.folder) => {
                top.keys_total += total;
                top.keys_done += total - left;
            }
            _ => trees.push(GroupStatus {
                folder: folder.clone(),
                to: None,
                keys_total: total,
                keys_done: total - left,
            }),
        }
    }
    trees
}

/// Whether a folder is, or is in, the tree of `top`. Everything is below the outermost one, which is
/// a tree of its own.
fn is_in(folder: &str, top: &str) -> bool {
    folder == top || (!top.is_empty() && folder.starts_with(top))
}

/// The folder that the name of a key is in, ending in `/`; empty for the outermost.
fn folder_of(key: &Key) -> &str {
    let text = key.as_str();
    let name = text.strip_suffix('/').unwrap_or(text);
    name.rfind('/').map_or("", |at| &text[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_key() {
        for (key, folder) in [("a", ""), ("a/", ""), ("a/b", "a/"), ("a/b/", "a/")] {
            assert_eq!(folder_of(&Key::new(key).unwrap()), folder, "{key}");
        }
    }
}
