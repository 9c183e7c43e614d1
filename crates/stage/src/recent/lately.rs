//! How keys were left lately, for whoever compares it with a listing.
//!
//! Laws: it is gone through in the order of the keys and in steps, so that nobody who goes through much of it holds a lock for
//! long; nothing is copied but what is wanted; what is passed over costs nothing.

use std::ops::Bound;
use std::time::Duration;

use cloudmount_store::{Key, Version};
use cloudmount_vfs::Instant;

use super::{Past, Recent};
use crate::RemoteBelief;

/// How much later than what happened a listing may be. Stores whose listings were made apart from their objects were mostly
/// late by seconds, and by minutes under load. To remember for longer costs nothing but a question about what somebody else
/// changed meanwhile.
const LATE_MAX: Duration = Duration::from_secs(300);

/// How the stage left a key lately.
#[derive(Clone, Debug)]
pub struct Lately {
    /// Which one.
    pub key: Key,
    /// Whether an object is there.
    pub is_there: bool,
    /// What was there before, as far as it is known.
    outdated: Vec<Version>,
    /// Of two, the one that was changed later has the higher number.
    pub nth: u64,
}

impl Lately {
    /// Whether an object of that version was replaced by the stage.
    #[must_use]
    pub fn has_replaced(&self, version: &Version) -> bool {
        self.outdated.contains(version)
    }
}

/// How the stage left a key lately, where it is remembered: to look at, and to copy if it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct LeftKey<'a> {
    /// Which one.
    pub key: &'a Key,
    /// Whether an object is there.
    pub is_there: bool,
    /// Of two, the one that was changed later has the higher number.
    pub nth: u64,
    past: &'a Past,
}

impl<'a> LeftKey<'a> {
    /// A copy.
    #[must_use]
    pub fn copied(&self) -> Lately {
        Lately {
            key: self.key.clone(),
            is_there: self.is_there,
            outdated: self.outdated().cloned().collect(),
            nth: self.nth,
        }
    }

    /// Whether an object of that version was replaced by the stage.
    #[must_use]
    pub fn has_replaced(&self, version: &Version) -> bool {
        self.outdated().any(|old| old == version)
    }

    fn outdated(&self) -> impl Iterator<Item = &'a Version> {
        self.past.outdated.iter().filter_map(|(old, _)| match old {
            RemoteBelief::Present(version) => Some(version),
            RemoteBelief::Absent | RemoteBelief::Unknown => None,
        })
    }
}

/// Where to go on after a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// With the next one.
    Key,
    /// With the first one that does not begin with this text, which ends in `/` and which the key begins with.
    Past(String),
    /// Nowhere.
    End,
}

impl Recent {
    /// Whether a listing may show anything otherwise at `now` than it was left.
    pub(crate) fn may_be_late(&self, now: Instant) -> bool {
        self.last.is_some_and(|at| is_late(at, now))
    }

    /// How `key` was left, if listings may show it otherwise at `now`.
    pub(crate) fn left(&self, key: &Key, now: Instant) -> Option<LeftKey<'_>> {
        let (key, past) = self.keys.get_key_value(key)?;
        past.left_lately(key, now)
    }

    /// Shows `look` how keys starting with `prefix` were left that listings may show otherwise at `now`, in their order and
    /// beginning at `from`. Goes over no more than `keys_max` keys: gives where to go on, or `None` at the end.
    pub(crate) fn step(
        &self,
        prefix: &str,
        from: Bound<String>,
        (keys_max, now): (usize, Instant),
        mut look: impl FnMut(&LeftKey<'_>) -> Next,
    ) -> Option<Bound<String>> {
        let mut from = from;
        let mut seen = 0;
        'seek: loop {
            let bounds = (from.as_ref().map(String::as_str), Bound::Unbounded);
            let mut keys = self.keys.range::<str, _>(bounds);
            loop {
                let (key, past) = keys.next()?;
                if !key.as_str().starts_with(prefix) {
                    return None;
                }
                seen += 1;
                let next = (past.left_lately(key, now)).map_or(Next::Key, |left| look(&left));
                match next {
                    Next::End => return None,
                    Next::Key if seen < keys_max => {}
                    Next::Key => return Some(Bound::Excluded(key.as_str().to_owned())),
                    Next::Past(folder) => {
                        from = Bound::Included(after(folder));
                        if seen >= keys_max {
                            return Some(from);
                        }
                        continue 'seek;
                    }
                }
            }
        }
    }
}

impl Past {
    fn left_lately<'a>(&'a self, key: &'a Key, now: Instant) -> Option<LeftKey<'a>> {
        let left = self.left.filter(|left| is_late(left.at, now))?;
        let is_there = match self.latest {
            RemoteBelief::Present(_) => true,
            RemoteBelief::Absent => false,
            RemoteBelief::Unknown => return None,
        };
        Some(LeftKey {
            key,
            is_there,
            nth: left.nth,
            past: self,
        })
    }
}

