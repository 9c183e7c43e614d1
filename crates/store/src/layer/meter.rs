//! [`Meter`]: counts what goes through it, for `status`.
//!
//! Laws: counting takes no lock and never fails; a request is in flight until its future ends and,
//! for `get`, until its body was read to the end or dropped. Latency is the time to the answer; for
//! `get` that is the time to the first byte, not to the last.

mod body;
mod count;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_vfs::{Clock, Timestamp};
use serde::Serialize;

use self::count::{Counts, InFlight};
use super::Operation;
use crate::{
    Capabilities, CopyOptions, CopySource, GetOptions, GetResult, Key, ListPage, ListRequest,
    ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store, UploadId,
    UploadsPage, Version,
};

pub use self::count::{Latency, OperationSnapshot};

/// A store whose requests are counted. Keep an `Arc` of it for [`Meter::snapshot`].
pub struct Meter {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    counts: [Arc<Counts>; Operation::ALL.len()],
}

/// What went through a [`Meter`] since it was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MeterSnapshot {
    /// By operation; those that were never asked for are left out.
    pub operations: BTreeMap<Operation, OperationSnapshot>,
}

impl MeterSnapshot {
    /// The counts of one operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> OperationSnapshot {
        (self.operations.get(&operation))
            .cloned()
            .unwrap_or_default()
    }

    /// Requests of all operations.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.operations.values().map(|counts| counts.requests).sum()
    }
}

impl Meter {
    /// Counts the requests to `inner`; `clock` times them.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner,
            clock,
            counts: Operation::ALL.map(|_| Arc::default()),
        }
    }

    /// The counts now. Requests that run meanwhile may be half in it.
    #[must_use]
    pub fn snapshot(&self) -> MeterSnapshot {
        let operations = (Operation::ALL.into_iter())
            .map(|operation| (operation, self.counts(operation).snapshot()))
            .filter(|(_, counts)| counts.requests > 0)
            .collect();
        MeterSnapshot { operations }
    }

    fn counts(&self, operation: Operation) -> &Arc<Counts> {
        // `ALL` is in the order of declaration, which a test checks.
        &self.counts[operation as usize]
    }

    fn begin(&self, operation: Operation) -> InFlight {
        InFlight::begin(self.counts(operation), Arc::clone(&self.clock))
    }

    async fn count<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let in_flight = self.begin(operation);
        let result = request.await;
        in_flight.end(&result);
        result
    }

    /// A removal also counts the errors of single keys.
    async fn count_deletes(
        &self,
        request: impl Future<Output = Result<Vec<Result<()>>>> + Send,
    ) -> Result<Vec<Result<()>>> {
        let result = self.count(Operation::Delete, request).await;
        for error in result.iter().flatten().filter_map(|key| key.as_ref().err()) {
            self.counts(Operation::Delete).add_error(error.kind());
        }
        result
    }

    async fn count_out<T>(
        &self,
        operation: Operation,
        bytes: u64,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let result = self.count(operation, request).await;
        if result.is_ok() {
            self.counts(operation).add_out(bytes);
        }
        result
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Meter {
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
        self.count(Operation::Head, self.inner.head(key)).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let mut in_flight = self.begin(Operation::Get);
        match self.inner.get(key, options).await {
            Ok(result) => {
                in_flight.answered();
                Ok(body::counted(result, in_flight))
            }
            Err(error) => {
                in_flight.failed(error.kind());
                Err(error)
            }
        }
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let mut in_flight = self.begin(Operation::Get);
        match self.inner.get_former(key, version, range).await {
            Ok(result) => {
                in_flight.answered();
                Ok(body::counted(result, in_flight))
            }
            Err(error) => {
                in_flight.failed(error.kind());
                Err(error)
            }
        }
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        self.count(Operation::List, self.inner.list(request)).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let bytes = payload.len();
        let request = self.inner.put(key, payload, options);
        self.count_out(Operation::Put, bytes, request).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let request = self.inner.copy(source, to, options);
        self.count(Operation::Copy, request).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        self.count_deletes(self.inner.delete(keys)).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        self.count_deletes(self.inner.delete_if(removals)).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let request = self.inner.multipart_start(key, options);
        self.count(Operation::MultipartStart, request).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let bytes = payload.len();
        let request = self.inner.multipart_put(key, upload, number, payload);
        (self.count_out(Operation::MultipartPut, bytes, request)).await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let request = (self.inner).multipart_copy(key, upload, number, source, range);
        self.count(Operation::MultipartCopy, request).await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let request = (self.inner).multipart_complete(key, upload, parts, precondition);
        self.count(Operation::MultipartComplete, request).await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let request = self.inner.multipart_abort(key, upload);
        self.count(Operation::MultipartAbort, request).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let request = self.inner.multipart_list(prefix, token);
        self.count(Operation::MultipartList, request).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.count(Operation::Tags, self.inner.tags(key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_own_counts() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index, "{operation}");
        }
    }
}
