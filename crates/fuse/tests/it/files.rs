//! Bytes: reading, writing, sizes, handles.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use cloudmount_vfs::{CachePolicy, ErrorKind};
use rustix::fs::{FallocateFlags, FlockOperation, XattrFlags};
use rustix::io::Errno;

use crate::mounted::{eventually, on, scenario, scenario_for_all_users};
use crate::probe::Readiness;

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|i| ((i * 7 + i / 251) % 256).to_le_bytes()[0])
        .collect()
}

#[test]
fn what_is_written_is_read() {
    scenario(|mounted| {
        let path = mounted.path("file");
        let bytes = pattern(3 * 1024 * 1024 + 17);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.write_all_at(b"middle", 1_000_000).unwrap();
        let mut found = [0; 8];
        file.read_exact_at(&mut found, 999_999).unwrap();
        assert_eq!(&found[1..7], b"middle");
        assert_eq!((found[0], found[7]), (bytes[999_999], bytes[1_000_006]));
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert_eq!(mounted.vfs.count("fsync"), 2);
    });
}

#[test]
fn requests_are_as_large_as_negotiated() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let path = mounted.path("file");
        fs::write(&path, pattern(4 << 20)).unwrap();
        assert_eq!(mounted.vfs.count("write"), 4);
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .unwrap();
        let mut buffer = vec![0; 4 << 20];
        direct.read_exact_at(&mut buffer, 0).unwrap();
        // One more where the buffer does not begin on a page.
        assert!((4..=5).contains(&mounted.vfs.count("read")));
        assert_eq!(buffer, pattern(4 << 20));
    });
}

#[test]
fn written_pages_stay_cached() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let path = mounted.path("file");
        let bytes = pattern(256 << 10);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 256 << 10);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(mounted.vfs.count("read"), 0, "{:?}", mounted.vfs.counts());
    });
}

#[test]
fn cache_policies_reach_the_kernel() {
    for (policy, expected) in [
        (CachePolicy::Keep, 0),
        (CachePolicy::Refresh, 1),
        (CachePolicy::Direct, 2),
    ] {
        on(Readiness::Immediate, policy, |mounted| {
            let path = mounted.path("file");
            // A whole page: the kernel cannot keep less without reading the rest.
            fs::write(&path, pattern(4096)).unwrap();
            let file = File::open(&path).unwrap();
            let mut byte = [0];
            for _ in 0..2 {
                file.read_exact_at(&mut byte, 0).unwrap();
            }
            assert_eq!(mounted.vfs.count("read"), expected, "{policy:?}");
        });
    }
}

#[test]
fn sizes() {
    scenario(|mounted| {
        let path = mounted.path("file");
        let file = File::create(&path).unwrap();
        file.set_len(10_000).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![0; 10_000]);
        fs::write(&path, b"0123456789").unwrap();
        file.set_len(4).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123");
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 100).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100);
        let keep = rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 200);
        assert_eq!(keep, Err(Errno::OPNOTSUPP));
        let stat = fs::metadata(&path).unwrap();
        assert_eq!((stat.blocks(), stat.blksize()), (1, 128 << 10));
    });
}

#[test]
fn truncation_comes_with_the_open() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"old").unwrap();
        mounted.vfs.reset();
        drop(OpenOptions::new().write(true).truncate(true).open(&path));
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert_eq!(mounted.vfs.count("setattr"), 0);
    });
}

#[test]
fn appends_go_to_the_end() {
    scenario(|mounted| {
        let path = mounted.path("file");
        let open = || OpenOptions::new().append(true).create(true).open(&path);
        let (mut first, mut second) = (open().unwrap(), open().unwrap());
        for _ in 0..3 {
            first.write_all(b"a").unwrap();
            second.write_all(b"b").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"ababab");
    });
}

#[test]
fn a_removed_file_lives_while_it_is_open() {
    scenario(|mounted| {
        let path = mounted.path("file");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.write_all(b"still here").unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!path.exists());
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        drop(file);
        // Every lookup that was counted is given back.
        eventually("the kernel forgets the inode", || {
            mounted.vfs.inner.lookups() == 0 && mounted.vfs.inner.inodes() == 1
        });
    });
}

#[test]
fn attributes() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
        let times = fs::FileTimes::new().set_modified(before);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_times(times).unwrap();
        let stat = fs::metadata(&path).unwrap();
        assert_eq!(stat.mode(), libc::S_IFREG | 0o640);
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (-1, 999_999_999));
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
            let stat = fs::metadata(&path).unwrap();
            assert_eq!((stat.uid(), stat.gid()), (12, 34));
        }
        let room = rustix::fs::statvfs(&path).unwrap();
        assert_eq!((room.f_blocks, room.f_bfree), (1 << 38, 1 << 38));
        assert_eq!((room.f_files, room.f_ffree), (1 << 32, 1 << 32));
        assert_eq!((room.f_frsize, room.f_namemax), (4096, 255));
    });
}

/// Runs a shell line as a user without any capability.
fn as_nobody(line: &str, path: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(path);
    assert!(shell.uid(65_534).gid(65_534).status().unwrap().success());
}

