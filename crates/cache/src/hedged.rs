//! [`Hedged`]: a source whose requests are asked again when they stall.
//!
//! Connections die silently, and some servers of a store answer much later than others. A request that has
//! [stalled](crate::stall) is asked for again, from the first byte that is missing, and whichever is ahead goes on;
//! the other one is dropped, and with it its connection. Of a silent one that is whichever brings the next byte; one
//! that is only slow goes on until it is overtaken.
//!
//! # Laws
//!
//! - What is given is what the source gave, each byte once: of the second request only what lies beyond that counts.
//! - The second one asks for the same version. That it fails says nothing: the first goes on, and is not asked again.
//! - Only time in which somebody waited counts, not that in which what came was not wanted yet.
//! - Extra requests are bounded: one in twenty, a few at once, one for each request at a time and two in all.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use cloudmount_vfs::{BoxFuture, Clock, ErrorKind, Instant, Result};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;

use crate::stall::{Ear, Heard, Patience, may_ask_again};
use crate::{BlockSource, ByteStream, ObjectRef};

/// How often one request is asked again: a third connection that stalls is not to be blamed.
const EXTRA_EACH: u32 = 2;

/// What became of requests since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HedgeStats {
    /// Requests.
    pub requests: u64,
    /// Requests that were made because another had stalled. Not among those above.
    pub again: u64,
    /// Of these, the ones that brought their next byte sooner.
    pub won: u64,
}

/// A source over another one. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Hedged(Arc<Shared>);

struct Shared {
    below: Arc<dyn BlockSource>,
    clock: Arc<dyn Clock>,
    ear: Mutex<Ear>,
    // What it says, as in `Paced`: each is right alone.
    silence_nanos: AtomicU64,
    mebibyte_nanos: AtomicU64,
    requests: AtomicU64,
    again: AtomicU64,
    at_once: AtomicU64,
    won: AtomicU64,
}

impl Hedged {
    /// The same as `below`, by that clock.
    #[must_use]
    pub fn new(below: Arc<dyn BlockSource>, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            below,
            clock,
            ear: Mutex::default(),
            silence_nanos: AtomicU64::new(0),
            mebibyte_nanos: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            again: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            won: AtomicU64::new(0),
        };
        shared.follow(Patience::default());
        Self(Arc::new(shared))
    }

    /// What became of requests.
    #[must_use]
    pub fn stats(&self) -> HedgeStats {
        HedgeStats {
            requests: self.0.requests.load(Ordering::Relaxed),
            again: self.0.again.load(Ordering::Relaxed),
            won: self.0.won.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Hedged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedged")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn patience(&self) -> Patience {
        let nanos = |value: &AtomicU64| Duration::from_nanos(value.load(Ordering::Relaxed));
        Patience {
            silence: nanos(&self.silence_nanos),
            mebibyte: nanos(&self.mebibyte_nanos),
        }
    }

    fn follow(&self, patience: Patience) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.silence_nanos
            .store(nanos(patience.silence), Ordering::Relaxed);
        self.mebibyte_nanos
            .store(nanos(patience.mebibyte), Ordering::Relaxed);
    }

    /// A request was answered by one alone. Nobody waits: a moment when another is being noted is a sample less.
    fn heard(&self, heard: Heard) {
        if let Some(mut ear) = self.ear.try_lock() {
            let patience = ear.heard(heard);
            self.follow(patience);
        }
    }
}

/// An extra request, for as long as it is one of two.
struct Extra(Arc<Shared>);

impl Extra {
    /// Room for one more, if there is.
    fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let requests = shared.requests.load(Ordering::Relaxed);
        let extra = shared.again.load(Ordering::Relaxed);
        let at_once = shared.at_once.load(Ordering::Relaxed);
        // Two that look at the same moment are one more than meant, at most for each thread.
        if !may_ask_again(requests, extra, at_once) {
            return None;
        }
        shared.again.fetch_add(1, Ordering::Relaxed);
        shared.at_once.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One range on its way, by one request or by two.
struct Race {
    shared: Arc<Shared>,
    object: ObjectRef,
    /// The next byte to give.
    at: u64,
    end: u64,
    first: ByteStream,
    second: Option<Second>,
    /// How often it may still be asked again.
    left: u32,
    timer: Option<BoxFuture<'static, ()>>,
    /// Since when somebody waits for the next byte.
    waiting: Instant,
    /// Since when the first request is silent, as far as somebody waits.
    silent: Instant,
    /// How long somebody waited for what came.
    waited: Duration,
    /// Of that, until the first byte.
    first_wait: Option<Duration>,
    bytes: u64,
}

/// Why a request is asked again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stall {
    /// It brings nothing.
    Silent,
    /// It brings too little.
    Slow,
}

/// The request that is to overtake the first.
struct Second {
    stream: ByteStream,
    /// The byte that comes next.
    at: u64,
    sent: Instant,
    why: Stall,
    _extra: Extra,
}

/// What happened next.
enum Event {
    Piece(Bytes),
    Ended,
    Failed(cloudmount_vfs::Error),
}

#[async_trait]
impl BlockSource for Hedged {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let mut race = Race::new(&self.0, object, range);
        // What is wrong from the start is told at once.
        let piece = race.next().await.transpose()?;
        let rest = stream::unfold(race, |mut race| async {
            let piece = race.next().await?;
            Some((piece, race))
        });
        let first = stream::iter(piece.map(Ok));
        Ok(first.chain(rest).boxed())
    }
}

