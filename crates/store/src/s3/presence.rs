//! [`Presence`]: whether the bucket itself is there, where an answer does not say.
//!
//! A server answers `HEAD` without words ("HeadObject", Amazon S3 API reference: "a generic `404 Not Found`"), so that an object of a
//! bucket that is gone looks like one that is not there. A listing of one key has words.
//!
//! Laws:
//! - Nothing is asked where the bucket was seen to be there some seconds ago, by any answer of success.
//! - One asks at a time, and whoever comes meanwhile waits for the answer.
//! - What cannot be found out changes nothing: the answer to `HEAD` stands.

use std::time::Duration;

use cloudmount_vfs::Instant;
use parking_lot::Mutex;

use super::list;
use super::request::Sender;
use crate::{Error, ErrorKind, Key, ListRequest};

/// How long a bucket that was seen is believed to be there, and how often nobody knows is asked.
const BELIEVED: Duration = Duration::from_secs(5);

/// How long one that was missed is believed to be gone: whoever makes it again wants to see it.
const MISSED: Duration = Duration::from_secs(1);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Presence {
    seen: Mutex<Option<Instant>>,
    /// When it was asked for last, and what that found.
    asked: tokio::sync::Mutex<Option<(Instant, Found)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// There is none.
    Gone,
    /// It is there, or nobody may know.
    Nothing,
}

impl Presence {
    /// An answer of success came.
    pub(super) fn see(&self, now: Instant) {
        *self.seen.lock() = Some(now);
    }

    fn is_seen(&self, now: Instant) -> bool {
        let seen = *self.seen.lock();
        seen.is_some_and(|at| now.saturating_since(at) < BELIEVED)
    }
}

/// What a look at `key` that found nothing comes to, as `error` says.
pub(super) async fn judge(sender: &Sender, key: &Key, error: Error) -> Error {
    let presence = &sender.presence;
    let now = || sender.http.clock().now();
    if error.kind() != ErrorKind::NotFound || presence.is_seen(now()) {
        return error;
    }
    let mut asked = presence.asked.lock().await;
    let found = match *asked {
        // Whoever asked before saw it.
        _ if presence.is_seen(now()) => Found::Nothing,
        Some((at, Found::Gone)) if now().saturating_since(at) < MISSED => Found::Gone,
        Some((at, Found::Nothing)) if now().saturating_since(at) < BELIEVED => Found::Nothing,
        _ => {
            let found = ask(sender).await;
            *asked = Some((now(), found));
            found
        }
    };
    match found {
        Found::Nothing => error,
        Found::Gone => {
            let bucket = sender.endpoint.bucket();
            let context = format!("look at {key:?} in bucket {bucket:?}, which was asked for, too");
            Error::new(ErrorKind::NoBucket, context)
        }
    }
}

async fn ask(sender: &Sender) -> Found {
    match list::page(sender, 1, ListRequest::default()).await {
        Err(error) if error.kind() == ErrorKind::NoBucket => Found::Gone,
        _ => Found::Nothing,
    }
}
