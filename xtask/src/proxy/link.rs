//! How slow a link is: a round trip, and bytes a second, of each connection and of all together.
//!
//! Law: never more than [`BURST`] goes faster than the limit, and over a long time exactly the limit goes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::time::{now, pause};

/// What may go at once after a rest, in bytes. It also makes good for sleeps that were too long.
const BURST: u64 = 64 << 10;
/// A limited link passes bytes in pieces of what it passes in a five-hundredth of a second, so that they flow and
/// do not hop, within these bounds: each piece costs the machine a sleep and two calls, and what the proxy takes of
/// the processor is not there for what is measured.
const PIECES_PER_SECOND: u64 = 500;
const PIECE_MIN: u64 = 16 << 10;
const PIECE_MAX: u64 = 256 << 10;

/// The shape of a link. What is `None` is not limited; rates are in bytes a second, at least 1, and hold for
/// each direction by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Added to each answer, and to each new connection.
    pub(crate) round_trip: Duration,
    /// Of one connection.
    pub(crate) per_connection: Option<u64>,
    /// Of all connections together.
    pub(crate) in_total: Option<u64>,
}

impl Link {
    /// Whether bytes are limited at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.per_connection.is_some() || self.in_total.is_some()
    }
}

/// A link at work, shared by all connections.
#[derive(Debug)]
pub(super) struct Shaper {
    link: Link,
    up: Option<Bucket>,
    down: Option<Bucket>,
}

/// One connection's part of a link.
#[derive(Debug)]
pub(super) struct Lane {
    up: Option<Bucket>,
    down: Option<Bucket>,
}

/// Which way bytes go: `Up` to the server, `Down` to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Shaper {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            up: link.in_total.map(Bucket::new),
            down: link.in_total.map(Bucket::new),
        }
    }

    /// A new connection's lane.
    pub(super) fn lane(&self) -> Lane {
        Lane {
            up: self.link.per_connection.map(Bucket::new),
            down: self.link.per_connection.map(Bucket::new),
        }
    }

    /// Lets a round trip pass.
    pub(super) fn round_trip(&self) {
        if !self.link.round_trip.is_zero() {
            pause(self.link.round_trip);
        }
    }

    /// How many bytes are passed on at once, of `most` that could be.
    pub(super) fn piece(&self, most: usize) -> usize {
        let rates = [self.link.per_connection, self.link.in_total];
        let Some(rate) = rates.into_iter().flatten().min() else {
            return most;
        };
        let piece = (rate / PIECES_PER_SECOND).clamp(PIECE_MIN, PIECE_MAX);
        most.min(usize::try_from(piece).unwrap_or(most))
    }

    /// Waits until `bytes` may have passed on this lane of the link.
    pub(super) fn pass(&self, lane: &Lane, way: Way, bytes: usize) {
        let (own, all) = match way {
            Way::Up => (&lane.up, &self.up),
            Way::Down => (&lane.down, &self.down),
        };
        let start = now();
        let until = [own, all]
            .into_iter()
            .flatten()
            .map(|bucket| bucket.take(bytes as u64, start))
            .max();
        if let Some(rest) = until.and_then(|until| until.checked_duration_since(now())) {
            pause(rest);
        }
    }
}

/// A token bucket, kept as the moment at which all that was taken will have passed.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    passed_at: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            passed_at: Mutex::new(None),
        }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The moment until which who sends `bytes` has to wait.
    fn take(&self, bytes: u64, now: Instant) -> Instant {
        let mut passed_at = self
            .passed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let rested = now.checked_sub(self.time_of(BURST)).unwrap_or(now);
        let from = passed_at.map_or(rested, |passed| passed.max(rested));
        let until = from + self.time_of(bytes);
        *passed_at = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_keeps_its_rate_and_forgives_one_burst() {
        let bucket = Bucket::new(1 << 20);
        let start = now();
        let mut until = start;
        for _ in 0..64 {
            until = bucket.take(64 << 10, start);
        }
        // Four MiB at one a second, less the burst.
        assert_eq!(until - start, Duration::from_micros(3_937_500));
        // A long rest saves up no more than a burst.
        let later = start + Duration::from_secs(100);
        assert_eq!(bucket.take(BURST, later), later);
        assert_eq!(bucket.take(1 << 20, later), later + Duration::from_secs(1));
    }

    #[test]
    fn the_slower_limit_counts() {
        let shaper = Shaper::new(Link {
            per_connection: Some(4 << 20),
            in_total: Some(1 << 20),
            ..Link::default()
        });
        let (one, other) = (shaper.lane(), shaper.lane());
        let start = now();
        for lane in [&one, &other] {
            for _ in 0..16 {
                shaper.pass(lane, Way::Up, 16 << 10);
            }
        }
        // Half a MiB in total, less the burst; of one connection alone it would be a quarter of that.
        assert!(start.elapsed() >= Duration::from_millis(430));
        let start = now();
        shaper.pass(&one, Way::Down, 16 << 10);
        assert!(
            start.elapsed() < Duration::from_millis(400),
            "the other way is free"
        );
    }
}
