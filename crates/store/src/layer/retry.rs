//! [`Retry`]: tries again what failed for a passing reason.
//!
//! Laws:
//! - Only [transient](ErrorKind::is_transient) errors are tried again, with exponential back-off and
//!   full jitter, never sooner than the server asked, bounded in tries and in time, and all requests
//!   together by a budget; and no longer than for moments while there is no way to the store.
//! - A body that breaks is resumed where it stopped, for the version first seen: never a mixture.
//! - What an earlier try may have done is never hidden. A write whose try timed out, broke or met a
//!   server error may have happened all the same. If a later try then fails, the error carries
//!   [`OutcomeUnknown`]: the caller looks at the bucket before it decides.
//!   `Precondition` may then mean that our own write is what is there; a `NotFound` of
//!   `multipart_complete` may mean that the upload is complete, and so becomes `TimedOut`.
//!
//! What repeats harmlessly: `head`, `get`, `list`, `multipart_put`, `multipart_copy`,
//! `multipart_abort`, `multipart_list` and unconditional `put`, `copy`, `delete` (a late repeat may overwrite what
//! someone else wrote meanwhile, which an unconditional write risks anyway).
//!
//! What does not: a `multipart_start` whose outcome is unknown may have begun an upload whose name
//! nobody got. It is told at once, so that the caller can look for it.

mod backoff;
mod body;
mod budget;
mod outage;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloudmount_vfs::{Clock, Timestamp};
use futures::future::select;
use tokio::sync::Notify;

use self::backoff::{Backoff, Policy};
use crate::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store,
    UploadId, UploadsPage, Version,
};

/// When and how often to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetrySettings {
    /// Tries in all, the first included; 0 counts as 1.
    pub tries: u32,
    /// No try begins later than this after the first began.
    pub total: Duration,
    /// The same where nothing has answered for as long as `total`, whatever was asked: what fails then is not tried for
    /// so long again.
    pub total_while_away: Duration,
    /// Upper end of the first wait; it doubles with every try. Each wait is drawn evenly from zero
    /// to its upper end ("Exponential Backoff And Jitter", AWS Architecture Blog).
    pub first_wait: Duration,
    /// No upper end grows beyond this. The server may ask for longer.
    pub longest_wait: Duration,
    /// Tries again that all requests of the store may begin at once before they wait for each other; each first try that works
    /// gives a fifth of one back, each other that works a whole one. 0 counts as 1.
    pub again_at_once: u32,
    /// Tries again that all requests may begin in a second, beyond those. 0 counts as 1.
    pub again_per_second: u32,
    /// Seeds the jitter. Different mounts need different seeds, or they wait in step.
    pub seed: u64,
}

impl Default for RetrySettings {
    /// Twelve tries within a minute outlast a restart of a server that refuses at once for ten seconds (the waits between
    /// them come to 26 s on average, and to less than 10 s once in some hundred times), a failover of a load balancer and
    /// a short loss of Wi-Fi, and give up before a person does. A hundred tries again at once are what the AWS SDKs allow; 20 a
    /// second are those of a hundred requests that wait their longest, 5 s on average, so the budget is felt by more
    /// requests than that, and in the first seconds, when waits are short. Five seconds are what one connection may take.
    fn default() -> Self {
        Self {
            tries: 12,
            total: Duration::from_secs(60),
            total_while_away: Duration::from_secs(5),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
            again_at_once: 100,
            again_per_second: 20,
            seed: 0,
        }
    }
}

/// The mark, in the chain of sources of an error, that an earlier try may have been carried out.
pub struct OutcomeUnknown {
    last: Error,
}

impl OutcomeUnknown {
    /// Whether `error` leaves open if the request was carried out: it carries this mark, or its
    /// kind says so itself (`TimedOut`, `Connection`, `Server`).
    #[must_use]
    pub fn is_in(error: &Error) -> bool {
        if leaves_open(error.kind()) {
            return true;
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if cause.is::<Self>() {
                return true;
            }
            source = cause.source();
        }
        false
    }
}

impl fmt::Debug for OutcomeUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}; caused by: {:?}", self.last)
    }
}

impl fmt::Display for OutcomeUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an earlier try may have been carried out")
    }
}

