//! [`Content`]: where each byte of a staged file is. Pure.
//!
//! Content = local ranges ∪ base[0..`base_limit`) ∪ zeros.
//!
//! Laws: `away ⊆ dirty ⊆ present ⊆ [0, size)`; `base_limit ≤ min(size, base.size)`; what is not dirty and
//! lies below `base_limit` is equal to the base; every change raises the generation.

use std::ops::Range;

use crate::Base;
use crate::ranges::RangeSet;

/// A piece of a staged file, by where its bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// In the local file, at the same offsets.
    Local(Range<u64>),
    /// Only in parts of an upload that are not joined yet: see [`Stage::recall`](crate::Stage::recall).
    Away(Range<u64>),
    /// In the base object, at the same offsets.
    Base(Range<u64>),
    /// Nowhere: zeros.
    Zero(Range<u64>),
}

/// Where each byte of a staged file is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    size: u64,
    present: RangeSet,
    dirty: RangeSet,
    /// What the store has in parts of the upload that began last, and the local file no more.
    away: RangeSet,
    base: Option<Base>,
    base_limit: u64,
    generation: u64,
    committed: Option<u64>,
    upload: Option<Upload>,
    uploads: u64,
    /// How often it became what someone else had written.
    adopted: u64,
}

/// What changed since an upload began (or was last caught up with).
#[derive(Clone, Debug)]
struct Upload {
    /// Which upload of the file it is.
    number: u64,
    /// The generation that it has.
    generation: u64,
    changed: RangeSet,
    /// Smallest size since: what the base has beyond was cut away meanwhile.
    size_min: u64,
}

/// What changed under a running upload since it was last asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caught {
    /// What the file is now.
    pub(crate) generation: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its smallest size meanwhile: beyond, everything may be different.
    pub(crate) kept: u64,
    /// What was written.
    pub(crate) changed: RangeSet,
}

impl Content {
    /// A file whose content is all of `base`, or none.
    pub(crate) fn new(base: Option<Base>) -> Self {
        let size = base.as_ref().map_or(0, |base| base.size);
        Self {
            size,
            base,
            base_limit: size,
            generation: 1,
            ..Self::default()
        }
    }

    /// A file as the journal knows it. `present` and `dirty` need not be cut to the size.
    pub(crate) fn recovered(
        size: u64,
        base: Option<Base>,
        base_limit: u64,
        mut present: RangeSet,
        mut dirty: RangeSet,
        away: RangeSet,
    ) -> Self {
        let base_size = base.as_ref().map_or(0, |base| base.size);
        let base_limit = base_limit.min(size).min(base_size);
        // Beyond the base the local file vouches for itself: its length is the size.
        dirty.insert(base_limit..size);
        dirty.extend(&away);
        present.extend(&dirty);
        present.cut(size);
        dirty.cut(size);
        Self {
            size,
            present,
            dirty,
            away,
            base,
            base_limit,
            generation: 1,
            ..Self::default()
        }
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) const fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    pub(crate) const fn base_limit(&self) -> u64 {
        self.base_limit
    }

    pub(crate) const fn present(&self) -> &RangeSet {
        &self.present
    }

    pub(crate) const fn dirty(&self) -> &RangeSet {
        &self.dirty
    }

    /// What only the parts of an upload have.
    pub(crate) const fn away(&self) -> &RangeSet {
        &self.away
    }

    /// Whether all of `range` is in the local file.
    pub(crate) fn is_local(&self, range: &Range<u64>) -> bool {
        self.present.contains(range) && !self.away.intersects(range)
    }

    /// Whether part `range` of upload `number` may leave the local file: the store has it as it is.
    pub(crate) fn may_send_away(&self, number: u64, range: &Range<u64>) -> bool {
        let upload = (self.upload.as_ref()).filter(|upload| upload.number == number);
        self.dirty.contains(range)
            && !self.away.intersects(range)
            && upload.is_some_and(|upload| {
                upload.size_min >= range.end && !upload.changed.intersects(range)
            })
    }

    /// From here on, only the upload has `range`.
    pub(crate) fn send_away(&mut self, range: Range<u64>) {
        self.away.insert(range);
    }

    /// Forgets the local copies of what the base has, and gives them.
    pub(crate) fn forget_copies(&mut self) -> RangeSet {
        let copies: RangeSet = (self.present.within(0..self.base_limit))
            .flat_map(|part| self.dirty.gaps(part).collect::<Vec<_>>())
            .collect();
        for copy in copies.iter() {
            self.present.remove(copy);
        }
        copies
    }

