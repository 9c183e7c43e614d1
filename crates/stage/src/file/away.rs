//! [`Away`]: what of a staged file only the parts of its upload have, and how its room on the disk
//! is given back.
//!
//! A file may be larger than the staging folder may hold. Parts that the store has are then dropped
//! here, before the upload is joined. Whoever needs their bytes has the upload joined first
//! ([`Stage::recall`](crate::Stage::recall)): they are read from the object then.
//!
//! Laws:
//! - The journal knows which upload has the bytes, and under which tags, and survives a power cut with
//!   that, before they leave the disk.
//! - What is away is not written and not cut in the middle: it is recalled before. So a part that is
//!   away is as the store has it.
//! - A range is given back under the file's lock, and only if it is still not local: what was written
//!   there since stays.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_store::{Key, Metadata, PartTag, UploadId};
use cloudmount_vfs::Result;

use super::{FileState, StagedFile};
use crate::disk::disk_error;
use crate::failpoint;
use crate::journal::record::{AwayRecord, Change, MetadataRecord};
use crate::plan::Layout;
use crate::queue::parts::Parts;
use crate::queue::session::{Head, Session};
use crate::room::BLOCK_BYTES;

/// The parts of an upload that are nowhere else.
#[derive(Clone, Debug)]
pub(crate) struct Away {
    key: Key,
    upload: UploadId,
    /// What the object will have.
    metadata: Metadata,
    layout: Layout,
    tags: BTreeMap<u16, PartTag>,
}

impl Away {
    /// As the journal has it; `None` if it makes no sense.
    pub(crate) fn recovered(record: &AwayRecord) -> Option<Self> {
        let tags = record.parts.iter().map(|(index, tag)| {
            let number = index + 1;
            let tag = tag.clone();
            (*index, PartTag { number, tag })
        });
        Some(Self {
            key: Key::new(record.key.as_str()).ok()?,
            upload: UploadId(record.upload.clone()),
            metadata: record.metadata.clone().into(),
            layout: record.layout,
            tags: tags.collect(),
        })
    }

    pub(crate) fn record(&self) -> AwayRecord {
        self.record_of(&self.tags)
    }

    fn record_of(&self, tags: &BTreeMap<u16, PartTag>) -> AwayRecord {
        AwayRecord {
            key: self.key.as_str().to_owned(),
            upload: self.upload.0.clone(),
            metadata: MetadataRecord::from(self.metadata.clone()),
            layout: self.layout,
            parts: (tags.iter())
                .map(|(index, tag)| (*index, tag.tag.clone()))
                .collect(),
        }
    }

    /// The ranges of the parts.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.tags.keys().map(|index| self.layout.whole(*index))
    }

    fn cut(&mut self, size: u64) {
        let layout = self.layout;
        self.tags
            .retain(|index, _| layout.whole(*index).end <= size);
    }
}

impl AwayRecord {
    /// Where the bytes are that the record is about, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.parts.keys().map(|index| self.layout.whole(*index))
    }
}

impl FileState {
    /// Whether some of it is only in parts of an upload.
    pub(crate) fn is_away(&self) -> bool {
        !self.content.away().is_empty()
    }

    /// Whether that upload has what is only in parts.
    pub(crate) fn is_away_in(&self, upload: &UploadId) -> bool {
        self.is_away() && (self.away.as_ref()).is_some_and(|away| away.upload == *upload)
    }

    /// Whether nothing may be changed in `range` before what is away was recalled.
    pub(crate) fn is_bound(&self, range: &Range<u64>) -> bool {
        self.is_recalled || self.content.away().intersects(range)
    }

    /// Whether a cut to `size` would leave part of a part.
    pub(crate) fn is_bound_at(&self, size: u64) -> bool {
        let cuts = |range: Range<u64>| range.start < size && size < range.end;
        let parts = self.away.iter().flat_map(Away::ranges);
        self.is_recalled && size > 0 || self.is_away() && parts.into_iter().any(cuts)
    }

    /// After a cut: forgets the parts behind the end.
    pub(crate) fn cut_away(&mut self) {
        let size = self.content.size();
        if let Some(away) = &mut self.away {
            away.cut(size);
        }
        self.away.take_if(|away| away.tags.is_empty());
    }

