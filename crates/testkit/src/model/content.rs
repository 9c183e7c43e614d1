//! [`Content`]: the bytes of one file, with holes.
//!
//! Laws: what was never written reads as zeros; what was cut off never comes back; memory is
//! proportional to what was written, not to the size.

use std::collections::BTreeMap;
use std::ops::Range;

/// The grain of holes: what `lseek` can tell apart. A page, as on most local filesystems.
const BLOCK_BYTES: u64 = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    size: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Content {
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of `offset..offset + length`, as far as the file goes.
    pub(super) fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let end = offset.saturating_add(length).min(self.size);
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let (block, within) = piece(at, end);
            match self.blocks.get(&block) {
                Some(data) => bytes.extend_from_slice(&data[within.clone()]),
                None => bytes.resize(bytes.len() + within.len(), 0),
            }
            at += within.len() as u64;
        }
        bytes
    }

    /// Puts `data` at `offset`; the file grows if it must.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let (mut at, mut rest) = (offset, data);
        while at < end {
            let (block, within) = piece(at, end);
            let (now, later) = rest.split_at(within.len());
            let target = self.blocks.entry(block).or_insert_with(empty_block);
            target[within].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        if !data.is_empty() {
            self.size = self.size.max(end);
        }
    }

    /// Cuts the file, or extends it with a hole.
    pub(super) fn resize(&mut self, size: u64) {
        if size < self.size {
            self.blocks.split_off(&size.div_ceil(BLOCK_BYTES));
            let (block, within) = piece(size, u64::MAX);
            if let Some(data) = self.blocks.get_mut(&block) {
                data[within].fill(0);
            }
        }
        self.size = size;
    }

    /// As [`resize`](Self::resize), but keeps what it cuts: wrong on purpose, for
    /// [`Flaw`](super::Flaw).
    pub(super) const fn resize_leaving_tail(&mut self, size: u64) {
        self.size = size;
    }

    /// The first byte at or after `offset` that is not in a hole; `None` if none is left.
    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        let (block, _) = self.blocks.range(offset / BLOCK_BYTES..).next()?;
        Some(offset.max(block * BLOCK_BYTES)).filter(|at| *at < self.size)
    }

    /// The first byte at or after `offset` that is in a hole, or the size.
    pub(super) fn next_hole(&self, offset: u64) -> u64 {
        let mut block = offset / BLOCK_BYTES;
        while self.blocks.contains_key(&block) {
            block += 1;
        }
        offset.max(block * BLOCK_BYTES).min(self.size)
    }
}

fn empty_block() -> Box<[u8]> {
    vec![0; usize::try_from(BLOCK_BYTES).unwrap_or_default()].into()
}

/// The block of `at`, and what of `at..end` lies in it.
fn piece(at: u64, end: u64) -> (u64, Range<usize>) {
    let block = at / BLOCK_BYTES;
    let start = at % BLOCK_BYTES;
    let within_end = (start + (end - at)).min(BLOCK_BYTES);
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    (block, narrow(start)..narrow(within_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_a_vector_of_bytes() {
        let mut plain = Vec::<u8>::new();
        let mut content = Content::default();
        let steps = [
            (0_u64, 10_usize),
            (4090, 20),
            (100_000, 1),
            (3, 5000),
            (8192, 4096),
        ];
        for (step, (offset, length)) in steps.into_iter().enumerate() {
            let start = usize::try_from(offset).unwrap();
            let data = vec![u8::try_from(step).unwrap() + 1; length];
            plain.resize(plain.len().max(start + length), 0);
            plain[start..start + length].copy_from_slice(&data);
            content.write(offset, &data);
            assert_eq!(content.read(0, u64::MAX), plain);
        }
        for size in [5000, 4096, 4095, 9000, 0, 1] {
            plain.resize(size, 0);
            content.resize(size as u64);
            assert_eq!(content.read(0, u64::MAX), plain);
        }
    }

    #[test]
    fn holes_are_found() {
        let mut content = Content::default();
        content.write(2 * BLOCK_BYTES + 5, b"x");
        content.resize(1 << 40);
        assert_eq!(content.next_data(0), Some(2 * BLOCK_BYTES));
        assert_eq!(content.next_hole(2 * BLOCK_BYTES + 5), 3 * BLOCK_BYTES);
        assert_eq!(content.next_data(3 * BLOCK_BYTES), None);
        assert_eq!(content.next_hole(7), 7);
    }
}
