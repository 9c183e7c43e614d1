//! The daemon's wall clock, which jumps where a run makes faults.
//!
//! Law: only the program with failpoints reads it; the machine's own clock is left alone, for others use it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::dice::Dice;

/// The file that says how many seconds it is ahead of the machine's.
const NAME: &str = "clock";
/// It jumps so far, forward or back, in seconds: over the quarter of an hour that servers allow, and over the end
/// of a day.
const FARTHEST: u64 = 10 * 3600;
/// So often it jumps to the right time, in percent.
const RIGHT: u64 = 20;

/// How far the daemon's wall clock is ahead.
#[derive(Debug)]
pub(super) struct Clock {
    place: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Steady,
    Jumps,
}

impl Clock {
    /// One that is kept in `folder`.
    pub(super) fn new(folder: &Path, kind: Kind) -> Self {
        Self {
            place: folder.join(NAME),
            kind,
        }
    }

    /// Where the daemon reads it.
    pub(super) fn place(&self) -> String {
        self.place.display().to_string()
    }

    /// From now on it is another, if it may jump at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn jump(&self, seed: u64, round: u64) -> Result<()> {
        if self.kind == Kind::Steady {
            return Ok(());
        }
        let mut dice = Dice::new(&[seed, round]);
        let ahead = match dice.percent(RIGHT) {
            true => 0,
            false => dice.of(0..=2 * FARTHEST).cast_signed() - FARTHEST.cast_signed(),
        };
        // At once, so that nobody reads half of it.
        let draft = self.place.with_extension("new");
        std::fs::write(&draft, ahead.to_string())?;
        Ok(std::fs::rename(draft, &self.place)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_jumps_both_ways_and_only_if_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let read = || std::fs::read_to_string(folder.path().join(NAME)).ok();
        Clock::new(folder.path(), Kind::Steady).jump(1, 1).unwrap();
        assert_eq!(read(), None);
        let jumping = Clock::new(folder.path(), Kind::Jumps);
        let ahead: Vec<i64> = (0..20)
            .map(|round| {
                jumping.jump(1, round).unwrap();
                read().unwrap().parse().unwrap()
            })
            .collect();
        assert!(
            ahead.iter().any(|ahead| *ahead > 3600) && ahead.iter().any(|ahead| *ahead < -3600)
        );
    }
}
