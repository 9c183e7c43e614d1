//! How keys were left lately, with what is pending laid over it: what is pending is left out, but for new metadata.
//!
//! Law: the table's lock is held for a few keys at a time.

use std::ops::Bound;

use cloudmount_store::Key;

use super::{Mark, Stage};
use crate::desired::Desired;
use crate::recent::{Lately, LeftKey, Next};
use crate::table::Table;

/// Keys that are gone over before others get at the table: within about a tenth of a millisecond.
const KEYS_PER_STEP: usize = 256;

impl Stage {
    /// Whether listings may show anything otherwise than the stage left it within the last minutes.
    #[must_use]
    pub fn may_list_late(&self) -> bool {
        let now = self.inner.now();
        self.inner.lock().recent.may_be_late(now)
    }

    /// How the stage left `key` within the last minutes: where a listing says otherwise, it may be late, or somebody else has
    /// changed it.
    #[must_use]
    pub fn left_lately(&self, key: &Key) -> Option<Lately> {
        let now = self.inner.now();
        let table = self.inner.lock();
        let left = table.recent.left(key, now)?;
        table.is_as_left(&left).then(|| left.copied())
    }

    /// Shows `look` how the stage left keys starting with `prefix`, in their order, beginning at `from`, which starts with
    /// `prefix`, too. `look` says where to go on. The lock is given back every few keys, so each is told as it is at some
    /// moment of the call; `look` is called under the lock, and takes none.
    pub fn each_left_lately(
        &self,
        prefix: &str,
        from: &str,
        mut look: impl FnMut(&LeftKey<'_>) -> Next,
    ) {
        let now = self.inner.now();
        let mut from = Some(Bound::Included(from.to_owned()));
        while let Some(at) = from {
            let table = self.inner.lock();
            if !table.recent.may_be_late(now) {
                return;
            }
            from = (table.recent).step(prefix, at, (KEYS_PER_STEP, now), |left| {
                if table.is_as_left(left) {
                    look(left)
                } else {
                    Next::Key
                }
            });
        }
    }

    /// Whoever asked for `key` itself after `mark` found it otherwise than it was left.
    pub fn seen_otherwise(&self, key: &Key, mark: Mark) {
        self.inner.lock().recent.seen_otherwise(key, mark.0);
    }
}

impl Table {
    /// Whether nothing is pending there that a listing cannot show.
    fn is_as_left(&self, left: &LeftKey<'_>) -> bool {
        let pending = self.get(left.key).map(|state| &state.desired);
        matches!(pending, None | Some(Desired::Metadata(_)))
    }
}
