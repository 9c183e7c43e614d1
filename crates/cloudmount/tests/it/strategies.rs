//! The cache's strategy can be chosen by name and brought along, and reads can be recorded.

use std::sync::Arc;

use cloudmount::cache::strategy::{Arrival, Eviction, EvictionStrategy, Place};
use cloudmount::cache::trace;
use cloudmount::vfs::{CachePolicy, Context, InodeId, Name, OpenFlags, SystemClock, Vfs};
use cloudmount::{Builder, CloudMount, Recording};
use tempfile::TempDir;

/// Knows nothing to give up; says what it heard.
#[derive(Debug)]
struct Told(std::sync::mpsc::Sender<u64>);

impl EvictionStrategy for Told {
    fn read(&mut self, _: Place) {}

    fn evict(&mut self, _: &Arrival) -> Option<Place> {
        None
    }

    fn inserted(&mut self, _: Place, arrival: &Arrival) {
        self.0.send(arrival.bytes).unwrap();
    }

    fn removed(&mut self, _: Place) {}
}

/// A bucket with a file `a` of 1000 bytes, that nobody has read.
fn bucket() -> (TempDir, Builder) {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    std::fs::write(bucket.join("a"), [7; 1000]).unwrap();
    let builder = CloudMount::builder(format!("file://{}", bucket.display()));
    let builder = builder.staging(dir.path().join("staging"));
    (dir, builder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_can_be_brought_along() {
    let (sender, told) = std::sync::mpsc::channel();
    let (_dir, builder) = bucket();
    let mine = Eviction::custom(move |_| Box::new(Told(sender.clone())));
    let files = builder.eviction(mine).open().await.unwrap();
    assert_eq!(files.read("a").await.unwrap().len(), 1000);
    assert!(told.try_recv().unwrap() >= 1000);
    assert!(files.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_is_chosen_by_name() {
    for eviction in Eviction::all() {
        let (_dir, builder) = bucket();
        let builder = builder.set("cache-strategy", eviction.name()).unwrap();
        let files = builder.open().await.unwrap();
        for _ in 0..2 {
            assert_eq!(files.read("a").await.unwrap(), [7; 1000].as_slice());
        }
        let stats = files.vfs().cache().stats();
        assert_eq!((stats.hits, stats.misses), (1, 1), "{eviction:?}");
        assert!(files.close().await.is_complete());
    }
    let builder = CloudMount::builder("memory:");
    let error = builder.set("cache-strategy", "mru").unwrap_err();
    assert!(error.to_string().contains("tiny-lfu"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_recorded_and_the_kernel_keeps_nothing() {
    let recording = Arc::new(Recording::new(Arc::new(SystemClock::new())));
    let (_dir, builder) = bucket();
    let files = builder
        .record_reads(Arc::clone(&recording))
        .open()
        .await
        .unwrap();
    files.read_at("a", 100, 50).await.unwrap();
    let reads = trace::read(&recording.trace()).unwrap();
    let told: Vec<_> = (reads.iter())
        .map(|read| (read.size, read.offset, read.len))
        .collect();
    assert_eq!(told, [(1000, 100, 50)]);
    let (vfs, cx) = (files.vfs(), Context::default());
    let name = Name::new("a").unwrap();
    let entry = vfs.lookup(&cx, InodeId::ROOT, &name).await.unwrap();
    let opened = vfs.open(&cx, entry.attr.ino, OpenFlags::READ).await;
    assert_eq!(opened.unwrap().cache, CachePolicy::Direct);
    assert!(files.close().await.is_complete());
}
