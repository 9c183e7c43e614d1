//! [`DialectStore`]: a store that speaks a dialect, over one that speaks none.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_store::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, ListedObject, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal,
    Result, Store, Trust, UploadId, UploadsPage, Version,
};
use cloudmount_vfs::{Clock, Instant};
use parking_lot::Mutex;

use super::listing::{self, Order};
use super::{Dialect, LAG};

/// A store that speaks a dialect, and is [`Trust::Claimed`]: what it does has to be found out.
///
/// [`Dialect::NeedsMd5`] and [`Dialect::Throttles403`] are matters of HTTP, which a store does not speak: here they
/// are as [`Dialect::Plain`].
#[derive(Debug)]
pub struct DialectStore {
    inner: Arc<dyn Store>,
    dialect: Dialect,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The lengths of the parts of uploads, by number.
    parts: HashMap<UploadId, BTreeMap<u16, u64>>,
    /// What was listed of keys before they changed, oldest first.
    before: Vec<(Instant, Key, Option<ListedObject>)>,
}

impl DialectStore {
    /// Over `inner`, which speaks none; `clock` says how old listings are.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, dialect: Dialect, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner,
            dialect,
            clock,
            state: Mutex::default(),
        }
    }

    /// The condition that is really checked.
    fn checked(&self, asked: Precondition) -> Result<Precondition> {
        match (self.dialect, asked) {
            (_, Precondition::None) | (Dialect::PassesOver, _) => Ok(Precondition::None),
            (Dialect::NoConditions, _) => Err(no("conditions")),
            (_, Precondition::Matches(version)) => Ok(Precondition::Matches(self.meant(&version)?)),
            (_, Precondition::Absent) => Ok(Precondition::Absent),
        }
    }

    /// The version that is meant where the tag is compared with `version`, letter by letter.
    fn meant(&self, version: &Version) -> Result<Version> {
        if self.dialect != Dialect::BareTags {
            return Ok(version.clone());
        }
        if version.as_str().starts_with('"') {
            let context = "a tag with its quotes, which no object has";
            return Err(Error::new(ErrorKind::Precondition, context));
        }
        Ok(Version::new(format!("\"{version}\"")))
    }

    /// The version that the source of a copy must have.
    fn source(&self, mut source: CopySource) -> Result<CopySource> {
        source.if_match = match (self.dialect, source.if_match) {
            (Dialect::PassesOver, _) | (_, None) => None,
            (Dialect::NoConditions, Some(_)) => return Err(no("conditions")),
            (_, Some(version)) => Some(self.meant(&version)?),
        };
        Ok(source)
    }

    /// Before `key` is written: whether it may be there, and what listings show of it for a while.
    async fn before_write(&self, key: &Key) -> Result<()> {
        if self.dialect == Dialect::NoPrefixObjects {
            self.check_place(key).await?;
        }
        self.before_change(key).await
    }

    /// Before `key` changes.
    async fn before_change(&self, key: &Key) -> Result<()> {
        if self.dialect != Dialect::Lags {
            return Ok(());
        }
        let there = match self.inner.head(key).await {
            Ok(meta) => Some(ListedObject {
                key: key.clone(),
                size: meta.size,
                version: Some(meta.version),
                modified: meta.modified,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let now = self.clock.now();
        self.state.lock().before.push((now, key.clone(), there));
        Ok(())
    }

    /// Whether `key` is neither below an object nor above one.
    async fn check_place(&self, key: &Key) -> Result<()> {
        let text = key.as_str();
        let within = text.trim_end_matches('/');
        for (at, _) in within.match_indices('/') {
            let Ok(above) = Key::new(&text[..at]) else {
                continue;
            };
            if self.inner.head(&above).await.is_ok() {
                return Err(in_the_way(key, above.as_str()));
            }
        }
        if text.ends_with('/') {
            let Ok(file) = Key::new(within) else {
                return Ok(());
            };
            return match self.inner.head(&file).await {
                Ok(_) => Err(in_the_way(key, within)),
                Err(_) => Ok(()),
            };
        }
        let below = ListRequest {
            prefix: format!("{text}/"),
            limit: Some(1),
            ..ListRequest::default()
        };
        match self.inner.list(below).await?.objects.first() {
            Some(object) => Err(in_the_way(key, object.key.as_str())),
            None => Ok(()),
        }
    }

    /// Whether the parts are as long as the dialect wants them.
    fn check_parts(&self, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        if self.dialect != Dialect::EqualParts {
            return Ok(());
        }
        let state = self.state.lock();
        let lengths = state.parts.get(upload);
        let length = |part: &PartTag| {
            lengths
                .and_then(|lengths| lengths.get(&part.number))
                .copied()
        };
        let mut all: Vec<Option<u64>> = parts.iter().map(length).collect();
        let last = all.pop().flatten();
        let first = all.first().copied().flatten();
        let is_equal = all.iter().all(|length| *length == first);
        if is_equal && (all.is_empty() || last <= first) {
            return Ok(());
        }
        let context = "all parts but the last must have the same length";
        Err(Error::new(ErrorKind::InvalidRequest, context))
    }

    fn note_part(&self, upload: &UploadId, number: u16, bytes: u64) {
        let mut state = self.state.lock();
        let parts = state.parts.entry(upload.clone()).or_default();
        parts.insert(number, bytes);
    }

    /// The bucket as listings show it.
    async fn shown(&self, prefix: &str) -> Result<BTreeMap<Key, ListedObject>> {
        let mut all = listing::everything(&*self.inner, prefix).await?;
        if self.dialect == Dialect::Lags {
            let now = self.clock.now();
            let mut state = self.state.lock();
            state
                .before
                .retain(|(changed, ..)| now.saturating_since(*changed) < LAG);
            for (_, key, there) in state.before.iter().rev() {
                match there {
                    Some(object) => drop(all.insert(key.clone(), object.clone())),
                    None => drop(all.remove(key)),
                }
            }
        }
        all.retain(|key, _| key.as_str().starts_with(prefix));
        Ok(all)
    }
}

fn no(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

fn in_the_way(key: &Key, other: &str) -> Error {
    let context = format!("write {key:?}: {other:?} is there");
    Error::new(ErrorKind::InvalidRequest, context)
}

#[async_trait]
impl Store for DialectStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            trust: Trust::Claimed,
            ..self.inner.capabilities()
        }
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
        let order = match self.dialect {
            Dialect::Unordered => Order::None,
            Dialect::Lags => Order::Keys,
            _ => return self.inner.list(request).await,
        };
        let shown = self.shown(&request.prefix).await?;
        listing::page(shown, &request, order)
    }

    async fn put(&self, key: &Key, payload: Payload, mut options: PutOptions) -> Result<Version> {
        options.precondition = self.checked(options.precondition)?;
        self.before_write(key).await?;
        self.inner.put(key, payload, options).await
    }

    async fn copy(
        &self,
        source: CopySource,
        to: &Key,
        mut options: CopyOptions,
    ) -> Result<Version> {
        let source = self.source(source)?;
        options.precondition = self.checked(options.precondition)?;
        self.before_write(to).await?;
        self.inner.copy(source, to, options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        for key in keys {
            self.before_change(key).await?;
        }
        self.inner.delete(keys).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        match self.dialect {
            Dialect::NoConditions => return Err(no("conditions")),
            Dialect::PassesOver => {
                let keys: Vec<Key> = removals.iter().map(|one| one.key.clone()).collect();
                return self.inner.delete(&keys).await;
            }
            _ => {}
        }
        let mut answers = Vec::new();
        for removal in removals {
            self.before_change(&removal.key).await?;
            answers.push(match self.meant(&removal.version) {
                Ok(version) => {
                    let key = removal.key.clone();
                    let mut answer = self.inner.delete_if(&[Removal { key, version }]).await?;
                    answer.pop().unwrap_or(Ok(()))
                }
                // What is not there is removed, whatever its version was to be.
                Err(error) => match self.inner.head(&removal.key).await {
                    Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                },
            });
        }
        Ok(answers)
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
        let bytes = payload.len();
        let part = (self.inner)
            .multipart_put(key, upload, number, payload)
            .await?;
        self.note_part(upload, number, bytes);
        Ok(part)
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        if self.dialect == Dialect::NoPartCopies {
            return Err(no("copies of parts"));
        }
        let source = self.source(source)?;
        let bytes = range.end.saturating_sub(range.start);
        let part = (self.inner)
            .multipart_copy(key, upload, number, source, range)
            .await?;
        self.note_part(upload, number, bytes);
        Ok(part)
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let precondition = self.checked(precondition)?;
        self.check_parts(upload, parts)?;
        self.before_write(key).await?;
        let version = (self.inner)
            .multipart_complete(key, upload, parts, precondition)
            .await?;
        self.state.lock().parts.remove(upload);
        Ok(version)
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.state.lock().parts.remove(upload);
        self.inner.multipart_abort(key, upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        self.inner.multipart_list(prefix, token).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.inner.tags(key).await
    }
}
