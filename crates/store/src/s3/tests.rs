//! The backend against a server of canned answers: what goes over the wire, byte for byte, and what
//! becomes of answers that a real server gives too seldom to test with.

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

#[tokio::test]
async fn keys_go_out_byte_for_byte() {
    let keys = [
        ("a//b", "a//b"),
        ("a/", "a/"),
        ("/a", "/a"),
        ("./x", "./x"),
        ("../../y", "../../y"),
        ("a/./b/..", "a/./b/.."),
        ("%2e%2E", "%252e%252E"),
        ("a?b#c", "a%3Fb%23c"),
        ("\u{1}\n", "%01%0A"),
        ("é +", "%C3%A9%20%2B"),
    ];
    let server = serve(
        keys.iter()
            .map(|_| answer("200 OK", GOOD_HEAD, ""))
            .collect(),
    )
    .await;
    let store = server.store();
    for (text, _) in keys {
        store.head(&key(text)).await.unwrap();
    }
    let expected = keys.map(|(_, path)| format!("HEAD /pail/{path}"));
    assert_eq!(server.lines(), expected);
}

#[tokio::test]
async fn requests_are_signed_and_dated() {
    let server = serve(vec![
        answer("200 OK", GOOD_HEAD, ""),
        answer("200 OK", GOOD_HEAD, ""),
    ])
    .await;
    server.store().head(&key("a")).await.unwrap();
    let anonymous = S3Settings {
        credentials: S3Credentials::Anonymous,
        ..server.settings()
    };
    server.store_with(&anonymous).head(&key("a")).await.unwrap();
    let seen = server.seen.lock();
    let value = seen[0].header("authorization").unwrap();
    let start = "AWS4-HMAC-SHA256 Credential=AKIA/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=";
    assert!(value.starts_with(start), "{value}");
    assert_eq!(seen[0].header("x-amz-security-token"), Some("hunter3"));
    assert_eq!(seen[0].header("x-amz-date"), Some("20130524T000000Z"));
    assert_eq!(
        seen[0].header("host"),
        Some(format!("127.0.0.1:{}", server.port).as_str())
    );
    assert_eq!(seen[1].header("authorization"), None);
}

#[tokio::test]
async fn a_short_body_is_an_error() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"e\"\r\n\r\n12345";
    let no_length = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-9/20\r\n\
                     ETag: \"e\"\r\n\r\n12345";
    for (text, range) in [(short, None), (no_length, Some(0..10))] {
        let server = serve(vec![Canned::Bytes(text.to_owned())]).await;
        let options = GetOptions {
            range,
            if_match: None,
        };
        let result = server.store().get(&key("a"), options).await.unwrap();
        let pieces: Vec<_> = result.body.collect().await;
        assert_eq!(pieces[0].as_ref().unwrap(), "12345");
        let error = pieces[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        assert_eq!(pieces.len(), 2);
    }
}

#[tokio::test]
async fn a_long_body_is_an_error() {
    let text = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-3/20\r\n\
                ETag: \"e\"\r\n\r\n12345";
    let server = serve(vec![Canned::Bytes(text.to_owned())]).await;
    let options = GetOptions {
        range: Some(0..4),
        if_match: None,
    };
    let error = server
        .store()
        .get_bytes(&key("a"), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
}

#[tokio::test]
async fn silence_times_out() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"e\"\r\n\r\n12345";
    let server = serve(vec![
        Canned::Silence(String::new()),
        Canned::Silence(begun.to_owned()),
    ])
    .await;
    let store = server.store();
    let error = store.head(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    let error = store
        .get_bytes(&key("a"), GetOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("stalled"), "{error}");
}

/// What a server does with each of its connections, in turn; with those after the last, nothing.
async fn serve_by(talks: Vec<fn(TcpStream) -> BoxFuture<'static, ()>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut talks = talks.into_iter();
        let mut idle = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            match talks.next() {
                Some(talk) => drop(tokio::spawn(talk(stream))),
                None => idle.push(stream),
            }
        }
    });
    Server {
        port,
        seen: Arc::default(),
    }
}

/// Tells of a megabyte, and brings a byte every ten seconds of the fast clock.
fn drip(mut stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        read_request(&mut stream).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            pause(Duration::from_millis(100)).await;
        }
    })
}

