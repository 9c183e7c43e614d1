//! [`Pages`]: what the page cache holds of one inode.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Most bytes that are kept of one inode. Checking what is kept means reading it again, so the
/// bound keeps tests of large files fast.
const BYTES_MAX: usize = 1 << 20;

/// Pieces of content as they were read, by offset; they do not overlap.
#[derive(Debug, Default)]
pub(super) struct Pages(BTreeMap<u64, Bytes>);

impl Pages {
    /// Keeps what was read at `offset`, unless too much is kept already.
    pub(super) fn insert(&mut self, offset: u64, data: Bytes) {
        let kept: usize = self.0.values().map(Bytes::len).sum();
        if data.is_empty() || kept + data.len() > BYTES_MAX {
            return;
        }
        self.cut(offset, offset + data.len() as u64);
        self.0.insert(offset, data);
    }

    /// Drops what lies in `start..end`.
    pub(super) fn cut(&mut self, start: u64, end: u64) {
        let touched: Vec<_> = self
            .0
            .range(..end)
            .filter(|(at, data)| *at + data.len() as u64 > start)
            .map(|(at, _)| *at)
            .collect();
        for at in touched {
            let Some(data) = self.0.remove(&at) else {
                continue;
            };
            let piece_end = at + data.len() as u64;
            let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            if at < start {
                self.0.insert(at, data.slice(..narrow(start - at)));
            }
            if piece_end > end {
                self.0.insert(end, data.slice(narrow(end - at)..));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A copy of what is kept.
    pub(super) fn pieces(&self) -> Vec<(u64, Bytes)> {
        self.0
            .iter()
            .map(|(at, data)| (*at, data.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_leaves_both_sides() {
        let mut pages = Pages::default();
        pages.insert(10, Bytes::from_static(b"0123456789"));
        pages.insert(20, Bytes::from_static(b"abc"));
        pages.cut(12, 21);
        let left: Vec<(u64, Bytes)> = vec![
            (10, Bytes::from_static(b"01")),
            (21, Bytes::from_static(b"bc")),
        ];
        assert_eq!(pages.pieces(), left);
        pages.cut(0, u64::MAX);
        assert!(pages.pieces().is_empty());
    }
}
