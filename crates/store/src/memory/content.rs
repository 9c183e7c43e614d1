//! [`Content`]: immutable bytes in pieces, cut without copying.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::Payload;

/// The bytes of an object or a part. Cloning shares them. A slice keeps the whole buffer alive that
/// the writer gave.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Each piece with where it starts, in order; none is empty.
    pieces: Arc<[(u64, Bytes)]>,
    size: u64,
    checksum: u32,
}

impl Content {
    /// The pieces of a payload, one after another.
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let mut size = 0;
        let mut hasher = crc32fast::Hasher::new();
        let pieces = (pieces.into_iter())
            .filter(|piece| !piece.is_empty())
            .map(|piece| {
                let start = size;
                size += piece.len() as u64;
                hasher.update(&piece);
                (start, piece)
            })
            .collect();
        Self {
            pieces,
            size,
            checksum: hasher.finalize(),
        }
    }

    /// Contents one after another, without reading them.
    pub(super) fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut size = 0;
        let mut hasher = crc32fast::Hasher::new();
        let mut pieces = Vec::new();
        for part in parts {
            let part_hasher = crc32fast::Hasher::new_with_initial_len(part.checksum, part.size);
            hasher.combine(&part_hasher);
            let moved = (part.pieces.iter()).map(|(start, piece)| (size + start, piece.clone()));
            pieces.extend(moved);
            size += part.size;
        }
        Self {
            pieces: pieces.into(),
            size,
            checksum: hasher.finalize(),
        }
    }

    /// Bytes in all.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The pieces that make up `range`, which lies within the content.
    pub(super) fn slice(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> + Send + use<> {
        let pieces = Arc::clone(&self.pieces);
        let first =
            pieces.partition_point(|(start, piece)| start + piece.len() as u64 <= range.start);
        let last = pieces.partition_point(|(start, _)| *start < range.end);
        (first..last).map(move |index| {
            let (start, piece) = &pieces[index];
            let end = (range.end - start).min(piece.len() as u64);
            // Both lie within the piece, so they fit its length.
            piece.slice(to_index(range.start.saturating_sub(*start))..to_index(end))
        })
    }

    /// CRC-32 of all bytes.
    pub(super) const fn checksum(&self) -> u32 {
        self.checksum
    }
}

impl From<Payload> for Content {
    fn from(payload: Payload) -> Self {
        Self::new(payload.0)
    }
}

fn to_index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slice_is_the_right_one() {
        let text = b"abcdefghij";
        let pieces =
            ["ab", "", "c", "defgh", "ij"].map(|piece| Bytes::from_static(piece.as_bytes()));
        let content = Content::new(pieces);
        assert_eq!(content.size(), text.len() as u64);
        for start in 0..text.len() {
            for end in start..=text.len() {
                let joined: Vec<u8> = (content.slice(start as u64..end as u64))
                    .flat_map(|piece| piece.to_vec())
                    .collect();
                assert_eq!(joined, &text[start..end], "{start}..{end}");
            }
        }
    }

    #[test]
    fn joined_contents_are_the_same_as_one() {
        let of = |pieces: &[&'static str]| {
            Content::new(
                pieces
                    .iter()
                    .map(|piece| Bytes::from_static(piece.as_bytes())),
            )
        };
        let whole = of(&["abc", "", "de", "fghij"]);
        let joined = Content::concat([&of(&["abc"]), &of(&[]), &of(&["de", "fghij"])]);
        assert_eq!(joined.checksum(), whole.checksum());
        assert_eq!(joined.size(), whole.size());
        let bytes = |content: &Content| -> Vec<u8> {
            (content.slice(2..9))
                .flat_map(|piece| piece.to_vec())
                .collect()
        };
        assert_eq!(bytes(&joined), bytes(&whole));
    }

    #[test]
    fn a_slice_shares_the_bytes() {
        let bytes = Bytes::from(vec![7; 64]);
        let content = Content::new([bytes.clone()]);
        let slice = content.slice(8..16).next().unwrap();
        assert_eq!(slice.as_ptr(), bytes[8..].as_ptr());
    }
}