/// Takes nothing, says nothing.
fn hang(stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
}

fn well(mut stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        read_request(&mut stream).await.unwrap();
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
}

fn fast(settings: &S3Settings) -> S3Store {
    S3Store::new("pail", settings, Arc::new(FastClock(SystemClock::new()))).unwrap()
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let server = serve_by(vec![drip, drip]).await;
    let store = fast(&server.settings());
    let body = store.get_bytes(&key("a"), GetOptions::default()).await;
    let error = body.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("bytes in"), "{error}");
    // A document too.
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test]
async fn who_takes_no_body_is_given_up() {
    let server = serve_by(vec![hang]).await;
    let body = Bytes::from(vec![7; 64 << 20]);
    let store = fast(&server.settings());
    let put = store
        .put(&key("a"), body.into(), PutOptions::default())
        .await;
    let error = put.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_given_up() {
    let server = serve_by(vec![hang]).await;
    let settings = S3Settings {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        ..server.settings()
    };
    let error = fast(&settings).head(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_tried_again() {
    for body in [None, Some(Bytes::from_static(b"x"))] {
        let server = serve_by(vec![hang, well]).await;
        let store = Arc::new(fast(&server.settings()));
        let clock = Arc::new(FastClock(SystemClock::new()));
        let retry = Retry::new(store, RetrySettings::default(), clock);
        let a = key("a");
        let version = match body {
            None => retry.head(&a).await.unwrap().version,
            Some(body) => {
                let put = retry.put(&a, body.into(), PutOptions::default());
                put.await.unwrap()
            }
        };
        assert_eq!(version.as_str(), "\"e\"");
    }
}

fn parts(count: u16) -> Vec<PartTag> {
    let tag = |number| PartTag {
        number,
        tag: "\"t\"".to_owned(),
    };
    (1..=count).map(tag).collect()
}

/// Who hangs is told from who works by how much work there is: the messages say how long each was waited for.
#[tokio::test]
async fn a_server_that_has_little_to_do_is_not_waited_for_long() {
    let server = serve_by(vec![]).await;
    let clock = HastyClock(Duration::from_millis(5));
    let store = S3Store::new("pail", &server.settings(), Arc::new(clock)).unwrap();
    let (a, b, upload) = (key("a"), key("b"), UploadId("u".to_owned()));
    let source = || CopySource {
        key: a.clone(),
        if_match: None,
    };
    let copy = async |source_bytes| {
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: Precondition::None,
            source_bytes,
        };
        store.copy(source(), &b, options).await.unwrap_err()
    };
    let copy_part = async |bytes| {
        let copied = store.multipart_copy(&b, &upload, 1, source(), 0..bytes);
        copied.await.unwrap_err()
    };
    let join = async |count| {
        let parts = parts(count);
        let joined = store.multipart_complete(&b, &upload, &parts, Precondition::None);
        joined.await.unwrap_err()
    };
    let remove = async |count| {
        let keys: Vec<_> = (0..count).map(|n| key(&format!("{n}"))).collect();
        store.delete(&keys).await.unwrap_err()
    };
    let (small, large) = (1 << 10, 512 << 20);
    for (what, error, secs) in [
        ("a small copy", copy(Some(small)).await, 30),
        ("a large copy", copy(Some(large)).await, 165),
        ("a copy of who knows what", copy(None).await, 600),
        ("a small copy of a part", copy_part(small).await, 30),
        ("a large copy of a part", copy_part(large).await, 165),
        ("two parts", join(2).await, 35),
        ("a hundred parts", join(100).await, 130),
        ("all parts that there may be", join(10_000).await, 600),
        ("two objects", remove(2).await, 35),
        ("a thousand objects", remove(1000).await, 530),
    ] {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{what}: {error:?}");
        let waited = format!(" for {secs} s:");
        assert!(error.to_string().contains(&waited), "{what}: {error}");
    }
}

/// Joins parts for 70 s of the fast clock, with white space every ten, as S3 does.
fn join_slowly(mut stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        read_request(&mut stream).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<?xml version=\"1.0\"?>";
        let end =
            "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..7 {
            pause(Duration::from_millis(100)).await;
            if stream.write_all(b" ").await.is_err() {
                return;
            }
        }
        // Who gave up has left.
        stream.write_all(end.as_bytes()).await.unwrap_or_default();
    })
}

