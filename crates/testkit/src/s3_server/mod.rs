//! [`S3Server`]: S3 over HTTP on loopback, in any [`Dialect`], over any store.
//!
//! It speaks what the S3 client of `cloudmount-store` asks for, addressed by path, and answers everything else with
//! "not implemented". Signatures are not checked; which key signed is, where [`Keys`] are given.
//!
//! Law: what the dialect does not change is done by the store below, exactly once.

mod headers;
mod keys;
mod listing;
mod objects;
mod uploads;
mod xml;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudmount_store::layer::{Retry, RetrySettings};
use cloudmount_store::{
    Capabilities, Error, ErrorKind, Key, S3Credentials, S3Settings, S3Store, Secret, Store,
};
use cloudmount_vfs::{BoxFuture, Clock, SystemClock};

pub use self::keys::Keys;
use crate::loopback::{Loopback, Request, Response, decoded};
use crate::{Dialect, DialectStore};

/// The only bucket.
pub const BUCKET: &str = "pail";

/// Of so many requests, [`Dialect::Throttles403`] refuses one.
const THROTTLED_OF: u64 = 7;

/// A server.
#[derive(Debug)]
pub struct S3Server {
    http: Loopback,
    requests: Arc<AtomicU64>,
    met: Arc<AtomicU64>,
}

/// What answers need.
struct Inner {
    store: Arc<dyn Store>,
    dialect: Dialect,
    clock: Arc<dyn Clock>,
    keys: Option<Arc<Keys>>,
    requests: Arc<AtomicU64>,
    met: Arc<AtomicU64>,
}

/// What an answer is made from, or the refusal.
type Answer = Result<Response, Refusal>;

