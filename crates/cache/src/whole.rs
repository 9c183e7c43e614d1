//! Small objects that are fetched whole before anybody reads them.

use std::sync::Arc;

use cloudmount_vfs::Result;

use crate::flight::Slot;
use crate::{BlockCache, ObjectRef};

/// A small object under way, all of it, in one request.
#[derive(Debug)]
pub struct WholeFetch {
    object: ObjectRef,
    slots: Vec<Arc<Slot>>,
}

impl BlockCache {
    /// Sends for all of `object` ahead of who may read it. `None`, and nothing is done, if it is empty or too
    /// large for that, if any of it is in memory or under way already, or if there is no room for it now.
    ///
    /// So the request that is made was sent after this was called. Readers join it, as they join every
    /// request; it goes on if what this gives is dropped.
    #[must_use]
    pub fn fetch_whole(&self, object: &ObjectRef) -> Option<WholeFetch> {
        let shared = self.shared();
        if object.size == 0 || object.size > shared.limits.whole_object_bytes {
            return None;
        }
        let slots = shared.begin_whole(shared.target(object))?;
        shared.pressure.fetching(object.size);
        Some(WholeFetch {
            object: object.clone(),
            slots,
        })
    }

    /// Whether any of a small object is in memory.
    #[must_use]
    pub fn holds_any(&self, object: &ObjectRef) -> bool {
        let shared = self.shared();
        let target = shared.target(object);
        let mut blocks = shared.limits.geometry.blocks(&(0..object.size));
        blocks.any(|index| shared.blocks.contains(target, index))
    }

    /// Bytes of the largest object that is fetched whole.
    #[must_use]
    pub fn whole_object_bytes(&self) -> u64 {
        self.shared().limits.whole_object_bytes
    }

    /// Bytes that are kept of what was fetched ahead and not read yet, at most.
    #[must_use]
    pub fn ahead_bytes(&self) -> u64 {
        self.shared().limits.ahead_bytes
    }
}

impl WholeFetch {
    /// Waits until all of it is in memory.
    ///
    /// # Errors
    /// `Stale` when the version is gone; whatever else the source fails with.
    pub async fn arrived(&self) -> Result<()> {
        for slot in &self.slots {
            let outcome = slot.wait().await;
            outcome.map_err(|failure| failure.to_error(&self.object))?;
        }
        Ok(())
    }
}
