//! [`left_in`]: what waits in a staging folder that this process does not use; [`is_used`]: whether somebody does.
//!
//! Law: nothing is changed there.

use std::path::Path;

use cloudmount_vfs::{Error, ErrorKind, Result};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::journal;

/// How many keys wait in the staging folder `dir`: uploads, removals, and what was written and never
/// closed. `None` if a process uses it: then they do not wait for anybody.
///
/// # Errors
/// `Unsupported` if a newer version wrote it; `Corrupt`; `Io`.
pub fn left_in(dir: &Path) -> Result<Option<usize>> {
    // First, and without the lock: whoever opens the folder meanwhile must not find it taken.
    let left = journal::load(dir)?.keys.len();
    if left == 0 {
        return Ok(Some(0));
    }
    Ok((!is_used(dir)?).then_some(left))
}

/// Whether a process uses the staging folder `dir`. One that opens it in this very moment may find it used by who asks, and
/// tries again for half a second.
///
/// # Errors
/// `Io`.
pub fn is_used(dir: &Path) -> Result<bool> {
    let path = dir.join("lock");
    let failed = |error| Error::new(ErrorKind::Io, path.display().to_string()).with_source(error);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(failed(error.into())),
    }
}
