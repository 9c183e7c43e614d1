//! How fast bytes went in the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// How often it is looked: seldom enough to cost nothing.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// Looks that are remembered: ten seconds, so that one large part does not look like a burst.
const LOOKS: usize = 3;

/// Counts at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// The last looks.
#[derive(Debug, Default)]
pub(crate) struct Rate(VecDeque<(Duration, Counts)>);

/// What is shown of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Throughput {
    /// Over so many seconds.
    pub(crate) seconds: u64,
    /// Bytes that came from the bucket, per second.
    pub(crate) bytes_in: u64,
    /// Bytes that went there, per second.
    pub(crate) bytes_out: u64,
}

impl Rate {
    /// Notes what was counted up to a moment.
    pub(crate) fn look(&mut self, at: Duration, counts: Counts) {
        if self.0.len() == LOOKS {
            self.0.pop_front();
        }
        self.0.push_back((at, counts));
    }

    /// From the first look that is remembered to the last; `None` until there are two.
    pub(crate) fn throughput(&self) -> Option<Throughput> {
        let ((from, first), (to, last)) = (self.0.front()?, self.0.back()?);
        let millis = u64::try_from(to.saturating_sub(*from).as_millis()).ok()?;
        let per_second = |first: u64, last: u64| {
            (last.saturating_sub(first).saturating_mul(1000)).checked_div(millis)
        };
        Some(Throughput {
            seconds: millis.div_ceil(1000),
            bytes_in: per_second(first.bytes_in, last.bytes_in)?,
            bytes_out: per_second(first.bytes_out, last.bytes_out)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_looks_count() {
        let mut rate = Rate::default();
        assert_eq!(rate.throughput(), None);
        let mut look = |second: u64, bytes_out: u64| {
            let counts = Counts {
                bytes_in: 7,
                bytes_out,
            };
            rate.look(Duration::from_secs(second), counts);
            rate.throughput()
        };
        assert_eq!(look(0, 0), None);
        let shown = |seconds, bytes_out| {
            Some(Throughput {
                seconds,
                bytes_in: 0,
                bytes_out,
            })
        };
        assert_eq!(look(5, 1000), shown(5, 200));
        assert_eq!(look(10, 1000), shown(10, 100));
        assert_eq!(look(15, 1000), shown(10, 0));
    }
}
