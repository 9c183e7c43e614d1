//! The change feeds that the settings ask for.

use std::path::Path;
use std::sync::Arc;

use cloudmount_core::Core;
use cloudmount_core::feed::{FeedStatus, Followed, ListPoller, Notices};
use cloudmount_store::{Location, Secret};
use cloudmount_vfs::Clock;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::webhook::{Webhook, WebhookSettings};
use crate::{Error, Result, Settings};

/// Bytes of a token that are looked at: more is another file.
const TOKEN_MAX: usize = 4096;

/// Somebody who tells what others change in the bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Feed {
    /// What it is: `webhook at http://127.0.0.1:9100`, `listing every 30 s`.
    pub kind: String,
    /// Pieces of news since the start.
    pub news: u64,
    /// Why there were none the last time, if so.
    pub error: Option<String>,
}

impl From<FeedStatus> for Feed {
    fn from(status: FeedStatus) -> Self {
        Self {
            kind: status.kind,
            news: status.news,
            error: status.error,
        }
    }
}

pub(crate) async fn open(
    location: &Location,
    settings: &Settings,
    core: &Core,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Followed>> {
    let mut feeds = Vec::new();
    if let Some(webhook) = webhook(location, settings)? {
        let address = webhook.address;
        let webhook = Webhook::bind(webhook, Arc::clone(clock)).await;
        let webhook = webhook.map_err(|error| {
            Error::new(format!("cannot listen at {address}"))
                .because(error)
                .or("give another address with --webhook")
        })?;
        feeds.push(core.follow(Box::new(webhook), &Handle::current()));
    }
    if !settings.watch_interval.0.is_zero() {
        let store = Arc::clone(core.store());
        let poller = ListPoller::new(store, Arc::clone(clock), settings.watch_interval.0);
        feeds.push(core.follow(Box::new(poller), &Handle::current()));
    }
    Ok(feeds)
}

fn webhook(location: &Location, settings: &Settings) -> Result<Option<WebhookSettings>> {
    let Some(address) = settings.webhook else {
        return Ok(None);
    };
    let token = match settings.webhook_token_file.as_deref() {
        Some(file) => Some(token(file)?),
        None if address.ip().is_loopback() => None,
        None => {
            return Err(
                Error::new(format!("others can reach the webhook at {address}"))
                    .or("give --webhook-token-file, or an address of this machine, as 127.0.0.1"),
            );
        }
    };
    Ok(Some(WebhookSettings {
        address,
        token,
        notices: notices(location),
    }))
}

fn token(file: &Path) -> Result<Secret> {
    let unusable = || Error::new(format!("cannot use the token in {}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unusable().because(error))?;
    let text = text.trim();
    if text.is_empty() || text.len() > TOKEN_MAX || text.contains(char::is_whitespace) {
        return Err(unusable().or("write one word into it, and nothing else"));
    }
    Ok(Secret::new(text))
}

/// Which notifications are about what is mounted.
fn notices(location: &Location) -> Notices {
    let (bucket, prefix) = match location {
        Location::S3 { bucket, prefix } | Location::Gcs { bucket, prefix } => {
            (Some(bucket), prefix.as_str())
        }
        Location::Azure { container, prefix } => (Some(container), prefix.as_str()),
        Location::Folder { .. } | Location::Memory => (None, ""),
    };
    Notices {
        bucket: bucket.cloned(),
        prefix: prefix.to_owned(),
    }
}
