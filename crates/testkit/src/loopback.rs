//! [`Loopback`]: the smallest HTTP server that real clients talk to, on a port of this machine.
//!
//! Law: it runs on a thread of its own, so that a test's runtime may stand still, and ends when it is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use cloudmount_vfs::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Longest head of a request: some times what 2 KiB of user metadata and a key of 1 KiB come to.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Longest body: a part of an upload.
const BODY_BYTES_MAX: usize = 256 << 20;

/// A request as it came in.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// What stands before the `?`, percent-encoded.
    pub path: String,
    /// Parameters, decoded; one without `=` has an empty value.
    pub query: BTreeMap<String, String>,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers but `Content-Length`, unless it is another than that of the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// Nothing but a status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// The same, with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same, with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// Who answers.
pub type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// A server.
pub struct Loopback {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Answers on a port that is free.
    ///
    /// # Errors
    /// No port, no thread.
    pub fn start(handler: Handler) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Whoever calls may be in a runtime of its own, in which one must not wait for another.
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let accepted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&accepted);
        let serve = async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(talk(stream, Arc::clone(&handler)));
            }
        };
        let thread = std::thread::Builder::new()
            .name("loopback".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            accepted,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has taken.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Answers one request after the other, until the client goes away or says what makes no sense.
async fn talk(mut stream: TcpStream, handler: Handler) {
    drop(stream.set_nodelay(true));
    let mut read = BytesMut::new();
    while let Some(request) = next_request(&mut stream, &mut read).await {
        let is_head = request.method == "HEAD";
        let response = handler(request).await;
        if stream
            .write_all(&wire(&response, is_head.into()))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Whether a body follows the head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Body,
    Nothing,
}

impl From<bool> for Follows {
    fn from(is_head: bool) -> Self {
        if is_head { Self::Nothing } else { Self::Body }
    }
}

fn wire(response: &Response, follows: Follows) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let is_told = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-length");
    if !response.headers.iter().any(is_told) {
        head.push_str(&format!("Content-Length: {}\r\n", response.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if follows == Follows::Body {
        bytes.extend_from_slice(&response.body);
    }
    bytes
}

async fn next_request(stream: &mut TcpStream, read: &mut BytesMut) -> Option<Request> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if read.len() > HEAD_BYTES_MAX || stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = read.split_to(end + 4);
    let head = String::from_utf8_lossy(&head[..end]).into_owned();
    let mut request = parse(&head)?;
    let length: usize = match request.header("content-length") {
        Some(text) => text.trim().parse().ok()?,
        None => 0,
    };
    if length > BODY_BYTES_MAX {
        return None;
    }
    read.reserve(length.saturating_sub(read.len()));
    while read.len() < length {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    request.body = read.split_to(length).freeze();
    Some(request)
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?, first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: parameters(query)?,
        headers,
        body: Bytes::new(),
    })
}

/// Reads `a=b&c`, percent-encoded.
#[must_use]
pub fn parameters(text: &str) -> Option<BTreeMap<String, String>> {
    (text.split('&').filter(|pair| !pair.is_empty()))
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Takes percent-encoding away; `None` if it is none, or what it says is no text.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, more) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = more;
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes all but letters, digits and `-._~/`.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_taken_away_as_it_was_put_on() {
        for text in ["a b/ü%41+&=?#", "", "\u{1}\n\0"] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }

    #[test]
    fn requests_are_read() {
        let request = parse("PUT /a%20b?x=1&flag HTTP/1.1\r\nX-Y:  z \r\nHost: h").unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("PUT", "/a%20b")
        );
        assert_eq!(request.parameter("x"), Some("1"));
        assert_eq!(request.parameter("flag"), Some(""));
        assert_eq!(request.header("x-y"), Some("z"));
        assert!(parse("nonsense").is_none());
    }
}
