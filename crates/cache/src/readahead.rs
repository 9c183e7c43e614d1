//! Read-ahead: what to fetch before it is asked for, as a pure function of what was read.
//!
//! A handle's reads form a *run* as long as each touches what was read before. The first read at
//! offset 0, and any read that continues another, are taken for sequential reading. From then on the window
//! beyond the run's end is kept fetched: 256 KiB at first, then a few times what the run has read, so that
//! a reader who stops early has cost at most a small multiple of what was of use.
//!
//! Kernels issue their own read-ahead from several threads, and an adapter may ask twice. So a read
//! near the run's end is no seek: it waits in a short list until the run reaches it, or until another
//! read touches it and it becomes the run.
//!
//! # Laws
//!
//! - Nothing is planned beyond the object, nor further ahead than the window.
//! - Nothing is planned twice in one run.
//! - Reads that do not touch each other plan nothing, but for one at offset 0.

use std::ops::Range;

/// The window at the start of a run: two requests of the kernel's default size.
pub(crate) const WINDOW_BYTES_INITIAL: u64 = 256 * 1024;

/// How far from the run's end a read is still taken for a reordered one. The kernel reads ahead
/// by up to a few requests of 1 MiB.
const REORDER_BYTES: u64 = 4 * 1024 * 1024;

/// Reads that may wait out of order: more than the threads that serve one file at a time.
const EARLY_MAX: usize = 8;

/// The bounds of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Plans begin and end at multiples of this, or at the object's end. A power of two.
    pub block_bytes: u64,
    /// The window's largest size; 0 plans nothing.
    pub window_bytes_max: u64,
    /// A plan waits until it is worth a request: a quarter of the window, at most this.
    pub step_bytes_max: u64,
    /// The window is so many times what the run has read, until it is as large as it may be.
    pub growth: u64,
}

/// What is remembered of one handle's reads. Starts as [`Default`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Bytes that were read with no gap.
    run: Span,
    /// Bytes read in order, by this run and those near it before: 0 while nothing looks sequential.
    forward: u64,
    /// Everything between the run's end and this is planned already.
    ahead: u64,
    /// Reads near the run that do not touch it yet, oldest first.
    early: [Span; EARLY_MAX],
    early_len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// Whether the two overlap or adjoin.
    const fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn join(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// The history after `request` was read of an object of `size` bytes, and the bytes to fetch ahead.
///
/// The plan is empty, or begins at a multiple of the block size and ends at one or at `size`. It may
/// begin within the block in which the request ends, never before.
#[must_use]
pub fn plan(
    mut history: History,
    request: Range<u64>,
    size: u64,
    limits: &Limits,
) -> (History, Range<u64>) {
    let request = Span {
        start: request.start.min(size),
        end: request.end.min(size),
    };
    if request.start >= request.end {
        return (history, 0..0);
    }
    history.place(request);
    let ahead = history.extend(size, limits);
    (history, ahead)
}

impl History {
    /// What was planned from byte `from` on was not begun, or was thrown out since: plans it again.
    #[must_use]
    pub fn without(mut self, from: u64) -> Self {
        self.ahead = self.ahead.min(from.max(self.run.end));
        self
    }

    /// Whether byte `offset` was planned and not read since.
    #[must_use]
    pub const fn is_planned(&self, offset: u64) -> bool {
        self.run.end <= offset && offset < self.ahead
    }

    /// How far ahead to fetch now.
    #[must_use]
    pub fn window(&self, limits: &Limits) -> u64 {
        if self.forward == 0 {
            0
        } else {
            self.forward
                .saturating_mul(limits.growth)
                .max(WINDOW_BYTES_INITIAL)
                .min(limits.window_bytes_max)
        }
    }

    fn place(&mut self, request: Span) {
        let far_behind = request.end.saturating_add(REORDER_BYTES) < self.run.end;
        let far_beyond = request.start > self.run.end.saturating_add(REORDER_BYTES);
        if request.touches(self.run) && !far_behind {
            self.grow(request);
        } else if !far_behind && !far_beyond {
            self.keep_early(request);
        } else {
            *self = Self {
                run: request,
                ahead: request.end,
                ..Self::default()
            };
        }
    }

    /// Joins `request` to the run, and then whatever waited for it.
    fn grow(&mut self, request: Span) {
        let before = self.run.end;
        self.run = self.run.join(request);
        while let Some(at) = self.find_early(self.run) {
            self.run = self.run.join(self.take_early(at));
        }
        self.forward += self.run.end - before;
    }

    /// Puts `request` aside, or makes it the run if it touches another one put aside.
    fn keep_early(&mut self, request: Span) {
        if let Some(at) = self.find_early(request) {
            let other = self.take_early(at);
            if other.start <= request.start && request.end <= other.end {
                // The same read once more says nothing new.
                self.push_early(other);
                return;
            }
            if other.end < self.run.start {
                // A jump back: what lies between was never planned.
                self.ahead = 0;
            }
            self.run = other;
            self.forward += other.end - other.start;
            self.grow(request);
        } else {
            self.push_early(request);
        }
    }

    fn find_early(&self, span: Span) -> Option<usize> {
        self.early[..self.early_len]
            .iter()
            .position(|early| early.touches(span))
    }

    fn take_early(&mut self, at: usize) -> Span {
        let span = self.early[at];
        self.early.copy_within(at + 1..self.early_len, at);
        self.early_len -= 1;
        span
    }

    fn push_early(&mut self, span: Span) {
        if self.early_len == EARLY_MAX {
            self.take_early(0);
        }
        self.early[self.early_len] = span;
        self.early_len += 1;
    }

    fn extend(&mut self, size: u64, limits: &Limits) -> Range<u64> {
        let window = self.window(limits);
        let mask = limits.block_bytes - 1;
        // The block in which the run ends was fetched for the read itself.
        let from = self.ahead.max(self.run.end.saturating_add(mask) & !mask);
        let target = match self.run.end.saturating_add(window) {
            beyond if beyond >= size => size,
            within => within & !mask,
        };
        let step = ((window / 4) & !mask).clamp(limits.block_bytes, limits.step_bytes_max);
        if window == 0 || target <= from {
            return 0..0;
        }
        // In whole steps: what is left over would be a small request of its own.
        let target = if target < size {
            from + (target - from) / step * step
        } else {
            size
        };
        if target == from {
            return 0..0;
        }
        self.ahead = target;
        from..target
    }
}

#[cfg(test)]
mod tests;
