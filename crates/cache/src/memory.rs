//! The blocks in memory: those that were read, and those fetched ahead and not read yet.
//!
//! The second kind has a share of its own, used as a queue: the policy that keeps what is read often
//! would throw out first what was never read. A block moves over with its first read.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::ObjectRef;
use crate::settings::Limits;

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
struct BlockAt<'a> {
    target: Target<'a>,
    index: u64,
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
        state.write_u64(self.hash);
        state.write_u64(self.index);
    }
}

impl Hash for BlockAt<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.target.hash);
        state.write_u64(self.index);
    }
}

impl Equivalent<BlockKey> for BlockAt<'_> {
    fn equivalent(&self, key: &BlockKey) -> bool {
        self.index == key.index && self.target.hash == key.hash && *self.target.object == key.object
    }
}

#[derive(Clone, Debug)]
struct Bytewise;

impl Weighter<BlockKey, Bytes> for Bytewise {
    fn weight(&self, key: &BlockKey, block: &Bytes) -> u64 {
        let names = key.object.key.len() + key.object.version.len();
        (block.len() + names) as u64 + ENTRY_BYTES
    }
}

type Table = Cache<BlockKey, Bytes, Bytewise>;

#[derive(Debug)]
pub(crate) struct Blocks {
    used: Table,
    ahead: Table,
}

impl Blocks {
    pub(crate) fn new(limits: &Limits) -> Self {
        let block_bytes = limits.geometry.block_bytes();
        let mut used = OptionsBuilder::new();
        // Many files are smaller than a block.
        used.estimated_items_capacity(items(limits.used_bytes, block_bytes / 4));
        let mut ahead = OptionsBuilder::new();
        ahead
            .estimated_items_capacity(items(limits.ahead_bytes, block_bytes))
            .hot_allocation(QUEUE_HOT_PART);
        Self {
            used: table(used, limits.used_bytes),
            ahead: table(ahead, limits.ahead_bytes),
        }
    }

    /// The block, which is thereby read.
    pub(crate) fn read(&self, target: Target<'_>, index: u64) -> Option<Bytes> {
        let at = BlockAt { target, index };
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
        let at = BlockAt { target, index };
        self.used.contains_key(&at) || self.ahead.contains_key(&at) || self.used.contains_key(&at)
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
        for table in [&self.used, &self.ahead] {
            if blocks <= table.len() as u64 {
                for index in 0..blocks {
                    table.remove(&BlockAt { target, index });
                }
            } else {
                table.retain(|key, _| key.hash != target.hash || key.object != *target.object);
            }
        }
    }

    /// Bytes kept, with what it takes to find them.
    pub(crate) fn bytes(&self) -> u64 {
        self.used.weight() + self.ahead.weight()
    }
}

fn items(bytes: u64, item_bytes: u64) -> usize {
    usize::try_from(bytes / item_bytes).unwrap_or(usize::MAX)
}

fn table(mut options: OptionsBuilder, bytes: u64) -> Table {
    let options = options
        .weight_capacity(bytes)
        .build()
        .expect("the two capacities are all that it needs");
    Table::with_options(
        options,
        Bytewise,
        DefaultHashBuilder::default(),
        DefaultLifecycle::default(),
    )
}
