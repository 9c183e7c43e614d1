//! The S3 backend against a real server.
//!
//! Which one, the variable `CLOUDMOUNT_TEST_S3` says: `endpoint|bucket|access key|secret key`, and
//! as a fifth field, with commas between, what that server is known to lack (see [`Lack`]), and
//! `law:NAME` for laws of the conformance suite that it is known to break. The
//! bucket must exist; the tests write and remove objects of their own in it. Without the variable
//! they say that they were skipped.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::probe::{SCRATCH, probe};
use cloudmount_store::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, ErrorKind, GetOptions, Key, ListRequest,
    Metadata, PartTag, Payload, Precondition, PutOptions, S3Credentials, S3Settings, S3Store,
    Secret, Store, StoreExt, UploadId, Version,
};
use cloudmount_testkit::store_suite::{Bed, KeyShape, Limits, Outcome, all};
use cloudmount_vfs::{Clock, SystemClock};

/// The smallest part that every server takes.
const PART: usize = 5 << 20;

/// A version that no object has.
const STRANGER: &str = "\"00000000000000000000000000000000\"";

/// A server's known gaps, so that everything else is checked all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lack {
    /// `If-None-Match: *` on a put.
    PutIfAbsent,
    /// `If-Match` on a put.
    PutIfMatch,
    /// Any condition on completing a multipart upload.
    CompleteIf,
    /// `x-amz-copy-source-if-match` on `CopyObject` (on part copies the store checks by itself).
    CopySourceIf,
    /// `If-Match` on a removal.
    DeleteIf,
    /// Versions in a removal of many.
    DeleteManyIf,
    /// Keys with empty, `.` or `..` parts, or `/` at an end.
    PathKeys,
    /// Keys with control characters.
    ControlKeys,
    /// Keys with line ends.
    LineKeys,
    /// Keys with the character NUL.
    NulKeys,
    /// Keys with parts of more than 255 bytes.
    LongKeys,
    /// User metadata.
    UserMetadata,
    /// `Expires`.
    Expires,
    /// Replacing metadata while copying.
    CopyReplace,
    /// `UploadPartCopy`.
    PartCopy,
    /// "Not found" for an unknown upload.
    UnknownUpload,
    /// The same version from a completed upload as from a look at the object.
    SteadyVersions,
    /// So much that the conformance suite says nothing about us.
    Laws,
}

const LACKS: [(&str, Lack); 18] = [
    ("put-if-absent", Lack::PutIfAbsent),
    ("put-if-match", Lack::PutIfMatch),
    ("complete-if", Lack::CompleteIf),
    ("copy-source-if", Lack::CopySourceIf),
    ("delete-if", Lack::DeleteIf),
    ("delete-many-if", Lack::DeleteManyIf),
    ("path-keys", Lack::PathKeys),
    ("control-keys", Lack::ControlKeys),
    ("line-keys", Lack::LineKeys),
    ("nul-keys", Lack::NulKeys),
    ("long-keys", Lack::LongKeys),
    ("user-metadata", Lack::UserMetadata),
    ("expires", Lack::Expires),
    ("copy-replace", Lack::CopyReplace),
    ("part-copy", Lack::PartCopy),
    ("unknown-upload", Lack::UnknownUpload),
    ("steady-versions", Lack::SteadyVersions),
    ("laws", Lack::Laws),
];

struct Server {
    store: S3Store,
    settings: S3Settings,
    endpoint: String,
    bucket: String,
    lacks: Vec<Lack>,
    broken_laws: Vec<String>,
}

impl Server {
    /// The same bucket, of which that is believed.
    fn with_capabilities(&self, capabilities: Capabilities) -> S3Store {
        let settings = S3Settings {
            capabilities,
            ..self.settings.clone()
        };
        S3Store::new(&self.bucket, &settings, Arc::new(SystemClock::new())).unwrap()
    }

    fn has(&self, lack: Lack) -> bool {
        let has = !self.lacks.contains(&lack);
        if !has {
            println!("skipped: the server lacks {lack:?}");
        }
        has
    }
}

fn settings(endpoint: &str, access_key: &str, secret_key: &str) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        credentials: S3Credentials::Static {
            access_key: access_key.to_owned(),
            secret_key: Secret::new(secret_key),
            session_token: None,
        },
        allow_http: true,
        ..S3Settings::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own settings")]
