//! One request to S3, from its parts to an answer of success or a sorted error.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::Timestamp;
use http::header::{CONTENT_LENGTH, ETAG, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use object_store::aws::AwsCredential;

use super::credentials::{Credentials, Over, Renewal, is_over};
use super::endpoint::Endpoint;
use super::presence::Presence;
use super::refusal::Refusal;
use super::sign::{Scope, Signable, SignedBody, SigningKey, payload_hash, sign};
use super::time::ServerTime;
use super::{credentials, encode, headers, xml};
use crate::http::{HttpClient, Patience, ResponseBody};
use crate::{Error, ErrorKind, Key, Payload};

/// The longest document that is read into memory: a listing of 1000 keys of 1024 bytes, each byte
/// percent-encoded, with the rest of each entry, is about 4 MiB.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// In which header buckets tell their region, also where an answer has no body (`HEAD`).
const BUCKET_REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

/// What is needed to send requests.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) endpoint: Endpoint,
    pub(super) region: String,
    pub(super) http: HttpClient,
    pub(super) time: ServerTime,
    /// `None`: requests are not signed.
    pub(super) credentials: Option<Credentials>,
    pub(super) signing_key: SigningKey,
    pub(super) presence: Presence,
}

/// A request to be sent.
pub(super) struct Request {
    asked: Asked,
    method: Method,
    query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    body: Payload,
    signed_body: Option<SignedBody>,
    patience: Patience,
}

/// What was asked, for messages.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    action: &'static str,
    key: Option<Key>,
}

impl Request {
    /// `action` says what is done, as a verb.
    pub(super) fn new(action: &'static str, method: Method, key: Option<&Key>) -> Self {
        Self {
            asked: Asked {
                action,
                key: key.cloned(),
            },
            method,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Payload::default(),
            signed_body: None,
            patience: Patience::Answer,
        }
    }

    /// Adds a parameter; one without a value if that is empty.
    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Content of objects: covered by the signature where the connection does not protect it.
    pub(super) fn content(mut self, payload: Payload) -> Self {
        self.body = payload;
        self
    }

    /// A document, which the signature always covers.
    pub(super) fn document(mut self, xml: String) -> Self {
        self.body = Bytes::from(xml).into();
        self.signed_body = Some(SignedBody::Yes);
        self
    }

    /// The server has work to do before it answers.
    pub(super) fn patient(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

/// Why there is no answer of success.
pub(super) struct Trouble {
    pub(super) error: Error,
    /// The code that the server gave; empty if it gave none.
    pub(super) code: String,
    /// The status of its answer, if there was one.
    status: Option<StatusCode>,
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        trouble.error
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self {
            error,
            code: String::new(),
            status: None,
        }
    }
}

/// An answer of success.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: ResponseBody,
    /// What was asked, ready for a message.
    pub(super) asked: String,
}

impl Answer {
    /// An answer that cannot be used.
    pub(super) fn unusable(&self, why: &str) -> Error {
        unusable(&self.asked, why)
    }
}

/// An answer of success that has been read to its end, which leaves the connection to others.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    asked: String,
}

impl Document {
    /// An answer that cannot be used.
    pub(super) fn unusable(&self, why: &str) -> Error {
        unusable(&self.asked, why)
    }

    /// The `ETag` among the headers.
    pub(super) fn tag(&self) -> crate::Result<String> {
        let tag = headers::text(&self.headers, &ETAG);
        tag.ok_or_else(|| self.unusable("the answer has no ETag"))
    }

    /// The text of one element right below the root.
    pub(super) fn element(&self, name: &str) -> crate::Result<String> {
        let mut found = None;
        let read = xml::walk(&self.body, |element| {
            if element.path == name {
                found = element.text.filter(|t| !t.is_empty()).map(str::to_owned);
            }
        });
        let found = found.filter(|_| read.is_ok());
        found.ok_or_else(|| self.unusable(&format!("the answer has no {name}")))
    }
}

fn unusable(asked: &str, why: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{asked}: {why}"))
}

impl Sender {
    /// Sends, and gives an answer of success.
    ///
    /// Not an `async fn`, and boxed: these futures are large, and callers hold them in others.
    pub(super) fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Trouble>> + Send {
        Box::pin(self.send_unboxed(request))
    }

    /// Sends, and reads all of the answer. An `<Error>` in an answer of success is an error: copies
    /// and completions begin their answer before they know how they end.
    pub(super) async fn fetch(&self, request: Request) -> Result<Document, Trouble> {
        let asked = request.asked.clone();
        let answer = self.send(request).await?;
        let body = answer.body.collect(DOCUMENT_BYTES_MAX).await;
        let body = body.map_err(|failure| failure.into_error(&answer.asked))?;
        match Refusal::parse(&body) {
            Some(refusal) => Err(self.refused(&asked, answer.status, &answer.headers, refusal)),
            None => Ok(Document {
                headers: answer.headers,
                body,
                asked: answer.asked,
            }),
        }
    }

    /// "read "key" in bucket "b" at https://host", for messages.
    pub(super) fn say(&self, asked: &Asked) -> String {
        let (bucket, origin) = (self.endpoint.bucket(), self.endpoint.origin());
        match &asked.key {
            Some(key) => format!("{} {key:?} in bucket {bucket:?} at {origin}", asked.action),
            None => format!("{} bucket {bucket:?} at {origin}", asked.action),
        }
    }

