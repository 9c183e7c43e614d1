//! Upload plans: what to send, by the fewest bytes and then the fewest requests. Pure.
//!
//! The rules of multipart uploads are Amazon's ("Amazon S3 multipart upload limits",
//! "`UploadPartCopy`"): at most 10,000 parts, each but the last of 5 MiB to 5 GiB; a part may be
//! copied from a range of an object that is larger than 5 MiB. R2 adds that all parts but the last
//! are equally long ("Multipart upload limits"), so they are, but in files whose end nobody knows at stores that do not ask
//! for it.

mod layout;

use std::ops::Range;

use cloudmount_store::{Capabilities, Key};

pub(crate) use self::layout::Layout;
use crate::StageSettings;
use crate::file::Content;

/// Part sizes are multiples of this: 1 MiB.
const PART_STEP_BYTES: u64 = 1 << 20;

/// Parts of a file whose end nobody knows, where all must be equal: 32 MiB, of which 10,000 reach 312 GiB. Longer ones
/// would take more of the memory for bodies than two at a time may.
const EQUAL_PART_BYTES: u64 = 32 << 20;

/// What a plan depends on.
#[derive(Debug)]
pub(crate) struct PlanInput<'a> {
    /// The key to write.
    pub(crate) key: &'a Key,
    /// The file.
    pub(crate) content: &'a Content,
    /// Whether the metadata are in the bucket already.
    pub(crate) metadata: MetadataState,
    /// Whether the base can be copied from.
    pub(crate) base: BaseUse,
    /// What the store can do.
    pub(crate) capabilities: &'a Capabilities,
    /// Sizes.
    pub(crate) settings: &'a StageSettings,
}

/// Whether metadata are in the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MetadataState {
    /// They are.
    Committed,
    /// They changed.
    Changed,
}

/// How the base may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BaseUse {
    /// The store may copy from it, as far as it is able to.
    Copy,
    /// It can only be read.
    Read,
}

/// What to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum UploadPlan {
    /// All of it is there.
    Nothing,
    /// Only the metadata changed.
    Metadata,
    /// The whole base, under another key.
    ServerCopy,
    /// One body.
    Put,
    /// Parts of so many bytes each.
    Multipart {
        /// Size of each part but the last, in bytes.
        part_bytes: u64,
        /// How many.
        parts: u16,
    },
}

/// Where a part comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartSource {
    /// The local file, and zeros.
    Local,
    /// The same range of the base, copied within the store.
    BaseCopy,
    /// The local file, and ranges of the base that must be read first.
    Mixed,
}

/// The file is larger than the store takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLarge;

/// Decides what to send.
///
/// # Errors
/// [`TooLarge`].
pub(crate) fn plan(input: &PlanInput<'_>) -> Result<UploadPlan, TooLarge> {
    let (content, capabilities) = (input.content, input.capabilities);
    let size = content.size();
    if size > capabilities.object_bytes_max {
        return Err(TooLarge);
    }
    if let Some(base) = content.base()
        && (content.is_committed() || content.is_whole_base())
    {
        if base.key == *input.key {
            return Ok(match input.metadata {
                MetadataState::Committed => UploadPlan::Nothing,
                MetadataState::Changed => UploadPlan::Metadata,
            });
        }
        if input.base == BaseUse::Copy
            && content.is_whole_base()
            && size <= capabilities.copy_bytes_max
        {
            return Ok(UploadPlan::ServerCopy);
        }
    }
    let fits_put = size <= capabilities.part_bytes_max;
    if fits_put && (size < input.settings.multipart_bytes_min || capabilities.parts_max < 2) {
        return Ok(UploadPlan::Put);
    }
    let part_bytes = part_bytes(input).ok_or(TooLarge)?;
    match u16::try_from(size.div_ceil(part_bytes)) {
        Ok(parts) if parts <= capabilities.parts_max => {
            Ok(UploadPlan::Multipart { part_bytes, parts })
        }
        _ => Err(TooLarge),
    }
}

fn part_bytes(input: &PlanInput<'_>) -> Option<u64> {
    let (content, capabilities) = (input.content, input.capabilities);
    let all_copied =
        input.base == BaseUse::Copy && capabilities.part_copy && content.is_whole_base();
    let preferred = if all_copied {
        input.settings.copy_part_bytes
    } else {
        input.settings.part_bytes
    };
    let least = (content
        .size()
        .div_ceil(u64::from(capabilities.parts_max.max(1))))
    .max(capabilities.part_bytes_min)
    .max(1);
    let least = least
        .next_multiple_of(PART_STEP_BYTES)
        .min(capabilities.part_bytes_max.max(least));
    let bytes = preferred.max(least).min(capabilities.part_bytes_max);
    (bytes >= least && bytes > 0).then_some(bytes)
}

/// How a file is cut whose end nobody knows yet. Where all parts must be equal they are longer from the first on, for there are
/// 10,000 at most.
pub(crate) fn growing_layout(settings: &StageSettings, capabilities: &Capabilities) -> Layout {
    let bytes = (settings.part_bytes)
        .max(capabilities.part_bytes_min)
        .max(1)
        .next_multiple_of(PART_STEP_BYTES);
    if capabilities.parts_equal {
        Layout::equal(bytes.max(EQUAL_PART_BYTES))
    } else {
        Layout::growing(bytes)
    }
}

/// Where a part comes from, as the file is now.
pub(crate) fn part_source(
    content: &Content,
    range: &Range<u64>,
    base: BaseUse,
    capabilities: &Capabilities,
) -> PartSource {
    let length = range.end - range.start;
    let is_last = range.end == content.size();
    let size_fits = (is_last || length >= capabilities.part_bytes_min)
        && (1..=capabilities.part_bytes_max).contains(&length);
    let source_fits = content
        .base()
        .is_some_and(|base| base.size > capabilities.part_bytes_min);
    if base == BaseUse::Copy
        && capabilities.part_copy
        && size_fits
        && source_fits
        && content.is_base(range)
    {
        return PartSource::BaseCopy;
    }
    if content.missing_in(range.clone()).next().is_some() {
        PartSource::Mixed
    } else {
        PartSource::Local
    }
}

#[cfg(test)]
mod tests;
