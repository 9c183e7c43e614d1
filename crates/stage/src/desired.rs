//! What a key is to hold, and how far it is on the way.

use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::Metadata;
use serde::Serialize;

use crate::{RemoteBelief, StagedFile};

/// What is wanted under a key.
#[derive(Clone, Debug)]
pub enum Desired {
    /// The content of a staged file.
    Content(Arc<StagedFile>),
    /// These bytes: the marker of a folder, the target of a symlink.
    Inline {
        /// The whole body.
        bytes: Bytes,
        /// What travels with it.
        metadata: Metadata,
    },
    /// The content that is there, with these metadata.
    Metadata(Metadata),
    /// Nothing.
    Absent,
}

/// How far a key is on the way to its desired state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A file that is being written and was not submitted since its last upload.
    Open,
    /// Submitted: waits for its time, for a slot or for a hold.
    Queued,
    /// A request for it is under way.
    InFlight,
    /// A try failed; the next one has its time.
    Waiting,
    /// A try failed for a reason that needs a person. It is tried again now and then.
    Failed,
}

/// A key whose desired state is not in the bucket yet.
#[derive(Clone, Debug)]
pub struct PendingView {
    /// What is wanted.
    pub desired: Desired,
    /// What is believed to be there.
    pub remote: RemoteBelief,
    /// How far it is.
    pub phase: Phase,
}

impl PendingView {
    /// The metadata wanted; `None` for a removal.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata> {
        match &self.desired {
            Desired::Content(file) => Some(file.metadata()),
            Desired::Inline { metadata, .. } | Desired::Metadata(metadata) => {
                Some(metadata.clone())
            }
            Desired::Absent => None,
        }
    }

    /// The size wanted, in bytes; `None` for a removal, and for a change of metadata only.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match &self.desired {
            Desired::Content(file) => Some(file.size()),
            Desired::Inline { bytes, .. } => Some(bytes.len() as u64),
            Desired::Metadata(_) | Desired::Absent => None,
        }
    }
}
