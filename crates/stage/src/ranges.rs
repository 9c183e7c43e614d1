//! [`RangeSet`]: a set of byte offsets, kept as ranges.
//!
//! Laws: ranges are never empty, never touch and never overlap, so equal sets are equal values.
//! Each operation costs the logarithm of the number of ranges, plus the ranges that it removes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A set of byte offsets.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    /// End by start.
    ends: BTreeMap<u64, u64>,
    /// Offsets in all.
    total: u64,
}

impl RangeSet {
    /// How many offsets it holds.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Whether it holds none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The ranges, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ends.iter().map(|(start, end)| *start..*end)
    }

    /// Adds all of `range`.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((before, reach)) = self.at_or_before(start)
            && reach >= start
        {
            start = before;
            end = end.max(reach);
            self.take(before, reach);
        }
        while let Some((&next, &reach)) = self.ends.range(start..=end).next() {
            end = end.max(reach);
            self.take(next, reach);
        }
        self.put(start, end);
    }

    /// Takes all of `range` out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((before, reach)) = self.at_or_before(range.start)
            && reach > range.start
        {
            self.take(before, reach);
            self.put(before, range.start);
            self.put(range.end, reach);
        }
        while let Some((&next, &reach)) = self.ends.range(range.clone()).next() {
            self.take(next, reach);
            self.put(range.end, reach);
        }
    }

    /// Takes out all from `at` on.
    pub(crate) fn cut(&mut self, at: u64) {
        self.remove(at..u64::MAX);
    }

    /// Adds every range of `other`.
    pub(crate) fn extend(&mut self, other: &Self) {
        for range in other.iter() {
            self.insert(range);
        }
    }

    /// Whether all of `range` is in it.
    pub(crate) fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || (self.at_or_before(range.start)).is_some_and(|(_, reach)| reach >= range.end)
    }

    /// Whether any of `range` is in it.
    pub(crate) fn intersects(&self, range: &Range<u64>) -> bool {
        self.within(range.clone()).next().is_some()
    }

    /// What of `range` is in it, in order.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = (self.at_or_before(range.start))
            .filter(|(start, reach)| *start < range.start && *reach > range.start);
        let rest = (!range.is_empty()).then(|| self.ends.range(range.clone()));
        let rest = rest
            .into_iter()
            .flatten()
            .map(|(start, end)| (*start, *end));
        (first.into_iter().chain(rest))
            .map(move |(start, end)| start.max(range.start)..end.min(range.end))
            .filter(|part| !part.is_empty())
    }

    /// What of `range` is not in it, in order.
    pub(crate) fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = range.end;
        let mut reached = range.start;
        self.within(range)
            .map(Some)
            .chain(std::iter::once(None))
            .filter_map(move |part| {
                let part = part.unwrap_or(end..end);
                let gap = reached..part.start;
                reached = part.end;
                (!gap.is_empty()).then_some(gap)
            })
    }

    fn at_or_before(&self, offset: u64) -> Option<(u64, u64)> {
        let (start, end) = self.ends.range(..=offset).next_back()?;
        Some((*start, *end))
    }

    fn take(&mut self, start: u64, end: u64) {
        self.ends.remove(&start);
        self.total -= end - start;
    }

    fn put(&mut self, start: u64, end: u64) {
        if start < end {
            self.ends.insert(start, end);
            self.total += end - start;
        }
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::default();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BITS: u64 = 64;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Range<u64>),
        Remove(Range<u64>),
        Cut(u64),
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..BITS, 0..BITS).prop_map(|(a, b)| a.min(b)..a.max(b))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => range().prop_map(Step::Insert),
            3 => range().prop_map(Step::Remove),
            1 => (0..BITS).prop_map(Step::Cut),
        ]
    }

    fn runs(bits: &[bool], wanted: bool, within: Range<u64>) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for at in within {
            if bits[usize::try_from(at).unwrap()] != wanted {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.end == at => run.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn it_is_a_bitmap(steps in prop::collection::vec(step(), 1..40), probe in range()) {
            let mut set = RangeSet::default();
            let mut bits = vec![false; usize::try_from(BITS).unwrap()];
            for step in steps {
                let (range, value) = match step {
                    Step::Insert(range) => {
                        set.insert(range.clone());
                        (range, true)
                    }
                    Step::Remove(range) => {
                        set.remove(range.clone());
                        (range, false)
                    }
                    Step::Cut(at) => {
                        set.cut(at);
                        (at..BITS, false)
                    }
                };
                for at in range {
                    bits[usize::try_from(at).unwrap()] = value;
                }
                let all = runs(&bits, true, 0..BITS);
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), all.clone());
                prop_assert_eq!(set.total(), all.iter().map(|r| r.end - r.start).sum::<u64>());
            }
            let inside = runs(&bits, true, probe.clone());
            let outside = runs(&bits, false, probe.clone());
            prop_assert_eq!(set.contains(&probe), outside.is_empty());
            prop_assert_eq!(set.intersects(&probe), !inside.is_empty());
            prop_assert_eq!(set.within(probe.clone()).collect::<Vec<_>>(), inside);
            prop_assert_eq!(set.gaps(probe).collect::<Vec<_>>(), outside);
            prop_assert_eq!(set.iter().collect::<RangeSet>(), set);
        }
    }
}