/// Why not.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    /// How long to wait, in seconds.
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::NotFound => (404, "NoSuchKey"),
            ErrorKind::NoBucket => (404, "NoSuchBucket"),
            ErrorKind::Precondition => (412, "PreconditionFailed"),
            ErrorKind::Range => (416, "InvalidRange"),
            ErrorKind::Forbidden => (403, "AccessDenied"),
            ErrorKind::Unauthorized => (403, "InvalidAccessKeyId"),
            ErrorKind::Unsupported => (501, "NotImplemented"),
            ErrorKind::Archived => (403, "InvalidObjectState"),
            ErrorKind::TooLarge => (400, "EntityTooLarge"),
            ErrorKind::Quota => (507, "QuotaExceeded"),
            ErrorKind::Throttled => (503, "SlowDown"),
            ErrorKind::InvalidRequest => (400, "InvalidRequest"),
            ErrorKind::Server | ErrorKind::Connection | ErrorKind::TimedOut | ErrorKind::Io => {
                (500, "InternalError")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl S3Server {
    /// Speaks `dialect` over `store`, which speaks none; dates are `clock`'s.
    ///
    /// # Errors
    /// No port, no thread.
    pub fn start(
        store: Arc<dyn Store>,
        dialect: Dialect,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        Self::with_keys(store, dialect, clock, None)
    }

    /// The same, for who signs with one of `keys`.
    ///
    /// # Errors
    /// No port, no thread.
    pub fn with_keys(
        store: Arc<dyn Store>,
        dialect: Dialect,
        clock: Arc<dyn Clock>,
        keys: Option<Arc<Keys>>,
    ) -> io::Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let met = Arc::new(AtomicU64::new(0));
        let inner = Arc::new(Inner {
            store: Arc::new(DialectStore::new(store, dialect, Arc::clone(&clock))),
            dialect,
            clock,
            keys,
            requests: Arc::clone(&requests),
            met: Arc::clone(&met),
        });
        let http = Loopback::start(Arc::new(move |request| -> BoxFuture<'static, Response> {
            let inner = Arc::clone(&inner);
            Box::pin(async move { inner.respond(request).await })
        }))?;
        Ok(Self {
            http,
            requests,
            met,
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.http.origin()
    }

    /// How many requests came in.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many requests met what [`Dialect::Throttles403`] or [`Dialect::NeedsMd5`] does: those that were throttled, or
    /// the removals of many whose digest was looked at.
    #[must_use]
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// What a client needs to know of it, whose server can do so much.
    #[must_use]
    pub fn client(&self, capabilities: Capabilities) -> S3Settings {
        S3Settings {
            endpoint: Some(self.endpoint()),
            credentials: S3Credentials::Static {
                access_key: "key".to_owned(),
                secret_key: Secret::new("secret"),
                session_token: None,
            },
            allow_http: true,
            capabilities,
            ..S3Settings::default()
        }
    }

    /// The real client of it, as a mount has it: what fails is tried again. Its limits and waits are of the machine's time, in
    /// which the server answers.
    ///
    /// # Panics
    /// Never: the settings are complete.
    #[must_use]
    pub fn store(&self, capabilities: Capabilities) -> Arc<dyn Store> {
        let known = Capabilities {
            trust: Capabilities::S3.trust,
            ..capabilities
        };
        let time: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = S3Store::new(BUCKET, &self.client(known), Arc::clone(&time));
        let store = store.expect("the settings are complete");
        let settings = RetrySettings {
            first_wait: Duration::from_millis(1),
            ..RetrySettings::default()
        };
        Arc::new(Retry::new(Arc::new(store), settings, time))
    }
}

impl Inner {
    async fn respond(&self, request: Request) -> Response {
        let answer = match self.admit(&request) {
            Ok(()) => self.answer(&request).await,
            Err(refusal) => Err(refusal),
        };
        let response = answer.unwrap_or_else(|refusal| refuse(&refusal));
        response.header("Date", headers::http_date(self.clock.wall()))
    }

    /// Whether the request is taken at all.
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if self.dialect == Dialect::Throttles403 && number % THROTTLED_OF == THROTTLED_OF - 1 {
            self.met.fetch_add(1, Ordering::Relaxed);
            let mut refusal = Refusal::new(403, "RequestThrottled", "You ask too much");
            refusal.retry_after = Some(0);
            return Err(refusal);
        }
        match &self.keys {
            Some(keys) => keys.check(request, &*self.clock),
            None => Ok(()),
        }
    }

    async fn answer(&self, request: &Request) -> Answer {
        let bucket = format!("/{BUCKET}");
        let rest = request.path.strip_prefix(&bucket);
        let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Err(Refusal::new(404, "NoSuchBucket", "There is no such bucket"));
        };
        let text = decoded(rest.strip_prefix('/').unwrap_or_default());
        let text = text.ok_or_else(|| Refusal::new(400, "InvalidURI", "The path is no text"))?;
        if text.is_empty() {
            return self.of_bucket(request).await;
        }
        let key = Key::new(text)
            .map_err(|error| Refusal::new(400, "KeyTooLongError", error.to_string()))?;
        let of = |name| request.parameter(name);
        match (request.method.as_str(), of("uploadId"), of("uploads")) {
            ("POST", None, Some(_)) => uploads::start(self, &key, request).await,
            ("PUT", Some(upload), _) => uploads::put_part(self, &key, upload, request).await,
            ("POST", Some(upload), _) => uploads::complete(self, &key, upload, request).await,
            ("DELETE", Some(upload), _) => uploads::abort(self, &key, upload).await,
            ("GET", None, _) if of("tagging").is_some() => objects::tags(self, &key).await,
            ("HEAD", None, _) => objects::head(self, &key).await,
            ("GET", None, _) if of("versionId").is_none() => {
                objects::get(self, &key, request).await
            }
            ("PUT", None, _) => objects::put(self, &key, request).await,
            ("DELETE", None, _) => objects::delete(self, &key, request).await,
            _ => Err(unknown()),
        }
    }

    async fn of_bucket(&self, request: &Request) -> Answer {
        let has = |name| request.parameter(name).is_some();
        match request.method.as_str() {
            "GET" if has("list-type") => listing::list(self, request).await,
            "GET" if has("uploads") => listing::uploads(self, request).await,
            "POST" if has("delete") => objects::delete_many(self, request).await,
            _ => Err(unknown()),
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(501, "NotImplemented", "This server knows no such request")
}

fn refuse(refusal: &Refusal) -> Response {
    let mut inner = String::new();
    xml::element(&mut inner, "Code", refusal.code);
    xml::element(&mut inner, "Message", &refusal.message);
    let mut response = Response::new(refusal.status)
        .header("Content-Type", "application/xml")
        .body(format!("<Error>{inner}</Error>"));
    if let Some(seconds) = refusal.retry_after {
        response = response.header("Retry-After", seconds.to_string());
    }
    response
}

fn document(xml: String) -> Response {
    Response::new(200)
        .header("Content-Type", "application/xml")
        .body(xml)
}

#[cfg(test)]
mod tests;
