//! What the bytes of a file may be: each is derived from the file's number, a generation and its place.
//!
//! Law: a content says of each byte which generations it may be of; a content that is known exactly says one.

use std::ops::{Range, RangeInclusive};

use crate::dice::mix;

/// Zeros: holes, and what was cut off and extended again.
const ZEROS: u64 = 0;
/// A comparison makes so many bytes at once.
const PIECE: usize = 16 << 10;

/// Whether a write is known to have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Done,
    /// It may be there wholly, partly, or not at all.
    Perhaps,
}

/// One write, or the zeros that a cut leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layer {
    range: Range<u64>,
    generation: u64,
    certainty: Certainty,
}

/// What a file may hold: writes over each other, the last one on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    layers: Vec<Layer>,
    sizes: RangeInclusive<u64>,
}

/// Where bytes are none of those that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) at: u64,
    pub(super) expected: String,
}

impl Content {
    /// Of a file that was just made, or cut to nothing.
    pub(super) fn empty() -> Self {
        Self {
            layers: Vec::new(),
            sizes: 0..=0,
        }
    }

    /// The largest size that it may have.
    pub(super) fn size(&self) -> u64 {
        *self.sizes.end()
    }

    /// How many writes it is made of.
    pub(super) fn depth(&self) -> usize {
        self.layers.len()
    }

    /// After `length` bytes of `generation` were written at `at`.
    pub(super) fn write(&mut self, at: u64, length: u64, generation: u64) {
        let range = at..at + length;
        self.sizes = (*self.sizes.start()).max(range.end)..=self.size().max(range.end);
        if let Some(last) = self.layers.last_mut()
            && last.generation == generation
            && last.range.end == at
        {
            last.range.end = range.end;
            return;
        }
        self.layers.push(Layer {
            range,
            generation,
            certainty: Certainty::Done,
        });
    }

    /// After the size was set to `size`.
    pub(super) fn cut(&mut self, size: u64) {
        self.sizes = size..=size;
        self.layers.push(Layer {
            range: size..u64::MAX,
            generation: ZEROS,
            certainty: Certainty::Done,
        });
    }

    /// What may be there when only some of the writes that made `after` of this were done. `sizes` are those
    /// that the file went through.
    pub(super) fn mixed(&self, after: &Self, sizes: RangeInclusive<u64>) -> Self {
        let mut layers = self.layers.clone();
        // A write that went on where the last one ended is in that one's layer.
        let grown = self
            .layers
            .last()
            .filter(|last| after.layers.get(self.layers.len() - 1) != Some(*last));
        let first_new = self.layers.len() - usize::from(grown.is_some());
        let new = after.layers.iter().skip(first_new).cloned();
        layers.extend(new.map(|layer| Layer {
            certainty: Certainty::Perhaps,
            ..layer
        }));
        Self { layers, sizes }
    }

    /// The same with its size known.
    pub(super) fn with_size(mut self, size: u64) -> Self {
        self.sizes = size..=size;
        self
    }

    /// Holds `bytes` against it: `None` if they may be the content of `file`.
    pub(super) fn mismatch(&self, file: u64, bytes: &[u8]) -> Option<Mismatch> {
        let size = bytes.len() as u64;
        if !self.sizes.contains(&size) {
            let expected = format!("a size of {:?}", self.sizes);
            return Some(Mismatch { at: size, expected });
        }
        let mut edges: Vec<u64> = (self.layers.iter())
            .flat_map(|layer| [layer.range.start, layer.range.end])
            .filter(|edge| *edge < size)
            .chain([0, size])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        edges.windows(2).find_map(|pair| {
            let generations = self.generations(pair[0]);
            let part = &bytes[place(pair[0])..place(pair[1])];
            let at = differs(file, &generations, pair[0], part)?;
            let expected = format!("generation {generations:?}");
            Some(Mismatch { at, expected })
        })
    }

