//! Bodies: what is sent, with a count of how far it got; what arrives, with a limit on waiting.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cloudmount_vfs::{BoxFuture, Clock, Instant};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::client::STALL_LIMIT;
use super::{Failure, Patience};
use crate::{ErrorKind, Payload};

/// Bytes handed to the connection at once: small enough that progress shows on a slow line long
/// before [`STALL_LIMIT`], large enough that the hand-over costs nothing.
const FRAME_BYTES: usize = 256 << 10;

/// A body in memory. It tells how much the connection has not yet taken.
#[derive(Debug)]
pub(crate) struct RequestBody {
    pieces: VecDeque<Bytes>,
    left: Arc<AtomicU64>,
}

impl RequestBody {
    /// How many bytes the connection has not yet taken; stays valid after the body has gone there.
    pub(super) fn left(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.left)
    }
}

impl From<Payload> for RequestBody {
    fn from(payload: Payload) -> Self {
        let left = payload.len();
        let pieces = payload.0.into_iter().filter(|piece| !piece.is_empty());
        Self {
            pieces: pieces.collect(),
            left: Arc::new(AtomicU64::new(left)),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(front) = self.pieces.front_mut() else {
            return Poll::Ready(None);
        };
        let frame = front.split_to(front.len().min(FRAME_BYTES));
        if front.is_empty() {
            self.pieces.pop_front();
        }
        self.left.fetch_sub(frame.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.load(Ordering::Relaxed))
    }
}

/// The slowest answer that is worth waiting for, in bytes per second: 1 KiB/s, which each of 64
/// reads at once has on a line of 64 KiB/s. A server that is slower holds a connection for hours.
const SLOWEST: u64 = 1024;

/// The body of an answer. It fails with `TimedOut` when nothing arrives for [`STALL_LIMIT`] while
/// someone waits, and when it was waited for longer in all than that, or than the work that the server has to do may take, and
/// the time that its bytes take at [`SLOWEST`]; time in which nobody asks does not count. So it ends.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    clock: Arc<dyn Clock>,
    /// Since when the connection has had nothing to give to the one who asks.
    waits_since: Option<Instant>,
    /// How long it was waited for in all.
    waited: Duration,
    /// How long it may be waited for in all, besides the time that its bytes take.
    in_all: Duration,
    /// How many bytes came.
    arrived: u64,
    /// Runs from the moment that the connection had nothing to give. The lock is never taken: it
    /// makes the type `Sync`, which `object_store` asks for.
    silence: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, patience: Patience, clock: Arc<dyn Clock>) -> Self {
        Self {
            incoming,
            clock,
            waits_since: None,
            waited: Duration::ZERO,
            in_all: patience.in_all(),
            arrived: 0,
            silence: Mutex::new(None),
        }
    }

    /// Reads all of it, refusing more than `limit` bytes.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, Failure> {
        let mut all = BytesMut::new();
        while let Some(data) = self.next_data().await? {
            if all.len() + data.len() > limit {
                let detail = format!("the answer is longer than {limit} bytes");
                return Err(Failure::new(ErrorKind::Io, detail));
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, Failure> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }

    /// The next bytes; trailers are passed over.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return self.poll_silence(cx),
            };
            *self.silence.get_mut() = None;
            let frame = frame.transpose().map_err(Failure::of_body)?;
            match frame.map(Frame::into_data) {
                None => return Poll::Ready(Ok(None)),
                Some(Ok(data)) if !data.is_empty() => {
                    self.arrived += data.len() as u64;
                    return Poll::Ready(self.check_pace().map(|()| Some(data)));
                }
                Some(_) => {}
            }
        }
    }

    /// Fails if all of it comes too slowly.
    fn check_pace(&mut self) -> Result<(), Failure> {
        let Some(since) = self.waits_since.take() else {
            return Ok(());
        };
        self.waited += self.clock.now().saturating_since(since);
        if self.waited <= self.in_all + Duration::from_secs(self.arrived / SLOWEST) {
            return Ok(());
        }
        let (bytes, waited) = (self.arrived, self.waited.as_secs());
        let detail = format!("the answer brought {bytes} bytes in {waited} s");
        Err(Failure::new(ErrorKind::TimedOut, detail))
    }

    fn poll_silence<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        let clock = &self.clock;
        self.waits_since.get_or_insert_with(|| clock.now());
        let silence = self.silence.get_mut();
        let timer = silence.get_or_insert_with(|| clock.sleep(STALL_LIMIT));
        ready!(timer.as_mut().poll(cx));
        *silence = None;
        let detail = format!("the answer stalled for {} s", STALL_LIMIT.as_secs());
        Poll::Ready(Err(Failure::new(ErrorKind::TimedOut, detail)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let data = ready!(self.poll_data(cx)).transpose();
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
