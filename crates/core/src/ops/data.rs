//! Bytes: reading, writing, making room, finding holes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cloudmount_cache::{ObjectRef, Reader};
use cloudmount_stage::{Base, Fit, Reserved, Segment, StagedFile, Submit};
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Error, ErrorKind, FileHandle, InodeId, Result, SeekWhence, WriteMode};

use crate::content::TakeUp;
use crate::core::Inner;
use crate::handles::OpenFile;
use crate::list::{TRIES, restless};
use crate::node::{Content, Node, Standing, State, object_ref};

/// What `copy_file_range` moves at a time: as much as the largest request of the kernel.
const COPY_BYTES: u64 = 1 << 20;

/// How finely the time of a file moves while it is uploaded as it grows.
const STREAM_GRAIN: Duration = Duration::from_secs(1);

/// What one `copy_file_range` moves at most, so that a call ends within a second: the caller goes
/// on from there.
const COPY_BYTES_MAX: u64 = 64 << 20;

/// How a change is made: whether at the end, wherever that is, and see [`seen_through`].
type Way = (bool, Option<u64>);

/// A read, as far as it could go under the lock.
enum Step {
    Done(Bytes),
    /// Of an object in the bucket.
    Object(ObjectRef),
    /// Of a staged file that needs bytes of the object it is made from.
    Base(Base, Range<u64>),
    /// Of a staged file that needs bytes which only parts of its upload have.
    Away(Arc<StagedFile>),
    /// Of a staged file whose bytes went elsewhere just now.
    Again,
}

impl Inner {
    pub(crate) async fn read(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        size: u32,
    ) -> Result<Bytes> {
        match self.open_file(ino, handle)? {
            Some(open) if !open.flags.access.reads() => Err(ErrorKind::BadHandle.into()),
            Some(open) => {
                self.read_node(&open.node, Some(open.changes), &open.reader, offset, size)
                    .await
            }
            None => {
                let node = self.node(ino)?;
                let reader = self.cache.reader();
                self.read_node(&node, None, &reader, offset, size).await
            }
        }
    }

