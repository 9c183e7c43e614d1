//! [`ManualClock`]: time that only moves when a test says so.
//!
//! Laws: the steady clock never goes back; sleepers wake in the order of their deadlines, equal
//! deadlines in the order in which they fell asleep; a dropped sleep leaves nothing behind.
//!
//! *Invariant:* it never looks at the machine's clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloudmount_vfs::{BoxFuture, Clock, Instant, Timestamp};
use futures::future::{Either, select};
use parking_lot::Mutex;

/// How often the runtime gets its turn before it counts as having nothing left to do. Each hop
/// between tasks (a channel, a lock, a join) costs a turn; no chain in the workspace is near it.
const TURNS: usize = 64;

/// The wall clock of a new [`ManualClock`]: a time with nanoseconds, so that a store that drops
/// them is found out.
const WALL_AT_START: Timestamp = Timestamp::new(1_750_000_000, 123_456_789);

/// A [`Clock`] that a test moves by hand.
///
/// Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use cloudmount_testkit::ManualClock;
/// use cloudmount_vfs::Clock;
///
/// let clock = ManualClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(clock.now().saturating_since(start), Duration::from_secs(90));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    steady: Duration,
    wall: Timestamp,
    sleepers: BTreeMap<Place, Option<Waker>>,
    asleep_ever: u64,
}

/// A deadline, and a number that keeps equal deadlines in order.
type Place = (Duration, u64);

impl ManualClock {
    /// A clock at 2025-06-15 15:06:40.123456789 UTC, with its steady clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            steady: Duration::ZERO,
            wall: WALL_AT_START,
            sleepers: BTreeMap::new(),
            asleep_ever: 0,
        })))
    }

    /// Moves both clocks on and wakes whoever's time has come. The woken run when the runtime gets
    /// its turn, and then see the time *after* the whole step; see [`pass`](Self::pass).
    pub fn advance(&self, by: Duration) {
        let target = self.0.lock().steady.saturating_add(by);
        while let Some(deadline) = self.next_deadline().filter(|at| *at <= target) {
            self.move_to(deadline);
        }
        self.move_to(target);
    }

    /// Lets time pass: as [`advance`](Self::advance), but stops at each deadline and gives the
    /// runtime its turn, so that periodic work runs as often as it would.
    pub async fn pass(&self, by: Duration) {
        let target = self.0.lock().steady.saturating_add(by);
        turns().await;
        while let Some(deadline) = self.next_deadline().filter(|at| *at <= target) {
            self.move_to(deadline);
            turns().await;
        }
        self.move_to(target);
        turns().await;
    }

    /// Runs `future`, and jumps to the next deadline each time that nobody has anything to do.
    ///
    /// For worlds on one thread: work on other threads is not seen, and time would overtake it.
    /// When nobody sleeps it goes on waiting for `future`.
    pub async fn drive<F: Future>(&self, future: F) -> F::Output {
        let hurry = pin!(async {
            loop {
                turns().await;
                if let Some(deadline) = self.next_deadline() {
                    self.move_to(deadline);
                }
            }
        });
        match select(pin!(future), hurry).await {
            Either::Left((output, _)) => output,
            Either::Right((never, _)) => never,
        }
    }

    /// Sets the wall clock, forwards or backwards; nobody is woken.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.lock().wall = wall;
    }

    /// How many are asleep.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.lock().sleepers.len()
    }

    fn next_deadline(&self) -> Option<Duration> {
        let state = self.0.lock();
        state.sleepers.keys().next().map(|(deadline, _)| *deadline)
    }

    fn move_to(&self, target: Duration) {
        let woken: Vec<_> = {
            let mut state = self.0.lock();
            let by = target.saturating_sub(state.steady);
            state.steady += by;
            state.wall = later(state.wall, by);
            let awake = (state.steady, u64::MAX);
            let rest = state.sleepers.split_off(&awake);
            std::mem::replace(&mut state.sleepers, rest)
                .into_values()
                .collect()
        };
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.0.lock().wall
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.0.lock().steady)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.0.lock();
        let place = (state.steady.saturating_add(duration), state.asleep_ever);
        state.asleep_ever += 1;
        state.sleepers.insert(place, None);
        drop(state);
        Box::pin(Sleep {
            clock: self.clone(),
            place,
        })
    }
}

struct Sleep {
    clock: ManualClock,
    place: Place,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.0.lock();
        if state.steady >= self.place.0 {
            state.sleepers.remove(&self.place);
            return Poll::Ready(());
        }
        state.sleepers.insert(self.place, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.0.lock().sleepers.remove(&self.place);
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let nanos = u64::from(time.nanos()) + u64::from(by.subsec_nanos());
    let secs = time
        .secs()
        .saturating_add_unsigned(by.as_secs() + nanos / 1_000_000_000);
    Timestamp::new(
        secs,
        u32::try_from(nanos % 1_000_000_000).unwrap_or_default(),
    )
}

/// Gives the other tasks of this runtime their turn, several times over.
pub(crate) async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sleeper(clock: &ManualClock, secs: u32, name: u32, order: &Arc<Mutex<Vec<(u32, u64)>>>) {
        let (clock, order) = (clock.clone(), Arc::clone(order));
        let sleep = clock.sleep(SECOND * secs);
        let start = clock.now();
        tokio::spawn(async move {
            sleep.await;
            let at = clock.now().saturating_since(start).as_secs();
            order.lock().push((name, at));
        });
    }

    #[tokio::test]
    async fn sleepers_wake_in_order_and_on_time() {
        let clock = ManualClock::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for (secs, name) in [(3, 1), (1, 2), (3, 3), (9, 4)] {
            sleeper(&clock, secs, name, &order);
        }
        clock.pass(SECOND * 5).await;
        assert_eq!(*order.lock(), [(2, 1), (1, 3), (3, 3)]);
        assert_eq!(clock.sleepers(), 1);
    }

    #[tokio::test]
    async fn advance_wakes_in_order_too() {
        let clock = ManualClock::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for (secs, name) in [(2, 1), (1, 2)] {
            sleeper(&clock, secs, name, &order);
        }
        turns().await;
        clock.advance(SECOND * 2);
        turns().await;
        assert_eq!(*order.lock(), [(2, 2), (1, 2)]);
    }

    #[tokio::test]
    async fn driving_skips_all_waiting() {
        let clock = ManualClock::new();
        let nap = clock.clone();
        let slept = clock
            .drive(async move {
                for _ in 0..3 {
                    nap.sleep(SECOND * 3600).await;
                }
                nap.now()
            })
            .await;
        assert_eq!(
            slept.saturating_since(Instant::default()),
            SECOND * 3 * 3600
        );
    }

    #[test]
    fn a_dropped_sleep_is_gone() {
        let clock = ManualClock::new();
        drop(clock.sleep(SECOND));
        assert_eq!(clock.sleepers(), 0);
    }

    #[test]
    fn the_wall_clock_moves_along_and_can_be_set() {
        let clock = ManualClock::new();
        clock.set_wall(Timestamp::new(-1, 900_000_000));
        clock.advance(Duration::from_millis(1_200));
        assert_eq!(clock.wall(), Timestamp::new(1, 100_000_000));
    }
}
