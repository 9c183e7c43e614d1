//! New metadata for an object whose content stays: a copy of it onto itself.
//!
//! Where the store cannot copy, or not an object of that size: a multipart upload of copied parts,
//! or for small objects a read and a write.

use std::sync::Arc;

use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, GetOptions, Metadata, ObjectMeta,
    Payload, Precondition, Result, StoreExt, Version,
};
use cloudmount_vfs as vfs;

use super::condition::{Window, Write};
use super::copy_otherwise::Original;
use super::effect::is_wrong;
use super::worker::{Done, Job, Refused, Trouble};
use crate::failpoint;
use crate::fingerprint::{Fingerprint, Source};
use crate::{RemoteBelief, StagedFile};

impl Job<'_> {
    /// Metadata of an object that is not staged.
    pub(super) async fn metadata(&mut self, metadata: &Metadata) -> Done {
        match self.replace_metadata(metadata, None).await {
            Ok(version) => Done::Metadata { version },
            Err(done) => done,
        }
    }

    /// Metadata of a staged file whose content is there.
    pub(super) async fn file_metadata(&mut self, file: &Arc<StagedFile>, source: Source) -> Done {
        let (metadata, size, version) = {
            let state = file.lock();
            let version = state.content.base().map(|base| base.version.clone());
            (state.metadata.clone(), state.content.size(), version)
        };
        if let Some(version) = version {
            self.remote = RemoteBelief::Present(version);
        }
        match self.replace_metadata(&metadata, Some(size)).await {
            Ok(version) => Done::FileMetadata { source, version },
            Err(done) => done,
        }
    }

    async fn replace_metadata(
        &mut self,
        metadata: &Metadata,
        size: Option<u64>,
    ) -> std::result::Result<Version, Done> {
        let fingerprint = Fingerprint::new(size, metadata);
        self.sending(&fingerprint);
        let error = match self.copy_onto_itself(metadata, size).await {
            Ok(version) => {
                failpoint::pass(failpoint::METADATA_ANSWERED);
                return Ok(version);
            }
            Err(error) => error,
        };
        let error = match error.kind() {
            // Nothing is left to write it anew from.
            _ if is_wrong(&error) => return Err(Done::Failed(error.into())),
            ErrorKind::Unsupported | ErrorKind::TooLarge => match self.rewrite(metadata).await {
                Ok(version) => return Ok(version),
                Err(Trouble::Store(error)) => error,
                Err(trouble) => return Err(Done::Failed(trouble)),
            },
            _ => error,
        };
        let sent = self.as_sent(fingerprint);
        let refused = match error.kind() {
            // The object is gone, or the upload that was to become it: then a try before may have.
            ErrorKind::NotFound => self.investigate(&sent).await,
            _ => self.refused(error, sent).await,
        };
        match refused {
            Refused::Ours(version) => Ok(version),
            Refused::Done(Done::Conflict { theirs }) => Err(Done::Overtaken {
                theirs: Some(theirs),
            }),
            Refused::Done(Done::Believe(RemoteBelief::Absent)) => {
                Err(Done::Overtaken { theirs: None })
            }
            Refused::Done(done) => Err(done),
        }
    }

    async fn copy_onto_itself(&self, metadata: &Metadata, size: Option<u64>) -> Result<Version> {
        let limit = self.inner.conditions.copy_bytes_max();
        if size.is_some_and(|size| size > limit) || !self.inner.conditions.copies_onto_itself() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "copy of an object of that size",
            ));
        }
        let source = CopySource {
            key: self.key.clone(),
            if_match: match &self.remote {
                RemoteBelief::Present(version) => Some(version.clone()),
                RemoteBelief::Unknown | RemoteBelief::Absent => None,
            },
        };
        if let RemoteBelief::Present(version) = &self.remote
            && !self
                .inner
                .conditions
                .honoured()
                .copy_source_if_match
                .is_kept()
        {
            // Else it would give these metadata to what someone else wrote since.
            let size = match size {
                Some(size) => size,
                None => self.inner.store.head(self.key).await?.size,
            };
            let original = Original {
                source: &source,
                size,
                metadata,
            };
            let condition = Precondition::Matches(version.clone());
            if let Some(done) = (self.inner)
                .copy_otherwise(self.key, &condition, original)
                .await
            {
                return done;
            }
            if self.inner.look(self.key).await? != self.remote {
                let context = format!("metadata of {}: it changed", self.key);
                return Err(Error::new(ErrorKind::Precondition, context));
            }
            self.inner.conditions.open_window(Window::Writes);
        }
        let options = CopyOptions {
            metadata: CopyMetadata::Replace(metadata.clone()),
            precondition: Precondition::None,
            source_bytes: size,
        };
        self.inner.copy(&source, self.key, options).await
    }

    /// Writes the object anew.
    async fn rewrite(&self, metadata: &Metadata) -> std::result::Result<Version, Trouble> {
        let there = self.inner.store.head(self.key).await?;
        if let RemoteBelief::Present(version) = &self.remote
            && *version != there.version
        {
            let context = format!("rewrite {}", self.key);
            return Err(Error::new(ErrorKind::Precondition, context).into());
        }
        let belief = RemoteBelief::Present(there.version.clone());
        let metadata = &Metadata {
            tags: there.metadata.tags.clone(),
            ..metadata.clone()
        };
        if self.inner.offered().part_copy && there.size > self.inner.capabilities.part_bytes_min {
            return self.rewrite_in_parts(metadata, &there, &belief).await;
        }
        if there.size > self.inner.settings.rewrite_bytes_max {
            let context = format!("metadata of {}, which this store cannot copy", self.key);
            return Err(vfs::Error::new(vfs::ErrorKind::FileTooLarge, context).into());
        }
        let Some(_room) = self.inner.bodies.for_put(there.size).await else {
            return Err(vfs::Error::from(vfs::ErrorKind::Interrupted).into());
        };
        let options = GetOptions {
            range: None,
            if_match: Some(there.version),
        };
        let payload = Payload::from(self.inner.store.get_bytes(self.key, options).await?);
        let write = Write::Put {
            payload: &payload,
            metadata,
        };
        Ok(self.inner.write(self.key, &belief, &write).await?)
    }

    async fn rewrite_in_parts(
        &self,
        metadata: &Metadata,
        there: &ObjectMeta,
        belief: &RemoteBelief,
    ) -> std::result::Result<Version, Trouble> {
        let upload = self.start_upload(metadata.clone()).await?;
        let from = CopySource {
            key: self.key.clone(),
            if_match: Some(there.version.clone()),
        };
        let copied = (self.inner).copied_parts(self.key, &upload, &from, there.size);
        let parts = match copied.await {
            Ok(parts) => parts,
            Err(error) => {
                self.abandon_upload(upload);
                return Err(error.into());
            }
        };
        self.inner.joining(self.key, &parts);
        let write = Write::Complete {
            upload: &upload,
            parts: &parts,
        };
        match self.inner.write(self.key, belief, &write).await {
            Ok(version) => {
                self.forget(&upload);
                Ok(version)
            }
            Err(error) => {
                self.abandon_upload(upload);
                Err(error.into())
            }
        }
    }
}
