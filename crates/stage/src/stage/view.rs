//! What is pending, for lookups, listings and people.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use cloudmount_store::Key;

use super::Stage;
use crate::StagedFile;
use crate::desired::{Desired, PendingView};
use crate::key_state::{Failure, KeyState, Urgency};
use crate::scope::Scope;
use crate::status::{self, KeyStatus, StageStatus};
use crate::table::Table;

/// Something pending directly in a folder: see [`Stage::pending_children`].
#[derive(Clone, Debug)]
pub enum PendingChild {
    /// A key in the folder.
    Key(Key, PendingView),
    /// Keys below a folder in it.
    Folder {
        /// The part of the keys that is the folder's name.
        part: String,
        /// Whether any of them is to hold something.
        has_content: bool,
    },
}

/// A moment in what the stage did to the bucket: see [`Stage::keys_changed_since`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(pub(super) u64);

impl Stage {
    /// What is pending under `key`. Cheap: for each lookup.
    #[must_use]
    pub fn pending(&self, key: &Key) -> Option<PendingView> {
        self.inner.lock().get(key).map(KeyState::view)
    }

    /// All that is pending under keys that start with `prefix`, in the order of the keys.
    #[must_use]
    pub fn pending_under(&self, prefix: &str) -> Vec<(Key, PendingView)> {
        let table = self.inner.lock();
        table
            .under(prefix)
            .map(|(key, state)| (key.clone(), state.view()))
            .collect()
    }

    /// What is pending directly under `prefix` (empty, or ending in `/`), in the order of the keys;
    /// what is pending further below is told as one folder. Costs as much as it tells, unless a
    /// folder has nothing but removals.
    #[must_use]
    pub fn pending_children(&self, prefix: &str) -> Vec<PendingChild> {
        let table = self.inner.lock();
        let mut children = Vec::new();
        let mut from = Bound::Included(prefix.to_owned());
        while let Some((key, state)) = table.first_from(&from, prefix) {
            let rest = &key.as_str()[prefix.len()..];
            if let Some((part, _)) = rest.split_once('/') {
                let folder = format!("{prefix}{part}/");
                let mut below = table.under(&folder);
                children.push(PendingChild::Folder {
                    part: part.to_owned(),
                    has_content: below.any(|(_, state)| !is_removal(state)),
                });
                // '0' follows '/': the first key that is not below the folder.
                from = Bound::Included(format!("{prefix}{part}0"));
            } else {
                if !rest.is_empty() {
                    children.push(PendingChild::Key(key.clone(), state.view()));
                }
                from = Bound::Excluded(key.as_str().to_owned());
            }
        }
        children
    }

    /// Whether anything is to be held by a key that starts with `prefix`, or is to be removed there.
    #[must_use]
    pub fn pending_folder(&self, prefix: &str) -> Option<PendingFolder> {
        let table = self.inner.lock();
        let mut below = table.under(prefix).peekable();
        below.peek()?;
        Some(if below.all(|(_, state)| is_removal(state)) {
            PendingFolder::RemovalsOnly
        } else {
            PendingFolder::HasContent
        })
    }

    /// Now, in what the stage did to the bucket.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.inner.lock().recent.mark())
    }

    /// The keys starting with `prefix` that the stage changed in the bucket since `mark`: what was
    /// listed in between may show them as before or after. `None`: there were too many to remember.
    #[must_use]
    pub fn keys_changed_since(&self, mark: Mark, prefix: &str) -> Option<Vec<Key>> {
        let table = self.inner.lock();
        let changed = table.recent.since(mark.0)?;
        let here = changed.filter(|key| key.as_str().starts_with(prefix));
        Some(here.cloned().collect())
    }

    /// Those of [`keys_changed_since`](Self::keys_changed_since) that were removed, and not put again: what was
    /// listed in between may still show them, and says nothing by that.
    #[must_use]
    pub fn keys_removed_since(&self, mark: Mark, prefix: &str) -> Option<BTreeSet<Key>> {
        self.inner.lock().recent.removed_since(mark.0, prefix)
    }

    /// The files for whose copies an operation on `key` waits, as the removal of a name that was
    /// renamed does.
    #[must_use]
    pub fn waited_for(&self, key: &Key) -> Vec<Arc<StagedFile>> {
        let mut files = self.inner.lock().based_on(key);
        files.retain(|file| {
            let inside = file.lock();
            inside.key != *key && inside.needs_base()
        });
        files
    }

    /// Tries `key` now, whatever delay or back-off it is in. Without effect on an open file that
    /// was not submitted.
    pub fn flush_now(&self, key: &Key) {
        let inner = &self.inner;
        let now = inner.now();
        inner.lock().hurry(inner, key, now);
        inner.freed.wake();
    }

    /// Tries every key now.
    pub fn flush_all(&self) {
        let inner = &self.inner;
        let now = inner.now();
        let mut table = inner.lock();
        let keys: Vec<Key> = table.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            table.hurry(inner, &key, now);
        }
        drop(table);
        inner.freed.wake();
    }

    /// The files in `scope` of which some is only in parts of their uploads.
    #[must_use]
    pub fn away_in(&self, scope: &Scope) -> Vec<Arc<StagedFile>> {
        let table = self.inner.lock();
        let files = scope.pending(&table).flat_map(|(_, state)| state.files());
        files
            .filter(|file| file.is_away())
            .map(Arc::clone)
            .collect()
    }

    /// How everything stands, for people.
    #[must_use]
    pub fn status(&self) -> StageStatus {
        self.status_of(&Scope::all())
    }

    /// How what is pending in `scope` stands. Budgets and what was set aside are those of all.
    #[must_use]
    pub fn status_of(&self, scope: &Scope) -> StageStatus {
        status::collect(&self.inner, scope)
    }

    /// How one key stands; `None`: nothing is pending there.
    #[must_use]
    pub fn key_status(&self, key: &Key) -> Option<KeyStatus> {
        let inner = &self.inner;
        let now = inner.now();
        let table = inner.lock();
        table.get(key).map(|state| status::one(key, state, now))
    }

    /// The keys that are pending in `scope`, in order.
    #[must_use]
    pub fn keys_of(&self, scope: &Scope) -> Vec<Key> {
        let table = self.inner.lock();
        scope.pending(&table).map(|(key, _)| key.clone()).collect()
    }

    /// How many keys are pending in `scope`.
    #[must_use]
    pub fn count_pending(&self, scope: &Scope) -> usize {
        scope.pending(&self.inner.lock()).count()
    }
}

/// What is pending below a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PendingFolder {
    /// Something will be there.
    HasContent,
    /// Whatever is there now, some of it will go.
    RemovalsOnly,
}

fn is_removal(state: &KeyState) -> bool {
    matches!(state.desired, Desired::Absent)
}

impl Table {
    /// Tries `key` now.
    pub(super) fn hurry(&mut self, inner: &super::Inner, key: &Key, now: cloudmount_vfs::Instant) {
        let Some(state) = self.get_mut(key) else {
            return;
        };
        state.due = now;
        state.idle = None;
        state.urgency = Urgency::Hurry;
        state.poke();
        // Whoever waits is to hear of a failure of the next try, not of the last one.
        if state.in_flight.is_none() {
            state.failure = None::<Failure>;
        }
        self.schedule(inner, key, now);
    }
}
