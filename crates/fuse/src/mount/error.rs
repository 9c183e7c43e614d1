//! Why a mount failed, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// The causes, each with its own remedy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MountErrorKind {
    /// There is no `/dev/fuse`.
    NoDevice,
    /// `/dev/fuse` may not be opened.
    DeviceForbidden,
    /// `fusermount3` is not installed.
    NoHelper,
    /// Neither mount(2) nor `fusermount3` may mount or unmount here.
    NotAllowed,
    /// `allow_other` is not allowed to this user.
    AllowOtherForbidden,
    /// There is no such directory.
    Missing,
    /// It is not a directory.
    NotDirectory,
    /// The directory has entries.
    NotEmpty,
    /// Something is mounted there already.
    AlreadyMounted,
    /// The remains of a dead mount of another program are there.
    Stale,
    /// The kernel did not accept the mount, or the handshake failed.
    Refused,
    /// The mount call succeeded, but nothing is mounted, or it does not answer.
    NotLive,
    /// Files are open below the mount point.
    Busy,
    /// Another filesystem was mounted over this one.
    Covered,
    /// The connection to the kernel broke.
    Broken,
    /// Any other error of the system.
    Io,
}

impl MountErrorKind {
    const fn what(self) -> &'static str {
        match self {
            Self::NoDevice => "the kernel offers no /dev/fuse",
            Self::DeviceForbidden => "/dev/fuse may not be opened",
            Self::NoHelper => "mounting without root needs fusermount3, which is not installed",
            Self::NotAllowed => "mounting or unmounting is not allowed to this user here",
            Self::AllowOtherForbidden => "allow_other is not allowed to users other than root",
            Self::Missing => "the mount point does not exist",
            Self::NotDirectory => "the mount point is not a directory",
            Self::NotEmpty => "the mount point is not empty",
            Self::AlreadyMounted => "something is mounted there already",
            Self::Stale => "a dead mount is in the way (transport endpoint is not connected)",
            Self::Refused => "the kernel refused the mount",
            Self::NotLive => "the mount does not work",
            Self::Busy => "the mount is in use",
            Self::Covered => "another filesystem is mounted over this one",
            Self::Broken => "the connection to the kernel broke",
            Self::Io => "the system reports an error",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::NoDevice => {
                "load the module (modprobe fuse); in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN"
            }
            Self::DeviceForbidden => {
                "run as root, or let this user open it (chmod 666 /dev/fuse); in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN"
            }
            Self::NoHelper => "install it (apt install fuse3), or run as root",
            Self::NotAllowed => {
                "choose a mount point that belongs to this user, or run as root; in a container, start it with --cap-add SYS_ADMIN"
            }
            Self::AllowOtherForbidden => {
                "add the line user_allow_other to /etc/fuse.conf, or mount without allow_other"
            }
            Self::Missing => "create it (mkdir -p)",
            Self::NotDirectory | Self::NotEmpty => "choose an empty directory",
            Self::AlreadyMounted => {
                "unmount it first (fusermount3 -u), or choose another directory"
            }
            Self::Stale => "unmount it first (fusermount3 -uz)",
            Self::Refused | Self::NotLive | Self::Io => {
                "see the cause, and the kernel's log (dmesg)"
            }
            Self::Busy => "close the files (fuser -vm names their programs), or unmount lazily",
            Self::Covered => "unmount that one first",
            Self::Broken => "mount again",
        }
    }
}

/// A failed mount or unmount.
#[derive(Debug)]
pub struct MountError {
    kind: MountErrorKind,
    mountpoint: PathBuf,
    source: Option<io::Error>,
}

impl MountError {
    pub(super) fn new(kind: MountErrorKind, mountpoint: impl Into<PathBuf>) -> Self {
        Self {
            kind,
            mountpoint: mountpoint.into(),
            source: None,
        }
    }

    pub(super) fn with_source(mut self, source: impl Into<io::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The cause.
    #[must_use]
    pub const fn kind(&self) -> MountErrorKind {
        self.kind
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.mountpoint.display();
        write!(f, "{path}: {}; {}", self.kind.what(), self.kind.remedy())
    }
}

impl StdError for MountError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_what_and_what_to_do() {
        let error = MountError::new(MountErrorKind::NoHelper, "/mnt/x");
        assert_eq!(
            error.to_string(),
            "/mnt/x: mounting without root needs fusermount3, which is not installed; \
             install it (apt install fuse3), or run as root"
        );
    }
}