fn server() -> Option<Server> {
    let Ok(text) = std::env::var("CLOUDMOUNT_TEST_S3") else {
        println!("skipped: CLOUDMOUNT_TEST_S3 names no server");
        return None;
    };
    let fields: Vec<&str> = text.split('|').collect();
    let [endpoint, bucket, access_key, secret_key, lacks @ ..] = fields.as_slice() else {
        panic!("CLOUDMOUNT_TEST_S3: endpoint|bucket|access key|secret key[|lacks]");
    };
    let gaps = lacks.iter().flat_map(|list| list.split(','));
    let mut lacks = Vec::new();
    let mut broken_laws = Vec::new();
    for gap in gaps {
        match (
            gap.strip_prefix("law:"),
            LACKS.iter().find(|(name, _)| *name == gap),
        ) {
            (Some(law), _) => broken_laws.push(law.to_owned()),
            (None, Some((_, lack))) => lacks.push(*lack),
            (None, None) => panic!("CLOUDMOUNT_TEST_S3: nothing is known as {gap:?}"),
        }
    }
    let has = |lack| !lacks.contains(&lack);
    let mut settings = settings(endpoint, access_key, secret_key);
    settings.capabilities.put_if_absent = has(Lack::PutIfAbsent);
    settings.capabilities.put_if_match = has(Lack::PutIfMatch);
    settings.capabilities.part_copy = has(Lack::PartCopy);
    settings.capabilities.delete_if = has(Lack::DeleteIf);
    Some(Server {
        store: S3Store::new(bucket, &settings, Arc::new(SystemClock::new())).unwrap(),
        settings,
        endpoint: (*endpoint).to_owned(),
        bucket: (*bucket).to_owned(),
        lacks,
        broken_laws,
    })
}

fn key(text: impl AsRef<str>) -> Key {
    Key::new(text.as_ref()).unwrap()
}

fn payload(text: &'static str) -> Payload {
    Bytes::from_static(text.as_bytes()).into()
}

async fn list_all(store: &dyn Store, prefix: &str, limit: Option<u16>) -> Vec<String> {
    let mut request = ListRequest {
        prefix: prefix.to_owned(),
        limit,
        ..ListRequest::default()
    };
    let mut keys = Vec::new();
    loop {
        let page = store.list(request.clone()).await.unwrap();
        keys.extend(page.objects.into_iter().map(|o| o.key.as_str().to_owned()));
        match page.next {
            Some(token) => request.token = Some(token),
            None => return keys,
        }
    }
}

async fn clear(store: &dyn Store, prefix: &str) {
    for text in list_all(store, prefix, None).await {
        let results = store.delete(&[key(text)]).await.unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    }
}

fn strange_keys(server: &Server) -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "a b",
        " a",
        "a ",
        "a+b c",
        "%41",
        "%2F",
        "é/ß/日本",
        "&<>\"'",
        "a?b#c",
        "a;b=c&d",
        "~!$()*,:@[]{}|\\^`",
    ]
    .map(str::to_owned)
    .into();
    if server.has(Lack::PathKeys) {
        let more = [
            "a//b", "a/", "//", "/lead", "./x", "../y", "a/./b", "a/../b", "a/..", ".", "..",
        ];
        keys.extend(more.map(str::to_owned));
    }
    if server.has(Lack::ControlKeys) {
        keys.extend(["\u{1}", "a\tb", "\u{7f}", "\u{85}x", "\u{2028}"].map(str::to_owned));
    }
    if server.has(Lack::LineKeys) {
        keys.extend(["a\nb", "a\r\nb", "\n"].map(str::to_owned));
    }
    if server.has(Lack::NulKeys) {
        keys.push("a\0b".to_owned());
    }
    if server.has(Lack::LongKeys) {
        keys.push("x".repeat(Key::MAX_BYTES));
        keys.push("é".repeat(Key::MAX_BYTES / 2));
    }
    keys
}

