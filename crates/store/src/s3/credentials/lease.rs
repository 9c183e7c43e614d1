//! [`Leased`]: credentials that are fetched, and fetched anew before their end.
//!
//! Laws:
//! - One fetch at a time: whoever comes meanwhile waits for it.
//! - What has an end is fetched anew five minutes before it, or at half of its life where that is later. Life is counted by the
//!   clock that does not jump.
//! - Where that fails, those that were had last are used on, and the next try is some seconds later.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use cloudmount_vfs::{Clock, Instant};
use futures::future::{Either, select};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use crate::{Error, ErrorKind, Result};

/// How long before their end credentials are renewed, as the SDKs of AWS do.
const BEFORE_THE_END: Duration = Duration::from_secs(300);

/// How long fetched credentials are used at least, and the wait after a try to renew them that failed.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What was fetched.
pub(super) struct Lease {
    pub(super) credential: AwsCredential,
    /// How long it is good from now on; `None`: for ever.
    pub(super) life: Option<Duration>,
}

/// How credentials are fetched.
#[async_trait]
pub(super) trait Fetch: fmt::Debug + Send + Sync + 'static {
    /// How long that may take.
    fn limit(&self) -> Duration;

    async fn fetch(&self) -> Result<Lease>;
}

/// Credentials of a [`Fetch`].
pub(super) struct Leased<F> {
    fetch: F,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    credential: Arc<AwsCredential>,
    /// When it is fetched anew; `None`: never.
    renew_at: Option<Instant>,
}

impl<F: Fetch> Leased<F> {
    pub(super) fn new(fetch: F, clock: Arc<dyn Clock>) -> Self {
        Self {
            fetch,
            clock,
            kept: Mutex::default(),
        }
    }

    async fn fetched(&self) -> Result<Lease> {
        let limit = self.fetch.limit();
        match select(self.fetch.fetch(), self.clock.sleep(limit)).await {
            Either::Left((fetched, _)) => fetched,
            Either::Right(_) => {
                let context = format!("no credentials within {} s", limit.as_secs());
                Err(Error::new(ErrorKind::TimedOut, context))
            }
        }
    }
}

#[async_trait]
impl<F: Fetch> CredentialProvider for Leased<F> {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        let is_good = |at: Option<Instant>| at.is_none_or(|at| self.clock.now() < at);
        if let Some(kept) = kept.as_ref().filter(|kept| is_good(kept.renew_at)) {
            return Ok(Arc::clone(&kept.credential));
        }
        match self.fetched().await {
            Ok(lease) => {
                let now = self.clock.now();
                let credential = Arc::new(lease.credential);
                *kept = Some(Kept {
                    credential: Arc::clone(&credential),
                    renew_at: lease.life.map(|life| now + good_for(life)),
                });
                Ok(credential)
            }
            Err(error) => match kept.as_mut() {
                Some(kept) => {
                    kept.renew_at = Some(self.clock.now() + AT_LEAST);
                    Ok(Arc::clone(&kept.credential))
                }
                None => Err(object_store::Error::Generic {
                    store: "credentials",
                    source: Box::new(error),
                }),
            },
        }
    }
}

impl<F: fmt::Debug> fmt::Debug for Leased<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leased").field(&self.fetch).finish()
    }
}

/// How long credentials of that life are used before they are renewed.
fn good_for(life: Duration) -> Duration {
    life.saturating_sub(BEFORE_THE_END)
        .max(life / 2)
        .max(AT_LEAST)
}

/// The time from `now`, in seconds since 1970, to `end`, as `2026-01-01T00:00:00Z`; `None` if that is no time.
pub(super) fn life(end: &str, now: i64) -> Option<Duration> {
    let end = DateTime::parse_from_rfc3339(end.trim()).ok()?.timestamp();
    Some(Duration::from_secs(
        end.saturating_sub(now).try_into().unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_renewed_before_their_end() {
        let secs = Duration::from_secs;
        for (life, expected) in [(3600, 3300), (400, 200), (6, 3), (1, 1), (0, 1)] {
            assert_eq!(good_for(secs(life)), secs(expected), "{life}");
        }
    }

    #[test]
    fn ends_are_times_of_any_zone() {
        let at = |text| life(text, 1_767_225_600).map(|life| life.as_secs());
        assert_eq!(at("2026-01-01T00:01:00Z"), Some(60));
        assert_eq!(at("2026-01-01T01:01:00.5+01:00"), Some(60));
        assert_eq!(at("2025-12-31T00:00:00Z"), Some(0));
        assert_eq!(at("soon"), None);
    }
}
