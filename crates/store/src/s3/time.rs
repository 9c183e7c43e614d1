//! The server's clock, as its answers tell it.
//!
//! Laws: a request that was refused because this machine's clock is wrong is signed once more, by the
//! server's; what happened there is dated by a time that no jump of this machine's clock moves.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::{Clock, Instant, Timestamp};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::headers;

/// By so much the clocks may differ before requests are signed by the server's: 5 minutes, a third of
/// what S3 takes ("Error responses", `RequestTimeTooSkewed`).
const TOLERATED: Duration = Duration::from_secs(300);

/// The server's clock.
#[derive(Debug)]
pub(super) struct ServerTime {
    clock: Arc<dyn Clock>,
    heard: Mutex<Option<Heard>>,
}

/// The last answer that told a time, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Heard {
    server: i64,
    wall: i64,
    at: Instant,
}

impl ServerTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            heard: Mutex::default(),
        }
    }

    /// Takes in the `Date` of an answer.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        if let Some(date) = headers::date(headers) {
            *self.heard.lock() = Some(Heard {
                server: date.secs(),
                wall: self.clock.wall().secs(),
                at: self.clock.now(),
            });
        }
    }

    /// What to date a signature with: this machine's time, corrected if it was heard to be far off.
    pub(super) fn to_sign(&self) -> Timestamp {
        let wall = self.clock.wall();
        let ahead = (*self.heard.lock()).map_or(0, |heard| heard.server.saturating_sub(heard.wall));
        if ahead.unsigned_abs() <= TOLERATED.as_secs() {
            return wall;
        }
        Timestamp::new(wall.secs().saturating_add(ahead), wall.nanos())
    }

    /// Whether a request that was `signed` then may have been refused for that, and another one will not.
    pub(super) fn is_corrected(&self, signed: Timestamp, status: StatusCode) -> bool {
        let apart = signed.secs().abs_diff(self.to_sign().secs());
        status == StatusCode::FORBIDDEN && apart > TOLERATED.as_secs()
    }

    /// The server's time, counted on from what was heard last; before that, this machine's.
    pub(super) fn now(&self) -> Timestamp {
        let Some(heard) = *self.heard.lock() else {
            return self.clock.wall();
        };
        let since = self.clock.now().saturating_since(heard.at);
        let secs = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Timestamp::new(heard.server.saturating_add(secs), since.subsec_nanos())
    }
}