    /// All of the upload is an object now.
    pub(crate) fn joined(&mut self) {
        self.away = None;
        self.is_recalled = false;
    }

    /// The upload that a former process left, to go on with.
    pub(crate) fn session_left(&mut self) -> Option<Session> {
        let away = self.away.as_ref()?;
        self.content.begin_upload();
        let is_current = away.metadata == self.metadata;
        let head = Head {
            key: away.key.clone(),
            upload: away.upload.clone(),
            number: self.content.upload_number(),
            metadata: away.metadata.clone(),
            metadata_generation: if is_current {
                self.metadata_generation
            } else {
                0
            },
            base: self.content.base().cloned(),
            base_use: crate::plan::BaseUse::Copy,
        };
        Some(Session {
            head: Arc::new(head),
            parts: Parts::recovered(away.layout, self.content.size(), &away.tags),
        })
    }
}

impl StagedFile {
    /// Whether some of it is only in parts of an upload.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.lock().is_away()
    }

    /// Drops whole parts that the store has, first ones first, while `more` wants it: tells the
    /// journal which. Their room is given back by [`punch`](Self::punch), once the journal is on the
    /// disk. Says whether there were any.
    pub(crate) fn send_away(&self, session: &Session, more: impl Fn(u64) -> bool) -> Result<bool> {
        let head = &session.head;
        let mut state = self.lock();
        if state.is_recalled || state.key != head.key {
            return Ok(false);
        }
        let mut tags = BTreeMap::new();
        // What is dropped already, and not given back yet.
        let mut bytes = state.dropping.total();
        for (index, range, tag) in session.parts.whole_sent() {
            if !more(bytes) {
                break;
            }
            if state.content.may_send_away(head.number, &range) {
                bytes += range.end - range.start;
                tags.insert(index, tag.clone());
            }
        }
        if tags.is_empty() {
            return Ok(false);
        }
        let layout = session.parts.layout();
        let before = state.away.take_if(|away| away.upload == head.upload);
        let mut away = before.unwrap_or_else(|| Away {
            key: head.key.clone(),
            upload: head.upload.clone(),
            metadata: head.metadata.clone(),
            layout,
            tags: BTreeMap::new(),
        });
        let told = self.context.journal.append(&[Change::Away {
            file: self.id.get(),
            away: away.record_of(&tags),
        }]);
        if told.is_ok() {
            for index in tags.keys() {
                let range = layout.whole(*index);
                state.content.send_away(range.clone());
                state.dropping.insert(range);
            }
            away.tags.append(&mut tags);
        }
        if !away.tags.is_empty() {
            state.away = Some(away);
        }
        failpoint::pass(failpoint::AWAY_NOTED);
        told.map(|()| true)
    }

    /// Drops the local copies of what the base has, once they are not needed for an upload.
    pub(crate) fn drop_copies(state: &mut FileState) {
        let copies = state.content.forget_copies();
        state.dropping.extend(&copies);
    }

    /// Gives the room of what was dropped back to the disk. Blocks.
    pub(crate) fn punch(&self) -> Result<()> {
        let mut state = self.lock();
        let dropping = std::mem::take(&mut state.dropping);
        let mut freed = 0;
        for range in dropping.iter() {
            // Whole blocks, of which nothing is local any more.
            let start = range.start.next_multiple_of(BLOCK_BYTES);
            let end = range.end / BLOCK_BYTES * BLOCK_BYTES;
            let content = &state.content;
            if start >= end || !is_elsewhere(content, &(start..end)) {
                continue;
            }
            let before = state.allocated.total();
            (self.local.punch(&self.context, &(start..end)))
                .map_err(|error| disk_error(error, || format!("free staged file {}", self.id)))?;
            failpoint::pass(failpoint::AWAY_PUNCHED);
            state.allocated.remove(start..end);
            freed += before - state.allocated.total();
        }
        drop(state);
        self.context.room.give_back(freed);
        Ok(())
    }

    /// Notes how many parts of it are on their way.
    pub(crate) fn note_sending(&self, parts: usize) {
        self.sending.store(parts, Ordering::Relaxed);
    }
}

/// Whether nothing of `range` is in the local file.
fn is_elsewhere(content: &super::Content, range: &Range<u64>) -> bool {
    let mut here = content.present().within(range.clone());
    here.all(|part| content.away().contains(&part))
}
