//! SIEVE: first in, first out, but a hand passes over what was read since it last came by.
//!
//! Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024. What is passed over
//! stays where it is, unlike with CLOCK: so newcomers are looked at soon, and old ones stay.

use super::{Arrival, EvictionStrategy, Place, Queues, grow};

#[derive(Debug, Default)]
pub(super) struct Sieve {
    queue: Queues<1>,
    was_read: Vec<bool>,
    /// Where the next search begins; at the oldest if it is nowhere.
    hand: Option<Place>,
}

impl EvictionStrategy for Sieve {
    fn read(&mut self, place: Place) {
        if let Some(was_read) = self.was_read.get_mut(place.index()) {
            *was_read = true;
        }
    }

    fn evict(&mut self, _: &Arrival) -> Option<Place> {
        let mut at = self.hand.or_else(|| self.queue.oldest(0))?;
        // Ends within two rounds: whoever is passed over is not the next time.
        while std::mem::take(&mut self.was_read[at.index()]) {
            at = self.queue.newer(at).or_else(|| self.queue.oldest(0))?;
        }
        self.hand = self.queue.newer(at);
        self.queue.remove(at);
        Some(at)
    }

    fn inserted(&mut self, place: Place, arrival: &Arrival) {
        if place.index() >= self.was_read.len() {
            grow(&mut self.was_read, place.index() + 1, || false);
        }
        self.was_read[place.index()] = false;
        self.queue.push(0, place, arrival.bytes);
    }

    fn removed(&mut self, place: Place) {
        if self.hand == Some(place) {
            self.hand = self.queue.newer(place);
        }
        self.queue.remove(place);
    }
}
