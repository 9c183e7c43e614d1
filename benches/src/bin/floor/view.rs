//! Looking: whether an object is there, what is below a prefix, and taking it away.

use std::time::Duration;

use cloudmount_store::{ErrorKind, Key, ListRequest, ListedObject};
use cloudmount_vfs::Timestamp;
use serde_json::{Value, json};

use crate::{Client, Result};

/// Between two looks for one object: short beside the seconds that are measured, and cheap for the
/// server that is measured.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// How long an object is waited for.
const WAIT_MAX: Duration = Duration::from_secs(900);

/// Seconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 fit with their microseconds"
)]
fn seconds(time: Timestamp) -> f64 {
    time.secs() as f64 + f64::from(time.nanos()) / 1e9
}

/// Waits until an object of `bytes` bytes is there, and tells when, by the machine's clock, it was seen.
pub(crate) async fn see(client: &Client, key: &str, bytes: u64) -> Result<Value> {
    let key = Key::new(key)?;
    let start = client.clock.now();
    loop {
        match client.store.head(&key).await {
            Ok(meta) if meta.size == bytes => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        if client.clock.now().saturating_since(start) > WAIT_MAX {
            return Err(format!("{key} did not come").into());
        }
        client.clock.sleep(BETWEEN_LOOKS).await;
    }
    Ok(json!({ "seen": seconds(client.clock.wall()) }))
}

/// Counts what is below `prefix`, and tells when, by the server's clock, the last of it was written.
pub(crate) async fn list(client: &Client, prefix: &str) -> Result<Value> {
    let mut objects = all(client, prefix).await?;
    objects.retain(|object| !object.key.is_marker());
    let bytes: u64 = objects.iter().map(|object| object.size).sum();
    let last = objects.iter().map(|object| object.modified).max();
    let last = last.map(seconds);
    Ok(json!({ "count": objects.len(), "bytes": bytes, "last": last }))
}

/// Asks for all pages of a folder, one after the other, and keeps nothing of them.
pub(crate) async fn pages(client: &Client, prefix: &str) -> Result<Value> {
    let start = client.clock.now();
    let mut request = ListRequest {
        prefix: prefix.to_owned(),
        by_folder: true,
        ..ListRequest::default()
    };
    let (mut pages, mut count) = (0, 0);
    loop {
        let page = client.store.list(request.clone()).await?;
        pages += 1;
        count += page.objects.len() + page.prefixes.len();
        request.token = page.next;
        if request.token.is_none() {
            break;
        }
    }
    let seconds = client.clock.now().saturating_since(start).as_secs_f64();
    Ok(json!({ "seconds": seconds, "pages": pages, "count": count }))
}

/// Removes all that is below `prefix`.
pub(crate) async fn clear(client: &Client, prefix: &str) -> Result<Value> {
    let keys: Vec<Key> = all(client, prefix)
        .await?
        .into_iter()
        .map(|o| o.key)
        .collect();
    let most = usize::from(client.store.capabilities().delete_keys_max).max(1);
    for some in keys.chunks(most) {
        for one in client.store.delete(some).await? {
            one?;
        }
    }
    Ok(json!({ "count": keys.len() }))
}

async fn all(client: &Client, prefix: &str) -> Result<Vec<ListedObject>> {
    let mut request = ListRequest {
        prefix: prefix.to_owned(),
        ..ListRequest::default()
    };
    let mut objects = Vec::new();
    loop {
        let page = client.store.list(request.clone()).await?;
        objects.extend(page.objects);
        let Some(next) = page.next else {
            return Ok(objects);
        };
        request.token = Some(next);
    }
}
