//! The blocks in memory: those that were read, and those fetched ahead and not read yet.
//!
//! The second kind has a share of its own, used as a queue: the policy that keeps what is read often
//! would throw out first what was never read. A block moves over with its first read.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use crate::ObjectRef;
use crate::geometry::in_memory;
use crate::settings::Limits;
use crate::sharded::{self, Sharded};
use crate::strategy::{Eviction, Room};

/// What a kept block takes besides its bytes, its key and its version: the entry here and in the
/// tables that find it, the counters of three shared allocations, and the allocator's share.
const ENTRY_BYTES: u64 = 256;

/// Part of the queue that quick_cache keeps for entries used more than once. None here is, so
/// what fills that part first stays until it is read. The rest turns over in order of arrival.
const QUEUE_HOT_PART: f64 = 0.25;

/// Which block of which object version.
#[derive(Clone, Debug)]
pub(crate) struct BlockKey {
    object: ObjectRef,
    hash: u64,
    index: u64,
}

/// An object with its hash, which is computed once for all blocks of a read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) object: &'a ObjectRef,
    pub(crate) hash: u64,
}

/// A [`BlockKey`] that owns nothing, to look up with.
#[derive(Clone, Copy)]
pub(crate) struct BlockAt<'a> {
    target: Target<'a>,
    index: u64,
}

/// Passes on a hash that was made by [`mix`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixed(u64);

/// The hash of a block: that of its object, which nobody outside can foresee, and its index, with
/// every bit spread over all (the finisher of MurmurHash3).
fn mix(hash: u64, index: u64) -> u64 {
    let mut mixed = hash ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    mixed ^ mixed >> 33
}

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0, u64::from(*byte));
        }
    }

    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Target<'_> {
    pub(crate) fn key(&self, index: u64) -> BlockKey {
        BlockKey {
            object: self.object.clone(),
            hash: self.hash,
            index,
        }
    }
}

impl PartialEq for BlockKey {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.hash == other.hash && self.object == other.object
    }
}

impl Eq for BlockKey {}

impl Hash for BlockKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

impl Hash for BlockAt<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

impl BlockKey {
    pub(crate) fn fingerprint(&self) -> u64 {
        mix(self.hash, self.index)
    }

    pub(crate) fn is_of(&self, target: Target<'_>) -> bool {
        self.hash == target.hash && self.object == *target.object
    }

    /// Itself, to look up with.
    pub(crate) fn at(&self) -> BlockAt<'_> {
        BlockAt {
            target: Target {
                object: &self.object,
                hash: self.hash,
            },
            index: self.index,
        }
    }
}

impl<'a> BlockAt<'a> {
    pub(crate) fn new(target: Target<'a>, index: u64) -> Self {
        Self { target, index }
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        mix(self.target.hash, self.index)
    }

    /// Whether that is its key.
    pub(crate) fn is(&self, key: &BlockKey) -> bool {
        self.index == key.index && self.target.hash == key.hash && *self.target.object == key.object
    }
}

