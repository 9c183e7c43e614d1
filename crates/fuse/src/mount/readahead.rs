//! The kernel's read-ahead of one mount, which `FUSE_INIT` can only lower.
//!
//! Why 2 MiB by default: requests are at most 1 MiB, so it keeps one in flight while another is
//! consumed, and a file is read with the fewest requests. What hides the network's latency is the
//! filesystem's own read-ahead, not the kernel's. More would cost: a page fault in a mapping reads
//! the whole window around it (`do_sync_mmap_readahead`), and git and SQLite fault at random.

use std::fs;

use super::table::MountId;

/// Sets it where that is allowed; a mount works without it.
pub(super) fn raise(mount: &MountId, bytes: u32) {
    if bytes == 0 {
        return;
    }
    let path = format!("/sys/class/bdi/{}/read_ahead_kb", mount.device());
    if let Err(error) = fs::write(&path, (bytes / 1024).to_string()) {
        tracing::debug!(%path, %error, "cannot raise the read-ahead");
    }
}
