//! Walks: what of a folder will be looked at next, as a pure function of what was looked at.
//!
//! A folder's entries have positions, in the order in which a scan meets them. Looks at positions near
//! each other form a *run*. Of a run it is counted how many positions it has passed, and at how many of
//! them somebody wanted attributes, or content. As long as that is at least half of them, the
//! positions beyond the run are worth asking for ahead: twice as many as were of use, up to a limit.
//!
//! # Laws
//!
//! - Content is planned only where content was wanted: who asks for attributes only costs no byte of any file.
//! - Nothing is planned further ahead than the window, nor twice in a run.
//! - A run that is used less than half plans nothing; a look elsewhere ends it.

use std::ops::Range;

/// How far from the run's end a look still belongs to it: several threads share a walk, and some
/// programs leave out files by their names.
const NEAR: u64 = 16;

/// After so many positions the older half of the counts is forgotten, so that a walk which changes its
/// mind is noticed within as many.
const PASSED_MAX: u64 = 64;

/// Looks for attributes that make a run: two are often those of a program that opens what it finds.
const LOOKS_MIN: u64 = 3;

/// What a walk passes on to the next folder, as looks of use: a window of twice as many files.
const LENT_MAX: u64 = 4;

/// Contents that a walk must have wanted in one folder before the next folder is believed to be like it.
const LENDER_MIN: u64 = 8;

/// What somebody wants of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// What a `stat` shows.
    Attributes,
    /// Bytes.
    Content,
}

/// What to ask for ahead: the entries at these positions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// What of them.
    pub(crate) what: Look,
    /// Their positions. May be empty.
    pub(crate) positions: Range<u64>,
}

/// What is remembered of the looks into one folder. Starts as [`Default`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct History {
    /// The position that the run began with.
    first: u64,
    /// The furthest position that was looked at; 0 before the first look.
    at: u64,
    /// Looks at positions of the run.
    looked: u64,
    /// Of these, the ones that wanted content.
    read: u64,
    /// The position whose content was wanted last.
    read_at: u64,
    /// Attributes are planned up to here, not included.
    known_to: u64,
    /// Content is planned up to here, not included.
    read_to: u64,
    /// Looks of use that the folder before has passed on.
    lent: u64,
    /// Runs that began.
    runs: u64,
}

impl History {
    /// What is expected of a folder that is walked after this one.
    pub(crate) fn lend(&self) -> Self {
        let is_walk = self.read >= LENDER_MIN && self.intent(Look::Content) == Some(Look::Content);
        Self {
            lent: if is_walk { LENT_MAX } else { 0 },
            ..Self::default()
        }
    }

    /// What was planned from `position` on was not asked for: it may be planned again.
    pub(crate) fn without(mut self, position: u64) -> Self {
        self.known_to = self.known_to.min(position);
        self.read_to = self.read_to.min(position);
        self
    }

    /// Whether a walk that goes on has left that position behind for good.
    pub(crate) fn is_past(&self, position: u64) -> bool {
        position.saturating_add(NEAR) < self.at
    }

    /// How many runs there were: what was planned for another one than this is not expected any more.
    pub(crate) fn runs(&self) -> u64 {
        self.runs
    }

    /// Whether somebody who has come to `position` looks at the attributes of what comes there, and at nothing else.
    pub(crate) fn looks_on(&self, position: u64) -> bool {
        self.is_near(position) && self.intent(Look::Attributes) == Some(Look::Attributes)
    }

    /// What lies between the run and `position` was told without a look at each: the run goes on from there as it was.
    pub(crate) fn told_up_to(mut self, position: u64) -> Self {
        let further = position.saturating_sub(self.at);
        self.first += further;
        self.at += further;
        self.known_to = self.known_to.max(self.at + 1);
        self
    }

    fn is_near(&self, at: u64) -> bool {
        self.at > 0 && at.saturating_add(NEAR) >= self.at && at <= self.at + NEAR
    }

    /// Positions that the run has passed.
    fn passed(&self) -> u64 {
        self.at - self.first + 1
    }

    fn place(&mut self, at: u64, look: Look) {
        if !self.is_near(at) {
            let lent = if self.at == 0 { self.lent } else { 0 };
            // As if that many positions before this one had been of use.
            let first = at.saturating_sub(lent).max(1);
            let before = at - first;
            *self = Self {
                first,
                at,
                looked: before,
                read: before,
                runs: self.runs + 1,
                ..Self::default()
            };
            self.looked += 1;
        } else if at > self.at {
            self.at = at;
            self.looked += 1;
        } else if at < self.at && look == Look::Attributes {
            self.looked += 1;
        }
        if look == Look::Content && self.read_at != at {
            self.read_at = at;
            self.read += 1;
        }
        let passed = self.passed();
        self.looked = self.looked.min(passed);
        self.read = self.read.min(passed);
        if passed > PASSED_MAX {
            self.first = self.at + 1 - PASSED_MAX / 2;
            self.looked = self.looked * (PASSED_MAX / 2) / passed;
            self.read = self.read * (PASSED_MAX / 2) / passed;
        }
    }

    /// What the run is for, as far as can be told after a look for `look`.
    fn intent(&self, look: Look) -> Option<Look> {
        let passed = self.passed();
        // What was just looked at had no time to be opened.
        let settled = match look {
            Look::Attributes => passed - 1,
            Look::Content => passed,
        };
        if passed > 1 && self.read > 0 && self.read * 2 >= settled {
            Some(Look::Content)
        } else if self.looked >= LOOKS_MIN && self.looked * 2 >= passed {
            Some(Look::Attributes)
        } else {
            None
        }
    }
}

/// The history after a `look` at position `at`, of which positions begin at 1, and what to ask for ahead:
/// at most `window_max` entries beyond the furthest look. `None`: this is no walk, as far as can be told.
pub(crate) fn step(
    mut history: History,
    at: u64,
    look: Look,
    window_max: u64,
) -> (History, Option<Plan>) {
    history.place(at.max(1), look);
    let Some(what) = history.intent(look) else {
        return (history, None);
    };
    let (used, planned_to) = match what {
        Look::Attributes => (history.looked, history.known_to),
        Look::Content => (history.read, history.read_to),
    };
    let window = (used * 2).min(window_max);
    let from = planned_to.max(history.at + 1);
    let to = (history.at + 1 + window).max(from);
    match what {
        Look::Attributes => history.known_to = to,
        Look::Content => (history.known_to, history.read_to) = (history.known_to.max(to), to),
    }
    let plan = Plan {
        what,
        positions: from..to,
    };
    (history, Some(plan))
}

#[cfg(test)]
mod tests;