impl Equivalent<BlockKey> for BlockAt<'_> {
    fn equivalent(&self, key: &BlockKey) -> bool {
        self.is(key)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Bytewise;

impl Weighter<BlockKey, Bytes> for Bytewise {
    fn weight(&self, key: &BlockKey, block: &Bytes) -> u64 {
        weight(key, block)
    }
}

/// What a block takes of the room, with what it takes to find it.
pub(crate) fn weight(key: &BlockKey, block: &Bytes) -> u64 {
    let names = key.object.key.len() + key.object.version.len();
    (block.len() + names) as u64 + ENTRY_BYTES
}

pub(crate) type Table = Cache<BlockKey, Bytes, Bytewise, BuildHasherDefault<Mixed>>;

/// Blocks that were read, under the strategy that was chosen.
#[derive(Debug)]
pub(crate) enum Used {
    ClockPro(Table),
    Sharded(Sharded),
}

impl Used {
    /// A table in a room of `bytes`, in so many shards, a power of two; without a number, in as
    /// many as suit the room.
    pub(crate) fn new(
        eviction: &Eviction,
        bytes: u64,
        block_bytes: u64,
        shards: Option<u64>,
    ) -> Self {
        let room = Room {
            bytes,
            // Many files are smaller than a block.
            blocks: (bytes / (block_bytes / 4)).max(1),
        };
        let Some(make) = eviction.maker() else {
            let mut options = OptionsBuilder::new();
            options.estimated_items_capacity(in_memory(room.blocks));
            if let Some(shards) = shards {
                options.shards(in_memory(shards));
            }
            return Self::ClockPro(table(options, bytes));
        };
        let shards = shards.unwrap_or_else(|| sharded::shards(bytes, block_bytes));
        Self::Sharded(Sharded::new(room, shards, &*make))
    }

    pub(crate) fn get(&self, at: &BlockAt<'_>) -> Option<Bytes> {
        match self {
            Self::ClockPro(table) => table.get(at),
            Self::Sharded(table) => table.get(at),
        }
    }

    pub(crate) fn insert(&self, key: BlockKey, block: Bytes) {
        match self {
            Self::ClockPro(table) => table.insert(key, block),
            Self::Sharded(table) => table.insert(key, block),
        }
    }

    fn contains(&self, at: &BlockAt<'_>) -> bool {
        match self {
            Self::ClockPro(table) => table.contains_key(at),
            Self::Sharded(table) => table.contains(at),
        }
    }

    /// What its blocks weigh.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::ClockPro(table) => table.weight(),
            Self::Sharded(table) => table.bytes(),
        }
    }

    fn remove_all(&self, target: Target<'_>, blocks: u64) {
        match self {
            Self::ClockPro(table) => remove_all(table, target, blocks),
            Self::Sharded(table) if blocks <= table.len() => {
                for index in 0..blocks {
                    table.remove(&BlockAt::new(target, index));
                }
            }
            Self::Sharded(table) => table.retain(|key| !key.is_of(target)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Blocks {
    used: Used,
    ahead: Table,
}

impl Blocks {
    pub(crate) fn new(limits: &Limits, eviction: &Eviction) -> Self {
        let block_bytes = limits.geometry.block_bytes();
        let mut ahead = OptionsBuilder::new();
        ahead
            .estimated_items_capacity(in_memory(limits.ahead_bytes / block_bytes))
            .hot_allocation(QUEUE_HOT_PART);
        Self {
            used: Used::new(eviction, limits.used_bytes, block_bytes, None),
            ahead: table(ahead, limits.ahead_bytes),
        }
    }

    /// The block, which is thereby read.
    pub(crate) fn read(&self, target: Target<'_>, index: u64) -> Option<Bytes> {
        let at = BlockAt::new(target, index);
        self.used.get(&at).or_else(|| self.read_ahead(at))
    }

    fn read_ahead(&self, at: BlockAt<'_>) -> Option<Bytes> {
        let Some(block) = self.ahead.peek(&at) else {
            // Another reader may just have moved it.
            return self.used.get(&at);
        };
        // In this order, so that it can be found at any moment.
        self.used.insert(at.target.key(at.index), block.clone());
        self.ahead.remove(&at);
        Some(block)
    }

    pub(crate) fn contains(&self, target: Target<'_>, index: u64) -> bool {
        let at = BlockAt::new(target, index);
        self.used.contains(&at) || self.ahead.contains_key(&at) || self.used.contains(&at)
    }

    /// Keeps a block that somebody has read.
    pub(crate) fn insert_used(&self, key: BlockKey, block: Bytes) {
        self.used.insert(key, block);
    }

    /// Keeps a block that nobody has asked for yet.
    pub(crate) fn insert_ahead(&self, key: BlockKey, block: Bytes) {
        self.ahead.insert(key, block);
    }

    /// Drops the first `blocks` blocks of the object, which is all of them.
    pub(crate) fn remove_all(&self, target: Target<'_>, blocks: u64) {
        self.used.remove_all(target, blocks);
        remove_all(&self.ahead, target, blocks);
    }

    /// Bytes kept, with what it takes to find them.
    pub(crate) fn bytes(&self) -> u64 {
        self.used.bytes() + self.ahead.weight()
    }
}

fn remove_all(table: &Table, target: Target<'_>, blocks: u64) {
    if blocks <= table.len() as u64 {
        for index in 0..blocks {
            table.remove(&BlockAt::new(target, index));
        }
    } else {
        table.retain(|key, _| !key.is_of(target));
    }
}

fn table(mut options: OptionsBuilder, bytes: u64) -> Table {
    let options = options
        .weight_capacity(bytes)
        .build()
        .expect("the two capacities are all that it needs");
    Table::with_options(
        options,
        Bytewise,
        BuildHasherDefault::default(),
        DefaultLifecycle::default(),
    )
}
