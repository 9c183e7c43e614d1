//! The tier on disk as its users see it: what is fetched once, what survives, and what goes.

use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cloudmount_cache::disk::{
    DiskCache, DiskSettings, OFF_FOR, check_folder, clear_folder, folder_info,
};
use cloudmount_cache::{BlockSource, ObjectRef};
use cloudmount_vfs::{BoxFuture, Clock, ErrorKind, Instant, Result, Timestamp};
use futures::StreamExt as _;
use tokio::runtime::{Builder, Handle};

use crate::source::{FakeSource, Fault, KIB, MIB, content, span};

/// Small ones, so that a file of some hundred KiB has many.
pub(crate) const SMALL: u64 = 16 * KIB;

/// Time that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    seconds: AtomicU64,
    /// Whether whoever sleeps has slept enough already.
    pub(crate) is_late: AtomicBool,
}

impl Hands {
    pub(crate) fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn wall(&self) -> Timestamp {
        let secs = 1_000_000 + self.seconds.load(Ordering::Relaxed);
        Timestamp::new(i64::try_from(secs).unwrap(), 0)
    }

    fn now(&self) -> Instant {
        Instant::from_start(Duration::from_secs(self.seconds.load(Ordering::Relaxed)))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        if self.is_late.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(std::future::pending())
    }
}

/// A folder, and who uses it.
pub(crate) struct Bed {
    pub(crate) folder: PathBuf,
    pub(crate) limit: u64,
    pub(crate) hands: Arc<Hands>,
    pub(crate) below: Arc<FakeSource>,
    pub(crate) disk: DiskCache,
    pub(crate) source: Arc<dyn BlockSource>,
}

pub(crate) fn settings(folder: &Path, limit: u64) -> DiskSettings {
    DiskSettings {
        folder: folder.to_owned(),
        bucket: "s3://bucket".into(),
        bucket_folder: "bucket".into(),
        limit_bytes: limit,
        block_bytes: SMALL,
        queue_bytes: 64 * MIB,
    }
}

impl Bed {
    pub(crate) fn new(folder: &Path, limit: u64) -> Self {
        let hands = Arc::new(Hands::default());
        let below = FakeSource::new(40_000).faults([]);
        let clock = Arc::clone(&hands) as Arc<dyn Clock>;
        let disk = DiskCache::new(settings(folder, limit), clock, Handle::current());
        Self {
            folder: folder.to_owned(),
            limit,
            source: disk.over(Arc::clone(&below) as _),
            hands,
            below,
            disk,
        }
    }

    /// The same folder, in a process that was started again.
    pub(crate) async fn restart(self) -> Self {
        self.disk.settle().await;
        let seconds = self.hands.seconds.load(Ordering::Relaxed);
        let new = Self::new(&self.folder, self.limit);
        new.hands.pass(seconds);
        new
    }

    pub(crate) async fn read(&self, object: &ObjectRef, range: Range<u64>) -> Result<Vec<u8>> {
        let mut stream = self.source.fetch(object, range).await?;
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// Reads a range, which must be right, and gives what was asked for below.
    pub(crate) async fn right(&self, object: &ObjectRef, range: Range<u64>) -> Vec<Range<u64>> {
        let before = self.below.log().len();
        let read = self.read(object, range.clone()).await.unwrap();
        assert!(
            read == content(object, range.clone()),
            "wrong bytes in {range:?}"
        );
        self.disk.settle().await;
        self.below.log().split_off(before)
    }
}

/// What the files below `folder` take of the disk.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    files(folder)
        .iter()
        .map(|path| path.metadata().unwrap().blocks() * 512)
        .sum()
}

/// The files of replicas below `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for bucket in std::fs::read_dir(folder).into_iter().flatten() {
        let bucket = bucket.unwrap().path();
        if bucket.is_dir() {
            found.extend(
                std::fs::read_dir(bucket)
                    .unwrap()
                    .map(|file| file.unwrap().path()),
            );
        }
    }
    found.sort();
    found
}

