//! What is agreed with the kernel when the connection begins, and why.
//!
//! The facts are from Linux `fs/fuse/{inode,dir,file,readdir}.c`.

use std::io;

use fuser::{InitFlags, KernelConfig};

use crate::passthrough::Passthrough;

/// The most bytes in one write request. The kernel's own limit is 256 pages unless the sysctl
/// `fs.fuse.max_pages_limit` says more; reads get the same limit through `max_pages`.
pub(crate) const MAX_WRITE_BYTES: u32 = 1 << 20;

/// Requests in flight that no system call waits for: read-ahead, writeback, asynchronous direct
/// I/O and RELEASE. The kernel's default of 12 lets a few slow downloads hold back the releases of
/// all other files. 64 requests of 1 MiB cover 64 MiB, more than a link of 10 Gbit/s holds in 50 ms.
pub(crate) const MAX_BACKGROUND: u16 = 64;

/// From here on the kernel calls the queue congested and holds back speculative read-ahead.
const CONGESTION_THRESHOLD: u16 = MAX_BACKGROUND / 4 * 3;

/// What is asked for, as far as the kernel offers it.
///
/// Left out on purpose:
///
/// - `WRITEBACK_CACHE`: the kernel would own size and mtime, and not see remote growth.
/// - `AUTO_INVAL_DATA`: drops all pages of a file whose mtime changed, and a local write changes
///   it: after each write and stat, everything would be read again. The core tells which content
///   changed elsewhere ([`Change::Content`](cloudmount_vfs::Change)), and each open says whether
///   pages may be kept.
/// - `EXPLICIT_INVAL_DATA`: without it (and without the one above) a *size* that changed elsewhere
///   still drops the pages, a net below the explicit changes.
/// - `POSIX_LOCKS`, `FLOCK_LOCKS`: without them the kernel keeps locks itself, for this machine. An
///   object store has no locks to add.
/// - `NO_OPEN_SUPPORT`, `NO_OPENDIR_SUPPORT`: each open says what the page cache may keep.
/// - `DONT_MASK`: the kernel applies the umask.
/// - `POSIX_ACL`: ACLs have no form in object metadata.
/// - `EXPORT_SUPPORT`: looks up `.` by number and generation, for handles that outlive `forget`;
///   its opposite, asked for below, makes such handles an error at once and not `ESTALE` later.
/// - `PASSTHROUGH`: asked for by `passthrough`, where the user wants it: the mount then counts as one filesystem over
///   another, of which there may be two.
/// - `SPLICE_*`: `fuser` reads and writes plain buffers.
/// - `ABORT_ERROR`: a connection that was aborted then reads as `ECONNABORTED`, an error; without it,
///   as `ENODEV`, the proper end.
const WANTED: InitFlags = InitFlags::FUSE_ASYNC_READ
    .union(InitFlags::FUSE_BIG_WRITES)
    .union(InitFlags::FUSE_MAX_PAGES)
    // Several direct requests of one process at a time.
    .union(InitFlags::FUSE_ASYNC_DIO)
    // O_TRUNC comes with the open, in one request, not as a setattr before it.
    .union(InitFlags::FUSE_ATOMIC_O_TRUNC)
    // Lookups and listings of one directory do not wait for each other.
    .union(InitFlags::FUSE_PARALLEL_DIROPS)
    // `readdirplus` for the first page of a listing, and then while entries are looked at as they
    // come (`fuse_use_readdirplus`): `ls -l` and rsync get all attributes with the names. Programs
    // that list first and stat later look up what they need, and a plain `ls` of 300,000 objects
    // does not ask for attributes that nobody reads.
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_READDIRPLUS_AUTO)
    // Targets stay in the page cache until `Change::Content` of the symlink.
    .union(InitFlags::FUSE_CACHE_SYMLINKS)
    // No question for `security.capability` before each write: see `ops::privileges`.
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    // MAP_SHARED also of files opened with FOPEN_DIRECT_IO; otherwise ENODEV.
    .union(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP)
    .union(InitFlags::FUSE_NO_EXPORT_SUPPORT);

/// Fills in the answer to `FUSE_INIT`. `max_readahead` stays as the kernel offered it: it can only
/// be lowered here, and is raised afterwards (see `mount::readahead`).
pub(crate) fn negotiate(config: &mut KernelConfig, passthrough: &Passthrough) -> io::Result<()> {
    let refused = |what: &str| {
        let text = format!("fuser refused {what}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    config
        .set_max_write(MAX_WRITE_BYTES)
        .map_err(|_| refused("max_write"))?;
    config
        .set_max_background(MAX_BACKGROUND)
        .map_err(|_| refused("max_background"))?;
    config
        .set_congestion_threshold(CONGESTION_THRESHOLD)
        .map_err(|_| refused("congestion_threshold"))?;
    config
        .add_capabilities(WANTED & config.capabilities())
        .map_err(|_| refused("capabilities that the kernel offers"))?;
    let missing = WANTED & !config.capabilities();
    if !missing.is_empty() {
        tracing::debug!(?missing, abi = %config.kernel_abi(), "older kernel");
    }
    passthrough.negotiate(config);
    Ok(())
}
