//! [`ReplicaId`]: which version of which object of which bucket, as a name of fixed length.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use crate::ObjectRef;

/// Bytes of a SHA-256.
const BYTES: usize = 32;

/// The two files of a replica: its bytes, and the list of its blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Data,
    Map,
}

impl Part {
    const fn extension(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Map => "map",
        }
    }
}

/// The SHA-256 of bucket, key, version and block size: no two replicas share a name, and every
/// checksum is bound to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaId([u8; BYTES]);

/// The checksum of a block in its place.
pub(crate) type Sum = [u8; 16];

/// What stands for a block that is not there.
pub(crate) const ABSENT: Sum = [0; 16];

/// The digest of these, begun: each counts with its length, so that none runs into the next.
pub(crate) fn digest_of(parts: &[&str]) -> Sha256 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ReplicaId {
    pub(crate) fn new(bucket: &str, object: &ObjectRef, block_bytes: u64) -> Self {
        let mut digest = digest_of(&[bucket, &object.key, &object.version]);
        digest.update(block_bytes.to_le_bytes());
        Self(digest.finalize().into())
    }

    pub(crate) const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    pub(crate) fn path(&self, folder: &Path, part: Part) -> PathBuf {
        folder.join(format!("{self}.{}", part.extension()))
    }

    /// What a file's name says, if it is one of ours.
    pub(crate) fn parse(name: &str) -> Option<(Self, Part)> {
        let (hex, extension) = name.split_once('.')?;
        let part = [Part::Data, Part::Map]
            .into_iter()
            .find(|part| part.extension() == extension)?;
        let mut bytes = [0; BYTES];
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if hex.len() != 2 * BYTES || !hex.bytes().all(is_hex) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some((Self(bytes), part))
    }

    /// The checksum of `block` as block `index` of this replica: bytes of another place, another
    /// version or another length do not have it. Never [`ABSENT`].
    pub(crate) fn sum(&self, index: u64, block: &[u8]) -> Sum {
        let mut bound = [0; BYTES + 32];
        bound[..BYTES].copy_from_slice(&self.0);
        bound[BYTES..BYTES + 8].copy_from_slice(&index.to_le_bytes());
        bound[BYTES + 8..BYTES + 16].copy_from_slice(&(block.len() as u64).to_le_bytes());
        bound[BYTES + 16..].copy_from_slice(&xxh3_128(block).to_le_bytes());
        xxh3_128(&bound).max(1).to_le_bytes()
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_identity_counts() {
        let id = |bucket: &str, key: &str, version: &str, block| {
            ReplicaId::new(bucket, &ObjectRef::new(key, version, 1), block)
        };
        let all = [
            id("b", "k", "v", 4096),
            id("c", "k", "v", 4096),
            id("b", "kv", "", 4096),
            id("b", "", "kv", 4096),
            id("bk", "", "v", 4096),
            id("b", "k", "v", 8192),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        let size = ReplicaId::new("b", &ObjectRef::new("k", "v", 2), 4096);
        assert_eq!(size, all[0], "a version has one size");
    }

    #[test]
    fn names_are_told_from_others() {
        let id = ReplicaId::new("b", &ObjectRef::new("k", "v", 1), 4096);
        assert_eq!(
            ReplicaId::parse(&format!("{id}.map")),
            Some((id, Part::Map))
        );
        assert_eq!(
            ReplicaId::parse(&format!("{id}.data")),
            Some((id, Part::Data))
        );
        let long = format!("{id}0.map");
        let upper = format!("{}.map", id.to_string().to_uppercase());
        let foreign = [&long, &upper, "", ".map", "photo.jpg", "é.map", "ledger"];
        for name in foreign {
            assert_eq!(ReplicaId::parse(name), None, "{name}");
        }
        assert_eq!(ReplicaId::parse(&format!("{id}.map.bak")), None);
    }

    #[test]
    fn a_sum_is_bound_to_its_place() {
        let id = ReplicaId::new("b", &ObjectRef::new("k", "v", 1), 4096);
        let other = ReplicaId::new("b", &ObjectRef::new("k", "w", 1), 4096);
        let sum = id.sum(3, b"bytes");
        assert_eq!(sum, id.sum(3, b"bytes"));
        for wrong in [
            id.sum(2, b"bytes"),
            id.sum(3, b"bytez"),
            id.sum(3, b"byte"),
            other.sum(3, b"bytes"),
            ABSENT,
        ] {
            assert_ne!(sum, wrong);
        }
    }
}
