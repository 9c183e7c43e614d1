//! Services on loopback that hand out keys which live for three requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cloudmount_testkit::loopback::{Request, Response, parameters};
use cloudmount_testkit::s3_server::Keys;
use cloudmount_vfs::{BoxFuture, Clock, Instant, SystemClock, Timestamp};
use parking_lot::Mutex;

use crate::reach::tls_config;

/// What each look at the clock takes.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What a client must show to get a key.
pub(super) const PROOF: &str = "a-token-of-the-machine";

/// Time that passes by being looked at: each request of the server takes a second of it.
#[derive(Debug, Default)]
pub(super) struct Looks(AtomicU64);

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
pub(super) enum Told {
    /// A few seconds: they are fetched anew before each request, at most ten times a second.
    Seconds,
    /// An hour, which is not true: only the server says that they have expired.
    Hour,
}

/// Hands out keys.
pub(super) struct Service {
    pub(super) keys: Arc<Keys>,
    pub(super) clock: Arc<Looks>,
    pub(super) told: Told,
    /// How long a key is taken.
    pub(super) life: Duration,
    /// What comes of each request, until there is nothing more: then keys.
    pub(super) refusals: Mutex<Vec<u16>>,
}

impl Service {
    /// A new key, as `(access key, token, expiration)`; its secret is `secret`.
    pub(super) fn key(&self) -> (String, String, String) {
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
    pub(super) fn json(&self) -> Response {
        let (key, token, until) = self.key();
        Response::new(200).body(format!(
            "{{\"Code\":\"Success\",\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"secret\",\
             \"Token\":\"{token}\",\"Expiration\":\"{until}\"}}"
        ))
    }

    /// As STS has it.
    pub(super) fn xml(&self) -> Response {
        let (key, token, until) = self.key();
        Response::new(200).body(format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{until}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ))
    }

    /// As a program prints it.
    pub(super) fn printed(&self) -> Response {
        let (key, token, until) = self.key();
        Response::new(200).body(format!(
            "{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"secret\",\
             \"SessionToken\":\"{token}\",\"Expiration\":\"{until}\"}}\n"
        ))
    }

    /// As the portal of a sign-in has it.
    pub(super) fn of_portal(&self) -> Response {
        let (key, token, until) = self.key();
        let until = chrono::DateTime::parse_from_rfc3339(&until).unwrap();
        Response::new(200).body(format!(
            "{{\"roleCredentials\":{{\"accessKeyId\":\"{key}\",\"secretAccessKey\":\"secret\",\
             \"sessionToken\":\"{token}\",\"expiration\":{}}}}}",
            until.timestamp_millis()
        ))
    }

    /// Whether it asks for the role, signed by who may take it.
    pub(super) fn may_take_role(request: &Request) -> bool {
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

    pub(super) fn answer(&self, request: &Request) -> Response {
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
pub(super) struct Sts {
    pub(super) port: u16,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Sts {
    pub(super) fn start(service: Arc<Service>) -> Self {
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
