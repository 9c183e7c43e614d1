//! What nobody can beat: who makes room is read again last of all (Belady 1966).
//!
//! For blocks of one size that is the best there is. Where many are smaller it is very near to it:
//! to know the best of those takes more than a lifetime.

use std::collections::{BTreeSet, HashMap};

use cloudmount_cache::replay::{self, Tally};
use cloudmount_cache::trace::Read;

use super::BLOCK_BYTES;

/// Never again.
const NEVER: usize = usize::MAX;

/// What it comes to, in a room of `room_bytes`. Bookkeeping weighs nothing here.
pub(super) fn replay(reads: &[Read], room_bytes: u64) -> Tally {
    let blocks: Vec<_> = replay::blocks(reads, BLOCK_BYTES).collect();
    let mut next = vec![NEVER; blocks.len()];
    let mut seen = HashMap::new();
    for (at, (file, index, _)) in blocks.iter().enumerate().rev() {
        next[at] = seen.insert((file, index), at).unwrap_or(NEVER);
    }
    let mut tally = Tally::default();
    let mut kept = BTreeSet::new();
    let mut bytes = 0;
    for (at, (_, _, len)) in blocks.iter().enumerate() {
        tally.blocks += 1;
        // What is kept stands under the time of its next read, which is now.
        if kept.remove(&(at, *len)) {
            tally.hits += 1;
            bytes -= len;
        } else {
            tally.fetched_bytes += len;
        }
        if next[at] == NEVER {
            continue;
        }
        kept.insert((next[at], *len));
        bytes += len;
        while bytes > room_bytes
            && let Some((_, last)) = kept.pop_last()
        {
            bytes -= last;
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_loop_all_but_one_stay() {
        let read = |n: u64| Read {
            file: 0,
            size: 5 * BLOCK_BYTES,
            offset: n % 5 * BLOCK_BYTES,
            len: 1,
            at_ms: 0,
        };
        let reads: Vec<_> = (0..50).map(read).collect();
        let all = replay(&reads, 5 * BLOCK_BYTES);
        assert_eq!((all.blocks, all.hits), (50, 45));
        assert_eq!(all.fetched_bytes, 5 * BLOCK_BYTES);
        // With room for four of five, one in four misses: 3 of 4 that are kept are met in a round.
        let most = replay(&reads, 4 * BLOCK_BYTES);
        assert!((30..=36).contains(&most.hits), "{most:?}");
        assert_eq!(replay(&reads, 0).hits, 0);
    }
}
