//! Tags: what is written anew has those of the object that it replaces or is made from.
//!
//! A copy within a store that does what it says keeps them by itself. A body and an upload in parts do not, and of a copy
//! in parts the store does not know that it is one. Looking at an object tells only how many tags it
//! has, so they are read just before it is written anew, and only if it has some.

use std::borrow::Cow;
use std::sync::Arc;

use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, ErrorKind, Key, Metadata, Result, Tags, Trust,
};

use super::worker::Job;
use crate::StagedFile;
use crate::stage::Inner;

impl Job<'_> {
    /// Before a file goes out anew: reads the tags of what it is made from.
    pub(super) async fn read_tags(&self, file: &Arc<StagedFile>) -> Result<()> {
        let metadata = file.metadata();
        if !matches!(metadata.tags, Tags::Unread(_)) {
            return Ok(());
        }
        let base = file
            .base()
            .map_or_else(|| self.key.clone(), |base| base.key);
        let tags = self.inner.with_tags(&base, &metadata).await?.tags.clone();
        let mut inside = file.lock();
        if matches!(inside.metadata.tags, Tags::Unread(_)) {
            inside.metadata.tags = tags;
        }
        Ok(())
    }
}

impl Inner {
    /// A copy keeps the tags of its source by itself; not so, when it replaces the metadata, on every
    /// store that cannot be trusted.
    pub(super) async fn with_copied_tags(
        &self,
        source: &CopySource,
        options: CopyOptions,
    ) -> Result<CopyOptions> {
        let metadata = match &options.metadata {
            CopyMetadata::Replace(metadata) if self.capabilities.trust == Trust::Claimed => {
                let metadata = self.with_tags(&source.key, metadata).await?;
                CopyMetadata::Replace(metadata.into_owned())
            }
            kept => kept.clone(),
        };
        Ok(CopyOptions {
            metadata,
            ..options
        })
    }

    /// `metadata` with the tags that the object under `key` has, if it is known to have some.
    ///
    /// # Errors
    /// Those of reading them. It is not written without them: policies may depend on them.
    pub(super) async fn with_tags<'a>(
        &self,
        key: &Key,
        metadata: &'a Metadata,
    ) -> Result<Cow<'a, Metadata>> {
        if !matches!(metadata.tags, Tags::Unread(_)) {
            return Ok(Cow::Borrowed(metadata));
        }
        let tags = match self.store.tags(key).await {
            Ok(tags) => Tags::from(tags),
            // It is gone, and they with it.
            Err(error) if error.kind() == ErrorKind::NotFound => Tags::None,
            Err(error) => return Err(error),
        };
        Ok(Cow::Owned(Metadata {
            tags,
            ..metadata.clone()
        }))
    }
}
