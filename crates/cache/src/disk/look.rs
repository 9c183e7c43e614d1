//! Looking for blocks on disk: what is there and right, and what must be fetched.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::header::{Entry, Header};
use super::id::{ReplicaId, Sum};
use super::replica::{Found, Replica};
use super::stats::add;
use super::tier::Tier;

/// Blocks that one look reads: a reader gets the first of many after so many.
const LOOK_BLOCKS: usize = 4;

/// A use is noted once in so many seconds: a write for each read would cost more than it tells.
const NOTE_EVERY: u32 = 60;

/// What a look at some blocks found.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The first of them, at least one.
    Here(Vec<Bytes>),
    /// The first is not there, and so are not all up to this one. What is there between is fetched
    /// again: one request costs less than many.
    Missing(Range<u64>),
}

/// Why a block was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// The block of that number does not have this checksum.
    Block(u64, Sum),
    /// The header is not that of the object.
    Header,
}

impl Tier {
    /// Looks for `blocks`, which are some. Blocks the thread.
    pub(crate) fn look(self: &Arc<Self>, header: &Header, blocks: Range<u64>) -> Seen {
        match self.try_look(header, &blocks) {
            Ok(seen) => seen,
            // A disk that cannot be read is a disk with nothing on it.
            Err(_) => {
                self.open.remove(&header.id);
                Seen::Missing(blocks)
            }
        }
    }

    fn try_look(self: &Arc<Self>, header: &Header, blocks: &Range<u64>) -> io::Result<Seen> {
        let Some(replica) = self.replica(header)? else {
            return Ok(Seen::Missing(blocks.clone()));
        };
        let mut entries = replica.entries(blocks)?;
        let mut here = Vec::new();
        for (index, entry) in (blocks.start..).zip(&mut entries).take(LOOK_BLOCKS) {
            if !entry.is_present() {
                break;
            }
            let buffer = self.pool.take(replica.block_len(index));
            let Some(block) = replica.read(index, entry, buffer)? else {
                self.mismatch(&replica, index, entry)?;
                // Fetched, whatever its entry said.
                *entry = Entry::default();
                break;
            };
            add(&self.counters.read_bytes, block.len() as u64);
            here.push(self.pool.freeze(block));
            self.note_use(&replica, index, entry);
        }
        if !here.is_empty() {
            return Ok(Seen::Here(here));
        }
        let missing = entries.iter().rposition(|entry| !entry.is_present());
        let end = blocks.start + missing.unwrap_or(0) as u64 + 1;
        Ok(Seen::Missing(blocks.start..end))
    }

    /// The open replica, if there is one.
    fn replica(self: &Arc<Self>, header: &Header) -> io::Result<Option<Arc<Replica>>> {
        let id = header.id;
        if let Some(replica) = self.open.get(&id) {
            let is_same = replica.header.object.size == header.object.size;
            return Ok(is_same.then_some(replica));
        }
        match Replica::open(&self.folder, header)? {
            Found::Replica(replica) => {
                let replica = Arc::new(replica);
                self.open.insert(id, Arc::clone(&replica));
                Ok(Some(replica))
            }
            Found::Absent => Ok(None),
            Found::Useless => {
                self.found_damaged(header, Damage::Header);
                Ok(None)
            }
        }
    }

    /// A block does not have the checksum of its entry: it was evicted just now, or it is damaged.
    fn mismatch(
        self: &Arc<Self>,
        replica: &Arc<Replica>,
        index: u64,
        read: &Entry,
    ) -> io::Result<()> {
        let now = replica.entries(&(index..index + 1))?;
        if !replica.is_linked() {
            self.open_no_more(replica.header.id);
        } else if now.first().is_some_and(|now| now.sum == read.sum) {
            self.found_damaged(&replica.header, Damage::Block(index, read.sum));
        }
        Ok(())
    }

    pub(crate) fn open_no_more(&self, id: ReplicaId) {
        self.open.remove(&id);
    }

    fn note_use(&self, replica: &Replica, index: u64, entry: &Entry) {
        let now = self.seconds();
        if now.saturating_sub(entry.used) > NOTE_EVERY {
            // If it cannot be noted, the block is only older than it should be.
            replica.touch(index, now).ok();
        }
    }
}
