//! [`Turns`]: which folders are listed in turn, and how far ahead it pays to list. Pure.
//!
//! A program that goes through a tree lists each folder of it. Where folders are small, a listing of all that is below
//! the folder above them, from one of them on, holds many in the page that else holds one.
//!
//! Laws: what is listed ahead is doubled as long as what was listed so is followed by what comes behind it, in half of the
//! time for which it is believed, and begins with a page, which costs no more requests than the folder alone. Where pages hold
//! no folder on average, nothing is listed ahead there again, until other folders have made it be forgotten.

use std::collections::VecDeque;
use std::time::Duration;

use cloudmount_vfs::{InodeId, Instant};

/// Folders whose own folders may be gone through at the same time: the depth of a tree, and a few programs.
const REMEMBERED: usize = 16;

/// Pages listed ahead at once: 16,000 names, some 8 MiB while they are held.
const PAGES_MAX: u32 = 16;

/// Going through the folders of one folder.
#[derive(Debug)]
struct Walk {
    above: InodeId,
    /// The prefix that was asked for last.
    asked: String,
    /// When.
    asked_at: Instant,
    /// The prefix that was reached.
    reached: String,
    /// Folders that were listed in turn.
    in_turn: u32,
    /// Folders that were listed, in turn or not.
    listed: u32,
    /// Pages to list ahead next.
    pages: u32,
    /// When pages were listed ahead last, if nobody came behind them since.
    listed_at: Option<Instant>,
    /// Whether pages held a folder or more.
    pays: bool,
}

/// What was listed last, and what was listed ahead.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The latest first.
    recent: VecDeque<Walk>,
}

impl Turns {
    /// The folder with that prefix, in the folder `above`, is to be listed; says how many pages to list ahead from
    /// there, if any. `after`: so many folders in turn are a walk. What is listed is believed for `ttl`.
    pub(crate) fn asked(
        &mut self,
        (above, prefix): (InodeId, &str),
        (after, ttl): (u32, Duration),
        now: Instant,
    ) -> Option<u32> {
        let at = self.recent.iter().position(|walk| walk.above == above);
        let mut walk = match at.and_then(|at| self.recent.remove(at)) {
            Some(walk) => walk,
            None => self.begin(above, after),
        };
        walk.go_on(prefix, ttl, now);
        let ahead = (walk.pays && walk.in_turn >= after).then_some(walk.pages);
        walk.in_turn = walk.in_turn.saturating_add(1);
        walk.listed = walk.listed.saturating_add(1);
        self.recent.push_front(walk);
        self.recent.truncate(REMEMBERED);
        ahead
    }

    /// Whether somebody goes through the folders of `above`.
    pub(crate) fn is_walk(&self, above: InodeId, after: u32) -> bool {
        let walk = self.recent.iter().find(|walk| walk.above == above);
        walk.is_some_and(|walk| walk.pays && walk.in_turn > after)
    }

    /// Whether the next folder of `above` would be listed with those behind it.
    pub(crate) fn will_be_ahead(&self, above: InodeId, after: u32) -> bool {
        let walk = self.recent.iter().find(|walk| walk.above == above);
        walk.is_some_and(|walk| walk.pays && walk.in_turn >= after)
    }

    /// Whether a folder of `above` was listed within `ttl`.
    pub(crate) fn is_lately(&self, above: InodeId, now: Instant, ttl: Duration) -> bool {
        let walk = self.recent.iter().find(|walk| walk.above == above);
        walk.is_some_and(|walk| now.saturating_since(walk.asked_at) < ttl)
    }

    /// Whether other folders in the folder `above` were listed before the last one.
    pub(crate) fn are_many(&self, above: InodeId) -> bool {
        let walk = self.recent.iter().find(|walk| walk.above == above);
        walk.is_some_and(|walk| walk.listed > 1)
    }

    /// Who turns through one folder and comes to the next probably turns there, too.
    fn begin(&self, above: InodeId, after: u32) -> Walk {
        let is_part = self
            .recent
            .front()
            .is_some_and(|walk| walk.pays && walk.in_turn > after);
        Walk {
            above,
            asked: String::new(),
            asked_at: Instant::default(),
            reached: String::new(),
            in_turn: if is_part { after } else { 0 },
            listed: 0,
            pages: 1,
            listed_at: None,
            pays: true,
        }
    }

    /// So many pages held so many whole folders below `above`; `reached` is the prefix of the last.
    pub(crate) fn listed(
        &mut self,
        above: InodeId,
        (pages, folders): (u32, u32),
        reached: &str,
        now: Instant,
    ) {
        let Some(walk) = self.recent.iter_mut().find(|walk| walk.above == above) else {
            return;
        };
        walk.pays = folders >= pages;
        walk.pages = (pages * 2).min(PAGES_MAX);
        walk.listed_at = Some(now);
        if walk.reached.as_str() < reached {
            reached.clone_into(&mut walk.reached);
        }
    }
}

