//! [`Sharded`]: a table of blocks in which an [`EvictionStrategy`] says who goes.
//!
//! Laws: the blocks of a shard never weigh more than its room, at no moment and whatever the
//! strategy answers; room is made before a block comes in. What goes is dropped after the lock is
//! given back.

use bytes::Bytes;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::geometry::in_memory;
use crate::memory::{BlockAt, BlockKey, weight};
use crate::strategy::{Arrival, EvictionStrategy, Place, Room, grow};

/// A lock is held for some tens of nanoseconds: with so many, a few dozen threads rarely meet.
const SHARDS_MAX: u64 = 32;
/// A shard of fewer whole blocks cannot tell the good ones from the others.
const SHARD_BLOCKS_MIN: u64 = 64;

#[derive(Debug)]
pub(crate) struct Sharded {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    /// Where each block is, by its hash.
    places: HashTable<u32>,
    kept: Vec<Option<Kept>>,
    free: Vec<u32>,
    bytes: u64,
    room: u64,
    strategy: Box<dyn EvictionStrategy>,
    /// Where a strategy that knows nothing to give up is helped from.
    hand: usize,
}

#[derive(Debug)]
struct Kept {
    key: BlockKey,
    block: Bytes,
    weight: u64,
}

/// How many shards a room of `bytes` is divided into.
pub(crate) fn shards(bytes: u64, block_bytes: u64) -> u64 {
    let most = (bytes / (SHARD_BLOCKS_MIN * block_bytes)).clamp(1, SHARDS_MAX);
    // The largest power of two that is not more.
    1 << most.ilog2()
}

impl Sharded {
    /// A table of `shards` shards, a power of two, that divide `room`. Each has a strategy of its
    /// own, which `make` gives.
    pub(crate) fn new(
        room: Room,
        shards: u64,
        make: impl Fn(Room) -> Box<dyn EvictionStrategy>,
    ) -> Self {
        debug_assert!(shards.is_power_of_two());
        let room = Room {
            bytes: room.bytes / shards,
            blocks: (room.blocks / shards).max(1),
        };
        let shard = |_| {
            Mutex::new(Shard {
                places: HashTable::new(),
                kept: Vec::new(),
                free: Vec::new(),
                bytes: 0,
                room: room.bytes,
                strategy: make(room),
                hand: 0,
            })
        };
        Self {
            shards: (0..shards).map(shard).collect(),
        }
    }

    /// The block, which is thereby read.
    pub(crate) fn get(&self, at: &BlockAt<'_>) -> Option<Bytes> {
        let mut shard = self.shard(at.fingerprint()).lock();
        let place = shard.find(at)?;
        let shard = &mut *shard;
        shard.strategy.read(place);
        let kept = shard.kept[place.index()].as_ref()?;
        Some(kept.block.clone())
    }

    pub(crate) fn contains(&self, at: &BlockAt<'_>) -> bool {
        self.shard(at.fingerprint()).lock().find(at).is_some()
    }

    /// Keeps a block, in place of one of that name, if it fits at all.
    pub(crate) fn insert(&self, key: BlockKey, block: Bytes) {
        let gone = self.shard(key.fingerprint()).lock().insert(key, block);
        drop(gone);
    }

    pub(crate) fn remove(&self, at: &BlockAt<'_>) {
        let mut shard = self.shard(at.fingerprint()).lock();
        let gone = shard.find(at).and_then(|place| shard.forget(place));
        drop(shard);
        drop(gone);
    }

    /// Drops the blocks of which `stays` says no.
    pub(crate) fn retain(&self, stays: impl Fn(&BlockKey) -> bool) {
        for shard in &self.shards {
            let gone = shard.lock().retain(&stays);
            drop(gone);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        let len = |shard: &Mutex<Shard>| shard.lock().places.len() as u64;
        self.shards.iter().map(len).sum()
    }

    /// What the blocks weigh.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // Bits that the table of a shard does not use.
        let shard = (hash >> 40) & (self.shards.len() as u64 - 1);
        &self.shards[in_memory(shard)]
    }
}

