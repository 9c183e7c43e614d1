//! Eviction strategies on traces: how much each would have had in memory.
//!
//! Law: all figures here are the same on every machine and in every run; only the time that a step
//! takes is not, and that is criterion's.

mod chart;
mod oracle;
mod table;
mod traces;

use cloudmount_cache::replay::{Replay, Tally, footprint_bytes};
use cloudmount_cache::strategy::Eviction;
use cloudmount_cache::trace::Read;

pub use chart::draw;
pub use table::{BEGIN, END, parse, write};
pub use traces::{Trace, all};

/// Bytes of a block: what a mount has by default.
pub const BLOCK_BYTES: u64 = 128 << 10;

/// Memory, in hundredths of the bytes of all blocks that the trace reads.
pub const PERCENTS: [u64; 4] = [5, 10, 25, 50];

/// Below so many blocks the smallest memory would be no memory.
const ROOM_BLOCKS_MIN: u64 = 4;

/// The name of the last column: what no strategy can be better than.
pub const ORACLE: &str = "knows the future";

/// What all strategies came to on one trace with one memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The trace's name.
    pub trace: String,
    /// Memory, in hundredths of the footprint.
    pub percent: u64,
    /// By name of the strategy, in the order of the columns: hits in a thousand reads of blocks.
    pub hits_per_mille: Vec<(String, u64)>,
    /// The same: bytes fetched, in hundredths of the footprint.
    pub fetched_percent: Vec<(String, u64)>,
}

/// The room that is so many hundredths of what `reads` touch.
#[must_use]
pub fn room_bytes(reads: &[Read], percent: u64) -> u64 {
    let footprint = footprint_bytes(reads, BLOCK_BYTES);
    (footprint * percent / 100).max(ROOM_BLOCKS_MIN * BLOCK_BYTES)
}

/// One strategy on one trace.
#[must_use]
pub fn replay(reads: &[Read], eviction: &Eviction, room_bytes: u64) -> Tally {
    let mut replay = Replay::new(eviction, room_bytes, BLOCK_BYTES);
    reads.iter().for_each(|read| replay.read(read));
    replay.tally()
}

/// All strategies on one trace with one memory.
#[must_use]
pub fn row(trace: &Trace, percent: u64) -> Row {
    let room = room_bytes(&trace.reads, percent);
    let strategies = Eviction::all().map(|eviction| {
        let tally = replay(&trace.reads, &eviction, room);
        (eviction.name().to_owned(), tally)
    });
    let oracle = (ORACLE.to_owned(), oracle::replay(&trace.reads, room));
    let tallies: Vec<_> = strategies.chain([oracle]).collect();
    let footprint = footprint_bytes(&trace.reads, BLOCK_BYTES).max(1);
    let each = |what: &dyn Fn(&Tally) -> u64| {
        let named = tallies.iter();
        named
            .map(|(name, tally)| (name.clone(), what(tally)))
            .collect()
    };
    Row {
        trace: trace.name.to_owned(),
        percent,
        hits_per_mille: each(&Tally::hits_per_mille),
        fetched_percent: each(&|tally| tally.fetched_bytes * 100 / footprint),
    }
}

/// All strategies on all traces with all memories.
#[must_use]
pub fn rows() -> Vec<Row> {
    let traces = all();
    let each = |trace| PERCENTS.iter().map(move |percent| row(trace, *percent));
    traces.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests;
