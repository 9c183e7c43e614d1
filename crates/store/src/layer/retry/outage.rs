//! [`Outage`]: since when nothing has answered, whatever was asked.
//!
//! A call on a filesystem is several questions of the kernel, and those in one folder wait for each other. Where there is
//! no way to the store at all, and that has been so for as long as a request is tried, trying each of them as long
//! again helps nobody, and adds up to minutes for a program (a mount of which five programs called in one folder had calls of 14
//! minutes during an hour without a network, before this was there). Each is still tried once: that finds out when the way
//! is back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudmount_vfs::Instant;

use crate::ErrorKind;

/// Since when nothing has answered.
#[derive(Debug)]
pub(super) struct Outage {
    /// One more than the microseconds of the steady clock; 0: something has answered last.
    since: AtomicU64,
}

impl Outage {
    pub(super) const fn new() -> Self {
        Self {
            since: AtomicU64::new(0),
        }
    }

    /// Something has answered, if only to refuse.
    pub(super) fn answered(&self) {
        // Most often it is so already: no cache line is taken from others then.
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// A try failed so at `now`: for how long nothing has answered.
    pub(super) fn failed(&self, kind: ErrorKind, now: Instant) -> Duration {
        if !matches!(kind, ErrorKind::Connection | ErrorKind::TimedOut) {
            self.answered();
            return Duration::ZERO;
        }
        let now = now.saturating_since(Instant::from_start(Duration::ZERO));
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX - 1) + 1;
        let began = (self.since)
            .compare_exchange(0, micros, Ordering::Relaxed, Ordering::Relaxed)
            .unwrap_or_else(|since| since);
        match began {
            0 => Duration::ZERO,
            since => Duration::from_micros(micros.saturating_sub(since)),
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
    fn it_lasts_from_the_first_failure_to_the_first_answer() {
        let outage = Outage::new();
        let secs = |kind, now| outage.failed(kind, at(now)).as_secs();
        assert_eq!(secs(ErrorKind::Connection, 0), 0, "also at the very start");
        assert_eq!(secs(ErrorKind::TimedOut, 7), 7);
        assert_eq!(secs(ErrorKind::Connection, 3), 3, "told late");
        for answer in [
            ErrorKind::Server,
            ErrorKind::Throttled,
            ErrorKind::NotFound,
            ErrorKind::Forbidden,
        ] {
            assert_eq!(secs(answer, 50), 0, "{answer}: a refusal is an answer");
            assert_eq!(secs(ErrorKind::Connection, 60), 0);
            assert_eq!(secs(ErrorKind::Connection, 65), 5);
        }
        outage.answered();
        assert_eq!(secs(ErrorKind::Connection, 100), 0);
        assert_eq!(
            outage.failed(ErrorKind::Connection, Instant::from_start(Duration::MAX)),
            Duration::from_micros(u64::MAX - 1 - 100_000_000)
        );
    }
}
