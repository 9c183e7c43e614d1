//! [`Table`]: every key with something pending, and the order in which they are served.
//!
//! One lock guards it (the outermost of the crate); every method is short and touches only the
//! keys that it names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use cloudmount_store::{Key, UploadId};
use cloudmount_vfs::Instant;

use crate::key_state::{Class, KeyState, Place};
use crate::queue::burst::Burst;
use crate::queue::refused::Refused;
use crate::queue::session::Session;
use crate::queue::uploads::Intent;
use crate::recent::Recent;
use crate::{FileId, StagedFile};

/// Settled files beyond which dead ones are looked for: a scan then costs less than the commits
/// that led to it.
const SETTLED_MIN: usize = 1024;

/// Every key with something pending.
#[derive(Debug, Default)]
pub(crate) struct Table {
    keys: BTreeMap<Key, KeyState>,
    /// Keys that wait for a time.
    timed: BTreeSet<(Instant, Key)>,
    ready_small: VecDeque<Key>,
    ready_large: VecDeque<Key>,
    ready_stream: VecDeque<Key>,
    ready_remove: VecDeque<Key>,
    /// Files that an operation works on, wherever their key is by now.
    pub(crate) busy: HashSet<FileId>,
    /// Files by the key of their base. May hold dead ones and ones that moved on.
    bases: HashMap<Key, Vec<Weak<StagedFile>>>,
    /// Files that are all in the bucket but still open somewhere, by key.
    settled: HashMap<Key, Weak<StagedFile>>,
    settled_limit: usize,
    pub(crate) recent: Recent,
    /// Multipart uploads that exist in the bucket.
    pub(crate) uploads: HashMap<UploadId, Key>,
    /// Multipart uploads of which only the intent is known, as the journal has them.
    pub(crate) intents: BTreeSet<Intent>,
    /// Those among them that are being begun now.
    pub(crate) starting: BTreeSet<Intent>,
    /// Those that are to be searched for in the bucket.
    pub(crate) lost_starts: Vec<Intent>,
    /// Those that could not be searched for yet.
    pub(crate) not_swept: Vec<Intent>,
    /// Multipart uploads that nobody will finish.
    pub(crate) abandoned: Vec<(Key, UploadId)>,
    /// Those among them that could not be aborted yet.
    pub(crate) not_aborted: Vec<(Key, UploadId)>,
    /// Interrupted multipart uploads, to go on with.
    pub(crate) sessions: HashMap<FileId, Session>,
    /// Files whose missing bytes are to be fetched, to free their base.
    pub(crate) fills: VecDeque<(Arc<StagedFile>, Fill)>,
    /// Files whose bytes could not be fetched, and when to try again.
    pub(crate) fill_after: HashMap<FileId, Instant>,
    /// Files that were closed one after the other.
    pub(crate) burst: Burst,
    /// What finds out when the bucket takes something again.
    pub(crate) refused: Refused,
    pub(crate) running: Running,
    pub(crate) flow: Flow,
    /// When the queue looks again by itself.
    alarm: Option<Instant>,
    seq: u64,
}

/// Why the missing bytes of a file are fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fill {
    /// Someone waits for its base to be free: it goes on without one.
    FreeBase,
    /// Its base may be replaced by someone else before its upload.
    Keep,
}

/// Whether operations are started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Flow {
    /// They are.
    #[default]
    Running,
    /// Those under way end, no new one starts.
    Paused,
}

/// Operations under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Running {
    pub(crate) small: u16,
    pub(crate) large: u16,
    pub(crate) stream: u16,
    pub(crate) remove: u16,
    pub(crate) fill: u16,
}

impl Table {
    pub(crate) fn get(&self, key: &Key) -> Option<&KeyState> {
        self.keys.get(key)
    }

