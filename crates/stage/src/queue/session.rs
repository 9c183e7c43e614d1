//! [`Session`]: a multipart upload between its start and its end. It outlives a failed try.

use cloudmount_store::{Key, Metadata, PartTag, UploadId};

use crate::Base;
use crate::plan::BaseUse;

/// A multipart upload in progress.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Session {
    pub(crate) key: Key,
    pub(crate) upload: UploadId,
    /// The size that was planned.
    pub(crate) size: u64,
    pub(crate) part_bytes: u64,
    /// Parts that are in the bucket, by index.
    pub(crate) parts: Vec<Option<PartTag>>,
    /// Whether a part is to be sent again with other bytes: not every server takes that.
    pub(crate) is_mended: bool,
    /// The metadata that the object will have.
    pub(crate) metadata: Metadata,
    pub(crate) metadata_generation: u64,
    /// The base that the parts were made with.
    pub(crate) base: Option<Base>,
    pub(crate) base_use: BaseUse,
}

impl Session {
    /// Bytes that are in the bucket.
    pub(crate) fn bytes_done(&self) -> u64 {
        let done = self.parts.iter().filter(|part| part.is_some()).count() as u64;
        done.saturating_mul(self.part_bytes).min(self.size)
    }

    /// The parts that `range` touches, by index.
    pub(crate) fn touched(&self, range: &std::ops::Range<u64>) -> std::ops::Range<usize> {
        let index = |offset: u64| usize::try_from(offset / self.part_bytes).unwrap_or(usize::MAX);
        let last = self.parts.len();
        index(range.start).min(last)
            ..index(range.end.saturating_sub(1))
                .saturating_add(1)
                .min(last)
    }
}