#[tokio::test]
async fn parts_that_are_joined_slowly_are_waited_for_if_there_are_many() {
    let server = serve_by(vec![join_slowly, join_slowly]).await;
    let store = fast(&server.settings());
    let upload = UploadId("u".to_owned());
    let join = async |count| {
        let (a, parts) = (key("a"), parts(count));
        let joined = store.multipart_complete(&a, &upload, &parts, Precondition::None);
        joined.await
    };
    assert_eq!(join(100).await.unwrap().as_str(), "\"e\"");
    let error = join(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("bytes in"), "{error}");
}

#[tokio::test]
async fn a_slow_upload_is_not_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let total: usize = 32 << 20;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // 32 pauses of 40 ms: more in all than the clock allows for one silence.
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..total >> 20 {
            stream.read_exact(&mut buffer).await.unwrap();
            pause(Duration::from_millis(40)).await;
        }
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        pause(Duration::from_secs(5)).await;
    });
    let server = Server {
        port,
        seen: Arc::default(),
    };
    let body = Bytes::from(vec![7; total]);
    let put = server
        .store()
        .put(&key("a"), body.into(), PutOptions::default())
        .await;
    assert_eq!(put.unwrap().as_str(), "\"e\"");
}

#[tokio::test]
async fn pages_of_uploads_go_on_where_the_last_ended() {
    let first = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a b</NextKeyMarker>\
                 <NextUploadIdMarker>u&amp;1</NextUploadIdMarker></ListMultipartUploadsResult>";
    let last = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
    let server = serve(vec![
        answer("200 OK", "", first),
        answer("200 OK", "", last),
    ])
    .await;
    let store = server.store();
    let page = store.multipart_list("a", None).await.unwrap();
    let page = store.multipart_list("a", page.next).await.unwrap();
    assert_eq!(page.next, None);
    let expected = [
        "GET /pail/?uploads&max-uploads=1000&prefix=a",
        "GET /pail/?uploads&max-uploads=1000&prefix=a&key-marker=a%20b&upload-id-marker=u%261",
    ];
    assert_eq!(server.lines(), expected);
}

#[tokio::test]
async fn success_with_an_error_inside_is_an_error() {
    let inside = "\n\n <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Later.</Message></Error>";
    let server = serve(vec![
        answer("200 OK", "", inside),
        answer("200 OK", "", inside),
        answer("200 OK", "", inside),
        answer("200 OK", "", "<CopyObjectResult></CopyObjectResult>"),
    ])
    .await;
    let store = server.store();
    let source = || CopySource {
        key: key("a"),
        if_match: None,
    };
    let options = || CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    let upload = UploadId("u".to_owned());
    let part = PartTag {
        number: 1,
        tag: "\"t\"".to_owned(),
    };
    let copied = store
        .copy(source(), &key("b"), options())
        .await
        .unwrap_err();
    let completed = store
        .multipart_complete(&key("b"), &upload, &[part], Precondition::None)
        .await;
    let part_copied = store
        .multipart_copy(&key("b"), &upload, 1, source(), 0..5)
        .await;
    for error in [copied, completed.unwrap_err(), part_copied.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error:?}");
        assert!(error.to_string().contains("SlowDown: Later"), "{error}");
    }
    let empty = store
        .copy(source(), &key("b"), options())
        .await
        .unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Io, "{empty:?}");
    let seen = server.seen.lock();
    let document = String::from_utf8(seen[1].body.clone()).unwrap();
    assert!(
        document.contains("<PartNumber>1</PartNumber><ETag>&quot;t&quot;</ETag>"),
        "{document}"
    );
    assert_eq!(seen[2].header("x-amz-copy-source-range"), Some("bytes=0-4"));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let region = "x-amz-bucket-region: eu-west-3\r\n";
    let document = "<Error><Code>InvalidAccessKeyId</Code><Message>Unknown key.</Message></Error>";
    let server = serve(vec![
        answer(
            "301 Moved Permanently",
            &format!("Location: http://127.0.0.1:1/\r\n{region}"),
            "",
        ),
        answer(
            "503 Slow Down",
            "Retry-After: 7\r\n",
            "<Error><Code>SlowDown</Code></Error>",
        ),
        answer("403 Forbidden", "", document),
        answer("502 Bad Gateway", "", "<html>nginx</html>"),
    ])
    .await;
    let store = server.store();
    let error = store.head(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("the bucket is in region eu-west-3"),
        "{error}"
    );
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("list bucket \"pail\" at http://127.0.0.1:"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server, "{error:?}");
}

