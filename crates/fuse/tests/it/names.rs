//! Names: lookups, listings, renames, links.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use cloudmount_vfs::{CachePolicy, ErrorKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use crate::mounted::{eventually, on, scenario, scenario_with_bare_entries};
use crate::probe::Readiness;

/// More than any one reply holds.
const MANY: usize = 5_000;

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn directories_come_and_go() {
    scenario(|mounted| {
        let dir = mounted.path("a/b/c");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("file"), b"x").unwrap();
        assert_eq!(errno(fs::remove_dir(&dir)), Some(libc::ENOTEMPTY));
        assert_eq!(errno(fs::create_dir(&dir)), Some(libc::EEXIST));
        assert_eq!(errno(fs::remove_file(&dir)), Some(libc::EISDIR));
        assert_eq!(errno(fs::remove_dir(dir.join("file"))), Some(libc::ENOTDIR));
        assert_eq!(errno(fs::metadata(dir.join("none"))), Some(libc::ENOENT));
        fs::remove_dir_all(mounted.path("a")).unwrap();
        assert_eq!(fs::read_dir(mounted.root()).unwrap().count(), 0);
    });
}

#[test]
fn dots_lead_where_they_should() {
    scenario(|mounted| {
        fs::create_dir_all(mounted.path("a/b")).unwrap();
        let ino = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(ino(&mounted.path("a/b/..")), ino(&mounted.path("a")));
        assert_eq!(ino(&mounted.path("a/b/../..")), 1);
        assert_eq!(ino(&mounted.path("a/./b/.")), ino(&mounted.path("a/b")));
        // Up and out of the mount, and back in.
        let name = mounted.root().file_name().unwrap();
        assert_eq!(ino(&mounted.path("..").join(name)), 1);
    });
}

#[test]
fn listings_are_complete_while_they_change() {
    scenario(|mounted| {
        for i in 0..MANY {
            fs::File::create(mounted.path(&format!("file-{i:04}"))).unwrap();
        }
        let names = || -> Vec<_> {
            fs::read_dir(mounted.root())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let found = names();
        assert_eq!(found.len(), MANY);
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), MANY);
        // Removing while listing, as `rm -r` does.
        for entry in fs::read_dir(mounted.root()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        assert_eq!(names(), Vec::<String>::new());
    });
}

#[test]
fn listings_bring_attributes_with_them() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        for i in 0..1_000 {
            fs::File::create(mounted.path(&format!("file-{i:04}"))).unwrap();
        }
        mounted.vfs.changed(cloudmount_vfs::Change::Everything);
        // What the kernel knows of the names is stale now, so lookups can come from the listing only.
        eventually("the kernel has a new epoch", || {
            mounted.vfs.reset();
            let _ = fs::metadata(mounted.path("file-0500"));
            mounted.vfs.count("lookup") == 1
        });
        mounted.vfs.reset();
        let mut inodes = BTreeSet::new();
        for entry in fs::read_dir(mounted.root()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().ino(), entry.ino());
            inodes.insert(entry.ino());
        }
        assert_eq!(inodes.len(), 1_000);
        let counts = mounted.vfs.counts();
        let asked = mounted.vfs.count("lookup") + mounted.vfs.count("getattr");
        assert!(asked < 20, "{counts:?}");
        assert!(mounted.vfs.count("readdirplus") > 1, "{counts:?}");
    });
}

