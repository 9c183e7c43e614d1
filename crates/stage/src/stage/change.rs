//! What is wanted of keys that are no staged files: bodies given as bytes, metadata, removals.

use bytes::Bytes;
use cloudmount_store::{Key, Metadata, Version};
use cloudmount_vfs::{Error, ErrorKind, Result};

use super::{Inner, Stage};
use crate::RemoteBelief;
use crate::desired::Desired;
use crate::groups::IsOver;

impl Stage {
    /// Wants `bytes` under `key`: the target of a symlink, the marker of a folder. A marker (its
    /// key ends in `/`) only carries attributes: it is put whatever is there, and where the store
    /// cannot hold it, it is done at once.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn put_inline(
        &self,
        key: &Key,
        bytes: Bytes,
        metadata: Metadata,
        remote: RemoteBelief,
    ) -> Result<()> {
        let inner = &self.inner;
        if inner.is_unsupported_marker(key) {
            return Ok(());
        }
        inner.edit(|edit, now| {
            let due = now + inner.settings.close_delay;
            edit.want(
                key,
                remote,
                Desired::Inline { bytes, metadata },
                Some(0),
                due,
            );
            Ok(())
        })
    }

    /// Wants other metadata for the object under `key`, whose content stays. They go with what is
    /// pending under the key, if anything is.
    ///
    /// # Errors
    /// `NotFound` if the key is to be removed; `NoSpace`, `Io`.
    pub fn set_metadata(&self, key: &Key, metadata: Metadata, base: Version) -> Result<()> {
        let inner = &self.inner;
        if inner.is_unsupported_marker(key) {
            return Ok(());
        }
        let file = {
            let table = inner.lock();
            match table.get(key).map(|state| &state.desired) {
                Some(Desired::Content(file)) => Some(std::sync::Arc::clone(file)),
                Some(_) => None,
                None => table.settled(key),
            }
        };
        if let Some(file) = file {
            return self.set_file_metadata(&file, metadata);
        }
        inner.edit(|edit, now| {
            let due = now + inner.settings.close_delay;
            let desired = match edit.get(key).map(|state| state.desired.clone()) {
                Some(Desired::Absent) => {
                    return Err(Error::new(
                        ErrorKind::NotFound,
                        format!("metadata of {key}"),
                    ));
                }
                Some(Desired::Inline { bytes, .. }) => Desired::Inline { bytes, metadata },
                _ => Desired::Metadata(metadata),
            };
            edit.want(key, RemoteBelief::Present(base), desired, Some(0), due);
            Ok(())
        })
    }

    /// Wants nothing under `key`. What was staged for it is given up; a file that is still open
    /// lives on without a name. Makes no request if nothing can be in the bucket.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn remove(&self, key: &Key, remote: RemoteBelief) -> Result<()> {
        let inner = &self.inner;
        if inner.is_unsupported_marker(key) {
            return Ok(());
        }
        let is_over = inner.edit(|edit, now| {
            edit.want_absent(key, remote, now + inner.settings.close_delay);
            let is_removed = |key| {
                edit.get(key)
                    .is_some_and(|state| matches!(state.desired, Desired::Absent))
            };
            if !is_removed(key) {
                return Ok(None);
            }
            let groups = inner.groups.lock();
            let goes_on = groups.last_removed(key).is_some_and(is_removed);
            Ok(Some(if goes_on { IsOver::No } else { IsOver::Yes }))
        })?;
        if let Some(is_over) = is_over {
            inner.groups.lock().removed(key, is_over);
        }
        Ok(())
    }
}

impl Inner {
    pub(crate) fn is_unsupported_marker(&self, key: &Key) -> bool {
        key.is_marker() && !self.capabilities.folder_markers
    }
}