#[tokio::test]
async fn the_probe_finds_what_the_server_honours() {
    let Some(mut server) = server() else { return };
    // Whatever it is known to lack: the probe is to find it by itself.
    let claimed = Capabilities {
        copy_if: true,
        ..Capabilities::S3
    };
    server.store = server.with_capabilities(claimed);
    let clock = SystemClock::new();
    let nonce = u64::from(std::process::id());
    let began = clock.now();
    let found = probe(&server.store, &clock, nonce).await;
    println!("in {:?}:", clock.now().saturating_since(began));
    for (name, finding) in found.findings() {
        println!("{name}: {finding:?}");
    }
    let known = [
        (found.put_if_absent, Lack::PutIfAbsent),
        (found.put_if_match, Lack::PutIfMatch),
        (found.complete_if_absent, Lack::CompleteIf),
        (found.complete_if_match, Lack::CompleteIf),
        (found.copy_source_if_match, Lack::CopySourceIf),
        (found.copy_onto_itself, Lack::CopyReplace),
        (found.part_copy, Lack::PartCopy),
        (found.delete_if_match, Lack::DeleteIf),
        (found.delete_many_if_match, Lack::DeleteManyIf),
    ];
    for (finding, lack) in known {
        assert!(finding.is_kept() || !server.has(lack), "{lack:?}");
    }
    // Of a lack with several sides, a server may have one.
    for (finding, lack) in [
        (found.put_if_absent, Lack::PutIfAbsent),
        (found.complete_if_match, Lack::CompleteIf),
        (found.copy_source_if_match, Lack::CopySourceIf),
        (found.part_copy, Lack::PartCopy),
        (found.delete_if_match, Lack::DeleteIf),
        (found.delete_many_if_match, Lack::DeleteManyIf),
    ] {
        assert!(!finding.is_kept() || server.has(lack), "{lack:?}");
    }
    assert_eq!(
        list_all(&server.store, SCRATCH, None).await,
        Vec::<String>::new()
    );
    if let Ok(page) = server.store.multipart_list(SCRATCH, None).await {
        assert_eq!(page.uploads, []);
    }
}

#[tokio::test]
async fn strange_keys_survive_everything() {
    let Some(server) = server() else { return };
    let store = &server.store;
    let keys = strange_keys(&server);
    let mut problems = Vec::new();
    for text in &keys {
        if let Err(problem) = one_key(&server, text).await {
            problems.push(format!("{text:?}: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");

    // All at once: none hides another, and one bulk removal takes them all.
    let mut there = Vec::new();
    for text in &keys {
        store
            .put(&key(text), payload("x"), PutOptions::default())
            .await
            .unwrap();
        there.push(key(text));
    }
    let listed: BTreeSet<String> = list_all(store, "", Some(3)).await.into_iter().collect();
    for text in &keys {
        assert!(listed.contains(text), "{text:?} is missing in {listed:?}");
    }
    for result in store.delete(&there).await.unwrap() {
        result.unwrap();
    }
    let listed = list_all(store, "", None).await;
    for text in &keys {
        assert!(!listed.contains(text), "{text:?} is still there");
    }
}

async fn one_key(server: &Server, text: &str) -> Result<(), String> {
    let store = &server.store;
    let (key, twin) = (key(text), key("strange/copy"));
    let say = |what: &str, e: cloudmount_store::Error| format!("{what}: {e:?}");
    let version = store
        .put(&key, payload("body"), PutOptions::default())
        .await;
    let version = version.map_err(|e| say("put", e))?;
    let meta = store.head(&key).await.map_err(|e| say("head", e))?;
    if (meta.size, &meta.version) != (4, &version) {
        return Err(format!("head: {meta:?}"));
    }
    let body = store.get_bytes(&key, GetOptions::default()).await;
    if body.map_err(|e| say("get", e))? != "body" {
        return Err("get: other content".to_owned());
    }
    let listed = list_all(store, text, None).await;
    if !listed.contains(&text.to_owned()) {
        return Err(format!("list: {listed:?}"));
    }
    let source = CopySource {
        key: key.clone(),
        if_match: None,
    };
    let options = CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    store
        .copy(source, &twin, options)
        .await
        .map_err(|e| say("copy", e))?;
    let body = store.get_bytes(&twin, GetOptions::default()).await;
    if body.map_err(|e| say("get the copy", e))? != "body" {
        return Err("copy: other content".to_owned());
    }
    for key in [key, twin] {
        let mut results = store
            .delete(std::slice::from_ref(&key))
            .await
            .map_err(|e| say("delete", e))?;
        results.remove(0).map_err(|e| say("delete", e))?;
        match store.head(&key).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => return Err(format!("after delete: {other:?}")),
        }
    }
    Ok(())
}

#[tokio::test]
async fn folders_are_grouped_and_pages_continue() {
    let Some(server) = server() else { return };
    let store = &server.store;
    clear(store, "pages/").await;
    let names = ["a", "b/1", "b/2", "c", "d/1", "e"];
    for name in names {
        let key = key(format!("pages/{name}"));
        store
            .put(&key, payload("x"), PutOptions::default())
            .await
            .unwrap();
    }
    for limit in [1, 2, 3, 1000] {
        let mut request = ListRequest {
            prefix: "pages/".to_owned(),
            by_folder: true,
            limit: Some(limit),
            ..ListRequest::default()
        };
        let mut found = BTreeSet::new();
        loop {
            let page = store.list(request.clone()).await.unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= usize::from(limit));
            found.extend(page.objects.iter().map(|o| o.key.as_str().to_owned()));
            found.extend(page.prefixes);
            match page.next {
                Some(token) => request.token = Some(token),
                None => break,
            }
        }
        let expected = ["pages/a", "pages/b/", "pages/c", "pages/d/", "pages/e"];
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "limit {limit}");
    }
    let after = ListRequest {
        prefix: "pages/".to_owned(),
        start_after: Some("pages/b/1".to_owned()),
        ..ListRequest::default()
    };
    let page = store.list(after).await.unwrap();
    let keys: Vec<_> = page.objects.iter().map(|o| o.key.as_str()).collect();
    assert_eq!(keys, ["pages/b/2", "pages/c", "pages/d/1", "pages/e"]);
    let head = store.head(&key("pages/a")).await.unwrap();
    let listed = list_one(store, "pages/a").await;
    assert_eq!(listed.version.as_ref(), Some(&head.version));
    assert_eq!(listed.modified.secs(), head.modified.secs());
    clear(store, "pages/").await;
}