pub(crate) fn version(number: u64, size: u64) -> ObjectRef {
    ObjectRef::new("dir/file", number.to_string(), size)
}

#[tokio::test]
async fn what_was_read_once_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, 300_000);
    assert_eq!(bed.right(&object, 0..300_000).await, [span(0, 300_000)]);
    assert_eq!(bed.right(&object, 0..300_000).await, []);
    let bed = bed.restart().await;
    for range in [0..300_000, 5..6, 299_999..300_000, 16_000..200_001] {
        assert_eq!(bed.right(&object, range).await, []);
    }
    let stats = bed.disk.stats();
    assert_eq!((stats.misses, stats.damaged, stats.skipped), (0, 0, 0));
    assert!(stats.hits > 0 && stats.off.is_none());
    // Another version, another key, another bucket: all are others.
    assert_eq!(bed.right(&version(2, 300_000), 0..10).await, [span(0, 10)]);
    let other = ObjectRef::new("dir/other", "1", 300_000);
    assert_eq!(bed.right(&other, 0..10).await, [span(0, 10)]);
}

#[test]
fn a_disk_that_does_not_answer_is_done_without_for_a_while() {
    // The one thread that may wait for a disk waits for as long as `answer` lives.
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let bed = Bed::new(dir.path(), 64 * MIB);
        let object = version(1, 300_000);
        bed.right(&object, 0..300_000).await;
        let (answer, silence) = std::sync::mpsc::channel::<()>();
        let stuck = runtime.spawn_blocking(move || silence.recv());
        bed.hands.is_late.store(true, Ordering::Relaxed);
        // Nobody waits for the disk to settle: that one thread would have to do it.
        let before = bed.below.log().len();
        let read = bed.read(&object, 5..300_000).await.unwrap();
        assert!(read == content(&object, 5..300_000));
        assert_eq!(bed.below.log().split_off(before), [span(5, 300_000)]);
        assert!(bed.disk.stats().off.unwrap().contains("does not answer"));
        bed.hands.is_late.store(false, Ordering::Relaxed);
        drop(answer);
        stuck.await.unwrap().unwrap_err();
        assert_eq!(bed.right(&object, 6..300_000).await, [span(6, 300_000)]);
        bed.hands.pass(OFF_FOR.as_secs());
        assert_eq!(bed.right(&object, 7..300_000).await, []);
    });
}

#[tokio::test]
async fn only_whole_blocks_are_kept_and_one_request_fetches_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, 20 * SMALL + 7);
    let at = |block: u64| block * SMALL;
    bed.right(&object, at(2)..at(4)).await;
    bed.right(&object, at(18)..at(20) + 7).await;
    // Not whole blocks, at either end.
    let range = at(5) + 1..at(8) - 1;
    assert_eq!(bed.right(&object, range.clone()).await, [range]);
    bed.right(&object, at(10)..at(11)).await;
    let asked = bed.right(&object, at(2)..at(20) + 7).await;
    assert_eq!(
        asked,
        [span(at(4), at(18))],
        "what is there at the ends is read"
    );
    assert_eq!(
        bed.right(&object, at(1) + 9..at(20)).await,
        [span(at(1) + 9, at(2))]
    );
}

