//! The one place where an [`ErrorKind`] becomes an errno.
//!
//! Law: the match has no wildcard, so a new kind does not compile until somebody has chosen its
//! errno. `ENOSYS` is never among them: the kernel takes it as "this filesystem does not have the
//! operation at all" and never asks again (Linux `fs/fuse`: `fc->no_flush`, `no_getxattr`, …).

use cloudmount_vfs::{Error, ErrorKind};
use fuser::Errno;

/// What the caller of a system call sees for errors of that kind.
pub(crate) const fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::Exists => Errno::EEXIST,
        ErrorKind::NotDirectory => Errno::ENOTDIR,
        ErrorKind::IsDirectory => Errno::EISDIR,
        ErrorKind::NotEmpty => Errno::ENOTEMPTY,
        // Wrong credentials of ours look to the caller like a forbidden file: nothing the caller
        // can try again helps. The log tells the two apart.
        ErrorKind::PermissionDenied | ErrorKind::Unauthorized => Errno::EACCES,
        ErrorKind::NotPermitted => Errno::EPERM,
        ErrorKind::InvalidArgument => Errno::EINVAL,
        ErrorKind::NameTooLong => Errno::ENAMETOOLONG,
        ErrorKind::IllegalName => Errno::EILSEQ,
        ErrorKind::BadHandle => Errno::EBADF,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        ErrorKind::ReadOnly => Errno::EROFS,
        ErrorKind::NoSpace => Errno::ENOSPC,
        ErrorKind::FileTooLarge => Errno::EFBIG,
        ErrorKind::Stale => Errno::ESTALE,
        ErrorKind::Busy => Errno::EBUSY,
        ErrorKind::CrossDevice => Errno::EXDEV,
        ErrorKind::NoAttribute => Errno::NO_XATTR,
        ErrorKind::RangeTooSmall => Errno::ERANGE,
        ErrorKind::NoSuchRange => Errno::ENXIO,
        ErrorKind::TimedOut => Errno::ETIMEDOUT,
        // EHOSTUNREACH would be exact, but programs know EIO from files.
        ErrorKind::Unreachable | ErrorKind::Corrupt | ErrorKind::Io => Errno::EIO,
        ErrorKind::Interrupted => Errno::EINTR,
    }
}

/// The errno of `error`, with the rest of it in the log: the reply has room for a number only.
pub(crate) fn told(operation: &'static str, error: &Error) -> Errno {
    let errno = errno(error.kind());
    if is_trouble(error.kind()) {
        tracing::warn!(operation, errno = errno.code(), ?error, "request failed");
    } else {
        tracing::debug!(operation, errno = errno.code(), ?error, "request refused");
    }
    errno
}

/// Whether something is broken, as opposed to a question that has "no" as its proper answer.
const fn is_trouble(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TimedOut
            | ErrorKind::Unreachable
            | ErrorKind::Unauthorized
            | ErrorKind::Corrupt
            | ErrorKind::Io
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_errno_that_posix_names() {
        let expected = [
            (ErrorKind::NotFound, libc::ENOENT),
            (ErrorKind::Exists, libc::EEXIST),
            (ErrorKind::NotDirectory, libc::ENOTDIR),
            (ErrorKind::IsDirectory, libc::EISDIR),
            (ErrorKind::NotEmpty, libc::ENOTEMPTY),
            (ErrorKind::PermissionDenied, libc::EACCES),
            (ErrorKind::NotPermitted, libc::EPERM),
            (ErrorKind::InvalidArgument, libc::EINVAL),
            (ErrorKind::NameTooLong, libc::ENAMETOOLONG),
            (ErrorKind::IllegalName, libc::EILSEQ),
            (ErrorKind::BadHandle, libc::EBADF),
            (ErrorKind::Unsupported, libc::EOPNOTSUPP),
            (ErrorKind::ReadOnly, libc::EROFS),
            (ErrorKind::NoSpace, libc::ENOSPC),
            (ErrorKind::FileTooLarge, libc::EFBIG),
            (ErrorKind::Stale, libc::ESTALE),
            (ErrorKind::Busy, libc::EBUSY),
            (ErrorKind::CrossDevice, libc::EXDEV),
            (ErrorKind::NoAttribute, libc::ENODATA),
            (ErrorKind::RangeTooSmall, libc::ERANGE),
            (ErrorKind::NoSuchRange, libc::ENXIO),
            (ErrorKind::TimedOut, libc::ETIMEDOUT),
            (ErrorKind::Unreachable, libc::EIO),
            (ErrorKind::Unauthorized, libc::EACCES),
            (ErrorKind::Interrupted, libc::EINTR),
            (ErrorKind::Corrupt, libc::EIO),
            (ErrorKind::Io, libc::EIO),
        ];
        assert_eq!(expected.map(|(kind, _)| kind), ErrorKind::ALL);
        for (kind, code) in expected {
            assert_eq!(errno(kind).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn no_kind_switches_an_operation_off_for_ever() {
        for kind in ErrorKind::ALL {
            assert_ne!(errno(kind).code(), libc::ENOSYS, "{kind:?}");
        }
    }
}
