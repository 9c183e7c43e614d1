//! What the bucket as a whole refuses: it is full, it is not there, or it does not know who asks. Who mends that does so elsewhere,
//! and says nothing here.
//!
//! Laws:
//! - One key at a time finds out, every half a minute; the others wait for it, so that a queue costs no more for being long.
//! - Whatever then gets into the bucket has all of them tried at once, but no oftener than that: some may be refused for
//!   what they are, as for their size.

use std::time::Duration;

use cloudmount_store::{ErrorKind, Key};
use cloudmount_vfs::Instant;

use crate::key_state::{Extent, KeyState, jittered};
use crate::stage::Inner;
use crate::table::Table;

/// Who finds out whether the bucket takes something again.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    scout: Option<Key>,
    /// When all were tried last.
    tried: Option<Instant>,
}

/// What an error of that kind concerns.
pub(super) const fn extent(kind: ErrorKind) -> Extent {
    match kind {
        ErrorKind::Quota | ErrorKind::NoBucket | ErrorKind::Unauthorized => Extent::Bucket,
        _ => Extent::Key,
    }
}

fn is_refused(state: &KeyState) -> bool {
    (state.failure.as_ref()).is_some_and(|failure| failure.extent == Extent::Bucket)
}

impl Inner {
    /// How long `key` waits that the bucket refused just now.
    pub(super) fn refused_delay(&self, table: &mut Table, key: &Key, attempts: u32) -> Duration {
        let others = (table.refused.scout.as_ref()).filter(|scout| *scout != key);
        let delay = if others
            .and_then(|scout| table.get(scout))
            .is_some_and(is_refused)
        {
            self.settings.failed_delay
        } else {
            table.refused.scout = Some(key.clone());
            self.settings.refused_delay
        };
        jittered(delay, key, attempts)
    }

    /// The bucket took something: what it had refused is tried now.
    pub(super) fn accepted(&self, table: &mut Table, now: Instant) {
        let is_again = |at: Instant| now < at + self.settings.refused_delay;
        if table.refused.scout.is_none() || table.refused.tried.is_some_and(is_again) {
            return;
        }
        table.refused = Refused {
            scout: None,
            tried: Some(now),
        };
        let waits = |state: &KeyState| is_refused(state) && state.due > now;
        let waiting = table.iter().filter(|(_, state)| waits(state));
        let keys: Vec<Key> = waiting.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(state) = table.get_mut(&key) {
                state.due = now;
            }
            table.schedule(self, &key, now);
        }
    }
}
