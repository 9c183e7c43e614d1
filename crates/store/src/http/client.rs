//! [`HttpClient`]: sends one request, waits as long as there is progress.
//!
//! Every wait ends. A request has, one after the other:
//!
//! | what | at most | where |
//! |---|---|---|
//! | the name is resolved, TCP and TLS connect | 5 s for TCP, 30 s in all | [`CONNECT_LIMIT`], [`STALL_LIMIT`] |
//! | the body is taken, 256 KiB at a time | 30 s for each | [`STALL_LIMIT`] |
//! | the peer's TCP acknowledges what was sent, or that it is there (Linux) | 30 s | [`STALL_LIMIT`] |
//! | the first byte of the answer | 30 s, and 1 s for each 32 KiB of a body, up to 120 s | [`STALL_LIMIT`], [`TAIL_LIMIT`] |
//! | the same, where the server has work to do first | 30 s, and as long as the work may take, up to 600 s | [`Patience`] |
//! | each next byte of the answer | 30 s | [`STALL_LIMIT`] |
//! | the answer as a whole | 30 s, or as long as the work may take, and 1 s for each KiB | `SLOWEST` of `body` |
//!
//! A try that is given up so fails with `TimedOut`, and its connection is closed; whether there is
//! another try is the business of `layer::Retry`. After [`HttpClient::reconnect`], one that made no progress
//! since the last look is given up at the next.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_vfs::Clock;
use futures::future::{Either, select};
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;

use super::{Failure, Patience, RequestBody, ResponseBody, tls};
use crate::{ErrorKind, Result};

/// How long one TCP connection may take. A host with several addresses shares it among them.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a request may make no progress at all: no byte taken, no byte given. Servers that are
/// alive answer within a few seconds; S3's own clients wait 30 to 60 s.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(30);

/// How long the answer to a request with a body may take at most once the connection has taken all of
/// it. The kernel still holds up to 4 MiB then (Linux, `tcp_wmem`), which take 64 s at 64 KiB/s.
const TAIL_LIMIT: Duration = Duration::from_secs(120);

/// How fast what the kernel holds of a body goes out at least, in bytes per second: 32 KiB/s. So a
/// server that hangs is found nearly as soon after a small body as without one, and the request can
/// be tried again.
const TAIL_BYTES_PER_SECOND: u64 = 32 << 10;

/// How often it is looked whether there was progress: a sixth of the shortest limit.
const LOOK: Duration = Duration::from_secs(5);

/// The most headers of an answer. Each entry of an object's user metadata is one, and 2 KiB hold
/// some hundreds.
const HEADERS_MAX: usize = 512;

/// How long an idle connection is kept. Below the 20 s after which S3 closes them, so that few
/// requests meet a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Idle connections kept per host: about as many as run at once. Each costs one descriptor.
const POOL_IDLE_MAX: usize = 64;

/// After how long of silence TCP asks whether the peer is still there: finds connections that died
/// while the machine slept.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// How long it waits for each answer to that. Linux would wait 75 s, while a server that is gone is waited for as one that has
/// work to do.
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// What we call ourselves.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("cloudmount/", env!("CARGO_PKG_VERSION")));

type Pool = legacy::Client<HttpsConnector<HttpConnector>, RequestBody>;

/// A pool of connections. Cloning is cheap and shares the pool.
#[derive(Clone)]
pub(crate) struct HttpClient {
    /// Makes connections. A name is resolved for each.
    connector: HttpsConnector<HttpConnector>,
    pool: Arc<Mutex<Numbered>>,
    clock: Arc<dyn Clock>,
}

/// A pool, and how many there were before it.
struct Numbered {
    pool: Pool,
    number: u64,
}

impl HttpClient {
    /// A client that trusts the machine's certificates and those in `extra_ca_pem`.
    pub(crate) fn new(extra_ca_pem: &[u8], clock: Arc<dyn Clock>) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE_INTERVAL));
        // What was sent and nobody acknowledges: the kernel may hold all of a body by then, and only a much longer limit
        // would find that. (TCP_USER_TIMEOUT, tcp(7))
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(STALL_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(extra_ca_pem)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Arc::new(Mutex::new(Numbered {
            pool: pool(&connector),
            number: 0,
        }));
        Ok(Self {
            connector,
            pool,
            clock,
        })
    }

    /// Leaves all connections to the requests that are on them, and makes new ones for all others. Requests that make no progress
    /// are given up within [`LOOK`], but those whose server has work to do.
    pub(crate) fn reconnect(&self) {
        let fresh = pool(&self.connector);
        let mut numbered = self.pool.lock();
        numbered.pool = fresh;
        numbered.number += 1;
    }

    /// The time that waits are measured by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn pool(&self) -> (Pool, u64) {
        let numbered = self.pool.lock();
        (numbered.pool.clone(), numbered.number)
    }

    /// Sends `request`, whose URI is absolute, and gives the answer whatever its status.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        patience: Patience,
    ) -> std::result::Result<Response<ResponseBody>, Failure> {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let peer = peer(request.uri());
        let left = request.body().left();
        let tail_limit = tail_limit(left.load(Ordering::Relaxed));
        let (pool, number) = self.pool();
        let mut answer = pin!(pool.request(request));
        let mut before = left.load(Ordering::Relaxed);
        let mut idle = Duration::ZERO;
        loop {
            let timer = self.clock.sleep(LOOK);
            if let Some(answer) = before_the_timer(answer.as_mut(), timer).await {
                let answer = answer.map_err(|e| Failure::of_request(e, &peer))?;
                let clock = Arc::clone(&self.clock);
                return Ok(answer.map(|body| ResponseBody::new(body, patience, clock)));
            }
            let now = left.load(Ordering::Relaxed);
            idle = if now == before {
                idle + LOOK
            } else {
                Duration::ZERO
            };
            before = now;
            let limit = match now {
                0 => patience.first_byte(tail_limit),
                _ => STALL_LIMIT,
            };
            if idle > Duration::ZERO && patience == Patience::Answer && self.pool().1 != number {
                let detail = format!("{peer} was silent, and new connections were asked for");
                return Err(Failure::new(ErrorKind::Connection, detail));
            }
            if idle >= limit {
                let detail = format!("no answer from {peer} for {} s", idle.as_secs());
                return Err(Failure::new(ErrorKind::TimedOut, detail));
            }
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

fn pool(connector: &HttpsConnector<HttpConnector>) -> Pool {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_IDLE_MAX)
        .http1_max_headers(HEADERS_MAX)
        .build(connector.clone())
}

async fn before_the_timer<F: Future + Unpin>(
    future: F,
    timer: impl Future<Output = ()> + Unpin,
) -> Option<F::Output> {
    match select(future, timer).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// How long to wait for an answer once a body of that length was taken.
fn tail_limit(body_bytes: u64) -> Duration {
    let sent = Duration::from_secs(body_bytes / TAIL_BYTES_PER_SECOND);
    STALL_LIMIT.saturating_add(sent).min(TAIL_LIMIT)
}

/// Scheme, host and port: what a message may show of a URI.
fn peer(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", |a| a.as_str());
    format!("{scheme}://{authority}")
}
