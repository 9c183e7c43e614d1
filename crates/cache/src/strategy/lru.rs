//! LRU: what was not read for the longest time goes first.

use super::{Arrival, EvictionStrategy, Place, Queues};

#[derive(Debug, Default)]
pub(super) struct Lru(Queues<1>);

impl EvictionStrategy for Lru {
    fn read(&mut self, place: Place) {
        self.0.renew(0, place);
    }

    fn evict(&mut self, _: &Arrival) -> Option<Place> {
        self.0.pop(0)
    }

    fn inserted(&mut self, place: Place, arrival: &Arrival) {
        self.0.push(0, place, arrival.bytes);
    }

    fn removed(&mut self, place: Place) {
        self.0.remove(place);
    }
}
