//! Copies within the store, and whether they did what they should: one server answers with success
//! and leaves an empty object.
//!
//! Law: a copy that is told as done has, as far as the store's own answers tell, the content of its
//! source. Whoever removes the source does so after that.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;

use cloudmount_store::probe::Finding;
use cloudmount_store::{
    CopyOptions, CopySource, Error, ErrorKind, Key, PartTag, Result, Trust, UploadId, Version,
};

use super::worker::Job;
use crate::RemoteBelief;
use crate::stage::Inner;

/// The mark, among the sources of an error, that a copy was made and is not what it should be.
#[derive(Debug)]
struct WrongCopy {
    /// What it left under the key.
    left: RemoteBelief,
}

impl fmt::Display for WrongCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store made another copy than it was asked for")
    }
}

impl StdError for WrongCopy {}

fn wrong(kind: ErrorKind, context: String, left: RemoteBelief) -> Error {
    Error::new(kind, context).with_source(WrongCopy { left })
}

/// What a copy that is not what it should be left under its key.
pub(super) fn left_by(error: &Error) -> Option<&RemoteBelief> {
    let found = error.source()?.downcast_ref::<WrongCopy>()?;
    Some(&found.left)
}

/// Whether a copy was made that is not what it should be.
pub(super) fn is_wrong(error: &Error) -> bool {
    left_by(error).is_some()
}

impl Job<'_> {
    /// After a copy to the key that failed: what it left there is ours to replace. Gives the kind of
    /// the failure.
    pub(super) fn believe_what_is_left(&mut self, error: &Error) -> ErrorKind {
        if let Some(left) = left_by(error) {
            self.remote = left.clone();
        }
        error.kind()
    }
}

impl Inner {
    /// Copies, and looks at the copy unless the answer itself tells that it is right.
    ///
    /// # Errors
    /// Those of the copy. `Unsupported` if the copy is wrong; from then on the store is not asked
    /// for copies. `Precondition` if another version was copied.
    pub(super) async fn copy(
        &self,
        source: &CopySource,
        to: &Key,
        options: CopyOptions,
    ) -> Result<Version> {
        let size = options.source_bytes;
        let options = self.with_copied_tags(source, options).await?;
        let asked = self.asked_source(source);
        let version = self.store.copy(asked, to, options).await?;
        if self.capabilities.trust == Trust::Exact {
            return Ok(version);
        }
        // The same tag is the same content, so that both are as they should be.
        if source.if_match.as_ref() != Some(&version) {
            self.check_copied(source, to, &version).await?;
            self.check_target(to, &version, size).await?;
        }
        Ok(version)
    }

    /// Copies a range of an object into a part of an upload.
    ///
    /// # Errors
    /// Those of the copy. `Precondition` if another version may have been copied.
    pub(super) async fn copy_part(
        &self,
        to: (&Key, &UploadId, u16),
        source: &CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let (key, upload, number) = to;
        let asked = self.asked_source(source);
        let is_told = asked == *source;
        let part = (self.store)
            .multipart_copy(key, upload, number, asked, range)
            .await?;
        if let Some(version) = source.if_match.as_ref().filter(|_| !is_told)
            && self.look(&source.key).await? != RemoteBelief::Present(version.clone())
        {
            let context = format!("copy {} to a part of {key}: it changed", source.key);
            return Err(Error::new(ErrorKind::Precondition, context));
        }
        Ok(part)
    }

    /// The source as the store is asked for it. Some stores refuse every copy that says which version that must be, also
    /// the right one: they are not told, and it is looked at afterwards.
    fn asked_source(&self, source: &CopySource) -> CopySource {
        let mut asked = source.clone();
        if !self.conditions.honoured().copy_source_if_match.is_kept() {
            asked.if_match = None;
        }
        asked
    }

    async fn check_target(&self, to: &Key, version: &Version, size: Option<u64>) -> Result<()> {
        let left = match self.store.head(to).await {
            Ok(there) if there.version != *version => return Ok(()),
            Ok(there) if size.is_none_or(|size| size == there.size) => return Ok(()),
            Ok(there) => RemoteBelief::Present(there.version),
            Err(error) if error.kind() == ErrorKind::NotFound => RemoteBelief::Absent,
            Err(error) => return Err(error),
        };
        tracing::error!(key = %to, "a copy within the store is not what it should be");
        self.refuse_copies().await;
        let context = format!("copy to {to}: the store says that it did, and did not");
        Err(wrong(ErrorKind::Unsupported, context, left))
    }

    /// Where the store passes over which version its source is to be: if that version is still
    /// there after the copy, it is what was copied.
    async fn check_copied(&self, source: &CopySource, to: &Key, version: &Version) -> Result<()> {
        let Some(asked) = &source.if_match else {
            return Ok(());
        };
        if source.key == *to || self.conditions.honoured().copy_source_if_match.is_kept() {
            return Ok(());
        }
        if self.look(&source.key).await? == RemoteBelief::Present(asked.clone()) {
            return Ok(());
        }
        let context = format!("copy {} to {to}: another version was copied", source.key);
        let left = RemoteBelief::Present(version.clone());
        Err(wrong(ErrorKind::Precondition, context, left))
    }

    /// Notes that the store does not copy objects.
    pub(super) async fn refuse_copies(&self) {
        self.contradicted(|honoured| {
            honoured.copy = honoured.copy.max(Finding::Refused);
            honoured.copy_onto_itself = honoured.copy_onto_itself.max(Finding::Refused);
        })
        .await;
    }

    /// Notes that the store does not copy parts.
    pub(super) async fn refuse_part_copies(&self) {
        self.contradicted(|honoured| {
            honoured.part_copy = honoured.part_copy.max(Finding::Refused);
        })
        .await;
    }
}
