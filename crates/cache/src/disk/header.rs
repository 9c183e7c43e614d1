//! [`Header`]: how the map of a replica begins.
//!
//! ```text
//! "CMREPLIC"  format u32  block_bytes u32  size u64  key_len u32  version_len u32  id [32]
//! key  version  xxh3_128 of all this
//! ```
//!
//! Numbers are little-endian. After it comes one [`Entry`] for each block. Who opens a replica for an
//! object knows each byte of its header; only what walks the folder reads one.

use xxhash_rust::xxh3::xxh3_128;

use super::id::{ReplicaId, Sum};
use crate::ObjectRef;
use crate::geometry::Geometry;

const MAGIC: [u8; 8] = *b"CMREPLIC";

/// A file of another format is nobody's: it is never read, and it is the first to go.
const FORMAT: u32 = 1;

/// What comes before the key.
const FIXED: usize = 8 + 4 + 4 + 8 + 4 + 4 + 32;

/// The checksum at its end.
const SUM: usize = 16;

/// Longest header: of a key of 1,024 bytes, the most that S3 allows, and a version of as many; room
/// for other stores. An object with longer ones is not kept on disk.
pub(crate) const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Bytes of an entry in the map.
pub(crate) const ENTRY_BYTES: u64 = 20;

/// What the map says of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Entry {
    /// The checksum, or [`ABSENT`](super::id::ABSENT).
    pub(crate) sum: Sum,
    /// Seconds since 1970 of its last use, roughly.
    pub(crate) used: u32,
}

impl Entry {
    pub(crate) fn is_present(&self) -> bool {
        self.sum != super::id::ABSENT
    }

    pub(crate) fn encode(&self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.sum);
        bytes[16..].copy_from_slice(&self.used.to_le_bytes());
        bytes
    }

    /// The entry in the first bytes of `bytes`. What is missing is zeros: a map ends with the last
    /// block that was ever kept.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut all = [0; 20];
        let len = bytes.len().min(all.len());
        all[..len].copy_from_slice(&bytes[..len]);
        let mut entry = Self::default();
        entry.sum.copy_from_slice(&all[..16]);
        entry.used = u32::from_le_bytes([all[16], all[17], all[18], all[19]]);
        entry
    }
}

/// What a replica is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) id: ReplicaId,
    pub(crate) object: ObjectRef,
    pub(crate) geometry: Geometry,
    /// Bytes of the header: where the entries begin.
    pub(crate) len: u64,
}

impl Header {
    pub(crate) fn new(id: ReplicaId, object: &ObjectRef, geometry: Geometry) -> Self {
        let len = FIXED + object.key.len() + object.version.len() + SUM;
        Self {
            id,
            object: object.clone(),
            geometry,
            len: len as u64,
        }
    }

    /// The header in bytes; `None` if the names are too long.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let (key, version) = (&self.object.key, &self.object.version);
        let len = usize::try_from(self.len).ok()?;
        if len > HEADER_BYTES_MAX {
            return None;
        }
        let number = |value: usize| u32::try_from(value).ok().map(u32::to_le_bytes);
        let block_bytes = u32::try_from(self.geometry.block_bytes()).ok()?;
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(block_bytes.to_le_bytes());
        bytes.extend(self.object.size.to_le_bytes());
        bytes.extend(number(key.len())?);
        bytes.extend(number(version.len())?);
        bytes.extend(self.id.as_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(version.as_bytes());
        let sum = xxh3_128(&bytes).to_le_bytes();
        bytes.extend(sum);
        Some(bytes)
    }

    /// The header that `bytes` begin with; `None` if it is damaged or of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != MAGIC || take(&mut rest).map(u32::from_le_bytes)? != FORMAT {
            return None;
        }
        let block_bytes = take(&mut rest).map(u32::from_le_bytes)?;
        let size = take(&mut rest).map(u64::from_le_bytes)?;
        let key_len = usize::try_from(take(&mut rest).map(u32::from_le_bytes)?).ok()?;
        let version_len = usize::try_from(take(&mut rest).map(u32::from_le_bytes)?).ok()?;
        let id = ReplicaId::from_bytes(take(&mut rest)?);
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (version, mut rest) = rest.split_at_checked(version_len)?;
        let len = FIXED + key_len + version_len;
        let sum = take(&mut rest).map(u128::from_le_bytes)?;
        if sum != xxh3_128(&bytes[..len]) || !block_bytes.is_power_of_two() {
            return None;
        }
        let (key, version) = (str::from_utf8(key).ok()?, str::from_utf8(version).ok()?);
        let object = ObjectRef::new(key, version, size);
        let header = Self::new(id, &object, Geometry::new(block_bytes.into()));
        Some(header)
    }

    /// How many blocks the object has.
    pub(crate) fn blocks(&self) -> u64 {
        self.geometry.blocks(&(0..self.object.size)).end
    }

    /// Where the entry of a block lies in the map.
    pub(crate) fn entry_at(&self, index: u64) -> u64 {
        self.len + index * ENTRY_BYTES
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(key: &str, version: &str, size: u64) -> Header {
        let object = ObjectRef::new(key, version, size);
        let id = ReplicaId::new("bucket", &object, 4096);
        Header::new(id, &object, Geometry::new(4096))
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(
            key in ".{0,40}",
            version in ".{0,40}",
            size: u64,
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let written = header(&key, &version, size);
            let mut bytes = written.encode().unwrap();
            prop_assert_eq!(bytes.len() as u64, written.len);
            bytes.extend(after);
            let read = Header::decode(&bytes).unwrap();
            prop_assert_eq!(read.object.size, size);
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_damaged_header_is_read(at in 0_usize..100, bit in 0..8, cut in 0_usize..100) {
            let bytes = header("some/key", "some version", 12345).encode().unwrap();
            let mut damaged = bytes.clone();
            damaged[at % bytes.len()] ^= 1_u8 << bit;
            prop_assert_eq!(Header::decode(&damaged), None);
            prop_assert_eq!(Header::decode(&bytes[..cut % bytes.len()]), None);
        }

        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Header::decode(&bytes), None);
        }
    }

    #[test]
    fn names_that_are_too_long_are_not_kept() {
        assert!(
            header(&"k".repeat(1024), &"v".repeat(1024), 1)
                .encode()
                .is_some()
        );
        assert!(
            header("k", &"v".repeat(HEADER_BYTES_MAX), 1)
                .encode()
                .is_none()
        );
    }

    #[test]
    fn what_is_missing_of_an_entry_is_absent() {
        let entry = Entry {
            sum: [7; 16],
            used: 99,
        };
        assert_eq!(Entry::decode(&entry.encode()), entry);
        assert!(!Entry::decode(&[]).is_present());
    }
}
