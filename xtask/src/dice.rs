//! Random numbers from a seed.

use std::ops::RangeInclusive;

/// A generator whose whole state is one word: Steele, Lea and Flood's SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A generator of its own for each of `words`.
    pub(crate) fn new(words: &[u64]) -> Self {
        Self(words.iter().fold(0, |state, word| mix(state ^ mix(*word))))
    }

    /// The generator whose state is `state`.
    pub(crate) fn from_state(state: u64) -> Self {
        Self(state)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number of `range`, which holds one at least and not all.
    pub(crate) fn of(&mut self, range: RangeInclusive<u64>) -> u64 {
        let count = range.end() - range.start() + 1;
        range.start() + self.next() % count
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    /// One of them; `None` if there is none.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = of.len() as u64;
        let at = self.next().checked_rem(count)?;
        of.get(usize::try_from(at).unwrap_or_default())
    }
}

/// Every bit of `value` moves every bit of the result.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
