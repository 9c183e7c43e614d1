//! Listings in no order, and listings of what was.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use cloudmount_store::{Error, ErrorKind, Key, ListPage, ListRequest, ListedObject, Result, Store};

/// Most entries of a page, as S3 has it.
const PAGE_ENTRIES_MAX: u16 = 1000;

/// In which order entries come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// By key.
    Keys,
    /// By what their names are digested to: the same each time, and no order that anyone can use.
    None,
}

impl Order {
    /// Where an entry of that name comes.
    fn place(self, name: &str) -> (u64, String) {
        let digest = match self {
            Self::Keys => 0,
            Self::None => {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                hasher.finish()
            }
        };
        (digest, name.to_owned())
    }
}

/// All objects of `store` below `prefix`, by key.
pub(super) async fn everything(
    store: &dyn Store,
    prefix: &str,
) -> Result<BTreeMap<Key, ListedObject>> {
    let mut request = ListRequest {
        prefix: prefix.to_owned(),
        ..ListRequest::default()
    };
    let mut all = BTreeMap::new();
    loop {
        let page = store.list(request.clone()).await?;
        all.extend((page.objects.into_iter()).map(|object| (object.key.clone(), object)));
        match page.next {
            Some(token) => request.token = Some(token),
            None => return Ok(all),
        }
    }
}

/// An entry of a page.
enum Entry {
    Object(ListedObject),
    Prefix(String),
}

/// The page of `all` that `request` asks for.
pub(super) fn page(
    all: BTreeMap<Key, ListedObject>,
    request: &ListRequest,
    order: Order,
) -> Result<ListPage> {
    if order == Order::None && request.start_after.is_some() && request.token.is_none() {
        let context = "list: this store lists in no order, and begins at no key";
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let after = reached(request, order)?;
    let mut entries = BTreeMap::new();
    for (key, object) in all {
        let Some(rest) = key.as_str().strip_prefix(request.prefix.as_str()) else {
            continue;
        };
        let slash = rest.find('/').filter(|_| request.by_folder);
        let entry = match slash {
            None => Entry::Object(object),
            Some(at) => Entry::Prefix(key.as_str()[..=request.prefix.len() + at].to_owned()),
        };
        let name = match &entry {
            Entry::Object(_) => key.as_str(),
            Entry::Prefix(prefix) => prefix,
        };
        let place = order.place(name);
        let is_skipped = match (&after, slash) {
            (Some(Reached::Entry(last)), _) => place <= *last,
            // What begins within a folder still shows that folder.
            (Some(Reached::Key(last)), _) => key.as_str() <= last.as_str(),
            (None, _) => false,
        };
        if !is_skipped {
            entries.insert(place, entry);
        }
    }
    let limit = usize::from(
        request
            .limit
            .unwrap_or(PAGE_ENTRIES_MAX)
            .clamp(1, PAGE_ENTRIES_MAX),
    );
    let mut page = ListPage::default();
    let total = entries.len();
    for (place, entry) in entries.into_iter().take(limit) {
        if total > limit {
            page.next = Some(format!("{:016x}{}", place.0, place.1));
        }
        match entry {
            Entry::Object(object) => page.objects.push(object),
            Entry::Prefix(prefix) => page.prefixes.push(prefix),
        }
    }
    Ok(page)
}

/// Where a listing goes on.
enum Reached {
    /// Behind that entry.
    Entry((u64, String)),
    /// Behind that key.
    Key(String),
}

fn reached(request: &ListRequest, order: Order) -> Result<Option<Reached>> {
    let Some(token) = &request.token else {
        return Ok(request.start_after.clone().map(Reached::Key));
    };
    let found = token.split_at_checked(16).and_then(|(digest, name)| {
        let place = (u64::from_str_radix(digest, 16).ok()?, name.to_owned());
        (place == order.place(name)).then_some(place)
    });
    match found {
        Some(place) => Ok(Some(Reached::Entry(place))),
        None => {
            let context = "list: the token is not one that this store gave";
            Err(Error::new(ErrorKind::InvalidRequest, context))
        }
    }
}
