//! Removals: many keys in one request, each looked at before.
//!
//! No store removes on a condition, so what someone else put there meanwhile is looked for just
//! before, unless a request of ours has shown the key within the last two seconds. Many keys of one
//! folder are looked at by listing them, which costs a thousandth of asking for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{Error, ErrorKind, Key, ListRequest, ObjectMeta, Result, Version};
use futures::StreamExt;
use futures::stream;

use super::conflict::is_one_of;
use super::worker::{Done, Report, Settled, Ticket};
use crate::failpoint;
use crate::stage::Inner;
use crate::{ConflictPolicy, RemoteBelief};

/// What a request of ours showed so lately is not looked at again. The look itself is as old when
/// the removal arrives on a slow line.
const FRESH: Duration = Duration::from_secs(2);

/// Requests that look at keys at once, per batch.
const LOOKS_MAX: usize = 8;

/// Keys of one folder from which on a listing is cheaper than a request for each.
const LIST_KEYS_MIN: usize = 8;

/// Pages of a listing that are read for each hundred keys looked for: beyond, the folder is so
/// large that asking for each key is cheaper.
const LIST_KEYS_PER_PAGE: usize = 100;

/// What a look at a key showed.
#[derive(Debug)]
enum Seen {
    Nothing,
    Version(Version),
    /// With all that is known, to compare with bodies whose answers were lost.
    Object(ObjectMeta),
}

/// Removes a batch of keys.
pub(super) async fn run(inner: Arc<Inner>, tickets: Vec<Ticket>) {
    let now = inner.now();
    let to_look: Vec<&Ticket> = tickets
        .iter()
        .filter(|ticket| needs_look(&inner, ticket, now))
        .collect();
    let mut seen = look_at(&inner, &to_look).await;
    let mut decided = Vec::with_capacity(tickets.len());
    let mut keys = Vec::new();
    for ticket in &tickets {
        let verdict = match seen.remove(&ticket.key) {
            None => None,
            Some(Ok(found)) => judge(ticket, &found),
            Some(Err(error)) => Some(Done::Failed(error.into())),
        };
        if verdict.is_none() {
            keys.push(ticket.key.clone());
        }
        decided.push(verdict);
    }
    let results = delete(&inner, &keys).await;
    let mut results = results.into_iter();
    let ended = tickets.into_iter().zip(decided).map(|(ticket, verdict)| {
        let done = verdict.unwrap_or_else(|| match results.next() {
            Some(Ok(())) => Done::Removed,
            Some(Err(error)) => Done::Failed(error.into()),
            None => Done::Failed(Error::new(ErrorKind::Io, "no answer for a key").into()),
        });
        (ticket, done)
    });
    for (ticket, done) in ended {
        let settled = if matches!(done, Done::Failed(_)) {
            Settled::No
        } else {
            Settled::Yes
        };
        let report = Report {
            done,
            doubt: None,
            doubts_settled: settled,
            remote: None,
            seen: None,
        };
        inner.finish(ticket, report, None).await;
    }
    inner.lock().running.remove -= 1;
    inner.freed.wake();
}

fn needs_look(inner: &Inner, ticket: &Ticket, now: cloudmount_vfs::Instant) -> bool {
    if inner.settings.conflict == ConflictPolicy::Overwrite || ticket.key.is_marker() {
        return false;
    }
    let is_fresh = ticket
        .known_at
        .is_some_and(|at| now.saturating_since(at) < FRESH);
    match &ticket.remote {
        _ if !ticket.sent.is_empty() => true,
        RemoteBelief::Unknown => false,
        RemoteBelief::Absent | RemoteBelief::Present(_) => !is_fresh,
    }
}

/// What becomes of a key that shows this; `None`: it is removed.
fn judge(ticket: &Ticket, seen: &Seen) -> Option<Done> {
    let version = match seen {
        Seen::Nothing => return Some(Done::Removed),
        Seen::Version(version) => version,
        Seen::Object(there) if is_one_of(&ticket.sent, there) => return None,
        Seen::Object(there) => &there.version,
    };
    match &ticket.remote {
        RemoteBelief::Unknown => None,
        RemoteBelief::Present(believed) if believed == version => None,
        RemoteBelief::Present(_) | RemoteBelief::Absent => Some(Done::Overtaken {
            theirs: Some(version.clone()),
        }),
    }
}

