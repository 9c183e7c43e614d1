//! Bodies: the bytes of a staged file, from where they are.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cloudmount_store::{ErrorKind, GetOptions, Metadata, Payload, Result, StoreExt};
use cloudmount_vfs as vfs;

use super::worker::{Job, Trouble};
use crate::file::{Content, Segment};
use crate::fingerprint::Source;
use crate::stage::Inner;
use crate::{Base, StagedFile};

/// Files up to this size are read without a thread change, which would cost more than the read:
/// their bytes were written a moment ago and are in the page cache.
const READ_AT_ONCE_BYTES: u64 = 64 << 10;

/// Zeros to send for holes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Pieces of the base that were read, in order.
pub(super) type Fetched = Vec<(u64, Bytes)>;

/// A file as it was at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) payload: Payload,
    pub(super) metadata: Metadata,
    pub(super) source: Source,
    pub(super) size: u64,
}

impl Job<'_> {
    /// Reads what of `range` only the base has.
    pub(super) async fn fetch_missing(
        &self,
        file: &Arc<StagedFile>,
        range: Range<u64>,
    ) -> std::result::Result<Fetched, Trouble> {
        let (missing, base) = {
            let state = file.lock();
            let missing: Vec<_> = state.content.missing_in(range).collect();
            (missing, state.content.base().cloned())
        };
        let Some(base) = base else {
            return Ok(Fetched::new());
        };
        let mut fetched = Fetched::new();
        for part in missing {
            match self.inner.read_base(&base, &part).await {
                Ok(bytes) => fetched.push((part.start, bytes)),
                Err(error) => {
                    return Err(if is_gone(error.kind()) {
                        base_lost(file, error)
                    } else {
                        error.into()
                    });
                }
            }
        }
        Ok(fetched)
    }

    /// The file as it is at one moment, for an upload that begins with it. `None` if it does not
    /// fit one body any more, or needs more of the base than was fetched.
    pub(super) async fn snapshot(
        &self,
        file: &Arc<StagedFile>,
        fetched: Fetched,
        size_max: u64,
    ) -> std::result::Result<Option<Snapshot>, Trouble> {
        if file.size() <= READ_AT_ONCE_BYTES {
            return Ok(snapshot(file, &fetched, size_max)?);
        }
        let file = Arc::clone(file);
        let work = move || snapshot(&file, &fetched, size_max);
        Ok(self.inner.disk.run(work).await?)
    }

    /// The bytes of `range` as they are while others may write. `None` if it needs more of the base
    /// than was fetched.
    pub(super) async fn part(
        &self,
        file: &Arc<StagedFile>,
        range: Range<u64>,
        fetched: Fetched,
    ) -> std::result::Result<Option<Payload>, Trouble> {
        let file = Arc::clone(file);
        let work = move || {
            let segments = file.segments(range.clone());
            let is_cut = || file.segments(range) != segments;
            assemble(&file, &segments, &fetched, is_cut)
        };
        Ok(self.inner.disk.run(work).await?)
    }
}

impl Inner {
    /// Reads a range of a base: of the object, or, if someone replaced or removed that, of the version
    /// that it was, where the store keeps former ones.
    ///
    /// # Errors
    /// Those of reading the object; what may pass of reading the former version.
    pub(super) async fn read_base(&self, base: &Base, range: &Range<u64>) -> Result<Bytes> {
        let options = GetOptions {
            range: Some(range.clone()),
            if_match: Some(base.version.clone()),
        };
        let error = match self.store.get_bytes(&base.key, options).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        if !is_gone(error.kind()) {
            return Err(error);
        }
        let former = (self.store)
            .get_former_bytes(&base.key, &base.version, range.clone())
            .await;
        match former {
            Ok(bytes) => Ok(bytes),
            Err(former) if former.kind().is_transient() => Err(former),
            // It keeps none, or nobody may see it: the object is what is told of.
            Err(former) => {
                tracing::debug!(key = %base.key, error = %former, "no former version can be read");
                Err(error)
            }
        }
    }
}

/// Whether what was to be read, or copied in part, is not there any more as it was. Of an object that was replaced by a
/// shorter one, Ceph RGW looks at the range before the condition.
pub(super) const fn is_gone(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::Precondition | ErrorKind::Range
    )
}

/// The base of `file` is gone: what it has not fetched cannot be had.
pub(super) fn base_lost(file: &StagedFile, error: cloudmount_store::Error) -> Trouble {
    file.base_lost.store(true, Ordering::Relaxed);
    file.base_gone.store(true, Ordering::Relaxed);
    let context = lost_words(file, error.kind());
    vfs::Error::new(vfs::ErrorKind::Stale, context)
        .with_source(error)
        .into()
}

