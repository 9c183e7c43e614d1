//! The kernel's read-ahead of one mount, which `FUSE_INIT` can only lower.
//!
//! Why 2 MiB by default: requests are at most 1 MiB, so one is in flight while another is consumed.
//! Read from memory with 0.1 to 1 ms of delay per request, a sequential reader got 1.0 GB/s with
//! 128 KiB, 2.2 with 1 MiB, 2.9 with 2 MiB and no more with 8 MiB. What hides the network's latency
//! is the filesystem's own read-ahead, not the kernel's. More would cost: a page fault in a mapping
//! reads the whole window around it (`do_sync_mmap_readahead`), and git and SQLite fault at random.

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
