//! [`DiskSource`]: a range from the disk as far as it is there, and from below.
//!
//! A range takes at most one request below in the usual case: what is there before the first missing
//! block and after the last one is read from the disk, and all between is asked for at once. Only
//! damage that is found on the way needs another.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use cloudmount_vfs::{Error, ErrorKind, Result};
use futures::future::{Either, select};
use futures::{StreamExt as _, stream};

use super::LOOK_MAX;
use super::gather::Gather;
use super::header::Header;
use super::look::Seen;
use super::stats::add;
use super::tier::{Scope, Tier};
use crate::geometry::in_memory;
use crate::{BlockSource, ByteStream, ObjectRef};

/// A disk over another source.
pub(crate) struct DiskSource {
    tier: Arc<Tier>,
    below: Arc<dyn BlockSource>,
}

impl DiskSource {
    pub(crate) fn new(tier: Arc<Tier>, below: Arc<dyn BlockSource>) -> Self {
        Self { tier, below }
    }
}

#[async_trait]
impl BlockSource for DiskSource {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        let mut walk = Walk {
            header: self.tier.header(object),
            tier: Arc::clone(&self.tier),
            below: Arc::clone(&self.below),
            object: object.clone(),
            at: range.start,
            end: range.end,
            here: VecDeque::new(),
            coming: None,
        };
        // What is wrong from the start is told at once.
        walk.look().await?;
        let stream = stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            match walk.next().await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some(walk))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(stream.boxed())
    }
}

/// One range on its way.
struct Walk {
    tier: Arc<Tier>,
    below: Arc<dyn BlockSource>,
    object: ObjectRef,
    header: Header,
    /// The next byte to give.
    at: u64,
    end: u64,
    /// What was read and not given yet.
    here: VecDeque<Bytes>,
    /// What comes from below.
    coming: Option<Coming>,
}

/// A request below.
struct Coming {
    stream: ByteStream,
    end: u64,
    gather: Gather,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(block) = self.here.pop_front() {
                self.at += block.len() as u64;
                return Ok(Some(block));
            }
            if self.coming.is_some() {
                if let Some(piece) = self.receive().await? {
                    return Ok(Some(piece));
                }
            } else if self.at == self.end {
                return Ok(None);
            } else {
                self.look().await?;
            }
        }
    }

    /// The next piece from below; `None` at its end.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let Some(coming) = &mut self.coming else {
            return Ok(None);
        };
        let missing = coming.end - self.at;
        match coming.stream.next().await.transpose()? {
            Some(piece) if piece.len() as u64 > missing => {
                let context = "the source gave more than it was asked for";
                Err(Error::new(ErrorKind::Corrupt, context))
            }
            Some(piece) => {
                coming.gather.push(&self.tier, &self.header, &piece);
                self.at += piece.len() as u64;
                Ok(Some(piece))
            }
            None if missing > 0 => {
                let context = format!("the source ended {missing} bytes early");
                Err(Error::new(ErrorKind::Io, context))
            }
            None => {
                self.coming = None;
                Ok(None)
            }
        }
    }

    /// Looks what is on disk of the rest, and asks below for what is not.
    async fn look(&mut self) -> Result<()> {
        let geometry = self.tier.geometry;
        let blocks = geometry.blocks(&(self.at..self.end));
        match self.seen(blocks.clone()).await {
            Seen::Here(found) => {
                add(&self.tier.counters.hits, found.len() as u64);
                let mut start = geometry.start(blocks.start);
                let mut at = self.at;
                for mut block in found {
                    let next = start + block.len() as u64;
                    block.advance(in_memory(at - start));
                    block.truncate(in_memory(self.end.min(next) - at));
                    (start, at) = (next, next);
                    self.here.push_back(block);
                }
            }
            Seen::Missing(missing) => {
                add(&self.tier.counters.misses, missing.end - missing.start);
                let bytes = geometry.bytes(&missing, self.object.size);
                let range = self.at..self.end.min(bytes.end);
                let stream = self.below.fetch(&self.object, range.clone()).await?;
                self.coming = Some(Coming {
                    stream,
                    end: range.end,
                    gather: Gather::new(&range),
                });
            }
        }
        Ok(())
    }

    /// What is on disk of `blocks`. Waits no longer than the disk may take.
    async fn seen(&mut self, blocks: Range<u64>) -> Seen {
        let tier = Arc::clone(&self.tier);
        if tier.is_silent() {
            return Seen::Missing(blocks);
        }
        let patience = tier.clock.sleep(LOOK_MAX);
        match select(Box::pin(self.look_at(blocks.clone())), patience).await {
            Either::Left((seen, _)) => seen,
            Either::Right(((), _)) => {
                let silent = io::Error::new(io::ErrorKind::TimedOut, "its disk does not answer");
                tier.turn_off(&silent, Scope::All);
                Seen::Missing(blocks)
            }
        }
    }

    async fn look_at(&mut self, blocks: Range<u64>) -> Seen {
        let Ok(permit) = Arc::clone(&self.tier.reads).acquire_owned().await else {
            return Seen::Missing(blocks);
        };
        let (tier, header, all) = (Arc::clone(&self.tier), self.header.clone(), blocks.clone());
        let looking = self.tier.runtime.spawn_blocking(move || {
            let seen = tier.look(&header, all);
            drop(permit);
            seen
        });
        // Where the runtime ends, nothing is read any more.
        looking.await.unwrap_or(Seen::Missing(blocks))
    }
}
