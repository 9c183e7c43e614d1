//! Objects that may have other attributes than those that are known, though a listing shows them unchanged.
//!
//! New attributes of the same content leave its ETag, and listings tell whole seconds. So a change that somebody makes
//! within the second in which an object was written, or first asked for, shows in no listing. Such an object is asked for once
//! more, when that second is over: whatever comes later has another date.
//!
//! Laws:
//! - Once for each time that an object was written or asked for so early, whoever looks and however often.
//! - Nobody asks for what nobody looks at; what a folder shows is asked for together, as always.
//! - There are [`DOUBTS_MAX`] at most: of many files that are written at once the last ones count, so that listing them costs
//!   a few round trips more, not thousands of requests.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use cloudmount_vfs::{InodeId, Instant, Timestamp};

use crate::Attributes;
use crate::core::Inner;
use crate::node::{Content, State};

/// Objects in doubt. They are asked for 32 at a time, in eight round trips.
const DOUBTS_MAX: usize = 256;

/// How long a store may give the same date to another change: a second, and one more because of answers that were under
/// way. It is this machine's time, whatever the store's clock says.
const SAME_DATE: Duration = Duration::from_secs(2);

/// Objects in doubt, and since when.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    since: HashMap<InodeId, Instant>,
    by_age: BTreeSet<(Instant, InodeId)>,
}

/// Whether what is known of an object may be wrong though listings show it unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Doubt {
    /// No.
    #[default]
    None,
    /// It may still change unseen.
    Goes,
    /// Later changes have another date: it is to be asked for, once.
    Due,
}

impl Doubts {
    fn enter(&mut self, ino: InodeId, now: Instant) {
        if let Some(before) = self.since.insert(ino, now) {
            self.by_age.remove(&(before, ino));
        }
        self.by_age.insert((now, ino));
        if self.by_age.len() > DOUBTS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.since.remove(&oldest);
        }
    }

    /// What became of a doubt. Where too many came after it, the object is believed.
    fn look(&mut self, ino: InodeId, now: Instant) -> Doubt {
        let Some(&since) = self.since.get(&ino) else {
            return Doubt::None;
        };
        if now < since + SAME_DATE {
            return Doubt::Goes;
        }
        self.since.remove(&ino);
        self.by_age.remove(&(since, ino));
        Doubt::Due
    }
}

impl Inner {
    /// What is known of an object now may change without another date in listings.
    pub(crate) fn doubt_date(&self, ino: InodeId, state: &mut State) {
        let is_asked_for_anyway = matches!(state.content, Content::Folder { .. });
        if is_asked_for_anyway || self.settings.attributes == Attributes::Listing {
            return;
        }
        state.doubt = Doubt::Goes;
        self.doubts.lock().enter(ino, self.now());
    }

    /// A listing shows an object as it is known. What was asked before a doubt ended does not count.
    pub(crate) fn end_doubt(&self, ino: InodeId, state: &mut State) {
        if state.doubt == Doubt::Goes {
            state.doubt = self.doubts.lock().look(ino, self.now());
            state.edits += u64::from(state.doubt == Doubt::Due);
        }
    }

    /// An object, which had that date as far as was known, has told of itself.
    pub(crate) fn asked_for(&self, ino: InodeId, state: &mut State, before: Option<Timestamp>) {
        let secs = |time: Option<Timestamp>| time.map(Timestamp::secs);
        if state.doubt == Doubt::Due && secs(before) == secs(state.modified) {
            state.doubt = Doubt::None;
        } else if state.is_young {
            self.doubt_date(ino, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_start(Duration::from_secs(secs))
    }

    #[test]
    fn a_doubt_ends_once_and_later_ones_begin_anew() {
        let mut doubts = Doubts::default();
        let ino = InodeId::ROOT;
        doubts.enter(ino, at(1));
        assert_eq!(doubts.look(ino, at(2)), Doubt::Goes);
        doubts.enter(ino, at(2));
        assert_eq!(doubts.look(ino, at(3)), Doubt::Goes);
        assert_eq!(doubts.look(ino, at(4)), Doubt::Due);
        assert_eq!(doubts.look(ino, at(4)), Doubt::None);
        assert!(doubts.by_age.is_empty() && doubts.since.is_empty());
    }

    #[test]
    fn the_oldest_of_too_many_is_given_up() {
        let mut doubts = Doubts::default();
        let ino = |n: u64| InodeId::new(n + 2).unwrap();
        for n in 0..=DOUBTS_MAX as u64 {
            doubts.enter(ino(n), at(n));
        }
        assert_eq!(doubts.look(ino(0), at(1000)), Doubt::None);
        assert_eq!(doubts.look(ino(1), at(1000)), Doubt::Due);
        assert_eq!(doubts.by_age.len(), doubts.since.len());
    }
}
