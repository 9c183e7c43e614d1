//! [`MemoryStore`]: a bucket in memory that obeys the rules of S3, for tests, benchmarks and
//! embedding.
//!
//! Laws: every write gives a version that no key had before, unless it is told to tag contents; each step is atomic; content is shared
//! with the writer and the reader, never copied; what its [`Capabilities`] deny is refused, so a
//! test can play an endpoint that lacks something.

mod content;
mod list;
mod multipart;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_vfs::{Clock, Timestamp};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use self::content::Content;
use self::multipart::Upload;
use crate::rules::{
    check_delete, check_if_match, check_metadata, check_precondition, check_removal, check_size,
    check_tags, copy_range, resolve_range,
};
use crate::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult,
    Key, ListPage, ListRequest, Metadata, ObjectMeta, PartTag, Payload, Precondition, PutOptions,
    Removal, Result, Store, Tags, Trust, UploadId, UploadsPage, Version,
};

/// A bucket in memory.
///
/// Versions are quoted tags of a CRC-32 of the content and a counter. Objects are dated with the
/// clock's wall time, to the nanosecond. Nothing bounds the memory but what is put.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capabilities: Capabilities,
    state: Mutex<State>,
}

/// Whether former versions are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum History {
    #[default]
    Forgotten,
    Kept,
}

/// What tells two states of an object apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Identity {
    #[default]
    OfWrite,
    OfContent,
}

/// All that changes.
#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Object>,
    uploads: HashMap<String, Upload>,
    history: History,
    identity: Identity,
    /// All that was ever written, if it is kept.
    former: HashMap<(Key, Version), Object>,
    /// Counts versions and uploads, so that none comes twice.
    count: u64,
}

/// One object.
#[derive(Clone, Debug)]
struct Object {
    content: Content,
    version: Version,
    modified: Timestamp,
    metadata: Metadata,
}

impl MemoryStore {
    /// What it offers unless told otherwise: all that S3 does, and preconditions on copies.
    pub const CAPABILITIES: Capabilities = Capabilities {
        trust: Trust::Exact,
        copy_if: true,
        delete_if: true,
        ..Capabilities::S3
    };

    /// An empty bucket with every feature.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capabilities(clock, Self::CAPABILITIES)
    }

    /// An empty bucket that offers only `capabilities`: it refuses the preconditions, markers and
    /// sizes that they deny, and drops user metadata if they say so.
    #[must_use]
    pub fn with_capabilities(clock: Arc<dyn Clock>, capabilities: Capabilities) -> Self {
        Self {
            clock,
            capabilities: Capabilities {
                trust: Trust::Exact,
                ..capabilities
            },
            state: Mutex::default(),
        }
    }

    /// The same, keeping former versions.
    #[must_use]
    pub fn keeping_versions(mut self) -> Self {
        self.state.get_mut().history = History::Kept;
        self
    }

    /// The same, with tags of the content alone, and dates in whole seconds, as most servers have them: new metadata of an
    /// object leave its version as it is.
    #[must_use]
    pub fn tagging_contents(mut self) -> Self {
        self.state.get_mut().identity = Identity::OfContent;
        self
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().objects.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.lock().objects.is_empty()
    }

    /// Every key, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.state.lock().objects.keys().cloned().collect()
    }

    /// How many multipart uploads were started and neither completed nor aborted.
    #[must_use]
    pub fn uploads_in_progress(&self) -> usize {
        self.state.lock().uploads.len()
    }

    fn refuse(&self, offered: Offered, what: &str) -> Result<()> {
        match offered {
            Offered::Yes => Ok(()),
            Offered::No => Err(Error::new(ErrorKind::Unsupported, what)),
        }
    }

    fn check_offered(&self, precondition: &Precondition) -> Result<()> {
        let offered = match precondition {
            Precondition::None => Offered::Yes,
            Precondition::Absent => self.capabilities.put_if_absent.into(),
            Precondition::Matches(_) => self.capabilities.put_if_match.into(),
        };
        self.refuse(offered, "a precondition of that kind")
    }

    fn check_key(&self, key: &Key) -> Result<()> {
        let offered = (!key.is_marker() || self.capabilities.folder_markers).into();
        self.refuse(offered, "a key that ends in '/'")
    }

    /// The metadata that are kept of those given.
    fn kept(&self, metadata: &Metadata) -> Result<Metadata> {
        let mut kept = metadata.clone();
        if self.capabilities.user_metadata {
            check_metadata(&kept)?;
        } else {
            kept.user.clear();
        }
        Ok(kept)
    }
}

/// Whether the store offers something.
enum Offered {
    Yes,
    No,
}

impl From<bool> for Offered {
    fn from(offered: bool) -> Self {
        if offered { Self::Yes } else { Self::No }
    }
}

impl State {
    fn next_count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn next_version(&mut self, content: &Content) -> Version {
        let count = self.next_count();
        Version::new(match self.identity {
            Identity::OfWrite => format!("\"{:08x}-{count:x}\"", content.checksum()),
            Identity::OfContent => format!("\"{:08x}-{:x}\"", content.checksum(), content.size()),
        })
    }

    fn version(&self, key: &Key) -> Option<&Version> {
        self.objects.get(key).map(|object| &object.version)
    }

