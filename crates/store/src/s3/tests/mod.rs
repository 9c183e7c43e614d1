//! The backend against a server of canned answers: what goes over the wire, byte for byte, and what
//! becomes of answers that a real server gives too seldom to test with.

mod keys;
mod refusals;
mod waits;
mod wire;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_testkit::ManualClock;
use cloudmount_vfs::{BoxFuture, Instant, SystemClock, Timestamp};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::layer::{Retry, RetrySettings};
use crate::{CopyMetadata, ErrorKind, StoreExt};

/// A clock on which every wait, however long, takes this long.
#[derive(Debug)]
struct HastyClock(Duration);

impl Clock for HastyClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_369_353_600, 0)
    }

    fn now(&self) -> Instant {
        Instant::default()
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(pause(self.0))
    }
}

#[expect(clippy::disallowed_methods, reason = "real sockets need real time")]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A clock that runs a hundred times as fast as that of the machine.
#[derive(Debug)]
struct FastClock(SystemClock);

impl FastClock {
    const FACTOR: u32 = 100;
}

impl Clock for FastClock {
    fn wall(&self) -> Timestamp {
        self.0.wall()
    }

    fn now(&self) -> Instant {
        let since = self.0.now().saturating_since(Instant::default());
        Instant::from_start(since * Self::FACTOR)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(pause(duration / Self::FACTOR))
    }
}

/// One request as it came in.
struct Seen {
    /// `GET /pail/key HTTP/1.1`
    line: String,
    /// Names in lower case, `name: value`.
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.headers.iter().find_map(|h| h.strip_prefix(&prefix))
    }
}

/// What to answer.
enum Canned {
    /// These bytes, then the connection is closed.
    Bytes(String),
    /// These bytes, then silence.
    Silence(String),
}

struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

fn answer(status: &str, headers: &str, body: &str) -> Canned {
    let length = body.len();
    Canned::Bytes(format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    ))
}

async fn serve(answers: Vec<Canned>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&answers), Arc::clone(&all)));
        }
    });
    Server { port, seen }
}

async fn talk(
    mut stream: TcpStream,
    answers: Arc<Mutex<VecDeque<Canned>>>,
    all: Arc<Mutex<Vec<Seen>>>,
) {
    let Some(seen) = read_request(&mut stream).await else {
        return;
    };
    all.lock().push(seen);
    let canned = answers.lock().pop_front();
    match canned {
        Some(Canned::Bytes(text)) => stream.write_all(text.as_bytes()).await.unwrap(),
        Some(Canned::Silence(text)) => {
            stream.write_all(text.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
        None => {}
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n").map(str::to_owned);
    let mut seen = Seen {
        line: lines.next()?,
        headers: lines.collect(),
        body: bytes[end + 4..].to_vec(),
    };
    let length = seen
        .header("content-length")
        .map_or(0, |l| l.parse().unwrap());
    while seen.body.len() < length {
        if stream.read_buf(&mut seen.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(seen)
}

impl Server {
    fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            credentials: S3Credentials::Static {
                access_key: "AKIA".to_owned(),
                secret_key: Secret::new("hunter2"),
                session_token: Some(Secret::new("hunter3")),
            },
            allow_http: true,
            ..S3Settings::default()
        }
    }

    fn store(&self) -> S3Store {
        self.store_with(&self.settings())
    }

    fn store_with(&self, settings: &S3Settings) -> S3Store {
        let clock = HastyClock(Duration::from_millis(500));
        S3Store::new("pail", settings, Arc::new(clock)).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let seen = self.seen.lock();
        seen.iter()
            .map(|s| s.line.trim_end_matches(" HTTP/1.1").to_owned())
            .collect()
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

const GOOD_HEAD: &str = "ETag: \"e\"\r\n";
