//! The traces: recorded from a mount, and made up.
//!
//! The recorded ones are in `benches/traces`, made by `cargo xtask trace`. The made-up ones come from
//! a fixed seed and whole numbers, so that they are the same everywhere.

use cloudmount_cache::trace::{self, Read};

use super::BLOCK_BYTES;

/// A trace with its name.
#[derive(Clone, Debug)]
pub struct Trace {
    /// As in tables.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The reads.
    pub reads: Vec<Read>,
}

/// Recorded: name, what it is, content.
const RECORDED: [(&str, &str, &[u8]); 4] = [
    (
        "clone and build",
        "a git repository is cloned within the mount, built, searched, changed and built again",
        include_bytes!("../../traces/build.trace"),
    ),
    (
        "training",
        "five epochs over shards, each time in another order, with a look at the index before each",
        include_bytes!("../../traces/training.trace"),
    ),
    (
        "scrubbing",
        "jumps to and fro in a few large films, at each place some seconds of it",
        include_bytes!("../../traces/scrubbing.trace"),
    ),
    (
        "scan over a hot set",
        "a few files are read again and again while a large folder is read through once",
        include_bytes!("../../traces/scan.trace"),
    ),
];

/// All of them.
///
/// # Panics
/// A trace in the repository is malformed; a test reads them all.
#[must_use]
pub fn all() -> Vec<Trace> {
    let recorded = RECORDED.map(|(name, about, bytes)| Trace {
        name,
        about,
        reads: trace::read(bytes).expect("a trace of the repository"),
    });
    let made_up = [
        Trace {
            name: "zipf",
            about: "20,000 blocks, the n-th as often as 1/n",
            reads: zipf(60_000),
        },
        Trace {
            name: "loop",
            about: "a file of 2,000 blocks from beginning to end, twenty times",
            reads: (0..40_000).map(|n| block(n % 2_000, 2_000)).collect(),
        },
        Trace {
            name: "zipf with scans",
            about: "zipf, and after each 6,000 reads 3,000 blocks that are read once",
            reads: scans(),
        },
    ];
    recorded.into_iter().chain(made_up).collect()
}

/// A read of block `index` of a file of so many.
fn block(index: u64, blocks: u64) -> Read {
    Read {
        file: 0,
        size: blocks * BLOCK_BYTES,
        offset: index * BLOCK_BYTES,
        len: 128 << 10,
        at_ms: 0,
    }
}

/// Numbers without a pattern, always the same: SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        // The bias of the remainder is of no weight at numbers so far below 2⁶⁴.
        (number ^ number >> 31) % end
    }
}

/// Blocks of the zipf traces.
const RANKS: u64 = 20_000;

/// Blocks of one file by Zipf's law with exponent 1.
fn zipf(count: usize) -> Vec<Read> {
    // Whole numbers, for the sum of fractions may differ between machines.
    let mut sum = 0;
    let sums: Vec<u64> = (1..=RANKS)
        .map(|rank| {
            sum += (1 << 40) / rank;
            sum
        })
        .collect();
    let mut numbers = Numbers(1);
    let mut draw = || {
        let number = numbers.below(sum);
        let rank = sums.partition_point(|sum| *sum <= number) as u64;
        // Places that have nothing to do with the rank: a prime that does not divide the number.
        block(rank * 7919 % RANKS, RANKS)
    };
    (0..count).map(|_| draw()).collect()
}

fn scans() -> Vec<Read> {
    let mut reads = Vec::new();
    for (part, number) in zipf(60_000).chunks(6_000).zip(1..) {
        reads.extend_from_slice(part);
        reads.extend((0..3_000).map(|index| Read {
            file: number,
            ..block(index, 3_000)
        }));
    }
    reads
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn recorded_traces_are_small_and_have_what_it_takes() {
        for (name, _, bytes) in RECORDED {
            let reads = trace::read(bytes).unwrap();
            assert!(bytes.len() <= 200_000, "{name}: {} bytes", bytes.len());
            assert!(reads.len() > 2_000, "{name}: {} reads", reads.len());
            assert!(reads.iter().any(|read| read.at_ms > 0), "{name}");
        }
    }

    #[test]
    fn the_first_of_zipf_is_read_twice_as_often_as_the_second() {
        let mut counts = HashMap::<u64, u64>::new();
        for read in zipf(60_000) {
            *counts.entry(read.offset / BLOCK_BYTES).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let (first, second) = (counts[0], counts[1]);
        assert!(
            (18..22).contains(&(first * 10 / second)),
            "{first} {second}"
        );
    }
}
