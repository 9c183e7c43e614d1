//! Bodies that go on after a break.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::Shared;
use super::backoff::Count;
use crate::{ByteStream, Error, ErrorKind, GetOptions, GetResult, Key, Result, Version};

/// `result` with a body that asks for the rest when it breaks. Tries and time count from the last
/// byte that arrived, so a long body on a bad line gets through as long as it moves.
pub(super) fn resuming(shared: Arc<Shared>, key: Key, result: GetResult) -> GetResult {
    let state = Resuming {
        count: Count::new(shared.clock.now()),
        shared,
        key,
        version: result.meta.version.clone(),
        left: result.range.clone(),
        body: Some(result.body),
    };
    let body = stream::unfold(state, |mut state| async move {
        let item = state.next().await?;
        Some((item, state))
    });
    GetResult {
        meta: result.meta,
        range: result.range,
        body: body.boxed(),
    }
}

struct Resuming {
    shared: Arc<Shared>,
    key: Key,
    version: Version,
    /// The bytes that did not arrive yet.
    left: Range<u64>,
    count: Count,
    /// `None` once the body ended, or failed for good.
    body: Option<ByteStream>,
}

impl Resuming {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            let error = match self.body.as_mut()?.next().await {
                Some(Ok(piece)) => {
                    self.left.start += piece.len() as u64;
                    self.count = Count::new(self.shared.clock.now());
                    return Some(Ok(piece));
                }
                None if self.left.is_empty() => {
                    self.body = None;
                    return None;
                }
                None => {
                    let missing = self.left.end - self.left.start;
                    let context = format!("the body ended {missing} bytes early");
                    Error::new(ErrorKind::Connection, context)
                }
                Some(Err(error)) => error,
            };
            if let Err(error) = self.resume(error).await {
                self.body = None;
                return Some(Err(error));
            }
        }
    }

    /// Waits and asks for the rest, until that works or is to be given up.
    async fn resume(&mut self, mut error: Error) -> Result<()> {
        loop {
            if self.left.is_empty() && error.kind().is_transient() {
                // It broke after its last byte: there is nothing left to ask for.
                self.body = Some(stream::empty().boxed());
                return Ok(());
            }
            let now = self.shared.clock.now();
            let Some(wait) = self.shared.policy.wait(&mut self.count, &error, now) else {
                return Err(error);
            };
            self.shared.pause(wait).await;
            let options = GetOptions {
                range: Some(self.left.clone()),
                if_match: Some(self.version.clone()),
            };
            match self.shared.inner.get(&self.key, options).await {
                Ok(result) if result.range == self.left => {
                    self.shared.policy.worked(&self.count);
                    self.body = Some(result.body);
                    return Ok(());
                }
                Ok(result) => {
                    let context = format!("asked for {:?}, got {:?}", self.left, result.range);
                    return Err(Error::new(ErrorKind::Io, context));
                }
                Err(again) => error = again,
            }
        }
    }
}
