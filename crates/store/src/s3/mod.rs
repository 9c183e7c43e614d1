//! Amazon S3 and every store that speaks its language (Backblaze B2, Ceph, MinIO, R2, Wasabi, …).
//!
//! All operations are requests of our own with raw keys, for the key type of `object_store` can
//! hold neither `a//b` nor `a/`, `./x` or control characters. `object_store` fetches credentials.
//!
//! Laws:
//! - A key goes out byte for byte, percent-encoded once, also `.` and `..` parts; the signature
//!   covers what is sent.
//! - One call is one request (`delete` may be several, `get_former` asks for the name of the version first, and `head`
//!   may ask whether there is a bucket at all); nothing is tried twice here.
//! - A condition that the endpoint is not known to check is refused, never sent in hope.
//! - Bodies of objects are covered by the signature over plain http to other machines only; over
//!   TLS and within this machine `UNSIGNED-PAYLOAD` saves hashing them. Documents are always
//!   covered. Checksum headers of the newer kind are not sent: several stores refuse them.
//! - Messages name the operation, key, bucket, endpoint and the server's code; never a credential
//!   or a signature.
//! - User metadata that a header cannot carry as it is travels as an encoded word of RFC 2047.

mod copy;
mod credentials;
mod delete;
mod encode;
mod endpoint;
mod former;
mod headers;
mod list;
mod listing;
mod multipart;
mod presence;
mod provider;
mod read;
mod refusal;
mod request;
mod settings;
mod sign;
mod time;
mod uploads;
mod work;
mod write;
mod xml;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use cloudmount_vfs::{Clock, Timestamp};

use crate::http::HttpClient;
use crate::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store,
    Tags, Trust, UploadId, UploadsPage, Version,
};
#[cfg(feature = "keyring")]
pub use credentials::keychain;
use delete::Doomed;
use endpoint::Endpoint;
pub use provider::Provider;
use request::Sender;
pub use settings::{PathStyle, Role, S3Credentials, S3Settings, Secret, SignedIn};
use time::ServerTime;

pub(crate) use headers::date;

/// Scheme, host and port to which requests for `bucket` go.
pub(crate) fn origin(bucket: &str, settings: &S3Settings) -> Result<String> {
    Ok(Endpoint::new(bucket, settings)?.origin().to_owned())
}

/// Reads a listing as a server sends it; `None` if it is none.
pub(crate) fn parse_listing(body: &[u8]) -> Option<ListPage> {
    listing::parse(body).ok()
}

/// A bucket.
pub struct S3Store {
    sender: Sender,
    capabilities: Capabilities,
    /// Whether the endpoint knows `DeleteObjects`, as far as is known.
    bulk_delete: AtomicBool,
    /// Whether it takes greater numbers of entries of a page than S3 gives, as far as is known.
    long_pages: AtomicBool,
}

impl S3Store {
    /// Prepares to talk to `bucket`; nothing is sent yet. `clock` dates signatures and measures how
    /// long a server is silent. Operations must run within a tokio runtime.
    ///
    /// # Errors
    /// `InvalidRequest` says which setting is wrong.
    pub fn new(bucket: &str, settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let endpoint = Endpoint::new(bucket, settings)?;
        let http = HttpClient::new(&settings.extra_ca_pem, Arc::clone(&clock))?;
        let credentials = credentials::Credentials::new(settings, &http)?;
        let mut capabilities = settings.capabilities;
        if endpoint.is_amazon() {
            // It does what its documentation says. Scratch objects would cost its users events,
            // versions and, under object lock, objects that cannot be removed.
            capabilities.trust = Trust::Exact;
        }
        Ok(Self {
            sender: Sender {
                endpoint,
                region: settings.region.clone(),
                http,
                time: ServerTime::new(clock),
                credentials,
                signing_key: sign::SigningKey::default(),
                presence: presence::Presence::default(),
            },
            capabilities,
            bulk_delete: AtomicBool::new(capabilities.delete_keys_max > 1),
            long_pages: AtomicBool::new(true),
        })
    }
}

impl S3Store {
    /// What takes no tags shall not tell of any.
    fn tell_tags(&self, meta: &mut ObjectMeta) {
        if !self.capabilities.tags {
            meta.metadata.tags = Tags::None;
        }
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store")
            .field("bucket", &self.sender.endpoint.bucket())
            .field("endpoint", &self.sender.endpoint.origin())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for S3Store {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn time(&self) -> Option<Timestamp> {
        Some(self.sender.time.now())
    }

    fn reconnect(&self) {
        self.sender.http.reconnect();
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let mut meta = match read::head(&self.sender, key).await {
            Ok(meta) => meta,
            Err(error) => return Err(presence::judge(&self.sender, key, error).await),
        };
        self.tell_tags(&mut meta);
        Ok(meta)
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let mut result = read::get(&self.sender, key, options).await?;
        self.tell_tags(&mut result.meta);
        Ok(result)
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let mut result = former::get(&self.sender, key, version, range).await?;
        self.tell_tags(&mut result.meta);
        Ok(result)
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        list::list(&self.sender, &self.long_pages, request).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        write::put(&self.sender, &self.capabilities, key, payload, options).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        copy::copy(&self.sender, &self.capabilities, source, to, options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let doomed: Vec<Doomed<'_>> = keys.iter().map(Doomed::from).collect();
        delete::delete(&self.sender, &self.bulk_delete, &doomed).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        if !self.capabilities.delete_if {
            let context = "remove if unchanged: this endpoint checks no such precondition";
            return Err(Error::new(ErrorKind::Unsupported, context));
        }
        let doomed: Vec<Doomed<'_>> = removals.iter().map(Doomed::from).collect();
        delete::delete(&self.sender, &self.bulk_delete, &doomed).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        multipart::start(&self.sender, &self.capabilities, key, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        multipart::put_part(&self.sender, key, upload, number, payload).await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        multipart::copy_part(&self.sender, key, upload, number, source, range).await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        multipart::complete(
            &self.sender,
            &self.capabilities,
            key,
            upload,
            parts,
            precondition,
        )
        .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        multipart::abort(&self.sender, key, upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        uploads::list(&self.sender, prefix, token).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        read::tags(&self.sender, key).await
    }
}

#[cfg(test)]
mod tests;
