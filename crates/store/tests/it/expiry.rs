//! Credentials of a limited life: a server that refuses those that have expired, and services on loopback that hand out new
//! ones, as those of Amazon do. An upload that outlives many of them goes through without an error.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::{
    ErrorKind, GetOptions, Key, MemoryStore, Precondition, PutOptions, Role, S3Credentials,
    S3Settings, S3Store, Secret, SignedIn, Store, StoreExt,
};
use cloudmount_testkit::loopback::{Handler, Loopback, Request, Response, parameters};
use cloudmount_testkit::s3_server::{BUCKET, Keys};
use cloudmount_testkit::{Dialect, S3Server};
use cloudmount_vfs::{BoxFuture, Clock, Instant, SystemClock, Timestamp};
use parking_lot::Mutex;

use crate::reach::{CERTIFICATE, tls_config};

/// Parts of an upload, and their length: 65 MiB in all.
const PARTS: u16 = 13;
const PART_BYTES: usize = 5 << 20;

/// A part of the 2 GiB of the long run.
const LONG_PART_BYTES: usize = 32 << 20;
const LONG_PARTS: u16 = 64;

/// How long a key is taken: some requests.
const LIFE: Duration = Duration::from_secs(3);

/// What each look at the clock takes.
const LOOK: Duration = Duration::from_secs(1);

/// What a client must show to get a key.
const PROOF: &str = "a-token-of-the-machine";

/// Time that passes by being looked at: each request of the server takes a second of it.
#[derive(Debug, Default)]
struct Looks(AtomicU64);

impl Clock for Looks {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_700_000_000, 0)
    }

    fn now(&self) -> Instant {
        let looks = self.0.fetch_add(1, Ordering::SeqCst);
        Instant::from_start(LOOK * u32::try_from(looks).unwrap())
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a service tells of how long its keys live.
#[derive(Clone, Copy)]
enum Told {
    /// A few seconds: they are fetched anew before each request, at most ten times a second.
    Seconds,
    /// An hour, which is not true: only the server says that they have expired.
    Hour,
}

/// Hands out keys.
struct Service {
    keys: Arc<Keys>,
    clock: Arc<Looks>,
    told: Told,
    /// How long a key is taken.
    life: Duration,
    /// What comes of each request, until there is nothing more: then keys.
    refusals: Mutex<Vec<u16>>,
}

impl Service {
    /// A new key, as `(access key, token, expiration)`; its secret is `secret`.
    fn key(&self) -> (String, String, String) {
        let number = self.keys.given();
        let (key, token) = (format!("KEY{number}"), format!("token {number}"));
        self.keys.give(&key, &token, self.clock.now() + self.life);
        let life = match self.told {
            Told::Seconds => 3,
            Told::Hour => 3600,
        };
        let until = SystemClock::new().wall().secs() + life;
        let until = chrono::DateTime::from_timestamp(until, 0).unwrap();
        let until = until.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        (key, token, until)
    }

    /// As ECS, EKS and instances have it.
    fn json(&self) -> Response {
        let (key, token, until) = self.key();
        Response::new(200).body(format!(
            "{{\"Code\":\"Success\",\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"secret\",\
             \"Token\":\"{token}\",\"Expiration\":\"{until}\"}}"
        ))
    }

    /// As STS has it.
    fn xml(&self) -> Response {
        let (key, token, until) = self.key();
        Response::new(200).body(format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{until}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ))
    }

    /// As a program prints it.
    fn printed(&self) -> Response {
        let (key, token, until) = self.key();
        Response::new(200).body(format!(
            "{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"secret\",\
             \"SessionToken\":\"{token}\",\"Expiration\":\"{until}\"}}\n"
        ))
    }

    /// As the portal of a sign-in has it.
    fn of_portal(&self) -> Response {
        let (key, token, until) = self.key();
        let until = chrono::DateTime::parse_from_rfc3339(&until).unwrap();
        Response::new(200).body(format!(
            "{{\"roleCredentials\":{{\"accessKeyId\":\"{key}\",\"secretAccessKey\":\"secret\",\
             \"sessionToken\":\"{token}\",\"expiration\":{}}}}}",
            until.timestamp_millis()
        ))
    }

    /// Whether it asks for the role, signed by who may take it.
    fn may_take_role(request: &Request) -> bool {
        let form = parameters(std::str::from_utf8(&request.body).unwrap_or_default());
        let form = form.unwrap_or_default();
        let says = |name: &str, value: &str| form.get(name).map(String::as_str) == Some(value);
        let signed = request.header("authorization").unwrap_or_default();
        says("Action", "AssumeRole")
            && says("RoleArn", "arn:aws:iam::1:role/r")
            && says("ExternalId", "a b&c")
            && signed.contains("Credential=base/")
            && signed.contains("/eu-1/sts/aws4_request")
    }

    fn answer(&self, request: &Request) -> Response {
        if let Some(status) = self.refusals.lock().pop() {
            return Response::new(status);
        }
        let role = "/latest/meta-data/iam/security-credentials/";
        let proven = request.header("x-aws-ec2-metadata-token") == Some(PROOF);
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token") => Response::new(200).body(PROOF),
            ("GET", path) if path == role && proven => Response::new(200).body("role"),
            ("GET", path) if path == format!("{role}role") && proven => self.json(),
            ("GET", "/pod") if request.header("authorization") == Some(PROOF) => self.json(),
            ("POST", "/sts") if request.parameter("WebIdentityToken") == Some(PROOF) => self.xml(),
            ("GET", "/process") => self.printed(),
            ("POST", "/role/") if Self::may_take_role(request) => self.xml(),
            ("GET", "/federation/credentials")
                if request.header("x-amz-sso_bearer_token") == Some(PROOF)
                    && request.parameter("role_name") == Some("reader")
                    && request.parameter("account_id") == Some("123") =>
            {
                self.of_portal()
            }
            _ => Response::new(403),
        }
    }
}

/// A service behind TLS, which clients insist on where they show a token: one request on each connection.
struct Sts {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sts {
    fn start(service: Arc<Service>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let config = tls_config();
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                // A client that goes away is its own affair.
                let _ = serve(rustls::StreamOwned::new(connection, stream), &service);
            }
        });
        Self {
            port,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It waits for somebody to come.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: impl Read + Write, service: &Service) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let response = service.answer(&Request {
        method,
        path: path.to_owned(),
        query: parameters(query).unwrap_or_default(),
        ..Request::default()
    });
    let (status, length) = (response.status, response.body.len());
    let head = format!(
        "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&response.body)?;
    stream.flush()
}

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
