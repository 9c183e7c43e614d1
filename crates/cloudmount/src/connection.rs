//! The way to the bucket: how it is, who is told when that changes, and how to begin anew with it.
//!
//! Laws: while all is well nothing is asked for, and no timer runs. While it is not, the store is asked for one name now and then,
//! if nobody else asks it: so its return is seen by those who do not call, and what waits between tries goes on at once.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{Scope, Stage};
use cloudmount_store::layer::{Link, LinkState, Retry};
use cloudmount_store::{ListRequest, Store as _};
use cloudmount_vfs::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::CloudMount;
use crate::stack::Stack;

pub use cloudmount_store::layer::{LinkState as ConnectionState, LinkStatus as Connection};

/// How often it is looked whether a store is back, and after how long without any request it is asked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a person waits for a first answer after [`CloudMount::reconnect`].
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Changes of the connection, one after the other.
#[derive(Debug)]
pub struct ConnectionChanges(watch::Receiver<LinkState>);

impl ConnectionChanges {
    /// Waits for the next change. Whoever is slow sees the newest one only. `None`: the filesystem is gone.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }
}

impl CloudMount {
    /// How the way to the bucket is, as far as the requests until now tell.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.shared.link.status()
    }

    /// Tells when the way to the bucket becomes another from now on.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use cloudmount::ConnectionState;
    ///
    /// let files = cloudmount::CloudMount::builder("memory:").open().await?;
    /// let mut changes = files.connection_changes();
    /// tokio::spawn(async move {
    ///     while let Some(state) = changes.next().await {
    ///         println!("the bucket is {state:?}");
    ///     }
    /// });
    /// assert_eq!(files.connection().state, ConnectionState::Online);
    /// # assert!(files.close().await.is_complete());
    /// # Ok::<(), cloudmount::Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn connection_changes(&self) -> ConnectionChanges {
        ConnectionChanges(self.shared.link.changes())
    }

    /// Begins anew with the network, because somebody knows that it has changed: drops idle connections, resolves names again,
    /// gives up requests that are silent, and tries now all that waits for its next try. Gives how the way is after that, by
    /// a request of its own, within ten seconds.
    pub async fn reconnect(&self) -> Connection {
        let shared = &self.shared;
        shared.core.store().reconnect();
        if !self.is_paused() {
            shared.core.stage().retry(&Scope::all());
        }
        tokio::select! {
            () = ask(&shared.link) => {}
            () = shared.clock().sleep(ANSWER_WAIT) => {}
        }
        shared.link.status()
    }
}

/// Looks after a store that is not well. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Lookout(JoinHandle<()>);

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lookout {
    pub(crate) fn new(stack: &Stack, stage: Stage, clock: &Arc<dyn Clock>) -> Self {
        let (link, retry) = (Arc::clone(&stack.link), Arc::clone(&stack.store));
        let clock = Arc::clone(clock);
        Self(tokio::spawn(async move {
            let mut changes = link.changes();
            let mut before = LinkState::default();
            loop {
                let state = *changes.borrow_and_update();
                if state != before {
                    tell(state, &link);
                    if before == LinkState::Offline {
                        go_on(&retry, &stage);
                    }
                    before = state;
                }
                if state == LinkState::Online {
                    if changes.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    () = clock.sleep(LOOK_EVERY) => look(&link).await,
                }
            }
        }))
    }
}

/// Lets time count, and asks if nobody else did.
async fn look(link: &Link) {
    if link.status().state != LinkState::Online && link.quiet_for() >= LOOK_EVERY {
        ask(link).await;
    }
}

/// One request that changes nothing; what comes of it is noted on its way.
async fn ask(link: &Link) {
    let request = ListRequest {
        limit: Some(1),
        ..ListRequest::default()
    };
    drop(link.list(request).await);
}

/// It is back: what waits between tries goes on.
fn go_on(retry: &Retry, stage: &Stage) {
    retry.try_now();
    if !stage.is_paused() {
        stage.retry(&Scope::all());
    }
}

fn tell(state: LinkState, link: &Link) {
    let why = link.status().why.unwrap_or_default();
    match state {
        LinkState::Online => tracing::info!("the bucket answers again"),
        LinkState::Degraded => tracing::warn!(why, "requests fail; they are tried again"),
        LinkState::Offline => {
            tracing::warn!(why, "the bucket cannot be reached; what is written waits");
        }
    }
}
