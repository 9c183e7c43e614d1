//! [`Layout`]: how a file is cut into parts. Pure.
//!
//! All parts but the last are equally long, as R2 demands. Only elsewhere those of a file that is uploaded
//! while it grows, whose end nobody knows, double in size after each thousand parts: so the 10,000
//! that an upload may have reach from 8 MiB parts to the 5 TiB that an object may have.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Parts of one size, where sizes double.
const RUN_PARTS: u16 = 1000;

/// Runs that are told apart: 64 doublings are beyond any size.
const RUNS_MAX: u16 = 64;

/// How a file is cut into parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Layout {
    part_bytes: u64,
    growth: Growth,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Growth {
    None,
    Doubling,
}

impl Layout {
    /// Parts of `part_bytes` (at least 1) each.
    pub(crate) const fn equal(part_bytes: u64) -> Self {
        Self {
            part_bytes,
            growth: Growth::None,
        }
    }

    /// Parts for a file of unknown end, the first ones of `part_bytes` (at least 1).
    pub(crate) const fn growing(part_bytes: u64) -> Self {
        Self {
            part_bytes,
            growth: Growth::Doubling,
        }
    }

    /// The range of part `index` (from 0) of a file of `size` bytes; empty beyond the end.
    pub(crate) fn range(self, index: u16, size: u64) -> Range<u64> {
        let (start, length) = match self.growth {
            Growth::None => (
                u64::from(index).saturating_mul(self.part_bytes),
                self.part_bytes,
            ),
            Growth::Doubling => {
                let (run, rest) = (index / RUN_PARTS, index % RUN_PARTS);
                let length = self.length_in(run);
                let before = self.start_of(run);
                (
                    before.saturating_add(u64::from(rest).saturating_mul(length)),
                    length,
                )
            }
        };
        let start = start.min(size);
        start..start.saturating_add(length).min(size)
    }

    /// The range of part `index` as a whole, wherever the file ends.
    pub(crate) fn whole(self, index: u16) -> Range<u64> {
        self.range(index, u64::MAX)
    }

    /// How many parts a file of `size` bytes has; an empty one has none.
    pub(crate) fn count(self, size: u64) -> u64 {
        match size.checked_sub(1) {
            None => 0,
            Some(last) => self.index(last).saturating_add(1),
        }
    }

    /// The part (from 0) that holds the byte at `offset`.
    pub(crate) fn index(self, offset: u64) -> u64 {
        match self.growth {
            Growth::None => offset / self.part_bytes.max(1),
            Growth::Doubling => {
                let run = (0..=RUNS_MAX)
                    .take_while(|run| self.start_of(*run) <= offset)
                    .last()
                    .unwrap_or(0);
                let rest = (offset - self.start_of(run)) / self.length_in(run).max(1);
                u64::from(run) * u64::from(RUN_PARTS) + rest
            }
        }
    }

    fn length_in(self, run: u16) -> u64 {
        self.part_bytes
            .saturating_mul(1_u64.checked_shl(run.into()).unwrap_or(u64::MAX))
    }

    /// Where a run begins: all the runs before it together.
    fn start_of(self, run: u16) -> u64 {
        let doublings = 1_u64.checked_shl(run.into()).unwrap_or(u64::MAX) - 1;
        self.part_bytes
            .saturating_mul(RUN_PARTS.into())
            .saturating_mul(doublings)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_thousand_growing_parts_reach_five_tebibytes() {
        let layout = Layout::growing(8 << 20);
        assert!(layout.count(5 << 40) <= 10_000);
        assert!(layout.range(9_999, u64::MAX >> 8).end >= 5 << 40);
        let largest = layout.range(9_999, u64::MAX >> 8);
        assert!(
            largest.end - largest.start <= 5 << 30,
            "S3 takes no larger part"
        );
    }

    proptest! {
        #[test]
        fn parts_lie_end_to_end(
            part_bytes in 1_u64..1 << 30,
            size in 0_u64..5 << 40,
            grows: bool,
            at: proptest::sample::Index,
        ) {
            let layout = if grows { Layout::growing(part_bytes) } else { Layout::equal(part_bytes) };
            let count = layout.count(size);
            prop_assert_eq!(count == 0, size == 0);
            if let Ok(count) = u16::try_from(count)
                && count > 0
            {
                let index = u16::try_from(at.index(count.into())).unwrap();
                let range = layout.range(index, size);
                prop_assert!(!range.is_empty());
                prop_assert_eq!(layout.index(range.start), u64::from(index));
                prop_assert_eq!(layout.index(range.end - 1), u64::from(index));
                if index == 0 {
                    prop_assert_eq!(range.start, 0);
                } else {
                    prop_assert_eq!(layout.range(index - 1, size).end, range.start);
                }
                prop_assert_eq!(index + 1 == count, range.end == size);
                prop_assert!(layout.range(count, size).is_empty());
            }
        }
    }
}
