//! [`Budget`]: how many tries again all requests have between them.
//!
//! Back-off spreads the tries of one request. When a server fails them all at once, those of all requests still come
//! together, in the first seconds most of all, and are what keeps it down (a retry storm). So a try again costs one unit of
//! what all share; what works gives some of it back, as in the standard mode of the AWS SDKs ("Retry behavior" of their
//! reference guide, where a retry costs 5 of 500, a first try that works gives 1 back, a retry that works 5).
//!
//! Laws: nobody fails for want of budget who would not without, but when its turn would come after its time is over; who
//! finds none waits for it, in the order of asking.

use std::time::Duration;

use cloudmount_vfs::Instant;
use parking_lot::Mutex;

/// What a try again costs. A whole number, so that nothing is lost by rounding.
const TRY: i64 = 1_000_000;

/// What a first try that works gives back: a fifth, as with the SDKs.
const WORKED: i64 = TRY / 5;

/// What all requests of a store share.
#[derive(Debug)]
pub(super) struct Budget {
    most: i64,
    per_second: u32,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    /// Below zero where tries are promised that wait for their turn.
    units: i64,
    /// When that was so.
    at: Instant,
}

impl Budget {
    /// `at_once` tries again, and `per_second` more with time; 0 counts as 1.
    pub(super) const fn new(at_once: u32, per_second: u32) -> Self {
        let most = TRY * if at_once == 0 { 1 } else { at_once as i64 };
        let left = Left {
            units: most,
            at: Instant::from_start(Duration::ZERO),
        };
        Self {
            most,
            per_second: if per_second == 0 { 1 } else { per_second },
            left: Mutex::new(left),
        }
    }

    /// Takes a try from it at `now`: how long that has to wait for its turn. `None`: longer than `patience`, and nothing is taken.
    pub(super) fn take(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let mut left = self.left.lock();
        let passed = now.saturating_since(left.at).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        // A unit is a millionth of a try, and a microsecond one of a second.
        let more = passed.saturating_mul(i64::from(self.per_second));
        left.units = left.units.saturating_add(more).min(self.most);
        left.at = now.max(left.at);
        let then = left.units - TRY;
        let micros = then.min(0).unsigned_abs() / u64::from(self.per_second);
        let wait = Duration::from_micros(micros);
        (wait <= patience).then(|| {
            left.units = then;
            wait
        })
    }

    /// A first try worked.
    pub(super) fn worked(&self) {
        self.give(WORKED);
    }

    /// A try again worked: it gives back what it cost.
    pub(super) fn worked_again(&self) {
        self.give(TRY);
    }

    fn give(&self, units: i64) {
        let mut left = self.left.lock();
        left.units = left.units.saturating_add(units).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn at(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn so_many_at_once_then_so_many_a_second() {
        let budget = Budget::new(3, 10);
        let takes = |count: usize, now| {
            let waits = std::iter::repeat_with(|| budget.take(at(now), LONG));
            waits.take(count).collect::<Vec<_>>()
        };
        assert_eq!(takes(3, 0), [millis(0); 3]);
        assert_eq!(takes(3, 0), [millis(100), millis(200), millis(300)]);
        assert_eq!(takes(1, 200), [millis(200)], "in the order of asking");
        // What nobody took is there again, and no more than at first.
        assert_eq!(
            takes(4, 100_000),
            [millis(0), millis(0), millis(0), millis(100)]
        );
    }

    #[test]
    fn nothing_is_taken_by_who_cannot_wait() {
        let budget = Budget::new(1, 1);
        assert_eq!(budget.take(at(0), LONG), millis(0));
        for _ in 0..100 {
            assert_eq!(budget.take(at(0), Duration::from_millis(999)), None);
        }
        assert_eq!(budget.take(at(0), Duration::from_secs(1)), millis(1000));
    }

    #[test]
    fn what_works_gives_back() {
        let budget = Budget::new(2, 1);
        let take = || budget.take(at(0), Duration::ZERO).is_some();
        assert!(take() && take() && !take());
        budget.worked_again();
        assert!(take() && !take());
        for _ in 0..4 {
            budget.worked();
            assert!(!take());
        }
        budget.worked();
        assert!(take() && !take());
        for _ in 0..1000 {
            budget.worked();
        }
        assert!(take() && take() && !take(), "no more than at first");
    }

    #[test]
    fn odd_settings_and_times_are_survived() {
        let budget = Budget::new(0, 0);
        assert_eq!(budget.take(at(5_000), LONG), millis(0));
        assert_eq!(budget.take(at(1_000), LONG), millis(1000), "time goes back");
        let budget = Budget::new(u32::MAX, u32::MAX);
        let end_of_time = Instant::from_start(Duration::MAX);
        assert_eq!(budget.take(end_of_time, LONG), millis(0));
        assert_eq!(budget.take(at(0), LONG), millis(0));
    }
}
