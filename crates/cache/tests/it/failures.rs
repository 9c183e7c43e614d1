//! A source that refuses, breaks off, or gives the wrong number of bytes.

use cloudmount_cache::{BlockCache, CacheSettings};
use cloudmount_vfs::ErrorKind;
use futures::future::join_all;
use futures::{FutureExt, poll};

use crate::source::{BLOCK, FakeSource, Fault, MIB, content, object, settle, span};

#[tokio::test]
async fn a_failure_is_shared_and_not_remembered() {
    let source = FakeSource::new(BLOCK)
        .gated()
        .faults([Fault::Refuse(ErrorKind::TimedOut)]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let readers: Vec<_> = (0..10).map(|_| cache.reader()).collect();
    let reads = readers.iter().map(|r| r.read(&object, 50 * MIB, 4096));
    for read in join_all(reads).await {
        assert_eq!(read.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    assert_eq!(source.log().len(), 1);
    source.let_through(1);
    readers[0].read(&object, 50 * MIB, 4096).await.unwrap();
    assert_eq!(source.log().len(), 2);
}

#[tokio::test]
async fn what_came_before_the_break_is_kept() {
    let source = FakeSource::new(1000).faults([Fault::Break(3 * BLOCK + 5)]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    let error = reader.read(&object, 50 * MIB, 1 << 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let kept = reader.read(&object, 50 * MIB, 384 << 10).now_or_never();
    assert!(kept.unwrap().unwrap() == content(&object, 50 * MIB..50 * MIB + 3 * BLOCK));
    reader.read(&object, 50 * MIB, 1 << 20).await.unwrap();
    assert_eq!(source.log()[1], 50 * MIB + 3 * BLOCK..51 * MIB);
}

#[tokio::test]
async fn a_short_stream_is_an_error_and_never_a_short_read() {
    for (fault, kind) in [
        (Fault::Short(BLOCK + 5), ErrorKind::Io),
        (Fault::Short(0), ErrorKind::Io),
        (Fault::Long, ErrorKind::Corrupt),
    ] {
        let source = FakeSource::new(MIB).faults([fault]);
        let cache = source.cache(CacheSettings::default());
        let object = object(100 * MIB);
        let reader = cache.reader();
        let error = reader.read(&object, 50 * MIB, 512 << 10).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}");
        let bytes = reader.read(&object, 50 * MIB, 512 << 10).await.unwrap();
        assert!(bytes == content(&object, 50 * MIB..50 * MIB + 4 * BLOCK));
    }
}

#[tokio::test]
async fn a_failed_read_ahead_fails_no_read() {
    let source = FakeSource::new(BLOCK)
        .gated()
        .faults([Fault::Break(2 * BLOCK)]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    source.let_through(1);
    reader.read(&object, 0, 128 << 10).await.unwrap();
    assert_eq!(source.log(), [span(0, 3 * BLOCK)]);
    // Waits for the block that the broken request should have brought, and gets it otherwise.
    let mut waiting = Box::pin(reader.read(&object, 2 * BLOCK, 128 << 10));
    assert!(poll!(&mut waiting).is_pending());
    source.let_through(1000);
    assert!(waiting.await.unwrap() == content(&object, 2 * BLOCK..3 * BLOCK));
}

#[tokio::test]
async fn a_version_that_is_gone_is_stale_at_once() {
    let source = FakeSource::new(BLOCK)
        .gated()
        .faults([Fault::None, Fault::Refuse(ErrorKind::Stale)]);
    let cache = source.cache(CacheSettings::default());
    let object = object(100 * MIB);
    let reader = cache.reader();
    source.let_through(1);
    reader.read(&object, 50 * MIB, 128 << 10).await.unwrap();
    let read = reader.read(&object, 50 * MIB + BLOCK, 128 << 10).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(source.log().len(), 2);
}

#[tokio::test]
async fn one_version_with_two_sizes_is_stale() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let (long, short) = (object(10 * MIB), object(10 * MIB - 5));
    let (first, second) = (cache.reader(), cache.reader());
    let mut right = Box::pin(first.read(&long, 10 * MIB - 100, 100));
    assert!(poll!(&mut right).is_pending());
    let mut wrong = Box::pin(second.read(&short, 10 * MIB - 100, 50));
    assert!(poll!(&mut wrong).is_pending());
    source.let_through(1);
    assert!(right.await.unwrap() == content(&long, 10 * MIB - 100..10 * MIB));
    assert_eq!(wrong.await.unwrap_err().kind(), ErrorKind::Stale);
    // What is in memory with the wrong length is fetched again.
    source.let_through(1);
    let bytes = second.read(&short, 10 * MIB - 100, 50).await.unwrap();
    assert!(bytes == content(&short, 10 * MIB - 100..10 * MIB - 50));
    source.let_through(1);
    let bytes = first.read(&long, 10 * MIB - 100, 100).await.unwrap();
    assert!(bytes == content(&long, 10 * MIB - 100..10 * MIB));
    assert_eq!(source.log().len(), 3);
}

#[test]
fn waiters_learn_that_the_runtime_ended() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let cache = BlockCache::new(source, CacheSettings::default(), runtime.handle().clone());
    let object = object(MIB);
    let reader = cache.reader();
    let mut read = Box::pin(reader.read(&object, 0, 4096));
    assert!(read.as_mut().now_or_never().is_none());
    drop(runtime);
    let error = read.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn failures_leave_no_room_taken() {
    let source = FakeSource::new(1000).faults((0..200).map(|n| match n % 3 {
        0 => Fault::Break(BLOCK / 2),
        1 => Fault::Refuse(ErrorKind::Unreachable),
        _ => Fault::Short(BLOCK + 1),
    }));
    let cache = source.cache(CacheSettings::default());
    let object = object(1000 * MIB);
    let reader = cache.reader();
    for at in 0..150 {
        let _ = reader.read(&object, at * 5 * MIB, 1 << 20).await;
    }
    settle().await;
    assert_eq!(cache.stats().in_flight_bytes, 0);
}
