//! What a version of the object holds: each block says which version it is of, and where it belongs.
//!
//! Law: size and bytes follow from the version's number alone, so whatever was read tells whose it is, and
//! whether it is all of it.

use anyhow::{Result, bail};

use crate::dice::mix;

/// Bytes of a block: what the kernel reads at least.
pub(crate) const BLOCK: usize = 4096;
/// Bytes of what stands at the front of a block.
const HEAD: usize = 16;
/// Versions have so many blocks at least: some begin smaller than what is fetched at once.
const BLOCKS_MIN: u64 = 4;
/// Most versions have fewer than so many blocks, half a MiB, so that many fit into a second.
const BLOCKS_SMALL: u64 = 128;
/// One pair in so many is large.
const LARGE_ONE_IN: u64 = 8;
/// Large ones have fewer than so many, 6 MiB: one read of all of it takes several requests.
const BLOCKS_LARGE: u64 = 1536;

/// Bytes of version `number`. Every other version is as large as the one before it: then nothing but its
/// bytes tells the two apart.
pub(crate) fn size(number: u64) -> u64 {
    let word = mix(number / 2 + 1);
    let most = if word.is_multiple_of(LARGE_ONE_IN) {
        BLOCKS_LARGE
    } else {
        BLOCKS_SMALL
    };
    let blocks = BLOCKS_MIN + mix(word) % (most - BLOCKS_MIN);
    // The last block is cut somewhere behind its head.
    let cut = mix(word ^ 1) % (BLOCK - HEAD) as u64;
    blocks * BLOCK as u64 - cut
}

/// The bytes of version `number`.
pub(crate) fn whole(number: u64) -> Vec<u8> {
    let size = usize::try_from(size(number)).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size + BLOCK);
    for at in 0..(size.div_ceil(BLOCK) as u64) {
        bytes.extend_from_slice(&block(number, at));
    }
    bytes.truncate(size);
    bytes
}

fn block(number: u64, at: u64) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK);
    block.extend_from_slice(&number.to_le_bytes());
    block.extend_from_slice(&at.to_le_bytes());
    let mut word = mix(number ^ mix(at + 1));
    while block.len() < BLOCK {
        word = mix(word.wrapping_add(0x9E37_79B9_7F4A_7C15));
        block.extend_from_slice(&word.to_le_bytes());
    }
    block
}

/// Which version `bytes` are of, that were read from block `first` on. There are none in nothing.
///
/// # Errors
/// They are of several versions, of none, or of another place.
pub(crate) fn version(bytes: &[u8], first: u64) -> Result<Option<u64>> {
    let mut found = None;
    for (at, piece) in (first..).zip(bytes.chunks(BLOCK)) {
        let (Some(number), true) = (piece.first_chunk(), piece.len() >= HEAD) else {
            bail!("block {at} has {} bytes only", piece.len());
        };
        let number = u64::from_le_bytes(*number);
        if found.is_some_and(|before| before != number) {
            bail!("block {at} is of version {number}, the one before of {found:?}");
        }
        found = Some(number);
        let right = block(number, at);
        if let Some(place) = (0..piece.len()).find(|place| piece[*place] != right[*place]) {
            bail!("block {at} of version {number} has another byte at {place}");
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_tells_its_version_and_place() {
        for number in [0, 1, 7, 8] {
            let bytes = whole(number);
            assert_eq!(bytes.len() as u64, size(number));
            assert_eq!(version(&bytes, 0).unwrap(), Some(number));
            assert_eq!(version(&bytes[BLOCK..], 1).unwrap(), Some(number));
            version(&bytes[BLOCK..], 2).unwrap_err();
        }
        assert_eq!(version(&[], 3).unwrap(), None);
    }

    #[test]
    fn what_is_mixed_zero_or_changed_is_found() {
        let (one, other) = (whole(2), whole(3));
        assert_eq!(one.len(), other.len(), "pairs are of one size");
        let mixed = [&one[..BLOCK], &other[BLOCK..]].concat();
        version(&mixed, 0).unwrap_err();
        let mut zeros = one.clone();
        zeros[BLOCK..2 * BLOCK].fill(0);
        version(&zeros, 0).unwrap_err();
        let mut changed = one;
        *changed.last_mut().unwrap() ^= 1;
        version(&changed, 0).unwrap_err();
    }

    #[test]
    fn sizes_differ_within_their_bounds() {
        let sizes: std::collections::BTreeSet<u64> = (0..2000).map(size).collect();
        assert!(sizes.len() > 500);
        let most = BLOCKS_LARGE * BLOCK as u64;
        assert!(sizes.iter().all(|size| (BLOCK as u64..most).contains(size)));
    }
}
