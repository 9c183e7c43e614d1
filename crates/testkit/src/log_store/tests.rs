//! Each kind of call, and aliases that do not depend on what the store invents.

use bytes::Bytes;
use cloudmount_store::{ErrorKind, MemoryStore, StoreExt};

use super::*;
use crate::ManualClock;

fn store() -> LogStore {
    LogStore::new(Arc::new(MemoryStore::new(Arc::new(ManualClock::new()))))
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn some(bytes: usize) -> Payload {
    Payload::from(Bytes::from(vec![7; bytes]))
}

#[tokio::test]
async fn each_call_is_one_line() {
    let log = store();
    let version = log
        .put(&key("a/b"), some(5), PutOptions::default())
        .await
        .unwrap();
    let absent = PutOptions {
        precondition: Precondition::Absent,
        ..PutOptions::default()
    };
    assert!(log.put(&key("a/b"), some(1), absent).await.is_err());
    log.head(&key("a/b")).await.unwrap();
    log.head(&key("no")).await.unwrap_err();
    let options = GetOptions {
        range: Some(1..3),
        if_match: Some(version.clone()),
    };
    assert_eq!(log.get_bytes(&key("a/b"), options).await.unwrap().len(), 2);
    log.get_bytes(&key("a/b"), GetOptions::default())
        .await
        .unwrap();
    let source = CopySource {
        key: key("a/b"),
        if_match: Some(version),
    };
    let options = CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    log.copy(source, &key("with space"), options).await.unwrap();
    let results = log.delete(&[key("with space"), key("gone")]).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(
        log.take(),
        [
            "put a/b 5 bytes -> v1",
            "put a/b 1 bytes if-absent ! precondition failed",
            "head a/b",
            "head no ! not found",
            "get a/b 1..3 if-match v1",
            "get a/b",
            "copy a/b if-match v1 to \"with space\" keeping metadata -> v2",
            "delete \"with space\" gone",
        ]
    );
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test]
async fn listings_show_what_was_asked_and_name_their_pages() {
    let log = store();
    for text in ["d/a", "d/b", "d/c"] {
        log.put(&key(text), some(1), PutOptions::default())
            .await
            .unwrap();
    }
    drop(log.take());
    let request = ListRequest {
        prefix: "d/".to_owned(),
        limit: Some(2),
        ..ListRequest::default()
    };
    let page = log.list(request.clone()).await.unwrap();
    log.list(ListRequest {
        token: page.next,
        ..request
    })
    .await
    .unwrap();
    let after = Some("x".to_owned());
    log.list(ListRequest {
        by_folder: true,
        start_after: after,
        ..ListRequest::default()
    })
    .await
    .unwrap();
    assert_eq!(
        log.take(),
        [
            "list d/ limit 2 -> t1",
            "list d/ token t1 limit 2",
            "list \"\" by-folder after x"
        ]
    );
}

#[tokio::test]
async fn multipart_uploads_have_names_of_their_own() {
    let log = store();
    let key = key("big");
    let base = log
        .put(&key, some(10), PutOptions::default())
        .await
        .unwrap();
    let upload = log
        .multipart_start(&key, &PutOptions::default())
        .await
        .unwrap();
    let part = log
        .multipart_put(&key, &upload, 1, some(5 << 20))
        .await
        .unwrap();
    let source = CopySource {
        key: key.clone(),
        if_match: Some(base.clone()),
    };
    let copied = log
        .multipart_copy(&key, &upload, 2, source, 0..4)
        .await
        .unwrap();
    let condition = Precondition::Matches(base);
    log.multipart_complete(&key, &upload, &[part, copied], condition)
        .await
        .unwrap();
    let other = log
        .multipart_start(&key, &PutOptions::default())
        .await
        .unwrap();
    log.multipart_abort(&key, &other).await.unwrap();
    assert_eq!(
        log.take(),
        [
            "put big 10 bytes -> v1",
            "start big -> u1",
            "part big u1 #1 5242880 bytes",
            "copy-part big u1 #2 from big if-match v1 0..4",
            "complete big u1 2 parts if-match v1 -> v2",
            "start big -> u2",
            "abort big u2",
        ]
    );
}

#[tokio::test]
async fn the_same_calls_give_the_same_lines() {
    let lines = || async {
        let log = store();
        for text in ["a", "b", "a"] {
            log.put(&key(text), some(text.len()), PutOptions::default())
                .await
                .unwrap();
        }
        let missing = log.get(&key("c"), GetOptions::default()).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        log.take()
    };
    assert_eq!(lines().await, lines().await);
}