    async fn read_node(
        &self,
        node: &Arc<Node>,
        changes: Option<u64>,
        reader: &Reader,
        offset: u64,
        size: u32,
    ) -> Result<Bytes> {
        let range = offset..offset.saturating_add(size.into());
        let mut fetched: Option<(Base, Range<u64>, Bytes)> = None;
        for _ in 0..TRIES {
            let step = {
                let state = node.lock();
                let step = read_step(&state, range.clone(), fetched.as_ref());
                // After that: a staged file may become what someone else wrote at any moment.
                if changes.is_some_and(|changes| changes != state.changes()) {
                    return Err(stale());
                }
                step?
            };
            match step {
                Step::Done(bytes) => return Ok(bytes),
                Step::Again => {}
                Step::Away(file) => self.recall(&file).await?,
                Step::Object(object) => {
                    let length = usize::try_from(size).unwrap_or(usize::MAX);
                    match reader.read(&object, offset, length).await {
                        Err(error) if error.kind() == ErrorKind::Stale => {
                            if moved_on(node, &object) || self.was_our_doing(&object).await {
                                continue;
                            }
                            if let Some(object) = self.renewed(&object) {
                                return reader.read(&object, offset, length).await;
                            }
                            self.suspect(node);
                            return Err(error);
                        }
                        result => return result,
                    }
                }
                Step::Base(base, part) => {
                    let object = object_ref(&base.key, &base.version, base.size);
                    let length = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
                    match reader.read(&object, part.start, length).await {
                        Ok(bytes) => fetched = Some((base, part, bytes)),
                        Err(error) if error.kind() == ErrorKind::Stale => {
                            let is_base = base_of(node).as_ref() == Some(&base);
                            if is_base && !self.was_our_doing(&object).await {
                                return Err(error);
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Err(restless("reading a file that is being written"))
    }

    /// Whether a request of our own was under way that may have changed the object. It has ended.
    async fn was_our_doing(&self, object: &ObjectRef) -> bool {
        match Key::new(&*object.key) {
            Ok(key) => self.was_our_doing_under(&key).await,
            Err(_) => false,
        }
    }

    /// The same of the object under `key`.
    pub(crate) async fn was_our_doing_under(&self, key: &Key) -> bool {
        self.stage.wait_for_rest(key).await
    }

    /// The same bytes under the version that a change of metadata of our own gave them.
    fn renewed(&self, object: &ObjectRef) -> Option<ObjectRef> {
        let key = Key::new(&*object.key).ok()?;
        let version = Version::new(Arc::clone(&object.version));
        let renewed = self.stage.same_content(&key, &version)?;
        Some(object_ref(&key, &renewed, object.size))
    }

    /// The object is not what was known of it: the next one who looks asks the store.
    fn suspect(&self, node: &Node) {
        let mut table = self.table();
        if let Some((parent, name)) = table.parent_of(node.ino) {
            table.expire(parent, &name);
            table.expire_listing(parent);
        }
        let mut state = node.lock();
        match state.standing {
            Standing::Known(_) => state.standing = Standing::Known(self.now()),
            Standing::Told(_) => state.standing = Standing::Listed,
            Standing::Listed | Standing::Own => {}
        }
    }

    pub(crate) async fn write(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<u32> {
        let open = self.may_write(ino, handle)?;
        let node = self.node(ino)?;
        let length = u32::try_from(data.len())
            .map_err(|_| Error::new(ErrorKind::InvalidArgument, "a write of over 4 GiB"))?;
        self.change_in_room(&node, open.as_deref(), |file, (appends, seen), room| {
            let offset = if appends { file.size() } else { offset };
            file.write_within(offset, data, seen, room)
        })
        .await?;
        Ok(length)
    }

    /// Changes the content of a file, as soon as there is room on the disk for what that takes.
    async fn change_in_room(
        &self,
        node: &Arc<Node>,
        open: Option<&OpenFile>,
        change: impl Fn(&Arc<StagedFile>, Way, &mut Reserved) -> Result<Fit>,
    ) -> Result<()> {
        let mut room = Reserved::none();
        loop {
            let made = self.change(node, open, |file, way| change(file, way, &mut room));
            let fit = match made {
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    // The disk is full, whatever the limit says: copies that are kept there go first.
                    if self.stage.free_full_disk().await {
                        continue;
                    }
                    return Err(error);
                }
                made => made?,
            };
            match fit {
                Fit::Made => return Ok(()),
                Fit::Away => {
                    drop(std::mem::take(&mut room));
                    self.recall_node(node).await?;
                }
                Fit::Lacks(bytes) => {
                    // Not held while more is waited for: others could not get on either.
                    drop(std::mem::take(&mut room));
                    room = self.stage.room(bytes).await?;
                }
                Fit::Adopted => return Err(stale()),
            }
        }
    }

    /// Changes the content of a file: under its lock, after it was taken up.
    fn change(
        &self,
        node: &Arc<Node>,
        open: Option<&OpenFile>,
        mut change: impl FnMut(&Arc<StagedFile>, Way) -> Result<Fit>,
    ) -> Result<Fit> {
        let appends = open.is_some_and(|open| open.flags.write_mode == WriteMode::Append);
        for _ in 0..TRIES {
            {
                let mut state = node.lock();
                let seen = seen_through(&state, open)?;
                if let Content::Staged(file) = &state.content {
                    let file = Arc::clone(file);
                    let fit = change(&file, (appends, seen))?;
                    if fit != Fit::Made {
                        return Ok(fit);
                    }
                    self.touched_by_write(&mut state, &file);
                    let begins = self.stage.wants_stream(&file);
                    let dialect = self.settings.dialect;
                    let metadata = begins
                        .then(|| state.to_store(node.kind, dialect))
                        .transpose()?;
                    drop(state);
                    if let Some(metadata) = metadata {
                        self.stage.stream(&file, metadata)?;
                    }
                    return self.changed(node, open).map(|()| Fit::Made);
                }
            }
            self.take_up(node, TakeUp::Keep)?;
        }
        Err(restless("writing"))
    }

    /// Moves the times of a file that was written. Of one that is being uploaded as it grows, the
    /// time goes by whole seconds: its metadata went out first, and a copy would be needed to
    /// correct them.
    fn touched_by_write(&self, state: &mut State, file: &StagedFile) {
        let now = self.clock.wall();
        let is_near = now.saturating_since(state.mtime) < STREAM_GRAIN;
        if !(is_near && file.is_streaming()) {
            state.mtime = now;
        }
        state.ctime = now;
    }

    /// Remembers that there is something to submit; what came after release goes at once.
    fn changed(&self, node: &Node, open: Option<&OpenFile>) -> Result<()> {
        match open {
            Some(open) => {
                open.is_dirty.store(true, Ordering::Release);
                Ok(())
            }
            None => self.submit(node, Submit::Closed),
        }
    }

    pub(crate) async fn fallocate(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let open = self.may_write(ino, handle)?;
        let node = self.node(ino)?;
        if length == 0 {
            return Err(ErrorKind::InvalidArgument.into());
        }
        self.change_in_room(&node, open.as_deref(), |file, (_, seen), room| {
            file.allocate_within(offset, length, seen, room)
        })
        .await
    }

    pub(crate) fn lseek(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        whence: SeekWhence,
    ) -> Result<u64> {
        self.open_file(ino, handle)?;
        let node = self.node(ino)?;
        let state = node.lock();
        if offset >= state.size() {
            return Err(ErrorKind::NoSuchRange.into());
        }
        let found = match (&state.content, whence) {
            (Content::Staged(file), SeekWhence::Data) => file.next_data(offset),
            (Content::Staged(file), SeekWhence::Hole) => file.next_hole(offset),
            // An object has no holes but its end.
            (_, SeekWhence::Data) => Some(offset),
            (_, SeekWhence::Hole) => Some(state.size()),
        };
        found.ok_or_else(|| ErrorKind::NoSuchRange.into())
    }

    pub(crate) async fn copy_file_range(
        &self,
        (from, from_handle, from_offset): (InodeId, FileHandle, u64),
        (to, to_handle, to_offset): (InodeId, FileHandle, u64),
        length: u64,
    ) -> Result<u64> {
        self.may_write(to, to_handle)?;
        let mut copied = 0;
        while copied < length.min(COPY_BYTES_MAX) {
            let size = u32::try_from((length - copied).min(COPY_BYTES)).unwrap_or(u32::MAX);
            let data = self
                .read(from, from_handle, from_offset.saturating_add(copied), size)
                .await?;
            if data.is_empty() {
                break;
            }
            self.write(to, to_handle, to_offset.saturating_add(copied), &data)
                .await?;
            copied += data.len() as u64;
        }
        Ok(copied)
    }
}

/// What of a staged file somebody has seen who changes it through the handle `open`: how often it had become what someone
/// else wrote. It may become that again at any moment, so the stage looks once more. `None` without a handle.
///
/// # Errors
/// `Stale`: it is another content than the one that the handle is of.
pub(super) fn seen_through(state: &State, open: Option<&OpenFile>) -> Result<Option<u64>> {
    match open {
        Some(open) if open.changes != state.changes() => Err(stale()),
        Some(open) => Ok(Some(open.changes.saturating_sub(state.foreign_changes))),
        None => Ok(None),
    }
}

pub(super) fn stale() -> Error {
    Error::new(
        ErrorKind::Stale,
        "someone else replaced the file since it was opened",
    )
}

/// Whether the node has another content by now, through a change of ours.
fn moved_on(node: &Node, object: &ObjectRef) -> bool {
    !matches!(&node.lock().content, Content::Object(now) if now == object)
}

fn base_of(node: &Node) -> Option<Base> {
    match &node.lock().content {
        Content::Staged(file) => file.base(),
        _ => None,
    }
}

/// Reads what can be read without waiting.
fn read_step(
    state: &State,
    range: Range<u64>,
    fetched: Option<&(Base, Range<u64>, Bytes)>,
) -> Result<Step> {
    let file = match &state.content {
        Content::Staged(file) => file,
        Content::Object(object) => return Ok(Step::Object(object.clone())),
        Content::Folder { .. } => return Err(ErrorKind::IsDirectory.into()),
        Content::Link { .. } => return Err(ErrorKind::InvalidArgument.into()),
    };
    let segments = file.segments(range);
    if let [Segment::Local(only)] = &*segments {
        let read = file.read_if_local(only.clone())?;
        return Ok(read.map_or(Step::Again, Step::Done));
    }
    if segments.iter().any(|one| matches!(one, Segment::Away(_))) {
        return Ok(Step::Away(Arc::clone(file)));
    }
    if let (Some(needed), Some(base)) = (needed_of_base(&segments), file.base()) {
        let has_it = fetched.is_some_and(|(of, part, _)| {
            *of == base && part.start <= needed.start && needed.end <= part.end
        });
        if !has_it {
            return Ok(Step::Base(base, needed));
        }
    }
    let whole = assemble(file, &segments, fetched)?;
    Ok(whole.map_or(Step::Again, Step::Done))
}

/// From the first to the last byte that only the base has.
fn needed_of_base(segments: &[Segment]) -> Option<Range<u64>> {
    let mut of_base = segments.iter().filter_map(|segment| match segment {
        Segment::Base(range) => Some(range),
        Segment::Local(_) | Segment::Away(_) | Segment::Zero(_) => None,
    });
    let first = of_base.next()?;
    let last = of_base.next_back().unwrap_or(first);
    Some(first.start..last.end)
}

fn assemble(
    file: &StagedFile,
    segments: &[Segment],
    fetched: Option<&(Base, Range<u64>, Bytes)>,
) -> Result<Option<Bytes>> {
    let length: u64 = segments
        .iter()
        .map(|segment| span(segment).end - span(segment).start)
        .sum();
    let mut all = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    for segment in segments {
        match segment {
            Segment::Local(range) => match file.read_if_local(range.clone())? {
                Some(bytes) => all.extend_from_slice(&bytes),
                None => return Ok(None),
            },
            // It is recalled first.
            Segment::Away(_) => return Ok(None),
            Segment::Zero(range) => {
                let zeros = usize::try_from(range.end - range.start).unwrap_or_default();
                all.resize(all.len() + zeros, 0);
            }
            Segment::Base(range) => {
                let Some((_, part, bytes)) = fetched else {
                    return Err(ErrorKind::Io.into());
                };
                let start = usize::try_from(range.start - part.start).unwrap_or(usize::MAX);
                let end = usize::try_from(range.end - part.start).unwrap_or(usize::MAX);
                let piece = bytes.get(start..end).ok_or_else(|| {
                    Error::new(ErrorKind::Corrupt, "an object is shorter than it said")
                })?;
                all.extend_from_slice(piece);
            }
        }
    }
    Ok(Some(all.freeze()))
}

const fn span(segment: &Segment) -> &Range<u64> {
    match segment {
        Segment::Local(range)
        | Segment::Away(range)
        | Segment::Base(range)
        | Segment::Zero(range) => range,
    }
}
