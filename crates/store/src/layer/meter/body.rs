//! Bodies whose bytes are counted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::count::InFlight;
use crate::{ByteStream, GetResult, Result};

pub(super) fn counted(result: GetResult, in_flight: InFlight) -> GetResult {
    let body = CountedBody {
        body: result.body,
        in_flight: Some(in_flight),
    };
    GetResult {
        body: body.boxed(),
        ..result
    }
}

struct CountedBody {
    body: ByteStream,
    /// `None` once the body ended.
    in_flight: Option<InFlight>,
}

impl Stream for CountedBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.body.poll_next_unpin(cx));
        match &item {
            Some(Ok(piece)) => {
                if let Some(in_flight) = &self.in_flight {
                    in_flight.counts().add_in(piece.len() as u64);
                }
            }
            Some(Err(error)) => {
                if let Some(in_flight) = self.in_flight.take() {
                    in_flight.broke(error.kind());
                }
            }
            None => {
                if let Some(in_flight) = self.in_flight.take() {
                    in_flight.succeeded();
                }
            }
        }
        Poll::Ready(item)
    }
}