#[test]
fn set_uid_bits_go_when_others_write() {
    if !rustix::process::getuid().is_root() {
        println!("skipped: not root");
        return;
    }
    scenario_for_all_users(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"x").unwrap();
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        for line in ["echo x >> \"$1\"", ": > \"$1\"", "truncate -s 3 \"$1\""] {
            set(0o6777);
            as_nobody(line, &path);
            assert_eq!(mode(), 0o777, "{line}");
        }
        set(0o6777);
        fs::write(&path, b"root may keep them").unwrap();
        assert_eq!(mode(), 0o6777);
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert_eq!(mode(), 0o777);
    });
}

#[test]
fn a_small_write_costs_one_request() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let mut file = File::create(mounted.path("file")).unwrap();
        for _ in 0..100 {
            file.write_all(&pattern(4096)).unwrap();
        }
        let counts = mounted.vfs.counts();
        let other = ["lookup", "create"].map(|name| mounted.vfs.count(name));
        assert_eq!((mounted.vfs.count("write"), other), (100, [1, 1]));
        let all: usize = counts.values().sum();
        assert!(all <= 105, "{counts:?}");
    });
}

#[test]
fn extended_attributes() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"x").unwrap();
        let set = |name: &str, value: &[u8], flags| rustix::fs::setxattr(&path, name, value, flags);
        set("user.one", b"value", XattrFlags::CREATE).unwrap();
        set("user.two", b"", XattrFlags::empty()).unwrap();
        assert_eq!(set("user.one", b"x", XattrFlags::CREATE), Err(Errno::EXIST));
        let absent = set("user.three", b"x", XattrFlags::REPLACE);
        assert_eq!(absent, Err(Errno::NODATA));
        let foreign = set("trusted.x", b"x", XattrFlags::empty());
        assert_eq!(foreign, Err(Errno::OPNOTSUPP));
        let mut room = [0_u8; 64];
        let get = |name: &str, room: &mut [u8]| rustix::fs::getxattr(&path, name, room);
        assert_eq!(rustix::fs::getxattr_query(&path, "user.one"), Ok(5));
        assert_eq!(get("user.one", &mut room[..4]), Err(Errno::RANGE));
        assert_eq!(get("user.one", &mut room), Ok(5));
        assert_eq!(&room[..5], b"value");
        assert_eq!(get("user.two", &mut room), Ok(0));
        assert_eq!(get("user.none", &mut room), Err(Errno::NODATA));
        let mut list = [0_u8; 64];
        assert_eq!(rustix::fs::listxattr_query(&path), Ok(18));
        assert_eq!(rustix::fs::listxattr(&path, &mut list), Ok(18));
        assert_eq!(&list[..18], b"user.one\0user.two\0");
        rustix::fs::removexattr(&path, "user.one").unwrap();
        assert_eq!(rustix::fs::listxattr(&path, &mut list), Ok(9));
    });
}

#[test]
fn holes_and_copies() {
    scenario(|mounted| {
        let path = mounted.path("from");
        fs::write(&path, b"0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let seek = |from| rustix::fs::seek(&file, from);
        assert_eq!(seek(rustix::fs::SeekFrom::Data(3)), Ok(3));
        assert_eq!(seek(rustix::fs::SeekFrom::Hole(3)), Ok(10));
        assert_eq!(seek(rustix::fs::SeekFrom::Data(10)), Err(Errno::NXIO));
        let copy = |to: &str| {
            assert_eq!(fs::copy(&path, mounted.path(to)).unwrap(), 10);
            assert_eq!(fs::read(mounted.path(to)).unwrap(), b"0123456789");
        };
        copy("by the filesystem");
        // The contract's default is "unsupported", which must not be the program's problem.
        mounted.vfs.fail("copy_file_range", ErrorKind::Unsupported);
        copy("by the kernel");
        assert!(mounted.vfs.count("copy_file_range") >= 2);
    });
}

#[test]
fn locks_are_the_kernels() {
    scenario(|mounted| {
        let path = mounted.path("file");
        let (first, second) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        let lock = FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&first, lock).unwrap();
        assert_eq!(rustix::fs::flock(&second, lock), Err(Errno::AGAIN));
        rustix::fs::flock(&first, FlockOperation::Unlock).unwrap();
        rustix::fs::flock(&second, lock).unwrap();
        rustix::fs::fcntl_lock(&first, lock).unwrap();
    });
}

#[test]
fn errors_reach_the_caller() {
    scenario(|mounted| {
        let path = mounted.path("file");
        let mut file = File::create(&path).unwrap();
        mounted.vfs.fail("write", ErrorKind::NoSpace);
        let error = file.write_all(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        mounted.vfs.fail("fsync", ErrorKind::Unreachable);
        let error = file.sync_all().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        mounted.vfs.fail("flush", ErrorKind::TimedOut);
        // `drop` would swallow it; dup and close is what the shell does.
        let closed = nix_close(file);
        assert_eq!(closed, Some(libc::ETIMEDOUT));
    });
}

/// The errno of close(2), if any.
fn nix_close(file: File) -> Option<i32> {
    use std::os::fd::IntoRawFd;
    let fd = file.into_raw_fd();
    #[expect(unsafe_code, reason = "no safe function tells the result of close(2)")]
    // SAFETY: the descriptor was just taken out of its owner.
    let closed = unsafe { libc::close(fd) };
    (closed != 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap())
}
