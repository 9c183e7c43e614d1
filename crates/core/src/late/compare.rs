//! A listing of a folder beside what was left there lately: where they differ.
//!
//! Laws: of what was left, only what the page needs is looked at: what lies between its ends, for a page that others follow; and of a folder
//! that is listed, no more keys than it takes to know that it is not empty. Each key is looked for by halving.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use cloudmount_stage::{Lately, LeftKey, Next, Stage};
use cloudmount_store::{Key, ListedObject};

use super::{Asked, Doubts};
use crate::seen::{Portion, Snapshot};

/// Of the keys below a folder that is not listed, how many are asked for at each listing, the last ones first: whether one of
/// them is there says whether the folder is.
const KEYS_OF_FOLDER_MAX: usize = 4;

/// What was left lately where a listing is of.
#[derive(Default)]
pub(super) struct LeftHere {
    /// Directly in the folder, in order.
    keys: Vec<Lately>,
    /// What is below folders in it.
    folders: Vec<LeftBelow>,
}

/// What was left below a folder.
struct LeftBelow {
    /// All of its keys begin so.
    folder: String,
    is_listed: bool,
    /// Whether any object is there.
    has_any: bool,
    /// Objects that are there, if the folder is not listed.
    latest: Latest,
}

/// Of many keys, those that were left last.
#[derive(Default)]
pub(super) struct Latest(BinaryHeap<Reverse<ByNumber>>);

struct ByNumber(Lately);

impl LeftHere {
    pub(super) const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.folders.is_empty()
    }
}

impl Latest {
    pub(super) fn note(&mut self, left: &LeftKey<'_>) {
        if self.0.len() == KEYS_OF_FOLDER_MAX {
            if (self.0.peek()).is_some_and(|Reverse(ByNumber(first))| first.nth > left.nth) {
                return;
            }
            self.0.pop();
        }
        self.0.push(Reverse(ByNumber(left.copied())));
    }

    pub(super) fn into_keys(self) -> Vec<Lately> {
        let keys = self.0.into_iter();
        keys.map(|Reverse(ByNumber(left))| left).collect()
    }
}

impl Ord for ByNumber {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.nth.cmp(&other.0.nth)
    }
}

impl PartialOrd for ByNumber {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByNumber {
    fn eq(&self, other: &Self) -> bool {
        self.0.nth == other.0.nth
    }
}

impl Eq for ByNumber {}

impl Snapshot {
    /// What was left lately where it is of.
    pub(super) fn left_here(&self, stage: &Stage) -> LeftHere {
        let mut here = LeftHere::default();
        let (from, to) = match self.portion {
            // What no portion shows is looked for with the last one.
            Portion::Some => match self.ends() {
                Some((first, last)) => (first, Some(last)),
                None => return here,
            },
            Portion::All | Portion::Last => (&*self.prefix, None),
        };
        let folders: HashSet<&str> = self.folders.iter().map(String::as_str).collect();
        stage.each_left_lately(&self.prefix, from, |left| {
            let key = left.key.as_str();
            if to.is_some_and(|to| key > to && !key.starts_with(to)) {
                return Next::End;
            }
            let Some(slash) = key[self.prefix.len()..].find('/') else {
                here.keys.push(left.copied());
                return Next::Key;
            };
            let folder = &key[..=self.prefix.len() + slash];
            let is_listed = folders.contains(folder);
            if !is_listed && self.portion == Portion::Some {
                return Next::Past(folder.to_owned());
            }
            here.note_below(folder, is_listed, left)
        });
        here
    }

    /// The first and the last of what it shows.
    fn ends(&self) -> Option<(&str, &str)> {
        let objects = self.objects.iter().map(|object| object.key.as_str());
        let all = objects.chain(self.folders.iter().map(String::as_str));
        all.fold(None, |ends, one| match ends {
            None => Some((one, one)),
            Some((first, last)) => Some((one.min(first), one.max(last))),
        })
    }

