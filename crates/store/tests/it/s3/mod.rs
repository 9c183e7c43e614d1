//! The S3 backend against a real server.
//!
//! Which one, the variable `CLOUDMOUNT_TEST_S3` says: `endpoint|bucket|access key|secret key`, and
//! as a fifth field, with commas between, what that server is known to lack (see [`Lack`]), and
//! `law:NAME` for laws of the conformance suite that it is known to break. The
//! bucket must exist; the tests write and remove objects of their own in it. Without the variable
//! they say that they were skipped.

mod objects;
mod uploads;

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
