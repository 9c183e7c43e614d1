//! Listing a map of keys.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Object;
use crate::position::{Position, after_folder, page_limit};
use crate::{Key, ListPage, ListRequest, ListedObject, Result};

/// The page of `objects` that `request` asks for. A folder costs one step however much is in it.
pub(super) fn page(objects: &BTreeMap<Key, Object>, request: &ListRequest) -> Result<ListPage> {
    let mut reached = Position::of(request)?;
    let limit = page_limit(request);
    let prefix = request.prefix.as_str();
    let mut from = first_bound(reached.lower_bound(), prefix);
    let mut page = ListPage::default();
    'seek: loop {
        let bounds = (from.as_ref().map(String::as_str), Bound::Unbounded);
        for (key, object) in objects.range::<str, _>(bounds) {
            let Some(rest) = key.as_str().strip_prefix(prefix) else {
                return Ok(page);
            };
            if page.objects.len() + page.prefixes.len() == limit {
                page.next = reached.token();
                return Ok(page);
            }
            if request.by_folder
                && let Some(slash) = rest.find('/')
            {
                let folder = &key.as_str()[..=prefix.len() + slash];
                from = Bound::Included(after_folder(folder));
                reached = Position::AfterFolder(folder.to_owned());
                page.prefixes.push(folder.to_owned());
                continue 'seek;
            }
            // Only the last key of a full page is ever needed again.
            if page.objects.len() + page.prefixes.len() + 1 == limit {
                reached = Position::AfterKey(key.as_str().to_owned());
            }
            page.objects.push(listed(key, object));
        }
        return Ok(page);
    }
}

/// The later of where the listing stands and where the prefix begins.
fn first_bound(reached: Bound<String>, prefix: &str) -> Bound<String> {
    match reached {
        Bound::Excluded(key) if key.as_str() >= prefix => Bound::Excluded(key),
        Bound::Included(key) if key.as_str() >= prefix => Bound::Included(key),
        _ => Bound::Included(prefix.to_owned()),
    }
}

fn listed(key: &Key, object: &Object) -> ListedObject {
    ListedObject {
        key: key.clone(),
        size: object.content.size(),
        version: Some(object.version.clone()),
        modified: object.modified,
    }
}
