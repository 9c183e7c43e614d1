//! The counters of one operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudmount_vfs::{Clock, Instant};
use serde::Serialize;

use crate::{ErrorKind, Result};

/// Buckets of the histogram: the last begins at 2^31 µs, 36 minutes, beyond any deadline.
const BUCKETS: usize = 32;

/// Every kind with its name in `status`, in the order of their declaration.
const KINDS: [(ErrorKind, &str); 16] = [
    (ErrorKind::NotFound, "not_found"),
    (ErrorKind::NoBucket, "no_bucket"),
    (ErrorKind::Precondition, "precondition"),
    (ErrorKind::Range, "range"),
    (ErrorKind::InvalidRequest, "invalid_request"),
    (ErrorKind::Forbidden, "forbidden"),
    (ErrorKind::Unauthorized, "unauthorized"),
    (ErrorKind::Unsupported, "unsupported"),
    (ErrorKind::Archived, "archived"),
    (ErrorKind::TooLarge, "too_large"),
    (ErrorKind::Quota, "quota"),
    (ErrorKind::Throttled, "throttled"),
    (ErrorKind::Server, "server"),
    (ErrorKind::Connection, "connection"),
    (ErrorKind::TimedOut, "timed_out"),
    (ErrorKind::Io, "io"),
];

/// The counters. Relaxed: each is a sum of its own.
#[derive(Debug)]
pub(super) struct Counts {
    requests: AtomicU64,
    in_flight: AtomicU64,
    succeeded: AtomicU64,
    abandoned: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    errors: [AtomicU64; KINDS.len()],
    latency: [AtomicU64; BUCKETS],
}

/// What became of the requests of one operation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OperationSnapshot {
    /// Requests begun.
    pub requests: u64,
    /// Begun and not ended.
    pub in_flight: u64,
    /// Ended well; a `get` once its body was read to the end.
    pub succeeded: u64,
    /// Dropped by the caller before they ended.
    pub abandoned: u64,
    /// Errors by kind; kinds that never came are left out. One delete counts once for each key that
    /// failed, and as succeeded.
    pub errors: BTreeMap<&'static str, u64>,
    /// Bytes of content that arrived.
    pub bytes_in: u64,
    /// Bytes of content that were sent and accepted.
    pub bytes_out: u64,
    /// Time to the answer, of requests that were answered or failed.
    pub latency: Latency,
}

impl OperationSnapshot {
    /// Errors of one kind.
    #[must_use]
    pub fn errors_of(&self, kind: ErrorKind) -> u64 {
        self.errors.get(name(kind)).copied().unwrap_or(0)
    }
}

/// A histogram of times.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Latency {
    /// Entry 0 counts times below 1 µs, entry `n` those from 2^(n-1) µs up to 2^n µs; the last also
    /// all above. Trailing zeros are left out.
    pub log2_micros: Vec<u64>,
}

impl Latency {
    /// Times in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.log2_micros.iter().sum()
    }

    /// A time that `percent` per cent of all stay below: the upper end of a bucket, so up to twice
    /// too long. `None` if nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let count = self.count();
        let wanted = (count * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut below = 0;
        let bucket = self.log2_micros.iter().position(|times| {
            below += times;
            below >= wanted
        })?;
        Some(Duration::from_micros(1 << bucket))
    }
}

impl Default for Counts {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            requests: zero(),
            in_flight: zero(),
            succeeded: zero(),
            abandoned: zero(),
            bytes_in: zero(),
            bytes_out: zero(),
            errors: [const { AtomicU64::new(0) }; KINDS.len()],
            latency: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn name(kind: ErrorKind) -> &'static str {
    KINDS[kind as usize].1
}

impl Counts {
    pub(super) fn add_in(&self, bytes: u64) {
        add(&self.bytes_in, bytes);
    }

    pub(super) fn add_out(&self, bytes: u64) {
        add(&self.bytes_out, bytes);
    }

    pub(super) fn add_error(&self, kind: ErrorKind) {
        add(&self.errors[kind as usize], 1);
    }

    fn add_latency(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        add(&self.latency[bucket.min(BUCKETS - 1)], 1);
    }

    pub(super) fn snapshot(&self) -> OperationSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut log2_micros: Vec<u64> = self.latency.iter().map(read).collect();
        let used = log2_micros.iter().rposition(|&times| times > 0);
        log2_micros.truncate(used.map_or(0, |last| last + 1));
        OperationSnapshot {
            requests: read(&self.requests),
            in_flight: read(&self.in_flight),
            succeeded: read(&self.succeeded),
            abandoned: read(&self.abandoned),
            errors: (KINDS.iter().zip(&self.errors))
                .map(|((_, name), errors)| (*name, read(errors)))
                .filter(|(_, errors)| *errors > 0)
                .collect(),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            latency: Latency { log2_micros },
        }
    }
}

/// A request in flight. Dropping it before it ended counts it as abandoned.
#[derive(Debug)]
pub(super) struct InFlight {
    counts: Arc<Counts>,
    clock: Arc<dyn Clock>,
    began: Instant,
    ended: Ended,
}

#[derive(Debug)]
enum Ended {
    No,
    Yes,
}

impl InFlight {
    pub(super) fn begin(counts: &Arc<Counts>, clock: Arc<dyn Clock>) -> Self {
        add(&counts.requests, 1);
        add(&counts.in_flight, 1);
        Self {
            counts: Arc::clone(counts),
            began: clock.now(),
            clock,
            ended: Ended::No,
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The answer is there; the body is yet to come.
    pub(super) fn answered(&mut self) {
        let now = self.clock.now();
        self.counts.add_latency(now.saturating_since(self.began));
    }

    /// It ended well.
    pub(super) fn succeeded(mut self) {
        add(&self.counts.succeeded, 1);
        self.ended = Ended::Yes;
    }

    /// It failed without an answer.
    pub(super) fn failed(mut self, kind: ErrorKind) {
        self.answered();
        self.broke(kind);
    }

    /// It failed after the answer.
    pub(super) fn broke(mut self, kind: ErrorKind) {
        self.counts.add_error(kind);
        self.ended = Ended::Yes;
    }

    /// It ended as `result` tells.
    pub(super) fn end<T>(mut self, result: &Result<T>) {
        match result {
            Ok(_) => {
                self.answered();
                self.succeeded();
            }
            Err(error) => self.failed(error.kind()),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        if matches!(self.ended, Ended::No) {
            add(&self.counts.abandoned, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_place() {
        for (index, (kind, _)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{kind}");
        }
        let names: std::collections::BTreeSet<_> = KINDS.iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), KINDS.len());
    }

    #[test]
    fn times_fall_into_buckets_of_powers_of_two() {
        let counts = Counts::default();
        for micros in [0, 1, 2, 3, 4, 1 << 31, u64::MAX / 2000] {
            counts.add_latency(Duration::from_micros(micros));
        }
        let latency = counts.snapshot().latency;
        assert_eq!(latency.log2_micros[..4], [1, 1, 2, 1]);
        assert_eq!(latency.log2_micros[BUCKETS - 1], 2);
        assert_eq!(latency.count(), 7);
        assert_eq!(latency.percentile(50), Some(Duration::from_micros(4)));
        assert_eq!(latency.percentile(0), Some(Duration::from_micros(1)));
        assert_eq!(Latency::default().percentile(50), None);
    }
}
