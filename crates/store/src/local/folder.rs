//! Folders as descriptors: every step goes from an open folder to a name in it, and never through a
//! symbolic link, so no key and no race leads out of the store's folder.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::{Error, ErrorKind, Result};

/// Permissions of new files before the umask.
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o666);

/// Permissions of new folders before the umask.
pub(super) const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

const OPEN_FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

// NONBLOCK: opening a pipe without a writer must not wait for one. It means nothing for files.
const OPEN_FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// The error of a failed system call; `what` says what was tried.
pub(super) fn failed(what: impl Into<String>, errno: Errno) -> Error {
    let kind = match errno {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Forbidden,
        Errno::NOSPC | Errno::DQUOT => ErrorKind::Quota,
        Errno::FBIG => ErrorKind::TooLarge,
        Errno::NAMETOOLONG | Errno::ILSEQ => ErrorKind::InvalidRequest,
        Errno::XDEV | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        // Out of descriptors or memory: others give theirs back.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => ErrorKind::Throttled,
        _ => ErrorKind::Io,
    };
    Error::new(kind, what).with_source(std::io::Error::from(errno))
}

/// As [`failed`], for calls of the standard library.
pub(super) fn failed_io(what: impl Into<String>, error: std::io::Error) -> Error {
    match Errno::from_io_error(&error) {
        Some(errno) => failed(what, errno),
        None => Error::new(ErrorKind::Io, what).with_source(error),
    }
}

/// Whether a failed step says that there is no folder, or no file, of that name.
pub(super) fn is_absent(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::ILSEQ
    )
}

/// Opens the folder `name` in `parent`; a link to a folder is none.
pub(super) fn open_folder(parent: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    openat(parent, name, OPEN_FOLDER, Mode::empty())
}

/// Opens the file `name` in `parent` for reading. It may turn out to be something else.
pub(super) fn open_file(parent: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    openat(parent, name, OPEN_FILE, Mode::empty())
}

/// Opens the folder that `names` lead to from `top`; `None` if there is none.
pub(super) fn walk(top: impl AsFd, names: &[String]) -> Result<Option<OwnedFd>> {
    let opened = match walk_at_once(top.as_fd(), names) {
        Some(opened) => opened,
        None => walk_by_name(top.as_fd(), names),
    };
    match opened {
        Ok(folder) => Ok(Some(folder)),
        Err(errno) if is_absent(errno) => Ok(None),
        Err(errno) => Err(failed(format!("open the folder {names:?}"), errno)),
    }
}

/// One system call for as many names as a path can hold, in which the kernel follows no link
/// (`openat2`, Linux 5.6). `None` where there is no such call, or a sandbox forbids it.
#[cfg(target_os = "linux")]
fn walk_at_once(top: BorrowedFd<'_>, names: &[String]) -> Option<rustix::io::Result<OwnedFd>> {
    use rustix::fs::{ResolveFlags, openat2};

    /// Below `PATH_MAX`, 4096 with its NUL, by more than the longest name.
    const PATH_BYTES: usize = 3800;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let open =
        |from: BorrowedFd<'_>, path: &str| openat2(from, path, OPEN_FOLDER, Mode::empty(), resolve);
    let mut path = String::new();
    let mut here: Option<OwnedFd> = None;
    let mut names = names.iter().peekable();
    loop {
        match names.next() {
            Some(name) => {
                path.push_str(name);
                path.push('/');
            }
            None if path.is_empty() && here.is_none() => path.push('.'),
            None => {}
        }
        if path.len() < PATH_BYTES && names.peek().is_some() {
            continue;
        }
        if !path.is_empty() {
            let from = here.as_ref().map_or(top, AsFd::as_fd);
            match open(from, &path) {
                Ok(next) => here = Some(next),
                Err(Errno::NOSYS | Errno::PERM) => return None,
                Err(errno) => return Some(Err(errno)),
            }
            path.clear();
        }
        if names.peek().is_none() {
            return here.map(Ok);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn walk_at_once(_: BorrowedFd<'_>, _: &[String]) -> Option<rustix::io::Result<OwnedFd>> {
    None
}

/// A system call for each name.
fn walk_by_name(top: BorrowedFd<'_>, names: &[String]) -> rustix::io::Result<OwnedFd> {
    let mut here = openat(top, ".", OPEN_FOLDER, Mode::empty())?;
    for name in names {
        here = open_folder(&here, name)?;
    }
    Ok(here)
}

/// What a name in a folder is, of the two things that matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// An ordinary file.
    File,
    /// A folder.
    Folder,
}

impl Kind {
    fn of(file_type: FileType) -> Option<Self> {
        match file_type {
            FileType::RegularFile => Some(Self::File),
            FileType::Directory => Some(Self::Folder),
            _ => None,
        }
    }
}

/// The ordinary files and folders in a folder, in no order. Other things (links, pipes, sockets,
/// devices) and names that are not UTF-8 are left out: no key can say them.
pub(super) fn entries(folder: &OwnedFd) -> Result<impl Iterator<Item = Result<(String, Kind)>>> {
    let read = |errno| failed("read a folder", errno);
    let dir = Dir::read_from(folder).map_err(read)?;
    Ok(dir.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(errno) => return Some(Err(read(errno))),
        };
        let name = entry.file_name().to_str().ok()?;
        if matches!(name, "." | "..") {
            return None;
        }
        let file_type = match entry.file_type() {
            // Some filesystems do not tell.
            FileType::Unknown => {
                let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        Some(Ok((name.to_owned(), Kind::of(file_type)?)))
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir(outside.path().join("d")).unwrap();
        std::fs::create_dir(inside.path().join("real")).unwrap();
        symlink(outside.path(), inside.path().join("out")).unwrap();
        symlink("real", inside.path().join("in")).unwrap();
        let top: OwnedFd = std::fs::File::open(inside.path()).unwrap().into();
        let check = |names: &[&str], there: bool| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(walk(&top, &names).unwrap().is_some(), there, "{names:?}");
            let by_name = walk_by_name(top.as_fd(), &names);
            assert_eq!(by_name.is_ok(), there, "{names:?}");
            if let Err(errno) = by_name {
                assert!(is_absent(errno), "{names:?}: {errno}");
            }
        };
        check(&[], true);
        check(&["real"], true);
        check(&["in"], false);
        check(&["out"], false);
        check(&["out", "d"], false);
        check(&["real", "none"], false);
        let mut names: Vec<String> = (entries(&top).unwrap())
            .map(|entry| entry.unwrap().0)
            .collect();
        names.sort();
        assert_eq!(names, ["real"]);
    }

    #[test]
    fn a_path_may_be_longer_than_the_kernel_takes() {
        let inside = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..60).map(|_| "x".repeat(250)).collect();
        let top: OwnedFd = std::fs::File::open(inside.path()).unwrap().into();
        let mut here = top.try_clone().unwrap();
        for name in &names {
            rustix::fs::mkdirat(&here, name, FOLDER_MODE).unwrap();
            here = open_folder(&here, name).unwrap();
        }
        let deepest = rustix::fs::fstat(&here).unwrap().st_ino;
        let walked = walk(&top, &names).unwrap().unwrap();
        assert_eq!(rustix::fs::fstat(walked).unwrap().st_ino, deepest);
        for depth in 0..names.len() {
            assert!(walk(&top, &names[..depth]).unwrap().is_some(), "{depth}");
        }
    }
}
