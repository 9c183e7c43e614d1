//! [`Parts`]: which parts of an upload are in the bucket, while the file may change. Pure.
//!
//! Law: a part counts as sent only if its bytes are those that the file has there now. What is
//! written meanwhile, or cut off, or moves the end of a part, makes it missing again, also if it is
//! on its way.

use std::collections::BTreeMap;
use std::ops::Range;

use cloudmount_store::PartTag;

use crate::plan::Layout;
use crate::ranges::RangeSet;

/// The parts of an upload.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Parts {
    layout: Layout,
    size: u64,
    count: usize,
    /// At least `count`: a part that was cut off is kept while it is on its way, so that no number
    /// is on its way twice.
    list: Vec<Part>,
    /// Below it nothing is missing.
    from: usize,
    is_mended: bool,
}

#[derive(Clone, PartialEq, Debug)]
enum Part {
    Missing,
    /// On its way; `Stale`: with bytes that are no longer right.
    Sending(Freshness),
    Sent(PartTag),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Freshness {
    Fresh,
    Stale,
}

impl Parts {
    /// Of a file of `size` bytes, none of them sent.
    pub(crate) fn new(layout: Layout, size: u64) -> Self {
        let mut parts = Self {
            layout,
            size: 0,
            count: 0,
            list: Vec::new(),
            from: 0,
            is_mended: false,
        };
        parts.adapt(size, size, &RangeSet::default());
        parts
    }

    /// As a former process left them: those with tags were sent.
    pub(crate) fn recovered(layout: Layout, size: u64, sent: &BTreeMap<u16, PartTag>) -> Self {
        let mut parts = Self::new(layout, size);
        for (index, tag) in sent {
            if let Some(part) = parts.list.get_mut(usize::from(*index)) {
                *part = Part::Sent(tag.clone());
            }
        }
        parts
    }

    /// How they are cut.
    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Those that are sent and whole: what is written behind them changes none of them.
    pub(crate) fn whole_sent(&self) -> impl Iterator<Item = (u16, Range<u64>, &PartTag)> {
        (0..)
            .zip(&self.list)
            .filter_map(|(index, part)| match part {
                Part::Sent(tag) => Some((index, self.layout.whole(index), tag)),
                Part::Missing | Part::Sending(_) => None,
            })
            .filter(|(_, range, _)| range.end <= self.size)
    }

    /// The size of the file that they make.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Whether a part was or is to be sent again with other bytes: not every server takes that.
    pub(crate) const fn is_mended(&self) -> bool {
        self.is_mended
    }

    /// Follows the file: it has `size` bytes now, had as few as `kept` meanwhile, and `changed` was
    /// written. Gives how many parts that were sent, or on their way, have to go again.
    pub(crate) fn adapt(&mut self, size: u64, kept: u64, changed: &RangeSet) -> usize {
        let count = usize::try_from(self.layout.count(size)).unwrap_or(usize::MAX);
        let mut lost = 0;
        let moved = size != self.size || kept < size;
        for index in 0..self.list.len() {
            let number = u16::try_from(index).unwrap_or(u16::MAX);
            let now = self.layout.range(number, size);
            let ends_elsewhere = moved && self.layout.range(number, self.size) != now;
            let is_cut = index >= count;
            if is_cut || ends_elsewhere || (moved && now.end > kept) || changed.intersects(&now) {
                lost += usize::from(self.invalidate(index));
            }
        }
        let is_idle = |part: &Part| *part == Part::Missing;
        while self.list.len() > count && self.list.last().is_some_and(is_idle) {
            self.list.pop();
        }
        if self.list.len() < count {
            self.list.resize(count, Part::Missing);
        }
        self.count = count;
        self.from = self.from.min(count);
        self.size = size;
        self.is_mended |= lost > 0;
        lost
    }

    fn invalidate(&mut self, index: usize) -> bool {
        let part = &mut self.list[index];
        let was_there = !matches!(part, Part::Missing | Part::Sending(Freshness::Stale));
        match part {
            Part::Sending(freshness) => *freshness = Freshness::Stale,
            Part::Missing | Part::Sent(_) => {
                *part = Part::Missing;
                self.from = self.from.min(index);
            }
        }
        was_there
    }

    /// The first missing part that is `ready`, which is on its way from here on.
    pub(crate) fn take(
        &mut self,
        ready: impl Fn(&Range<u64>) -> bool,
    ) -> Option<(u16, Range<u64>)> {
        let mut is_first = true;
        for index in self.from..self.count {
            if self.list[index] != Part::Missing {
                continue;
            }
            if std::mem::take(&mut is_first) {
                self.from = index;
            }
            let number = u16::try_from(index).ok()?;
            let range = self.layout.range(number, self.size);
            if ready(&range) {
                self.list[index] = Part::Sending(Freshness::Fresh);
                return Some((number, range));
            }
        }
        None
    }

    /// A part arrived.
    pub(crate) fn arrived(&mut self, index: u16, tag: PartTag) {
        match self.list.get_mut(usize::from(index)) {
            Some(part) if *part == Part::Sending(Freshness::Fresh) => *part = Part::Sent(tag),
            _ => self.failed(index),
        }
    }

    /// A part did not arrive.
    pub(crate) fn failed(&mut self, index: u16) {
        let index = usize::from(index);
        if let Some(part) = self.list.get_mut(index) {
            *part = Part::Missing;
            self.from = self.from.min(index);
        }
    }

    /// None is on its way any more.
    pub(crate) fn interrupted(&mut self) {
        for index in 0..self.list.len() {
            if matches!(self.list[index], Part::Sending(_)) {
                self.list[index] = Part::Missing;
                self.from = self.from.min(index);
            }
        }
    }

    /// The tags of all parts, once all are sent.
    pub(crate) fn tags(&self) -> Option<Vec<PartTag>> {
        let tags = self.list[..self.count].iter().map(|part| match part {
            Part::Sent(tag) => Some(tag.clone()),
            Part::Missing | Part::Sending(_) => None,
        });
        tags.collect()
    }

    /// The end of the first part that would begin at or after `size`, or hold it: what must be
    /// written for one more whole part.
    pub(crate) fn next_end(&self) -> u64 {
        let index = u16::try_from(self.layout.index(self.size)).unwrap_or(u16::MAX);
        self.layout.range(index, u64::MAX).end
    }

    /// Bytes that are in the bucket.
    pub(crate) fn bytes_sent(&self) -> u64 {
        (0..)
            .zip(&self.list)
            .filter(|(_, part)| matches!(part, Part::Sent(_)))
            .map(|(index, _)| self.layout.range(index, self.size))
            .map(|range| range.end - range.start)
            .sum()
    }
}

#[cfg(test)]
mod tests;