async fn list_one(store: &dyn Store, text: &str) -> cloudmount_store::ListedObject {
    let request = ListRequest {
        prefix: text.to_owned(),
        ..ListRequest::default()
    };
    store.list(request).await.unwrap().objects.remove(0)
}

fn metadata() -> Metadata {
    Metadata {
        content_type: Some("text/x-test".to_owned()),
        cache_control: Some("max-age=60".to_owned()),
        expires: Some("Wed, 21 Oct 2037 07:28:00 GMT".to_owned()),
        user: [
            ("file-permissions", "0100644"),
            ("name", "naïve 日本"),
            ("gaps", " two  spaces "),
            ("lines", "a\nb\u{1}"),
            ("looks", "=?UTF-8?B?eA==?="),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..Metadata::default()
    }
}

#[tokio::test]
async fn metadata_survives_put_copy_and_multipart() {
    let Some(server) = server() else { return };
    if !server.has(Lack::UserMetadata) {
        return;
    }
    let store = &server.store;
    let (a, b) = (key("metadata/a"), key("metadata/b"));
    let options = PutOptions {
        metadata: metadata(),
        ..PutOptions::default()
    };
    let check = |found: Metadata| {
        let expected = metadata();
        // Some servers add names of their own.
        for (name, value) in &expected.user {
            assert_eq!(found.user.get(name), Some(value), "{name}");
        }
        assert_eq!(found.content_type, expected.content_type);
        assert_eq!(found.cache_control, expected.cache_control);
        if server.has(Lack::Expires) {
            assert_eq!(found.expires, expected.expires);
        }
    };
    store.put(&a, payload("x"), options.clone()).await.unwrap();
    check(store.head(&a).await.unwrap().metadata);
    check(
        store
            .get(&a, GetOptions::default())
            .await
            .unwrap()
            .meta
            .metadata,
    );

    let source = || CopySource {
        key: a.clone(),
        if_match: None,
    };
    let keep = CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    store.copy(source(), &b, keep).await.unwrap();
    check(store.head(&b).await.unwrap().metadata);
    if server.has(Lack::CopyReplace) {
        let other = Metadata {
            user: [("only".to_owned(), "this".to_owned())].into(),
            ..Metadata::default()
        };
        let replace = CopyOptions {
            metadata: CopyMetadata::Replace(other.clone()),
            precondition: Precondition::None,
            source_bytes: None,
        };
        store.copy(source(), &b, replace.clone()).await.unwrap();
        assert_eq!(store.head(&b).await.unwrap().metadata.user, other.user);
        // Onto itself too: how attributes of a file change.
        store.copy(source(), &a, replace).await.unwrap();
        assert_eq!(store.head(&a).await.unwrap().metadata.user, other.user);
    }
    let upload = store.multipart_start(&a, &options).await.unwrap();
    let part = store
        .multipart_put(&a, &upload, 1, payload("x"))
        .await
        .unwrap();
    store
        .multipart_complete(&a, &upload, &[part], Precondition::None)
        .await
        .unwrap();
    check(store.head(&a).await.unwrap().metadata);
    clear(store, "metadata/").await;
}

#[tokio::test]
async fn reads_of_ranges_and_versions() {
    let Some(server) = server() else { return };
    let store = &server.store;
    let a = key("ranges/a");
    let version = store
        .put(&a, payload("0123456789"), PutOptions::default())
        .await
        .unwrap();
    for (range, expected) in [
        (0..10, "0123456789"),
        (3..5, "34"),
        (9..10, "9"),
        (8..100, "89"),
        (0..1000, "0123456789"),
    ] {
        let options = GetOptions {
            range: Some(range.clone()),
            if_match: Some(version.clone()),
        };
        let result = store.get(&a, options.clone()).await.unwrap();
        assert_eq!(result.range, range.start..range.end.min(10));
        assert_eq!(result.meta.size, 10);
        assert_eq!(store.get_bytes(&a, options).await.unwrap(), expected);
    }
    let beyond = GetOptions {
        range: Some(10..12),
        if_match: None,
    };
    let error = store.get(&a, beyond).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Range, "{error}");
    let other = GetOptions {
        range: None,
        if_match: Some(Version::new(STRANGER)),
    };
    let error = store.get(&a, other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    store
        .put(&a, Payload::default(), PutOptions::default())
        .await
        .unwrap();
    assert_eq!(
        store.get_bytes(&a, GetOptions::default()).await.unwrap(),
        ""
    );
    clear(store, "ranges/").await;
}

#[tokio::test]
async fn conditions_hold() {
    let Some(server) = server() else { return };
    let store = &server.store;
    clear(store, "conditions/").await;
    let a = key("conditions/a");
    let put = |precondition| {
        let options = PutOptions {
            precondition,
            ..PutOptions::default()
        };
        store.put(&a, payload("x"), options)
    };
    let refused = |result: cloudmount_store::Result<Version>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");
    };
    let stranger = || Precondition::Matches(Version::new(STRANGER));
    if server.has(Lack::PutIfMatch) {
        refused(put(stranger()).await);
    }
    let version = if server.has(Lack::PutIfAbsent) {
        let version = put(Precondition::Absent).await.unwrap();
        refused(put(Precondition::Absent).await);
        version
    } else {
        put(Precondition::None).await.unwrap()
    };
    if server.has(Lack::PutIfMatch) {
        refused(put(stranger()).await);
        put(Precondition::Matches(version)).await.unwrap();
    }
    if server.has(Lack::CopySourceIf) {
        let source = CopySource {
            key: a.clone(),
            if_match: Some(Version::new(STRANGER)),
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: Precondition::None,
            source_bytes: None,
        };
        refused(store.copy(source, &key("conditions/b"), options).await);
    }
    clear(store, "conditions/").await;
}

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

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let Some(server) = server() else { return };
    let missing = key("errors/missing");
    let error = server
        .store
        .get(&missing, GetOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&server.endpoint), "{error}");

    let clock = Arc::new(SystemClock::new());
    let strangers = settings(&server.endpoint, "nobody", "hunter2");
    let stranger = S3Store::new(&server.bucket, &strangers, clock.clone()).unwrap();
    match stranger.list(ListRequest::default()).await {
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::Unauthorized | ErrorKind::Forbidden),
                "{error:?}"
            );
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        Ok(_) => println!("skipped: the server checks no credentials"),
    }
    let nowhere = settings("http://127.0.0.1:1", "nobody", "hunter2");
    let nowhere = S3Store::new("pail", &nowhere, clock).unwrap();
    let error = nowhere.head(&missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
}

