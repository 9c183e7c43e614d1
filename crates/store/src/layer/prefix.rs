//! [`Prefix`]: shows the part of a bucket whose keys start with a prefix, without the prefix.
//!
//! Laws: the prefix is put before every key and taken off every answer, byte for byte, never
//! normalised: `photos` also shows `photos2/x` as `2/x`, `photos/` does not. A key that would be
//! longer than 1024 bytes with the prefix is [`ErrorKind::InvalidRequest`]. The object whose key is
//! the prefix itself (the marker of the mounted folder) has no key here and is not listed, so a
//! page may hold fewer items than there are.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_vfs::Timestamp;

use crate::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, ListedObject, ListedUpload, ObjectMeta, PartTag, Payload, Precondition,
    PutOptions, Removal, Result, Store, UploadId, UploadsPage, Version,
};

/// A store below a prefix of another.
pub struct Prefix {
    inner: Arc<dyn Store>,
    prefix: Box<str>,
}

/// The prefix leaves no room for a key: it has [`Key::MAX_BYTES`] bytes or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixError {
    /// Its length in bytes.
    pub bytes: usize,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, most) = (self.bytes, Key::MAX_BYTES - 1);
        write!(f, "a prefix has at most {most} bytes, this one {bytes}")
    }
}

impl std::error::Error for PrefixError {}

impl Prefix {
    /// Shows what is below `prefix` in `inner`; an empty prefix shows everything.
    ///
    /// # Errors
    /// [`PrefixError`].
    pub fn new(inner: Arc<dyn Store>, prefix: &str) -> std::result::Result<Self, PrefixError> {
        if prefix.len() >= Key::MAX_BYTES {
            let bytes = prefix.len();
            return Err(PrefixError { bytes });
        }
        let prefix = prefix.into();
        Ok(Self { inner, prefix })
    }

    fn outer(&self, key: &Key) -> Result<Key> {
        if self.prefix.is_empty() {
            return Ok(key.clone());
        }
        Key::new(self.outer_text(key.as_str())).map_err(|reason| {
            let context = format!("key {key:?} below prefix {:?}", self.prefix);
            Error::new(ErrorKind::InvalidRequest, context).with_source(reason)
        })
    }

    fn outer_text(&self, text: &str) -> String {
        [&self.prefix, text].concat()
    }

    fn outer_source(&self, source: CopySource) -> Result<CopySource> {
        let key = self.outer(&source.key)?;
        Ok(CopySource { key, ..source })
    }

    fn inner_text<'a>(&self, listed: &'a str) -> Result<&'a str> {
        listed.strip_prefix(&*self.prefix).ok_or_else(|| {
            let context = format!("a listing of {:?} that holds {listed:?}", self.prefix);
            Error::new(ErrorKind::Io, context)
        })
    }

    /// The object under its key here; `None` if it has none.
    fn inner_object(&self, object: ListedObject) -> Result<Option<ListedObject>> {
        let key = Key::new(self.inner_text(object.key.as_str())?);
        Ok(key.ok().map(|key| ListedObject { key, ..object }))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefix")
            .field("inner", &self.inner)
            .field("prefix", &self.prefix)
            .finish()
    }
}

#[async_trait]
impl Store for Prefix {
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
        self.inner.head(&self.outer(key)?).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get(&self.outer(key)?, options).await
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let key = self.outer(key)?;
        self.inner.get_former(&key, version, range).await
    }

    async fn list(&self, mut request: ListRequest) -> Result<ListPage> {
        if self.prefix.is_empty() {
            return self.inner.list(request).await;
        }
        request.prefix = self.outer_text(&request.prefix);
        request.start_after = request.start_after.map(|key| self.outer_text(&key));
        let page = self.inner.list(request).await?;
        Ok(ListPage {
            objects: (page.objects.into_iter())
                .filter_map(|object| self.inner_object(object).transpose())
                .collect::<Result<_>>()?,
            prefixes: (page.prefixes.iter())
                .map(|folder| self.inner_text(folder).map(str::to_owned))
                .collect::<Result<_>>()?,
            next: page.next,
        })
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        self.inner.put(&self.outer(key)?, payload, options).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let source = self.outer_source(source)?;
        self.inner.copy(source, &self.outer(to)?, options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let outer: Vec<Result<Key>> = keys.iter().map(|key| self.outer(key)).collect();
        let valid: Vec<Key> = outer.iter().flatten().cloned().collect();
        let answers = match valid.as_slice() {
            [] => Vec::new(),
            valid => self.inner.delete(valid).await?,
        };
        Ok(in_their_places(outer, answers))
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let outer: Vec<Result<Removal>> = (removals.iter())
            .map(|removal| {
                let key = self.outer(&removal.key)?;
                let version = removal.version.clone();
                Ok(Removal { key, version })
            })
            .collect();
        let valid: Vec<Removal> = outer.iter().flatten().cloned().collect();
        let answers = match valid.as_slice() {
            [] => Vec::new(),
            valid => self.inner.delete_if(valid).await?,
        };
        Ok(in_their_places(outer, answers))
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        self.inner.multipart_start(&self.outer(key)?, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let key = self.outer(key)?;
        (self.inner)
            .multipart_put(&key, upload, number, payload)
            .await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let (key, source) = (self.outer(key)?, self.outer_source(source)?);
        (self.inner)
            .multipart_copy(&key, upload, number, source, range)
            .await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let key = self.outer(key)?;
        (self.inner)
            .multipart_complete(&key, upload, parts, precondition)
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.inner.multipart_abort(&self.outer(key)?, upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let outer = self.outer_text(prefix);
        let page = self.inner.multipart_list(&outer, token).await?;
        let uploads = (page.uploads.into_iter()).map(|listed| {
            let key = Key::new(self.inner_text(listed.key.as_str())?).ok();
            Ok(key.map(|key| ListedUpload { key, ..listed }))
        });
        Ok(UploadsPage {
            uploads: uploads
                .filter_map(Result::transpose)
                .collect::<Result<_>>()?,
            next: page.next,
        })
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.inner.tags(&self.outer(key)?).await
    }
}

/// The answers for what has a key in the store below, between the errors of what has none.
fn in_their_places<T>(outer: Vec<Result<T>>, answers: Vec<Result<()>>) -> Vec<Result<()>> {
    let mut answers = answers.into_iter();
    let place = |asked: Result<T>| {
        asked?;
        let missing = || Err(Error::new(ErrorKind::Io, "delete: fewer answers than keys"));
        answers.next().unwrap_or_else(missing)
    };
    outer.into_iter().map(place).collect()
}
