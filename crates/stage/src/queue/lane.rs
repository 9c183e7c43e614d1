//! [`Lane`]: parts of large files on their way, as many at once as the [`Pace`] says.
//!
//! Law: who waits is served in the order of asking, so that files which each have several parts waiting
//! get their share in turn.

use std::sync::Arc;

use cloudmount_vfs::{Clock, Instant};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pace::{Began, Bounds, Ended, Pace};

/// Places for requests.
#[derive(Debug)]
pub(crate) struct Lane {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Places that there are, those included that are taken.
    places: u16,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    lane: &'a Lane,
    clock: &'a dyn Clock,
    permit: Option<OwnedSemaphorePermit>,
    began: Began,
    ended: Ended,
    pushbacks: u64,
}

impl Lane {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let pace = Pace::new(bounds);
        let places = pace.limit();
        Self {
            places: Arc::new(Semaphore::new(usize::from(places))),
            state: Mutex::new(State { pace, places }),
        }
    }

    /// Waits for a place. `None` only if the lane was closed, which nobody does.
    pub(crate) async fn enter<'a>(&'a self, clock: &'a dyn Clock) -> Option<Place<'a>> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let began = self.state.lock().pace.began(clock.now());
        Some(Place {
            lane: self,
            clock,
            permit: Some(permit),
            began,
            ended: Ended::Unmeasured,
            pushbacks: 0,
        })
    }

    /// How many run, and how many may.
    pub(crate) fn used_and_limit(&self) -> (u16, u16) {
        let state = self.state.lock();
        (state.pace.in_flight(), state.pace.limit())
    }

    fn leave(&self, place: &mut Place<'_>, now: Instant) {
        let Some(permit) = place.permit.take() else {
            return;
        };
        let mut state = self.state.lock();
        (state.pace).ended(&place.began, place.ended, now, place.pushbacks);
        let wanted = state.pace.limit();
        if state.places > wanted {
            // Those that are taken go when they are given back, this one first.
            permit.forget();
            state.places -= 1;
            let spare = self
                .places
                .forget_permits(usize::from(state.places - wanted));
            state.places -= u16::try_from(spare).unwrap_or(0);
        } else {
            self.places.add_permits(usize::from(wanted - state.places));
            state.places = wanted;
        }
    }
}

impl Place<'_> {
    /// The request ended; `pushbacks` as [`Pace::ended`] has it.
    pub(crate) const fn ended(&mut self, ended: Ended, pushbacks: u64) {
        self.ended = ended;
        self.pushbacks = pushbacks;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let (lane, now) = (self.lane, self.clock.now());
        lane.leave(self, now);
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_testkit::ManualClock;
    use futures::FutureExt;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        floor: 2,
        start: 6,
        ceiling: 8,
    };

    #[test]
    fn places_follow_the_pace() {
        let clock = ManualClock::new();
        let lane = Lane::new(BOUNDS);
        let enter = || lane.enter(&clock).now_or_never().flatten();
        let mut taken: Vec<_> = std::iter::from_fn(enter).collect();
        assert_eq!((taken.len(), lane.used_and_limit()), (6, (6, 6)));
        let mut first = taken.pop().unwrap();
        first.ended(Ended::Refused, 0);
        drop(first);
        assert_eq!(lane.used_and_limit(), (5, 4));
        assert!(enter().is_none(), "five run where four may");
        taken.truncate(3);
        assert_eq!(lane.used_and_limit(), (3, 4));
        taken.extend(std::iter::from_fn(enter));
        assert_eq!(lane.used_and_limit(), (4, 4));
        // What is given up says nothing, and gives its place back.
        taken.clear();
        assert_eq!(lane.used_and_limit(), (0, 4));
        taken.extend(std::iter::from_fn(enter));
        assert_eq!(taken.len(), 4);
    }

    #[test]
    fn who_waits_is_served_in_the_order_of_asking() {
        let clock = ManualClock::new();
        let lane = Lane::new(BOUNDS);
        let mut taken: Vec<_> =
            std::iter::from_fn(|| lane.enter(&clock).now_or_never().flatten()).collect();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(lane.enter(&clock))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        while let Some(first) = taken.pop()
            && !waiting.is_empty()
        {
            drop(first);
            for later in waiting.iter_mut().skip(1) {
                assert!(later.as_mut().now_or_never().is_none());
            }
            let place = waiting.remove(0).now_or_never();
            std::mem::forget(place.flatten().expect("its turn came"));
        }
    }
}
