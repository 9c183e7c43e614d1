//! [`Patience`]: how long a server may be silent before it answers, because it has work to do.
//!
//! *Invariant:* this file knows no kind of request; who sends one says what work it is.

use std::time::Duration;

use super::client::STALL_LIMIT;

/// How long a server may work at most, whatever it was asked: a copy of 5 GiB, the largest that S3 takes in one request, at
/// 10 MB/s takes 9 minutes, and S3 says of the end of an upload that it "can take several minutes".
const WORK_LIMIT: Duration = Duration::from_secs(600);

/// How long to wait for an answer, once the request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// The server answers from what it has: [`STALL_LIMIT`], and more after a body.
    Answer,
    /// The server copies, joins or removes first: so long without a word, and as long in all while it sends its answer bit by
    /// bit, as S3 sends white space while it joins parts.
    Work(Duration),
}

impl Patience {
    /// For an answer that takes the server so much longer than others do.
    pub(crate) fn work(longer: Duration) -> Self {
        Self::Work(STALL_LIMIT.saturating_add(longer).min(WORK_LIMIT))
    }

    /// For an answer that takes the server nobody knows how much longer.
    pub(crate) const fn much_work() -> Self {
        Self::Work(WORK_LIMIT)
    }

    /// How long to wait for the first byte, where others would be waited for so long.
    pub(super) fn first_byte(self, otherwise: Duration) -> Duration {
        match self {
            Self::Answer => otherwise,
            Self::Work(limit) => limit.max(otherwise),
        }
    }

    /// How long to wait in all for an answer that has begun, besides the time that its bytes take.
    pub(super) const fn in_all(self) -> Duration {
        match self {
            Self::Answer => STALL_LIMIT,
            Self::Work(limit) => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_waited_for_as_long_as_it_takes_and_no_longer_than_ten_minutes() {
        let secs = |secs| Duration::from_secs(secs);
        for (longer, limit) in [
            (Duration::ZERO, 30),
            (secs(5), 35),
            (secs(569), 599),
            (secs(571), 600),
            (Duration::MAX, 600),
        ] {
            let patience = Patience::work(longer);
            assert_eq!(patience.first_byte(secs(30)), secs(limit), "{longer:?}");
            assert_eq!(patience.in_all(), secs(limit), "{longer:?}");
        }
        // A long body may take longer to arrive than the work.
        assert_eq!(
            Patience::work(Duration::ZERO).first_byte(secs(90)),
            secs(90)
        );
        assert_eq!(Patience::Answer.first_byte(secs(90)), secs(90));
        assert_eq!(Patience::Answer.in_all(), secs(30));
        assert_eq!(Patience::much_work().in_all(), secs(600));
    }
}
