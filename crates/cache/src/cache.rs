//! [`BlockCache`]: what is missing is found, claimed and sent for.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fetch::Fetch;
use crate::flight::{FlightTable, Flights, Purpose, Slot};
use crate::geometry::in_memory;
use crate::memory::{Blocks, Target};
use crate::paced::Paced;
use crate::pool::Pool;
use crate::pressure::Pressure;
use crate::settings::Limits;
use crate::stats::Counters;
use crate::{BlockSource, CacheParts, CacheStats, ObjectRef, ReadObserver, Reader};

/// Room in a pooled answer: the most that the Linux kernel asks for at once (`FUSE_MAX_MAX_PAGES`).
const ANSWER_BYTES: usize = 1 << 20;

/// Blocks of objects in memory, over a source. Cheap to clone: all clones are one cache.
#[derive(Clone)]
pub struct BlockCache(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) source: Arc<dyn BlockSource>,
    pub(crate) limits: Limits,
    pub(crate) blocks: Blocks,
    pub(crate) flights: FlightTable,
    /// Buffers for blocks.
    pub(crate) block_pool: Arc<Pool>,
    /// Buffers for answers that are copied from several blocks.
    pub(crate) answer_pool: Arc<Pool>,
    pub(crate) counters: Counters,
    pub(crate) pressure: Pressure,
    pub(crate) pace: Paced,
    pub(crate) clock: Arc<dyn Clock>,
    /// Room for blocks under way that someone waits for, in bytes.
    pub(crate) demand_room: Arc<Semaphore>,
    /// Room for blocks under way ahead of readers, in bytes.
    ahead_room: Arc<Semaphore>,
    hasher: RandomState,
    pub(crate) observer: Option<Arc<dyn ReadObserver>>,
    runtime: Handle,
}

/// A block that a read is to get.
pub(crate) enum Wanted {
    /// It is in memory.
    Here(Bytes),
    /// It is under way.
    Coming(Arc<Slot>),
}

/// What [`Shared::begin`] found and did.
pub(crate) struct Begun {
    /// The blocks that were asked for, in order.
    pub(crate) wanted: VecDeque<Wanted>,
    /// The first of them that was neither here nor under way.
    pub(crate) absent: Option<u64>,
    /// Bytes that were sent for ahead.
    pub(crate) ahead_bytes: u64,
    /// The first block that was to be fetched ahead and found no room.
    pub(crate) skipped: Option<u64>,
}

/// A request in the making: blocks that follow each other and are missing.
struct Run {
    first: u64,
    slots: VecDeque<Arc<Slot>>,
    demand_bytes: u64,
    ahead_room: Option<OwnedSemaphorePermit>,
}

/// The requests that a call makes.
struct Runs {
    all: Vec<Run>,
    /// Blocks of a request at most.
    blocks_max: u64,
}

impl BlockCache {
    /// A cache over `source`, whose requests run on `runtime`.
    #[must_use]
    pub fn new(
        source: Arc<dyn BlockSource>,
        parts: impl Into<CacheParts>,
        runtime: Handle,
    ) -> Self {
        let parts = parts.into();
        let limits = Limits::from(parts.settings);
        let pool_bytes = in_memory(limits.pool_bytes / 2);
        let pool = |bytes| Pool::new(bytes, pool_bytes / bytes);
        let room = |bytes| Arc::new(Semaphore::new(in_memory(bytes)));
        Self(Arc::new(Shared {
            source,
            limits,
            blocks: Blocks::new(&limits, &parts.eviction),
            flights: FlightTable::new(),
            block_pool: pool(in_memory(limits.geometry.block_bytes())),
            answer_pool: pool(ANSWER_BYTES),
            counters: Counters::default(),
            pressure: Pressure::new(limits.pace.window_bytes_max, limits.ahead_bytes),
            pace: Paced::new(limits.pace),
            clock: parts.clock,
            demand_room: room(limits.flight_demand_bytes),
            ahead_room: room(limits.flight_ahead_bytes),
            hasher: RandomState::new(),
            observer: parts.observer,
            runtime,
        }))
    }

