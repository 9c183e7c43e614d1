//! [`Sketch`]: about how often something was seen lately, in one byte for each block of the room.
//!
//! A count-min sketch of four rows that halves all counts now and then, after Einziger, Friedman,
//! Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017.

use crate::geometry::in_memory;

/// Rows: the least of so many counts is taken, so that two fingerprints must meet in all of them.
const ROWS: u32 = 4;
/// A count stops here, as in the paper: more often than others is all that is asked.
const COUNT_MAX: u8 = 15;
/// Counts for each block of the room: with fewer, strangers share too many.
const COUNTS_PER_BLOCK: u64 = 8;
/// Counts of the least and of the largest sketch: 16 MiB stand for two million blocks.
const COUNTS_MIN: u64 = 64;
const COUNTS_MAX: u64 = 1 << 24;
/// After so many times the blocks of the room, what was seen counts half. As in the paper.
const LATELY: u64 = 10;

#[derive(Debug)]
pub(super) struct Sketch {
    counts: Box<[u8]>,
    /// One less than their number, which is a power of two.
    mask: u64,
    seen: u64,
    seen_max: u64,
}

impl Sketch {
    /// For a room of about so many blocks.
    pub(super) fn new(blocks: u64) -> Self {
        let counts = blocks.saturating_mul(COUNTS_PER_BLOCK);
        let counts = counts.clamp(COUNTS_MIN, COUNTS_MAX).next_power_of_two();
        Self {
            counts: vec![0; in_memory(counts)].into_boxed_slice(),
            mask: counts - 1,
            seen: 0,
            seen_max: LATELY * (counts / COUNTS_PER_BLOCK),
        }
    }

    /// It was seen once more.
    pub(super) fn add(&mut self, fingerprint: u64) {
        for row in 0..ROWS {
            let at = self.at(fingerprint, row);
            self.counts[at] = COUNT_MAX.min(self.counts[at] + 1);
        }
        self.seen += 1;
        if self.seen >= self.seen_max {
            self.seen /= 2;
            for count in &mut self.counts {
                *count /= 2;
            }
        }
    }

    /// How often it was seen lately: at least as often as it was, up to [`COUNT_MAX`].
    pub(super) fn count(&self, fingerprint: u64) -> u8 {
        let counts = (0..ROWS).map(|row| self.counts[self.at(fingerprint, row)]);
        counts.min().unwrap_or(0)
    }

    fn at(&self, fingerprint: u64, row: u32) -> usize {
        // An odd number for each row makes four places out of one fingerprint.
        let spread = (fingerprint.rotate_left(16 * row)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        in_memory((spread >> 32) & self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_never_too_low_and_fade() {
        let mut sketch = Sketch::new(64);
        for _ in 0..5 {
            sketch.add(42);
        }
        assert_eq!(sketch.count(42), 5);
        for _ in 0..100 {
            sketch.add(42);
        }
        assert_eq!(sketch.count(42), COUNT_MAX);
        for _ in 0..1000 {
            sketch.add(43);
        }
        assert!(sketch.count(42) < COUNT_MAX, "{}", sketch.count(42));
        assert_eq!(sketch.count(43), COUNT_MAX);
    }

    #[test]
    fn strangers_rarely_look_familiar() {
        let mut sketch = Sketch::new(256);
        let spread = |n: u64| n.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        for n in 0..256 {
            sketch.add(spread(n) ^ spread(n) >> 29);
        }
        let wrong = (1000..2000).filter(|n| sketch.count(spread(*n) ^ spread(*n) >> 29) > 0);
        assert!(wrong.count() < 100);
    }
}
