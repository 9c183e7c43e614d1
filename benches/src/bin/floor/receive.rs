//! Receiving: one object in ranges, so many at once, or one small range after the other.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{GetOptions, Key, StoreExt as _};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::send::answer;
use crate::{Client, Result, number_stream};

/// Gets an object in ranges of `part_bytes`, `in_flight` of them at once, and drops the bytes.
pub(crate) async fn parts(
    client: &Client,
    key: &str,
    part_bytes: u64,
    in_flight: usize,
) -> Result<Value> {
    let start = client.clock.now();
    let key = Key::new(key)?;
    let size = client.store.head(&key).await?.size;
    let mut running: JoinSet<Result<u64>> = JoinSet::new();
    let mut bytes = 0;
    for number in 0..size.div_ceil(part_bytes) {
        if running.len() >= in_flight
            && let Some(part) = running.join_next().await
        {
            bytes += part??;
        }
        let from = number * part_bytes;
        let range = from..size.min(from + part_bytes);
        let (store, key) = (Arc::clone(&client.store), key.clone());
        running.spawn(async move {
            let options = GetOptions {
                range: Some(range),
                ..GetOptions::default()
            };
            let mut body = store.get(&key, options).await?.body;
            let mut bytes = 0;
            while let Some(piece) = body.next().await {
                bytes += piece?.len() as u64;
            }
            Ok(bytes)
        });
    }
    while let Some(part) = running.join_next().await {
        bytes += part??;
    }
    if bytes != size {
        return Err(format!("{bytes} bytes came of {size}").into());
    }
    answer(client, start, size)
}

/// Gets `count` ranges of `bytes` bytes at random places of an object, one after the other, and tells
/// the median of their times.
pub(crate) async fn ranges(client: &Client, key: &str, bytes: u64, count: usize) -> Result<Value> {
    let key = Key::new(key)?;
    let size = client.store.head(&key).await?.size;
    let places = size / bytes;
    if places == 0 || count == 0 {
        return Err(format!("{size} bytes hold no range of {bytes}").into());
    }
    let mut times: Vec<Duration> = Vec::with_capacity(count);
    for random in number_stream(1).take(count) {
        let from = random % places * bytes;
        let options = GetOptions {
            range: Some(from..from + bytes),
            ..GetOptions::default()
        };
        let start = client.clock.now();
        client.store.get_bytes(&key, options).await?;
        times.push(client.clock.now().saturating_since(start));
    }
    times.sort_unstable();
    Ok(json!({ "seconds": times[count / 2].as_secs_f64() }))
}