#[tokio::test]
async fn versions_are_not_mixed_where_conditions_are_ignored() {
    let server = serve(vec![answer("200 OK", "ETag: \"new\"\r\n", "x")]).await;
    let options = GetOptions {
        range: None,
        if_match: Some(Version::new("\"old\"")),
    };
    let error = server.store().get(&key("a"), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");

    let copied = "<CopyPartResult><ETag>\"p\"</ETag></CopyPartResult>";
    let server = serve(vec![
        answer("200 OK", "", copied),
        answer("200 OK", "ETag: \"new\"\r\n", ""),
    ])
    .await;
    let source = CopySource {
        key: key("a"),
        if_match: Some(Version::new("\"old\"")),
    };
    let upload = UploadId("u".to_owned());
    let part = server
        .store()
        .multipart_copy(&key("b"), &upload, 1, source, 0..5)
        .await;
    assert_eq!(part.unwrap_err().kind(), ErrorKind::Precondition);
}

#[tokio::test]
async fn unknown_conditions_are_refused_unsent() {
    let server = serve(Vec::new()).await;
    let settings = S3Settings {
        capabilities: Capabilities {
            put_if_absent: false,
            put_if_match: false,
            ..Capabilities::S3
        },
        ..server.settings()
    };
    let store = server.store_with(&settings);
    for precondition in [
        Precondition::Absent,
        Precondition::Matches(Version::new("\"e\"")),
    ] {
        let options = PutOptions {
            precondition: precondition.clone(),
            ..PutOptions::default()
        };
        let put = store
            .put(&key("a"), Payload::default(), options)
            .await
            .unwrap_err();
        let source = CopySource {
            key: key("a"),
            if_match: None,
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: precondition.clone(),
            source_bytes: None,
        };
        let copy = store.copy(source, &key("b"), options).await.unwrap_err();
        let upload = UploadId("u".to_owned());
        let complete = store
            .multipart_complete(&key("a"), &upload, &[], precondition)
            .await;
        for error in [put, copy, complete.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        }
    }
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn long_pages_are_asked_for_until_they_are_refused() {
    let refused = "<Error><Code>InvalidArgument</Code></Error>";
    let empty = "<ListBucketResult></ListBucketResult>";
    let answers = [
        ("200 OK", empty),
        ("500 Internal Server Error", ""),
        ("400 Bad Request", refused),
        ("400 Bad Request", refused),
        ("400 Bad Request", refused),
        ("200 OK", empty),
        ("200 OK", empty),
    ];
    let server = serve((answers.map(|(status, body)| answer(status, "", body))).into()).await;
    let store = server.store();
    let list = async |limit| {
        let request = ListRequest {
            limit,
            ..ListRequest::default()
        };
        store.list(request).await.map_err(|error| error.kind())
    };
    list(Some(5000)).await.unwrap();
    assert_eq!(list(Some(5000)).await.unwrap_err(), ErrorKind::Server);
    // What is refused with any number says nothing of the number.
    let refused = list(Some(5000)).await.unwrap_err();
    assert_eq!(refused, ErrorKind::InvalidRequest);
    list(Some(5000)).await.unwrap();
    list(Some(5000)).await.unwrap();
    let lines = server.lines();
    let numbers = lines.iter().map(|line| {
        let (_, rest) = line.split_once("max-keys=").unwrap();
        rest.split('&').next().unwrap()
    });
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(
        numbers,
        ["5000", "5000", "5000", "1000", "5000", "1000", "1000"]
    );
}

#[tokio::test]
async fn removals_fall_back_to_one_by_one() {
    let refused = "<Error><Code>NotImplemented</Code></Error>";
    let mut answers = vec![answer("501 Not Implemented", "", refused)];
    answers.extend((0..4).map(|_| answer("204 No Content", "", "")));
    let server = serve(answers).await;
    let store = server.store();
    let keys = [key("a"), key("b")];
    for _ in 0..2 {
        for result in store.delete(&keys).await.unwrap() {
            result.unwrap();
        }
    }
    let mut lines = server.lines();
    assert_eq!(lines.remove(0), "POST /pail/?delete");
    lines.sort();
    assert_eq!(
        lines,
        [
            "DELETE /pail/a",
            "DELETE /pail/a",
            "DELETE /pail/b",
            "DELETE /pail/b"
        ]
    );
}

#[tokio::test]
async fn removals_of_what_xml_cannot_say_go_alone() {
    let server = serve(vec![
        answer("200 OK", "", "<DeleteResult/>"),
        answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>"),
    ])
    .await;
    let keys = [key("a"), key("b\n"), key("c&")];
    for result in server.store().delete(&keys).await.unwrap() {
        result.unwrap();
    }
    assert_eq!(server.lines(), ["POST /pail/?delete", "DELETE /pail/b%0A"]);
    let seen = server.seen.lock();
    let document = String::from_utf8(seen[0].body.clone()).unwrap();
    assert!(
        document.contains("<Key>a</Key>") && document.contains("<Key>c&amp;</Key>"),
        "{document}"
    );
    assert!(!document.contains("<Key>b"), "{document}");
    assert!(seen[0].header("content-md5").is_some());
}

#[tokio::test]
async fn removals_name_the_version_that_they_mean() {
    let refused = "<Error><Code>PreconditionFailed</Code></Error>";
    let many =
        "<DeleteResult><Error><Key>b</Key><Code>PreconditionFailed</Code></Error></DeleteResult>";
    let server = serve(vec![
        answer("412 Precondition Failed", "", refused),
        answer("200 OK", "", many),
    ])
    .await;
    let store = server.store();
    let removal = |name| Removal {
        key: key(name),
        version: Version::new("\"x\""),
    };
    let alone = store.delete_if(&[removal("a")]).await.unwrap().remove(0);
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::Precondition);
    let both = store
        .delete_if(&[removal("a"), removal("b")])
        .await
        .unwrap();
    let kinds: Vec<_> = both
        .into_iter()
        .map(|one| one.err().map(|e| e.kind()))
        .collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Precondition)]);
    assert_eq!(server.lines(), ["DELETE /pail/a", "POST /pail/?delete"]);
    let seen = server.seen.lock();
    assert_eq!(seen[0].header("if-match"), Some("\"x\""));
    let document = String::from_utf8(seen[1].body.clone()).unwrap();
    assert_eq!(
        document.matches("<ETag>&quot;x&quot;</ETag>").count(),
        2,
        "{document}"
    );
}

