//! Files of this machine that the kernel reads itself.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Weak};
use std::thread;

use cloudmount_fuse::MountOptions;
use cloudmount_testkit::linux_version;
use cloudmount_vfs::{CachePolicy, LocalFile};

use crate::mapping::Mapping;
use crate::mounted::{Mounted, eventually, with};
use crate::probe::Readiness;

const BYTES: usize = 300_000;

/// What the filesystem answers with, and what the file of this machine holds: different, to tell them apart.
const OURS: u8 = b'f';
const LOCAL: u8 = b'l';

/// A file of this machine, and whether anybody has it still.
fn local() -> (LocalFile, Weak<File>) {
    struct Shared(Arc<File>);
    impl AsFd for Shared {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&[LOCAL; BYTES], 0).unwrap();
    let file = Arc::new(file);
    let weak = Arc::downgrade(&file);
    (LocalFile::new(Shared(file)), weak)
}

/// Whether the kernel can do it, for this user.
fn can_pass_through() -> bool {
    let can = linux_version() >= (6, 9) && rustix::process::geteuid().is_root();
    if !can {
        println!("skipped: passthrough needs Linux 6.9 and root");
    }
    can
}

/// On a mount with it, with a file `name` of [`OURS`].
fn scenario(scenario: impl Fn(&Mounted)) {
    let mut options = MountOptions::new("test://bucket");
    options.passthrough = true;
    for readiness in [Readiness::Immediate, Readiness::Later] {
        for cache in [CachePolicy::Keep, CachePolicy::Refresh] {
            with(readiness, cache, &options, |mounted| {
                fs::write(mounted.path("name"), [OURS; BYTES]).unwrap();
                scenario(mounted);
            });
        }
    }
}

/// All of an open file, which must be of one kind.
fn read(mut file: &File) -> u8 {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), BYTES);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mixture");
    bytes[0]
}

/// Opens the file until it is read as wanted: releases of others may be on their way.
fn opened_as(mounted: &Mounted, wanted: u8) -> File {
    let mut found = None;
    eventually("read as wanted", || {
        let file = File::open(mounted.path("name")).unwrap();
        found = (read(&file) == wanted).then_some(file);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn the_kernel_reads_and_maps_it_itself() {
    if !can_pass_through() {
        return;
    }
    scenario(|mounted| {
        let (file, held) = local();
        mounted.vfs.give(Some(file));
        let first = opened_as(mounted, LOCAL);
        mounted.vfs.reset();
        let mapping = Mapping::to_read(&first, BYTES);
        assert!(mapping.iter().all(|byte| *byte == LOCAL));
        // All that come while it is open are read from the same, whatever there is for them.
        for of_it in [None, Some(local().0)] {
            mounted.vfs.give(of_it);
            let other = File::open(mounted.path("name")).unwrap();
            assert_eq!(read(&other), LOCAL);
        }
        assert_eq!(mounted.vfs.count("read"), 0);
        assert_eq!(first.metadata().unwrap().len(), BYTES as u64);
        drop(first);
        // A mapping outlives the handle, and needs no promise any more.
        mounted.vfs.give(None);
        drop(opened_as(mounted, OURS));
        assert_eq!(held.strong_count(), 0, "the file is held for ever");
        assert!(mapping.iter().all(|byte| *byte == LOCAL));
    });
}

#[test]
fn who_came_before_is_not_disturbed() {
    if !can_pass_through() {
        return;
    }
    scenario(|mounted| {
        let before = opened_as(mounted, OURS);
        let mapping = Mapping::to_read(&before, BYTES);
        mounted.vfs.give(Some(local().0));
        // While one is read through the filesystem, all are; a mapping counts as one.
        let beside = File::open(mounted.path("name")).unwrap();
        assert_eq!(read(&beside), OURS);
        drop((before, beside));
        let after = File::open(mounted.path("name")).unwrap();
        assert_eq!(read(&after), OURS);
        assert!(mapping.iter().all(|byte| *byte == OURS));
        drop((after, mapping));
        opened_as(mounted, LOCAL);
    });
}

const READERS: usize = 6;
const ROUNDS: usize = 20;

#[test]
fn many_who_come_and_go_never_meet_an_error() {
    if !can_pass_through() {
        return;
    }
    scenario(|mounted| {
        let kinds = [AtomicUsize::new(0), AtomicUsize::new(0)];
        // In each round, all have closed what they had; then it is as it happens who comes first.
        let round = Barrier::new(READERS);
        thread::scope(|scope| {
            for reader in 0..READERS {
                let (kinds, round) = (&kinds, &round);
                scope.spawn(move || {
                    for turn in 0..ROUNDS {
                        round.wait();
                        for time in 0..4 {
                            let given = (turn + (reader + time) / READERS).is_multiple_of(2);
                            mounted.vfs.give(given.then(|| local().0));
                            let file = File::open(mounted.path("name")).unwrap();
                            let kind = usize::from(read(&file) == LOCAL);
                            kinds[kind].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        println!("{kinds:?}");
        assert!(kinds.iter().all(|count| count.load(Ordering::Relaxed) > 0));
    });
}

#[test]
fn without_it_everything_is_read_through_the_filesystem() {
    let options = MountOptions::new("test://bucket");
    with(
        Readiness::Immediate,
        CachePolicy::Keep,
        &options,
        |mounted| {
            fs::write(mounted.path("name"), [OURS; BYTES]).unwrap();
            mounted.vfs.give(Some(local().0));
            for _ in 0..10 {
                assert_eq!(read(&File::open(mounted.path("name")).unwrap()), OURS);
            }
        },
    );
}
