//! What is stored for one inode, and what callers see of it.
//!
//! Law: a number is in the table as long as a name leads to it, or a caller holds it. Without a
//! caller it may be *cold*: the number, its kind and its place stay, the payload is gone.

use std::hash::{BuildHasherDefault, Hasher};

use cloudmount_vfs::{Cookie, Generation, InodeId, NodeKind};

use crate::dir::Dir;

/// An inode, as the table hands it out. It raises no count: see
/// [`remember`](crate::InodeTable::remember).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<P> {
    /// Its number.
    pub ino: InodeId,
    /// The same for all inodes of a table.
    pub generation: Generation,
    /// What it is; never changes for a number.
    pub kind: NodeKind,
    /// What the caller stored with it.
    pub payload: P,
}

/// Where a name is known to exist.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Locality {
    /// Here, and not known to be in the store: no answer of the store removes it.
    Local,
    /// In the store, as far as known.
    Remote,
}

/// The dentry that leads to an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    /// The directory.
    pub(crate) parent: InodeId,
    /// The dentry's cookie in it.
    pub(crate) cookie: Cookie,
}

/// What the table keeps under a number.
#[derive(Debug)]
pub(crate) enum Entry<P> {
    /// Cold: only its place. A cold directory whose children are known is a full node without
    /// payload instead.
    Bare(Link),
    /// All the rest.
    Full(Box<Node<P>>),
}

/// An inode with payload, or a cold directory with known children.
#[derive(Debug)]
pub(crate) struct Node<P> {
    /// `None` for the root and for orphans.
    pub(crate) link: Option<Link>,
    pub(crate) kind: NodeKind,
    /// Always remote without a link or a payload.
    pub(crate) locality: Locality,
    /// `None`: cold.
    pub(crate) payload: Option<P>,
    /// Lookups that were not forgotten yet.
    pub(crate) lookups: u64,
    /// Open handles and the like.
    pub(crate) pins: u32,
    /// Its place in the list of reclaimable inodes, if it is one.
    pub(crate) idle: Option<Neighbours>,
    /// For directories only.
    pub(crate) dir: Option<Box<Dir>>,
}

/// The inodes before and after, in the list of reclaimable ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Neighbours {
    pub(crate) before: Option<InodeId>,
    pub(crate) after: Option<InodeId>,
}

impl<P> Node<P> {
    pub(crate) const fn new(kind: NodeKind, payload: P, dir: Option<Box<Dir>>) -> Self {
        Self {
            link: None,
            kind,
            locality: Locality::Remote,
            payload: Some(payload),
            lookups: 0,
            pins: 0,
            idle: None,
            dir,
        }
    }

    /// Whether a caller holds it.
    pub(crate) const fn is_held(&self) -> bool {
        self.lookups > 0 || self.pins > 0
    }

    /// How many local names it counts for in its ancestors: itself and those below it.
    pub(crate) fn local_weight(&self) -> u64 {
        u64::from(self.locality == Locality::Local) + self.dir.as_ref().map_or(0, |dir| dir.locals)
    }
}

/// Hashes numbers that this crate's own counter has given, so nobody can choose them to collide.
///
/// Multiplication by an odd number spreads a run of numbers over the low bits without a collision
/// and mixes the high ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InoHasher(u64);

/// 2^64 divided by the golden ratio (Knuth, "The Art of Computer Programming", vol. 3, 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for InoHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(GOLDEN);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type BuildInoHasher = BuildHasherDefault<InoHasher>;
