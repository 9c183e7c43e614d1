//! Conditional writes: every write says what it expects to replace.
//!
//! What a store checks, `probe` finds out before the first write. Where it cannot check something
//! itself, it is looked at just before, and the status says that between the look and the write a
//! window is open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloudmount_store::probe::{Finding, Honoured};
use cloudmount_store::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, Key, Metadata, PartTag,
    Payload, Precondition, PutOptions, Result, Trust, UploadId, Version,
};
use parking_lot::Mutex;

use super::copy_otherwise::Original;
use super::effect::is_wrong;
use crate::stage::Inner;
use crate::{ConflictPolicy, RemoteBelief};

/// What the store turned out to honour.
#[derive(Debug)]
pub(crate) struct Conditions {
    honoured: Mutex<Honoured>,
    windows: Windows,
    /// Objects that are larger were refused as too large to be copied.
    copy_bytes_max: AtomicU64,
}

/// What is done without the store's own check in one step with it, so that what someone else writes just then may be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Window {
    /// A write, or a copy, that is looked at just before.
    Writes,
    /// A removal that is looked at just before, or that the store checks just before.
    Removals,
}

/// Which windows were open since the start.
#[derive(Debug, Default)]
struct Windows {
    writes: AtomicBool,
    removals: AtomicBool,
}

impl Windows {
    const fn of(&self, window: Window) -> &AtomicBool {
        match window {
            Window::Writes => &self.writes,
            Window::Removals => &self.removals,
        }
    }
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
    /// Another object, of `size` bytes, with other metadata.
    Copy {
        source: &'a CopySource,
        size: u64,
        metadata: &'a Metadata,
    },
}

impl Conditions {
    /// A store that can be trusted honours what it says. Of any other is
    /// known what is remembered.
    pub(crate) fn new(capabilities: &Capabilities, remembered: Option<Honoured>) -> Self {
        let honoured = match capabilities.trust {
            Trust::Exact => Honoured::as_said(capabilities),
            Trust::Claimed => remembered.unwrap_or_default(),
        };
        Self {
            honoured: Mutex::new(honoured),
            windows: Windows::default(),
            copy_bytes_max: AtomicU64::new(capabilities.copy_bytes_max),
        }
    }

    /// The names of what was done without the store's own check.
    pub(crate) fn windows(&self) -> Vec<&'static str> {
        [(Window::Writes, "writes"), (Window::Removals, "removals")]
            .into_iter()
            .filter(|(window, _)| self.windows.of(*window).load(Ordering::Relaxed))
            .map(|(_, name)| name)
            .collect()
    }

    /// Notes that such a thing is done without the store's own check.
    pub(super) fn open_window(&self, window: Window) {
        self.windows.of(window).store(true, Ordering::Relaxed);
    }

    /// All that is known.
    pub(crate) fn honoured(&self) -> Honoured {
        *self.honoured.lock()
    }

    pub(super) fn learn(&self, honoured: Honoured) {
        *self.honoured.lock() = honoured;
    }

    /// The largest object that is worth a try to copy, in bytes.
    pub(super) fn copy_bytes_max(&self) -> u64 {
        self.copy_bytes_max.load(Ordering::Relaxed)
    }

    /// Notes that the store called an object of so many bytes too large to be copied. Smaller ones are copied, and it is
    /// asked again by the next mount.
    pub(super) fn refuse_copies_of(&self, bytes: u64) {
        (self.copy_bytes_max).fetch_min(bytes.saturating_sub(1), Ordering::Relaxed);
    }

    /// Whether the store copies objects to other keys.
    pub(crate) fn copies(&self) -> bool {
        self.honoured().copy.is_kept()
    }

    /// Whether a copy of an object onto itself changes its metadata, and only those.
    pub(super) fn copies_onto_itself(&self) -> bool {
        self.honoured().copy_onto_itself.is_kept()
    }

    /// Whether copies and conditions are checked of a write.
    fn checks(&self, condition: &Precondition, write: &Write<'_>) -> bool {
        let mut honoured = self.honoured();
        condition_of(&mut honoured, condition, write).is_some_and(|finding| finding.is_kept())
    }
}

/// The finding that a condition of a write depends on.
fn condition_of<'a>(
    honoured: &'a mut Honoured,
    condition: &Precondition,
    write: &Write<'_>,
) -> Option<&'a mut Finding> {
    Some(match (condition, write) {
        (Precondition::None, _) => return None,
        (Precondition::Absent, Write::Put { .. }) => &mut honoured.put_if_absent,
        (Precondition::Absent, Write::Complete { .. }) => &mut honoured.complete_if_absent,
        (Precondition::Absent, Write::Copy { .. }) => &mut honoured.copy_if_absent,
        (Precondition::Matches(_), Write::Put { .. }) => &mut honoured.put_if_match,
        (Precondition::Matches(_), Write::Complete { .. }) => &mut honoured.complete_if_match,
        (Precondition::Matches(_), Write::Copy { .. }) => &mut honoured.copy_if_match,
    })
}

impl Inner {
    /// What the store can do, as far as it honours that.
    pub(super) fn offered(&self) -> Capabilities {
        let honoured = self.conditions.honoured();
        Capabilities {
            part_copy: self.capabilities.part_copy && honoured.part_copy.is_kept(),
            copy_bytes_max: self.conditions.copy_bytes_max(),
            ..self.capabilities
        }
    }

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
        if self.conditions.checks(&condition, write) {
            match self.write_if(key, condition.clone(), write).await {
                Err(error) if error.kind() == ErrorKind::Unsupported && !is_wrong(&error) => {}
                done => return done,
            }
            let plain = self.write_checked(key, &condition, write).await;
            // Only if it works without the condition was the condition what is not supported.
            if plain.is_ok() {
                self.contradicted(|honoured| {
                    if let Some(finding) = condition_of(honoured, &condition, write) {
                        *finding = Finding::Refused;
                    }
                })
                .await;
            }
            return plain;
        }
        if let Write::Copy {
            source,
            size,
            metadata,
        } = *write
        {
            let original = Original {
                source,
                size,
                metadata,
            };
            if let Some(done) = self.copy_otherwise(key, &condition, original).await {
                return done;
            }
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
        self.conditions.open_window(Window::Writes);
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
                let metadata = self.with_tags(key, metadata).await?.into_owned();
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
            Write::Copy {
                source,
                size,
                metadata,
            } => {
                let metadata = CopyMetadata::Replace(metadata.clone());
                let options = CopyOptions {
                    metadata,
                    precondition,
                    source_bytes: Some(size),
                };
                self.copy(source, key, options).await
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