    /// Where it differs from how keys were left.
    pub(super) fn doubts(&self, here: LeftHere) -> Doubts {
        let mut doubts = Doubts::default();
        for below in here.folders {
            if below.is_listed && !below.has_any {
                let part = below.folder[self.prefix.len()..].trim_end_matches('/');
                doubts.emptied.insert(part.to_owned());
            }
            doubts.missing.extend(below.latest.into_keys());
        }
        let keys: Vec<&str> = here.keys.iter().map(|left| left.key.as_str()).collect();
        let objects = self.objects.iter().map(|object| object.key.as_str());
        let listed = places(&keys, objects);
        for (left, at) in here.keys.into_iter().zip(listed) {
            match at.map(|at| &self.objects[at]) {
                // The folder's own marker is no entry of it.
                None if left.is_there && left.key.as_str() != self.prefix => {
                    doubts.missing.push(left);
                }
                None => {}
                Some(object) => {
                    let version = object.version.as_ref();
                    if left.is_there && !version.is_some_and(|version| left.has_replaced(version)) {
                        continue;
                    }
                    if let Some(version) = version {
                        doubts.listed.insert(left.key.clone(), version.clone());
                    }
                    doubts.unlike.push(left);
                }
            }
        }
        doubts
    }

    /// Shows what is there instead of what was.
    pub(super) fn put_right(
        &mut self,
        unlike: Vec<Asked>,
        missing: Vec<Asked>,
        gone: &HashSet<String>,
    ) {
        let was: HashSet<&Key> = unlike.iter().map(|(left, _)| &left.key).collect();
        self.objects.retain(|object| !was.contains(&object.key));
        self.folders.retain(|folder| !gone.contains(folder));
        for (left, there) in unlike.into_iter().chain(missing) {
            let Some(meta) = there else {
                continue;
            };
            let rest = &left.key.as_str()[self.prefix.len()..];
            match rest.split_once('/') {
                Some((part, _)) => {
                    let folder = format!("{}{part}/", self.prefix);
                    if !self.folders.contains(&folder) {
                        self.folders.push(folder);
                    }
                }
                None => self.objects.push(ListedObject {
                    key: left.key,
                    size: meta.size,
                    version: Some(meta.version),
                    modified: meta.modified,
                }),
            }
        }
    }
}

impl LeftHere {
    fn note_below(&mut self, folder: &str, is_listed: bool, left: &LeftKey<'_>) -> Next {
        if self.folders.last().is_none_or(|last| last.folder != folder) {
            self.folders.push(LeftBelow {
                folder: folder.to_owned(),
                is_listed,
                has_any: false,
                latest: Latest::default(),
            });
        }
        let Some(below) = self.folders.last_mut().filter(|_| left.is_there) else {
            return Next::Key;
        };
        below.has_any = true;
        if is_listed {
            return Next::Past(folder.to_owned());
        }
        below.latest.note(left);
        Next::Key
    }
}

/// For each of `sorted`, which of `others` is the same.
fn places<K: Ord>(sorted: &[K], others: impl Iterator<Item = K>) -> Vec<Option<usize>> {
    let mut places = vec![None; sorted.len()];
    if sorted.is_empty() {
        return places;
    }
    for (at, other) in others.enumerate() {
        if let Ok(place) = sorted.binary_search(&other) {
            places[place] = Some(at);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::*;

    /// Text that counts how often it is compared.
    #[derive(Clone, Debug)]
    struct Counted<'a>(String, &'a Cell<usize>);

    impl Ord for Counted<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for Counted<'_> {}

    #[test]
    fn keys_are_found_in_a_listing_of_any_order() {
        let check = |sorted: &[&str], others: &[&str], expected: &[Option<usize>]| {
            assert_eq!(places(sorted, others.iter().copied()), expected);
        };
        check(&["a", "c"], &["c", "b", "a"], &[Some(2), Some(0)]);
        check(&["b"], &[], &[None]);
        check(&[], &["b"], &[]);
    }

    /// Thousands of keys would take minutes if each were looked for among all.
    #[test]
    fn to_find_keys_takes_a_few_comparisons_each() {
        const KEYS: usize = 5_000;
        let count = Cell::new(0);
        let keys: Vec<_> = (0..KEYS)
            .map(|n| Counted(format!("folder/{n:06}"), &count))
            .collect();
        let found = places(&keys, keys.iter().rev().cloned());
        assert!(found.iter().rev().copied().eq((0..KEYS).map(Some)));
        let each = count.get() / KEYS;
        assert!(each <= 14, "{each} comparisons for each key");
    }
}
