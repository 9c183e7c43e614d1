//! From the kernel's arguments to the contract's types.
//!
//! Law: what the contract cannot say is refused here, with the error that POSIX names for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use cloudmount_vfs::{
    Access, AccessMask, Context, DirHandle, Error, ErrorKind, FileHandle, InodeId, Name, NodeKind,
    OpenFlags, Permissions, RenameMode, Result, SeekWhence, SetAttr, SetTime, SyncScope, Timestamp,
    WriteMode, XattrMode,
};
use fuser::{AccessFlags, INodeNo, RenameFlags, Request, TimeOrNow};

pub(crate) fn context(request: &Request) -> Context {
    Context {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
    }
}

pub(crate) fn inode(ino: INodeNo) -> Result<InodeId> {
    InodeId::new(ino.0).ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "inode 0"))
}

pub(crate) fn file_handle(handle: fuser::FileHandle) -> Result<FileHandle> {
    FileHandle::new(handle.0).ok_or_else(|| Error::new(ErrorKind::BadHandle, "handle 0"))
}

pub(crate) fn dir_handle(handle: fuser::FileHandle) -> Result<DirHandle> {
    DirHandle::new(handle.0).ok_or_else(|| Error::new(ErrorKind::BadHandle, "handle 0"))
}

pub(crate) fn name(name: &OsStr) -> Result<Name> {
    Ok(Name::from_bytes(name.as_bytes())?)
}

/// One step of a path: `.` and `..` are no names.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Name(Name),
    Here,
    Parent,
}

pub(crate) fn step(name: &OsStr) -> Result<Step> {
    match name.as_bytes() {
        b"." => Ok(Step::Here),
        b".." => Ok(Step::Parent),
        bytes => Ok(Step::Name(Name::from_bytes(bytes)?)),
    }
}

/// The name of an extended attribute. Metadata of objects is text, so no other can be stored.
pub(crate) fn xattr_name(name: &OsStr) -> Result<String> {
    let text = name.to_str().ok_or(ErrorKind::Unsupported)?;
    Ok(text.to_owned())
}

pub(crate) fn xattr_mode(flags: i32) -> Result<XattrMode> {
    match flags {
        0 => Ok(XattrMode::Set),
        libc::XATTR_CREATE => Ok(XattrMode::Create),
        libc::XATTR_REPLACE => Ok(XattrMode::Replace),
        _ => Err(ErrorKind::InvalidArgument.into()),
    }
}

pub(crate) fn open_flags(flags: i32) -> Result<OpenFlags> {
    let access = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => Access::Read,
        libc::O_WRONLY => Access::Write,
        libc::O_RDWR => Access::ReadWrite,
        // Linux's "3": neither reading nor writing, for ioctls on devices.
        _ => return Err(ErrorKind::InvalidArgument.into()),
    };
    Ok(OpenFlags {
        access,
        write_mode: if is_append(flags) && access.writes() {
            WriteMode::Append
        } else {
            WriteMode::AtOffset
        },
        truncate: flags & libc::O_TRUNC != 0,
        exclusive: flags & libc::O_EXCL != 0,
    })
}

pub(crate) const fn is_append(flags: i32) -> bool {
    flags & libc::O_APPEND != 0
}

/// What `mknod` is to make. Only regular files have a form in an object store; a mode without a
/// type means a regular file (mknod(2)).
pub(crate) fn mknod_kind(mode: u32) -> Result<NodeKind> {
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Ok(NodeKind::File),
        _ => Err(ErrorKind::NotPermitted.into()),
    }
}

pub(crate) fn rename_mode(flags: RenameFlags) -> Result<RenameMode> {
    if flags.is_empty() {
        Ok(RenameMode::Replace)
    } else if flags == RenameFlags::RENAME_NOREPLACE {
        Ok(RenameMode::NoReplace)
    } else if flags == RenameFlags::RENAME_EXCHANGE {
        Ok(RenameMode::Exchange)
    } else {
        // RENAME_WHITEOUT makes a device node, and the other two exclude each other.
        Err(ErrorKind::InvalidArgument.into())
    }
}

pub(crate) fn seek_whence(whence: i32) -> Result<SeekWhence> {
    match whence {
        libc::SEEK_DATA => Ok(SeekWhence::Data),
        libc::SEEK_HOLE => Ok(SeekWhence::Hole),
        // The kernel answers the others itself.
        _ => Err(ErrorKind::InvalidArgument.into()),
    }
}

/// Only plain allocation (mode 0): glibc writes zeros itself where the others are refused.
pub(crate) fn fallocate_mode(mode: i32) -> Result<()> {
    if mode == 0 {
        Ok(())
    } else {
        Err(ErrorKind::Unsupported.into())
    }
}

pub(crate) const fn access_mask(mask: AccessFlags) -> AccessMask {
    AccessMask {
        read: mask.contains(AccessFlags::R_OK),
        write: mask.contains(AccessFlags::W_OK),
        execute: mask.contains(AccessFlags::X_OK),
    }
}

pub(crate) const fn sync_scope(data_only: bool) -> SyncScope {
    if data_only {
        SyncScope::Data
    } else {
        SyncScope::DataAndAttributes
    }
}

/// The fields of a `setattr` that the contract knows. A ctime is never set from outside: the
/// kernel sends one only with the writeback cache, which is off.
pub(crate) fn set_attr(
    mode: Option<u32>,
    owner: (Option<u32>, Option<u32>),
    size: Option<u64>,
    times: (Option<TimeOrNow>, Option<TimeOrNow>),
    handle: Option<fuser::FileHandle>,
) -> Result<SetAttr> {
    let time = |time: TimeOrNow| match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::At(timestamp(time)),
    };
    Ok(SetAttr {
        permissions: mode.map(Permissions::from_mode),
        uid: owner.0,
        gid: owner.1,
        size,
        atime: times.0.map(time),
        mtime: times.1.map(time),
        handle: handle.map(file_handle).transpose()?,
    })
}

