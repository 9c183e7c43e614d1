//! [`Paced`]: the sizes that all readers follow, and the times of requests that they come from.
//!
//! Law: nobody waits for it. A moment when another request is just being noted is a sample less.

use std::sync::atomic::{AtomicU64, Ordering};

use cloudmount_vfs::{Clock, Instant};
use parking_lot::Mutex;

use crate::pace::{Awaited, Bounds, Pace, Sample, Sizes};

#[derive(Debug)]
pub(crate) struct Paced {
    pace: Mutex<Pace>,
    // What it says, for readers. Each is right alone: a reader that sees one of them a moment later than
    // another asks for a request that is larger or smaller, once.
    request_bytes: AtomicU64,
    window_bytes: AtomicU64,
    growth: AtomicU64,
}

impl Paced {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let pace = Pace::new(bounds);
        let sizes = pace.sizes();
        Self {
            pace: Mutex::new(pace),
            request_bytes: AtomicU64::new(sizes.request_bytes),
            window_bytes: AtomicU64::new(sizes.window_bytes),
            growth: AtomicU64::new(sizes.growth),
        }
    }

    /// What is to be done now.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            request_bytes: self.request_bytes.load(Ordering::Relaxed),
            window_bytes: self.window_bytes.load(Ordering::Relaxed),
            growth: self.growth.load(Ordering::Relaxed),
        }
    }

    /// A request was answered.
    pub(crate) fn heard(&self, sample: Sample) {
        let Some(mut pace) = self.pace.try_lock() else {
            return;
        };
        pace.heard(sample);
        let sizes = pace.sizes();
        self.request_bytes
            .store(sizes.request_bytes, Ordering::Relaxed);
        self.window_bytes
            .store(sizes.window_bytes, Ordering::Relaxed);
        self.growth.store(sizes.growth, Ordering::Relaxed);
    }
}

/// The times of one request.
#[derive(Debug)]
pub(crate) struct Timed {
    sent: Instant,
    first_byte: Option<Instant>,
    bytes: u64,
}

impl Timed {
    /// A request for `bytes`, sent now.
    pub(crate) fn new(now: Instant, bytes: u64) -> Self {
        Self {
            sent: now,
            first_byte: None,
            bytes,
        }
    }

    /// Some of it came.
    pub(crate) fn arrived(&mut self, clock: &dyn Clock) {
        self.first_byte.get_or_insert_with(|| clock.now());
    }

    /// All of it came. Nothing is said of a request whose bytes never did.
    pub(crate) fn sample(&self, clock: &dyn Clock, awaited: Awaited) -> Option<Sample> {
        Some(Sample {
            sent: self.sent,
            first_byte: self.first_byte?,
            done: clock.now(),
            bytes: self.bytes,
            awaited,
        })
    }
}
