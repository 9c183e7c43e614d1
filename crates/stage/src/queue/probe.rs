//! Before the first write of a mount: what the endpoint really honours.
//!
//! Laws: a store that is trusted is never asked; who only reads asks nothing. One operation asks,
//! the others wait for it, for a bounded time. The answer is remembered in the staging folder, which
//! is that of one bucket at one endpoint, and asked for again after [`GOOD_FOR`], or sooner where
//! something could not be found out or the store said otherwise later.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cloudmount_store::probe::{Honoured, Leaves, probe_after};
use cloudmount_store::{Capabilities, Trust};
use cloudmount_vfs::Timestamp;
use md5::{Digest, Md5};

use crate::endpoint::{self, Endpoint};
use crate::platform::boot_id;
use crate::stage::Inner;

/// How long an answer is good for: 30 days. Servers change with their versions.
const GOOD_FOR: Duration = Duration::from_secs(30 * 86_400);

/// When to ask again if the store contradicted the answer: in an hour. It may have been a server of
/// several, in the middle of an upgrade.
const CONTRADICTED: Duration = Duration::from_secs(3600);

/// When to ask again if something could not be found out: in 10 minutes. Until then writes are
/// looked at just before.
const UNKNOWN: Duration = Duration::from_secs(600);

/// When the endpoint is to be asked.
#[derive(Debug)]
pub(crate) struct Asking {
    folder: PathBuf,
    /// In seconds of the wall clock.
    due: AtomicI64,
    /// Held by the one who asks.
    turn: tokio::sync::Mutex<()>,
}

impl Asking {
    /// For that staging folder. Gives what is remembered of the endpoint.
    pub(crate) fn new(
        folder: &Path,
        capabilities: &Capabilities,
        now: Timestamp,
    ) -> (Self, Option<Honoured>) {
        let remembered = match capabilities.trust {
            Trust::Exact => None,
            Trust::Claimed => endpoint::load(folder).filter(|known| known.is_good_at(now)),
        };
        let due = match (capabilities.trust, &remembered) {
            (Trust::Exact, _) => i64::MAX,
            // To clean up after those that were interrupted.
            (Trust::Claimed, Some(_)) if !endpoint::interrupted(folder).is_empty() => i64::MIN,
            (Trust::Claimed, Some(known)) => known.ask_again,
            (Trust::Claimed, None) => i64::MIN,
        };
        let asking = Self {
            folder: folder.to_owned(),
            due: AtomicI64::new(due),
            turn: tokio::sync::Mutex::default(),
        };
        (asking, remembered.map(|known| known.honoured))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.due.load(Ordering::Acquire) <= now.secs()
    }
}

impl Endpoint {
    /// Whether it may be believed; not if the clock was far ahead when it was written.
    fn is_good_at(&self, now: Timestamp) -> bool {
        self.ask_again.saturating_sub(now.secs()) <= seconds(GOOD_FOR)
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl Inner {
    /// Finds out what the endpoint honours, if that is not known or long ago.
    pub(super) async fn know_endpoint(&self) {
        if !self.asking.is_due(self.clock.wall()) {
            return;
        }
        let _turn = self.asking.turn.lock().await;
        if !self.asking.is_due(self.clock.wall()) {
            return;
        }
        let nonce = self.nonce();
        let folder = self.asking.folder.clone();
        let begun = self.disk.run(move || endpoint::begin_probe(&folder, nonce));
        let interrupted = begun.await.unwrap_or_else(|error| {
            // Should this one be interrupted, a later one removes what it left after an hour.
            tracing::warn!(%error, "cannot note that the endpoint is asked");
            Vec::new()
        });
        let asked = probe_after(&*self.store, &*self.clock, nonce, &interrupted);
        let (honoured, leaves) = Box::pin(asked).await;
        if leaves == Leaves::Nothing {
            let folder = self.asking.folder.clone();
            let ended = self.disk.run(move || endpoint::end_probe(&folder, nonce));
            if let Err(error) = ended.await {
                // It is cleaned up after again, for nothing.
                tracing::debug!(%error, "cannot note that a probe has ended");
            }
        }
        let wait = if honoured.has_unknown() {
            UNKNOWN
        } else {
            GOOD_FOR
        };
        for (name, finding) in honoured.findings() {
            if !finding.is_kept() {
                tracing::info!(name, ?finding, "the endpoint was asked what it honours");
            }
        }
        self.conditions
            .learn(honoured.after(&self.conditions.honoured()));
        self.remember(wait).await;
    }

    /// The store said otherwise than what was found: `change` puts that down.
    pub(super) async fn contradicted(&self, change: impl FnOnce(&mut Honoured)) {
        let before = self.conditions.honoured();
        let mut after = before;
        change(&mut after);
        if before == after {
            return;
        }
        tracing::warn!("the endpoint does not honour what it did, or seemed to");
        self.conditions.learn(after);
        if self.capabilities.trust == Trust::Claimed {
            self.remember(CONTRADICTED).await;
        }
    }

    /// Puts down what is known, to be asked again after `wait`.
    async fn remember(&self, wait: Duration) {
        let asked = self.clock.wall().secs();
        let ask_again = asked.saturating_add(seconds(wait));
        self.asking.due.store(ask_again, Ordering::Release);
        let known = Endpoint {
            asked,
            ask_again,
            honoured: self.conditions.honoured(),
        };
        let folder = self.asking.folder.clone();
        let saved = self.disk.run(move || endpoint::save(&folder, &known)).await;
        if let Err(error) = saved {
            // It is asked again by the next mount.
            tracing::warn!(%error, "cannot remember what the endpoint honours");
        }
    }

    /// What no other probe has: of this machine, this folder and this moment.
    fn nonce(&self) -> u64 {
        let now = self.clock.wall();
        let mut hash = Md5::new();
        hash.update(&self.settings.host);
        hash.update(boot_id());
        hash.update(self.asking.folder.as_os_str().as_encoded_bytes());
        hash.update(now.secs().to_le_bytes());
        hash.update(now.nanos().to_le_bytes());
        let bytes = hash.finalize();
        bytes[..8]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