#[tokio::test]
async fn what_fails_below_fails_and_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(dir.path(), 64 * MIB);
    let object = version(1, 10 * SMALL);
    let faults = [
        (Fault::Refuse(ErrorKind::Stale), ErrorKind::Stale),
        (Fault::Break(3 * SMALL + 5), ErrorKind::Unreachable),
        (Fault::Short(5 * SMALL), ErrorKind::Io),
        (Fault::Long, ErrorKind::Corrupt),
    ];
    bed.below = FakeSource::new(7000).faults(faults.map(|(fault, _)| fault));
    bed.source = bed.disk.over(Arc::clone(&bed.below) as _);
    // What came before a failure is kept, and the next request begins after it.
    let starts = [0, 0, 3, 8];
    for ((_, kind), start) in faults.into_iter().zip(starts) {
        let failed = bed.read(&object, 0..object.size).await.unwrap_err();
        assert_eq!(failed.kind(), kind);
        bed.disk.settle().await;
        let asked = bed.below.log().pop();
        assert_eq!(asked, Some(start * SMALL..object.size));
    }
    // What came before the last failure is there, and all of it is right.
    let asked = bed.right(&object, 0..object.size).await;
    assert!(
        asked.iter().all(|range| range.start >= 9 * SMALL),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_was_not_used_for_long_goes_first_a_span_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 8 * MIB;
    let mut bed = Bed::new(dir.path(), limit);
    let (old, new) = (version(1, 3 * MIB), version(2, 3 * MIB));
    bed.right(&old, 0..old.size).await;
    bed.hands.pass(1000);
    bed.right(&new, 0..new.size).await;
    bed.hands.pass(1000);
    // The first half of the old one is used again, and the restart does not forget that.
    assert_eq!(bed.right(&old, 0..3 * MIB / 2).await, []);
    bed.hands.pass(1000);
    bed = bed.restart().await;
    bed.right(&version(3, 3 * MIB), 0..3 * MIB).await;
    let used = disk_bytes(dir.path());
    assert!(used <= limit, "{used}");
    assert_eq!(bed.disk.stats().used_bytes, used, "the count is exact");
    assert!(bed.disk.stats().evicted_bytes > 0);
    assert_eq!(bed.right(&old, 0..3 * MIB / 2).await, [], "it was used");
    assert_ne!(
        bed.right(&old, 3 * MIB / 2..3 * MIB).await,
        [],
        "it was not"
    );
}

#[tokio::test]
async fn one_object_larger_than_the_limit_goes_through_and_its_end_stays() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 4 * MIB;
    let bed = Bed::new(dir.path(), limit);
    let object = version(1, 20 * MIB);
    for start in (0..object.size).step_by(1 << 20) {
        bed.hands.pass(1);
        bed.right(&object, start..start + MIB).await;
        let used = disk_bytes(dir.path());
        assert!(used <= limit, "{used} after {start}");
    }
    assert_eq!(bed.right(&object, 18 * MIB..20 * MIB).await, []);
    let info = folder_info(dir.path()).unwrap().buckets["bucket"];
    assert_eq!((info.objects, info.complete), (1, 0));
    assert!(
        info.disk_bytes <= limit && info.blocks * SMALL > limit / 2,
        "{info:?}"
    );
}

#[tokio::test]
async fn many_small_objects_keep_to_the_limit_with_all_that_they_take() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 4 * MIB;
    let bed = Bed::new(dir.path(), limit);
    for number in 0..1000 {
        let object = version(number, 100 + number);
        let read = bed.read(&object, 0..object.size).await.unwrap();
        assert!(read == content(&object, 0..object.size));
        if number % 50 == 49 {
            bed.hands.pass(1);
            bed.disk.settle().await;
            let used = disk_bytes(dir.path());
            assert!(used <= limit, "{used} after {number}");
        }
    }
    assert_eq!(bed.right(&version(999, 1099), 0..1099).await, []);
}

#[tokio::test]
async fn what_others_put_into_the_folder_is_counted_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 8 * MIB;
    let bed = Bed::new(dir.path(), limit);
    let object = version(1, 5 * MIB);
    bed.right(&object, 0..object.size).await;
    let bed = bed.restart().await;
    let copy = dir.path().join("copy of bucket");
    std::fs::create_dir(&copy).unwrap();
    for file in files(dir.path()) {
        std::fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    }
    assert!(disk_bytes(dir.path()) > limit);
    bed.right(&version(2, SMALL), 0..SMALL).await;
    let used = disk_bytes(dir.path());
    assert!(used <= limit, "{used}");
    assert_eq!(bed.disk.stats().used_bytes, used);
}

