//! The order of events, and points in time in eight bytes.
//!
//! Law: each local change and each question takes an [`Epoch`] of its own from one counter, so any
//! two of them can be compared: an answer is as old as its question.

use std::time::Duration;

use cloudmount_vfs::Instant;

/// The place of a change or a question in the order of all of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// Before everything.
    pub(crate) const NONE: Self = Self(0);

    /// The next one. 2^64 of them last for 58,000 years at ten million a second.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A point of the steady clock in nanoseconds since its start: half the size of an [`Instant`],
/// and a directory of a million names keeps two of them for each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// The start of the clock: as a deadline, one that has always passed.
    pub(crate) const PASSED: Self = Self(0);

    /// Whether it lies after `now`.
    pub(crate) fn is_after(self, now: Instant) -> bool {
        self > Self::from(now)
    }
}

impl From<Instant> for Deadline {
    /// Cut to 2^64 - 1 ns: 584 years after the start.
    fn from(instant: Instant) -> Self {
        let since = instant.saturating_since(Instant::default());
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Deadline> for Instant {
    fn from(deadline: Deadline) -> Self {
        Self::from_start(Duration::from_nanos(deadline.0))
    }
}

/// When something was asked of the store: what its answer can be compared by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// In the order of events.
    pub(crate) epoch: Epoch,
    /// On the clock.
    pub(crate) at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_passed_at_its_own_instant() {
        let at = |nanos| Instant::from_start(Duration::from_nanos(nanos));
        assert!(Deadline::from(at(5)).is_after(at(4)));
        assert!(!Deadline::from(at(5)).is_after(at(5)));
        assert!(!Deadline::PASSED.is_after(at(0)));
        let end = Instant::from_start(Duration::MAX);
        assert_eq!(Deadline::from(end), Deadline(u64::MAX));
        assert_eq!(Instant::from(Deadline::from(at(7))), at(7));
    }
}
