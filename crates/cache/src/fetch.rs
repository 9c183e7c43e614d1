//! One request: its bytes are cut into blocks, and each is kept and handed over when complete.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Buf;
use cloudmount_vfs::{Error, ErrorKind, Result, ResultExt};
use futures::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::ObjectRef;
use crate::cache::Shared;
use crate::flight::{Failure, Purpose, Slot};
use crate::geometry::in_memory;
use crate::memory::Target;
use crate::pace::Awaited;
use crate::paced::Timed;

/// A request for blocks that this alone has under way. Dropped early, as when the runtime ends, it
/// tells all who wait.
pub(crate) struct Fetch {
    shared: Arc<Shared>,
    object: ObjectRef,
    hash: u64,
    /// The block that `slots` begins with.
    index: u64,
    /// What is still to come.
    slots: VecDeque<Arc<Slot>>,
    demand_bytes: u64,
    demand_room: Option<OwnedSemaphorePermit>,
    ahead_room: Option<OwnedSemaphorePermit>,
    /// Whether anybody waited for what has come.
    awaited: Awaited,
}

impl Fetch {
    /// A request for the blocks of `slots`, of which `demand_bytes` are waited for and the others
    /// have their room already.
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: Target<'_>,
        first: u64,
        slots: VecDeque<Arc<Slot>>,
        demand_bytes: u64,
        ahead_room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            shared,
            object: target.object.clone(),
            hash: target.hash,
            index: first,
            slots,
            demand_bytes,
            demand_room: None,
            ahead_room,
            awaited: Awaited::No,
        }
    }

    /// Carries it out.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.transfer().await {
            self.fail(error);
        }
    }

    async fn transfer(&mut self) -> Result<()> {
        self.wait_for_room().await?;
        let blocks = self.index..self.index + self.slots.len() as u64;
        let geometry = self.shared.limits.geometry;
        let range = geometry.bytes(&blocks, self.object.size);
        let mut missing = in_memory(range.end - range.start);
        self.shared.counters.requested();
        let mut timed = Timed::new(self.shared.clock.now(), range.end - range.start);
        let mut stream = self.shared.source.fetch(&self.object, range).await?;
        let mut block = Vec::new();
        while let Some(piece) = stream.next().await {
            let mut piece = piece?;
            timed.arrived(&*self.shared.clock);
            self.shared.counters.fetched(piece.len());
            let Some(rest) = missing.checked_sub(piece.len()) else {
                let context = "the source gave more than it was asked for";
                return Err(Error::new(ErrorKind::Corrupt, context));
            };
            missing = rest;
            while piece.has_remaining() {
                let len = geometry.block_len(self.index, self.object.size);
                // Copied, although it could be shared: a piece may be a slice of a buffer of any
                // size, which the limit on memory would not see.
                if block.capacity() == 0 {
                    block = self.shared.block_pool.take(len);
                }
                let take = piece.len().min(len - block.len());
                block.extend_from_slice(&piece[..take]);
                piece.advance(take);
                if block.len() == len {
                    self.complete(std::mem::take(&mut block));
                }
            }
        }
        if missing > 0 {
            let context = format!("the source ended {missing} bytes early");
            return Err(Error::new(ErrorKind::Io, context));
        }
        if let Some(sample) = timed.sample(&*self.shared.clock, self.awaited) {
            self.shared.pace.heard(sample);
        }
        Ok(())
    }

    async fn wait_for_room(&mut self) -> Result<()> {
        if self.demand_bytes == 0 {
            return Ok(());
        }
        let unwaitable = || "wait for memory";
        let bytes = u32::try_from(self.demand_bytes).or_kind(ErrorKind::Io, unwaitable)?;
        let room = Arc::clone(&self.shared.demand_room).acquire_many_owned(bytes);
        self.demand_room = Some(room.await.or_kind(ErrorKind::Interrupted, unwaitable)?);
        Ok(())
    }

    /// Keeps the next block, hands it over and gives its room back.
    fn complete(&mut self, block: Vec<u8>) {
        let Some(slot) = self.slots.pop_front() else {
            return;
        };
        let block = self.shared.block_pool.freeze(block);
        let target = Target {
            object: &self.object,
            hash: self.hash,
        };
        let key = target.key(self.index);
        if slot.is_awaited() {
            self.awaited = Awaited::Yes;
            self.shared.blocks.insert_used(key, block.clone());
        } else {
            self.shared.blocks.insert_ahead(key, block.clone());
        }
        // After it is kept: see `Shared::find`.
        self.shared
            .flights
            .lock(target)
            .remove(&self.object, self.index);
        let room = match slot.purpose() {
            Purpose::Demand => &mut self.demand_room,
            Purpose::ReadAhead => &mut self.ahead_room,
        };
        drop(room.as_mut().and_then(|room| room.split(block.len())));
        slot.settle(Ok(block));
        self.index += 1;
    }

    /// Tells all who wait for what has not come, and lets the next one try again.
    fn fail(&mut self, error: Error) {
        let failure = Failure::new(error);
        let target = Target {
            object: &self.object,
            hash: self.hash,
        };
        let mut flights = self.shared.flights.lock(target);
        for index in self.index..self.index + self.slots.len() as u64 {
            flights.remove(&self.object, index);
        }
        drop(flights);
        for slot in self.slots.drain(..) {
            slot.settle(Err(failure.clone()));
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.slots.is_empty() {
            self.fail(Error::new(
                ErrorKind::Interrupted,
                "the request was given up",
            ));
        }
    }
}