    /// For changes that leave the place alone.
    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut KeyState> {
        self.keys.get_mut(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &KeyState)> {
        self.keys.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// All keys that start with `prefix`, in order.
    pub(crate) fn under<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a KeyState)> + 'a {
        let from = (
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        );
        (self.keys.range::<str, _>(from))
            .take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    /// The first key from `from` on that starts with `prefix`.
    pub(crate) fn first_from(
        &self,
        from: &std::ops::Bound<String>,
        prefix: &str,
    ) -> Option<(&Key, &KeyState)> {
        let from = from.as_ref().map(String::as_str);
        (self.keys)
            .range::<str, _>((from, std::ops::Bound::Unbounded))
            .next()
            .filter(|(key, _)| key.as_str().starts_with(prefix))
    }

    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Puts a state in; its place is kept as it was in the queue.
    pub(crate) fn insert(&mut self, key: &Key, mut state: KeyState) {
        match self.keys.get_mut(key) {
            Some(old) => {
                state.place = old.place;
                *old = state;
            }
            None => {
                state.place = Place::Rest;
                self.keys.insert(key.clone(), state);
            }
        }
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<KeyState> {
        self.set_place(key, Place::Rest);
        self.keys.remove(key)
    }

    /// Moves a key to another place of the queue.
    pub(crate) fn set_place(&mut self, key: &Key, place: Place) {
        let Some(state) = self.keys.get_mut(key) else {
            return;
        };
        if state.place == place {
            return;
        }
        match std::mem::replace(&mut state.place, place) {
            Place::Timed(at) | Place::Blocked { until: at, .. } => {
                self.timed.remove(&(at, key.clone()));
            }
            // Its entry in the line is skipped when it is reached.
            Place::Ready(_) | Place::Gathered { .. } | Place::Rest => {}
        }
        match place {
            Place::Timed(at) | Place::Blocked { until: at, .. } => {
                self.timed.insert((at, key.clone()));
            }
            Place::Ready(class) => self.line(class).push_back(key.clone()),
            Place::Gathered { since } => self.burst.put(since, key.clone()),
            Place::Rest => {}
        }
    }

    fn line(&mut self, class: Class) -> &mut VecDeque<Key> {
        match class {
            Class::Small => &mut self.ready_small,
            Class::Large => &mut self.ready_large,
            Class::Stream => &mut self.ready_stream,
            Class::Remove => &mut self.ready_remove,
        }
    }

    /// The uploads of `key` that are to be searched for.
    pub(crate) fn take_lost_starts(&mut self, key: &Key) -> Vec<Intent> {
        let mut taken = Vec::new();
        for lost in [&mut self.lost_starts, &mut self.not_swept] {
            taken.extend(lost.extract_if(.., |intent| intent.key == *key));
        }
        taken
    }

    /// Has those searched for at once that waited until no upload of `key` was just being begun.
    pub(crate) fn search_now(&mut self, key: &Key) {
        let waited = self.take_lost_starts(key);
        self.lost_starts.extend(waited);
    }

    /// The next key of a line; it is at rest then.
    pub(crate) fn pop_ready(&mut self, class: Class) -> Option<Key> {
        loop {
            let key = self.line(class).pop_front()?;
            if self
                .keys
                .get(&key)
                .is_some_and(|state| state.place == Place::Ready(class))
            {
                self.set_place(&key, Place::Rest);
                return Some(key);
            }
        }
    }

    /// The next key whose time has come, at rest; with where it waited.
    pub(crate) fn pop_timed(&mut self, now: Instant) -> Option<(Key, Place)> {
        let key = self.pop_due(now)?;
        let state = self.keys.get_mut(&key);
        let place = state.map_or(Place::Rest, |state| {
            std::mem::replace(&mut state.place, Place::Rest)
        });
        Some((key, place))
    }

    /// Takes what is due first out of what waits for a time, or for the end of a burst.
    fn pop_due(&mut self, now: Instant) -> Option<Key> {
        let (keys, burst) = (&self.keys, &mut self.burst);
        let timed = self.timed.first().filter(|(at, _)| *at <= now);
        let is_timed = timed.is_some();
        let timed_is_first =
            timed.is_some_and(|(at, key)| burst.first().is_none_or(|first| (*at, key) < first));
        let waits = |since, key: &Key| {
            (keys.get(key)).is_some_and(|state| state.place == Place::Gathered { since })
        };
        if !timed_is_first && let Some((_, key)) = burst.pop(now, waits) {
            return Some(key);
        }
        let (_, key) = is_timed.then(|| self.timed.pop_first())??;
        Some(key)
    }

    /// When the next key's time comes.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        let timed = self.timed.first().map(|(at, _)| *at);
        (timed.into_iter()).chain(self.burst.next_time()).min()
    }

    /// The queue has looked at all, and looks again when the next key's time comes. Tells when.
    pub(crate) fn set_alarm(&mut self) -> Option<Instant> {
        self.alarm = self.next_time();
        self.alarm
    }

    /// Whether the queue must look at `keys`, which were scheduled, before it does so by itself.
    pub(crate) fn has_news(&self, keys: &[Key]) -> bool {
        let is_ready = |key: &Key| {
            let state = self.keys.get(key);
            state.is_some_and(|state| matches!(state.place, Place::Ready(_)))
        };
        let is_early = match (self.next_time(), self.alarm) {
            (Some(next), Some(alarm)) => next < alarm,
            (next, None) => next.is_some(),
            (None, Some(_)) => false,
        };
        is_early
            || !self.fills.is_empty()
            || !self.abandoned.is_empty()
            || keys.iter().any(is_ready)
    }

    /// Notes that `file` is made from an object under `base`, or takes its place.
    pub(crate) fn note_base(&mut self, base: &Key, file: &Arc<StagedFile>) {
        let users = self.bases.entry(base.clone()).or_default();
        users.retain(|user| user.strong_count() > 0);
        if !users
            .iter()
            .any(|user| std::ptr::eq(user.as_ptr(), Arc::as_ptr(file)))
        {
            users.push(Arc::downgrade(file));
        }
    }

    /// The files that are made from the object under `key`, or take its place.
    pub(crate) fn based_on(&mut self, key: &Key) -> Vec<Arc<StagedFile>> {
        let Some(users) = self.bases.get_mut(key) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        users.retain(|user| {
            let Some(file) = user.upgrade() else {
                return false;
            };
            let uses = {
                let state = file.lock();
                let base = state.content.base().map(|base| &base.key);
                base == Some(key) || state.replaces.as_ref() == Some(key)
            };
            if uses {
                found.push(file);
            }
            uses
        });
        if users.is_empty() {
            self.bases.remove(key);
        }
        found
    }

    /// Notes a file that is all in the bucket.
    pub(crate) fn note_settled(&mut self, key: &Key, file: &Arc<StagedFile>) {
        self.settled.insert(key.clone(), Arc::downgrade(file));
        if self.settled.len() > self.settled_limit.max(SETTLED_MIN) {
            self.settled.retain(|_, file| file.strong_count() > 0);
            self.settled_limit = self.settled.len() * 2;
        }
    }

    /// The file that was settled under `key`, if it is still open somewhere.
    pub(crate) fn settled(&self, key: &Key) -> Option<Arc<StagedFile>> {
        self.settled.get(key)?.upgrade()
    }

    pub(crate) fn forget_settled(&mut self, key: &Key) {
        self.settled.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::RemoteBelief;
    use crate::desired::Desired;

    #[test]
    fn the_queue_is_woken_for_what_cannot_wait() {
        let key = |name: &str| Key::new(name).unwrap();
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let mut table = Table::default();
        let put = |table: &mut Table, name: &str, place| {
            let state = KeyState::new(RemoteBelief::Absent, Desired::Absent, at(0));
            table.insert(&key(name), state);
            table.set_place(&key(name), place);
            table.has_news(&[key(name)])
        };
        assert!(!put(&mut table, "open", Place::Rest));
        assert!(put(&mut table, "first", Place::Timed(at(100))));
        assert_eq!(table.set_alarm(), Some(at(100)));
        assert!(!put(&mut table, "later", Place::Timed(at(150))));
        assert!(put(&mut table, "earlier", Place::Timed(at(50))));
        assert_eq!(table.set_alarm(), Some(at(50)));
        assert!(!put(&mut table, "open", Place::Rest));
        assert!(put(&mut table, "now", Place::Ready(Class::Small)));
        // It is in line already, and slots that get free are looked at anyway.
        assert!(!table.has_news(&[key("open")]));
        table.abandoned.push((key("a"), UploadId("1".to_owned())));
        assert!(table.has_news(&[]));
    }
}