/// The shapes of keys that a server refuses.
fn limits(server: &Server) -> Limits {
    let shapes = [
        (Lack::PathKeys, KeyShape::EmptyPart),
        (Lack::PathKeys, KeyShape::DotPart),
        (Lack::PathKeys, KeyShape::Marker),
        (Lack::PathKeys, KeyShape::FileAndFolder),
        (Lack::ControlKeys, KeyShape::Control),
        (Lack::LineKeys, KeyShape::Control),
        (Lack::NulKeys, KeyShape::Nul),
        (Lack::LongKeys, KeyShape::LongPart),
        (Lack::LongKeys, KeyShape::LongKey),
    ];
    let refused = shapes.iter().filter(|(lack, _)| !server.has(*lack));
    let refused: Vec<KeyShape> = refused.map(|(_, shape)| *shape).collect();
    // The suite takes what a store knows at compile time; a server is known at run time only.
    Limits {
        refused_keys: refused.leak(),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_of_all_stores_hold() {
    let Some(server) = server() else { return };
    if !server.has(Lack::Laws) {
        return;
    }
    let limits = limits(&server);
    let root = format!("laws-{}/", std::process::id());
    let bed = Bed::new(Arc::new(server.store))
        .below(root)
        .with_limits(limits);
    let mut broken = Vec::new();
    for law in all() {
        let known = server.broken_laws.iter().any(|name| name == law.name);
        match bed.run(law).await {
            Ok(Outcome::Held) => {}
            Ok(Outcome::Skipped(why)) => println!("skipped: {}: {why}", law.name),
            Err(why) if known => println!("known to be broken here: {}: {why}", law.name),
            Err(why) => broken.push(format!("{}: {why}", law.name)),
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