impl StdError for OutcomeUnknown {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.last)
    }
}

/// Whether the server may have carried out a request that failed so.
const fn leaves_open(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TimedOut | ErrorKind::Connection | ErrorKind::Server
    )
}

/// A store that is tried again.
pub struct Retry {
    shared: Arc<Shared>,
}

/// What bodies outlive the layer with.
struct Shared {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    /// Ends waits between tries.
    now: Notify,
}

impl Retry {
    /// Tries `inner` again as `settings` say; `clock` times the waits.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, settings: RetrySettings, clock: Arc<dyn Clock>) -> Self {
        let policy = Policy::new(settings);
        Self {
            shared: Arc::new(Shared {
                inner,
                clock,
                policy,
                now: Notify::new(),
            }),
        }
    }

    /// Ends all waits between tries: what is to be tried again is tried now, and for as long as ever: somebody knows that the
    /// way to the store has changed.
    pub fn try_now(&self) {
        self.shared.policy.outage_is_over();
        self.shared.now.notify_waiters();
    }

    fn inner(&self) -> &dyn Store {
        &*self.shared.inner
    }

    /// Runs something that changes nothing, or the same however often it happens.
    async fn repeat<T, F>(&self, mut attempt: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut backoff = self.shared.backoff();
        loop {
            let error = match attempt().await {
                Ok(value) => {
                    backoff.worked();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let Some(wait) = backoff.wait(&error, self.shared.clock.now()) else {
                return Err(error);
            };
            self.shared.pause(wait).await;
        }
    }

    /// Runs a change: an error tells whether an earlier try may have done it.
    async fn change<T, F>(&self, change: Change, mut attempt: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut backoff = self.shared.backoff();
        let mut earlier = Earlier::Refused;
        loop {
            let error = match attempt().await {
                Ok(value) => {
                    backoff.worked();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let Some(wait) = backoff.wait(&error, self.shared.clock.now()) else {
                return Err(finish(change, earlier, error));
            };
            if leaves_open(error.kind()) {
                earlier = Earlier::Unknown;
            }
            self.shared.pause(wait).await;
        }
    }
}

impl Shared {
    fn backoff(&self) -> Backoff<'_> {
        self.policy.start(self.clock.now())
    }

    /// Waits so long, or until nobody shall wait.
    async fn pause(&self, wait: Duration) {
        select(self.clock.sleep(wait), pin!(self.now.notified())).await;
    }
}

/// What kind of change is repeated.
#[derive(Clone, Copy)]
enum Change {
    /// `put` and `copy`.
    Write,
    /// `multipart_complete`: what it consumes is gone afterwards.
    Complete,
}

/// What became of the tries before the last.
#[derive(Clone, Copy)]
enum Earlier {
    /// None changed anything.
    Refused,
    /// One may have.
    Unknown,
}

fn finish(change: Change, earlier: Earlier, last: Error) -> Error {
    if matches!(earlier, Earlier::Refused) {
        return last;
    }
    let kind = match (change, last.kind()) {
        (Change::Complete, ErrorKind::NotFound) => ErrorKind::TimedOut,
        (_, kind) => kind,
    };
    let wait = last.retry_after();
    Error::new(kind, "after a try of unknown outcome")
        .with_retry_after(wait)
        .with_source(OutcomeUnknown { last })
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.shared.inner)
            .field("settings", self.shared.policy.settings())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Retry {
    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    fn time(&self) -> Option<Timestamp> {
        self.inner().time()
    }

    fn reconnect(&self) {
        self.inner().reconnect();
        self.try_now();
    }

    fn pushbacks(&self) -> u64 {
        let below = self.inner().pushbacks();
        below.saturating_add(self.shared.policy.pushbacks())
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.repeat(|| self.inner().head(key)).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let result = self
            .repeat(|| self.inner().get(key, options.clone()))
            .await?;
        Ok(body::resuming(
            Arc::clone(&self.shared),
            key.clone(),
            result,
        ))
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        // A body that breaks off is not gone on with: such reads are rare, and asked for again.
        self.repeat(|| self.inner().get_former(key, version, range.clone()))
            .await
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        self.repeat(|| self.inner().list(request.clone())).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let attempt = || self.inner().put(key, payload.clone(), options.clone());
        self.change(Change::Write, attempt).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let attempt = || self.inner().copy(source.clone(), to, options.clone());
        self.change(Change::Write, attempt).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        self.delete_all(
            keys,
            |asked| async move { self.inner().delete(&asked).await },
        )
        .await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let request = |asked: Vec<Removal>| async move { self.inner().delete_if(&asked).await };
        self.delete_all(removals, request).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let mut backoff = self.shared.backoff();
        loop {
            let error = match self.inner().multipart_start(key, options).await {
                Ok(upload) => {
                    backoff.worked();
                    return Ok(upload);
                }
                Err(error) if leaves_open(error.kind()) => return Err(error),
                Err(error) => error,
            };
            let Some(wait) = backoff.wait(&error, self.shared.clock.now()) else {
                return Err(error);
            };
            self.shared.pause(wait).await;
        }
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        self.repeat(|| (self.inner()).multipart_put(key, upload, number, payload.clone()))
            .await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let attempt = || {
            let (source, range) = (source.clone(), range.clone());
            (self.inner()).multipart_copy(key, upload, number, source, range)
        };
        self.repeat(attempt).await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let attempt = || {
            let precondition = precondition.clone();
            (self.inner()).multipart_complete(key, upload, parts, precondition)
        };
        self.change(Change::Complete, attempt).await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.repeat(|| self.inner().multipart_abort(key, upload))
            .await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        self.repeat(|| self.inner().multipart_list(prefix, token.clone()))
            .await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.repeat(|| self.inner().tags(key)).await
    }
}

impl Retry {
    /// Deletes; only what failed for a passing reason is sent again. What a try removed whose answer
    /// was lost is missing the next time, which is success.
    async fn delete_all<T, F>(
        &self,
        wanted: &[T],
        request: impl Fn(Vec<T>) -> F,
    ) -> Result<Vec<Result<()>>>
    where
        T: Clone,
        F: Future<Output = Result<Vec<Result<()>>>>,
    {
        let mut backoff = self.shared.backoff();
        let mut answers: Vec<Option<Result<()>>> = wanted.iter().map(|_| None).collect();
        let mut pending: Vec<usize> = (0..wanted.len()).collect();
        loop {
            let asked = pending.iter().map(|&index| wanted[index].clone());
            let round = match request(asked.collect()).await {
                Ok(round) => round,
                Err(error) => match backoff.wait(&error, self.shared.clock.now()) {
                    Some(wait) => {
                        self.shared.pause(wait).await;
                        continue;
                    }
                    None if pending.len() == wanted.len() => return Err(error),
                    // What is known of the other keys must not be lost.
                    None => repeat_error(&error, pending.len()),
                },
            };
            let mut again = Vec::new();
            for (&index, answer) in pending.iter().zip(round) {
                if matches!(&answer, Err(error) if error.kind().is_transient()) {
                    again.push(index);
                }
                answers[index] = Some(answer);
            }
            let longest = longest_asked(again.iter().filter_map(|&index| answers[index].as_ref()));
            if longest.is_none() {
                backoff.worked();
            }
            let Some(wait) = longest.and_then(|e| backoff.wait(e, self.shared.clock.now())) else {
                return Ok(answers.into_iter().map(known).collect());
            };
            pending = again;
            self.shared.pause(wait).await;
        }
    }
}

/// The error that asks for the longest wait.
fn longest_asked<'a>(answers: impl Iterator<Item = &'a Result<()>>) -> Option<&'a Error> {
    answers
        .filter_map(|answer| answer.as_ref().err())
        .max_by_key(|error| error.retry_after())
}

fn repeat_error(error: &Error, times: usize) -> Vec<Result<()>> {
    (0..times)
        .map(|_| {
            let again = Error::new(error.kind(), error.to_string());
            Err(again.with_retry_after(error.retry_after()))
        })
        .collect()
}

/// A store that answers for fewer keys than it was asked breaks the contract.
fn known(answer: Option<Result<()>>) -> Result<()> {
    answer.unwrap_or_else(|| {
        let context = "delete: fewer answers than keys";
        Err(Error::new(ErrorKind::Io, context))
    })
}
