//! How to mount.

use std::num::NonZeroUsize;
use std::thread;

/// Dispatch threads, at least: while one copies a megabyte, another answers a stat.
const THREADS_MIN: usize = 2;
/// Dispatch threads, at most, unless asked for: they only copy and look up, so more of them wait
/// for memory bandwidth and for each other.
const THREADS_MAX: usize = 8;

/// How to mount. Always set, and not offered to be changed: `nosuid`, `nodev` (what anybody with
/// access to the bucket wrote must not gain rights here) and `default_permissions` (the kernel
/// checks modes and owners).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MountOptions {
    /// The source that `mount` and `df` show, as `s3://bucket/prefix`. Commas, backslashes and control
    /// characters are shown as `_`.
    pub fs_name: String,
    /// Whether other users than the mounting one may look in.
    pub allow_other: bool,
    /// Whether the kernel refuses all writing.
    pub read_only: bool,
    /// Whether the kernel reads whole files of this machine itself, where the filesystem names one
    /// ([`Vfs::local_file`](cloudmount_vfs::Vfs::local_file)): `FUSE_PASSTHROUGH`, Linux 6.9 and later, for daemons with
    /// `CAP_SYS_ADMIN`. Elsewhere all goes on without it, and a warning is logged once.
    pub passthrough: bool,
    /// Whether programs may look in that index all files of a machine, so that they are found by name or by word later: `updatedb`,
    /// and those of desktops. Otherwise they may not open the root.
    pub indexers: bool,
    /// Whether to mount over a directory with entries, or over another mount.
    pub cover_existing: bool,
    /// Dispatch threads; by default as many as processors, from 2 to 8.
    pub threads: Option<NonZeroUsize>,
    /// The kernel's read-ahead of this mount in bytes, where it may be set (as root); 0 leaves it
    /// at what the kernel offers, 128 KiB.
    pub read_ahead_bytes: u32,
}

impl MountOptions {
    /// See [`Self::read_ahead_bytes`].
    pub const READ_AHEAD_BYTES: u32 = 2 << 20;

    /// Every default, and `fs_name`.
    #[must_use]
    pub fn new(fs_name: impl Into<String>) -> Self {
        Self {
            fs_name: fs_name.into(),
            allow_other: false,
            read_only: false,
            passthrough: false,
            indexers: false,
            cover_existing: false,
            threads: None,
            read_ahead_bytes: Self::READ_AHEAD_BYTES,
        }
    }

    pub(super) fn dispatch_threads(&self) -> usize {
        self.threads.map_or_else(
            || {
                let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
                processors.clamp(THREADS_MIN, THREADS_MAX)
            },
            NonZeroUsize::get,
        )
    }

    /// [`Self::fs_name`] as it can stand in a list of options.
    pub(super) fn shown_name(&self) -> String {
        let hide = |c: char| c == ',' || c == '\\' || c.is_control();
        match self.fs_name.as_str() {
            "" => super::device::SUBTYPE.into(),
            name => name.replace(hide, "_"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_become_options() {
        for (name, shown) in [
            ("s3://bucket/a b", "s3://bucket/a b"),
            ("s3://b/x,allow_other", "s3://b/x_allow_other"),
            ("a\\,b\0c", "a__b_c"),
            ("", "cloudmount"),
        ] {
            assert_eq!(MountOptions::new(name).shown_name(), shown);
        }
    }

    #[test]
    fn threads() {
        let mut options = MountOptions::new("x");
        assert!((THREADS_MIN..=THREADS_MAX).contains(&options.dispatch_threads()));
        options.threads = NonZeroUsize::new(1);
        assert_eq!(options.dispatch_threads(), 1);
    }
}
