//! [`Turns`]: which folders are listed in turn, and how far ahead it pays to list. Pure.
//!
//! A program that goes through a tree lists each folder of it. Where folders are small, a listing of all that is below
//! the folder above them, from one of them on, holds many in the page that else holds one.
//!
//! Laws: what is listed ahead is doubled as long as what was listed so is followed by what comes behind it, and begins
//! with a page, which costs no more requests than the folder alone. Where pages hold no folder on average, nothing is
//! listed ahead there again, until other folders have made it be forgotten.

use std::collections::VecDeque;

use cloudmount_vfs::InodeId;

/// Folders whose own folders may be gone through at the same time: the depth of a tree, and a few programs.
const REMEMBERED: usize = 16;

/// Pages listed ahead at once: 16,000 names, some 8 MiB while they are held.
const PAGES_MAX: u32 = 16;

/// Going through the folders of one folder.
#[derive(Debug)]
struct Walk {
    above: InodeId,
    /// The prefix that was reached.
    reached: String,
    /// Folders that were listed in turn.
    in_turn: u32,
    /// Folders that were listed, in turn or not.
    listed: u32,
    /// Pages to list ahead next.
    pages: u32,
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
    /// there, if any. `after`: so many folders in turn are a walk.
    pub(crate) fn asked(&mut self, above: InodeId, prefix: &str, after: u32) -> Option<u32> {
        let at = self.recent.iter().position(|walk| walk.above == above);
        let mut walk = match at.and_then(|at| self.recent.remove(at)) {
            Some(walk) => walk,
            None => self.begin(above, after),
        };
        if walk.reached.as_str() >= prefix {
            (walk.in_turn, walk.pages) = (0, 1);
        }
        prefix.clone_into(&mut walk.reached);
        let ahead = (walk.pays && walk.in_turn >= after).then_some(walk.pages);
        walk.in_turn = walk.in_turn.saturating_add(1);
        walk.listed = walk.listed.saturating_add(1);
        self.recent.push_front(walk);
        self.recent.truncate(REMEMBERED);
        ahead
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
            reached: String::new(),
            in_turn: if is_part { after } else { 0 },
            listed: 0,
            pages: 1,
            pays: true,
        }
    }

    /// So many pages held so many whole folders below `above`; `reached` is the prefix of the last.
    pub(crate) fn listed(&mut self, above: InodeId, pages: u32, folders: u32, reached: &str) {
        let Some(walk) = self.recent.iter_mut().find(|walk| walk.above == above) else {
            return;
        };
        walk.pays = folders >= pages;
        walk.pages = (pages * 2).min(PAGES_MAX);
        if walk.reached.as_str() < reached {
            reached.clone_into(&mut walk.reached);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ino(number: u64) -> InodeId {
        InodeId::new(number).unwrap()
    }

    #[test]
    fn folders_in_turn_are_listed_ahead_further_and_further() {
        let mut turns = Turns::default();
        for folder in ["d/a/", "d/b/", "d/c/"] {
            assert_eq!(turns.asked(ino(7), folder, 3), None);
        }
        assert_eq!(turns.asked(ino(7), "d/d/", 3), Some(1));
        turns.listed(ino(7), 1, 5, "d/h/");
        assert_eq!(turns.asked(ino(7), "d/i/", 3), Some(2));
        let mut pages = 2;
        for folder in ["d/j/", "d/k/", "d/l/", "d/m/", "d/n/"] {
            turns.listed(ino(7), pages, 20, folder);
            pages = turns.asked(ino(7), &format!("{folder}x/"), 3).unwrap();
        }
        assert_eq!(pages, PAGES_MAX);
        // One that was listed ahead already: it was believed no longer.
        assert_eq!(turns.asked(ino(7), "d/b/", 3), None);
        assert_eq!(turns.asked(ino(7), "d/c/", 3), None);
    }

    #[test]
    fn the_second_folder_is_one_of_many() {
        let mut turns = Turns::default();
        turns.asked(ino(7), "d/a/", 3);
        assert!(!turns.are_many(ino(7)));
        turns.asked(ino(7), "d/b/", 3);
        assert!(turns.are_many(ino(7)) && !turns.are_many(ino(8)));
        // Who begins again comes to many.
        turns.asked(ino(7), "d/a/", 3);
        assert!(turns.are_many(ino(7)));
    }

    #[test]
    fn large_folders_are_not_listed_ahead_twice() {
        let mut turns = Turns::default();
        assert_eq!(turns.asked(ino(7), "d/a/", 0), Some(1));
        turns.listed(ino(7), 1, 0, "d/a/");
        assert_eq!(turns.asked(ino(7), "d/b/", 0), None);
    }

    #[test]
    fn the_folders_of_the_next_folder_are_part_of_the_walk() {
        let mut turns = Turns::default();
        for folder in ["d/a/", "d/b/"] {
            assert_eq!(turns.asked(ino(7), folder, 2), None);
        }
        assert_eq!(turns.asked(ino(7), "d/c/", 2), Some(1));
        assert_eq!(turns.asked(ino(8), "e/a/", 2), Some(1));
        for number in 9..9 + REMEMBERED as u64 {
            turns.asked(ino(number), "f/", 2);
        }
        assert_eq!(turns.recent.len(), REMEMBERED);
    }
}
