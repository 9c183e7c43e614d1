//! `list`: `ListObjectsV2`.

use http::Method;

use super::listing;
use super::request::{Request, Sender};
use crate::{ListPage, ListRequest, Result};

/// The most entries that S3 puts on one page.
const PAGE_ENTRIES_MAX: u16 = 1000;

pub(super) async fn list(sender: &Sender, request: ListRequest) -> Result<ListPage> {
    let limit = request.limit.unwrap_or(PAGE_ENTRIES_MAX);
    let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
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
