//! Blocks under way: at most one request for each, however many wait for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cloudmount_vfs::{Error, ErrorKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::ObjectRef;
use crate::memory::Target;

/// Shards of the table: taken on misses only, so a few times the number of processors is enough
/// for two files to hardly ever meet.
const SHARDS: usize = 64;

/// For whose sake a block is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Somebody waits for it.
    Demand,
    /// Somebody may soon ask for it.
    ReadAhead,
}

/// Why a block did not come. One error, told to all who waited.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Arc<Error>);

impl Failure {
    pub(crate) fn new(error: Error) -> Self {
        Self(Arc::new(error))
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// An error for one of those who waited.
    pub(crate) fn to_error(&self, object: &ObjectRef) -> Error {
        let context = format!("read {:?}", object.key);
        Error::new(self.0.kind(), context).with_source(Arc::clone(&self.0))
    }
}

/// One block under way.
#[derive(Debug)]
pub(crate) struct Slot {
    outcome: OnceLock<Result<Bytes, Failure>>,
    settled: Notify,
    purpose: Purpose,
    awaited: AtomicBool,
}

impl Slot {
    pub(crate) fn new(purpose: Purpose) -> Arc<Self> {
        Arc::new(Self {
            outcome: OnceLock::new(),
            settled: Notify::new(),
            purpose,
            awaited: AtomicBool::new(purpose == Purpose::Demand),
        })
    }

    /// Why the request was made that fetches it.
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Says that somebody waits for it now.
    pub(crate) fn join(&self) {
        self.awaited.store(true, Ordering::Relaxed);
    }

    /// Whether anybody ever waited for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Gives the outcome to all who wait. Only the first one counts.
    pub(crate) fn settle(&self, outcome: Result<Bytes, Failure>) {
        if self.outcome.set(outcome).is_ok() {
            self.settled.notify_waiters();
        }
    }

    /// Waits for the outcome. May be dropped at any point.
    pub(crate) async fn wait(&self) -> Result<Bytes, Failure> {
        loop {
            // Made before the outcome is looked at: no settling falls between.
            let settled = self.settled.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            settled.await;
        }
    }
}

/// The blocks under way of the objects of one shard.
#[derive(Debug, Default)]
pub(crate) struct Flights(HashMap<ObjectRef, BTreeMap<u64, Arc<Slot>>>);

impl Flights {
    pub(crate) fn get(&self, object: &ObjectRef, index: u64) -> Option<&Arc<Slot>> {
        self.0.get(object)?.get(&index)
    }

    pub(crate) fn insert(&mut self, object: &ObjectRef, index: u64, slot: Arc<Slot>) {
        if let Some(slots) = self.0.get_mut(object) {
            slots.insert(index, slot);
        } else {
            self.0
                .insert(object.clone(), BTreeMap::from([(index, slot)]));
        }
    }

    pub(crate) fn remove(&mut self, object: &ObjectRef, index: u64) {
        if let Some(slots) = self.0.get_mut(object) {
            slots.remove(&index);
            if slots.is_empty() {
                self.0.remove(object);
            }
        }
    }
}

/// All blocks under way. The blocks of one object are in one shard, so that a run of missing ones
/// is found and claimed in one step.
#[derive(Debug)]
pub(crate) struct FlightTable(Box<[Mutex<Flights>]>);

impl FlightTable {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    pub(crate) fn lock(&self, target: Target<'_>) -> MutexGuard<'_, Flights> {
        let shard = target.hash % SHARDS as u64;
        self.0[crate::geometry::in_memory(shard)].lock()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_outcome_reaches_early_and_late_waiters() {
        let slot = Slot::new(Purpose::Demand);
        let mut early = Box::pin(slot.wait());
        assert!(early.as_mut().now_or_never().is_none());
        slot.settle(Ok(Bytes::from_static(b"first")));
        slot.settle(Ok(Bytes::from_static(b"second")));
        assert_eq!(early.now_or_never().unwrap().unwrap(), "first");
        assert_eq!(slot.wait().now_or_never().unwrap().unwrap(), "first");
    }

    #[test]
    fn an_object_with_nothing_under_way_takes_no_room() {
        let mut flights = Flights::default();
        let object = ObjectRef::new("a", "1", 10);
        flights.insert(&object, 0, Slot::new(Purpose::Demand));
        flights.insert(&object, 1, Slot::new(Purpose::ReadAhead));
        assert_eq!(
            flights.get(&object, 1).unwrap().purpose(),
            Purpose::ReadAhead
        );
        flights.remove(&object, 0);
        assert!(flights.get(&object, 0).is_none() && flights.get(&object, 1).is_some());
        flights.remove(&object, 1);
        assert!(flights.0.is_empty());
    }

    #[test]
    fn a_shared_failure_keeps_kind_and_cause() {
        let failure = Failure::new(Error::new(ErrorKind::TimedOut, "get range"));
        let error = failure.to_error(&ObjectRef::new("dir/a", "1", 10));
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            format!("{error:?}"),
            "read \"dir/a\": timed out; caused by: get range: timed out"
        );
    }
}
