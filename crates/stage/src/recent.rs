//! [`Recent`]: what the stage itself did to keys lately.
//!
//! The caller learns of a commit by an event, a moment after it. A belief that it gives in between
//! is older than what the stage knows; here it is corrected. Law: only a belief that the stage
//! itself has outdated is corrected; anything else the caller saw in the bucket, and is right.
//!
//! Listings may be later still, for minutes. So how a key was left is told for a while ([`Lately`]), for whoever compares it
//! with what is listed, until somebody has seen that the bucket has something else.

mod lately;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudmount_store::{Key, Version};
use cloudmount_vfs::Instant;

use crate::RemoteBelief;

pub use lately::{Lately, LeftKey, Next};

/// Keys remembered: far more than the events that can wait to be read (1,024) and the operations
/// in flight, so that no unread commit is forgotten. About 4 MiB.
const KEYS_MAX: usize = 16_384;

/// Outdated beliefs remembered per key: a caller is at most a few commits behind.
const OUTDATED_MAX: usize = 8;

#[derive(Debug)]
struct Past {
    latest: RemoteBelief,
    outdated: VecDeque<(RemoteBelief, Content)>,
    /// When it was left so, unless it was seen otherwise since.
    left: Option<Left>,
}

/// When a key was left as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Left {
    at: Instant,
    /// How much was noted until then.
    nth: u64,
}

/// What an operation did to the content of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// It has the same bytes under a new version.
    Kept,
    /// It has other bytes, or none.
    Replaced,
}

/// One step of what the stage did.
#[derive(Debug)]
struct Noted {
    key: Key,
    /// Whether nothing is under the key after it.
    is_gone: bool,
}

/// What the stage did lately.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    keys: BTreeMap<Key, Past>,
    order: VecDeque<Key>,
    /// What was noted, in order, whatever became of it.
    log: VecDeque<Noted>,
    /// How much was noted ever.
    noted: u64,
    /// When it was noted last.
    last: Option<Instant>,
}

impl Recent {
    /// Notes that the stage turned `before` into `after`.
    pub(crate) fn note(
        &mut self,
        key: &Key,
        (before, after): (RemoteBelief, RemoteBelief),
        content: Content,
        now: Instant,
    ) {
        self.noted += 1;
        self.last = Some(now);
        self.log.push_back(Noted {
            key: key.clone(),
            is_gone: after == RemoteBelief::Absent,
        });
        if self.log.len() > KEYS_MAX {
            self.log.pop_front();
        }
        let past = self.keys.entry(key.clone()).or_insert_with(|| {
            self.order.push_back(key.clone());
            Past {
                latest: RemoteBelief::Unknown,
                outdated: VecDeque::new(),
                left: None,
            }
        });
        past.left = Some(Left {
            at: now,
            nth: self.noted,
        });
        if content == Content::Replaced {
            for old in &mut past.outdated {
                old.1 = Content::Replaced;
            }
        }
        for old in [std::mem::replace(&mut past.latest, after), before] {
            if past.outdated.iter().all(|(known, _)| *known != old) {
                past.outdated.push_back((old, content));
            }
        }
        let latest = &past.latest;
        past.outdated.retain(|(old, _)| old != latest);
        while past.outdated.len() > OUTDATED_MAX {
            past.outdated.pop_front();
        }
        while self.order.len() > KEYS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }

    /// Whether the stage did anything to `key` lately.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    /// What it removed lately; some of it may be there again.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &Key> {
        let gone = self.log.iter().filter(|noted| noted.is_gone);
        gone.map(|noted| &noted.key)
    }

    /// Somebody else has changed `key`, as was seen after `mark`: it is not as it was left before that.
    pub(crate) fn seen_otherwise(&mut self, key: &Key, mark: u64) {
        if let Some(past) = self.keys.get_mut(key) {
            past.left = past.left.filter(|left| left.nth > mark);
        }
    }

    /// How much was noted ever.
    pub(crate) const fn mark(&self) -> u64 {
        self.noted
    }

    /// The keys noted since `mark`, perhaps repeated; `None` if that is longer ago than it remembers.
    pub(crate) fn since(&self, mark: u64) -> Option<impl Iterator<Item = &Key>> {
        Some(self.noted_since(mark)?.map(|noted| &noted.key))
    }

    /// Those of them starting with `prefix` that were removed, and not put again after that.
    pub(crate) fn removed_since(&self, mark: u64, prefix: &str) -> Option<BTreeSet<Key>> {
        let mut removed = BTreeSet::new();
        for Noted { key, is_gone } in self.noted_since(mark)? {
            if *is_gone && key.as_str().starts_with(prefix) {
                removed.insert(key.clone());
            } else {
                removed.remove(key);
            }
        }
        Some(removed)
    }

    fn noted_since(&self, mark: u64) -> Option<impl Iterator<Item = &Noted>> {
        let count = usize::try_from(self.noted.saturating_sub(mark)).ok()?;
        let first = self.log.len().checked_sub(count)?;
        Some(self.log.range(first..))
    }

    /// `belief`, or what the stage made of it since.
    pub(crate) fn correct(&self, key: &Key, belief: RemoteBelief) -> RemoteBelief {
        match self.keys.get(key) {
            Some(past) if past.outdated.iter().any(|(old, _)| *old == belief) => {
                past.latest.clone()
            }
            _ => belief,
        }
    }

    /// The version that the content of `version` has now, if the stage gave it another.
    pub(crate) fn same_content(&self, key: &Key, version: &Version) -> Option<Version> {
        let past = self.keys.get(key)?;
        let kept = |(old, content): &(RemoteBelief, Content)| {
            *content == Content::Kept && matches!(old, RemoteBelief::Present(old) if old == version)
        };
        match &past.latest {
            RemoteBelief::Present(latest) if past.outdated.iter().any(kept) => Some(latest.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_outdated_is_corrected() {
        let key = Key::new("a").unwrap();
        let present = |tag: &str| RemoteBelief::Present(Version::new(tag));
        let mut recent = Recent::default();
        let mut note = |before, after, content| {
            recent.note(&key, (before, after), content, Instant::default());
        };
        note(RemoteBelief::Absent, present("1"), Content::Replaced);
        note(present("1"), present("2"), Content::Kept);
        let check = |belief: RemoteBelief, expected: RemoteBelief| {
            assert_eq!(recent.correct(&key, belief), expected);
        };
        check(RemoteBelief::Absent, present("2"));
        check(present("1"), present("2"));
        check(present("2"), present("2"));
        check(present("theirs"), present("theirs"));
        let version = |tag: &str| Version::new(tag);
        assert_eq!(recent.same_content(&key, &version("1")), Some(version("2")));
        let step = (present("2"), present("3"));
        recent.note(&key, step, Content::Replaced, Instant::default());
        assert_eq!(recent.same_content(&key, &version("1")), None);
        let other = Key::new("b").unwrap();
        assert_eq!(recent.correct(&other, present("1")), present("1"));
    }

    #[test]
    fn a_state_that_came_back_is_right() {
        let key = Key::new("a").unwrap();
        let present = RemoteBelief::Present(Version::new("1"));
        let mut recent = Recent::default();
        for step in [
            (RemoteBelief::Absent, present.clone()),
            (present.clone(), RemoteBelief::Absent),
        ] {
            recent.note(&key, step, Content::Replaced, Instant::default());
        }
        assert_eq!(
            recent.correct(&key, RemoteBelief::Absent),
            RemoteBelief::Absent
        );
        assert_eq!(recent.correct(&key, present), RemoteBelief::Absent);
    }

    #[test]
    fn what_was_removed_counts_until_it_is_put_again() {
        let [one, two, other] = ["d/1", "d/2", "e"].map(|key| Key::new(key).unwrap());
        let present = || RemoteBelief::Present(Version::new("1"));
        let mut recent = Recent::default();
        let mut note = |key: &Key, after| {
            let step = (RemoteBelief::Unknown, after);
            recent.note(key, step, Content::Replaced, Instant::default());
        };
        note(&one, RemoteBelief::Absent);
        note(&two, present());
        note(&two, RemoteBelief::Absent);
        note(&other, RemoteBelief::Absent);
        note(&one, present());
        let removed = |mark, prefix| recent.removed_since(mark, prefix).unwrap();
        assert_eq!(removed(0, "d/"), BTreeSet::from([two.clone()]));
        assert_eq!(removed(3, ""), BTreeSet::from([other]));
        assert!(removed(5, "").is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let mut recent = Recent::default();
        for n in 0..KEYS_MAX + 10 {
            let key = Key::new(n.to_string()).unwrap();
            let step = (RemoteBelief::Absent, RemoteBelief::Unknown);
            recent.note(&key, step, Content::Replaced, Instant::default());
        }
        assert_eq!(recent.keys.len(), KEYS_MAX);
        assert_eq!(recent.order.len(), KEYS_MAX);
        assert_eq!(recent.log.len(), KEYS_MAX);
        let all = KEYS_MAX as u64 + 10;
        assert_eq!(recent.mark(), all);
        assert!(recent.since(0).is_none());
        assert!(recent.removed_since(0, "").is_none());
        let last: Vec<_> = recent.since(all - 2).unwrap().map(Key::as_str).collect();
        assert_eq!(last, ["16392", "16393"]);
        assert_eq!(recent.since(all).unwrap().count(), 0);
    }
}
