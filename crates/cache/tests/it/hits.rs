//! What is in memory is answered at once.

use cloudmount_cache::CacheSettings;
use futures::FutureExt;

use crate::source::{BLOCK, FakeSource, KIB, MIB, content, object, settle, span};

#[tokio::test]
async fn a_warm_read_is_ready_at_its_first_poll() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(4 * MIB);
    let reader = cache.reader();
    for at in 0..4 {
        reader.read(&object, at * MIB, 1 << 20).await.unwrap();
    }
    settle().await;
    let requests = source.log().len();
    for (offset, len) in [
        (0, 4 * KIB),
        (BLOCK - 1, 2),
        (BLOCK, BLOCK),
        (17, 3 * MIB),
        (4 * MIB - 5, 100),
    ] {
        let len = usize::try_from(len).unwrap();
        let bytes = reader.read(&object, offset, len).now_or_never();
        let end = (offset + len as u64).min(object.size);
        assert!(bytes.unwrap().unwrap() == content(&object, offset..end));
    }
    assert_eq!(source.log().len(), requests);
}

#[tokio::test]
async fn a_range_within_one_block_is_not_copied() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(MIB);
    let reader = cache.reader();
    let whole = reader.read(&object, BLOCK, 128 << 10).await.unwrap();
    let part = reader.read(&object, BLOCK + 100, 50).await.unwrap();
    assert_eq!(part.as_ptr(), whole[100..].as_ptr());
}

#[tokio::test]
async fn reads_end_at_the_objects_end() {
    let source = FakeSource::new(1000).faults([]);
    let cache = source.cache(CacheSettings::default());
    let reader = cache.reader();
    let empty = object(0);
    let object = object(BLOCK + 10);
    assert_eq!(reader.read(&object, BLOCK, 100).await.unwrap().len(), 10);
    assert_eq!(
        reader.read(&object, BLOCK + 10, 100).await.unwrap().len(),
        0
    );
    assert_eq!(reader.read(&object, u64::MAX, 100).await.unwrap().len(), 0);
    assert_eq!(reader.read(&object, 0, 0).await.unwrap().len(), 0);
    assert_eq!(reader.read(&empty, 0, 100).await.unwrap().len(), 0);
    assert_eq!(source.log(), [span(0, BLOCK + 10)]);
}

#[tokio::test]
async fn a_small_object_is_fetched_whole_by_any_first_read() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(512 * KIB);
    let reader = cache.reader();
    reader.read(&object, 300 * KIB, 4096).await.unwrap();
    settle().await;
    let all = reader.read(&object, 0, 512 << 10).now_or_never();
    assert!(all.unwrap().unwrap() == content(&object, 0..512 * KIB));
    assert_eq!(source.log(), [span(0, 512 * KIB)]);
}

#[tokio::test]
async fn a_random_read_fetches_its_blocks_alone() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    for offset in [70 * MIB + 5, 20 * MIB, 90 * MIB, 3 * MIB] {
        reader.read(&object, offset, 4096).await.unwrap();
    }
    settle().await;
    let starts = [70 * MIB, 20 * MIB, 90 * MIB, 3 * MIB];
    assert_eq!(source.log(), starts.map(|start| start..start + BLOCK));
}

#[tokio::test]
async fn versions_and_keys_are_apart() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let reader = cache.reader();
    let first = object(MIB);
    let mut second = first.clone();
    second.version = "2".into();
    let mut third = second.clone();
    third.key = "dir/other".into();
    for object in [&first, &second, &third, &first] {
        let bytes = reader.read(object, 0, 4096).await.unwrap();
        assert!(bytes == content(object, 0..4096));
    }
    assert!(content(&first, 0..4096) != content(&second, 0..4096));
    assert_eq!(source.log().len(), 3);
}

#[tokio::test]
async fn what_is_forgotten_is_fetched_again() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let (large, mut small) = (object(1 << 50), object(100 * KIB));
    small.key = "dir/small".into();
    let reader = cache.reader();
    reader.read(&large, 1 << 40, 4096).await.unwrap();
    reader.read(&small, 0, 4096).await.unwrap();
    cache.forget(&large);
    assert!(reader.read(&large, 1 << 40, 4096).now_or_never().is_none());
    assert!(reader.read(&small, 0, 4096).now_or_never().is_some());
    cache.forget(&small);
    assert!(reader.read(&small, 0, 4096).now_or_never().is_none());
}

#[tokio::test]
async fn statistics_tell_what_was_done() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    reader.read(&object, 50 * MIB, 256 << 10).await.unwrap();
    reader.read(&object, 50 * MIB + 5, 4096).await.unwrap();
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.requests), (1, 2, 1));
    assert_eq!(stats.fetched_bytes, 256 * KIB);
    assert!(stats.cached_bytes > 256 * KIB && stats.cached_bytes < 258 * KIB);
    assert_eq!(stats.limit_bytes, 256 * MIB);
}
