//! [`LyingStore`]: a store that promises all that the one below it does, and breaks one promise, as
//! servers do that somebody has met.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_store::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult,
    Key, ListPage, ListRequest, Metadata, ObjectMeta, PartTag, Payload, Precondition, PutOptions,
    Removal, Result, Store, Tags, Trust, UploadId, UploadsPage, Version,
};
use cloudmount_vfs::Timestamp;
use parking_lot::Mutex;

/// A promise that is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// None: what it says can be relied on, but nobody knows that.
    Nothing,
    /// `If-None-Match: *` is passed over, with success.
    IgnoresAbsent,
    /// `If-Match` is passed over, with success.
    IgnoresMatch,
    /// Conditions are checked on `put`, and passed over on `multipart_complete`.
    IgnoresOnComplete,
    /// Conditions are answered with "not implemented".
    NotImplemented,
    /// A condition that should hold is refused as if it did not.
    RefusesAll,
    /// A copy to another key succeeds, and leaves an empty object there.
    CopiesNothing,
    /// A copy onto itself succeeds, and leaves an empty object there.
    EmptiesItself,
    /// A copy keeps the metadata that were to be replaced.
    KeepsMetadata,
    /// A copy that replaces the metadata drops the tags that it is not given.
    DropsTags,
    /// A copy passes over which version its source is to be.
    CopiesAnySource,
    /// A copy passes over the conditions on its target.
    CopiesOnAnything,
    /// The version that a removal names is passed over, with success.
    RemovesAnything,
    /// The same where several are removed at once.
    RemovesManyOfAnything,
    /// A removal checks the version that it is given, and removes in another step: what was written in between goes.
    RemovesInTwoSteps,
    /// Copies are answered with "not implemented".
    NoCopies,
    /// A part that is copied from a range gets the whole source.
    CopiesWholeParts,
    /// Copies of parts are answered with "not implemented".
    NoPartCopies,
    /// Nobody may write.
    Forbids,
}

impl Lie {
    /// Every lie.
    pub const ALL: [Self; 19] = [
        Self::Nothing,
        Self::IgnoresAbsent,
        Self::IgnoresMatch,
        Self::IgnoresOnComplete,
        Self::NotImplemented,
        Self::RefusesAll,
        Self::CopiesNothing,
        Self::EmptiesItself,
        Self::KeepsMetadata,
        Self::DropsTags,
        Self::CopiesAnySource,
        Self::CopiesOnAnything,
        Self::RemovesAnything,
        Self::RemovesManyOfAnything,
        Self::RemovesInTwoSteps,
        Self::NoCopies,
        Self::CopiesWholeParts,
        Self::NoPartCopies,
        Self::Forbids,
    ];
}

/// A store that breaks one promise of the one below, and is [`Trust::Claimed`].
#[derive(Debug)]
pub struct LyingStore {
    inner: Arc<dyn Store>,
    lie: Mutex<Lie>,
}

/// Where a condition is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Put,
    Complete,
    Copy,
}

impl LyingStore {
    /// Breaks a promise of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, lie: Lie) -> Self {
        Self {
            inner,
            lie: Mutex::new(lie),
        }
    }

    /// Lies about that from now on.
    pub fn tell(&self, lie: Lie) {
        *self.lie.lock() = lie;
    }

    fn lie(&self) -> Lie {
        *self.lie.lock()
    }

    /// The condition that is really checked.
    fn checked(&self, on: On, asked: Precondition) -> Result<Precondition> {
        let ignored = match (self.lie(), &asked) {
            (_, Precondition::None) => false,
            (Lie::NotImplemented, _) => return Err(no("conditions")),
            (Lie::RefusesAll, _) => {
                let context = "a condition that holds";
                return Err(Error::new(ErrorKind::Precondition, context));
            }
            (Lie::IgnoresAbsent, Precondition::Absent)
            | (Lie::IgnoresMatch, Precondition::Matches(_)) => true,
            (Lie::IgnoresOnComplete, _) => on == On::Complete,
            (Lie::CopiesOnAnything, _) => on == On::Copy,
            _ => false,
        };
        Ok(if ignored { Precondition::None } else { asked })
    }

    /// Checks all, lets others have their turn, and removes what is there then.
    async fn remove_in_two_steps(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let mut holds = Vec::new();
        for removal in removals {
            holds.push(match self.inner.head(&removal.key).await {
                Ok(there) if there.version != removal.version => Err(Error::new(
                    ErrorKind::Precondition,
                    "a removal of another version",
                )),
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                Ok(_) | Err(_) => Ok(()),
            });
        }
        tokio::task::yield_now().await;
        let mut answers = Vec::new();
        for (removal, holds) in removals.iter().zip(holds) {
            answers.push(match holds {
                Ok(()) => {
                    let keys = std::slice::from_ref(&removal.key);
                    let mut removed = self.inner.delete(keys).await?;
                    removed.pop().unwrap_or(Ok(()))
                }
                Err(error) => Err(error),
            });
        }
        Ok(answers)
    }

    fn allowed(&self) -> Result<()> {
        match self.lie() {
            Lie::Forbids => Err(Error::new(ErrorKind::Forbidden, "a write")),
            _ => Ok(()),
        }
    }
}

