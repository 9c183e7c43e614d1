//! What is pending, for lookups, listings and people.

use cloudmount_store::Key;

use super::Stage;
use crate::desired::PendingView;
use crate::key_state::{Failure, Urgency};
use crate::status::{self, StageStatus};
use crate::table::Flow;

impl Stage {
    /// What is pending under `key`. Cheap: for each lookup.
    #[must_use]
    pub fn pending(&self, key: &Key) -> Option<PendingView> {
        self.inner
            .lock()
            .get(key)
            .map(crate::key_state::KeyState::view)
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

    /// Starts no new operation. Those under way end.
    pub fn pause(&self) {
        self.inner.lock().flow = Flow::Paused;
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.inner.lock().flow = Flow::Running;
        self.inner.freed.wake();
    }

    /// How everything stands, for people.
    #[must_use]
    pub fn status(&self) -> StageStatus {
        status::collect(&self.inner)
    }
}

impl crate::table::Table {
    /// Tries `key` now.
    fn hurry(&mut self, inner: &super::Inner, key: &Key, now: cloudmount_vfs::Instant) {
        let Some(state) = self.get_mut(key) else {
            return;
        };
        state.due = now;
        state.idle = None;
        state.urgency = Urgency::Hurry;
        // Whoever waits is to hear of a failure of the next try, not of the last one.
        if state.in_flight.is_none() {
            state.failure = None::<Failure>;
        }
        self.schedule(inner, key, now);
    }
}