/// Looks at keys, in the cheapest way.
async fn look_at(inner: &Inner, tickets: &[&Ticket]) -> HashMap<Key, Result<Seen>> {
    let mut folders: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
    let mut singles: Vec<Key> = Vec::new();
    for ticket in tickets {
        if ticket.sent.is_empty() {
            let key = ticket.key.as_str();
            let folder = key.rfind('/').map_or("", |slash| &key[..=slash]);
            folders.entry(folder).or_default().push(&ticket.key);
        } else {
            singles.push(ticket.key.clone());
        }
    }
    let mut seen = HashMap::new();
    for (folder, mut keys) in folders {
        keys.sort();
        if keys.len() >= LIST_KEYS_MIN {
            list_folder(inner, folder, &keys, &mut seen).await;
        }
        singles.extend(
            keys.into_iter()
                .filter(|key| !seen.contains_key(*key))
                .cloned(),
        );
    }
    let looks = singles.into_iter().map(|key| async move {
        let found = match inner.store.head(&key).await {
            Ok(there) => Ok(Seen::Object(there)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Seen::Nothing),
            Err(error) => Err(error),
        };
        (key, found)
    });
    seen.extend(
        stream::iter(looks)
            .buffer_unordered(LOOKS_MAX)
            .collect::<Vec<_>>()
            .await,
    );
    seen
}

/// Looks at sorted keys of one folder by listing it. Keys that it cannot tell about are left out.
async fn list_folder(
    inner: &Inner,
    folder: &str,
    keys: &[&Key],
    seen: &mut HashMap<Key, Result<Seen>>,
) {
    // The listing begins after a key, so the first one is left to be asked for itself.
    let [first, wanted @ ..] = keys else { return };
    let mut wanted = wanted.iter().peekable();
    let mut token = None;
    for _ in 0..1 + keys.len() / LIST_KEYS_PER_PAGE {
        let page = inner.store.list(ListRequest {
            prefix: folder.to_owned(),
            by_folder: true,
            start_after: Some(first.as_str().to_owned()),
            token: token.take(),
            limit: None,
        });
        let Ok(page) = page.await else { return };
        let reached = [
            page.objects
                .last()
                .map(|object| object.key.as_str().to_owned()),
            page.prefixes.last().cloned(),
        ];
        let reached = reached.into_iter().flatten().max();
        let is_last = page.next.is_none();
        let listed: HashMap<Key, Option<Version>> = page
            .objects
            .into_iter()
            .map(|object| (object.key, object.version))
            .collect();
        while let Some(key) = wanted
            .next_if(|key| is_last || reached.as_deref().is_some_and(|end| key.as_str() <= end))
        {
            match listed.get(*key) {
                None => {
                    seen.insert((*key).clone(), Ok(Seen::Nothing));
                }
                Some(Some(version)) => {
                    seen.insert((*key).clone(), Ok(Seen::Version(version.clone())));
                }
                Some(None) => {}
            }
        }
        if is_last || wanted.peek().is_none() {
            return;
        }
        token = page.next;
    }
}

/// One result for each key.
async fn delete(inner: &Inner, keys: &[Key]) -> Vec<Result<()>> {
    if keys.is_empty() {
        return Vec::new();
    }
    failpoint::pass(failpoint::REMOVE_BEFORE);
    match inner.store.delete(keys).await {
        Ok(results) => {
            failpoint::pass(failpoint::REMOVE_ANSWERED);
            results
        }
        Err(error) => {
            let (kind, text) = (error.kind(), error.to_string());
            let wait = error.retry_after();
            keys.iter()
                .map(|_| Err(Error::new(kind, text.clone()).with_retry_after(wait)))
                .collect()
        }
    }
}