fn no(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

#[async_trait]
impl Store for LyingStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            trust: Trust::Claimed,
            ..self.inner.capabilities()
        }
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
        self.inner.head(key).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get(key, options).await
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        self.inner.get_former(key, version, range).await
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        self.inner.list(request).await
    }

    async fn put(&self, key: &Key, payload: Payload, mut options: PutOptions) -> Result<Version> {
        self.allowed()?;
        options.precondition = self.checked(On::Put, options.precondition)?;
        self.inner.put(key, payload, options).await
    }

    async fn copy(
        &self,
        mut source: CopySource,
        to: &Key,
        mut options: CopyOptions,
    ) -> Result<Version> {
        self.allowed()?;
        let onto_itself = source.key == *to;
        match self.lie() {
            Lie::NoCopies => return Err(no("copies")),
            Lie::CopiesAnySource => source.if_match = None,
            Lie::KeepsMetadata => options.metadata = CopyMetadata::Keep,
            Lie::DropsTags => {
                if let CopyMetadata::Replace(metadata) = &mut options.metadata
                    && !matches!(metadata.tags, Tags::These(_))
                {
                    metadata.tags = Tags::These(Box::default());
                }
            }
            Lie::CopiesNothing | Lie::EmptiesItself
                if onto_itself == (self.lie() == Lie::EmptiesItself) =>
            {
                let metadata = match options.metadata {
                    CopyMetadata::Replace(metadata) => metadata,
                    CopyMetadata::Keep => Metadata::default(),
                };
                let options = PutOptions {
                    metadata,
                    ..PutOptions::default()
                };
                return self.inner.put(to, Payload::default(), options).await;
            }
            _ => {}
        }
        options.precondition = self.checked(On::Copy, options.precondition)?;
        self.inner.copy(source, to, options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        self.inner.delete(keys).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let ignored = match self.lie() {
            Lie::NotImplemented => return Err(no("conditions")),
            Lie::RefusesAll => {
                let refuse = |_| {
                    Err(Error::new(
                        ErrorKind::Precondition,
                        "a condition that holds",
                    ))
                };
                return Ok(removals.iter().map(refuse).collect());
            }
            Lie::IgnoresMatch | Lie::RemovesAnything => true,
            Lie::RemovesManyOfAnything => removals.len() > 1,
            Lie::RemovesInTwoSteps => return self.remove_in_two_steps(removals).await,
            _ => false,
        };
        if !ignored {
            return self.inner.delete_if(removals).await;
        }
        let keys: Vec<Key> = removals.iter().map(|one| one.key.clone()).collect();
        self.inner.delete(&keys).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        self.allowed()?;
        self.inner.multipart_start(key, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        (self.inner)
            .multipart_put(key, upload, number, payload)
            .await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        mut range: Range<u64>,
    ) -> Result<PartTag> {
        match self.lie() {
            Lie::NoPartCopies => return Err(no("copies of parts")),
            Lie::CopiesWholeParts => range = 0..self.inner.head(&source.key).await?.size,
            _ => {}
        }
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
        let precondition = self.checked(On::Complete, precondition)?;
        (self.inner)
            .multipart_complete(key, upload, parts, precondition)
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.inner.multipart_abort(key, upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        self.inner.multipart_list(prefix, token).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.inner.tags(key).await
    }
}
