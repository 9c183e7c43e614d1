//! [`Fault`]: makes a store fail on purpose, for tests and for trying out an embedder.
//!
//! Laws: the same plan and the same order of calls give the same faults; without a matching rule a
//! call passes unchanged; a lost reply means that the store below did carry the request out.

mod plan;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloudmount_vfs::{Clock, Timestamp};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use self::plan::{State, Verdict};
use super::Operation;
use crate::{
    ByteStream, Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult,
    Key, ListPage, ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal,
    Result, Store, UploadId, UploadsPage, Version,
};

pub use self::plan::{Effect, FaultPlan, FaultRates, FaultRule};

/// Listings that are remembered, to answer a later one with what is stale. Enough for the folders of
/// one test; the oldest goes first.
const REMEMBERED_PAGES: usize = 64;

/// A store that fails as planned.
pub struct Fault {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    pages: Mutex<Vec<(ListRequest, ListPage)>>,
}

impl Fault {
    /// Makes `inner` fail as `plan` says; `clock` times delays.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, plan: FaultPlan, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner,
            clock,
            state: Mutex::new(State::new(plan)),
            pages: Mutex::default(),
        }
    }

    /// Replaces the plan; calls are counted from here on.
    pub fn set_plan(&self, plan: FaultPlan) {
        *self.state.lock() = State::new(plan);
    }

    /// Adds a rule; it counts calls from here on.
    pub fn add(&self, rule: FaultRule) {
        self.state.lock().add(rule);
    }

    /// Removes every rule and rate: the store is well again.
    pub fn clear(&self) {
        self.set_plan(FaultPlan::none());
    }

    /// How many faults were injected, delays not counted.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.state.lock().injected()
    }

    /// Decides on one call and serves its delay.
    async fn decide(&self, operation: Operation, keys: &[&Key]) -> Verdict {
        let verdict = self.state.lock().decide(operation, keys);
        if verdict.delay > Duration::ZERO {
            self.clock.sleep(verdict.delay).await;
        }
        verdict
    }

    /// Holds the answer back.
    async fn linger(&self, verdict: &Verdict) {
        if verdict.late > Duration::ZERO {
            self.clock.sleep(verdict.late).await;
        }
    }

    /// Runs a call under a verdict on it.
    async fn run<T>(
        &self,
        operation: Operation,
        keys: &[&Key],
        request: BoxFuture<'_, Result<T>>,
    ) -> Result<T> {
        let verdict = self.decide(operation, keys).await;
        if let Some(kind) = verdict.fail {
            return Err(planned(operation, kind, &verdict));
        }
        let result = request.await;
        self.linger(&verdict).await;
        lose(operation, &verdict, result)
    }

    fn remember(&self, request: ListRequest, page: &ListPage) {
        let mut pages = self.pages.lock();
        pages.retain(|(old, _)| *old != request);
        if pages.len() == REMEMBERED_PAGES {
            pages.remove(0);
        }
        pages.push((request, page.clone()));
    }

    fn remembered(&self, request: &ListRequest) -> Option<ListPage> {
        let pages = self.pages.lock();
        let (_, page) = pages.iter().find(|(old, _)| old == request)?;
        Some(page.clone())
    }
}

fn planned(operation: Operation, kind: ErrorKind, verdict: &Verdict) -> Error {
    Error::new(kind, format!("{operation}: a planned fault")).with_retry_after(verdict.retry_after)
}

fn lose<T>(operation: Operation, verdict: &Verdict, result: Result<T>) -> Result<T> {
    if verdict.lose_reply {
        let context = format!("{operation}: the reply was lost as planned");
        return Err(Error::new(ErrorKind::TimedOut, context));
    }
    result
}

/// `body` up to `most` bytes, and then a broken connection. A body that is not longer stays whole.
fn truncated(body: ByteStream, most: u64) -> ByteStream {
    let cut = stream::unfold((body, Some(most)), |(mut body, left)| async move {
        let left = left?;
        let item = body.next().await?;
        let Ok(mut piece) = item else {
            return Some((item, (body, None)));
        };
        if left == 0 && !piece.is_empty() {
            let context = "get: the body broke as planned";
            let error = Error::new(ErrorKind::Connection, context);
            return Some((Err(error), (body, None)));
        }
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Some((Ok(piece), (body, Some(left))))
    });
    cut.boxed()
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Fault {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn time(&self) -> Option<Timestamp> {
        self.inner.time()
    }

    fn pushbacks(&self) -> u64 {
        self.inner.pushbacks()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.run(Operation::Head, &[key], self.inner.head(key))
            .await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let verdict = self.decide(Operation::Get, &[key]).await;
        if let Some(kind) = verdict.fail {
            return Err(planned(Operation::Get, kind, &verdict));
        }
        let result = self.inner.get(key, options).await;
        let mut result = lose(Operation::Get, &verdict, result)?;
        if let Some(most) = verdict.truncate {
            result.body = truncated(result.body, most);
        }
        Ok(result)
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let verdict = self.decide(Operation::Get, &[key]).await;
        if let Some(kind) = verdict.fail {
            return Err(planned(Operation::Get, kind, &verdict));
        }
        let result = self.inner.get_former(key, version, range).await;
        lose(Operation::Get, &verdict, result)
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        let verdict = self.decide(Operation::List, &[]).await;
        if let Some(kind) = verdict.fail {
            return Err(planned(Operation::List, kind, &verdict));
        }
        if verdict.stale
            && let Some(page) = self.remembered(&request)
        {
            return lose(Operation::List, &verdict, Ok(page));
        }
        let page = self.inner.list(request.clone()).await?;
        self.remember(request, &page);
        self.linger(&verdict).await;
        lose(Operation::List, &verdict, Ok(page))
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let request = self.inner.put(key, payload, options);
        self.run(Operation::Put, &[key], request).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let from = source.key.clone();
        let request = self.inner.copy(source, to, options);
        self.run(Operation::Copy, &[&from, to], request).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let named: Vec<&Key> = keys.iter().collect();
        self.run(Operation::Delete, &named, self.inner.delete(keys))
            .await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let named: Vec<&Key> = removals.iter().map(|removal| &removal.key).collect();
        self.run(Operation::Delete, &named, self.inner.delete_if(removals))
            .await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let request = self.inner.multipart_start(key, options);
        self.run(Operation::MultipartStart, &[key], request).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let request = self.inner.multipart_put(key, upload, number, payload);
        self.run(Operation::MultipartPut, &[key], request).await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let from = source.key.clone();
        let request = (self.inner).multipart_copy(key, upload, number, source, range);
        self.run(Operation::MultipartCopy, &[&from, key], request)
            .await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let request = (self.inner).multipart_complete(key, upload, parts, precondition);
        self.run(Operation::MultipartComplete, &[key], request)
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let request = self.inner.multipart_abort(key, upload);
        self.run(Operation::MultipartAbort, &[key], request).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let request = self.inner.multipart_list(prefix, token);
        self.run(Operation::MultipartList, &[], request).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.run(Operation::Tags, &[key], self.inner.tags(key))
            .await
    }
}