    /// Whether the current generation is in the bucket.
    pub(crate) fn is_committed(&self) -> bool {
        self.committed == Some(self.generation)
    }

    /// The newest generation that was in the bucket.
    pub(crate) const fn committed(&self) -> Option<u64> {
        self.committed
    }

    /// Whether the content is exactly the whole base.
    pub(crate) fn is_whole_base(&self) -> bool {
        self.dirty.is_empty()
            && (self.base.as_ref())
                .is_some_and(|base| self.size == base.size && self.base_limit == base.size)
    }

    /// The base, if the content is exactly that, and none of it is in the local file.
    pub(crate) fn base_only(&self) -> Option<&Base> {
        let is_it = self.is_whole_base() && self.present.is_empty();
        self.base.as_ref().filter(|_| is_it)
    }

    /// The base, if the content is exactly that, and all of it is in the local file.
    pub(crate) fn whole_copy(&self) -> Option<&Base> {
        let is_here = self.is_whole_base() && self.size > 0 && self.is_local(&(0..self.size));
        self.base.as_ref().filter(|_| is_here)
    }

    /// Whether the journal must be told before a write of `range` is acknowledged: it would read
    /// the range from the base otherwise.
    pub(crate) fn is_news(&self, range: &Range<u64>) -> bool {
        let below = range.start..range.end.min(self.base_limit);
        !below.is_empty() && !self.dirty.contains(&below)
    }

    /// `range` was written.
    pub(crate) fn wrote(&mut self, range: Range<u64>) {
        self.generation += 1;
        self.size = self.size.max(range.end);
        self.present.insert(range.clone());
        self.dirty.insert(range.clone());
        if let Some(upload) = &mut self.upload {
            upload.changed.insert(range);
        }
    }

    /// The size was set. Nothing changes if it is the size already.
    pub(crate) fn resized(&mut self, size: u64) {
        if size == self.size {
            return;
        }
        self.generation += 1;
        self.present.cut(size);
        self.dirty.cut(size);
        self.away.cut(size);
        self.base_limit = self.base_limit.min(size);
        self.size = size;
        if let Some(upload) = &mut self.upload {
            upload.changed.cut(size);
            upload.size_min = upload.size_min.min(size);
        }
    }

    /// `range` was fetched from the base into the local file.
    pub(crate) fn filled(&mut self, range: Range<u64>) {
        self.present
            .insert(range.start..range.end.min(self.base_limit));
    }

