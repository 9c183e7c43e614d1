//! The store in memory: the suite, with every feature and with some missing, and its own promises.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use cloudmount_store::{
    Capabilities, ErrorKind, GetOptions, Key, MemoryStore, Metadata, Payload, Precondition,
    PutOptions, Store, StoreExt,
};
use cloudmount_testkit::store_suite::Bed;
use cloudmount_vfs::{Clock, SystemClock};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn full() -> Bed {
    Bed::new(Arc::new(MemoryStore::new(clock())))
}

/// What a poor endpoint offers: no preconditions, no markers, no part copies, pages of one delete.
const POOR: Capabilities = Capabilities {
    put_if_absent: false,
    put_if_match: false,
    copy_if: false,
    delete_if: false,
    part_copy: false,
    folder_markers: false,
    user_metadata: false,
    part_bytes_min: 16,
    delete_keys_max: 1,
    ..Capabilities::S3
};

fn poor() -> Bed {
    Bed::new(Arc::new(MemoryStore::with_capabilities(clock(), POOR)))
}

fn shared() -> Bed {
    full().below("a bucket/that others use/")
}

mod laws_with_every_feature {
    cloudmount_testkit::store_tests!(crate::memory::full);
}

mod laws_with_few_features {
    cloudmount_testkit::store_tests!(crate::memory::poor);
}

mod laws_in_a_shared_bucket {
    cloudmount_testkit::store_tests!(crate::memory::shared);
}

/// The key of most tests.
static A: LazyLock<Key> = LazyLock::new(|| key("a"));

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn payload(text: &'static str) -> Payload {
    Payload::from(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn the_same_content_again_is_another_version() {
    let store = MemoryStore::new(clock());
    let put = || store.put(&A, payload("same"), PutOptions::default());
    let (first, second) = (put().await.unwrap(), put().await.unwrap());
    assert_ne!(first, second);
    assert!(first.as_str().starts_with('"') && first.as_str().ends_with('"'));
}

#[tokio::test]
async fn readers_share_the_bytes_of_the_writer() {
    let store = MemoryStore::new(clock());
    let bytes = Bytes::from(vec![1; 1000]);
    let written = Payload::from(bytes.clone());
    store.put(&A, written, PutOptions::default()).await.unwrap();
    let options = GetOptions {
        range: Some(10..20),
        ..GetOptions::default()
    };
    let read = store.get_bytes(&A, options).await.unwrap();
    assert_eq!(read.as_ptr(), bytes[10..].as_ptr());
}

#[tokio::test]
async fn what_the_capabilities_deny_is_refused() {
    let store = MemoryStore::with_capabilities(clock(), POOR);
    let of = |precondition| PutOptions {
        precondition,
        ..PutOptions::default()
    };
    let absent = store.put(&A, payload("x"), of(Precondition::Absent)).await;
    assert_eq!(absent.unwrap_err().kind(), ErrorKind::Unsupported);
    let marker = store
        .put(&key("a/"), payload(""), PutOptions::default())
        .await;
    assert_eq!(marker.unwrap_err().kind(), ErrorKind::Unsupported);
    let two = store.delete(&[key("a"), key("b")]).await;
    assert_eq!(two.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert!(store.is_empty());
}

#[tokio::test]
async fn too_much_is_refused() {
    let small = Capabilities {
        part_bytes_max: 8,
        object_bytes_max: 12,
        part_bytes_min: 1,
        ..MemoryStore::CAPABILITIES
    };
    let store = MemoryStore::with_capabilities(clock(), small);
    let plain = PutOptions::default();
    let put = store.put(&A, payload("nine byte"), plain.clone()).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::TooLarge);
    let upload = store.multipart_start(&A, &plain).await.unwrap();
    let mut parts = Vec::new();
    for number in 1..=2 {
        let part = store.multipart_put(&A, &upload, number, payload("8 bytes!"));
        parts.push(part.await.unwrap());
    }
    let complete = store.multipart_complete(&A, &upload, &parts, Precondition::None);
    assert_eq!(complete.await.unwrap_err().kind(), ErrorKind::TooLarge);
    let metadata = Metadata {
        user: [("name".to_owned(), "v".repeat(2045))].into(),
        ..Metadata::default()
    };
    let options = PutOptions { metadata, ..plain };
    let put = store.put(&A, payload("x"), options).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(
        store.uploads_in_progress(),
        1,
        "a refused completion keeps the upload"
    );
    store.multipart_abort(&A, &upload).await.unwrap();
    assert_eq!(store.uploads_in_progress(), 0);
}

#[tokio::test]
async fn uploads_come_in_pages_and_each_once() {
    const UPLOADS: usize = 1003;
    let store = MemoryStore::new(clock());
    for _ in 0..UPLOADS {
        let options = PutOptions::default();
        store.multipart_start(&A, &options).await.unwrap();
    }
    let mut found = std::collections::HashSet::new();
    let mut token = None;
    let mut pages = 0;
    loop {
        let page = store.multipart_list("a", token).await.unwrap();
        pages += 1;
        found.extend(page.uploads.into_iter().map(|listed| listed.upload));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (UPLOADS, 2));
}