    /// Sends, and once more with other credentials if the server says that those had expired.
    async fn send_unboxed(&self, mut request: Request) -> Result<Answer, Trouble> {
        let credential = self.credential(&request.asked).await?;
        let trouble = match self.send_signed(&mut request, credential.as_ref()).await {
            Err(trouble) => trouble,
            done => return done,
        };
        let over = is_over(trouble.status, &trouble.code);
        let (Some(credentials), Some(used)) = (&self.credentials, &credential) else {
            return Err(trouble);
        };
        if credentials.renew(used, over)? == Renewal::None {
            return Err(trouble);
        }
        let credential = self.credential(&request.asked).await?;
        let done = self.send_signed(&mut request, credential.as_ref()).await;
        if let Err(trouble) = &done
            && is_over(trouble.status, &trouble.code) == Over::Perhaps
        {
            credentials.was_in_vain();
        }
        done
    }

    /// Sends, and once more if the server's clock turns out to be another.
    async fn send_signed(
        &self,
        request: &mut Request,
        credential: Option<&Arc<AwsCredential>>,
    ) -> Result<Answer, Trouble> {
        let signed = self.time.to_sign();
        let answer = self.try_once(request, credential, signed).await?;
        if !self.time.is_corrected(signed, answer.status()) {
            return self.sort(request, answer).await;
        }
        drop(answer);
        let answer = self
            .try_once(request, credential, self.time.to_sign())
            .await?;
        self.sort(request, answer).await
    }

    /// Signs it at that time, and sends it.
    async fn try_once(
        &self,
        request: &mut Request,
        credential: Option<&Arc<AwsCredential>>,
        now: Timestamp,
    ) -> Result<http::Response<ResponseBody>, Trouble> {
        let path = self
            .endpoint
            .path(request.asked.key.as_ref().map(Key::as_str));
        let host = HeaderValue::from_str(self.endpoint.authority());
        let host = host.map_err(|_| self.wrong(&request.asked, "the host name is no header"))?;
        request.headers.insert(HOST, host);
        if let Some(credential) = credential {
            let signed_body = request
                .signed_body
                .unwrap_or_else(|| self.endpoint.signed_body());
            let hash = payload_hash(&request.body.0, signed_body);
            let signable = Signable {
                method: &request.method,
                path: &path,
                query: &request.query,
                headers: &mut request.headers,
            };
            sign(
                signable,
                credential,
                Scope {
                    region: &self.region,
                    service: "s3",
                },
                &hash,
                now,
                &self.signing_key,
            )
            .map_err(|_| self.wrong(&request.asked, "the access key is no header"))?;
        }
        self.exchange(request, &path).await
    }

    async fn credential(&self, asked: &Asked) -> crate::Result<Option<Arc<AwsCredential>>> {
        let Some(credentials) = &self.credentials else {
            return Ok(None);
        };
        let source = match credentials.get().await {
            Ok(credential) => return Ok(Some(credential)),
            Err(source) => source,
        };
        let why = credentials.why(&source).await;
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let context = format!("{}: no credentials{why}", self.say(asked));
        Err(Error::new(credentials::kind_of(&source), context).with_source(source))
    }

    fn wrong(&self, asked: &Asked, why: &str) -> Error {
        let context = format!("{}: {why}", self.say(asked));
        Error::new(ErrorKind::InvalidRequest, context)
    }

    async fn exchange(
        &self,
        request: &Request,
        path: &str,
    ) -> Result<http::Response<ResponseBody>, Trouble> {
        let asked = &request.asked;
        let uri = format!(
            "{}{path}{}",
            self.endpoint.origin(),
            wire_query(&request.query)
        );
        let has_body = matches!(request.method, Method::PUT | Method::POST);
        let mut wire = http::Request::builder()
            .method(request.method.clone())
            .uri(uri);
        if let Some(headers) = wire.headers_mut() {
            *headers = request.headers.clone();
            if has_body {
                // Also for empty bodies, where hyper leaves it out and some stores insist.
                headers.insert(CONTENT_LENGTH, request.body.len().into());
            }
        }
        let wire = wire
            .body(request.body.clone().into())
            .map_err(|_| self.wrong(asked, "the request does not fit HTTP"))?;
        let answer = self.http.send(wire, request.patience).await;
        let answer = answer.map_err(|failure| failure.into_error(&self.say(asked)))?;
        self.time.hear(answer.headers());
        Ok(answer)
    }

    /// Tells an answer of success from a refusal.
    async fn sort(
        &self,
        request: &Request,
        answer: http::Response<ResponseBody>,
    ) -> Result<Answer, Trouble> {
        let asked = &request.asked;
        let (parts, body) = answer.into_parts();
        if parts.status.is_success() {
            self.presence.see(self.http.clock().now());
            return Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
                asked: self.say(asked),
            });
        }
        // A refusal whose reason breaks off is still that refusal.
        let document = body.collect(DOCUMENT_BYTES_MAX).await;
        let refusal = document.ok().and_then(|body| Refusal::parse(&body));
        let refusal = refusal.unwrap_or_default();
        Err(self.refused(asked, parts.status, &parts.headers, refusal))
    }

    fn refused(
        &self,
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
        mut refusal: Refusal,
    ) -> Trouble {
        let told = headers::text(headers, &BUCKET_REGION);
        refusal.region = refusal.region.or(told);
        let mut context = format!("{}: status {}", self.say(asked), status.as_u16());
        let mut add = |prefix: &str, text: &str| {
            if !text.is_empty() {
                context.push_str(prefix);
                context.push_str(text);
            }
        };
        add(" ", &refusal.code);
        add(": ", refusal.message.trim_end_matches('.'));
        add("; ", &refusal.advice(&self.region).unwrap_or_default());
        let wait: Option<Duration> = headers::retry_after(headers, self.time.now());
        Trouble {
            error: Error::new(refusal.kind(status, wait), context).with_retry_after(wait),
            code: refusal.code,
            status: Some(status),
        }
    }
}

fn wire_query(query: &[(&'static str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in query {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        if !value.is_empty() {
            out.push('=');
            out.extend(encode::query(value));
        }
    }
    out
}
