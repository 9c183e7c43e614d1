//! What a cache may use. Every number has its reason beside it.

use crate::geometry::Geometry;
use crate::pace;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Smaller blocks cost more bookkeeping and requests than the bytes that they save.
const BLOCK_BYTES_MIN: u64 = 4 * KIB;
/// Larger blocks make one random read cost more than the kernel ever asks for at once.
const BLOCK_BYTES_MAX: u64 = MIB;
/// Below this many blocks the shares of the memory are too few blocks to be of use.
const MEMORY_BLOCKS_MIN: u64 = 64;
/// A larger request holds no more bytes per second, and its failure costs more.
const REQUEST_BYTES_MAX: u64 = 64 * MIB;
/// The block tables divide their share among shards and round each up: left free for that. Enough
/// for two tables of 2,048 shards, and there are some four per processor.
const ROUNDING_BYTES: u64 = 4 * KIB;
/// Free buffers wait for their next use in this part of the memory: with the default, 32 blocks and
/// four answers. In a steady stream as many are taken as come back; this evens out the moments.
const POOL_PART: u64 = 32;

/// What a [`BlockCache`](crate::BlockCache) may use. Values out of bounds are brought into them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheSettings {
    /// Bytes of memory for blocks, kept or under way, with what it takes to find them: a hard
    /// limit. At least 64 blocks. What a read gathers and returns belongs to its caller and does not
    /// count.
    ///
    /// Default 256 MiB: room for a read-ahead window at full speed (up to three sixteenths) and a
    /// working set of some hundred files, and modest beside the page cache of any machine that
    /// mounts a bucket.
    pub memory_bytes: u64,
    /// Bytes in a block: the least that is fetched, kept and evicted. Rounded up to a power of two,
    /// 4 KiB to 1 MiB.
    ///
    /// Default 128 KiB: what the kernel asks for at a time unless told otherwise, so that a
    /// sequential request is one block and needs no copy; at 80 MB/s it takes 1.6 ms, little beside
    /// the round trip that a random 4 KiB read has to pay in any case.
    pub block_bytes: u64,
    /// How far ahead of one sequential reader to fetch, in bytes; 0 turns read-ahead off. At most
    /// three sixteenths of the memory.
    ///
    /// Default 48 MiB: 24 requests of 2 MiB at once. At 20 ms and 80 MB/s each, a request takes 46 ms,
    /// and so they bring 1.1 GB/s, more than a core can receive and copy besides its other work.
    pub readahead_bytes_max: u64,
    /// Bytes of one request at most; a multiple of the block, at most an eighth of the memory and
    /// 64 MiB. How large they are below that follows measurement: [`pace`](crate::pace).
    ///
    /// Default 8 MiB: beyond, the work of a server for each request is nothing beside that for the
    /// bytes, and a window holds four of them.
    pub request_bytes_max: u64,
    /// Objects up to this many bytes are fetched whole by the first read of any part. At most the
    /// smallest request, 512 KiB.
    ///
    /// Default 512 KiB: the transfer takes 6.5 ms at 80 MB/s, less than a second round trip would,
    /// and headers, footers and indexes are read next.
    pub whole_object_bytes: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            block_bytes: 128 * KIB,
            readahead_bytes_max: 48 * MIB,
            request_bytes_max: 8 * MIB,
            whole_object_bytes: 512 * KIB,
        }
    }
}

/// The settings within their bounds, and the memory divided.
///
/// The shares are fixed, so that the limit holds without a lock or a count common to all files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) geometry: Geometry,
    /// The whole of the memory.
    pub(crate) memory_bytes: u64,
    /// For free buffers, blocks and answers together.
    pub(crate) pool_bytes: u64,
    /// The rest of three eighths of it: blocks that were read.
    pub(crate) used_bytes: u64,
    /// Five sixteenths: blocks fetched ahead and not read yet. More than a window, for blocks do not spread evenly. A share of their own, because the policy
    /// of the others would throw out first what was never read.
    pub(crate) ahead_bytes: u64,
    /// An eighth: blocks under way that someone waits for. Misses queue for it.
    pub(crate) flight_demand_bytes: u64,
    /// Three sixteenths: blocks under way ahead of a reader. Without room, read-ahead is left out.
    pub(crate) flight_ahead_bytes: u64,
    /// What requests and windows may be.
    pub(crate) pace: pace::Bounds,
    pub(crate) whole_object_bytes: u64,
}

impl From<CacheSettings> for Limits {
    fn from(settings: CacheSettings) -> Self {
        let block = settings
            .block_bytes
            .clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)
            .next_power_of_two();
        let memory = settings.memory_bytes.max(MEMORY_BLOCKS_MIN * block);
        let (eighth, sixteenth) = (memory / 8, memory / 16);
        let pool_bytes = memory / POOL_PART;
        let request_blocks = (settings
            .request_bytes_max
            .min(eighth)
            .min(REQUEST_BYTES_MAX)
            / block)
            .max(1);
        Self {
            geometry: Geometry::new(block),
            memory_bytes: memory,
            pool_bytes,
            used_bytes: 6 * sixteenth - pool_bytes - ROUNDING_BYTES,
            ahead_bytes: 5 * sixteenth,
            flight_demand_bytes: eighth,
            flight_ahead_bytes: 3 * sixteenth,
            whole_object_bytes: (settings.whole_object_bytes)
                .min(request_blocks * block)
                .min(pace::REQUEST_BYTES_MIN.max(block)),
            pace: pace::Bounds {
                block_bytes: block,
                request_bytes_max: request_blocks * block,
                window_bytes_max: settings.readahead_bytes_max.min(3 * sixteenth),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_fit_and_each_holds_a_request(
            memory_bytes in 0_u64..1 << 40,
            block_bytes in 0_u64..1 << 24,
            readahead_bytes_max in 0_u64..1 << 40,
            request_bytes_max in 0_u64..1 << 40,
            whole_object_bytes in 0_u64..1 << 40,
        ) {
            let limits = Limits::from(CacheSettings {
                memory_bytes, block_bytes, readahead_bytes_max, request_bytes_max, whole_object_bytes,
            });
            let request = limits.pace.request_bytes_max;
            prop_assert!(limits.memory_bytes >= memory_bytes);
            prop_assert!(limits.used_bytes + limits.ahead_bytes + limits.flight_demand_bytes
                + limits.flight_ahead_bytes + limits.pool_bytes <= limits.memory_bytes);
            prop_assert!(request >= limits.geometry.block_bytes());
            prop_assert!(request <= limits.flight_demand_bytes);
            prop_assert!(request <= limits.flight_ahead_bytes);
            prop_assert!(limits.whole_object_bytes <= request);
            prop_assert!(limits.pace.window_bytes_max <= limits.flight_ahead_bytes);
            prop_assert!(limits.pace.window_bytes_max <= limits.ahead_bytes / 5 * 3 + limits.geometry.block_bytes());
        }
    }
}