    fn object(&self, key: &Key, if_match: Option<&Version>) -> Result<&Object> {
        let object = (self.objects.get(key))
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("object {key:?}")))?;
        check_if_match(if_match, &object.version)?;
        Ok(object)
    }

    fn write(
        &mut self,
        key: &Key,
        content: Content,
        metadata: Metadata,
        modified: Timestamp,
    ) -> Version {
        let version = self.next_version(&content);
        let modified = match self.identity {
            Identity::OfWrite => modified,
            Identity::OfContent => Timestamp::new(modified.secs(), 0),
        };
        let object = Object {
            content,
            version: version.clone(),
            modified,
            metadata,
        };
        if self.history == History::Kept {
            let name = (key.clone(), version.clone());
            self.former.insert(name, object.clone());
        }
        self.objects.insert(key.clone(), object);
        version
    }
}

impl Object {
    fn read(&self, range: Option<&Range<u64>>) -> Result<GetResult> {
        let range = resolve_range(range, self.content.size())?;
        let pieces = self.content.slice(range.clone());
        Ok(GetResult {
            meta: self.meta(),
            range,
            body: stream::iter(pieces.map(Ok)).boxed(),
        })
    }

    fn meta(&self) -> ObjectMeta {
        let mut metadata = self.metadata.clone();
        if let Tags::These(tags) = &metadata.tags {
            metadata.tags = Tags::Unread(u16::try_from(tags.len()).unwrap_or(u16::MAX));
        }
        ObjectMeta {
            size: self.content.size(),
            version: self.version.clone(),
            modified: self.modified,
            metadata,
        }
    }

    fn tags(&self) -> BTreeMap<String, String> {
        match &self.metadata.tags {
            Tags::These(tags) => (**tags).clone(),
            Tags::None | Tags::Unread(_) => BTreeMap::new(),
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        Ok(self.state.lock().object(key, None)?.meta())
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let object = {
            let state = self.state.lock();
            state.object(key, options.if_match.as_ref())?.clone()
        };
        object.read(options.range.as_ref())
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let (history, object) = {
            let state = self.state.lock();
            let name = (key.clone(), version.clone());
            (state.history, state.former.get(&name).cloned())
        };
        let kind = match history {
            History::Forgotten => ErrorKind::Unsupported,
            History::Kept => ErrorKind::NotFound,
        };
        let context = || format!("read a former version of {key:?}");
        let object = object.ok_or_else(|| Error::new(kind, context()))?;
        object.read(range.as_ref())
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        list::page(&self.state.lock().objects, &request)
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        self.check_offered(&options.precondition)?;
        self.check_key(key)?;
        check_tags(&self.capabilities, &options.metadata)?;
        let metadata = self.kept(&options.metadata)?;
        let content = Content::from(payload);
        check_size("a put", content.size(), self.capabilities.part_bytes_max)?;
        let now = self.clock.wall();
        let mut state = self.state.lock();
        check_precondition(&options.precondition, state.version(key))?;
        Ok(state.write(key, content, metadata, now))
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        if options.precondition != Precondition::None {
            self.refuse(self.capabilities.copy_if.into(), "a precondition on a copy")?;
        }
        self.check_key(to)?;
        let replaced = match &options.metadata {
            CopyMetadata::Keep => None,
            CopyMetadata::Replace(metadata) => Some(self.kept(metadata)?),
        };
        let now = self.clock.wall();
        let mut state = self.state.lock();
        let object = state.object(&source.key, source.if_match.as_ref())?.clone();
        let limit = self.capabilities.copy_bytes_max;
        check_size("a copy", object.content.size(), limit)?;
        check_precondition(&options.precondition, state.version(to))?;
        let metadata = match replaced {
            Some(replaced) if matches!(replaced.tags, Tags::These(_)) => replaced,
            Some(replaced) => Metadata {
                tags: object.metadata.tags,
                ..replaced
            },
            None => object.metadata,
        };
        Ok(state.write(to, object.content, metadata, now))
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        check_delete(&self.capabilities, keys.len())?;
        let mut state = self.state.lock();
        for key in keys {
            state.objects.remove(key);
        }
        Ok(keys.iter().map(|_| Ok(())).collect())
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        self.refuse(
            self.capabilities.delete_if.into(),
            "a precondition on a removal",
        )?;
        check_delete(&self.capabilities, removals.len())?;
        let mut state = self.state.lock();
        let remove = |removal: &Removal| {
            check_removal(removal, state.version(&removal.key))?;
            state.objects.remove(&removal.key);
            Ok(())
        };
        Ok(removals.iter().map(remove).collect())
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        self.check_key(key)?;
        check_tags(&self.capabilities, &options.metadata)?;
        let metadata = self.kept(&options.metadata)?;
        let now = self.clock.wall();
        Ok(multipart::start(&mut self.state.lock(), key, metadata, now))
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let content = Content::from(payload);
        let mut state = self.state.lock();
        multipart::put(&mut state, &self.capabilities, key, upload, number, content)
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        self.refuse(self.capabilities.part_copy.into(), "a copy into a part")?;
        let source = {
            let mut state = self.state.lock();
            multipart::find(&mut state, key, upload)?;
            state.object(&source.key, source.if_match.as_ref())?.clone()
        };
        let range = copy_range(&range, source.content.size())?;
        let content = Content::new(source.content.slice(range));
        let mut state = self.state.lock();
        multipart::put(&mut state, &self.capabilities, key, upload, number, content)
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        self.check_offered(&precondition)?;
        let now = self.clock.wall();
        let mut state = self.state.lock();
        let offered = &self.capabilities;
        multipart::complete(&mut state, offered, key, upload, parts, &precondition, now)
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        multipart::abort(&mut self.state.lock(), key, upload);
        Ok(())
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        Ok(multipart::list(
            &self.state.lock(),
            prefix,
            token.as_deref(),
        ))
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let state = self.state.lock();
        Ok(state.object(key, None)?.tags())
    }
}
