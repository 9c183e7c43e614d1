//! Single flight, hand-over while a request goes on, and waiters that give up.

use std::sync::Arc;

use cloudmount_cache::CacheSettings;
use futures::future::join_all;
use futures::{FutureExt, poll};

use crate::source::{BLOCK, FakeSource, KIB, MIB, content, object, settle, span};

#[tokio::test]
async fn concurrent_misses_share_one_request() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let readers: Vec<_> = (0..50).map(|_| cache.reader()).collect();
    let reads = readers.iter().map(|r| r.read(&object, 50 * MIB, 4096));
    let mut all = Box::pin(join_all(reads));
    assert!(poll!(&mut all).is_pending());
    settle().await;
    source.let_through(1);
    let expected = content(&object, 50 * MIB..50 * MIB + 4096);
    assert!(all.await.into_iter().all(|read| read.unwrap() == expected));
    assert_eq!(source.log(), [span(50 * MIB, 50 * MIB + BLOCK)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn single_flight_holds_among_threads() {
    // Enough memory that nothing is thrown out: then no block may be fetched twice.
    let source = FakeSource::new(50 * KIB).slow(3).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(20 * MIB);
    let tasks = (0..8_u64).map(|seed| {
        let (reader, object) = (cache.reader(), object.clone());
        tokio::spawn(async move {
            for step in 0..200_u64 {
                let offset = (step * 7919 + seed * 104_729) * 4096 % object.size;
                let bytes = reader.read(&object, offset, 300 << 10).await.unwrap();
                let end = (offset + 300 * KIB).min(object.size);
                assert!(bytes == content(&object, offset..end));
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let mut log = source.log();
    log.sort_by_key(|range| range.start);
    for pair in log.windows(2) {
        assert!(pair[0].end <= pair[1].start, "fetched twice: {pair:?}");
    }
}

#[tokio::test]
async fn missing_blocks_in_a_row_are_one_request() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    // The block in the middle is here already, so that there are two rows.
    let middle = 50 * MIB + 4 * BLOCK;
    cache.reader().read(&object, middle, 10).await.unwrap();
    let bytes = cache.reader().read(&object, 50 * MIB, 1 << 20).await;
    assert!(bytes.unwrap() == content(&object, 50 * MIB..51 * MIB));
    assert_eq!(
        source.log(),
        [
            middle..middle + BLOCK,
            50 * MIB..middle,
            middle + BLOCK..51 * MIB
        ]
    );
}

#[tokio::test]
async fn blocks_are_handed_over_while_the_request_goes_on() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let (long, short) = (cache.reader(), cache.reader());
    let mut all = Box::pin(long.read(&object, 50 * MIB, 1 << 20));
    assert!(poll!(&mut all).is_pending());
    let mut second = Box::pin(short.read(&object, 50 * MIB + BLOCK, 4096));
    assert!(poll!(&mut second).is_pending());
    source.let_through(1);
    settle().await;
    assert!(poll!(&mut second).is_pending());
    source.let_through(1);
    settle().await;
    assert!(second.now_or_never().is_some());
    assert!(poll!(&mut all).is_pending());
    source.let_through(6);
    assert!(all.await.unwrap() == content(&object, 50 * MIB..51 * MIB));
    assert_eq!(source.log().len(), 1);
}

#[tokio::test]
async fn the_first_byte_does_not_wait_for_read_ahead() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    let mut read = Box::pin(reader.read(&object, 0, 128 << 10));
    assert!(poll!(&mut read).is_pending());
    settle().await;
    assert_eq!(
        source.log(),
        [span(0, 3 * BLOCK)],
        "one request, read-ahead last"
    );
    source.let_through(1);
    settle().await;
    assert!(read.now_or_never().is_some());
}

#[tokio::test]
async fn a_waiter_that_gives_up_disturbs_no_other() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let (first, second) = (cache.reader(), cache.reader());
    let mut given_up = Box::pin(first.read(&object, 50 * MIB, 4096));
    assert!(poll!(&mut given_up).is_pending());
    let mut kept = Box::pin(second.read(&object, 50 * MIB, 4096));
    assert!(poll!(&mut kept).is_pending());
    drop(given_up);
    source.let_through(1);
    assert!(kept.await.unwrap() == content(&object, 50 * MIB..50 * MIB + 4096));
    assert_eq!(source.log().len(), 1);
}

#[tokio::test]
async fn a_read_dropped_and_begun_again_costs_one_request() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = Arc::new(cache.reader());
    for at in 0..64 {
        // As an adapter does: one poll on the thread of the request, then again on the runtime.
        if let Some(read) = reader.read(&object, at * BLOCK, 128 << 10).now_or_never() {
            read.unwrap();
            continue;
        }
        let again = Arc::clone(&reader);
        let target = object.clone();
        let read = tokio::spawn(async move { again.read(&target, at * BLOCK, 128 << 10).await });
        let expected = content(&object, at * BLOCK..(at + 1) * BLOCK);
        assert!(read.await.unwrap().unwrap() == expected);
    }
    settle().await;
    let mut log = source.log();
    log.sort_by_key(|range| range.start);
    assert!(log.windows(2).all(|pair| pair[0].end == pair[1].start));
}
