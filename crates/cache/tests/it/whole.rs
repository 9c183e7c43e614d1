//! Small objects that are fetched whole before anybody reads them.

use cloudmount_cache::{CacheSettings, ObjectRef};
use cloudmount_vfs::ErrorKind;

use crate::source::{BLOCK, FakeSource, Fault, KIB, MIB, content, object, settle, span};

#[tokio::test]
async fn a_small_object_is_one_request_that_its_readers_join() {
    let source = FakeSource::new(BLOCK).gated().faults([]);
    let cache = source.cache(CacheSettings::default());
    let object = object(300 * KIB);
    let fetch = cache.fetch_whole(&object).unwrap();
    assert!(cache.fetch_whole(&object).is_none(), "it is under way");
    let reader = cache.reader();
    let reading = reader.read(&object, 200 * KIB, 50_000);
    source.let_through(3);
    assert_eq!(
        reading.await.unwrap(),
        content(&object, 200 * KIB..200 * KIB + 50_000)
    );
    fetch.arrived().await.unwrap();
    assert!(cache.holds_any(&object));
    assert!(cache.fetch_whole(&object).is_none(), "it is here");
    assert_eq!(source.log(), [span(0, 300 * KIB)]);
}

#[tokio::test]
async fn what_is_empty_or_large_is_not_fetched_whole() {
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheSettings::default());
    let most = cache.whole_object_bytes();
    assert!(cache.fetch_whole(&object(0)).is_none());
    assert!(cache.fetch_whole(&object(most + 1)).is_none());
    assert!(cache.fetch_whole(&object(most)).is_some());
    settle().await;
    assert_eq!(source.log(), [span(0, most)]);
}

#[tokio::test]
async fn what_has_no_room_is_not_fetched_and_what_fails_is_not_kept() {
    let source = FakeSource::new(BLOCK)
        .gated()
        .faults([Fault::Refuse(ErrorKind::Stale)]);
    let settings = CacheSettings {
        memory_bytes: 32 * MIB,
        ..CacheSettings::default()
    };
    let cache = source.cache(settings);
    let sent = |number: u64| {
        let object = ObjectRef::new(format!("small/{number}"), "1", 512 * KIB);
        cache.fetch_whole(&object)
    };
    // Three sixteenths of the memory are for what is under way ahead: twelve of them.
    let under_way: Vec<_> = (0..20).map_while(sent).collect();
    assert_eq!(under_way.len(), 12);
    let error = under_way[0].arrived().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(sent(0).is_some(), "its room is free again");
    settle().await;
    assert_eq!(source.log().len(), 13);
}
