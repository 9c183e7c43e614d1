//! FIFO: what came first goes first, however often it was read.

use super::{Arrival, EvictionStrategy, Place, Queues};

#[derive(Debug, Default)]
pub(super) struct Fifo(Queues<1>);

impl EvictionStrategy for Fifo {
    fn read(&mut self, _: Place) {}

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
