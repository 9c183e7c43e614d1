//! [`Link`]: how the way to the store is, as far as its requests tell.
//!
//! Laws: nothing is asked for here; each try counts, so this layer is below the one that repeats; what a request met is noted when it
//! ends, and a body that breaks later once more.

mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloudmount_vfs::{Clock, Instant, Timestamp};
use futures::StreamExt;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use self::state::{Machine, Met};
use crate::{
    Capabilities, CopyOptions, CopySource, Error, GetOptions, GetResult, Key, ListPage,
    ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store,
    UploadId, UploadsPage, Version,
};

pub use self::state::LinkState;

/// A store whose requests tell how the way to it is. Keep an `Arc` of it for [`Link::status`].
pub struct Link {
    inner: Arc<dyn Store>,
    shared: Arc<Shared>,
}

/// How the way to a store is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct LinkStatus {
    /// In one word.
    pub state: LinkState,
    /// For how long it has been so.
    pub secs: u64,
    /// What the last request that failed met; `None` while all is well.
    pub why: Option<String>,
}

/// What bodies outlive the layer with.
struct Shared {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    told: watch::Sender<LinkState>,
}

struct Known {
    machine: Machine,
    /// When the state began.
    since: Instant,
    /// When a request ended last.
    heard: Instant,
    why: Option<String>,
}

impl Link {
    /// Notes what requests to `inner` meet; `clock` times them.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let known = Known {
            machine: Machine::default(),
            since: now,
            heard: now,
            why: None,
        };
        Self {
            inner,
            shared: Arc::new(Shared {
                clock,
                known: Mutex::new(known),
                told: watch::Sender::new(LinkState::default()),
            }),
        }
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        let now = self.shared.clock.now();
        let state = self.shared.look(now);
        let known = self.shared.known.lock();
        LinkStatus {
            state,
            secs: now.saturating_since(known.since).as_secs(),
            why: match state {
                LinkState::Online => None,
                LinkState::Degraded | LinkState::Offline => known.why.clone(),
            },
        }
    }

    /// Tells each change. Whoever is slow sees the newest one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<LinkState> {
        self.shared.told.subscribe()
    }

    /// How long no request has ended.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        let heard = self.shared.known.lock().heard;
        self.shared.clock.now().saturating_since(heard)
    }

    async fn note<T>(&self, asked: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let began = self.shared.clock.now();
        let result = asked.await;
        self.shared.heard(began, result.as_ref().err());
        result
    }

    /// The same, with a body that tells when it breaks.
    fn listened(&self, mut result: GetResult) -> GetResult {
        let shared = Arc::clone(&self.shared);
        let listened = result.body.inspect(move |piece| {
            if let Err(error) = piece {
                shared.heard(shared.clock.now(), Some(error));
            }
        });
        result.body = listened.boxed();
        result
    }
}

impl Shared {
    fn heard(&self, began: Instant, error: Option<&Error>) {
        let now = self.clock.now();
        let met = error.map_or(Met::Answer, |error| Met::of(error.kind()));
        let mut known = self.known.lock();
        known.heard = now;
        if let Some(error) = error.filter(|_| met != Met::Answer) {
            known.why = Some(error.to_string());
        }
        let before = known.machine.state();
        let state = known.machine.heard(began, now, met);
        self.tell(&mut known, before, state, now);
    }

    /// The state `now`.
    fn look(&self, now: Instant) -> LinkState {
        let mut known = self.known.lock();
        let before = known.machine.state();
        let state = known.machine.look(now);
        self.tell(&mut known, before, state, now);
        state
    }

    fn tell(&self, known: &mut Known, before: LinkState, state: LinkState, now: Instant) {
        if state != before {
            known.since = now;
            self.told.send_replace(state);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Link {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn time(&self) -> Option<Timestamp> {
        self.inner.time()
    }

    fn pushbacks(&self) -> u64 {
        self.inner.pushbacks()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let asked = self.inner.head(key);
        self.note(asked).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let asked = self.inner.get(key, options);
        self.note(asked).await.map(|result| self.listened(result))
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let asked = self.inner.get_former(key, version, range);
        self.note(asked).await.map(|result| self.listened(result))
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        let asked = self.inner.list(request);
        self.note(asked).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let asked = self.inner.put(key, payload, options);
        self.note(asked).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let asked = self.inner.copy(source, to, options);
        self.note(asked).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let asked = self.inner.delete(keys);
        self.note(asked).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let asked = self.inner.delete_if(removals);
        self.note(asked).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let asked = self.inner.multipart_start(key, options);
        self.note(asked).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let asked = self.inner.multipart_put(key, upload, number, payload);
        self.note(asked).await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let asked = (self.inner).multipart_copy(key, upload, number, source, range);
        self.note(asked).await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let asked = (self.inner).multipart_complete(key, upload, parts, precondition);
        self.note(asked).await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let asked = self.inner.multipart_abort(key, upload);
        self.note(asked).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let asked = self.inner.multipart_list(prefix, token);
        self.note(asked).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let asked = self.inner.tags(key);
        self.note(asked).await
    }
}
