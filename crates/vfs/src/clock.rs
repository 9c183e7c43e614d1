//! Time, as a value that is passed in. Tests own it: see `cloudmount_testkit::ManualClock`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::Timestamp;

/// A boxed future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time since some fixed point, never going back. Only differences mean anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(Duration);

impl Instant {
    /// `since` after the fixed point.
    #[must_use]
    pub const fn from_start(since: Duration) -> Self {
        Self(since)
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// The wall clock, the steady clock, and waiting.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock: for timestamps of files only, it may jump.
    fn wall(&self) -> Timestamp;

    /// The steady clock: for TTLs, deadlines and back-off.
    fn now(&self) -> Instant;

    /// Completes once `duration` of the steady clock has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clocks. Its `sleep` needs a tokio runtime with a timer.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts the steady clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the machine's time comes in"
    )]
    pub fn new() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is where the machine's time comes in"
)]
impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        std::time::SystemTime::now().into()
    }

    fn now(&self) -> Instant {
        Instant(self.start.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
