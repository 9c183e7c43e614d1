//! Whole replicas that others read: what is given away, and that it stays what it is.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

use cloudmount_cache::ObjectRef;
use cloudmount_cache::disk::{LOCAL_BYTES_MIN, check_folder, clear_folder};
use cloudmount_vfs::LocalFile;
use rustix::fs::{FlockOperation, flock};

use crate::disk::{Bed, disk_bytes, files, version};
use crate::source::{MIB, content};

const SIZE: u64 = 3 * MIB - 5;

/// All that is in it.
fn bytes(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The same file, opened by itself, as the kernel opens it for who reads and maps it.
fn opened(local: &LocalFile) -> File {
    File::open(format!("/proc/self/fd/{}", local.as_fd().as_raw_fd())).unwrap()
}

/// The object's file, which must be given, and right.
async fn given(bed: &Bed, object: &ObjectRef) -> LocalFile {
    let local = bed.disk.local_file(object).await.expect("is not given");
    assert!(bytes(&opened(&local)) == content(object, 0..object.size));
    local
}

#[tokio::test]
async fn what_is_whole_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, SIZE);
    assert!(
        bed.disk.local_file(&object).await.is_none(),
        "nothing of it"
    );
    bed.right(&object, 0..SIZE - MIB).await;
    assert!(bed.disk.local_file(&object).await.is_none(), "a part of it");
    bed.right(&object, 0..SIZE).await;
    let first = given(&bed, &object).await;
    let second = given(&bed, &object).await;
    drop(first);
    assert!(bytes(&opened(&second)) == content(&object, 0..SIZE));
    let bed = bed.restart().await;
    given(&bed, &object).await;
    assert!(bed.disk.local_file(&version(2, SIZE)).await.is_none());
    let small = version(3, LOCAL_BYTES_MIN - 1);
    bed.right(&small, 0..small.size).await;
    assert!(bed.disk.local_file(&small).await.is_none(), "too small");
}

#[tokio::test]
async fn nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, SIZE);
    bed.right(&object, 0..SIZE).await;
    // Somebody else is at work in the folder.
    let ledger = File::open(dir.path().join("ledger")).unwrap();
    flock(&ledger, FlockOperation::LockExclusive).unwrap();
    assert!(bed.disk.local_file(&object).await.is_none());
    drop(ledger);
    // Who has no time starts what is done for the next one.
    bed.hands.is_late.store(true, Ordering::Relaxed);
    while bed.disk.local_file(&object).await.is_none() {
        tokio::task::yield_now().await;
    }
    bed.hands.is_late.store(false, Ordering::Relaxed);
    given(&bed, &object).await;
}

#[tokio::test]
async fn what_is_damaged_is_not_given_until_it_was_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, SIZE);
    bed.right(&object, 0..SIZE).await;
    for turn in 0..2 {
        if turn == 1 {
            // It was given once, and is known to be right.
            drop(given(&bed, &object).await);
        }
        let data = &files(dir.path())[0];
        assert_eq!(data.extension().unwrap(), "data");
        let file = File::options().write(true).open(data).unwrap();
        file.write_all_at(b"?", 1_000_000).unwrap();
        assert!(bed.disk.local_file(&object).await.is_none(), "turn {turn}");
        bed.disk.settle().await;
        assert_eq!(bed.disk.stats().damaged, turn + 1);
        assert_ne!(bed.right(&object, 0..SIZE).await, []);
        given(&bed, &object).await;
    }
    let data = &files(dir.path())[0];
    for wrong in [SIZE + 1, SIZE - 1] {
        let file = File::options().write(true).open(data).unwrap();
        file.set_len(wrong).unwrap();
        assert!(
            bed.disk.local_file(&object).await.is_none(),
            "{wrong} bytes"
        );
    }
}

#[tokio::test]
async fn what_is_held_outlives_all_that_makes_room() {
    const LIMIT: u64 = 8 * MIB;
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), LIMIT);
    let object = version(1, SIZE);
    bed.right(&object, 0..SIZE).await;
    let local = given(&bed, &object).await;
    let read_others = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            bed.hands.pass(100);
            let other = version(number, 2 * MIB);
            bed.right(&other, 0..other.size).await;
            assert!(disk_bytes(dir.path()) <= LIMIT);
        }
    };
    read_others(2..12).await;
    assert!(bed.disk.stats().evicted_bytes > 10 * MIB);
    assert!(bytes(&opened(&local)) == content(&object, 0..SIZE));
    assert_eq!(bed.right(&object, 0..SIZE).await, [], "it is there still");
    // Who has it mapped has let go of the handle.
    let mapped = opened(&local);
    drop(local);
    read_others(12..22).await;
    assert!(bytes(&mapped) == content(&object, 0..SIZE));
    assert_ne!(bed.right(&object, 0..SIZE).await, [], "it went");
}

#[tokio::test]
async fn what_a_person_removes_is_left_to_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, SIZE);
    bed.right(&object, 0..SIZE).await;
    let local = given(&bed, &object).await;
    // A check finds what is wrong with its map, and has a block fetched again.
    let map = &files(dir.path())[1];
    assert_eq!(map.extension().unwrap(), "map");
    let len = map.metadata().unwrap().len();
    let file = File::options().write(true).open(map).unwrap();
    file.write_all_at(&[7], len - 100).unwrap();
    assert_eq!(check_folder(dir.path()).unwrap().damaged, 1);
    assert!(bytes(&opened(&local)) == content(&object, 0..SIZE));
    assert_ne!(bed.right(&object, 0..SIZE).await, []);
    let freed = clear_folder(dir.path()).unwrap();
    assert!(freed >= SIZE, "{freed}");
    assert_eq!(files(dir.path()), [] as [std::path::PathBuf; 0]);
    assert!(bytes(&opened(&local)) == content(&object, 0..SIZE));
    assert!(bed.disk.local_file(&object).await.is_none());
    assert_ne!(bed.right(&object, 0..SIZE).await, []);
    given(&bed, &object).await;
}
