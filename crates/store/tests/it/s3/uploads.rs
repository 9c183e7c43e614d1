//! Uploads in parts.

use super::*;

async fn upload_one(store: &dyn Store, key: &Key, body: &Bytes) -> (UploadId, Vec<PartTag>) {
    let upload = store
        .multipart_start(key, &PutOptions::default())
        .await
        .unwrap();
    let part = store
        .multipart_put(key, &upload, 1, body.clone().into())
        .await
        .unwrap();
    (upload, vec![part])
}

async fn complete(store: &dyn Store, key: &Key, upload: &UploadId, parts: &[PartTag]) -> Version {
    let done = store.multipart_complete(key, upload, parts, Precondition::None);
    done.await.unwrap()
}

#[tokio::test]
async fn multipart_joins_parts() {
    let Some(server) = server() else { return };
    let store = &server.store;
    let a = key("joined/é+ b");
    let first = Bytes::from(vec![b'1'; PART]);
    let (upload, mut parts) = upload_one(store, &a, &first).await;
    let tail = store.multipart_put(&a, &upload, 2, payload("tail"));
    parts.push(tail.await.unwrap());
    let version = complete(store, &a, &upload, &parts).await;
    let meta = store.head(&a).await.unwrap();
    assert_eq!(meta.size, PART as u64 + 4);
    if server.has(Lack::SteadyVersions) {
        assert_eq!(meta.version, version);
    }
    clear(store, "joined/").await;
}

#[tokio::test]
async fn multipart_copies_parts() {
    let Some(server) = server() else { return };
    if !server.has(Lack::PartCopy) {
        return;
    }
    let store = &server.store;
    let (a, b) = (key("parts/a é+"), key("parts/b"));
    let source = |if_match| CopySource {
        key: a.clone(),
        if_match,
    };
    let range = 0..PART as u64;
    let first = Bytes::from(vec![b'1'; PART]);
    let put = store.put(&a, first.into(), PutOptions::default());
    let version = put.await.unwrap();
    let options = PutOptions::default();
    let upload = store.multipart_start(&b, &options).await.unwrap();
    let stranger = Some(Version::new(STRANGER));
    let refused = store.multipart_copy(&b, &upload, 1, source(stranger), range.clone());
    let error = refused.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");
    let first = store.multipart_copy(&b, &upload, 1, source(Some(version)), range);
    let first = first.await.unwrap();
    let second = store.multipart_put(&b, &upload, 2, payload("new tail"));
    let second = second.await.unwrap();
    complete(store, &b, &upload, &[first, second]).await;
    let options = GetOptions {
        range: Some(PART as u64 - 1..PART as u64 + 8),
        if_match: None,
    };
    assert_eq!(store.get_bytes(&b, options).await.unwrap(), "1new tail");
    clear(store, "parts/").await;
}

#[tokio::test]
async fn multipart_conditions_hold() {
    let Some(server) = server() else { return };
    if !server.has(Lack::CompleteIf) {
        return;
    }
    let store = &server.store;
    let a = key("complete/a");
    clear(store, "complete/").await;
    let small = Bytes::from_static(b"small");
    let upload_if = async |precondition| {
        let (upload, parts) = upload_one(store, &a, &small).await;
        store
            .multipart_complete(&a, &upload, &parts, precondition)
            .await
    };
    let refused = |result: cloudmount_store::Result<Version>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");
    };
    let stranger = || Precondition::Matches(Version::new(STRANGER));
    refused(upload_if(stranger()).await);
    let version = upload_if(Precondition::Absent).await.unwrap();
    refused(upload_if(Precondition::Absent).await);
    refused(upload_if(stranger()).await);
    upload_if(Precondition::Matches(version)).await.unwrap();
    clear(store, "complete/").await;
}

#[tokio::test]
async fn multipart_is_given_up() {
    let Some(server) = server() else { return };
    let store = &server.store;
    let a = key("aborted/a");
    let (upload, parts) = upload_one(store, &a, &Bytes::from_static(b"x")).await;
    store.multipart_abort(&a, &upload).await.unwrap();
    store.multipart_abort(&a, &upload).await.unwrap();
    let late = store.multipart_complete(&a, &upload, &parts, Precondition::None);
    let error = late.await.unwrap_err();
    if server.has(Lack::UnknownUpload) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
    let error = store.head(&a).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}