    /// What only the base has, in order.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.missing_in(0..self.base_limit)
    }

    /// What of `range` only the base has, in order.
    pub(crate) fn missing_in(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = range.end.min(self.base_limit);
        self.present.gaps(range.start.min(end)..end)
    }

    /// Whether all of `range` is in the base as it is here.
    pub(crate) fn is_base(&self, range: &Range<u64>) -> bool {
        range.end <= self.base_limit && !self.dirty.intersects(range)
    }

    /// Goes on without the base. What is missing must have been filled.
    pub(crate) fn forget_base(&mut self) {
        self.base = None;
        self.base_limit = 0;
        self.dirty = self.present.clone();
    }

    /// The base got another version of the same content.
    pub(crate) fn base_moved(&mut self, base: Base) {
        self.base = Some(base);
    }

    /// The pieces of `range`, cut at the size, in order, none empty.
    pub(crate) fn segments(&self, range: Range<u64>) -> Vec<Segment> {
        let end = range.end.min(self.size);
        let mut segments = Vec::new();
        let mut at = range.start;
        let hole = |gap: Range<u64>, segments: &mut Vec<Segment>| {
            let limit = self.base_limit.clamp(gap.start, gap.end);
            if gap.start < limit {
                segments.push(Segment::Base(gap.start..limit));
            }
            if limit < gap.end {
                segments.push(Segment::Zero(limit..gap.end));
            }
        };
        if at >= end {
            return segments;
        }
        for local in self.present.within(at..end) {
            hole(at..local.start, &mut segments);
            at = local.end;
            let mut here = local.start;
            for away in self.away.within(local.clone()) {
                if here < away.start {
                    segments.push(Segment::Local(here..away.start));
                }
                here = away.end;
                segments.push(Segment::Away(away));
            }
            if here < local.end {
                segments.push(Segment::Local(here..local.end));
            }
        }
        hole(at..end, &mut segments);
        segments
    }

    /// The first byte at or after `offset` that is not known to be zero.
    pub(crate) fn next_data(&self, offset: u64) -> Option<u64> {
        if offset < self.base_limit {
            return Some(offset);
        }
        let data = self.present.within(offset..self.size).next();
        data.map(|range| range.start)
    }

    /// The first byte at or after `offset` that is known to be zero; the size counts as one.
    pub(crate) fn next_hole(&self, offset: u64) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        let from = offset.max(self.base_limit);
        let hole = self.present.gaps(from..self.size).next();
        Some(hole.map_or(self.size, |range| range.start))
    }

    /// An upload begins: from here on, changes are gathered for it. Gives the generation it has.
    pub(crate) fn begin_upload(&mut self) -> u64 {
        self.uploads += 1;
        self.upload = Some(Upload {
            number: self.uploads,
            generation: self.generation,
            changed: RangeSet::default(),
            size_min: self.size,
        });
        self.generation
    }

    /// Which upload began last; they count from 1.
    pub(crate) const fn upload_number(&self) -> u64 {
        self.uploads
    }

    /// What changed since upload `number` began or was last asked; after this it has the current
    /// generation, provided that what is told here is read again. `None`: another one began since.
    pub(crate) fn catch_up(&mut self, number: u64) -> Option<Caught> {
        let (size, generation) = (self.size, self.generation);
        let upload = (self.upload.as_mut()).filter(|upload| upload.number == number)?;
        upload.generation = generation;
        Some(Caught {
            generation,
            size,
            kept: std::mem::replace(&mut upload.size_min, size).min(size),
            changed: std::mem::take(&mut upload.changed),
        })
    }

    /// Whether the upload that began last has that generation.
    pub(crate) fn upload_has(&self, generation: u64) -> bool {
        self.upload
            .as_ref()
            .is_some_and(|upload| upload.generation == generation)
    }

    /// Takes another version of the base, if the content is nothing but the base.
    pub(crate) fn adopt_base(&mut self, base: Base) {
        if self.is_whole_base() && self.present.is_empty() {
            self.size = base.size;
            self.base_limit = base.size;
            self.base = Some(base);
            self.generation += 1;
            self.adopted += 1;
            self.upload = None;
        }
    }

    /// How often it became what someone else had written.
    pub(crate) const fn adopted(&self) -> u64 {
        self.adopted
    }

    /// The base is in the bucket as it is here: if nothing was changed, that is a commit.
    pub(crate) fn confirm(&mut self, generation: u64) {
        if self.generation == generation && self.is_whole_base() {
            self.committed = Some(generation);
        }
    }

    /// The upload that has `generation` was committed as `base`. Without effect if it is not the
    /// one that began last: what changed since is then unknown.
    pub(crate) fn committed_as(&mut self, generation: u64, base: Base) {
        let Some(upload) = self
            .upload
            .take_if(|upload| upload.generation == generation)
        else {
            return;
        };
        let limit = base.size.min(upload.size_min);
        // Zeros beyond the old base are zeros of the local file too, and need no fetch.
        let zeros: Vec<_> = self
            .present
            .gaps(self.base_limit.min(limit)..limit)
            .collect();
        for zero in zeros {
            self.present.insert(zero);
        }
        // What was away is in the object now, and not here.
        for part in std::mem::take(&mut self.away).iter() {
            self.present.remove(part);
        }
        self.committed = Some(generation);
        self.base = Some(base);
        self.base_limit = limit;
        self.dirty = upload.changed;
        self.dirty
            .extend(&(self.present.within(limit..self.size)).collect());
    }

    /// The parts that are away are in `object`, as all of it was at some moment. What is local counts as
    /// written since.
    pub(crate) fn away_is_in(&mut self, object: Base) {
        let limit = object.size.min(self.size);
        let from = self.base_limit.min(limit);
        let zeros: RangeSet = self.present.gaps(from..limit).collect();
        self.present.extend(&zeros);
        self.dirty.extend(&zeros);
        for part in std::mem::take(&mut self.away).iter() {
            self.present.remove(part.clone());
            self.dirty.remove(part);
        }
        self.base = Some(object);
        self.base_limit = limit;
        self.upload = None;
    }
}

#[cfg(test)]
mod tests;
