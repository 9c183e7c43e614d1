//! Credentials of a limited life: a server that refuses those that have expired, and services on loopback that hand out new
//! ones, as those of Amazon do. An upload that outlives many of them goes through without an error.

mod services;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::{
    ErrorKind, GetOptions, Key, MemoryStore, Precondition, PutOptions, Role, S3Credentials,
    S3Settings, S3Store, Secret, SignedIn, Store as _, StoreExt as _,
};
use cloudmount_testkit::loopback::{Handler, Loopback, Request, Response};
use cloudmount_testkit::s3_server::{BUCKET, Keys};
use cloudmount_testkit::{Dialect, S3Server};
use cloudmount_vfs::{BoxFuture, SystemClock};
use parking_lot::Mutex;

use self::services::{Looks, PROOF, Service, Sts, Told};
use crate::reach::CERTIFICATE;

/// Parts of an upload, and their length: 65 MiB in all.
const PARTS: u16 = 13;

const PART_BYTES: usize = 5 << 20;

/// A part of the 2 GiB of the long run.
const LONG_PART_BYTES: usize = 32 << 20;

const LONG_PARTS: u16 = 64;

/// How long a key is taken: some requests.
const LIFE: Duration = Duration::from_secs(3);

/// A bucket behind such a server, and a client of it.
struct World {
    service: Arc<Service>,
    keys: Arc<Keys>,
    store: S3Store,
    _server: S3Server,
    _http: Loopback,
    _sts: Sts,
    _proof: tempfile::NamedTempFile,
    _folder: tempfile::TempDir,
}

/// From where a client has its keys.
#[derive(Clone, Copy, Debug)]
enum From {
    Instance,
    Pod,
    WebIdentity,
    Role,
    Process,
    SignIn,
}

/// Asks the service at a port of this machine, as somebody's program would, and prints what it says.
const PROGRAM: &str = r#"
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET /process HTTP/1.1\r\nHost: here\r\n\r\n' >&3
IFS= read -r status <&3
case $status in *" 200 "*) ;; *) exit 1 ;; esac
while IFS= read -r line <&3; do [ "$line" = $'\r' ] && break; done
IFS= read -r body <&3
printf '%s' "$body"
"#;

