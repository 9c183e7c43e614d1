//! [`Tagged`]: a bucket whose tags are those of S3: the MD5 of a body, and of parts the MD5 of theirs.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_store::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, MemoryStore, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Result,
    Store, StoreExt, UploadId, UploadsPage, Version,
};
use md5::{Digest, Md5};

/// A bucket in memory with the tags of S3.
#[derive(Debug)]
pub(crate) struct Tagged {
    inner: Arc<MemoryStore>,
    /// What is told, by the version that `inner` has.
    told: Mutex<HashMap<String, String>>,
    /// The tags that `inner` gave to parts, by upload and number.
    parts: Mutex<HashMap<(String, u16), String>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

impl Tagged {
    pub(crate) fn new(inner: Arc<MemoryStore>) -> Self {
        Self {
            inner,
            told: Mutex::default(),
            parts: Mutex::default(),
        }
    }

    fn tell(&self, version: &Version, tag: &str) -> Version {
        let tag = format!("\"{tag}\"");
        let mut told = self.told.lock().unwrap();
        told.insert(version.as_str().to_owned(), tag.clone());
        Version::new(tag)
    }

    fn tell_part(&self, upload: &UploadId, part: PartTag, tag: &str) -> PartTag {
        let number = part.number;
        let mut parts = self.parts.lock().unwrap();
        parts.insert((upload.0.clone(), number), part.tag);
        let tag = format!("\"{tag}\"");
        PartTag { number, tag }
    }

    fn real_part(&self, upload: &UploadId, part: &PartTag) -> PartTag {
        let number = part.number;
        let parts = self.parts.lock().unwrap();
        let real = parts.get(&(upload.0.clone(), number));
        let tag = real.unwrap_or(&part.tag).clone();
        PartTag { number, tag }
    }

    fn shown(&self, version: &Version) -> Version {
        let told = self.told.lock().unwrap();
        let tag = told.get(version.as_str());
        tag.map_or_else(|| version.clone(), |tag| Version::new(tag.as_str()))
    }

    fn shown_meta(&self, meta: ObjectMeta) -> ObjectMeta {
        ObjectMeta {
            version: self.shown(&meta.version),
            ..meta
        }
    }

    /// The version that `inner` has, if it is the one that is asked for.
    async fn real(&self, key: &Key, asked: Version) -> Version {
        match self.inner.head(key).await {
            Ok(there) if self.shown(&there.version) == asked => there.version,
            _ => asked,
        }
    }

    async fn real_source(&self, source: CopySource) -> CopySource {
        let if_match = match source.if_match {
            Some(version) => Some(self.real(&source.key, version).await),
            None => None,
        };
        CopySource { if_match, ..source }
    }

    async fn real_condition(&self, key: &Key, condition: Precondition) -> Precondition {
        match condition {
            Precondition::Matches(version) => Precondition::Matches(self.real(key, version).await),
            other => other,
        }
    }

    async fn bytes(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes> {
        let options = GetOptions {
            range,
            if_match: None,
        };
        self.inner.get_bytes(key, options).await
    }
}

#[async_trait]
impl Store for Tagged {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        Ok(self.shown_meta(self.inner.head(key).await?))
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let if_match = match options.if_match {
            Some(version) => Some(self.real(key, version).await),
            None => None,
        };
        let options = GetOptions {
            if_match,
            ..options
        };
        let got = self.inner.get(key, options).await?;
        Ok(GetResult {
            meta: self.shown_meta(got.meta),
            ..got
        })
    }

    async fn list(&self, _: ListRequest) -> Result<ListPage> {
        Err(Error::new(ErrorKind::Unsupported, "list"))
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let options = PutOptions {
            precondition: self.real_condition(key, options.precondition).await,
            ..options
        };
        let version = self.inner.put(key, payload, options).await?;
        let tag = md5(&self.bytes(key, None).await?);
        Ok(self.tell(&version, &tag))
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let options = CopyOptions {
            precondition: self.real_condition(to, options.precondition).await,
            ..options
        };
        let source = self.real_source(source).await;
        let version = self.inner.copy(source, to, options).await?;
        let tag = md5(&self.bytes(to, None).await?);
        Ok(self.tell(&version, &tag))
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        self.inner.delete(keys).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        self.inner.multipart_start(key, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let tag = md5(&payload.0.concat());
        let part = (self.inner.multipart_put(key, upload, number, payload)).await?;
        Ok(self.tell_part(upload, part, &tag))
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let tag = md5(&self.bytes(&source.key, Some(range.clone())).await?);
        let source = self.real_source(source).await;
        let part = (self
            .inner
            .multipart_copy(key, upload, number, source, range))
        .await?;
        Ok(self.tell_part(upload, part, &tag))
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let condition = self.real_condition(key, precondition).await;
        let real: Vec<_> = parts
            .iter()
            .map(|part| self.real_part(upload, part))
            .collect();
        let version = (self.inner.multipart_complete(key, upload, &real, condition)).await?;
        let mut hash = Md5::new();
        for part in parts {
            let tag = part.tag.trim_matches('"');
            let byte = |at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap();
            hash.update((0..tag.len()).step_by(2).map(byte).collect::<Vec<_>>());
        }
        let tag = format!("{}-{}", hex(&hash.finalize()), parts.len());
        Ok(self.tell(&version, &tag))
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.inner.multipart_abort(key, upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        self.inner.multipart_list(prefix, token).await
    }
}
