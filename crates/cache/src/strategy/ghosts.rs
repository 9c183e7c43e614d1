//! [`Ghosts`]: fingerprints of blocks that went, to know them when they come back.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// A fingerprint is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The fingerprints of blocks that went, those of longest ago forgotten first.
#[derive(Debug, Default)]
pub struct Ghosts {
    order: VecDeque<(u64, u64)>,
    /// In which turn a fingerprint was added last: what stands in `order` under another turn is
    /// out of date.
    turns: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    turn: u64,
}

impl Ghosts {
    /// Adds one, and forgets so many that at most `blocks_max` are left.
    pub fn add(&mut self, fingerprint: u64, blocks_max: u64) {
        self.turn += 1;
        self.order.push_back((fingerprint, self.turn));
        self.turns.insert(fingerprint, self.turn);
        while self.order.len() as u64 > blocks_max {
            let Some((oldest, turn)) = self.order.pop_front() else {
                break;
            };
            if self.turns.get(&oldest) == Some(&turn) {
                self.turns.remove(&oldest);
            }
        }
    }

    /// Whether it went not long ago. It is no ghost any more.
    pub fn take(&mut self, fingerprint: u64) -> bool {
        self.turns.remove(&fingerprint).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ones_are_known_and_each_once() {
        let mut ghosts = Ghosts::default();
        for fingerprint in [1, 2, 1, 3] {
            ghosts.add(fingerprint, 3);
        }
        assert!(ghosts.take(1), "added again before it was forgotten");
        assert!(!ghosts.take(1));
        assert!(ghosts.take(2) && ghosts.take(3) && !ghosts.take(4));
        for fingerprint in 0..100 {
            ghosts.add(fingerprint, 3);
        }
        assert!(!ghosts.take(96) && ghosts.take(97));
        assert!(ghosts.order.len() <= 3 && ghosts.turns.len() <= 3);
        ghosts.add(7, 0);
        assert!(!ghosts.take(7));
    }
}
