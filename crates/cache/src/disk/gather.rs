//! [`Gather`]: blocks put together from the pieces that come from below, to be kept.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::fill::{Job, Keep};
use super::header::Header;
use super::stats::add;
use super::tier::Tier;
use crate::geometry::in_memory;

/// Follows a stream of bytes and keeps the whole blocks in it for which there is room.
#[derive(Debug)]
pub(crate) struct Gather {
    /// Where the stream is.
    at: u64,
    /// Where it ends.
    end: u64,
    block: Option<Block>,
}

/// A block in the making.
#[derive(Debug)]
struct Block {
    index: u64,
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
}

impl Gather {
    /// For a stream of `range`.
    pub(crate) fn new(range: &Range<u64>) -> Self {
        Self {
            at: range.start,
            end: range.end,
            block: None,
        }
    }

    /// Takes the next piece, which lies within the range.
    pub(crate) fn push(&mut self, tier: &Arc<Tier>, header: &Header, mut piece: &[u8]) {
        while !piece.is_empty() {
            let index = tier.geometry.index(self.at);
            let start = tier.geometry.start(index);
            let len = tier.geometry.block_len(index, header.object.size);
            let end = start + len as u64;
            if self.at == start && end <= self.end {
                self.block = begin(tier, index, len);
            }
            let take = piece.len().min(in_memory(end - self.at));
            let (now, later) = piece.split_at(take);
            piece = later;
            self.at += take as u64;
            let Some(block) = &mut self.block else {
                continue;
            };
            block.bytes.extend_from_slice(now);
            if self.at == end
                && let Some(block) = self.block.take()
            {
                tier.enqueue(Job::Keep(Keep {
                    header: header.clone(),
                    index: block.index,
                    block: tier.pool.freeze(block.bytes),
                    room: block.room,
                }));
            }
        }
    }
}

fn begin(tier: &Arc<Tier>, index: u64, len: usize) -> Option<Block> {
    let permits = u32::try_from(len).ok()?;
    let room = if tier.is_off() {
        None
    } else {
        let room = Arc::clone(&tier.queue_room);
        room.try_acquire_many_owned(permits).ok()
    };
    let Some(room) = room else {
        add(&tier.counters.skipped, 1);
        return None;
    };
    Some(Block {
        index,
        bytes: tier.pool.take(len),
        room,
    })
}
