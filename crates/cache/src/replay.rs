//! [`Replay`]: what a strategy would have had in memory, without a byte of content.
//!
//! The table is the one that a [`BlockCache`](crate::BlockCache) keeps its read blocks in, with the
//! same weights, so what holds here holds there. What differs: it is one shard, so that nothing
//! depends on the machine; nothing is fetched ahead or along; and all that is read is kept at once.

use std::collections::HashSet;

use bytes::Bytes;

use crate::ObjectRef;
use crate::geometry::{Geometry, in_memory};
use crate::memory::{BlockAt, Target, Used};
use crate::strategy::Eviction;
use crate::trace::Read;

/// Content that takes no memory of its own: the largest block.
static NOTHING: [u8; 1 << 20] = [0; 1 << 20];

/// What a replay came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Blocks that were read.
    pub blocks: u64,
    /// Of these, how many were in memory.
    pub hits: u64,
    /// Bytes of the blocks that were not.
    pub fetched_bytes: u64,
}

impl Tally {
    /// Hits in a thousand reads of blocks.
    #[must_use]
    pub fn hits_per_mille(&self) -> u64 {
        (self.hits * 1000 + self.blocks / 2) / self.blocks.max(1)
    }
}

/// Plays reads to a strategy.
#[derive(Debug)]
pub struct Replay {
    used: Used,
    geometry: Geometry,
    /// The files so far, each with a hash that is the same everywhere.
    files: Vec<ObjectRef>,
    tally: Tally,
}

impl Replay {
    /// A table in a room of `bytes`, with blocks of `block_bytes`: a power of two from 4 KiB to
    /// 1 MiB, to which others are brought.
    #[must_use]
    pub fn new(eviction: &Eviction, bytes: u64, block_bytes: u64) -> Self {
        let geometry = Geometry::new(block_bytes.clamp(4096, 1 << 20).next_power_of_two());
        Self {
            used: Used::new(eviction, bytes, geometry.block_bytes(), Some(1)),
            geometry,
            files: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Reads the blocks of `read`; keeps those that were not there.
    pub fn read(&mut self, read: &Read) {
        let file = in_memory(read.file.into());
        while self.files.len() <= file {
            // As long as the names of a store are, for they count.
            let name = format!("{:064}", self.files.len());
            self.files
                .push(ObjectRef::new(name.clone(), &name[..32], read.size));
        }
        let object = &self.files[file];
        let target = Target {
            object,
            hash: u64::from(read.file).wrapping_mul(0xD6E8_FEB8_6659_FD93),
        };
        let end = (read.offset + u64::from(read.len)).min(read.size);
        for index in self.geometry.blocks(&(read.offset..end)) {
            self.tally.blocks += 1;
            if self.used.get(&BlockAt::new(target, index)).is_some() {
                self.tally.hits += 1;
                continue;
            }
            let len = self.geometry.block_len(index, read.size);
            self.tally.fetched_bytes += len as u64;
            let block = Bytes::from_static(&NOTHING[..len]);
            self.used.insert(target.key(index), block);
        }
    }

    /// What it came to so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// What is kept, in bytes, with what it takes to find it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.used.bytes()
    }
}

/// The blocks that each read touches, as (file, index, bytes).
pub fn blocks(reads: &[Read], block_bytes: u64) -> impl Iterator<Item = (u32, u64, u64)> + '_ {
    let geometry = Geometry::new(block_bytes.clamp(4096, 1 << 20).next_power_of_two());
    reads.iter().flat_map(move |read| {
        let end = (read.offset + u64::from(read.len)).min(read.size);
        let blocks = geometry.blocks(&(read.offset..end));
        blocks.map(move |index| {
            let len = geometry.block_len(index, read.size);
            (read.file, index, len as u64)
        })
    })
}

/// Bytes of all blocks that are read at least once: a memory of so much would miss each once.
#[must_use]
pub fn footprint_bytes(reads: &[Read], block_bytes: u64) -> u64 {
    let mut seen = HashSet::new();
    blocks(reads, block_bytes)
        .filter(|(file, index, _)| seen.insert((*file, *index)))
        .map(|(_, _, bytes)| bytes)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 128 << 10;

    /// Three rounds over a file of ten blocks and a bit.
    fn rounds() -> Vec<Read> {
        let size = 10 * BLOCK + 7;
        let read = |n: u64| Read {
            file: 0,
            size,
            offset: n % 11 * BLOCK,
            len: u32::try_from(BLOCK.min(size - n % 11 * BLOCK)).unwrap(),
            at_ms: n,
        };
        (0..33).map(read).collect()
    }

    #[test]
    fn a_room_for_all_misses_each_block_once() {
        assert_eq!(footprint_bytes(&rounds(), BLOCK), 10 * BLOCK + 7);
        for eviction in Eviction::all() {
            let mut replay = Replay::new(&eviction, 20 * BLOCK, BLOCK);
            rounds().iter().for_each(|read| replay.read(read));
            let tally = Tally {
                blocks: 33,
                hits: 22,
                fetched_bytes: 10 * BLOCK + 7,
            };
            assert_eq!(replay.tally(), tally, "{eviction:?}");
            assert_eq!(tally.hits_per_mille(), 667);
        }
    }

    #[test]
    fn the_same_reads_give_the_same_tally_within_the_room() {
        for eviction in Eviction::all() {
            let play = || {
                let mut replay = Replay::new(&eviction, 5 * BLOCK, BLOCK);
                for read in rounds() {
                    replay.read(&read);
                    assert!(replay.bytes() <= 5 * BLOCK, "{eviction:?}");
                }
                replay.tally()
            };
            assert_eq!(play(), play(), "{eviction:?}");
            assert!(play().hits < 22);
        }
    }
}
