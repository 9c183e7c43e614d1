//! `list`, by the store's own pages or out of one stream.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;

use super::attributes::timestamp;
use super::failure::kind;
use crate::wire::version;
use crate::{Error, Key, ListPage, ListRequest, ListedObject, Result};

/// The most entries on one page, as S3 has it.
const PAGE_ENTRIES_MAX: u16 = 1000;

pub(super) async fn by_page(
    pages: &dyn PaginatedListStore,
    request: ListRequest,
) -> Result<ListPage> {
    let prefix = Some(request.prefix.as_str()).filter(|p| !p.is_empty());
    let options = PaginatedListOptions {
        offset: request.start_after.filter(|_| request.token.is_none()),
        delimiter: request.by_folder.then_some("/".into()),
        max_keys: Some(usize::from(limit(request.limit))),
        page_token: request.token,
        ..PaginatedListOptions::default()
    };
    let page = pages.list_paginated(prefix, options).await;
    let page = page.map_err(|error| foreign(&request.prefix, error))?;
    let below = |text: &str| text.starts_with(&request.prefix);
    let objects = page.result.objects.iter().filter_map(object);
    let prefixes = page.result.common_prefixes.iter().map(|p| format!("{p}/"));
    let mut page = ListPage {
        // The marker of the folder that is listed has lost its `/`, and stands above the prefix.
        objects: objects.filter(|o| below(o.key.as_str())).collect(),
        prefixes: prefixes.filter(|p| below(p)).collect(),
        next: page.page_token,
    };
    page.objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    page.prefixes.sort_unstable();
    Ok(page)
}

/// What is named on a page: an object, or (nothing) what several keys have in common.
type Entry = Option<ListedObject>;

/// Reads the whole stream and keeps the first entries: its order is not promised.
pub(super) async fn by_stream(objects: &dyn ObjectStore, request: ListRequest) -> Result<ListPage> {
    // The stream takes whole parts of a path only; a prefix that no path can say has nothing below.
    let folder = request
        .prefix
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let Ok(folder) = Path::parse(folder) else {
        return Ok(ListPage::default());
    };
    let limit = usize::from(limit(request.limit));
    let mut first: BTreeMap<String, Entry> = BTreeMap::new();
    let mut stream = objects.list(Some(&folder).filter(|f| !f.as_ref().is_empty()));
    while let Some(meta) = stream
        .try_next()
        .await
        .map_err(|error| foreign(&request.prefix, error))?
    {
        if let Some((name, entry)) = object(&meta).and_then(|object| entry(object, &request)) {
            first.insert(name, entry);
            // One more than fits tells that there is a next page.
            if first.len() > limit + 1 {
                first.pop_last();
            }
        }
    }
    let mut page = ListPage::default();
    if first.len() > limit {
        first.pop_last();
        page.next = first.last_key_value().map(|(name, _)| name.clone());
    }
    for (name, entry) in first {
        match entry {
            Some(object) => page.objects.push(object),
            None => page.prefixes.push(name),
        }
    }
    Ok(page)
}

/// How an object shows on the page that is asked for, if it does.
fn entry(object: ListedObject, request: &ListRequest) -> Option<(String, Entry)> {
    let text = object.key.as_str();
    let rest = text.strip_prefix(request.prefix.as_str())?;
    if request.token.is_none()
        && request
            .start_after
            .as_deref()
            .is_some_and(|after| text <= after)
    {
        return None;
    }
    let (name, entry) = match rest.find('/').filter(|_| request.by_folder) {
        Some(slash) => (text[..=request.prefix.len() + slash].to_owned(), None),
        None => (text.to_owned(), Some(object)),
    };
    let new = request.token.as_ref().is_none_or(|token| name > *token);
    new.then_some((name, entry))
}

fn limit(asked: Option<u16>) -> u16 {
    asked.map_or(PAGE_ENTRIES_MAX, |limit| limit.clamp(1, PAGE_ENTRIES_MAX))
}

fn object(meta: &object_store::ObjectMeta) -> Option<ListedObject> {
    Some(ListedObject {
        key: Key::new(meta.location.as_ref()).ok()?,
        size: meta.size,
        version: meta.e_tag.as_deref().map(version),
        modified: timestamp(meta.last_modified),
    })
}

fn foreign(prefix: &str, error: object_store::Error) -> Error {
    Error::new(kind(&error), format!("list {prefix:?}")).with_source(error)
}
