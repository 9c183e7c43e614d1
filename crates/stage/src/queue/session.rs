//! [`Session`]: a multipart upload between its start and its end. It outlives a failed try.

use std::sync::Arc;

use cloudmount_store::{Key, Metadata, UploadId};

use super::parts::Parts;
use crate::Base;
use crate::plan::BaseUse;

/// A multipart upload in progress.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Session {
    pub(crate) head: Arc<Head>,
    pub(crate) parts: Parts,
}

/// What of a multipart upload is fixed from its start.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) upload: UploadId,
    /// Which upload of its file it is.
    pub(crate) number: u64,
    /// The metadata that the object will have.
    pub(crate) metadata: Metadata,
    pub(crate) metadata_generation: u64,
    /// The base that the parts are made with.
    pub(crate) base: Option<Base>,
    pub(crate) base_use: BaseUse,
}

impl Session {
    /// Key and number, to give it up.
    pub(crate) fn names(&self) -> (Key, UploadId) {
        (self.head.key.clone(), self.head.upload.clone())
    }
}
