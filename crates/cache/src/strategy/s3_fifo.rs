//! S3-FIFO: a small queue for newcomers, a large one for who proved worthy, and ghosts.
//!
//! Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023.
//! Most of what is read once is never read again: it leaves by the small queue, soon.

use super::{Arrival, EvictionStrategy, Ghosts, Place, Queues, Room, grow};

/// Newcomers.
const SMALL: usize = 0;
/// Who was read in the small queue, or came back soon after leaving it.
const MAIN: usize = 1;
/// The small queue's part of the room, as in the paper.
const SMALL_PART: u64 = 10;
/// Reads are counted so far, as in the paper: two bits.
const READS_MAX: u8 = 3;
/// Who was read so often in the small queue moves on. One read besides the first would do by the
/// letter; but a block that is read in pieces is read twice for one use.
const READS_TO_STAY: u8 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    fingerprint: u64,
    reads: u8,
}

#[derive(Debug)]
pub(super) struct S3Fifo {
    queues: Queues<2>,
    seen: Vec<Seen>,
    ghosts: Ghosts,
    small_bytes: u64,
}

impl S3Fifo {
    pub(super) fn new(room: Room) -> Self {
        Self {
            queues: Queues::default(),
            seen: Vec::new(),
            ghosts: Ghosts::default(),
            small_bytes: room.bytes / SMALL_PART,
        }
    }

    fn evict_small(&mut self) -> Option<Place> {
        while let Some(oldest) = self.queues.oldest(SMALL) {
            let seen = &mut self.seen[oldest.index()];
            if seen.reads >= READS_TO_STAY {
                seen.reads = 0;
                self.queues.renew(MAIN, oldest);
                continue;
            }
            self.queues.remove(oldest);
            // As many ghosts as there are blocks.
            let blocks = self.queues.blocks(SMALL) + self.queues.blocks(MAIN);
            self.ghosts.add(seen.fingerprint, blocks);
            return Some(oldest);
        }
        None
    }

    fn evict_main(&mut self) -> Option<Place> {
        while let Some(oldest) = self.queues.oldest(MAIN) {
            let reads = &mut self.seen[oldest.index()].reads;
            if *reads == 0 {
                self.queues.remove(oldest);
                return Some(oldest);
            }
            *reads -= 1;
            self.queues.renew(MAIN, oldest);
        }
        None
    }
}

impl EvictionStrategy for S3Fifo {
    fn read(&mut self, place: Place) {
        if let Some(seen) = self.seen.get_mut(place.index()) {
            seen.reads = READS_MAX.min(seen.reads + 1);
        }
    }

    fn evict(&mut self, _: &Arrival) -> Option<Place> {
        let first = if self.queues.bytes(SMALL) > self.small_bytes {
            self.evict_small()
        } else {
            None
        };
        first
            .or_else(|| self.evict_main())
            .or_else(|| self.evict_small())
    }

    fn inserted(&mut self, place: Place, arrival: &Arrival) {
        if place.index() >= self.seen.len() {
            grow(&mut self.seen, place.index() + 1, Seen::default);
        }
        self.seen[place.index()] = Seen {
            fingerprint: arrival.fingerprint,
            reads: 0,
        };
        let queue = match self.ghosts.take(arrival.fingerprint) {
            true => MAIN,
            false => SMALL,
        };
        self.queues.push(queue, place, arrival.bytes);
    }

    fn removed(&mut self, place: Place) {
        self.queues.remove(place);
    }
}
