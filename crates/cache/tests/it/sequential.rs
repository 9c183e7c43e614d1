//! Reading in order: what is asked of the source, and when.

use cloudmount_cache::CacheSettings;
use futures::FutureExt;

use crate::source::{BLOCK, FakeSource, KIB, MIB, content, object, settle};

#[tokio::test]
async fn every_byte_is_fetched_once_in_few_requests() {
    for len in [4 * KIB, 128 * KIB, MIB] {
        let source = FakeSource::new(300 * KIB).faults([]);
        let cache = source.cache(CacheSettings::default());
        let object = object(100 * MIB + 77);
        let reader = cache.reader();
        let mut at = 0;
        while at < object.size {
            let bytes = reader
                .read(&object, at, usize::try_from(len).unwrap())
                .await
                .unwrap();
            assert!(bytes == content(&object, at..(at + len).min(object.size)));
            at += bytes.len() as u64;
        }
        let mut log = source.log();
        log.sort_by_key(|range| range.start);
        assert!(
            log.windows(2).all(|pair| pair[0].end == pair[1].start),
            "{log:?}"
        );
        assert_eq!((log[0].start, log[log.len() - 1].end), (0, object.size));
        let most = CacheSettings::default().request_bytes_max;
        assert!(log.iter().all(|range| range.end - range.start <= most));
        // 50 requests of 2 MiB, as they are at first; the window's growth takes some more.
        assert!(log.len() < 75, "{len}: {} requests", log.len());
    }
}

#[tokio::test]
async fn a_steady_reader_finds_its_blocks_here() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(200 * MIB);
    let reader = cache.reader();
    let mut waits = 0;
    for at in 0..200 * 8 {
        let mut read = Box::pin(reader.read(&object, at * BLOCK, 128 << 10));
        match read.as_mut().now_or_never() {
            Some(bytes) => drop(bytes.unwrap()),
            None => {
                waits += 1;
                read.await.unwrap();
            }
        }
        // The source is as fast as the reader.
        settle().await;
    }
    assert_eq!(waits, 1);
}

#[tokio::test]
async fn the_window_is_many_requests_at_once() {
    let source = FakeSource::new(MIB).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(400 * MIB);
    let reader = cache.reader();
    source.let_through(32);
    for at in 0..16 {
        reader.read(&object, at * MIB, 1 << 20).await.unwrap();
    }
    settle().await;
    // 32 MiB came through, half of it read; the window beyond it is under way.
    let under_way = cache.stats().in_flight_bytes;
    assert!(under_way >= 12 * MIB, "{under_way}");
}

#[tokio::test]
async fn read_ahead_can_be_turned_off() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings {
        readahead_bytes_max: 0,
        ..CacheSettings::default()
    });
    let object = object(10 * MIB);
    let reader = cache.reader();
    for at in 0..8 {
        reader.read(&object, at * BLOCK, 128 << 10).await.unwrap();
    }
    settle().await;
    assert_eq!(source.log().len(), 8);
}

#[tokio::test]
async fn many_streams_at_once_fetch_little_twice() {
    // Forty streams want forty windows of 32 MiB and have 64 MiB of room for what is ahead.
    let source = FakeSource::new(MIB).slow(2).faults([]);
    let cache = source.cache(CacheSettings::default());
    let objects: Vec<_> = (0..40)
        .map(|n| {
            let mut object = object(24 * MIB);
            object.key = format!("dir/{n}").into();
            object
        })
        .collect();
    let readers: Vec<_> = objects.iter().map(|_| cache.reader()).collect();
    for at in 0..24 * 8 {
        for (reader, object) in readers.iter().zip(&objects) {
            reader.read(object, at * BLOCK, 128 << 10).await.unwrap();
        }
    }
    let fetched = cache.stats().fetched_bytes;
    assert!(fetched < 40 * 24 * MIB * 6 / 5, "{} MiB", fetched / MIB);
}