fn is_late(at: Instant, now: Instant) -> bool {
    now.saturating_since(at) < LATE_MAX
}

/// The first text that is behind all that is below `folder`: `0` follows `/`.
fn after(mut folder: String) -> String {
    folder.pop();
    folder.push('0');
    folder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recent::Content;

    fn at(secs: u64) -> Instant {
        Instant::from_start(Duration::from_secs(secs))
    }

    fn present(tag: &str) -> RemoteBelief {
        RemoteBelief::Present(Version::new(tag))
    }

    fn put(recent: &mut Recent, key: &str) {
        let step = (RemoteBelief::Absent, present("1"));
        recent.note(&Key::new(key).unwrap(), step, Content::Replaced, at(0));
    }

    /// All that is told, in steps of so many keys.
    fn told(recent: &Recent, prefix: &str, secs: u64, keys_max: usize) -> Vec<Lately> {
        let mut told = Vec::new();
        let mut from = Bound::Included(prefix.to_owned());
        while let Some(next) = recent.step(prefix, from, (keys_max, at(secs)), |left| {
            told.push(left.copied());
            Next::Key
        }) {
            from = next;
        }
        told
    }

    #[test]
    fn how_a_key_was_left_is_told_until_listings_must_show_it() {
        let [one, two, other] = ["d/1", "d/2", "e"].map(|key| Key::new(key).unwrap());
        let mut recent = Recent::default();
        let mut note = |key: &Key, step, now| recent.note(key, step, Content::Replaced, now);
        note(&one, (RemoteBelief::Absent, present("1")), at(0));
        note(&one, (present("1"), present("2")), at(10));
        note(&two, (present("3"), RemoteBelief::Absent), at(20));
        note(&other, (RemoteBelief::Absent, present("4")), at(20));
        let told = |recent: &Recent, prefix, secs| {
            let told = |keys_max| {
                let lately = told(recent, prefix, secs, keys_max).into_iter();
                let lately = lately.map(|one| (one.key, one.is_there, one.nth));
                lately.collect::<Vec<_>>()
            };
            assert_eq!(told(1), told(100), "in steps, or at once");
            told(100)
        };
        let (both, second) = (
            [(one.clone(), true, 2), (two.clone(), false, 3)],
            [(two.clone(), false, 3)],
        );
        assert_eq!(told(&recent, "d/", 20), both);
        assert_eq!(told(&recent, "d/", 309), both);
        assert_eq!(told(&recent, "d/", 310), second);
        assert_eq!(told(&recent, "", 320), []);
        assert!(recent.may_be_late(at(319)) && !recent.may_be_late(at(320)));
        let left = recent.left(&one, at(20)).unwrap().copied();
        assert!(left.has_replaced(&Version::new("1")) && !left.has_replaced(&Version::new("2")));
        assert!(recent.left(&one, at(310)).is_none());
        recent.seen_otherwise(&one, 1);
        assert_eq!(told(&recent, "d/", 20), both, "it was changed since");
        recent.seen_otherwise(&one, 2);
        assert_eq!(told(&recent, "d/", 20), second);
    }

    #[test]
    fn what_is_below_a_folder_can_be_passed_over() {
        let mut recent = Recent::default();
        for key in ["a", "b!", "b/1", "b/2", "b/3/4", "b0", "c"] {
            put(&mut recent, key);
        }
        let check = |keys_max: usize| {
            let mut shown = Vec::new();
            let mut from = Bound::Included(String::new());
            while let Some(next) = recent.step("", from, (keys_max, at(0)), |left| {
                shown.push(left.key.to_string());
                match left.key.as_str() {
                    "b/1" => Next::Past("b/".to_owned()),
                    "c" => Next::End,
                    _ => Next::Key,
                }
            }) {
                from = next;
            }
            assert_eq!(shown, ["a", "b!", "b/1", "b0", "c"], "steps of {keys_max}");
        };
        for keys_max in 1..8 {
            check(keys_max);
        }
    }

    #[test]
    fn a_step_goes_over_so_many_keys_and_no_more() {
        let mut recent = Recent::default();
        for n in 100..200 {
            put(&mut recent, &format!("d/{n}"));
        }
        for secs in [0, 1_000] {
            let mut shown = 0;
            let from = Bound::Included("d/".to_owned());
            let next = recent.step("d/", from, (10, at(secs)), |_| {
                shown += 1;
                Next::Key
            });
            assert_eq!(next, Some(Bound::Excluded("d/109".to_owned())));
            assert_eq!(shown, if secs == 0 { 10 } else { 0 });
        }
    }
}
