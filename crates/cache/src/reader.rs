//! [`Reader`]: one open file's way into the cache.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_vfs::{Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::ObjectRef;
use crate::answer::Answer;
use crate::cache::{Shared, Wanted};
use crate::flight::{Failure, Purpose};
use crate::geometry::in_memory;
use crate::memory::Target;
use crate::readahead::{self, History};
use crate::stats::Stripe;

/// How often a read asks: once more than the first time, when all it got was the failure of a
/// read-ahead, which is no answer to somebody who waits.
const TRIES: u32 = 2;

/// One open file's way into the cache. It remembers what was read, to read ahead; the blocks are
/// those of all readers.
pub struct Reader {
    shared: Arc<Shared>,
    stripe: Stripe,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The object that was read last, with its hash.
    known: Option<(ObjectRef, u64)>,
    history: History,
}

/// What [`Reader::observe`] found.
struct Observed {
    hash: u64,
    /// Bytes to fetch ahead.
    ahead: Range<u64>,
    /// The history before this read.
    before: History,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            stripe: shared.counters.stripe(),
            shared,
            state: Mutex::default(),
        }
    }

    /// Reads `len` bytes of `object` at `offset`; fewer only at its end.
    ///
    /// The result may be a slice of a block, which lives as long as the result. A dropped future
    /// leaves its requests to whoever asks next; reading the same range again joins them.
    ///
    /// # Errors
    /// `Stale` when the version is gone; whatever else the source fails with.
    pub async fn read(&self, object: &ObjectRef, offset: u64, len: usize) -> Result<Bytes> {
        let range = offset..offset.saturating_add(len as u64).min(object.size);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(observer) = &self.shared.observer {
            observer.read(object, &range);
        }
        let observed = self.observe(object, &range);
        let mut answer = Answer::new(range, &self.shared.answer_pool);
        let target = Target {
            object,
            hash: observed.hash,
        };
        self.take_what_is_here(target, &mut answer);
        if answer.is_complete() {
            if !observed.ahead.is_empty() {
                self.begin(target, 0..0, &observed);
            }
            return Ok(answer.finish());
        }
        self.wait_for_the_rest(target, observed, answer).await
    }

    /// Adds the read to the history.
    fn observe(&self, object: &ObjectRef, range: &Range<u64>) -> Observed {
        let mut state = self.state.lock();
        let hash = match &state.known {
            Some((known, hash)) if known == object => *hash,
            _ => {
                let hash = self.shared.hash(object);
                *state = State {
                    known: Some((object.clone(), hash)),
                    history: History::default(),
                };
                hash
            }
        };
        let before = state.history;
        let mut ahead = 0..0;
        if object.size > self.shared.limits.whole_object_bytes {
            let plan = readahead::plan(before, range.clone(), object.size, &self.limits());
            (state.history, ahead) = plan;
        }
        Observed {
            hash,
            ahead,
            before,
        }
    }

    /// The bounds of read-ahead, now.
    fn limits(&self) -> readahead::Limits {
        let sizes = self.shared.pace.sizes();
        let under_pressure = self.shared.pressure.window_bytes_max();
        readahead::Limits {
            block_bytes: self.shared.limits.geometry.block_bytes(),
            window_bytes_max: sizes.window_bytes.min(under_pressure),
            step_bytes_max: sizes.request_bytes,
            growth: sizes.growth,
        }
    }

    fn take_what_is_here(&self, target: Target<'_>, answer: &mut Answer<'_>) {
        let geometry = self.shared.limits.geometry;
        let mut hits = 0;
        while !answer.is_complete() {
            let index = geometry.index(answer.at());
            let Some(block) = self.shared.read_block(target, index) else {
                break;
            };
            answer.push(block, geometry.start(index));
            hits += 1;
        }
        self.shared.counters.hit(self.stripe, hits);
    }

    async fn wait_for_the_rest(
        &self,
        target: Target<'_>,
        mut observed: Observed,
        mut answer: Answer<'_>,
    ) -> Result<Bytes> {
        let mut tries = TRIES;
        while !answer.is_complete() {
            let outcome = self.wait_for_some(target, &observed, &mut answer).await;
            observed.ahead = 0..0;
            if let Err((failure, purpose)) = outcome {
                tries -= 1;
                let is_final = purpose == Purpose::Demand || failure.kind() == ErrorKind::Stale;
                if is_final || tries == 0 {
                    return Err(failure.to_error(target.object));
                }
            }
        }
        Ok(answer.finish())
    }

    /// Gets the next blocks of the answer, as many as may be under way at once.
    async fn wait_for_some(
        &self,
        target: Target<'_>,
        observed: &Observed,
        answer: &mut Answer<'_>,
    ) -> std::result::Result<(), (Failure, Purpose)> {
        let limits = &self.shared.limits;
        let geometry = limits.geometry;
        let mut blocks = geometry.blocks(&answer.missing());
        let most = geometry.index(limits.flight_demand_bytes);
        blocks.end = blocks.end.min(blocks.start + most);
        let wanted = self.begin(target, blocks.clone(), observed);
        for (block, index) in wanted.into_iter().zip(blocks) {
            let block = match block {
                Wanted::Here(block) => block,
                Wanted::Coming(slot) => {
                    let outcome = slot.wait().await;
                    outcome.map_err(|failure| (failure, slot.purpose()))?
                }
            };
            if block.len() != geometry.block_len(index, target.object.size) {
                let context = "the same version was asked for with two sizes";
                let error = Error::new(ErrorKind::Stale, context);
                return Err((Failure::new(error), Purpose::Demand));
            }
            answer.push(block, geometry.start(index));
        }
        Ok(())
    }

    /// [`Shared::begin`], with what it says noted in the history and the counts.
    fn begin(
        &self,
        target: Target<'_>,
        blocks: Range<u64>,
        observed: &Observed,
    ) -> VecDeque<Wanted> {
        let limits = &self.shared.limits;
        let geometry = limits.geometry;
        let ahead = geometry.blocks(&observed.ahead);
        let sent_for = if target.object.size <= limits.whole_object_bytes {
            geometry.blocks(&(0..target.object.size))
        } else {
            blocks.clone()
        };
        let mut begun = self.shared.begin(target, sent_for.clone(), ahead);
        // The rest of a small object comes along, and nobody waits for it.
        begun
            .wanted
            .truncate(in_memory(blocks.end - sent_for.start));
        begun
            .wanted
            .drain(..in_memory(blocks.start - sent_for.start));
        if begun.ahead_bytes > 0 {
            self.shared.pressure.fetching(begun.ahead_bytes);
        }
        // A block that was planned and is neither here nor coming was thrown out for want of room.
        let lost = begun
            .absent
            .filter(|index| observed.before.is_planned(geometry.start(*index)));
        if let Some(index) = lost.or(begun.skipped) {
            let mut state = self.state.lock();
            if lost.is_some() {
                let window = state.history.window(&self.limits());
                self.shared.pressure.lost(window);
            }
            state.history = state.history.without(geometry.start(index));
        }
        let is_coming = |block: &&Wanted| matches!(block, Wanted::Coming(_));
        let missed = begun.wanted.iter().filter(is_coming).count() as u64;
        let hits = begun.wanted.len() as u64 - missed;
        self.shared.counters.hit(self.stripe, hits);
        self.shared.counters.missed(self.stripe, missed);
        begun.wanted
    }
}
