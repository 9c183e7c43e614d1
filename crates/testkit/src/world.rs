//! [`World`]: a filesystem with all that a test needs around it.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::Store;
use cloudmount_vfs::Vfs;

use crate::ManualClock;
use crate::kernel::Options;

/// One filesystem, freshly made and empty, with its clock and, if it has one, its bucket.
///
/// Only the first two methods must be written; [`vfs_tests!`](crate::vfs_tests) turns the rest into tests.
pub trait World: Sized + Send + Sync + 'static {
    /// The filesystem.
    type Fs: Vfs;

    /// The filesystem, the same each time.
    fn vfs(&self) -> Arc<Self::Fs>;

    /// The clock that it was given. Clones of a [`ManualClock`] are one clock.
    fn clock(&self) -> ManualClock;

    /// The bucket itself, past everything that the filesystem puts in front of it: what a foreign
    /// client would see and change. `None`: there is none.
    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// What the keys of the filesystem begin with in [`store`](Self::store): empty, or it ends in `/`.
    fn prefix(&self) -> &str {
        ""
    }

    /// Whether an object is one of the filesystem's own, which stands for no file: laws about keys pass over it.
    fn keeps_for_itself(&self, key: &str) -> bool {
        let _ = key;
        false
    }

    /// Waits until everything that was done is in the bucket. It may move the clock.
    fn settle(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Unmounts in good order and mounts again: the same bucket, local state as far as it is kept
    /// on disk, the same clock. The kernel has given everything back before. `None`: not offered.
    fn remount(self) -> impl Future<Output = Option<Self>> + Send {
        ready(None)
    }

    /// How long a foreign change of the bucket may go unnoticed, at most: the sum of the TTLs.
    fn staleness(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// How the kernel of conformance tests behaves.
    fn options(&self) -> Options {
        Options::default()
    }

    /// How many lookups the filesystem has counted and not yet been told to forget, if it can say:
    /// it must be none after unmounting.
    fn lookups(&self) -> Option<u64> {
        None
    }

    /// How many files and directories are open as the filesystem sees it, if it can say: it must be
    /// none after unmounting. An operation that was dropped must not leave one behind.
    fn open_handles(&self) -> Option<usize> {
        None
    }

    /// Laws that are known not to hold, by name. Each is reported as skipped.
    fn unsupported(&self) -> &[&str] {
        &[]
    }
}
