//! [`reach`]: how far one gets on the way to an S3 endpoint: its name, TCP, TLS, an answer.
//!
//! Laws: what is sent is not signed and names no bucket, so that it shows nobody anything; it ends
//! within [`TIME_MAX`] for each step; nothing is changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::Clock;
use futures::future::{Either, select};
use http::{Method, Request, Response, Uri};
use tokio::net::{TcpStream, lookup_host};

use crate::http::{Failure, HttpClient, Patience, RequestBody, ResponseBody};
use crate::s3::{date, origin};
use crate::{Payload, Result, S3Settings};

/// How long each step may take: a person waits, and what takes longer is of no use for a mount.
pub const TIME_MAX: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried, at most: S3 gives eight at a time.
const ADDRESSES_MAX: usize = 8;

/// How far one gets.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Reach {
    /// Scheme, host and port.
    pub origin: String,
    /// The host alone.
    pub host: String,
    /// The addresses of the host.
    pub addresses: Vec<SocketAddr>,
    /// The status of the answer, whatever it says: somebody answered.
    pub status: Option<u16>,
    /// By how many seconds the server's clock is ahead of this machine's; negative if it is behind.
    pub ahead_secs: Option<i64>,
    /// Why one gets no further.
    pub obstacle: Option<Obstacle>,
}

/// What is in the way. Texts are lowercase fragments.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Obstacle {
    /// The name has no address.
    Name(String),
    /// Nobody takes the connection.
    Tcp(String),
    /// TLS was not agreed on.
    Tls(String),
    /// The other side speaks TLS, and its certificate is not taken.
    Certificate(Distrust, String),
    /// The address says `https://`, and the port speaks plain HTTP.
    OnlyPlain,
    /// The address says `http://`, and the port speaks TLS.
    OnlyTls,
    /// No answer came that is HTTP.
    Answer(String),
}

/// Why a certificate is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Distrust {
    /// Nobody who is trusted has signed it.
    Authority,
    /// It is that of another name.
    Name,
    /// It was valid until some time ago, by this machine's clock.
    Expired,
    /// It will be valid, by this machine's clock.
    NotYet,
    /// Another reason.
    Other,
}

/// Goes as far as one gets towards where requests for `bucket` would go.
///
/// # Errors
/// The settings make no sense, see [`open`](crate::open()).
pub async fn reach(bucket: &str, settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<Reach> {
    let origin = origin(bucket, settings)?;
    let uri: Uri = origin.parse().map_err(|source| {
        let context = format!("endpoint {origin:?}");
        crate::Error::new(crate::ErrorKind::InvalidRequest, context).with_source(source)
    })?;
    let host = uri.host().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let usual = if uri.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    let port = uri.port_u16().unwrap_or(usual);
    let mut reach = Reach {
        origin,
        host,
        addresses: Vec::new(),
        status: None,
        ahead_secs: None,
        obstacle: None,
    };
    let http = HttpClient::new(&settings.extra_ca_pem, Arc::clone(&clock))?;
    if let Err(obstacle) = go(&mut reach, port, &http, &*clock).await {
        reach.obstacle = Some(obstacle);
    }
    Ok(reach)
}

async fn go(
    reach: &mut Reach,
    port: u16,
    http: &HttpClient,
    clock: &dyn Clock,
) -> std::result::Result<(), Obstacle> {
    let found = within(clock, lookup_host((reach.host.clone(), port))).await;
    reach.addresses = match found {
        Some(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect(),
        Some(Err(error)) => return Err(Obstacle::Name(error.to_string())),
        None => return Err(Obstacle::Name(late())),
    };
    if reach.addresses.is_empty() {
        return Err(Obstacle::Name("it has no address".to_owned()));
    }
    connect(&reach.addresses, clock).await?;
    let is_tls = reach.origin.starts_with("https://");
    match ask(http, &reach.origin, clock).await {
        // Servers that speak TLS tell plain callers so by this status, or by nothing.
        Ok(answer) if !is_tls && answer.status().as_u16() == 400 => {
            let other = reach.origin.replacen("http://", "https://", 1);
            if speaks_tls(http, &other, clock).await {
                return Err(Obstacle::OnlyTls);
            }
            hear(reach, &answer, clock);
            Ok(())
        }
        Ok(answer) => {
            hear(reach, &answer, clock);
            Ok(())
        }
        Err(failure) if is_tls => {
            let reason = failure.detail.clone();
            if let Some(why) = failure.about_certificate() {
                return Err(Obstacle::Certificate(why, reason));
            }
            let other = reach.origin.replacen("https://", "http://", 1);
            Err(match ask(http, &other, clock).await {
                Ok(_) => Obstacle::OnlyPlain,
                Err(_) => Obstacle::Tls(reason),
            })
        }
        Err(failure) => {
            let other = reach.origin.replacen("http://", "https://", 1);
            Err(if speaks_tls(http, &other, clock).await {
                Obstacle::OnlyTls
            } else {
                Obstacle::Answer(failure.detail)
            })
        }
    }
}

/// Connects to the first address that takes it.
async fn connect(addresses: &[SocketAddr], clock: &dyn Clock) -> std::result::Result<(), Obstacle> {
    let mut why = String::new();
    for address in addresses {
        match within(clock, TcpStream::connect(address)).await {
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => why = format!("{address}: {error}"),
            None => why = format!("{address}: {}", late()),
        }
    }
    Err(Obstacle::Tcp(why))
}

/// Asks for nothing in particular, unsigned.
async fn ask(
    http: &HttpClient,
    origin: &str,
    clock: &dyn Clock,
) -> std::result::Result<Response<ResponseBody>, Failure> {
    let unfit = |_| Failure::new(crate::ErrorKind::InvalidRequest, "it does not fit HTTP");
    let request: Request<RequestBody> = Request::builder()
        .method(Method::GET)
        .uri(format!("{origin}/"))
        .body(Payload::default().into())
        .map_err(unfit)?;
    match within(clock, Box::pin(http.send(request, Patience::Answer))).await {
        Some(answer) => answer,
        None => Err(Failure::new(crate::ErrorKind::TimedOut, late())),
    }
}

/// Whether there is TLS behind an `https://` address, with whatever certificate.
async fn speaks_tls(http: &HttpClient, origin: &str, clock: &dyn Clock) -> bool {
    match ask(http, origin, clock).await {
        Ok(_) => true,
        Err(failure) => failure.about_certificate().is_some(),
    }
}

fn hear(reach: &mut Reach, answer: &Response<ResponseBody>, clock: &dyn Clock) {
    reach.status = Some(answer.status().as_u16());
    let here = clock.wall().secs();
    reach.ahead_secs = date(answer.headers()).map(|there| there.secs().saturating_sub(here));
}

fn late() -> String {
    format!("nothing for {} s", TIME_MAX.as_secs())
}

/// `None`: it took too long.
async fn within<T>(clock: &dyn Clock, work: impl Future<Output = T>) -> Option<T> {
    match select(Box::pin(work), clock.sleep(TIME_MAX)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
