//! The limit on memory holds at every moment, and lack of it is no error.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use cloudmount_cache::strategy::Eviction;
use cloudmount_cache::{BlockCache, BlockSource, ByteStream, CacheParts, CacheSettings, ObjectRef};
use cloudmount_vfs::Result;
use futures::StreamExt;
use futures::future::join_all;
use tokio::runtime::Handle;

use crate::source::{FakeSource, KIB, MIB, content, object, settle, span};

/// A source that looks at the cache's own count with every piece.
struct Watching {
    inner: Arc<FakeSource>,
    cache: Arc<OnceLock<BlockCache>>,
    peak: Arc<AtomicU64>,
}

#[async_trait]
impl BlockSource for Watching {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        let (cache, peak) = (Arc::clone(&self.cache), Arc::clone(&self.peak));
        let stream = self.inner.fetch(object, range).await?;
        Ok(stream
            .inspect(move |_| {
                let stats = cache.get().unwrap().stats();
                peak.fetch_max(
                    stats.cached_bytes + stats.in_flight_bytes,
                    Ordering::Relaxed,
                );
            })
            .boxed())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kept_and_under_way_never_exceed_the_limit() {
    for eviction in Eviction::all() {
        within_the_limit(eviction).await;
    }
}

async fn within_the_limit(eviction: Eviction) {
    let name = eviction.name();
    let cell = Arc::new(OnceLock::new());
    let peak = Arc::new(AtomicU64::new(0));
    let source = Arc::new(Watching {
        inner: FakeSource::new(100 * KIB).slow(1).faults([]),
        cache: Arc::clone(&cell),
        peak: Arc::clone(&peak),
    });
    let settings = CacheSettings {
        memory_bytes: 8 * MIB,
        ..CacheSettings::default()
    };
    let parts = CacheParts {
        eviction,
        ..settings.into()
    };
    let cache = BlockCache::new(source, parts, Handle::current());
    cell.set(cache.clone()).unwrap();
    let tasks = (0..12).map(|n| {
        let reader = cache.reader();
        tokio::spawn(async move {
            let mut object = object(6 * MIB);
            object.key = format!("dir/{n}").into();
            for at in 0..6 {
                let bytes = reader.read(&object, at * MIB, 1 << 20).await.unwrap();
                assert!(bytes == content(&object, at * MIB..(at + 1) * MIB));
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let peak = peak.load(Ordering::Relaxed);
    assert!(peak <= 8 * MIB, "{name}: {peak}");
    assert!(peak >= 5 * MIB, "the test must fill it: {name}, {peak}");
}

#[tokio::test]
async fn a_read_larger_than_the_memory_succeeds() {
    let source = FakeSource::new(MIB).faults([]);
    let cache = source.cache(CacheSettings {
        memory_bytes: 0,
        ..CacheSettings::default()
    });
    let object = object(40 * MIB);
    let bytes = cache.reader().read(&object, 0, 40 << 20).await.unwrap();
    assert!(bytes == content(&object, 0..40 * MIB));
    let longest = source
        .log()
        .iter()
        .map(|range| range.end - range.start)
        .max();
    assert_eq!(longest, Some(MIB), "an eighth of the least memory");
    assert!(cache.stats().cached_bytes <= cache.stats().limit_bytes);
}

#[tokio::test]
async fn read_ahead_without_room_is_left_out_and_taken_up_again() {
    let source = FakeSource::new(128 * KIB).gated().faults([]);
    let cache = source.cache(CacheSettings {
        memory_bytes: 8 * MIB,
        ..CacheSettings::default()
    });
    // Readers that never come back take all the room that there is for read-ahead.
    let abandoned: Vec<_> = (0..8)
        .map(|n| ObjectRef::new(format!("dir/{n}"), "1", 50 * MIB))
        .collect();
    for object in &abandoned {
        let reader = cache.reader();
        let mut read = Box::pin(reader.read(object, 0, 128 << 10));
        assert!(futures::poll!(&mut read).is_pending());
    }
    let (reader, object) = (cache.reader(), object(20 * MIB));
    let mut first = Box::pin(reader.read(&object, 0, 128 << 10));
    assert!(futures::poll!(&mut first).is_pending());
    settle().await;
    assert_eq!(source.log().last(), Some(&span(0, 128 * KIB)), "no room");
    source.let_through(usize::MAX >> 4);
    first.await.unwrap();
    settle().await;
    reader.read(&object, 128 * KIB, 128 << 10).await.unwrap();
    assert_eq!(source.log().last(), Some(&span(128 * KIB, 768 * KIB)));
    for at in 0..20 {
        let bytes = reader.read(&object, at * MIB, 1 << 20).await.unwrap();
        assert!(bytes == content(&object, at * MIB..(at + 1) * MIB));
    }
    assert_eq!(cache.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn tiny_objects_count_with_what_finds_them() {
    let source = FakeSource::new(MIB).faults([]);
    let cache = source.cache(CacheSettings {
        memory_bytes: 8 * MIB,
        ..CacheSettings::default()
    });
    let reader = cache.reader();
    for n in 0..50_000 {
        let object = ObjectRef::new(format!("dir/{n}"), "1", 1);
        reader.read(&object, 0, 1).await.unwrap();
    }
    let stats = cache.stats();
    assert!(stats.cached_bytes <= 4 * MIB, "{}", stats.cached_bytes);
}

#[tokio::test]
async fn misses_queue_for_the_room_under_way() {
    // 8 MiB: one of them for what is under way and waited for, so two requests of half of it.
    let source = FakeSource::new(128 * KIB).gated().faults([]);
    let cache = source.cache(CacheSettings {
        memory_bytes: 8 * MIB,
        ..CacheSettings::default()
    });
    let object = object(100 * MIB);
    let tasks: Vec<_> = (1..=10)
        .map(|n| {
            let (reader, object) = (cache.reader(), object.clone());
            tokio::spawn(async move { reader.read(&object, n * 9 * MIB, 512 << 10).await })
        })
        .collect();
    settle().await;
    assert_eq!(source.log().len(), 2);
    assert_eq!(cache.stats().in_flight_bytes, MIB);
    source.let_through(usize::MAX >> 4);
    for (task, n) in tasks.into_iter().zip(1..) {
        let bytes = task.await.unwrap().unwrap();
        assert!(bytes == content(&object, n * 9 * MIB..n * 9 * MIB + 512 * KIB));
    }
    assert_eq!(cache.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn each_block_gives_its_room_back_when_it_is_complete() {
    let source = FakeSource::new(128 * KIB).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    let mut read = Box::pin(reader.read(&object, 0, 256 << 10));
    assert!(futures::poll!(&mut read).is_pending());
    settle().await;
    // Two blocks that are waited for, and four ahead.
    for left in (0..6).rev() {
        source.let_through(1);
        settle().await;
        assert_eq!(cache.stats().in_flight_bytes, left * 128 * KIB);
    }
    read.await.unwrap();
}