    /// Of which the byte at `at` may be.
    fn generations(&self, at: u64) -> Vec<u64> {
        let mut found = Vec::new();
        for layer in self.layers.iter().rev() {
            if layer.range.contains(&at) {
                found.push(layer.generation);
                if layer.certainty == Certainty::Done {
                    return found;
                }
            }
        }
        found.push(ZEROS);
        found
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The first byte that is of none of the generations.
fn differs(file: u64, generations: &[u64], at: u64, bytes: &[u8]) -> Option<u64> {
    let mut at = at;
    for piece in bytes.chunks(PIECE) {
        let made: Vec<Vec<u8>> = (generations.iter())
            .map(|generation| make(file, *generation, at, piece.len()))
            .collect();
        if !made.iter().any(|made| made == piece) {
            let is_none =
                |(index, byte): (usize, &u8)| made.iter().all(|made| made[index] != *byte);
            if let Some(index) = piece.iter().enumerate().position(is_none) {
                return Some(at + index as u64);
            }
        }
        at += piece.len() as u64;
    }
    None
}

/// `length` bytes of a file's generation from `at` on.
pub(super) fn make(file: u64, generation: u64, at: u64, length: usize) -> Vec<u8> {
    if generation == ZEROS {
        return vec![0; length];
    }
    let base = mix(mix(file) ^ generation);
    let first = at / 8;
    let skipped = usize::try_from(at % 8).unwrap_or_default();
    let mut bytes = Vec::with_capacity(skipped + length + 8);
    let mut word = first;
    while bytes.len() < skipped + length {
        let mut value = base ^ word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        value = (value ^ (value >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bytes.extend_from_slice(&(value ^ (value >> 32)).to_le_bytes());
        word += 1;
    }
    bytes.truncate(skipped + length);
    bytes.drain(..skipped);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 7;

    /// Writes as (place, length, generation), done to real bytes.
    fn bytes_of(writes: &[(u64, u64, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, length, generation) in writes {
            let (at, length) = (place(*at), place(*length));
            bytes.resize(bytes.len().max(at + length), 0);
            bytes[at..at + length].copy_from_slice(&make(FILE, *generation, at as u64, length));
        }
        bytes
    }

    fn content_of(writes: &[(u64, u64, u64)]) -> Content {
        let mut content = Content::empty();
        for (at, length, generation) in writes {
            content.write(*at, *length, *generation);
        }
        content
    }

    #[test]
    fn bytes_are_the_same_from_wherever_they_are_made() {
        let whole = make(FILE, 3, 0, 1000);
        for at in [1, 8, 13, 999] {
            assert_eq!(make(FILE, 3, at, 1000 - place(at)), whole[place(at)..]);
        }
        assert_ne!(make(FILE, 4, 0, 1000), whole);
        assert_ne!(make(FILE + 1, 3, 0, 1000), whole);
    }

    #[test]
    fn an_exact_content_takes_its_own_bytes_only() {
        let writes = [
            (0, 40_000, 1),
            (40_000, 5, 1),
            (100, 20, 2),
            (50_000, 10, 3),
        ];
        let content = content_of(&writes);
        let mut bytes = bytes_of(&writes);
        assert_eq!(content.mismatch(FILE, &bytes), None);
        assert_eq!(content.mismatch(FILE + 1, &bytes).unwrap().at, 0);
        assert!(content.mismatch(FILE, &bytes[..50_009]).is_some());
        // In the hole.
        bytes[45_000] = 1;
        assert_eq!(content.mismatch(FILE, &bytes).unwrap().at, 45_000);
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut content = content_of(&[(0, 1000, 1)]);
        content.cut(300);
        content.write(600, 10, 2);
        let mut bytes = bytes_of(&[(0, 300, 1), (600, 10, 2)]);
        assert_eq!(content.mismatch(FILE, &bytes), None);
        let old = make(FILE, 1, 0, 1000);
        bytes[400..500].copy_from_slice(&old[400..500]);
        assert!(content.mismatch(FILE, &bytes).is_some());
    }

    #[test]
    fn a_mixture_takes_each_write_or_what_was_before() {
        let before = [(0, 9_000, 1)];
        let after = [(0, 9_000, 1), (9_000, 1_000, 1), (100, 200, 2)];
        let mixed = content_of(&before).mixed(&content_of(&after), 9_000..=10_000);
        let other = [(0, 9_000, 1), (100, 200, 2)];
        for writes in [&before[..], &after[..], &other[..], &[(0, 9_500, 1)]] {
            assert_eq!(mixed.mismatch(FILE, &bytes_of(writes)), None, "{writes:?}");
        }
        for wrong in [
            &[(0, 8_000, 1)][..],
            &[(0, 9_000, 1), (90, 200, 2)],
            &[(0, 9_000, 2)],
        ] {
            assert!(
                mixed.mismatch(FILE, &bytes_of(wrong)).is_some(),
                "{wrong:?}"
            );
        }
    }
}
