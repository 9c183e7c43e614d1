//! Copies to where something else may come, on stores that check no condition of a copy: sent as
//! something that they do check.
//!
//! A small object is read and put on the condition. A larger one is copied within the store, as the
//! parts of an upload whose end is on the condition. What was found out about the store decides what it
//! is asked for; where neither is checked, the caller looks at the target just before.

use cloudmount_store::{
    CopySource, Error, ErrorKind, GetOptions, Key, Metadata, PartTag, Precondition, PutOptions,
    Result, StoreExt, UploadId, Version,
};

use super::worker::Trouble;
use crate::plan::Layout;
use crate::stage::Inner;

/// Objects up to this are read and put, in two requests: 256 KiB. A copy in parts takes four, and
/// so much goes over most lines in the time of the other two.
const PUT_BYTES_MAX: u64 = 256 << 10;

/// What is copied, and with which metadata.
#[derive(Clone, Copy, Debug)]
pub(super) struct Original<'a> {
    pub(super) source: &'a CopySource,
    /// Its size in bytes.
    pub(super) size: u64,
    pub(super) metadata: &'a Metadata,
}

impl Inner {
    /// Copies to `to` on a condition; `None` if the store checks it in no way, or turned out not to.
    pub(super) async fn copy_otherwise(
        &self,
        to: &Key,
        condition: &Precondition,
        original: Original<'_>,
    ) -> Option<Result<Version>> {
        let honoured = self.conditions.honoured();
        let (put, complete) = match condition {
            Precondition::None => return None,
            Precondition::Absent => (honoured.put_if_absent, honoured.complete_if_absent),
            Precondition::Matches(_) => (honoured.put_if_match, honoured.complete_if_match),
        };
        let size = original.size;
        let done = if put.is_kept() && size <= PUT_BYTES_MAX {
            self.copy_as_put(to, condition, original).await
        } else if complete.is_kept() && self.offered().part_copy && size > 0 {
            self.copy_in_parts(to, condition, original).await
        } else {
            return None;
        };
        let is_refused = |error: &Error| {
            // Some servers copy parts of large objects only.
            matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidRequest | ErrorKind::TooLarge
            )
        };
        (!done.as_ref().is_err_and(is_refused)).then_some(done)
    }

    async fn copy_as_put(
        &self,
        to: &Key,
        condition: &Precondition,
        original: Original<'_>,
    ) -> Result<Version> {
        let source = original.source;
        let Some(_room) = self.bodies.for_put(original.size).await else {
            return Err(Error::new(ErrorKind::Io, "a copy while the stage ends"));
        };
        let metadata = self.with_tags(&source.key, original.metadata).await?;
        let options = GetOptions {
            range: None,
            if_match: source.if_match.clone(),
        };
        let bytes = self.store.get_bytes(&source.key, options).await?;
        let options = PutOptions {
            precondition: condition.clone(),
            metadata: metadata.into_owned(),
        };
        self.store.put(to, bytes.into(), options).await
    }

    async fn copy_in_parts(
        &self,
        to: &Key,
        condition: &Precondition,
        original: Original<'_>,
    ) -> Result<Version> {
        let metadata = self.with_tags(&original.source.key, original.metadata);
        let metadata = metadata.await?.into_owned();
        let upload = match self.begin_upload(to, metadata).await {
            Ok(upload) => upload,
            Err(Trouble::Store(error)) => return Err(error),
            Err(Trouble::Local(error)) => {
                let context = format!("copy {} to {to}", original.source.key);
                return Err(Error::new(ErrorKind::Io, context).with_source(error));
            }
        };
        let joined = async {
            let parts = self
                .copied_parts(to, &upload, original.source, original.size)
                .await?;
            self.joining(to, &parts);
            (self.store)
                .multipart_complete(to, &upload, &parts, condition.clone())
                .await
        };
        match joined.await {
            Ok(version) => {
                self.forget_upload(&upload);
                Ok(version)
            }
            Err(error) => {
                self.lock().abandoned.push((to.clone(), upload));
                self.freed.wake();
                Err(error)
            }
        }
    }

    /// Copies all of an object of `size` bytes into the parts of an upload.
    pub(super) async fn copied_parts(
        &self,
        to: &Key,
        upload: &UploadId,
        source: &CopySource,
        size: u64,
    ) -> Result<Vec<PartTag>> {
        let capabilities = &self.capabilities;
        let part_bytes = (self.settings.copy_part_bytes)
            .max(size.div_ceil(u64::from(capabilities.parts_max.max(1))))
            .clamp(
                capabilities.part_bytes_min.max(1),
                capabilities.part_bytes_max.max(1),
            );
        let count = u16::try_from(size.div_ceil(part_bytes)).unwrap_or(u16::MAX);
        let mut parts = Vec::with_capacity(usize::from(count));
        for index in 0..count {
            let range = Layout::equal(part_bytes).range(index, size);
            let copied = self.copy_part((to, upload, index + 1), source, range);
            parts.push(copied.await?);
        }
        Ok(parts)
    }
}
