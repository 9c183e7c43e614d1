//! [`Bodies`]: the budget of bytes that are held in memory to be sent.
//!
//! Parts of large files may take three quarters of it, so that small files always find room.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::StageSettings;

/// Bytes per permit: semaphores count to 2^29 at least, so this reaches far enough.
const PERMIT_BYTES: u64 = 1024;

/// The budget.
#[derive(Debug)]
pub(crate) struct Bodies {
    all: Arc<Semaphore>,
    parts: Arc<Semaphore>,
    limit: u32,
    parts_limit: u32,
}

/// Room for one body, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _all: OwnedSemaphorePermit,
    _part: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new(settings: &StageSettings) -> Self {
        let limit = permits(settings.body_bytes_max);
        let parts_limit = (limit / 4 * 3).max(1);
        Self {
            all: Arc::new(Semaphore::new(limit as usize)),
            parts: Arc::new(Semaphore::new(parts_limit as usize)),
            limit,
            parts_limit,
        }
    }

    /// Waits for room for a body of a small file. One larger than the budget waits for all of it.
    pub(crate) async fn for_put(&self, bytes: u64) -> Option<Room> {
        Some(Room {
            _all: take(&self.all, bytes, self.limit).await?,
            _part: None,
        })
    }

    /// Waits for room for a part. One larger than its share waits for all of the share.
    pub(crate) async fn for_part(&self, bytes: u64) -> Option<Room> {
        // The share first: who waits for it must not keep room from small files.
        let part = take(&self.parts, bytes, self.parts_limit).await?;
        Some(Room {
            _all: take(
                &self.all,
                bytes.min(u64::from(self.parts_limit) * PERMIT_BYTES),
                self.limit,
            )
            .await?,
            _part: Some(part),
        })
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        (u64::from(self.limit) - self.all.available_permits() as u64) * PERMIT_BYTES
    }
}

/// `None` only if the semaphore was closed, which nobody does.
async fn take(from: &Arc<Semaphore>, bytes: u64, limit: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(from)
        .acquire_many_owned(permits(bytes).min(limit))
        .await
        .ok()
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES))
        .unwrap_or(u32::MAX >> 3)
        .clamp(1, u32::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn parts_leave_room_for_small_files() {
        let bodies = Bodies::new(&StageSettings {
            body_bytes_max: 16 << 20,
            ..StageSettings::default()
        });
        let part = || bodies.for_part(4 << 20).now_or_never();
        let parts = [part(), part(), part()];
        assert!(parts.iter().all(Option::is_some));
        assert!(part().is_none());
        let small = bodies.for_put(4 << 20).now_or_never();
        assert!(small.is_some());
        assert_eq!(bodies.used(), 16 << 20);
        drop((parts, small));
        assert_eq!(bodies.used(), 0);
        let huge = bodies.for_put(1 << 40).now_or_never();
        assert!(huge.is_some());
    }
}
