//! The trait [`Store`]: what CloudMount needs of an object store, and nothing more.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cloudmount_vfs::Timestamp;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, Key, ListPage,
    ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, UploadId,
    UploadsPage, Version,
};

/// Content as it arrives.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// What `get` gives.
pub struct GetResult {
    /// About the whole object.
    pub meta: ObjectMeta,
    /// Which bytes `body` holds.
    pub range: Range<u64>,
    /// The bytes. It ends early only with an error.
    pub body: ByteStream,
}

impl fmt::Debug for GetResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetResult")
            .field("meta", &self.meta)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// An object store. Object-safe; layers are a `Store` over a `Store`.
///
/// Every method may fail with the kinds `Forbidden`, `Unauthorized`, `Throttled`, `Server`,
/// `Connection`, `TimedOut`, `InvalidRequest` and `Io`; only the others are named below.
/// A dropped future gives the request up; the server may still carry it out.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What it can do. Cheap.
    fn capabilities(&self) -> Capabilities;

    /// What its clock shows, as far as its answers told, if what it dates is dated by a clock that is not
    /// this machine's. Cheap.
    fn time(&self) -> Option<Timestamp> {
        None
    }

    /// How often, since it was opened, it was too busy: it asked to slow down, or did not answer in time.
    /// Counted by whoever repeats such requests, so that those above learn of it. Cheap.
    fn pushbacks(&self) -> u64 {
        0
    }

    /// Begins anew with the network, because somebody knows that it has changed: idle connections are dropped, names are
    /// resolved again, requests that are silent are given up soon, and waits between tries end. Cheap.
    fn reconnect(&self) {}

    /// Tells about an object.
    ///
    /// # Errors
    /// `NotFound`.
    async fn head(&self, key: &Key) -> Result<ObjectMeta>;

    /// Reads an object, or a range of it. For an empty object, ask for no range.
    ///
    /// # Errors
    /// `NotFound`, `Precondition`, `Range`.
    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult>;

    /// Reads content that was under the key before, or a range of it, where the store keeps former
    /// versions. If several have that version's tag, it is any of them.
    ///
    /// # Errors
    /// `NotFound` if it has none of that tag, `Range`, `Unsupported`, which is what a store says that keeps
    /// none.
    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let _ = (version, range);
        let context = format!("read a former version of {key:?}");
        Err(Error::new(ErrorKind::Unsupported, context))
    }

    /// Lists one page.
    ///
    /// # Errors
    /// `NotFound` if the bucket is missing.
    async fn list(&self, request: ListRequest) -> Result<ListPage>;

    /// Writes an object whole: all of it, or nothing, becomes visible.
    ///
    /// # Errors
    /// `Precondition`, `Unsupported` (the precondition, tags), `TooLarge`, `Quota`.
    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version>;

    /// Copies within the store: sizes up to [`Capabilities::copy_bytes_max`].
    ///
    /// # Errors
    /// `NotFound` and `Precondition` of the source, `Unsupported`, `TooLarge`.
    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version>;

    /// Removes objects; at most [`Capabilities::delete_keys_max`]. A missing object is success.
    /// Gives one result for each key, in order.
    ///
    /// # Errors
    /// The outer one when nothing is known of any key.
    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>>;

    /// Removes objects that are still what they were; at most [`Capabilities::delete_keys_max`]. A
    /// missing object is success. Gives one result for each, in order. A single one is a request of
    /// its own, and may be checked where several are not.
    ///
    /// # Errors
    /// `Precondition`, of each whose key has another version. The outer one when nothing is known of
    /// any: `Unsupported`, which is what a store says that cannot check it.
    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let context = format!("remove {} objects if they did not change", removals.len());
        Err(Error::new(ErrorKind::Unsupported, context))
    }

    /// Begins a multipart upload. Only `metadata` of the options is used here, its tags too.
    ///
    /// # Errors
    /// `Unsupported`.
    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId>;

    /// Uploads part `number` (1 to 10,000); a second upload of a number replaces the first.
    ///
    /// # Errors
    /// `NotFound` if the upload is gone.
    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag>;

    /// Makes part `number` from a range of an existing object.
    ///
    /// # Errors
    /// `NotFound`, `Precondition`, `Unsupported`.
    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag>;

    /// Joins the parts, by number, into the object.
    ///
    /// # Errors
    /// `NotFound` if the upload is gone, `Precondition`, `Unsupported` (the precondition).
    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version>;

    /// Gives an upload up and frees its parts. A missing upload is success.
    ///
    /// # Errors
    /// Only the common ones.
    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()>;

    /// Reads the tags of an object.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported`, which is what a store says that does not implement it.
    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let context = format!("read the tags of {key:?}");
        Err(Error::new(ErrorKind::Unsupported, context))
    }

    /// Lists one page of the uploads in progress whose keys start with `prefix`, by whomever they
    /// were started. `token` is what the page before gave as [`UploadsPage::next`].
    ///
    /// # Errors
    /// `Unsupported`, which is what a store says that does not implement it.
    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let _ = token;
        let context = format!("list the uploads below {prefix:?}");
        Err(Error::new(ErrorKind::Unsupported, context))
    }
}

/// Conveniences over any [`Store`].
#[async_trait]
pub trait StoreExt: Store {
    /// Reads a range whole into one piece of memory: for small ranges.
    ///
    /// # Errors
    /// As [`Store::get`]; `Io` if the body is short.
    async fn get_bytes(&self, key: &Key, options: GetOptions) -> Result<Bytes> {
        self.get(key, options).await?.bytes().await
    }

    /// Reads a range of a former version whole into one piece of memory: for small ranges.
    ///
    /// # Errors
    /// As [`Store::get_former`]; `Io` if the body is short.
    async fn get_former_bytes(
        &self,
        key: &Key,
        version: &Version,
        range: Range<u64>,
    ) -> Result<Bytes> {
        self.get_former(key, version, Some(range))
            .await?
            .bytes()
            .await
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

impl GetResult {
    /// The whole body in one piece of memory: for small ones.
    ///
    /// # Errors
    /// Those of the body; `Connection` if it is short.
    pub async fn bytes(self) -> Result<Bytes> {
        collect(self.body, self.range.end - self.range.start).await
    }
}

async fn collect(mut body: ByteStream, expected: u64) -> Result<Bytes> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if first.is_empty() && rest.is_empty() {
            first = piece;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(usize::try_from(expected).unwrap_or_default());
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&piece);
    }
    let all = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    if all.len() as u64 == expected {
        Ok(all)
    } else {
        let context = format!("read {} of {expected} bytes", all.len());
        Err(Error::new(ErrorKind::Connection, context))
    }
}