/// What happened to the base of `file`, and what a person can do.
fn lost_words(file: &StagedFile, kind: ErrorKind) -> String {
    let missing: u64 = (file.fill_plan().iter())
        .map(|range| range.end - range.start)
        .sum();
    let (key, size) = (file.key(), file.size());
    let base = file.base().map_or_else(|| key.clone(), |base| base.key);
    let happened = match kind {
        ErrorKind::NotFound => "removed",
        _ => "replaced",
    };
    if missing == size && base != key {
        return format!(
            "rename {base} to {key}: someone else {happened} {base} before it was copied; put it back, or give the rename up (`cloudmount drop`)"
        );
    }
    format!(
        "upload {key}: someone else {happened} {base}, which has {missing} of its {size} bytes; put it back, or set aside what was written here (`cloudmount drop`)"
    )
}

fn snapshot(file: &StagedFile, fetched: &Fetched, size_max: u64) -> vfs::Result<Option<Snapshot>> {
    // The lock is held while reading: nobody writes, so the object is what the file was.
    let mut state = file.lock();
    let size = state.content.size();
    if size > size_max {
        return Ok(None);
    }
    let segments = state.content.segments(0..size);
    let Some(payload) = assemble(file, &segments, fetched, || false)? else {
        return Ok(None);
    };
    let generation = Content::begin_upload(&mut state.content);
    Ok(Some(Snapshot {
        payload,
        metadata: state.metadata.clone(),
        source: Source {
            file: file.id(),
            generation,
            metadata_generation: state.metadata_generation,
        },
        size,
    }))
}

/// The bytes of `segments`. What a local file does not have any more is void if the file `is_cut` since they were looked
/// up: then zeros stand for it, and it is sent again. If not, the disk has lost it.
fn assemble(
    file: &StagedFile,
    segments: &[Segment],
    fetched: &Fetched,
    is_cut: impl FnOnce() -> bool,
) -> vfs::Result<Option<Payload>> {
    let mut pieces = Vec::with_capacity(segments.len());
    let mut lacking = 0;
    for segment in segments.iter().cloned() {
        match segment {
            Segment::Local(range) => {
                let length = range.end - range.start;
                let read = read(file, range)?;
                let short = length - read.iter().map(|piece| piece.len() as u64).sum::<u64>();
                pieces.extend(read);
                push_zeros(&mut pieces, short);
                lacking += short;
            }
            Segment::Away(range) => {
                // Its part is sent already, and nobody changes it: it is not read again.
                let context = format!("{range:?} of staged file {} is away", file.id());
                return Err(vfs::Error::new(vfs::ErrorKind::Io, context));
            }
            Segment::Zero(range) => push_zeros(&mut pieces, range.end - range.start),
            Segment::Base(range) => match piece(fetched, &range) {
                Some(bytes) => pieces.push(bytes),
                None => return Ok(None),
            },
        }
    }
    if lacking > 0 && !is_cut() {
        let context = format!(
            "the local file of staged file {} is {lacking} bytes shorter than it was left",
            file.id()
        );
        return Err(vfs::Error::new(vfs::ErrorKind::Corrupt, context));
    }
    Ok(Some(Payload(pieces)))
}

/// Small bodies are read into as much memory as they need, large ones into pieces.
fn read(file: &StagedFile, range: Range<u64>) -> vfs::Result<Vec<Bytes>> {
    if range.end - range.start <= READ_AT_ONCE_BYTES {
        return Ok(vec![file.read_local(range)?]);
    }
    file.read_pieces(range)
}

fn push_zeros(pieces: &mut Vec<Bytes>, mut length: u64) {
    while length > 0 {
        let count = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        pieces.push(Bytes::from_static(&ZEROS[..count]));
        length -= count as u64;
    }
}

/// The bytes of `range`, which lies in one piece: what is missing only ever shrinks.
fn piece(fetched: &Fetched, range: &Range<u64>) -> Option<Bytes> {
    let after = fetched.partition_point(|(start, _)| *start <= range.start);
    let (start, bytes) = fetched.get(after.checked_sub(1)?)?;
    let from = usize::try_from(range.start - start).ok()?;
    let to = usize::try_from(range.end - start).ok()?;
    (to <= bytes.len()).then(|| bytes.slice(from..to))
}
