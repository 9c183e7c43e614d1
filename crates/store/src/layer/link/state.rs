//! When a store counts as online, degraded or offline: a pure function of what its requests met.

use std::collections::VecDeque;
use std::time::Duration;

use cloudmount_vfs::Instant;
use serde::Serialize;

use crate::ErrorKind;

/// So many requests in a row without any answer make a store [offline](LinkState::Offline): one connection that breaks is
/// no news, and the pool may lose two at once.
const UNANSWERED: usize = 3;

/// Since the first of them began, so long nothing was answered: below that it is a restart of a load balancer, and who waits does
/// not notice.
const OFFLINE_AFTER: Duration = Duration::from_secs(2);

/// After so long without an answer one request is enough: a server that takes connections and says nothing is found by the
/// limit of the request.
const SILENT_AFTER: Duration = Duration::from_secs(20);

/// So many requests that fail within [`WINDOW`] make a store [degraded](LinkState::Degraded).
const FAILURES: usize = 3;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(30);

/// How the way to a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Requests are answered.
    #[default]
    Online,
    /// Some are, and some fail, for reasons that are not those of single objects: the store is busy or failing, connections
    /// break, or it refuses the credentials.
    Degraded,
    /// None is answered.
    Offline,
}

/// What a request met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Met {
    /// An answer, if only that there is no such object.
    Answer,
    /// An answer which says that the store is not well, does not know who asks, or has no such bucket.
    Trouble,
    /// None.
    Silence,
}

impl Met {
    pub(super) const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Connection | ErrorKind::TimedOut => Self::Silence,
            ErrorKind::Throttled
            | ErrorKind::Server
            | ErrorKind::Unauthorized
            | ErrorKind::NoBucket => Self::Trouble,
            ErrorKind::NotFound
            | ErrorKind::Precondition
            | ErrorKind::Range
            | ErrorKind::InvalidRequest
            | ErrorKind::Forbidden
            | ErrorKind::Unsupported
            | ErrorKind::Archived
            | ErrorKind::TooLarge
            | ErrorKind::Quota
            | ErrorKind::Io => Self::Answer,
        }
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Machine {
    state: LinkState,
    /// When the last requests failed: [`FAILURES`] at most.
    failures: VecDeque<Instant>,
    /// When the first request began that was not answered, of those after the last answer; and how many there are.
    silent: Option<(Instant, usize)>,
}

impl Machine {
    pub(super) const fn state(&self) -> LinkState {
        self.state
    }

    /// A request that `began` then has `met` that, `now`.
    pub(super) fn heard(&mut self, began: Instant, now: Instant, met: Met) -> LinkState {
        match met {
            Met::Answer => {
                self.silent = None;
                if self.state == LinkState::Offline {
                    // What failed until then is explained.
                    self.failures.clear();
                    self.state = LinkState::Online;
                }
            }
            Met::Trouble => {
                self.silent = None;
                self.failed(now);
                if self.state == LinkState::Offline {
                    self.state = LinkState::Degraded;
                }
            }
            Met::Silence => {
                self.failed(now);
                let (first, count) = self.silent.unwrap_or((began, 0));
                self.silent = Some((first, count + 1));
                let since = now.saturating_since(first);
                let is_over = since >= OFFLINE_AFTER && count + 1 >= UNANSWERED;
                if is_over || since >= SILENT_AFTER {
                    self.state = LinkState::Offline;
                }
            }
        }
        self.look(now)
    }

    /// The state `now`, when nothing was heard since.
    pub(super) fn look(&mut self, now: Instant) -> LinkState {
        let counts = |at: &Instant| now.saturating_since(*at) < WINDOW;
        self.failures.retain(counts);
        match self.state {
            LinkState::Online if self.failures.len() >= FAILURES => {
                self.state = LinkState::Degraded;
            }
            LinkState::Degraded if self.failures.is_empty() => self.state = LinkState::Online,
            _ => {}
        }
        self.state
    }

    fn failed(&mut self, now: Instant) {
        self.failures.push_back(now);
        if self.failures.len() > FAILURES {
            self.failures.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `began-ended met` in milliseconds; gives the state after each, in short.
    fn play(events: &[(u64, u64, Met)]) -> String {
        let at = |millis| Instant::from_start(Duration::from_millis(millis));
        let mut machine = Machine::default();
        let shown = |state| match state {
            LinkState::Online => 'o',
            LinkState::Degraded => 'd',
            LinkState::Offline => '-',
        };
        let state = |&(began, now, met): &(u64, u64, Met)| machine.heard(at(began), at(now), met);
        events.iter().map(state).map(shown).collect()
    }

    #[test]
    fn states_follow_what_requests_meet() {
        use Met::{Answer, Silence, Trouble};
        for (name, events, expected) in [
            (
                "single failures are no news",
                &[(0, 10, Silence), (20, 30, Trouble), (40, 50, Answer)][..],
                "ooo",
            ),
            (
                "a server that refuses connections",
                &[
                    (0, 1, Silence),
                    (100, 101, Silence),
                    (300, 301, Silence),
                    (2_100, 2_101, Silence),
                    (9_000, 9_010, Answer),
                    (9_100, 9_110, Answer),
                ],
                "ood-oo",
            ),
            (
                "a server that says nothing",
                &[(0, 30_000, Silence), (30_100, 30_110, Answer)],
                "-o",
            ),
            (
                "a server that was away and comes back failing",
                &[
                    (0, 30_000, Silence),
                    (30_100, 30_110, Trouble),
                    (40_000, 40_010, Answer),
                    (60_200, 60_210, Answer),
                ],
                "-ddo",
            ),
            (
                "some fail and some do not",
                &[
                    (0, 10, Trouble),
                    (20, 30, Answer),
                    (40, 50, Trouble),
                    (60, 70, Answer),
                    (80, 90, Trouble),
                    (100, 110, Answer),
                    (30_000, 30_050, Answer),
                    (30_080, 30_091, Answer),
                ],
                "oooodddo",
            ),
            (
                "an answer between begins the count anew",
                &[
                    (0, 10, Silence),
                    (0, 3_000, Silence),
                    (3_000, 3_010, Answer),
                    (3_100, 3_110, Silence),
                ],
                "oood",
            ),
        ] {
            assert_eq!(play(events), expected, "{name}");
        }
    }

    #[test]
    fn refusals_of_single_objects_are_answers() {
        for kind in [ErrorKind::NotFound, ErrorKind::Forbidden, ErrorKind::Quota] {
            assert_eq!(Met::of(kind), Met::Answer, "{kind}");
        }
        assert_eq!(Met::of(ErrorKind::Unauthorized), Met::Trouble);
        assert_eq!(Met::of(ErrorKind::TimedOut), Met::Silence);
    }
}