impl Walk {
    /// The folder with that prefix is next.
    fn go_on(&mut self, prefix: &str, ttl: Duration, now: Instant) {
        let took = (self.listed_at.take()).map(|at| now.saturating_since(at));
        if self.asked.as_str() >= prefix {
            // It begins again.
            (self.in_turn, self.pages) = (0, 1);
        } else if self.reached.as_str() >= prefix {
            // It was listed ahead, but too long ago: half as much, which is a quarter of what would come next.
            self.pages = (self.pages / 4).max(1);
        } else if took.is_some_and(|took| took * 2 > ttl) {
            self.pages = (self.pages / 2).max(1);
        }
        prefix.clone_into(&mut self.asked);
        self.asked_at = now;
        prefix.clone_into(&mut self.reached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    fn ino(number: u64) -> InodeId {
        InodeId::new(number).unwrap()
    }

    #[test]
    fn folders_in_turn_are_listed_ahead_further_and_further() {
        let mut turns = Turns::default();
        for folder in ["d/a/", "d/b/", "d/c/"] {
            assert_eq!(turns.asked((ino(7), folder), (3, TTL), at(0)), None);
        }
        assert_eq!(turns.asked((ino(7), "d/d/"), (3, TTL), at(0)), Some(1));
        turns.listed(ino(7), (1, 5), "d/h/", at(0));
        assert_eq!(turns.asked((ino(7), "d/i/"), (3, TTL), at(0)), Some(2));
        let mut pages = 2;
        for folder in ["d/j/", "d/k/", "d/l/", "d/m/", "d/n/"] {
            turns.listed(ino(7), (pages, 20), folder, at(0));
            pages = turns
                .asked((ino(7), &format!("{folder}x/")), (3, TTL), at(0))
                .unwrap();
        }
        assert_eq!(pages, PAGES_MAX);
        // One that was listed ahead already: it was believed no longer.
        assert_eq!(turns.asked((ino(7), "d/b/"), (3, TTL), at(0)), None);
        assert_eq!(turns.asked((ino(7), "d/c/"), (3, TTL), at(0)), None);
    }

    #[test]
    fn no_more_is_listed_ahead_than_is_gone_through_in_time() {
        let mut turns = Turns::default();
        let mut asked = |folder: &str, millis| turns.asked((ino(7), folder), (0, TTL), at(millis));
        assert_eq!(asked("d/a/", 0), Some(1));
        turns.listed(ino(7), (1, 5), "d/e/", at(0));
        let mut asked = |folder: &str, millis| turns.asked((ino(7), folder), (0, TTL), at(millis));
        assert_eq!(asked("d/f/", 400), Some(2));
        turns.listed(ino(7), (2, 10), "d/j/", at(400));
        let mut asked = |folder: &str, millis| turns.asked((ino(7), folder), (0, TTL), at(millis));
        // More than half a second: as much as before.
        assert_eq!(asked("d/k/", 1000), Some(2));
        turns.listed(ino(7), (2, 10), "d/o/", at(1000));
        let mut asked = |folder: &str, millis| turns.asked((ino(7), folder), (0, TTL), at(millis));
        // It is believed no longer: half as much, and the walk is still one.
        assert_eq!(asked("d/m/", 2100), Some(1));
        assert!(turns.is_walk(ino(7), 0) && !turns.is_walk(ino(8), 0));
    }

    /// The lookup of the next folder may begin what its listing would.
    #[test]
    fn the_folder_that_is_listed_ahead_next_is_known_before() {
        let mut turns = Turns::default();
        for folder in ["d/a/", "d/b/", "d/c/"] {
            assert!(!turns.will_be_ahead(ino(7), 3));
            assert_eq!(turns.asked((ino(7), folder), (3, TTL), at(500)), None);
        }
        assert!(turns.will_be_ahead(ino(7), 3) && !turns.will_be_ahead(ino(8), 3));
        let is_lately = |millis| turns.is_lately(ino(7), at(millis), TTL);
        assert!(is_lately(1_400) && !is_lately(1_500));
        assert!(!turns.is_lately(ino(8), at(500), TTL));
        assert!(turns.asked((ino(7), "d/d/"), (3, TTL), at(500)).is_some());
        turns.listed(ino(7), (1, 0), "d/d/", at(500));
        assert!(!turns.will_be_ahead(ino(7), 3), "it does not pay");
    }

    #[test]
    fn the_second_folder_is_one_of_many() {
        let mut turns = Turns::default();
        turns.asked((ino(7), "d/a/"), (3, TTL), at(0));
        assert!(!turns.are_many(ino(7)));
        turns.asked((ino(7), "d/b/"), (3, TTL), at(0));
        assert!(turns.are_many(ino(7)) && !turns.are_many(ino(8)));
        // Who begins again comes to many.
        turns.asked((ino(7), "d/a/"), (3, TTL), at(0));
        assert!(turns.are_many(ino(7)));
    }

    #[test]
    fn large_folders_are_not_listed_ahead_twice() {
        let mut turns = Turns::default();
        assert_eq!(turns.asked((ino(7), "d/a/"), (0, TTL), at(0)), Some(1));
        turns.listed(ino(7), (1, 0), "d/a/", at(0));
        assert_eq!(turns.asked((ino(7), "d/b/"), (0, TTL), at(0)), None);
    }

    #[test]
    fn the_folders_of_the_next_folder_are_part_of_the_walk() {
        let mut turns = Turns::default();
        for folder in ["d/a/", "d/b/"] {
            assert_eq!(turns.asked((ino(7), folder), (2, TTL), at(0)), None);
        }
        assert_eq!(turns.asked((ino(7), "d/c/"), (2, TTL), at(0)), Some(1));
        assert_eq!(turns.asked((ino(8), "e/a/"), (2, TTL), at(0)), Some(1));
        for number in 9..9 + REMEMBERED as u64 {
            turns.asked((ino(number), "f/"), (2, TTL), at(0));
        }
        assert_eq!(turns.recent.len(), REMEMBERED);
    }
}
