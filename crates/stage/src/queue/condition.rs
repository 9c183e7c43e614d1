//! Conditional writes: every write says what it expects to replace.
//!
//! Where a store cannot check that itself, it is looked at just before, and the status says that
//! between the look and the write a window is open.

use std::sync::atomic::{AtomicBool, Ordering};

use cloudmount_store::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, Key, Metadata, PartTag,
    Payload, Precondition, PutOptions, Result, UploadId, Version,
};

use crate::stage::Inner;
use crate::{ConflictPolicy, RemoteBelief};

/// What the store turned out to be able to check.
#[derive(Debug)]
pub(crate) struct Conditions {
    absent: AtomicBool,
    matches: AtomicBool,
    copy_if: AtomicBool,
    copy: AtomicBool,
    window_open: AtomicBool,
}

/// A write that makes an object visible.
#[derive(Clone, Debug)]
pub(super) enum Write<'a> {
    /// A whole body.
    Put {
        payload: &'a Payload,
        metadata: &'a Metadata,
    },
    /// Parts that are there.
    Complete {
        upload: &'a UploadId,
        parts: &'a [PartTag],
    },
    /// Another object, with other metadata.
    Copy {
        source: &'a CopySource,
        metadata: &'a Metadata,
    },
}

impl Conditions {
    pub(crate) fn new(capabilities: &Capabilities) -> Self {
        Self {
            absent: AtomicBool::new(capabilities.put_if_absent),
            matches: AtomicBool::new(capabilities.put_if_match),
            copy_if: AtomicBool::new(capabilities.copy_if),
            copy: AtomicBool::new(true),
            window_open: AtomicBool::new(false),
        }
    }

    /// Whether a write had to be made without the store's own check.
    pub(crate) fn is_window_open(&self) -> bool {
        self.window_open.load(Ordering::Relaxed)
    }

    /// Whether the store copies objects.
    pub(crate) fn copies(&self) -> bool {
        self.copy.load(Ordering::Relaxed)
    }

    /// Notes that the store does not copy objects.
    pub(crate) fn refuse_copies(&self) {
        self.copy.store(false, Ordering::Relaxed);
    }

    fn flag(&self, condition: &Precondition, write: &Write<'_>) -> Option<&AtomicBool> {
        match (condition, write) {
            (Precondition::None, _) => None,
            (_, Write::Copy { .. }) => Some(&self.copy_if),
            (Precondition::Absent, _) => Some(&self.absent),
            (Precondition::Matches(_), _) => Some(&self.matches),
        }
    }
}

impl Inner {
    /// Writes under `key` if `belief` still holds there.
    ///
    /// # Errors
    /// Those of the write; `Precondition` if the belief does not hold.
    pub(super) async fn write(
        &self,
        key: &Key,
        belief: &RemoteBelief,
        write: &Write<'_>,
    ) -> Result<Version> {
        // Whatever is there is to be replaced: a marker only carries attributes.
        if key.is_marker() || self.settings.conflict == ConflictPolicy::Overwrite {
            return self.write_if(key, Precondition::None, write).await;
        }
        let condition = match belief.precondition() {
            Some(condition) => condition,
            None => self.look(key).await?.precondition().unwrap_or_default(),
        };
        if let Some(offered) = self.conditions.flag(&condition, write)
            && offered.load(Ordering::Relaxed)
        {
            match self.write_if(key, condition.clone(), write).await {
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                done => return done,
            }
            let plain = self.write_checked(key, &condition, write).await;
            // Only if it works without the condition was the condition what is not supported.
            if plain.is_ok() {
                offered.store(false, Ordering::Relaxed);
            }
            return plain;
        }
        self.write_checked(key, &condition, write).await
    }

    /// What is under `key` now.
    pub(super) async fn look(&self, key: &Key) -> Result<RemoteBelief> {
        match self.store.head(key).await {
            Ok(there) => Ok(RemoteBelief::Present(there.version)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(RemoteBelief::Absent),
            Err(error) => Err(error),
        }
    }

    async fn write_checked(
        &self,
        key: &Key,
        condition: &Precondition,
        write: &Write<'_>,
    ) -> Result<Version> {
        let there = self.look(key).await?.precondition();
        if there.as_ref() != Some(condition) {
            let context = format!("write {key}: it changed since it was looked at");
            return Err(Error::new(ErrorKind::Precondition, context));
        }
        self.conditions.window_open.store(true, Ordering::Relaxed);
        self.write_if(key, Precondition::None, write).await
    }

    async fn write_if(
        &self,
        key: &Key,
        precondition: Precondition,
        write: &Write<'_>,
    ) -> Result<Version> {
        match *write {
            Write::Put { payload, metadata } => {
                let metadata = metadata.clone();
                let options = PutOptions {
                    precondition,
                    metadata,
                };
                self.store.put(key, payload.clone(), options).await
            }
            Write::Complete { upload, parts } => {
                self.store
                    .multipart_complete(key, upload, parts, precondition)
                    .await
            }
            Write::Copy { source, metadata } => {
                let metadata = CopyMetadata::Replace(metadata.clone());
                let options = CopyOptions {
                    metadata,
                    precondition,
                };
                self.store.copy(source.clone(), key, options).await
            }
        }
    }
}

/// Whether a request that failed so may have been carried out all the same.
pub(super) const fn may_have_landed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Server | ErrorKind::Connection | ErrorKind::TimedOut | ErrorKind::Io
    )
}
