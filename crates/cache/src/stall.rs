//! When a request has stalled, as a pure function of how long others took.
//!
//! A request *stalls* when it brings nothing for several times as long as nearly all others took to bring their
//! first byte, or when it has taken several times as long as it should with the rate of the others. What to do
//! about it is bounded, too: so many requests in all are asked again, and so many at once.
//!
//! # Laws
//!
//! - Before enough requests were heard of, nothing but a silence of [`UNHEARD`] is a stall.
//! - No silence below [`SILENCE_MIN`] is one, and no request below [`WHOLE_MIN`] is slow: what a machine that is
//!   busy, or a single lost packet, makes of good requests.
//! - Of so many requests, at most one in [`EXTRA_ONE_IN`] is asked again, and [`EXTRA_AT_ONCE`] more: a change of the
//!   network silences all connections at once, before many requests were made.

use std::time::Duration;

/// Requests that are remembered: as many as are under way at most, so that one window counts whole.
const HEARD_MAX: usize = 64;

/// Fewer say nothing of the slowest of twenty.
const HEARD_MIN: usize = 16;

/// How many times the usual is a stall.
const TIMES: u32 = 4;

/// A silence below this is none: a lost packet is sent again within 200 ms (Linux, `TCP_RTO_MIN`).
pub(crate) const SILENCE_MIN: Duration = Duration::from_millis(250);

/// A silence of this is one while nothing is known: a first byte comes within a second from anywhere.
pub(crate) const UNHEARD: Duration = Duration::from_secs(2);

/// No request that took less is slow, whatever the rate of others.
pub(crate) const WHOLE_MIN: Duration = Duration::from_secs(1);

/// Rates are known of requests of so many bytes: smaller ones come in one piece.
const RATED_BYTES: u64 = 256 * 1024;

/// Of so many requests one may be asked again.
pub(crate) const EXTRA_ONE_IN: u64 = 20;

/// Requests that are asked again at once: when more stall, it is the store or the line, and more requests help
/// neither.
pub(crate) const EXTRA_AT_ONCE: u64 = 4;

/// How long a request that was answered took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Heard {
    /// Until its first byte.
    pub(crate) first: Duration,
    /// From then to its last.
    pub(crate) rest: Duration,
    /// Its bytes.
    pub(crate) bytes: u64,
}

/// How long is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Patience {
    /// Without a byte.
    pub(crate) silence: Duration,
    /// The usual time of a mebibyte, without that of the first byte; zero while it is not known.
    pub(crate) mebibyte: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: UNHEARD,
            mebibyte: Duration::ZERO,
        }
    }
}

impl Patience {
    /// How long a request for so many bytes may take in all. `None` while nobody knows.
    pub(crate) fn whole(&self, bytes: u64) -> Option<Duration> {
        if self.mebibyte.is_zero() {
            return None;
        }
        let nanos = self.mebibyte.as_nanos() * u128::from(bytes) / (1 << 20);
        let transfer = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(
            self.silence
                .saturating_add(transfer.saturating_mul(TIMES))
                .max(WHOLE_MIN),
        )
    }
}

/// The last values of something.
#[derive(Clone, Debug)]
struct Last {
    values: [Duration; HEARD_MAX],
    next: usize,
    count: usize,
}

impl Default for Last {
    fn default() -> Self {
        Self {
            values: [Duration::ZERO; HEARD_MAX],
            next: 0,
            count: 0,
        }
    }
}

impl Last {
    fn add(&mut self, value: Duration) {
        self.values[self.next] = value;
        self.next = (self.next + 1) % HEARD_MAX;
        self.count = (self.count + 1).min(HEARD_MAX);
    }

    /// What so many in a hundred do not exceed; `None` of too few.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        if self.count < HEARD_MIN {
            return None;
        }
        let mut sorted = self.values;
        let sorted = &mut sorted[..self.count];
        sorted.sort_unstable();
        Some(sorted[(self.count * percent / 100).min(self.count - 1)])
    }
}

