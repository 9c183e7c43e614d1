//! What the client has under each name: known to who looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::replaced::content::whole;

/// What is under a name, as others left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Absent,
    There {
        version: u64,
        /// Permission bits; `None` are those of files that say nothing.
        mode: Option<u32>,
    },
}

/// One name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// What the last change left.
    pub(super) state: State,
    /// Whether the mount has shown that.
    pub(super) is_seen: bool,
    /// How often it was changed.
    pub(super) changes: u64,
    /// Its number on the mount, since it is there.
    pub(super) number: Option<u64>,
    /// All versions that were ever there.
    pub(super) versions: BTreeSet<u64>,
}

/// All names that the client changes.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<BTreeMap<String, Known>>);

impl Names {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Known>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known of a name.
    pub(super) fn get(&self, name: &str) -> Known {
        self.with(|names| names.get(name).cloned().unwrap_or_default())
    }

    /// Names that are there, or were.
    pub(super) fn all(&self) -> Vec<String> {
        self.with(|names| names.keys().cloned().collect())
    }

    /// A change begins: from now on either may be shown.
    pub(super) fn begin(&self, name: &str, state: State) {
        self.with(|names| {
            let known = names.entry(name.to_owned()).or_default();
            match state {
                State::Absent => known.number = None,
                State::There { version, .. } => drop(known.versions.insert(version)),
            }
            known.state = state;
            known.is_seen = false;
            known.changes += 1;
        });
    }

    /// The mount shows it, under this number.
    pub(super) fn seen(&self, name: &str, number: Option<u64>) {
        self.with(|names| {
            let known = names.entry(name.to_owned()).or_default();
            known.is_seen = true;
            known.number = number;
        });
    }

    /// What must be in the bucket.
    pub(super) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.with(|names| {
            let there = names.iter().filter_map(|(name, known)| match known.state {
                State::Absent => None,
                State::There { version, .. } => Some((name.clone(), whole(version))),
            });
            there.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_until_it_is_gone() {
        let names = Names::default();
        let there = |version| State::There {
            version,
            mode: None,
        };
        names.begin("a", there(1));
        assert!(!names.get("a").is_seen);
        names.seen("a", Some(7));
        names.begin("a", there(2));
        assert_eq!(names.get("a").number, Some(7));
        assert_eq!(names.contents(), [("a".to_owned(), whole(2))].into());
        names.begin("a", State::Absent);
        let known = names.get("a");
        assert_eq!((known.number, known.changes), (None, 3));
        assert_eq!(known.versions, [1, 2].into());
        assert!(names.contents().is_empty());
    }
}