/// The data file of the folder's one replica, for somebody who writes into it.
fn only_data(folder: &Path) -> std::fs::File {
    let mut all = files(folder);
    all.retain(|file| file.extension().is_some_and(|end| end == "data"));
    assert_eq!(all.len(), 1, "{all:?}");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&all[0])
        .unwrap()
}

#[tokio::test]
async fn what_lies_past_the_end_of_an_object_is_freed_by_the_next_count() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 8 * MIB);
    let object = version(1, 5);
    bed.right(&object, 0..5).await;
    let data = only_data(dir.path());
    data.write_all_at(&vec![0; 1 << 20], 4096).unwrap();
    data.sync_all().unwrap();
    assert!(disk_bytes(dir.path()) >= MIB);
    let bed = bed.restart().await;
    bed.right(&version(2, 5), 0..5).await;
    assert_eq!(data.metadata().unwrap().len(), 5);
    assert!(disk_bytes(dir.path()) < MIB);
    assert!(bed.disk.stats().used_bytes < MIB);
    assert_eq!(bed.right(&object, 0..5).await, [], "its block stays");
}

#[tokio::test]
async fn what_others_write_into_holes_is_found_by_the_next_eviction() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 4 * MIB;
    let bed = Bed::new(dir.path(), limit);
    let holed = version(1, 4 * MIB);
    bed.right(&holed, 0..SMALL).await;
    let data = only_data(dir.path());
    let added = 3 * MIB;
    data.write_all_at(&vec![0; 3 << 20], MIB).unwrap();
    let other = version(2, 8 * MIB);
    let mut start = 0;
    while bed.disk.stats().evicted_bytes == 0 {
        let used = disk_bytes(dir.path());
        assert!(used <= limit + added, "{used}: the cache took too much");
        bed.right(&other, start..start + 4 * SMALL).await;
        start += 4 * SMALL;
    }
    let used = disk_bytes(dir.path());
    assert!(used <= limit, "{used}");
}

#[tokio::test]
async fn a_folder_is_looked_at_checked_and_cleared_while_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("cache");
    assert_eq!(folder_info(&root).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        clear_folder(dir.path()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let bed = Bed::new(&root, 64 * MIB);
    let (one, two) = (version(1, 100_000), version(2, 200_000));
    bed.right(&one, 0..one.size).await;
    bed.right(&two, 0..2 * SMALL).await;
    let info = folder_info(&root).unwrap().buckets["bucket"];
    assert_eq!((info.objects, info.complete, info.blocks), (2, 1, 7 + 2));
    assert_eq!(info.disk_bytes, disk_bytes(&root));
    let check = check_folder(&root).unwrap();
    assert_eq!((check.objects, check.right, check.damaged), (2, 9, 0));
    std::fs::write(root.join("bucket/mine"), "not a replica").unwrap();
    let freed = clear_folder(&root).unwrap();
    assert_eq!(freed, info.disk_bytes);
    assert_eq!(files(&root), [root.join("bucket/mine")]);
    // Who has its files open goes on, with new ones.
    assert_eq!(bed.right(&one, 0..one.size).await, [span(0, one.size)]);
    assert_eq!(bed.right(&one, 0..one.size).await, []);
    assert_eq!(bed.restart().await.right(&one, 0..one.size).await, []);
}

#[tokio::test]
async fn nobody_else_may_look_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/cache");
    let bed = Bed::new(&root, 64 * MIB);
    bed.right(&version(1, 1000), 0..1000).await;
    for folder in [&root, &root.join("bucket")] {
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
    }
    for file in files(&root) {
        assert_eq!(file.metadata().unwrap().mode() & 0o177, 0, "{file:?}");
    }
}