impl Shard {
    fn find(&self, at: &BlockAt<'_>) -> Option<Place> {
        let is_it = |place: &u32| {
            let kept = self.kept[Place::new(*place).index()].as_ref();
            kept.is_some_and(|kept| at.is(&kept.key))
        };
        self.places
            .find(at.fingerprint(), is_it)
            .copied()
            .map(Place::new)
    }

    /// Gives what had to go for it.
    fn insert(&mut self, key: BlockKey, block: Bytes) -> Vec<Kept> {
        let mut gone = Vec::new();
        let arrival = Arrival {
            fingerprint: key.fingerprint(),
            bytes: weight(&key, &block),
        };
        if let Some(place) = self.find(&key.at()) {
            if let Some(kept) = self.kept[place.index()]
                .as_mut()
                .filter(|kept| kept.weight == arrival.bytes)
            {
                // Two who read it at once both bring it.
                self.strategy.read(place);
                kept.block = block;
                return gone;
            }
            gone.extend(self.forget(place));
        }
        if arrival.bytes > self.room {
            return gone;
        }
        while self.bytes + arrival.bytes > self.room {
            let evicted = self.strategy.evict(&arrival);
            let evicted = evicted.and_then(|place| self.take(place));
            let Some(kept) = evicted.or_else(|| self.help()) else {
                break;
            };
            gone.push(kept);
        }
        self.keep(
            Kept {
                key,
                block,
                weight: arrival.bytes,
            },
            &arrival,
        );
        gone
    }

    fn keep(&mut self, kept: Kept, arrival: &Arrival) {
        let number = self.free.pop().unwrap_or_else(|| {
            let len = self.kept.len();
            grow(&mut self.kept, len + 1, || None);
            u32::try_from(len).expect("blocks of 4 KiB do not come to 16 TiB in a shard")
        });
        let place = Place::new(number);
        let kept_list = &mut self.kept;
        kept_list[place.index()] = Some(kept);
        let hash_of = |place: &u32| {
            let kept = kept_list[Place::new(*place).index()].as_ref();
            kept.map_or(0, |kept| kept.key.fingerprint())
        };
        self.places
            .insert_unique(arrival.fingerprint, number, hash_of);
        self.bytes += arrival.bytes;
        self.strategy.inserted(place, arrival);
    }

    /// Takes a block out of the table; the strategy knows.
    fn take(&mut self, place: Place) -> Option<Kept> {
        let kept = self.kept.get_mut(place.index())?.take()?;
        let found = self
            .places
            .find_entry(kept.key.fingerprint(), |at| *at == place.number());
        if let Ok(entry) = found {
            entry.remove();
        }
        self.free.push(place.number());
        self.bytes -= kept.weight;
        Some(kept)
    }

    /// Takes a block out of the table, and tells the strategy.
    fn forget(&mut self, place: Place) -> Option<Kept> {
        let kept = self.take(place)?;
        self.strategy.removed(place);
        Some(kept)
    }

    /// Chooses for a strategy that did not: one after the other.
    fn help(&mut self) -> Option<Kept> {
        let count = self.kept.len();
        let next = (self.hand..count).chain(0..self.hand.min(count));
        let at = next.into_iter().find(|at| self.kept[*at].is_some())?;
        self.hand = at + 1;
        self.forget(Place::new(u32::try_from(at).ok()?))
    }

    fn retain(&mut self, stays: impl Fn(&BlockKey) -> bool) -> Vec<Kept> {
        let mut gone = Vec::new();
        for at in 0..self.kept.len() {
            let goes = self.kept[at].as_ref().is_some_and(|kept| !stays(&kept.key));
            if let Some(place) = u32::try_from(at).ok().filter(|_| goes) {
                gone.extend(self.forget(Place::new(place)));
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests;