/// What was heard of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    firsts: Last,
    mebibytes: Last,
}

impl Ear {
    /// A request was answered whole. Says how patient to be from now on.
    pub(crate) fn heard(&mut self, heard: Heard) -> Patience {
        self.firsts.add(heard.first);
        if heard.bytes >= RATED_BYTES {
            let nanos = heard.rest.as_nanos() * (1 << 20) / u128::from(heard.bytes);
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.mebibytes.add(Duration::from_nanos(nanos));
        }
        let usual = self.firsts.percentile(95);
        let silence = usual.map_or(UNHEARD, |usual| usual.saturating_mul(TIMES));
        Patience {
            silence: silence.max(SILENCE_MIN),
            mebibyte: self.mebibytes.percentile(50).unwrap_or_default(),
        }
    }
}

/// Whether one more of `requests` may be asked again, of which `extra` were, and `at_once` are now.
pub(crate) const fn may_ask_again(requests: u64, extra: u64, at_once: u64) -> bool {
    extra < requests / EXTRA_ONE_IN + EXTRA_AT_ONCE && at_once < EXTRA_AT_ONCE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn after(firsts: impl IntoIterator<Item = u64>, rest: u64, bytes: u64) -> Patience {
        let mut ear = Ear::default();
        let mut patience = Patience::default();
        for first in firsts {
            let heard = Heard {
                first: ms(first),
                rest: ms(rest),
                bytes,
            };
            patience = ear.heard(heard);
        }
        patience
    }

    #[test]
    fn patience_follows_the_slowest_of_twenty() {
        assert_eq!(after([20; 15], 0, 1).silence, UNHEARD, "too few");
        assert_eq!(after([20; 30], 0, 1).silence, SILENCE_MIN);
        assert_eq!(after([200; 30], 0, 1).silence, ms(800));
        let some = (0..64).map(|number| if number % 10 == 0 { 500 } else { 20 });
        assert_eq!(after(some, 0, 1).silence, ms(2000), "one in ten is usual");
        let few = (0..64).map(|number| if number == 30 { 60_000 } else { 100 });
        assert_eq!(after(few, 0, 1).silence, ms(400), "one in sixty is not");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let firsts = [5000; 64].into_iter().chain([100; 64]);
        assert_eq!(after(firsts, 0, 1).silence, ms(400));
    }

    #[test]
    fn a_request_is_slow_beside_others_of_its_size() {
        assert_eq!(
            after([20; 30], 0, 4096).whole(8 << 20),
            None,
            "none had a rate"
        );
        let patience = after([100; 30], 100, 1 << 20);
        assert_eq!(patience.whole(8 << 20), Some(ms(400 + 4 * 800)));
        assert_eq!(patience.whole(4096), Some(WHOLE_MIN));
    }

    #[test]
    fn one_in_twenty_is_asked_again_and_a_few_more() {
        assert!(may_ask_again(1, 3, 0));
        assert!(!may_ask_again(19, 4, 0));
        assert!(may_ask_again(20, 4, 3));
        assert!(!may_ask_again(2000, 4, EXTRA_AT_ONCE));
    }

    proptest! {
        /// Whatever is heard, the patience lies within its bounds.
        #[test]
        fn patience_is_bounded(
            heard in prop::collection::vec((0_u64..100_000, 0_u64..100_000, 1_u64..1 << 30), 1..200),
        ) {
            let mut ear = Ear::default();
            for (first, rest, bytes) in heard {
                let patience = ear.heard(Heard { first: ms(first), rest: ms(rest), bytes });
                prop_assert!(patience.silence >= SILENCE_MIN);
                prop_assert!(patience.silence <= ms(400_000));
                prop_assert!(patience.whole(bytes).is_none_or(|whole| whole >= WHOLE_MIN));
            }
        }
    }
}