    /// A reader with a history of its own: one for each open file.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.0))
    }

    /// Drops the blocks of `object` that are in memory. Best effort: what is under way arrives yet.
    /// Nothing depends on it, for another version has other blocks and old ones age out.
    pub fn forget(&self, object: &ObjectRef) {
        let blocks = self.0.limits.geometry.blocks(&(0..object.size));
        let target = self.0.target(object);
        self.0.blocks.remove_all(target, blocks.end);
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// What it has done and holds. Walks the shards of the block table: for status, not for reads.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let shared = &self.0;
        let flying = |room: &Semaphore, all: u64| all - room.available_permits() as u64;
        let limits = &shared.limits;
        CacheStats {
            cached_bytes: shared.blocks.bytes(),
            in_flight_bytes: flying(&shared.demand_room, limits.flight_demand_bytes)
                + flying(&shared.ahead_room, limits.flight_ahead_bytes),
            limit_bytes: limits.memory_bytes,
            ..shared.counters.snapshot()
        }
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn hash(&self, object: &ObjectRef) -> u64 {
        self.hasher.hash_one(object)
    }

    pub(crate) fn target<'a>(&self, object: &'a ObjectRef) -> Target<'a> {
        Target {
            object,
            hash: self.hash(object),
        }
    }

    /// Finds the blocks `wanted`, and sends for those that are neither here nor under way, each run
    /// of them by one request. Sends for the blocks `ahead` too as far as there is room, in the
    /// same request where they follow, and waits for none.
    pub(crate) fn begin(
        self: &Arc<Self>,
        target: Target<'_>,
        wanted: Range<u64>,
        ahead: Range<u64>,
    ) -> Begun {
        let mut begun = Begun {
            wanted: VecDeque::with_capacity(in_memory(wanted.end - wanted.start)),
            absent: None,
            ahead_bytes: 0,
            skipped: None,
        };
        let mut runs = Runs {
            all: Vec::new(),
            blocks_max: self.limits.geometry.index(self.pace.sizes().request_bytes),
        };
        {
            let mut flights = self.flights.lock(target);
            for index in wanted {
                let block = self.find(&flights, target, index).unwrap_or_else(|| {
                    begun.absent = begun.absent.or(Some(index));
                    let slot = Slot::new(Purpose::Demand);
                    self.claim(&mut flights, &mut runs, target, index, &slot, None);
                    Wanted::Coming(slot)
                });
                begun.wanted.push_back(block);
            }
            for index in ahead {
                if flights.get(target.object, index).is_some()
                    || self.blocks.contains(target, index)
                {
                    continue;
                }
                let Some(room) = self.ahead_room_for(target, index) else {
                    begun.skipped = Some(index);
                    break;
                };
                begun.ahead_bytes += room.num_permits() as u64;
                let slot = Slot::new(Purpose::ReadAhead);
                self.claim(&mut flights, &mut runs, target, index, &slot, Some(room));
            }
        }
        for run in runs.all {
            self.send(target, run);
        }
        begun
    }

    /// Sends for all blocks of a small object ahead, if none of them is here or under way and there is room for
    /// all; gives the blocks that are under way now.
    pub(crate) fn begin_whole(self: &Arc<Self>, target: Target<'_>) -> Option<Vec<Arc<Slot>>> {
        let blocks = self.limits.geometry.blocks(&(0..target.object.size));
        let mut runs = Runs {
            all: Vec::new(),
            blocks_max: blocks.end,
        };
        let mut slots = Vec::new();
        {
            let mut flights = self.flights.lock(target);
            let is_absent = |index| {
                flights.get(target.object, index).is_none() && !self.blocks.contains(target, index)
            };
            if !blocks.clone().all(is_absent) {
                return None;
            }
            let rooms: Option<Vec<_>> = (blocks.clone())
                .map(|index| self.ahead_room_for(target, index))
                .collect();
            for (index, room) in blocks.zip(rooms?) {
                let slot = Slot::new(Purpose::ReadAhead);
                self.claim(&mut flights, &mut runs, target, index, &slot, Some(room));
                slots.push(slot);
            }
        }
        for run in runs.all {
            self.send(target, run);
        }
        Some(slots)
    }

    fn find(&self, flights: &Flights, target: Target<'_>, index: u64) -> Option<Wanted> {
        if let Some(slot) = flights.get(target.object, index) {
            slot.join();
            return Some(Wanted::Coming(Arc::clone(slot)));
        }
        // Under the lock, because a block is kept before it ceases to be under way: what is in
        // neither place is nobody's.
        self.read_block(target, index).map(Wanted::Here)
    }

    /// The block, if it is in memory and as long as the object's size says.
    pub(crate) fn read_block(&self, target: Target<'_>, index: u64) -> Option<Bytes> {
        let len = self.limits.geometry.block_len(index, target.object.size);
        let block = self.blocks.read(target, index)?;
        (block.len() == len).then_some(block)
    }

    fn ahead_room_for(&self, target: Target<'_>, index: u64) -> Option<OwnedSemaphorePermit> {
        let len = self.limits.geometry.block_len(index, target.object.size);
        let bytes = u32::try_from(len).ok()?;
        Arc::clone(&self.ahead_room)
            .try_acquire_many_owned(bytes)
            .ok()
    }

    /// Puts a missing block under way, in the last run if it follows that and fits.
    fn claim(
        &self,
        flights: &mut Flights,
        runs: &mut Runs,
        target: Target<'_>,
        index: u64,
        slot: &Arc<Slot>,
        room: Option<OwnedSemaphorePermit>,
    ) {
        flights.insert(target.object, index, Arc::clone(slot));
        let fits = |run: &&mut Run| {
            let blocks = run.slots.len() as u64;
            run.first + blocks == index && blocks < runs.blocks_max
        };
        let run = if let Some(run) = runs.all.last_mut().filter(fits) {
            run
        } else {
            runs.all.push(Run {
                first: index,
                slots: VecDeque::new(),
                demand_bytes: 0,
                ahead_room: None,
            });
            runs.all.last_mut().expect("it was just pushed")
        };
        run.slots.push_back(Arc::clone(slot));
        match (&mut run.ahead_room, room) {
            (Some(all), Some(room)) => all.merge(room),
            (none, Some(room)) => *none = Some(room),
            (_, None) => {
                let len = self.limits.geometry.block_len(index, target.object.size);
                run.demand_bytes += len as u64;
            }
        }
    }

    fn send(self: &Arc<Self>, target: Target<'_>, run: Run) {
        let fetch = Fetch::new(
            Arc::clone(self),
            target,
            run.first,
            run.slots,
            run.demand_bytes,
            run.ahead_room,
        );
        self.runtime.spawn(fetch.run());
    }
}