impl Race {
    fn new(shared: &Arc<Shared>, object: &ObjectRef, range: Range<u64>) -> Self {
        Self {
            first: request(shared, object, range.clone()),
            second: None,
            left: EXTRA_EACH,
            timer: None,
            waiting: shared.clock.now(),
            silent: shared.clock.now(),
            waited: Duration::ZERO,
            first_wait: None,
            bytes: range.end - range.start,
            at: range.start,
            end: range.end,
            shared: Arc::clone(shared),
            object: object.clone(),
        }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes>> {
        self.waiting = self.shared.clock.now();
        self.silent = self.waiting;
        let event = std::future::poll_fn(|cx| self.poll(cx)).await;
        let waited = self.shared.clock.now().saturating_since(self.waiting);
        self.waited = self.waited.saturating_add(waited);
        self.first_wait.get_or_insert(self.waited);
        match event {
            Event::Piece(piece) => {
                self.at += piece.len() as u64;
                if self.at >= self.end {
                    self.complete();
                }
                Some(Ok(piece))
            }
            Event::Ended => None,
            Event::Failed(error) => Some(Err(error)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Poll::Ready(event) = self.poll_both(cx) {
                return Poll::Ready(event);
            }
            if self.left == 0 || self.second.is_some() || self.at >= self.end {
                return Poll::Pending;
            }
            if let Some(timer) = &mut self.timer {
                if timer.poll_unpin(cx).is_pending() {
                    return Poll::Pending;
                }
                self.timer = None;
            }
            let why = match self.stalled() {
                Ok(why) => why,
                Err(rest) => {
                    self.timer = Some(self.shared.clock.sleep(rest));
                    continue;
                }
            };
            let Some(extra) = Extra::begin(&self.shared) else {
                // Others stall, too: there may be room for this one once they go on.
                let silence = self.shared.patience().silence;
                self.timer = Some(self.shared.clock.sleep(silence));
                continue;
            };
            self.left -= 1;
            self.second = Some(Second {
                stream: request(&self.shared, &self.object, self.at..self.end),
                at: self.at,
                sent: self.shared.clock.now(),
                why,
                _extra: extra,
            });
        }
    }

    /// Whether it has stalled; how long to go on waiting if not.
    fn stalled(&self) -> std::result::Result<Stall, Duration> {
        let now = self.shared.clock.now();
        let waiting = now.saturating_since(self.waiting);
        let patience = self.shared.patience();
        let silent = now.saturating_since(self.silent);
        let silence = patience.silence.saturating_sub(silent);
        let whole = match patience.whole(self.bytes) {
            // What has overtaken one that was slow is not slow for the time that the other took.
            Some(whole) if self.left == EXTRA_EACH => {
                whole.saturating_sub(self.waited.saturating_add(waiting))
            }
            _ => Duration::MAX,
        };
        if silence.is_zero() {
            Ok(Stall::Silent)
        } else if whole.is_zero() {
            Ok(Stall::Slow)
        } else {
            Err(silence.min(whole))
        }
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.first.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    if self
                        .second
                        .as_ref()
                        .is_some_and(|second| second.why == Stall::Silent)
                    {
                        self.second = None;
                    }
                    return Poll::Ready(Event::Piece(piece));
                }
                Poll::Ready(Some(Err(error))) => match self.second.take() {
                    // The version is gone: the other one will hear the same.
                    Some(second) if error.kind() != ErrorKind::Stale => self.follow(second),
                    _ => return Poll::Ready(Event::Failed(error)),
                },
                Poll::Ready(None) => match self.second.take() {
                    Some(second) if self.at < self.end => self.follow(second),
                    _ => return Poll::Ready(Event::Ended),
                },
                Poll::Pending => return self.poll_second(cx),
            }
        }
    }

    /// Only the second one goes on. It may have given bytes that are here already: they are left out.
    fn follow(&mut self, second: Second) {
        let behind = self.at - second.at;
        self.first = without(second.stream, behind);
        self.silent = self.silent.max(second.sent);
    }

    fn poll_second(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        while let Some(second) = &mut self.second {
            match second.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(mut piece))) => {
                    let behind = self.at - second.at;
                    second.at += piece.len() as u64;
                    if second.at <= self.at {
                        continue;
                    }
                    piece.advance(crate::geometry::in_memory(behind));
                    if let Some(second) = self.second.take() {
                        self.first = second.stream;
                    }
                    self.shared.won.fetch_add(1, Ordering::Relaxed);
                    return Poll::Ready(Event::Piece(piece));
                }
                Poll::Ready(_) => {
                    self.second = None;
                    self.left = 0;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// All of it came. What was asked again says nothing of the others.
    fn complete(&self) {
        if self.left == EXTRA_EACH {
            let first = self.first_wait.unwrap_or(self.waited);
            self.shared.heard(Heard {
                first,
                rest: self.waited.saturating_sub(first),
                bytes: self.bytes,
            });
        }
    }
}

/// The stream without its first `bytes`.
fn without(stream: ByteStream, bytes: u64) -> ByteStream {
    let mut left = bytes;
    let rest = stream.try_filter_map(move |mut piece| {
        let skipped = left.min(piece.len() as u64);
        left -= skipped;
        piece.advance(crate::geometry::in_memory(skipped));
        std::future::ready(Ok((!piece.is_empty()).then_some(piece)))
    });
    rest.boxed()
}

/// One request, whose stream begins when it is first polled.
fn request(shared: &Arc<Shared>, object: &ObjectRef, range: Range<u64>) -> ByteStream {
    let (below, object) = (Arc::clone(&shared.below), object.clone());
    let opened = async move { below.fetch(&object, range).await };
    stream::once(opened).try_flatten().boxed()
}
