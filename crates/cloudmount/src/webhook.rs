//! [`Webhook`]: takes notifications of a bucket by HTTP, and is the feed of what they say.
//!
//! Laws: whoever is not allowed to is answered before anything that he sent is looked at; a request has [`BODY_MAX`]
//! bytes, ten seconds, and one connection, of which there are [`CONNECTIONS_MAX`] at once. What comes faster than it is
//! taken up is not kept: then all of the mount is looked at anew. An answer of 200 says that it will be.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_core::feed::{ChangeFeed, News, Notices};
use cloudmount_store::Secret;
use cloudmount_vfs::{BoxFuture, Clock};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// Longest request line and headers together: what common servers take.
const HEAD_MAX: usize = 16 << 10;

/// Headers of a request: senders put twenty.
const HEADERS_MAX: usize = 64;

/// Longest body: Amazon sends one record, others some hundred, of 1 KiB each; SNS sends 256 KiB at most.
const BODY_MAX: usize = 1 << 20;

/// Connections at once. Who comes when there are so many waits in the system's queue.
const CONNECTIONS_MAX: usize = 32;

/// Bytes of a refused request that are read to no end: as much as a body may have.
const LINGER_MAX: u64 = 1 << 20;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bodies that were taken and not looked at yet.
const WAITING_MAX: usize = 64;

/// How long to leave a listener alone that cannot accept, as without descriptors.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Where notifications are taken, and whose.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The address to listen at.
    pub address: SocketAddr,
    /// What senders have to show, as `Authorization: Bearer TOKEN`; `None` takes all.
    pub token: Option<Secret>,
    /// Which notifications count.
    pub notices: Notices,
}

/// A feed of what is posted to an address, which is closed when this is dropped.
pub struct Webhook {
    address: SocketAddr,
    news: mpsc::Receiver<Vec<News>>,
    gate: Arc<Gate>,
    task: JoinHandle<()>,
}

/// What all connections share.
struct Gate {
    /// Of the token.
    digest: Option<[u8; 32]>,
    notices: Notices,
    news: mpsc::Sender<Vec<News>>,
    /// Something came that found no place.
    lost: Notify,
    clock: Arc<dyn Clock>,
}

/// What a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Answer(u16, &'static str);

const TAKEN: Answer = Answer(200, "OK");
const MALFORMED: Answer = Answer(400, "Bad Request");
const NO_TOKEN: Answer = Answer(401, "Unauthorized");
const OTHER_METHOD: Answer = Answer(405, "Method Not Allowed");
const TOO_SLOW: Answer = Answer(408, "Request Timeout");
const NO_LENGTH: Answer = Answer(411, "Length Required");
const TOO_LONG: Answer = Answer(413, "Content Too Large");
const HEAD_TOO_LONG: Answer = Answer(431, "Request Header Fields Too Large");

/// A request that may be read on.
#[derive(Debug)]
enum Head {
    /// It is a notification of so many bytes; so many bytes of the buffer were its head.
    Post { body: usize, head: usize },
    /// Somebody looks whether anybody listens.
    Look,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Listens, within a tokio runtime with network and time.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(settings: WebhookSettings, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(settings.address).await?;
        let address = listener.local_addr()?;
        let (sender, news) = mpsc::channel(WAITING_MAX);
        let gate = Arc::new(Gate {
            digest: settings.token.as_ref().map(|token| digest(token.expose())),
            notices: settings.notices,
            news: sender,
            lost: Notify::new(),
            clock,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&gate)));
        Ok(Self {
            address,
            news,
            gate,
            task,
        })
    }

    /// Where it listens: with the port that the system chose, if none was named.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ChangeFeed for Webhook {
    fn kind(&self) -> String {
        format!("webhook at http://{}", self.address)
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Vec<News>, String>> {
        Box::pin(async {
            tokio::select! {
                () = self.gate.lost.notified() => {
                    let prefix = String::new();
                    Ok(vec![News::Below { prefix }])
                }
                news = self.news.recv() => news.ok_or_else(|| "nobody listens any more".to_owned()),
            }
        })
    }
}

async fn accept(listener: TcpListener, gate: Arc<Gate>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    gate.serve(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take notifications for a moment");
                gate.clock.sleep(AFTER_FAILURE).await;
            }
        }
    }
}

impl Gate {
    async fn serve(&self, mut stream: TcpStream) {
        let answer = tokio::select! {
            answer = self.hear(&mut stream) => answer,
            () = self.clock.sleep(PATIENCE) => Ok(TOO_SLOW),
        };
        // Who went away is not answered.
        let Ok(Answer(code, reason)) = answer else {
            return;
        };
        let text =
            format!("HTTP/1.1 {code} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let say = async {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await?;
            // A connection that is closed with bytes unread takes its answer with it.
            let mut rest = stream.take(LINGER_MAX);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        tokio::select! {
            said = say => drop(said),
            () = self.clock.sleep(PATIENCE) => {}
        }
    }

    async fn hear(&self, stream: &mut TcpStream) -> std::io::Result<Answer> {
        let mut buffer = Vec::new();
        let (body, head) = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(MALFORMED);
            }
            match self.head(&buffer) {
                Ok(Some(Head::Post { body, head })) => break (body, head),
                Ok(Some(Head::Look)) => return Ok(TAKEN),
                Ok(None) if buffer.len() > HEAD_MAX => return Ok(HEAD_TOO_LONG),
                Ok(None) => {}
                Err(answer) => return Ok(answer),
            }
        };
        while buffer.len() < head + body {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(MALFORMED);
            }
        }
        Ok(self.take(&buffer[head..head + body]))
    }

    /// Looks at what came so far; `None` if more is needed.
    fn head(&self, buffer: &[u8]) -> Result<Option<Head>, Answer> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(buffer) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LONG),
            Err(_) => return Err(MALFORMED),
        };
        let header = |name: &str| {
            let mut headers = request.headers.iter();
            let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        match request.method {
            Some("GET" | "HEAD") => return Ok(Some(Head::Look)),
            Some("POST" | "PUT") => {}
            _ => return Err(OTHER_METHOD),
        }
        if !self.is_allowed(header("authorization")) {
            return Err(NO_TOKEN);
        }
        let length = header("content-length").ok_or(NO_LENGTH)?;
        let body = length.trim().parse().map_err(|_| MALFORMED)?;
        if body > BODY_MAX {
            return Err(TOO_LONG);
        }
        Ok(Some(Head::Post { body, head }))
    }

    /// Compares digests, all of them, so that the time it takes tells nothing of the token.
    fn is_allowed(&self, shown: Option<&str>) -> bool {
        let Some(wanted) = &self.digest else {
            return true;
        };
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let Some(token) = token.map(str::trim) else {
            return false;
        };
        let differing = wanted.iter().zip(digest(token));
        differing.fold(0, |all, (one, other)| all | (one ^ other)) == 0
    }

    fn take(&self, body: &[u8]) -> Answer {
        match self.notices.read(body) {
            Ok(news) if news.is_empty() => TAKEN,
            Ok(news) => {
                if let Err(mpsc::error::TrySendError::Full(_)) = self.news.try_send(news) {
                    self.lost.notify_one();
                }
                TAKEN
            }
            Err(error) => {
                tracing::warn!(%error, "something was posted that is no notification");
                MALFORMED
            }
        }
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
