//! `list`: `ListObjectsV2`.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;

use super::listing;
use super::request::{Request, Sender};
use crate::{ErrorKind, ListPage, ListRequest, Result};

/// The most entries that S3 puts on one page. It takes greater numbers for this one ("`MaxKeys`: the response might
/// contain fewer keys but will never contain more"), others put more on a page: Ceph RGW up to 5,000
/// (`rgw_max_listing_results`).
const PAGE_ENTRIES: u16 = 1000;

/// Lists one page. `takes_long` says whether the endpoint takes greater numbers than those of S3, as far as is
/// known: one that refuses them is asked again without, and not for so many any more.
pub(super) async fn list(
    sender: &Sender,
    takes_long: &AtomicBool,
    request: ListRequest,
) -> Result<ListPage> {
    let limit = request.limit.unwrap_or(PAGE_ENTRIES).max(1);
    if limit <= PAGE_ENTRIES || !takes_long.load(Ordering::Relaxed) {
        return page(sender, limit.min(PAGE_ENTRIES), request).await;
    }
    match page(sender, limit, request.clone()).await {
        Err(error) if error.kind() == ErrorKind::InvalidRequest => {}
        done => return done,
    }
    let page = page(sender, PAGE_ENTRIES, request).await?;
    // It was the number that it did not like.
    takes_long.store(false, Ordering::Relaxed);
    Ok(page)
}

/// Lists one page of `limit` entries at most.
pub(super) async fn page(sender: &Sender, limit: u16, request: ListRequest) -> Result<ListPage> {
    // Keys may hold characters that XML 1.0 forbids; percent encoding lets them through.
    let mut wire = Request::new("list", Method::GET, None)
        .query("list-type", "2")
        .query("encoding-type", "url")
        .query("max-keys", limit.to_string())
        .query("prefix", request.prefix);
    if request.by_folder {
        wire = wire.query("delimiter", "/");
    }
    match (request.token, request.start_after) {
        (Some(token), _) => wire = wire.query("continuation-token", token),
        (None, Some(after)) if !after.is_empty() => wire = wire.query("start-after", after),
        (None, _) => {}
    }
    let answer = sender.fetch(wire).await?;
    listing::parse(&answer.body).map_err(|_| answer.unusable("the answer is no listing"))
}
