//! The adapter over `object_store`'s own store in memory.

use bytes::Bytes;
use object_store::memory::InMemory;

use super::*;
use crate::{CopyMetadata, Metadata, StoreExt};

fn remote() -> Remote {
    Remote::new(Arc::new(InMemory::new()))
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn put(store: &Remote, text: &str, precondition: Precondition) -> Result<Version> {
    let options = PutOptions {
        precondition,
        ..PutOptions::default()
    };
    let body = Bytes::from_static(b"0123456789");
    store.put(&key(text), body.into(), options).await
}

#[tokio::test]
async fn keys_that_no_path_holds_are_refused() {
    let store = remote();
    for text in ["a//b", "a/", "/a", "./x", "a/..", "\u{1}", "a\nb"] {
        let error = put(&store, text, Precondition::None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text:?}");
        let error = store.head(&key(text)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{text:?}");
    }
    for text in ["%41", "a b", "é#?*", "..a", "a/.b"] {
        put(&store, text, Precondition::None).await.unwrap();
        assert_eq!(store.head(&key(text)).await.unwrap().size, 10, "{text:?}");
    }
}

#[tokio::test]
async fn reads() {
    let store = remote();
    let version = put(&store, "a", Precondition::None).await.unwrap();
    let get = async |range, if_match| {
        let options = GetOptions { range, if_match };
        store.get_bytes(&key("a"), options).await
    };
    assert_eq!(get(None, Some(version)).await.unwrap(), "0123456789");
    assert_eq!(get(Some(8..100), None).await.unwrap(), "89");
    let stranger = Some(Version::new("\"none\""));
    for (result, expected) in [
        (get(Some(10..12), None).await, ErrorKind::Range),
        (get(None, stranger).await, ErrorKind::Precondition),
    ] {
        assert_eq!(result.unwrap_err().kind(), expected);
    }
    let error = store.head(&key("missing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn conditional_puts() {
    let store = remote();
    let version = put(&store, "a", Precondition::Absent).await.unwrap();
    let again = put(&store, "a", Precondition::Absent).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Precondition);
    let newer = put(&store, "a", Precondition::Matches(version.clone())).await;
    assert_ne!(newer.unwrap(), version);
    let stale = put(&store, "a", Precondition::Matches(version)).await;
    assert_eq!(stale.unwrap_err().kind(), ErrorKind::Precondition);
    let numbered = store.with_spelling(Conditions::Number, MetadataNames::Plain);
    let stale = Precondition::Matches(Version::new("\"none\""));
    for missing in ["a", "nothing"] {
        let refused = put(&numbered, missing, stale.clone()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Precondition);
    }
}

#[tokio::test]
async fn pages_out_of_one_stream() {
    let store = remote();
    for text in ["p/a", "p/b/1", "p/b/2", "p/c", "p/d/x/y", "pa", "q"] {
        put(&store, text, Precondition::None).await.unwrap();
    }
    for limit in 1..6 {
        let mut request = ListRequest {
            prefix: "p/".to_owned(),
            by_folder: true,
            limit: Some(limit),
            ..ListRequest::default()
        };
        let mut names = Vec::new();
        loop {
            let page = store.list(request.clone()).await.unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= usize::from(limit));
            let mut now: Vec<_> = page.objects.iter().map(|o| o.key.to_string()).collect();
            now.extend(page.prefixes);
            now.sort();
            names.extend(now);
            match page.next {
                Some(token) => request.token = Some(token),
                None => break,
            }
        }
        assert_eq!(names, ["p/a", "p/b/", "p/c", "p/d/"], "limit {limit}");
    }
    let after = ListRequest {
        prefix: "p".to_owned(),
        start_after: Some("p/c".to_owned()),
        ..ListRequest::default()
    };
    let page = store.list(after).await.unwrap();
    let keys: Vec<_> = page.objects.iter().map(|o| o.key.as_str()).collect();
    assert_eq!(keys, ["p/d/x/y", "pa"]);
    let nowhere = ListRequest {
        prefix: "p//".to_owned(),
        ..ListRequest::default()
    };
    assert_eq!(store.list(nowhere).await.unwrap(), ListPage::default());
}

#[tokio::test]
async fn metadata_travels() {
    let store = remote().with_spelling(Conditions::Tag, MetadataNames::Identifiers);
    let metadata = Metadata {
        content_type: Some("text/plain".to_owned()),
        user: [("file-mtime".to_owned(), "é\n".to_owned())].into(),
        ..Metadata::default()
    };
    let options = PutOptions {
        metadata: metadata.clone(),
        ..PutOptions::default()
    };
    store
        .put(&key("a"), Payload::default(), options)
        .await
        .unwrap();
    assert_eq!(store.head(&key("a")).await.unwrap().metadata, metadata);
    let source = CopySource {
        key: key("a"),
        if_match: None,
    };
    let keep = CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    store.copy(source.clone(), &key("b"), keep).await.unwrap();
    assert_eq!(store.head(&key("b")).await.unwrap().metadata, metadata);
    let replace = CopyOptions {
        metadata: CopyMetadata::Replace(metadata),
        precondition: Precondition::None,
        source_bytes: None,
    };
    let refused = store.copy(source, &key("b"), replace).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn copies_check_their_source() {
    let store = remote();
    let version = put(&store, "a", Precondition::None).await.unwrap();
    let copy = async |version, to: &str, precondition| {
        let source = CopySource {
            key: key("a"),
            if_match: Some(version),
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition,
            source_bytes: None,
        };
        store.copy(source, &key(to), options).await
    };
    copy(version.clone(), "b", Precondition::None)
        .await
        .unwrap();
    let stale = copy(Version::new("\"none\""), "c", Precondition::None).await;
    assert_eq!(stale.unwrap_err().kind(), ErrorKind::Precondition);
    let nothing = store.head(&key("c")).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
    let refused = copy(version, "c", Precondition::Absent).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn uploads_in_parts() {
    let memory = Arc::new(InMemory::new());
    let store = Remote::new(Arc::clone(&memory) as Arc<_>).with_uploads(memory);
    let refused = put(&store, "a", Precondition::Absent).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    let a = key("a");
    let upload = store
        .multipart_start(&a, &PutOptions::default())
        .await
        .unwrap();
    let piece = |text: &'static str| Payload::from(Bytes::from_static(text.as_bytes()));
    let second = store
        .multipart_put(&a, &upload, 2, piece("two"))
        .await
        .unwrap();
    let first = store
        .multipart_put(&a, &upload, 1, piece("one"))
        .await
        .unwrap();
    let gap = store.multipart_complete(
        &a,
        &upload,
        std::slice::from_ref(&second),
        Precondition::None,
    );
    assert_eq!(gap.await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let parts = [first, second];
    let condition = store.multipart_complete(&a, &upload, &parts, Precondition::Absent);
    assert_eq!(condition.await.unwrap_err().kind(), ErrorKind::Unsupported);
    let done = store.multipart_complete(&a, &upload, &parts, Precondition::None);
    done.await.unwrap();
    assert_eq!(
        store.get_bytes(&a, GetOptions::default()).await.unwrap(),
        "onetwo"
    );
    let whole = Remote::new(Arc::new(InMemory::new()));
    let refused = whole.multipart_start(&a, &PutOptions::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(whole.capabilities().parts_max, 1);
}

#[tokio::test]
async fn removals() {
    let store = remote();
    put(&store, "a", Precondition::None).await.unwrap();
    let results = store
        .delete(&[key("a"), key("b"), key("c//d")])
        .await
        .unwrap();
    let kinds: Vec<_> = results
        .into_iter()
        .map(|r| r.err().map(|e| e.kind()))
        .collect();
    assert_eq!(kinds, [None, None, None]);
}
