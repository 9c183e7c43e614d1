//! [`Remote`]: any store of the crate `object_store` as a [`Store`], as far as that goes.
//!
//! What it cannot do, and says so: keys that its `Path` cannot hold (empty, `.` or `..` parts, `/`
//! at an end, control characters) cannot be written (`InvalidRequest`), and are not found; copies
//! know no precondition and cannot replace metadata; no part can be copied; parts are numbered
//! without a gap. No upload in parts can end with a precondition, so a store with such uploads
//! promises none at all. Markers of folders are not shown, for `object_store` lists them as if they
//! were objects without the `/`.
//!
//! Laws: nothing is tried twice here; a condition that the store cannot check is refused.
//!
//! For Google Cloud Storage, [`S3Store`](crate::S3Store) with HMAC keys at
//! `https://storage.googleapis.com` has none of these gaps.

mod attributes;
#[cfg(feature = "azure")]
mod azure;
mod failure;
#[cfg(feature = "gcs")]
mod gcs;
mod list;
mod read;
mod settings;
mod write;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::http::HttpClient;
use crate::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Result, Store, Trust,
    UploadId, Version,
};
#[cfg(feature = "azure")]
pub(crate) use azure::open as open_azure;
#[cfg(feature = "gcs")]
pub(crate) use gcs::open as open_gcs;
pub use settings::{AzureCredentials, AzureSettings, GcsCredentials, GcsSettings};

/// Single deletes at a time: enough to hide a round trip, few enough to leave connections to others.
const DELETES_AT_ONCE: usize = 8;

/// A store of the crate `object_store`.
pub struct Remote {
    objects: Arc<dyn ObjectStore>,
    pages: Option<Arc<dyn PaginatedListStore>>,
    uploads: Option<Arc<dyn MultipartStore>>,
    conditions: Conditions,
    names: MetadataNames,
    capabilities: Capabilities,
    /// Its connections, if they are ours.
    http: Option<HttpClient>,
}

/// By what a store recognises the version that a put is to replace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conditions {
    /// By its `ETag`.
    Tag,
    /// By a number that only a look at the object tells (the generation of Google Cloud Storage):
    /// each conditional put costs one request more.
    Number,
}

/// How names of user metadata are spelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataNames {
    /// As they are.
    Plain,
    /// As identifiers, which Azure asks for: `_` becomes `__`, `-` becomes `_m`, `.` becomes `_d`.
    Identifiers,
}

impl Remote {
    /// Adapts `objects`. It is trusted to check preconditions of puts by `ETag`, and to list in one
    /// go: each page reads the whole listing below the prefix again, in bounded memory. For large
    /// folders give [`with_pages`](Self::with_pages).
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            pages: None,
            uploads: None,
            conditions: Conditions::Tag,
            names: MetadataNames::Plain,
            http: None,
            capabilities: Capabilities {
                trust: Trust::Exact,
                tags: false,
                copy_if: false,
                delete_if: false,
                part_copy: false,
                folder_markers: false,
                parts_max: 1,
                object_bytes_max: Capabilities::S3.part_bytes_max,
                delete_keys_max: 1000,
                ..Capabilities::S3
            },
        }
    }

    /// Lists by pages: usually the same store as the one adapted.
    #[must_use]
    pub fn with_pages(mut self, pages: Arc<dyn PaginatedListStore>) -> Self {
        self.pages = Some(pages);
        self
    }

    /// Uploads in parts: usually the same store as the one adapted. From then on no precondition is
    /// taken.
    #[must_use]
    pub fn with_uploads(mut self, uploads: Arc<dyn MultipartStore>) -> Self {
        self.uploads = Some(uploads);
        // Both would be checked on `put`, but not on `multipart_complete`.
        self.capabilities.put_if_absent = false;
        self.capabilities.put_if_match = false;
        self.capabilities.parts_max = Capabilities::S3.parts_max;
        self.capabilities.object_bytes_max = Capabilities::S3.object_bytes_max;
        self
    }

    /// Says how versions and metadata names are spelled there.
    #[must_use]
    pub fn with_spelling(mut self, conditions: Conditions, names: MetadataNames) -> Self {
        self.conditions = conditions;
        self.names = names;
        self
    }

    /// Says more exactly what the store can do.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = Capabilities {
            trust: Trust::Exact,
            tags: false,
            ..capabilities
        };
        self
    }

    /// Says by which connections it is reached.
    #[cfg(any(feature = "gcs", feature = "azure"))]
    fn with_http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    async fn delete_one(&self, key: Key) -> Result<()> {
        let Some(path) = path(&key) else {
            return Ok(());
        };
        match self.objects.delete(&path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(|error| failure::error("remove", &key, error)),
        }
    }

    fn uploads(&self) -> Result<&dyn MultipartStore> {
        self.uploads.as_deref().ok_or_else(|| {
            let context = format!("{}: no uploads in parts", self.objects);
            Error::new(ErrorKind::Unsupported, context)
        })
    }
}

/// The path of a key, if it says exactly the key.
fn path(key: &Key) -> Option<Path> {
    let path = Path::parse(key.as_str()).ok()?;
    (path.as_ref() == key.as_str()).then_some(path)
}

/// The path of a key to write.
fn path_to_write(key: &Key) -> Result<Path> {
    path(key).ok_or_else(|| {
        let context = format!("write {key:?}: this store cannot hold such a key");
        Error::new(ErrorKind::InvalidRequest, context)
    })
}

/// The path of a key to read; nothing is there under one that the store cannot hold.
fn path_to_read(key: &Key) -> Result<Path> {
    path(key).ok_or_else(|| {
        let context = format!("read {key:?}: this store cannot hold such a key");
        Error::new(ErrorKind::NotFound, context)
    })
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.objects)
    }
}

#[async_trait]
impl Store for Remote {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn reconnect(&self) {
        if let Some(http) = &self.http {
            http.reconnect();
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        read::head(self, key).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        read::get(self, key, options).await
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        match &self.pages {
            Some(pages) => list::by_page(pages.as_ref(), request).await,
            None => list::by_stream(self.objects.as_ref(), request).await,
        }
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        write::put(self, key, payload, options).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        write::copy(self, source, to, options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        // Owned keys: a borrow here would have to outlive the boxed future.
        let results = stream::iter(keys.to_vec())
            .map(|key| self.delete_one(key))
            .buffered(DELETES_AT_ONCE);
        Ok(results.collect().await)
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        write::start(self, key, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        write::part(self, key, upload, number, payload).await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        _upload: &UploadId,
        _number: u16,
        _source: CopySource,
        _range: Range<u64>,
    ) -> Result<PartTag> {
        let context = format!("copy a part of {key:?}: this store cannot");
        Err(Error::new(ErrorKind::Unsupported, context))
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        write::complete(self, key, upload, parts, precondition).await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let aborted = self
            .uploads()?
            .abort_multipart(&path_to_write(key)?, &upload.0)
            .await;
        match aborted.map_err(|error| failure::error("give up writing", key, error)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
