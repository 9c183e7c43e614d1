//! [`Limit`]: at most so many requests in flight.
//!
//! Laws: reads and writes wait in separate queues, so uploads never starve reads; queues are fair
//! (first come, first served); a `get` counts until its body was read to the end or dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_vfs::Timestamp;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    ByteStream, Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult,
    Key, ListPage, ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal,
    Result, Store, UploadId, UploadsPage, Version,
};

/// How many requests may be in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitSettings {
    /// Of `head`, `get` and `list` together.
    pub reads: NonZeroU16,
    /// Of all others together.
    pub writes: NonZeroU16,
}

impl Default for LimitSettings {
    /// 64 reads fill a 10 Gbit/s line at the 100 ms and 8 MiB per request of a distant bucket with
    /// some to spare; 32 writes do so with what a part upload holds in memory kept below 512 MiB.
    fn default() -> Self {
        const READS: NonZeroU16 = NonZeroU16::new(64).expect("not zero");
        const WRITES: NonZeroU16 = NonZeroU16::new(32).expect("not zero");
        Self {
            reads: READS,
            writes: WRITES,
        }
    }
}

/// A store with a bounded number of requests in flight.
pub struct Limit {
    inner: Arc<dyn Store>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl Limit {
    /// Bounds the requests to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, settings: LimitSettings) -> Self {
        Self {
            inner,
            reads: Arc::new(Semaphore::new(settings.reads.get().into())),
            writes: Arc::new(Semaphore::new(settings.writes.get().into())),
        }
    }

    async fn read(&self) -> Result<OwnedSemaphorePermit> {
        acquire(&self.reads).await
    }

    async fn write(&self) -> Result<OwnedSemaphorePermit> {
        acquire(&self.writes).await
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    // Nothing closes the semaphores; an error rather than a panic if that ever changes.
    (Arc::clone(semaphore).acquire_owned().await)
        .map_err(|closed| Error::new(ErrorKind::Io, "wait for a request slot").with_source(closed))
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("inner", &self.inner)
            .field("free_reads", &self.reads.available_permits())
            .field("free_writes", &self.writes.available_permits())
            .finish()
    }
}

/// A body that holds its request's place until it ends.
struct HeldBody {
    body: ByteStream,
    permit: Option<OwnedSemaphorePermit>,
}

impl Stream for HeldBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.body.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.permit = None;
        }
        polled
    }
}

#[async_trait]
impl Store for Limit {
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
        let _permit = self.read().await?;
        self.inner.head(key).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let permit = Some(self.read().await?);
        let mut result = self.inner.get(key, options).await?;
        let body = result.body;
        result.body = HeldBody { body, permit }.boxed();
        Ok(result)
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let permit = Some(self.read().await?);
        let mut result = self.inner.get_former(key, version, range).await?;
        let body = result.body;
        result.body = HeldBody { body, permit }.boxed();
        Ok(result)
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        let _permit = self.read().await?;
        self.inner.list(request).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let _permit = self.write().await?;
        self.inner.put(key, payload, options).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let _permit = self.write().await?;
        self.inner.copy(source, to, options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let _permit = self.write().await?;
        self.inner.delete(keys).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let _permit = self.write().await?;
        self.inner.delete_if(removals).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let _permit = self.write().await?;
        self.inner.multipart_start(key, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let _permit = self.write().await?;
        self.inner.multipart_put(key, upload, number, payload).await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let _permit = self.write().await?;
        (self.inner)
            .multipart_copy(key, upload, number, source, range)
            .await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let _permit = self.write().await?;
        (self.inner)
            .multipart_complete(key, upload, parts, precondition)
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let _permit = self.write().await?;
        self.inner.multipart_abort(key, upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let _permit = self.read().await?;
        self.inner.multipart_list(prefix, token).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let _permit = self.read().await?;
        self.inner.tags(key).await
    }
}
