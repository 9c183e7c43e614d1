//! W-TinyLFU: a window for newcomers, and a main part that only the more wanted enter.
//!
//! Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017.
//! The main part is a segmented LRU: who is read again there is protected from those who are not.

use super::sketch::Sketch;
use super::{Arrival, EvictionStrategy, Place, Queues, Room, grow};

/// Newcomers, the least recently read first.
const WINDOW: usize = 0;
/// Of the main part: not read since they entered it.
const PROBATION: usize = 1;
/// Of the main part: read since.
const PROTECTED: usize = 2;
/// The window's part of the room. More than the paper's hundredth: a shard holds few blocks, and
/// files that are read in small steps at the same time must fit side by side.
const WINDOW_PART: u64 = 20;

#[derive(Debug)]
pub(super) struct TinyLfu {
    queues: Queues<3>,
    fingerprints: Vec<u64>,
    sketch: Sketch,
    window_bytes: u64,
    protected_bytes: u64,
}

impl TinyLfu {
    pub(super) fn new(room: Room) -> Self {
        let window_bytes = room.bytes / WINDOW_PART;
        Self {
            queues: Queues::default(),
            fingerprints: Vec::new(),
            sketch: Sketch::new(room.blocks),
            window_bytes,
            // Four fifths of the main part, as in the paper.
            protected_bytes: (room.bytes - window_bytes) / 5 * 4,
        }
    }

    fn count(&self, place: Place) -> u8 {
        self.sketch.count(self.fingerprints[place.index()])
    }
}

impl EvictionStrategy for TinyLfu {
    fn read(&mut self, place: Place) {
        let Some(fingerprint) = self.fingerprints.get(place.index()) else {
            return;
        };
        self.sketch.add(*fingerprint);
        match self.queues.queue_of(place) {
            Some(WINDOW) => self.queues.renew(WINDOW, place),
            Some(_) => {
                self.queues.renew(PROTECTED, place);
                while self.queues.bytes(PROTECTED) > self.protected_bytes
                    && let Some(least) = self.queues.oldest(PROTECTED)
                {
                    self.queues.renew(PROBATION, least);
                }
            }
            None => {}
        }
    }

    fn evict(&mut self, arrival: &Arrival) -> Option<Place> {
        let is_full = self.queues.bytes(WINDOW) + arrival.bytes > self.window_bytes;
        let candidate = self.queues.oldest(WINDOW).filter(|_| is_full);
        let victim = (self.queues.oldest(PROBATION)).or_else(|| self.queues.oldest(PROTECTED));
        let goes = match (candidate, victim) {
            (Some(candidate), Some(victim)) if self.count(candidate) > self.count(victim) => {
                self.queues.renew(PROBATION, candidate);
                victim
            }
            (Some(candidate), _) => candidate,
            (None, Some(victim)) => victim,
            (None, None) => return self.queues.pop(WINDOW),
        };
        self.queues.remove(goes);
        Some(goes)
    }

    fn inserted(&mut self, place: Place, arrival: &Arrival) {
        if place.index() >= self.fingerprints.len() {
            grow(&mut self.fingerprints, place.index() + 1, || 0);
        }
        self.fingerprints[place.index()] = arrival.fingerprint;
        self.sketch.add(arrival.fingerprint);
        self.queues.push(WINDOW, place, arrival.bytes);
        // While there is room, who leaves the window enters unasked.
        while self.queues.bytes(WINDOW) > self.window_bytes
            && self.queues.blocks(WINDOW) > 1
            && let Some(oldest) = self.queues.oldest(WINDOW)
        {
            self.queues.renew(PROBATION, oldest);
        }
    }

    fn removed(&mut self, place: Place) {
        self.queues.remove(place);
    }
}
