//! Each strategy is what its name says: against a plain form of it, and on reads that tell them apart.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// A cache of blocks of one byte each, with the strategy's answers taken as they are.
struct Small {
    strategy: Box<dyn EvictionStrategy>,
    /// Which block is at each place.
    places: Vec<Option<u64>>,
}

impl Small {
    fn new(eviction: &Eviction, blocks: usize) -> Self {
        let bytes = blocks as u64;
        let room = Room {
            bytes,
            blocks: bytes,
        };
        Self {
            strategy: eviction.maker().unwrap()(room),
            places: vec![None; blocks],
        }
    }

    /// Whether it was there.
    fn read(&mut self, block: u64) -> bool {
        let place = |at: usize| Place::new(u32::try_from(at).unwrap());
        if let Some(at) = self.places.iter().position(|here| *here == Some(block)) {
            self.strategy.read(place(at));
            return true;
        }
        let fingerprint = block.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let arrival = Arrival {
            fingerprint,
            bytes: 1,
        };
        let free = self.places.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| self.strategy.evict(&arrival).unwrap().index());
        self.places[at] = Some(block);
        self.strategy.inserted(place(at), &arrival);
        false
    }

    fn hits(&mut self, reads: impl IntoIterator<Item = u64>) -> usize {
        reads.into_iter().filter(|block| self.read(*block)).count()
    }
}

/// LRU and FIFO as a list of blocks.
fn listed(reads: &[u64], blocks: usize, moves: impl Fn(&mut VecDeque<u64>, usize)) -> Vec<bool> {
    let mut list = VecDeque::new();
    let read = |block: &u64| {
        let found = list.iter().position(|here| here == block);
        match found {
            Some(at) => moves(&mut list, at),
            None => {
                if list.len() == blocks {
                    list.pop_front();
                }
                list.push_back(*block);
            }
        }
        found.is_some()
    };
    reads.iter().map(read).collect()
}

/// SIEVE as the paper's algorithm 1 has it, over a list whose first entry is the tail.
fn sieved(reads: &[u64], blocks: usize) -> Vec<bool> {
    let mut list: Vec<(u64, bool)> = Vec::new();
    let mut hand = 0;
    let read = |block: &u64| {
        if let Some(entry) = list.iter_mut().find(|(here, _)| here == block) {
            entry.1 = true;
            return true;
        }
        if list.len() == blocks {
            while std::mem::take(&mut list[hand].1) {
                hand = (hand + 1) % list.len();
            }
            list.remove(hand);
            // At the head it begins again at the tail, also if another comes before the next search.
            if hand == list.len() {
                hand = 0;
            }
        }
        list.push((*block, false));
        false
    };
    reads.iter().map(read).collect()
}

fn played(eviction: &Eviction, reads: &[u64], blocks: usize) -> Vec<bool> {
    let mut small = Small::new(eviction, blocks);
    reads.iter().map(|block| small.read(*block)).collect()
}

proptest! {
    #[test]
    fn the_simple_ones_are_what_they_are_called(
        reads in prop::collection::vec(0..12_u64, 0..300),
        blocks in 1..8_usize,
    ) {
        let to_back = |list: &mut VecDeque<u64>, at: usize| {
            let block = list.remove(at).unwrap();
            list.push_back(block);
        };
        prop_assert_eq!(played(&Eviction::Lru, &reads, blocks), listed(&reads, blocks, to_back));
        prop_assert_eq!(played(&Eviction::Fifo, &reads, blocks), listed(&reads, blocks, |_, _| {}));
        prop_assert_eq!(played(&Eviction::Sieve, &reads, blocks), sieved(&reads, blocks));
    }
}

/// Fifty blocks that are read again and again, between blocks that are read once.
fn hot_and_scan() -> impl Iterator<Item = u64> {
    (0..30_000_u64).map(|n| if n % 3 == 0 { n / 3 % 50 } else { 1000 + n })
}

#[test]
fn a_scan_does_not_wash_out_what_is_read_often() {
    let hits = |eviction: Eviction| Small::new(&eviction, 100).hits(hot_and_scan());
    // Of 10,000 reads of the hot blocks.
    assert_eq!(hits(Eviction::Lru), 0);
    assert_eq!(hits(Eviction::Fifo), 0);
    assert!(
        hits(Eviction::TinyLfu) > 9500,
        "{}",
        hits(Eviction::TinyLfu)
    );
    // Theirs come back while a ghost, or before the hand.
    assert!(hits(Eviction::S3Fifo) > 9500, "{}", hits(Eviction::S3Fifo));
}

#[test]
fn a_loop_that_does_not_fit_is_partly_kept() {
    let around = || (0..20_u64).flat_map(|_| 0..110);
    assert_eq!(Small::new(&Eviction::Lru, 100).hits(around()), 0);
    let hits = Small::new(&Eviction::TinyLfu, 100).hits(around());
    assert!(hits > 1000, "of 2090 that could be: {hits}");
}

#[test]
fn what_was_wanted_long_ago_makes_way() {
    for eviction in [Eviction::TinyLfu, Eviction::S3Fifo, Eviction::Sieve] {
        let mut small = Small::new(&eviction, 100);
        small.hits((0..50).flat_map(|_| 0..100));
        small.hits((0..50).flat_map(|_| 1000..1090));
        let hits = small.hits(1000..1090);
        assert!(hits > 70, "{eviction:?}: {hits}");
    }
}

#[test]
fn names_are_read_back() {
    for eviction in Eviction::all() {
        let again: Eviction = eviction.name().parse().unwrap();
        assert_eq!(again.name(), eviction.name());
    }
    let error = "mru".parse::<Eviction>().unwrap_err().to_string();
    assert!(
        error.contains("\"mru\"") && error.contains("s3-fifo"),
        "{error}"
    );
}
