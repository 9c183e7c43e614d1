//! How long to wait before the next try: a pure decision, but for the jitter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudmount_vfs::Instant;

use super::RetrySettings;
use super::budget::Budget;
use super::outage::Outage;
use crate::layer::rng::Rng;
use crate::{Error, ErrorKind};

/// The settings and their source of jitter.
#[derive(Debug)]
pub(super) struct Policy {
    settings: RetrySettings,
    rng: Rng,
    budget: Budget,
    outage: Outage,
    /// Tries that failed because the store was too busy.
    pushbacks: AtomicU64,
}

impl Policy {
    pub(super) const fn new(settings: RetrySettings) -> Self {
        let rng = Rng::new(settings.seed);
        Self {
            settings,
            rng,
            budget: Budget::new(settings.again_at_once, settings.again_per_second),
            outage: Outage::new(),
            pushbacks: AtomicU64::new(0),
        }
    }

    /// Tries that failed because the store was too busy.
    pub(super) fn pushbacks(&self) -> u64 {
        self.pushbacks.load(Ordering::Relaxed)
    }

    pub(super) const fn settings(&self) -> &RetrySettings {
        &self.settings
    }

    /// A first try begins `now`.
    pub(super) const fn start(&self, now: Instant) -> Backoff<'_> {
        Backoff {
            policy: self,
            count: Count {
                began: now,
                failed: 0,
            },
        }
    }

    /// A try worked, the one after so many that failed.
    pub(super) fn worked(&self, count: &Count) {
        self.outage.answered();
        match count.failed {
            0 => self.budget.worked(),
            _ => self.budget.worked_again(),
        }
    }

    /// Somebody else has seen an answer.
    pub(super) fn outage_is_over(&self) {
        self.outage.answered();
    }

    /// How long to wait after a try failed with `error` at `now`; `None`: give up.
    pub(super) fn wait(&self, count: &mut Count, error: &Error, now: Instant) -> Option<Duration> {
        if is_pushback(error) {
            self.pushbacks.fetch_add(1, Ordering::Relaxed);
        }
        let away = self.outage.failed(error.kind(), now);
        if !error.kind().is_transient() {
            return None;
        }
        let total = match away >= self.settings.total {
            true => self.settings.total_while_away.min(self.settings.total),
            false => self.settings.total,
        };
        count.failed += 1;
        if count.failed >= self.settings.tries {
            return None;
        }
        // 2^31 of any wait that matters is beyond the longest.
        let doubled = 1_u32 << (count.failed - 1).min(31);
        let most = (self.settings.first_wait)
            .saturating_mul(doubled)
            .min(self.settings.longest_wait);
        let wait = (self.rng.up_to(most)).max(error.retry_after().unwrap_or_default());
        let left = total.checked_sub(now.saturating_since(count.began))?;
        if wait > left {
            return None;
        }
        let turn = self.budget.take(now, left)?;
        Some(wait.max(turn))
    }
}

/// Whether `error` says that the store was too busy. One that failed says so only by telling how long to
/// wait: fewer requests would fail as often.
fn is_pushback(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Throttled | ErrorKind::TimedOut)
        || error.retry_after().is_some()
}

/// How often something failed, and since when.
#[derive(Debug)]
pub(super) struct Count {
    began: Instant,
    failed: u32,
}

impl Count {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            failed: 0,
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Backoff<'a> {
    policy: &'a Policy,
    count: Count,
}

impl Backoff<'_> {
    /// As [`Policy::wait`].
    pub(super) fn wait(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        self.policy.wait(&mut self.count, error, now)
    }

    /// As [`Policy::worked`].
    pub(super) fn worked(&self) {
        self.policy.worked(&self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn at(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    fn policy(seed: u64) -> Policy {
        Policy::new(RetrySettings {
            tries: 5,
            total: Duration::from_secs(10),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(300),
            seed,
            ..RetrySettings::default()
        })
    }

    fn waits(policy: &Policy, error: &Error) -> Vec<Duration> {
        let mut backoff = policy.start(at(0));
        std::iter::from_fn(|| backoff.wait(error, at(0))).collect()
    }

    #[test]
    fn upper_ends_double_up_to_the_longest() {
        let error = Error::new(ErrorKind::Server, "x");
        let most = [100, 200, 300, 300].map(Duration::from_millis);
        let mut seen = [Duration::ZERO; 4];
        for seed in 0..200 {
            let waits = waits(&policy(seed), &error);
            assert_eq!(waits.len(), 4, "five tries have four waits between them");
            for (index, wait) in waits.into_iter().enumerate() {
                assert!(wait <= most[index], "wait {index}: {wait:?}");
                seen[index] = seen[index].max(wait);
            }
        }
        for (seen, most) in seen.into_iter().zip(most) {
            assert!(
                seen > most.mul_f64(0.9),
                "jitter is full: {seen:?} of {most:?}"
            );
        }
    }

    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        let error = Error::new(ErrorKind::Connection, "x");
        assert_eq!(waits(&policy(1), &error), waits(&policy(1), &error));
        assert_ne!(waits(&policy(1), &error), waits(&policy(2), &error));
    }

    #[test]
    fn the_server_is_obeyed() {
        let asked = Duration::from_secs(3);
        let error = Error::new(ErrorKind::Throttled, "x").with_retry_after(Some(asked));
        let waits = waits(&policy(1), &error);
        assert_eq!(waits, [asked; 4]);
    }

    #[test]
    fn time_runs_out() {
        let asked = Duration::from_secs(3);
        let error = Error::new(ErrorKind::Throttled, "x").with_retry_after(Some(asked));
        let policy = policy(1);
        let mut backoff = policy.start(at(0));
        assert_eq!(backoff.wait(&error, at(7_000)), Some(asked));
        assert_eq!(backoff.wait(&error, at(7_001)), None);
    }

    #[test]
    fn nothing_is_tried_for_long_while_nothing_has_answered_for_long() {
        let lost = Error::new(ErrorKind::Connection, "x");
        let policy = Policy::new(RetrySettings {
            total_while_away: Duration::from_secs(2),
            ..*policy(1).settings()
        });
        let is_tried = |began, failed| policy.start(at(began)).wait(&lost, at(failed)).is_some();
        assert!(is_tried(0, 1_000));
        // The outage began at 1 s.
        assert!(is_tried(6_000, 10_500));
        assert!(!is_tried(7_000, 11_500));
        assert!(is_tried(11_500, 12_000), "for a moment");
        policy.start(at(12_000)).worked();
        assert!(is_tried(12_000, 17_000), "something has answered");
        assert!(!is_tried(22_000, 27_000));
        policy.outage_is_over();
        assert!(is_tried(22_000, 27_000), "somebody else has seen that");
    }

    #[test]
    fn lasting_errors_are_final() {
        let kinds = [
            ErrorKind::NotFound,
            ErrorKind::Precondition,
            ErrorKind::Forbidden,
            ErrorKind::Io,
        ];
        for kind in kinds {
            assert!(
                waits(&policy(1), &Error::new(kind, "x")).is_empty(),
                "{kind}"
            );
        }
    }
}