/// The file that a sign-in leaves, and who signed in.
fn signed_in(folder: &std::path::Path, endpoint: &str) -> SignedIn {
    // The name is the SHA-1 of the session's, as `aws sso login` has it.
    let file = folder.join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
    let text =
        format!(r#"{{"startUrl":"x","accessToken":"{PROOF}","expiresAt":"2999-01-01T00:00:00Z"}}"#);
    std::fs::write(file, text).unwrap();
    SignedIn {
        profile: "person".to_owned(),
        session: "corp".to_owned(),
        folder: folder.to_owned(),
        region: "eu-1".to_owned(),
        account_id: "123".to_owned(),
        role_name: "reader".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        oidc_endpoint: None,
    }
}

fn base() -> S3Credentials {
    S3Credentials::Static {
        access_key: "base".to_owned(),
        secret_key: Secret::new("base"),
        session_token: None,
    }
}

/// How a client has its keys: from the service at `origin`, or behind TLS at the port of `sts`.
fn credentials(
    from: From,
    origin: &str,
    sts: u16,
    (token_file, folder): (String, &std::path::Path),
) -> S3Credentials {
    match from {
        From::Instance => S3Credentials::Instance {
            metadata_endpoint: Some(origin.to_owned()),
        },
        From::Pod => S3Credentials::Pod {
            full_uri: format!("{origin}/pod"),
            token_file,
        },
        From::WebIdentity => S3Credentials::WebIdentity {
            token_file,
            role_arn: "arn:aws:iam::1:role/r".to_owned(),
            session_name: None,
            sts_endpoint: Some(format!("https://localhost:{sts}/sts")),
        },
        From::Role => S3Credentials::Role {
            role: Role {
                arn: "arn:aws:iam::1:role/r".to_owned(),
                session_name: None,
                external_id: Some("a b&c".to_owned()),
                seconds: None,
            },
            source: Box::new(base()),
            region: Some("eu-1".to_owned()),
            sts_endpoint: Some(format!("{origin}/role")),
        },
        From::Process => {
            let port = origin.rsplit(':').next().unwrap_or_default();
            let command = ["bash", "-c", PROGRAM, "program", port];
            let command = command.map(Secret::new).to_vec();
            S3Credentials::Process { command }
        }
        From::SignIn => S3Credentials::SignIn(signed_in(folder, origin)),
    }
}

fn world(from: From, told: Told, life: Duration) -> World {
    let clock = Arc::new(Looks::default());
    let keys = Arc::new(Keys::default());
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let time = Arc::clone(&clock) as _;
    let server = S3Server::with_keys(bucket, Dialect::Plain, time, Some(Arc::clone(&keys)));
    let server = server.unwrap();
    let service = Arc::new(Service {
        keys: Arc::clone(&keys),
        clock,
        told,
        life,
        refusals: Mutex::default(),
    });
    let asked = Arc::clone(&service);
    let handler: Handler = Arc::new(move |request: Request| {
        let answer = asked.answer(&request);
        Box::pin(std::future::ready(answer)) as BoxFuture<'static, Response>
    });
    let http = Loopback::start(handler).unwrap();
    let sts = Sts::start(Arc::clone(&service));
    let proof = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(proof.path(), PROOF).unwrap();
    let token_file = proof.path().to_str().unwrap().to_owned();
    let origin = http.origin();
    let folder = tempfile::tempdir().unwrap();
    let settings = S3Settings {
        endpoint: Some(server.endpoint()),
        credentials: credentials(from, &origin, sts.port, (token_file, folder.path())),
        allow_http: true,
        extra_ca_pem: CERTIFICATE.to_vec(),
        ..S3Settings::default()
    };
    World {
        store: S3Store::new(BUCKET, &settings, Arc::new(SystemClock::new())).unwrap(),
        service,
        keys,
        _server: server,
        _http: http,
        _sts: sts,
        _proof: proof,
        _folder: folder,
    }
}

fn key() -> Key {
    Key::new("large").unwrap()
}

/// Uploads so many parts, without one error, and reads a piece of it back.
async fn upload(world: &World, parts: u16, part_bytes: usize) {
    let store = &world.store;
    let upload = store.multipart_start(&key(), &PutOptions::default()).await;
    let upload = upload.unwrap();
    let mut tags = Vec::new();
    for number in 1..=parts {
        let byte = u8::try_from(number).unwrap();
        let part = Bytes::from(vec![byte; part_bytes]).into();
        let sent = store.multipart_put(&key(), &upload, number, part).await;
        tags.push(sent.unwrap());
    }
    let key = key();
    let done = store.multipart_complete(&key, &upload, &tags, Precondition::Absent);
    done.await.unwrap();
    let size = u64::from(parts) * part_bytes as u64;
    assert_eq!(store.head(&key).await.unwrap().size, size);
    let options = GetOptions {
        range: Some(size - 2..size),
        if_match: None,
    };
    let last = u8::try_from(parts).unwrap();
    let read = store.get_bytes(&key, options).await.unwrap();
    assert_eq!(read[..], [last; 2]);
}

async fn goes_through(from: From, told: Told) {
    let world = world(from, told, LIFE);
    upload(&world, PARTS, PART_BYTES).await;
    // A key is good for less than four requests, and there were seventeen.
    assert!(world.keys.given() >= 4, "{from:?}: {}", world.keys.given());
}

#[tokio::test]
async fn an_upload_outlives_the_keys_of_an_instance() {
    goes_through(From::Instance, Told::Seconds).await;
    goes_through(From::Instance, Told::Hour).await;
}

#[tokio::test]
async fn an_upload_outlives_the_keys_of_a_pod() {
    goes_through(From::Pod, Told::Seconds).await;
    goes_through(From::Pod, Told::Hour).await;
}

#[tokio::test]
async fn an_upload_outlives_the_keys_of_a_web_identity() {
    goes_through(From::WebIdentity, Told::Seconds).await;
    goes_through(From::WebIdentity, Told::Hour).await;
}

#[tokio::test]
async fn an_upload_outlives_the_keys_of_a_role_that_is_taken() {
    goes_through(From::Role, Told::Seconds).await;
    goes_through(From::Role, Told::Hour).await;
}

#[tokio::test]
async fn an_upload_outlives_the_keys_that_a_program_prints() {
    goes_through(From::Process, Told::Seconds).await;
    goes_through(From::Process, Told::Hour).await;
}

#[tokio::test]
async fn an_upload_outlives_the_keys_of_a_sign_in() {
    goes_through(From::SignIn, Told::Seconds).await;
    goes_through(From::SignIn, Told::Hour).await;
}

/// 2 GiB: in a debug build that takes a minute or two, and as much memory.
#[tokio::test]
#[ignore = "long: cargo test -p cloudmount-store --release --test it expiry -- --ignored"]
async fn two_gibibytes_outlive_many_keys() {
    let world = world(From::WebIdentity, Told::Seconds, LIFE);
    upload(&world, LONG_PARTS, LONG_PART_BYTES).await;
    println!("keys: {}", world.keys.given());
    assert!(world.keys.given() >= 17, "{}", world.keys.given());
}

#[tokio::test]
async fn a_service_that_fails_for_a_moment_fails_no_request() {
    const LONG_LIFE: Duration = Duration::from_secs(1_000_000);
    let world = world(From::Pod, Told::Seconds, LONG_LIFE);
    world.store.head(&key()).await.unwrap_err();
    let refusals = &world.service.refusals;
    *refusals.lock() = vec![403; 3];
    // It is asked ten times a second, for its keys are told to be short-lived; the one that is had is good for long.
    for _ in 0..100_000 {
        if refusals.lock().is_empty() {
            return;
        }
        let error = world.store.head(&key()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
    panic!("it is not asked again");
}

#[tokio::test]
async fn keys_that_nobody_renews_are_told() {
    let world = world(From::Pod, Told::Hour, LIFE);
    world.store.head(&key()).await.unwrap_err();
    world.keys.revoke_all();
    *world.service.refusals.lock() = vec![403; 10];
    let error = world.store.head(&key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(error.to_string().contains("no credentials"), "{error:?}");
}