#[tokio::test]
async fn a_missing_bucket_is_not_a_removal() {
    let missing = "<Error><Code>NoSuchBucket</Code></Error>";
    let server = serve(vec![answer("404 Not Found", "", missing)]).await;
    let result = server.store().delete(&[key("a")]).await.unwrap().remove(0);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::NoBucket);
}

/// What is asked to `HEAD` is answered without words, so that a listing has to say whether there is a bucket.
#[tokio::test]
async fn a_missing_bucket_is_no_missing_object() {
    let gone = "<Error><Code>NoSuchBucket</Code></Error>";
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let silent = || answer("404 Not Found", "", "");
    let server = serve(vec![
        silent(),
        answer("404 Not Found", "", gone),
        silent(),
        silent(),
        answer("200 OK", "", listing),
        silent(),
        silent(),
        answer(
            "403 Forbidden",
            "",
            "<Error><Code>AccessDenied</Code></Error>",
        ),
        silent(),
        answer(
            "200 OK",
            &format!("{GOOD_HEAD}Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            "",
        ),
        silent(),
    ])
    .await;
    let clock = ManualClock::new();
    let store = S3Store::new("pail", &server.settings(), Arc::new(clock.clone())).unwrap();
    let looked = async || store.head(&key("a")).await.unwrap_err().kind();
    let secs = |secs| clock.advance(Duration::from_secs(secs));
    assert_eq!(looked().await, ErrorKind::NoBucket);
    assert_eq!(looked().await, ErrorKind::NoBucket, "a moment later");
    secs(1);
    assert_eq!(looked().await, ErrorKind::NotFound, "it was made again");
    secs(4);
    assert_eq!(looked().await, ErrorKind::NotFound, "it was just seen");
    secs(1);
    assert_eq!(looked().await, ErrorKind::NotFound, "nobody may list it");
    assert_eq!(looked().await, ErrorKind::NotFound, "nor a moment later");
    secs(60);
    store.head(&key("b")).await.unwrap();
    assert_eq!(
        looked().await,
        ErrorKind::NotFound,
        "an object of it was seen"
    );
    let listings = server
        .lines()
        .iter()
        .filter(|line| line.starts_with("GET"))
        .count();
    assert_eq!(
        (listings, server.lines().len()),
        (3, 11),
        "{:?}",
        server.lines()
    );
}

#[tokio::test]
async fn credentials_of_the_instance() {
    let json = "{\"AccessKeyId\":\"ROLE\",\"SecretAccessKey\":\"hunter4\",\"Token\":\"session\",\
                \"Expiration\":\"2999-01-01T00:00:00Z\"}";
    let metadata = serve(vec![
        answer("200 OK", "", "imds-token"),
        answer("200 OK", "", "the-role"),
        answer("200 OK", "", json),
    ])
    .await;
    let server = serve(vec![
        answer("200 OK", GOOD_HEAD, ""),
        answer("200 OK", GOOD_HEAD, ""),
    ])
    .await;
    let settings = S3Settings {
        credentials: S3Credentials::Instance {
            metadata_endpoint: Some(format!("http://127.0.0.1:{}", metadata.port)),
        },
        ..server.settings()
    };
    let store = server.store_with(&settings);
    store.head(&key("a")).await.unwrap();
    store.head(&key("a")).await.unwrap();
    let prefix = "/latest/meta-data/iam/security-credentials/";
    let expected = [
        "PUT /latest/api/token".to_owned(),
        format!("GET {prefix}"),
        format!("GET {prefix}the-role"),
    ];
    assert_eq!(metadata.lines(), expected);
    let seen = server.seen.lock();
    for request in seen.iter() {
        assert_eq!(request.header("x-amz-security-token"), Some("session"));
        assert!(
            request
                .header("authorization")
                .unwrap()
                .contains("Credential=ROLE/")
        );
    }
    assert_eq!(seen.len(), 2);
}

/// An answer to `HEAD` has no words: that the keys have expired is one of the things that 400 may mean.
#[tokio::test]
async fn who_is_refused_without_words_asks_for_new_keys_once_a_minute() {
    let json = "{\"AccessKeyId\":\"ROLE\",\"SecretAccessKey\":\"hunter4\",\"Token\":\"session\",\
                \"Expiration\":\"2999-01-01T00:00:00Z\"}";
    let fetch = || ["imds-token", "the-role", json].map(|body| answer("200 OK", "", body));
    let metadata = serve((0..3).flat_map(|_| fetch()).collect()).await;
    let refusals = (0..5).map(|_| answer("400 Bad Request", "", ""));
    let server = serve(refusals.collect()).await;
    let settings = S3Settings {
        credentials: S3Credentials::Instance {
            metadata_endpoint: Some(format!("http://127.0.0.1:{}", metadata.port)),
        },
        ..server.settings()
    };
    let clock = ManualClock::new();
    let store = S3Store::new("pail", &settings, Arc::new(clock.clone())).unwrap();
    let asked = async || {
        let error = store.head(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
        (server.lines().len(), metadata.lines().len() / 3)
    };
    assert_eq!(asked().await, (2, 2), "it may have been that");
    assert_eq!(asked().await, (3, 2), "it was not");
    clock.advance(Duration::from_secs(61));
    assert_eq!(asked().await, (5, 3), "who knows");
}

#[tokio::test]
async fn a_web_identity_without_its_token_is_told_so() {
    let server = serve(Vec::new()).await;
    let settings = S3Settings {
        credentials: S3Credentials::WebIdentity {
            token_file: "/no/such/token".to_owned(),
            role_arn: "arn".to_owned(),
            session_name: None,
            sts_endpoint: None,
        },
        ..server.settings()
    };
    let error = server.store_with(&settings).head(&key("a")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    let words = "no credentials: cannot read the token in /no/such/token: No such file";
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_web_identity_goes_over_tls_only() {
    let server = serve(Vec::new()).await;
    let settings = S3Settings {
        credentials: S3Credentials::WebIdentity {
            token_file: concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned(),
            role_arn: "arn".to_owned(),
            session_name: None,
            sts_endpoint: Some(format!("http://127.0.0.1:{}", server.port)),
        },
        ..server.settings()
    };
    let error = server
        .store_with(&settings)
        .head(&key("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(format!("{error:?}").contains("plain http"), "{error:?}");
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn what_is_not_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        seen: Arc::default(),
    };
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let plain = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        stream.write_all(plain).await.unwrap();
    });
    let settings = S3Settings {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        ..server.settings()
    };
    let error = server
        .store_with(&settings)
        .head(&key("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    assert!(
        error.to_string().contains("TLS with https://127.0.0.1"),
        "{error}"
    );
}

#[tokio::test]
async fn connections_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        seen: Arc::default(),
    };
    let seen = Arc::clone(&server.seen);
    // One connection is all that is ever accepted. The answers end with a chunk of their own, as
    // those of Ceph do: who does not read it cannot go on.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(request) = read_request(&mut stream).await {
            seen.lock().push(request);
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"e\"\r\n\r\n";
            stream.write_all(head).await.unwrap();
            pause(Duration::from_millis(5)).await;
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
    });
    let store = server.store();
    for _ in 0..3 {
        let a = key("a");
        let put = store.put(&a, Payload::default(), PutOptions::default());
        put.await.unwrap();
        store.delete(&[a]).await.unwrap().remove(0).unwrap();
    }
    assert_eq!(server.lines().len(), 6);
}