/// `fuser` (0.18, `time.rs`) reads a time before 1970 as if its nanoseconds counted downwards; this
/// takes the two numbers that the kernel sent out of it again.
fn timestamp(time: SystemTime) -> Timestamp {
    let Err(before) = time.duration_since(UNIX_EPOCH) else {
        return time.into();
    };
    let sent = before.duration();
    let secs = i64::try_from(sent.as_secs()).map_or(i64::MIN, |secs| -secs);
    Timestamp::new(secs, sent.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::errno::errno;

    fn code<T: std::fmt::Debug>(result: Result<T>) -> i32 {
        errno(result.unwrap_err().kind()).code()
    }

    #[test]
    fn names_that_no_key_can_hold_are_refused() {
        let long = "x".repeat(256);
        for (bytes, expected) in [
            (long.as_bytes(), libc::ENAMETOOLONG),
            (b"caf\xe9", libc::EILSEQ),
            (b"", libc::EINVAL),
        ] {
            assert_eq!(code(name(OsStr::from_bytes(bytes))), expected);
            assert_eq!(code(step(OsStr::from_bytes(bytes))), expected);
        }
        assert_eq!(name(OsStr::new("é")).unwrap().as_str(), "é");
    }

    #[test]
    fn dots_are_steps() {
        assert_eq!(step(OsStr::new(".")).unwrap(), Step::Here);
        assert_eq!(step(OsStr::new("..")).unwrap(), Step::Parent);
        let name = Name::new("...").unwrap();
        assert_eq!(step(OsStr::new("...")).unwrap(), Step::Name(name));
        assert_eq!(code(super::name(OsStr::new(".."))), libc::EINVAL);
    }

    #[test]
    fn open_flags_of_every_access() {
        assert_eq!(open_flags(libc::O_RDONLY).unwrap(), OpenFlags::READ);
        assert_eq!(open_flags(libc::O_WRONLY).unwrap(), OpenFlags::WRITE);
        assert_eq!(open_flags(libc::O_RDWR).unwrap(), OpenFlags::READ_WRITE);
        assert_eq!(code(open_flags(libc::O_ACCMODE)), libc::EINVAL);
        let all = open_flags(libc::O_WRONLY | libc::O_APPEND | libc::O_TRUNC | libc::O_EXCL);
        assert_eq!(
            all.unwrap(),
            OpenFlags {
                access: Access::Write,
                write_mode: WriteMode::Append,
                truncate: true,
                exclusive: true,
            }
        );
        let reader = open_flags(libc::O_RDONLY | libc::O_APPEND).unwrap();
        assert_eq!(reader.write_mode, WriteMode::AtOffset);
    }

    #[test]
    fn only_regular_files_are_made() {
        for mode in [0o644, libc::S_IFREG | 0o600] {
            assert_eq!(mknod_kind(mode).unwrap(), NodeKind::File);
        }
        for mode in [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFBLK] {
            assert_eq!(code(mknod_kind(mode | 0o600)), libc::EPERM);
        }
    }

    #[test]
    fn renames() {
        let both = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE;
        for (flags, expected) in [
            (RenameFlags::empty(), Some(RenameMode::Replace)),
            (RenameFlags::RENAME_NOREPLACE, Some(RenameMode::NoReplace)),
            (RenameFlags::RENAME_EXCHANGE, Some(RenameMode::Exchange)),
            (RenameFlags::RENAME_WHITEOUT, None),
            (both, None),
        ] {
            assert_eq!(rename_mode(flags).ok(), expected, "{flags:?}");
        }
    }

    #[test]
    fn small_numbers() {
        assert_eq!(code(inode(INodeNo(0))), libc::EINVAL);
        assert_eq!(code(file_handle(fuser::FileHandle(0))), libc::EBADF);
        assert_eq!(code(dir_handle(fuser::FileHandle(0))), libc::EBADF);
        assert_eq!(code(fallocate_mode(1)), libc::EOPNOTSUPP);
        assert!(fallocate_mode(0).is_ok());
        assert_eq!(seek_whence(libc::SEEK_HOLE).unwrap(), SeekWhence::Hole);
        assert_eq!(seek_whence(libc::SEEK_DATA).unwrap(), SeekWhence::Data);
        assert_eq!(code(seek_whence(libc::SEEK_SET)), libc::EINVAL);
        assert_eq!(xattr_mode(libc::XATTR_REPLACE).unwrap(), XattrMode::Replace);
        assert_eq!(code(xattr_mode(7)), libc::EINVAL);
        assert_eq!(
            code(xattr_name(OsStr::from_bytes(b"user.\xff"))),
            libc::EOPNOTSUPP
        );
    }

    #[test]
    fn times_before_1970_and_now() {
        // What `fuser` makes of -1 s and 999,999,999 ns.
        let before = UNIX_EPOCH - Duration::new(1, 999_999_999);
        let set = set_attr(
            Some(libc::S_IFREG | 0o4755),
            (Some(7), None),
            Some(9),
            (Some(TimeOrNow::Now), Some(TimeOrNow::SpecificTime(before))),
            Some(fuser::FileHandle(5)),
        );
        assert_eq!(
            set.unwrap(),
            SetAttr {
                permissions: Some(Permissions::from_mode(0o4755)),
                uid: Some(7),
                gid: None,
                size: Some(9),
                atime: Some(SetTime::Now),
                mtime: Some(SetTime::At(Timestamp::new(-1, 999_999_999))),
                handle: FileHandle::new(5),
            }
        );
    }
}
