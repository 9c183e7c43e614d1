//! What a filesystem shows of a file, and how it is set.

use std::fmt;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, utimensat};

use crate::time::wait_until;

/// How long a change through another program may stay unseen: the time to live of ours is a second.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// The extended attribute that is set.
const XATTR: &str = "user.interop";

/// What the other side must show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// With the file type.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub(super) mtime: (i64, i64),
    pub(super) xattr: Option<String>,
    pub(super) target: Option<PathBuf>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = self.mtime;
        write!(
            f,
            "{:o} {}:{} {secs}.{nanos:09}",
            self.mode, self.uid, self.gid
        )?;
        write!(f, " xattr {:?} target {:?}", self.xattr, self.target)
    }
}

impl Shown {
    /// What is shown of `path`, which is not followed if it is a symlink.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let metadata = path.symlink_metadata()?;
        let is_link = metadata.is_symlink();
        let mut value = [0; 256];
        let xattr = match rustix::fs::lgetxattr(path, XATTR, &mut value) {
            Ok(length) if !is_link => Some(String::from_utf8_lossy(&value[..length]).into_owned()),
            _ => None,
        };
        Ok(Self {
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            xattr,
            target: is_link.then(|| path.read_link()).transpose()?,
        })
    }

    /// The same with other permissions.
    pub(super) fn with_permissions(&self, permissions: u32) -> Self {
        let mode = self.mode & !0o7777 | permissions;
        Self {
            mode,
            ..self.clone()
        }
    }

    /// Sets all of it but the type; of a symlink the times alone.
    ///
    /// # Errors
    /// One of the calls fails.
    pub(super) fn set(&self, path: &Path) -> Result<()> {
        if self.target.is_none() {
            lchown(path, Some(self.uid), Some(self.gid))?;
            let permissions = std::fs::Permissions::from_mode(self.mode & 0o7777);
            std::fs::set_permissions(path, permissions)?;
            if let Some(value) = &self.xattr {
                rustix::fs::setxattr(path, XATTR, value.as_bytes(), XattrFlags::empty())?;
            }
        }
        let (tv_sec, tv_nsec) = self.mtime;
        // s3fs takes a call that leaves one of the times alone for one that sets it to now.
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Waits until `path` shows it.
    ///
    /// # Errors
    /// It shows something else for too long; the error tells what.
    pub(super) fn expect_at(&self, path: &Path, who: &str) -> Result<()> {
        let mut last = None;
        let seen = wait_until(who, SEEN_WITHIN, || {
            last = Self::of(path).ok();
            Ok((last.as_ref() == Some(self)).then_some(()))
        });
        seen.with_context(|| {
            let path = path.display();
            format!("{who} should show of {path}\n  {self:?}\nand shows\n  {last:?}")
        })
    }
}