#[tokio::test]
async fn many_headers_are_read() {
    let headers: String = (0..300)
        .map(|n| format!("x-amz-meta-k{n}: v\r\n"))
        .collect();
    let server = serve(vec![answer("200 OK", &format!("{GOOD_HEAD}{headers}"), "")]).await;
    let meta = server.store().head(&key("a")).await.unwrap();
    assert_eq!(meta.metadata.user.len(), 300);
}

/// A machine whose clock is nine hours behind: what is refused for that is signed by the server's clock.
#[tokio::test]
async fn who_has_a_wrong_clock_signs_by_that_of_the_server() {
    let well = || answer("200 OK", "ETag: \"e\"\r\n", "");
    let refused = |body: &str| {
        let date = "Date: Fri, 24 May 2013 09:00:00 GMT\r\n";
        answer("403 Forbidden", date, body)
    };
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    let server = serve(vec![refused(skewed), well(), well(), refused(skewed)]).await;
    let clock = Arc::new(HastyClock(Duration::from_millis(500)));
    let store = S3Store::new("pail", &server.settings(), clock).unwrap();
    assert_eq!(store.time().unwrap().secs(), 1_369_353_600);
    let a = key("a");
    let put = || {
        let body = Bytes::from_static(b"x").into();
        store.put(&a, body, PutOptions::default())
    };
    put().await.unwrap();
    assert_eq!(store.time().unwrap().secs(), 1_369_353_600 + 9 * 3600);
    put().await.unwrap();
    // That it is refused all the same is told: it is not the clock.
    let error = put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    let seen = server.seen.lock();
    let dates: Vec<_> = (seen.iter())
        .filter_map(|seen| seen.header("x-amz-date"))
        .collect();
    let (wrong, right) = ("20130524T000000Z", "20130524T090000Z");
    assert_eq!(dates, [wrong, right, right, right]);
    assert!(seen.iter().all(|seen| seen.body == b"x"));
    // No try covers what was the signature of another.
    for seen in seen.iter() {
        let signature = seen.header("authorization").unwrap();
        assert!(!signature.contains("authorization"), "{signature}");
    }
}
