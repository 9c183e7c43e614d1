//! Each dialect is spoken: what it says is seen.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::{
    ErrorKind, Key, ListRequest, MemoryStore, Payload, Precondition, PutOptions, Removal, Result,
    Store, Version,
};
use cloudmount_vfs::Clock;

use super::*;
use crate::ManualClock;

fn store(dialect: Dialect) -> (DialectStore, ManualClock) {
    let clock = ManualClock::new();
    let time: Arc<dyn Clock> = Arc::new(clock.clone());
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&time)));
    (DialectStore::new(bucket, dialect, time), clock)
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn payload() -> Payload {
    Bytes::from_static(b"x").into()
}

async fn put(store: &DialectStore, text: &str) -> Result<Version> {
    store
        .put(&key(text), payload(), PutOptions::default())
        .await
}

async fn put_if(store: &DialectStore, text: &str, precondition: Precondition) -> Option<ErrorKind> {
    let options = PutOptions {
        precondition,
        ..PutOptions::default()
    };
    let put = store.put(&key(text), payload(), options).await;
    put.err().map(|error| error.kind())
}

async fn names(store: &DialectStore, request: &ListRequest) -> Vec<String> {
    let mut names = Vec::new();
    let mut request = request.clone();
    loop {
        let page = store.list(request.clone()).await.unwrap();
        names.extend(
            page.objects
                .into_iter()
                .map(|object| object.key.as_str().to_owned()),
        );
        names.extend(page.prefixes);
        match page.next {
            Some(token) => request.token = Some(token),
            None => return names,
        }
    }
}

#[tokio::test]
async fn conditions() {
    use ErrorKind::{Precondition as Failed, Unsupported};
    for (dialect, taken, stale, current) in [
        (Dialect::Plain, Some(Failed), Some(Failed), None),
        (Dialect::PassesOver, None, None, None),
        (
            Dialect::NoConditions,
            Some(Unsupported),
            Some(Unsupported),
            Some(Unsupported),
        ),
        (Dialect::BareTags, Some(Failed), Some(Failed), Some(Failed)),
    ] {
        let (store, _) = store(dialect);
        let old = put(&store, "a").await.unwrap();
        let now = put(&store, "a").await.unwrap();
        let absent = put_if(&store, "a", Precondition::Absent).await;
        assert_eq!(absent, taken, "{dialect:?}");
        let now = if absent.is_none() {
            put(&store, "a").await.unwrap()
        } else {
            now
        };
        assert_eq!(
            put_if(&store, "a", Precondition::Matches(old)).await,
            stale,
            "{dialect:?}"
        );
        let now = if stale.is_none() {
            put(&store, "a").await.unwrap()
        } else {
            now
        };
        let matches = Precondition::Matches(now);
        assert_eq!(put_if(&store, "a", matches).await, current, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_tag_without_quotes_is_taken() {
    let (store, _) = store(Dialect::BareTags);
    let version = put(&store, "a").await.unwrap();
    let bare = Version::new(version.as_str().trim_matches('"'));
    let matches = Precondition::Matches(bare);
    assert_eq!(put_if(&store, "a", matches.clone()).await, None);
    assert_eq!(
        put_if(&store, "a", matches).await,
        Some(ErrorKind::Precondition)
    );
    let removal = Removal {
        key: key("a"),
        version,
    };
    let answers = store.delete_if(&[removal]).await.unwrap();
    assert_eq!(
        answers[0].as_ref().unwrap_err().kind(),
        ErrorKind::Precondition
    );
}

#[tokio::test]
async fn parts_must_be_equal() {
    let part = |bytes: usize| Payload::from(Bytes::from(vec![0; bytes]));
    const MIB: usize = 5 << 20;
    for (lengths, is_taken) in [
        (&[MIB, MIB, 1][..], true),
        (&[MIB], true),
        (&[MIB, MIB + 1, MIB], false),
        (&[MIB, MIB, MIB + 1], false),
    ] {
        let (store, _) = store(Dialect::EqualParts);
        let options = PutOptions::default();
        let upload = store.multipart_start(&key("a"), &options).await.unwrap();
        let mut parts = Vec::new();
        for (number, bytes) in (1..).zip(lengths) {
            let sent = store
                .multipart_put(&key("a"), &upload, number, part(*bytes))
                .await;
            parts.push(sent.unwrap());
        }
        let done = (store.multipart_complete(&key("a"), &upload, &parts, Precondition::None)).await;
        assert_eq!(done.is_ok(), is_taken, "{lengths:?}");
    }
}

#[tokio::test]
async fn keys_are_paths() {
    let (store, _) = store(Dialect::NoPrefixObjects);
    put(&store, "a").await.unwrap();
    put(&store, "d/").await.unwrap();
    put(&store, "d/e/f").await.unwrap();
    for refused in ["a/b", "a/b/c", "a/", "d", "d/e"] {
        assert!(put(&store, refused).await.is_err(), "{refused}");
    }
    for fine in ["ab", "a", "d/e/", "d/e/g", "b/c"] {
        put(&store, fine).await.unwrap();
    }
}

#[tokio::test]
async fn there_is_no_order_and_no_beginning() {
    let (store, _) = store(Dialect::Unordered);
    let mut keys: Vec<_> = (0..20).map(|n| format!("k{n:02}")).collect();
    keys.extend((0..9).map(|n| format!("d{n}/x")));
    for key in &keys {
        put(&store, key).await.unwrap();
    }
    keys.sort();
    for limit in [1, 7, 1000] {
        let request = ListRequest {
            limit: Some(limit),
            ..ListRequest::default()
        };
        let mut found = names(&store, &request).await;
        assert!(!found.is_sorted());
        found.sort();
        assert_eq!(found, keys);
    }
    let request = ListRequest {
        start_after: Some("k".to_owned()),
        ..ListRequest::default()
    };
    let error = store.list(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn listings_are_late() {
    let (store, clock) = store(Dialect::Lags);
    let all = ListRequest::default();
    put(&store, "a").await.unwrap();
    assert_eq!(names(&store, &all).await, [""; 0]);
    clock.advance(LAG);
    assert_eq!(names(&store, &all).await, ["a"]);
    let old = store.head(&key("a")).await.unwrap().version;
    put(&store, "a").await.unwrap();
    store.delete(&[key("a")]).await.unwrap();
    put(&store, "b").await.unwrap();
    let page = store.list(all.clone()).await.unwrap();
    assert_eq!(page.objects[0].version, Some(old));
    assert_eq!(names(&store, &all).await, ["a"]);
    clock.advance(LAG - Duration::from_millis(1));
    assert_eq!(names(&store, &all).await, ["a"]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(names(&store, &all).await, ["b"]);
}
