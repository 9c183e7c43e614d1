//! What changed elsewhere: the kernel forgets it, and only then.
//!
//! TTLs are an hour here, so a fresh answer can come only from an invalidation.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use cloudmount_testkit::linux_version;
use cloudmount_vfs::{CachePolicy, Change, InodeId, Name};

use crate::mounted::{eventually, on, scenario};
use crate::probe::Readiness;

fn inode(path: &Path) -> InodeId {
    InodeId::new(fs::symlink_metadata(path).unwrap().ino()).unwrap()
}

fn first_byte(file: &File) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    byte[0]
}

#[test]
fn content() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"old").unwrap();
        let (file, ino) = (File::open(&path).unwrap(), inode(&path));
        assert_eq!(first_byte(&file), b'o');
        mounted.replace(ino, b"new content");
        assert_eq!(first_byte(&file), b'o', "still cached");
        mounted.vfs.changed(Change::Content(ino));
        eventually("new content", || first_byte(&file) == b'n');
        assert_eq!(fs::metadata(&path).unwrap().len(), 11);
    });
}

#[test]
fn attributes_alone_leave_the_pages() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let path = mounted.path("file");
        fs::write(&path, [b's'; 4096]).unwrap();
        let (file, ino) = (File::open(&path).unwrap(), inode(&path));
        let mtime = || fs::metadata(&path).unwrap().modified().unwrap();
        let before = mtime();
        mounted.replace(ino, &[b'S'; 4096]);
        assert_eq!(mtime(), before);
        mounted.vfs.changed(Change::Attributes(ino));
        eventually("new mtime", || mtime() != before);
        assert_eq!(first_byte(&file), b's');
        assert_eq!(mounted.vfs.count("read"), 0);
    });
}

#[test]
fn a_size_that_changed_drops_the_pages_by_itself() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"old").unwrap();
        let (file, ino) = (File::open(&path).unwrap(), inode(&path));
        mounted.replace(ino, b"longer");
        mounted.vfs.changed(Change::Attributes(ino));
        eventually("new size", || fs::metadata(&path).unwrap().len() == 6);
        assert_eq!(first_byte(&file), b'l');
    });
}

#[test]
fn targets_of_symlinks() {
    scenario(|mounted| {
        let path = mounted.path("link");
        symlink("target", &path).unwrap();
        fs::read_link(&path).unwrap();
        fs::read_link(&path).unwrap();
        assert_eq!(mounted.vfs.count("readlink"), 1, "still cached");
        mounted.vfs.changed(Change::Content(inode(&path)));
        eventually("the target is asked for again", || {
            fs::read_link(&path).unwrap();
            mounted.vfs.count("readlink") == 2
        });
    });
}

#[test]
fn names_that_came_and_went() {
    scenario(|mounted| {
        fs::write(mounted.path("before"), b"x").unwrap();
        mounted.rename("before", "after");
        assert!(mounted.path("before").exists(), "still cached");
        mounted.vfs.changed(Change::Entry {
            parent: InodeId::ROOT,
            name: Name::new("before").unwrap(),
        });
        eventually("the old name is gone", || !mounted.path("before").exists());
        assert!(mounted.path("after").exists());
    });
}

#[test]
fn a_removed_file_is_gone_at_once() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"x").unwrap();
        let (file, child) = (File::open(&path).unwrap(), inode(&path));
        mounted.rename("file", "elsewhere");
        mounted.vfs.changed(Change::Removed {
            parent: InodeId::ROOT,
            child,
            name: Name::new("file").unwrap(),
        });
        eventually("the name is gone", || !path.exists());
        assert_eq!(first_byte(&file), b'x');
    });
}

#[test]
fn everything() {
    scenario(|mounted| {
        let (open, other) = (mounted.path("open"), mounted.path("other"));
        fs::write(&open, b"old").unwrap();
        fs::write(&other, b"x").unwrap();
        let file = File::open(&open).unwrap();
        assert_eq!(first_byte(&file), b'o');
        mounted.replace(inode(&open), b"new");
        mounted.rename("other", "renamed");
        assert!(other.exists(), "still cached");
        mounted.vfs.changed(Change::Everything);
        eventually("new content of what is open", || first_byte(&file) == b'n');
        if epochs() {
            eventually("the old name is gone", || !other.exists());
        }
    });
}

/// Whether the kernel can forget all names at once: since Linux 6.16.
fn epochs() -> bool {
    let can = linux_version() >= (6, 16);
    if !can {
        println!("skipped: Linux before 6.16 has no epochs");
    }
    can
}

#[test]
fn invalidations_do_not_wait_for_requests_that_hold_their_locks() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let path = mounted.path("file");
        fs::write(&path, vec![b'o'; 8192]).unwrap();
        let (file, ino) = (File::open(&path).unwrap(), inode(&path));
        mounted.vfs.changed(Change::Content(ino));
        eventually("the pages are dropped", || {
            first_byte(&file);
            mounted.vfs.count("read") > 0
        });
        mounted.vfs.changed(Change::Content(ino));
        mounted.vfs.hold(Some("read"));
        std::thread::scope(|scope| {
            // Holds the page's lock until the read is answered.
            let reader = scope.spawn(|| {
                let mut found = first_byte(&file);
                for _ in 0..50 {
                    found = first_byte(&file);
                }
                found
            });
            for _ in 0..50 {
                mounted.vfs.changed(Change::Content(ino));
                mounted.vfs.changed(Change::Attributes(ino));
                assert!(fs::write(mounted.path("other"), b"x").is_ok());
            }
            mounted.vfs.hold(None);
            assert_eq!(reader.join().unwrap(), b'o');
        });
    });
}