/// Names come with their numbers and kinds; attributes when somebody looks, and then the right ones.
#[test]
fn what_a_listing_does_not_tell_is_looked_up() {
    scenario_with_bare_entries(|mounted| {
        for i in 0..300 {
            let path = mounted.path(&format!("file-{i:03}"));
            fs::write(&path, vec![b'x'; i]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::create_dir(mounted.path("folder")).unwrap();
        symlink("file-007", mounted.path("link")).unwrap();
        mounted.vfs.changed(cloudmount_vfs::Change::Everything);
        eventually("the kernel has a new epoch", || {
            mounted.vfs.reset();
            let _ = fs::metadata(mounted.path("file-050"));
            mounted.vfs.count("lookup") == 1
        });
        mounted.vfs.reset();
        let read = || fs::read_dir(mounted.root()).unwrap().map(Result::unwrap);
        let entries: Vec<_> = read().collect();
        assert_eq!(entries.len(), 302);
        for entry in &entries {
            let kind = entry.file_type().unwrap();
            let name = entry.file_name();
            assert_eq!(kind.is_dir(), name == "folder", "{name:?}");
            assert_eq!(kind.is_symlink(), name == "link", "{name:?}");
        }
        let asked = mounted.vfs.count("lookup") + mounted.vfs.count("getattr");
        // That of the root.
        assert!(asked <= 1, "{:?}", mounted.vfs.counts());
        for entry in entries {
            let shown = entry.metadata().unwrap();
            assert_eq!(shown.ino(), entry.ino());
            let name = entry.file_name().into_string().unwrap();
            if let Some(number) = name.strip_prefix("file-") {
                assert_eq!(shown.len(), number.parse::<u64>().unwrap());
                assert_eq!(shown.mode() & 0o777, 0o600, "{name}");
            }
        }
        for entry in read() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                fs::remove_dir(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        eventually("the kernel forgets all", || {
            mounted.vfs.inner.lookups() == 0
        });
    });
}

#[test]
fn a_listing_that_fails_midway_delivers_what_it_has() {
    scenario(|mounted| {
        fs::write(mounted.path("file"), b"x").unwrap();
        mounted.vfs.fail("readdirplus", ErrorKind::Unreachable);
        let mut entries = fs::read_dir(mounted.root()).unwrap();
        assert_eq!(errno(entries.next().unwrap()), Some(libc::EIO));
    });
}

#[test]
fn lookups_of_a_listing_are_given_back() {
    scenario(|mounted| {
        fs::write(mounted.path("file"), b"x").unwrap();
        for _ in 0..5 {
            assert_eq!(fs::read_dir(mounted.root()).unwrap().count(), 1);
        }
        assert!(mounted.vfs.inner.lookups() > 0);
        fs::remove_file(mounted.path("file")).unwrap();
        eventually("the kernel forgets the inode", || {
            mounted.vfs.inner.lookups() == 0
        });
    });
}

#[test]
fn renames() {
    scenario(|mounted| {
        let (from, to) = (mounted.path("from"), mounted.path("dir/to"));
        fs::create_dir(mounted.path("dir")).unwrap();
        fs::write(&from, b"new").unwrap();
        fs::write(&to, b"old").unwrap();
        let rename = |flags| rustix::fs::renameat_with(CWD, &from, CWD, &to, flags);
        assert_eq!(rename(RenameFlags::NOREPLACE), Err(Errno::EXIST));
        assert_eq!(rename(RenameFlags::EXCHANGE), Err(Errno::INVAL));
        rename(RenameFlags::empty()).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
        fs::rename(mounted.path("dir"), mounted.path("moved")).unwrap();
        assert_eq!(fs::read(mounted.path("moved/to")).unwrap(), b"new");
        let up = fs::metadata(mounted.path("moved/..")).unwrap();
        assert_eq!(up.ino(), 1);
    });
}

#[test]
fn symlinks() {
    scenario(|mounted| {
        fs::write(mounted.path("file"), b"x").unwrap();
        symlink("file", mounted.path("link")).unwrap();
        let target = fs::read_link(mounted.path("link")).unwrap();
        assert_eq!(target, Path::new("file"));
        assert_eq!(fs::read(mounted.path("link")).unwrap(), b"x");
        let stat = fs::symlink_metadata(mounted.path("link")).unwrap();
        assert!(stat.is_symlink());
        assert_eq!(stat.len(), 4);
        for _ in 0..5 {
            fs::read_link(mounted.path("link")).unwrap();
        }
        assert_eq!(mounted.vfs.count("readlink"), 1, "cached by the kernel");
    });
}

#[test]
fn what_has_no_form_in_a_bucket_is_refused() {
    scenario(|mounted| {
        fs::write(mounted.path("file"), b"x").unwrap();
        let link = fs::hard_link(mounted.path("file"), mounted.path("hard"));
        assert_eq!(errno(link), Some(libc::EPERM));
        let make = |name: &str, kind| {
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(CWD, mounted.path(name), kind, mode, 0)
        };
        assert_eq!(make("fifo", FileType::Fifo), Err(Errno::PERM));
        assert_eq!(make("socket", FileType::Socket), Err(Errno::PERM));
        make("regular", FileType::RegularFile).unwrap();
        assert!(mounted.path("regular").is_file());
        let long = mounted.path(&"x".repeat(256));
        assert_eq!(errno(fs::write(long, b"")), Some(libc::ENAMETOOLONG));
        let latin = mounted.root().join(OsStr::from_bytes(b"caf\xe9"));
        assert_eq!(errno(fs::write(latin, b"")), Some(libc::EILSEQ));
        let longest = mounted.path(&"é".repeat(127));
        fs::write(&longest, b"fits").unwrap();
        assert_eq!(fs::read(&longest).unwrap(), b"fits");
        let handle =
            rustix::fs::accessat(CWD, &longest, rustix::fs::Access::READ_OK, AtFlags::empty());
        handle.unwrap();
    });
}
