//! Removals: many keys in one request, each of the version that it was believed to be.
//!
//! Law: what someone else wrote is spared. Where the store checks the version itself, it is told it;
//! where it does not, or not in one step with the removal, the key is looked at just before, by this or by the store, and
//! the status says that between the look and the removal a window is open. Many keys of one folder are looked at by listing them, which
//! costs a thousandth of asking for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cloudmount_store::probe::Finding;
use cloudmount_store::{Error, ErrorKind, Key, ListRequest, ObjectMeta, Removal, Result, Version};
use futures::StreamExt;
use futures::stream;

use super::condition::Window;
use super::conflict::is_one_of;
use super::worker::{Done, Report, Settled, Ticket};
use crate::failpoint;
use crate::stage::Inner;
use crate::{ConflictPolicy, RemoteBelief};

/// Requests that look at keys, or remove one, at once, per batch.
const SINGLES_MAX: usize = 8;

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

/// How a key is removed.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Way {
    /// Whatever is there.
    Any,
    /// This version, which the store checks.
    Checked(Version),
}

/// Removes a batch of keys.
pub(super) async fn run(inner: Arc<Inner>, tickets: Vec<Ticket>) {
    if (tickets.iter()).any(|ticket| !takes_any(&inner, ticket)) {
        inner.know_endpoint().await;
    }
    let decided = decide(&inner, &tickets).await;
    let mut removals = Removals::default();
    for (index, decided) in decided.iter().enumerate() {
        if let Ok(way) = decided {
            removals.add(index, &tickets[index].key, way);
        }
    }
    let mut results = removals.carry_out(&inner).await;
    for (index, (ticket, decided)) in tickets.into_iter().zip(decided).enumerate() {
        let done = match decided {
            Err(done) => done,
            Ok(way) => {
                let result = results.remove(&index).unwrap_or_else(no_answer);
                removed(&inner, &ticket, &way, result).await
            }
        };
        let settled = if matches!(done, Done::Failed(_) | Done::Believe(_)) {
            Settled::No
        } else {
            Settled::Yes
        };
        let report = Report {
            done,
            doubt: None,
            doubts_settled: settled,
            remote: None,
        };
        inner.finish(ticket, report, None).await;
    }
    inner.lock().running.remove -= 1;
    inner.freed.wake();
}

fn no_answer() -> Result<()> {
    Err(Error::new(ErrorKind::Io, "no answer for a key"))
}

/// How each is removed, or what became of it without that.
async fn decide(inner: &Inner, tickets: &[Ticket]) -> Vec<std::result::Result<Way, Done>> {
    let is_checked = inner.conditions.honoured().delete_if_match.is_kept();
    let first: Vec<Option<Way>> = tickets
        .iter()
        .map(|ticket| without_look(inner, ticket, is_checked))
        .collect();
    let to_look: Vec<&Ticket> = (tickets.iter().zip(&first))
        .filter_map(|(ticket, way)| way.is_none().then_some(ticket))
        .collect();
    let mut seen = look_at(inner, &to_look).await;
    let decided = tickets.iter().zip(first).map(|(ticket, way)| {
        if let Some(way) = way {
            return Ok(way);
        }
        match seen.remove(&ticket.key) {
            None => Err(Done::Believe(ticket.remote.clone())),
            Some(Err(error)) => Err(Done::Failed(error.into())),
            Some(Ok(found)) => {
                let version = judge(ticket, found)?;
                if is_checked {
                    return Ok(Way::Checked(version));
                }
                inner.conditions.open_window(Window::Removals);
                Ok(Way::Any)
            }
        }
    });
    decided.collect()
}

/// Whether a key is removed whatever is there: a marker only carries attributes.
fn takes_any(inner: &Inner, ticket: &Ticket) -> bool {
    inner.settings.conflict == ConflictPolicy::Overwrite
        || ticket.key.is_marker()
        || (ticket.remote == RemoteBelief::Unknown && ticket.sent.is_empty())
}

/// How a key is removed that need not be looked at.
fn without_look(inner: &Inner, ticket: &Ticket, is_checked: bool) -> Option<Way> {
    if takes_any(inner, ticket) {
        return Some(Way::Any);
    }
    match &ticket.remote {
        _ if !ticket.sent.is_empty() => None,
        RemoteBelief::Present(version) if is_checked => Some(Way::Checked(version.clone())),
        RemoteBelief::Present(_) | RemoteBelief::Absent | RemoteBelief::Unknown => None,
    }
}

/// What was found under a key, if that is to be removed, or else what becomes of it.
fn judge(ticket: &Ticket, found: Seen) -> std::result::Result<Version, Done> {
    let version = match found {
        Seen::Nothing => return Err(Done::Removed),
        Seen::Version(version) => version,
        Seen::Object(there) if is_one_of(&ticket.sent, &there) => return Ok(there.version),
        Seen::Object(there) => there.version,
    };
    match &ticket.remote {
        RemoteBelief::Unknown => Ok(version),
        RemoteBelief::Present(believed) if *believed == version => Ok(version),
        RemoteBelief::Present(_) | RemoteBelief::Absent => Err(Done::Overtaken {
            theirs: Some(version),
        }),
    }
}

/// What became of a key that was to be removed so.
async fn removed(inner: &Inner, ticket: &Ticket, way: &Way, result: Result<()>) -> Done {
    let error = match (result, way) {
        (Ok(()), _) => return Done::Removed,
        (Err(error), Way::Any) => return Done::Failed(error.into()),
        (Err(error), Way::Checked(_)) => error,
    };
    match error.kind() {
        ErrorKind::Unsupported => {
            // It said otherwise before. Looked at, it can be removed all the same.
            inner
                .contradicted(|honoured| {
                    honoured.delete_if_match = Finding::Refused;
                    honoured.delete_many_if_match = Finding::Refused;
                })
                .await;
            Done::Believe(ticket.remote.clone())
        }
        ErrorKind::Precondition => match look(inner, &ticket.key).await {
            Ok(found) => match judge(ticket, found) {
                Err(done) => done,
                // The store contradicts itself; it may have made up its mind by the next try.
                Ok(version) => Done::Believe(RemoteBelief::Present(version)),
            },
            Err(error) => Done::Failed(error.into()),
        },
        _ => Done::Failed(error.into()),
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
            leave_out_late(inner, &mut seen);
        }
        singles.extend(
            keys.into_iter()
                .filter(|key| !seen.contains_key(*key))
                .cloned(),
        );
    }
    let looks = singles.into_iter().map(|key| async move {
        let found = look(inner, &key).await;
        (key, found)
    });
    seen.extend(
        stream::iter(looks)
            .buffer_unordered(SINGLES_MAX)
            .collect::<Vec<_>>()
            .await,
    );
    seen
}

async fn look(inner: &Inner, key: &Key) -> Result<Seen> {
    match inner.store.head(key).await {
        Ok(there) => Ok(Seen::Object(there)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Seen::Nothing),
        Err(error) => Err(error),
    }
}

/// Leaves out what a listing showed otherwise than the stage left it lately: it may be late.
fn leave_out_late(inner: &Inner, seen: &mut HashMap<Key, Result<Seen>>) {
    let now = inner.now();
    let table = inner.lock();
    seen.retain(|key, found| {
        let Some(left) = table.recent.left(key, now) else {
            return true;
        };
        match found {
            Ok(Seen::Nothing) => !left.is_there,
            Ok(Seen::Version(version)) => left.is_there && !left.has_replaced(version),
            Ok(Seen::Object(_)) | Err(_) => true,
        }
    });
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

/// What is to be removed, by number, in each of the ways.
#[derive(Default)]
struct Removals {
    any: (Vec<usize>, Vec<Key>),
    checked: (Vec<usize>, Vec<Removal>),
}

impl Removals {
    fn add(&mut self, index: usize, key: &Key, way: &Way) {
        let key = key.clone();
        match way {
            Way::Any => {
                self.any.0.push(index);
                self.any.1.push(key);
            }
            Way::Checked(version) => {
                self.checked.0.push(index);
                let version = version.clone();
                self.checked.1.push(Removal { key, version });
            }
        }
    }

    /// Gives a result for each, by its number.
    async fn carry_out(self, inner: &Inner) -> HashMap<usize, Result<()>> {
        let mut results = HashMap::new();
        let (numbers, keys) = self.any;
        if !keys.is_empty() {
            failpoint::pass(failpoint::REMOVE_BEFORE);
            let answers = each(inner.store.delete(&keys).await, keys.len());
            failpoint::pass(failpoint::REMOVE_ANSWERED);
            results.extend(numbers.into_iter().zip(answers));
        }
        let (numbers, removals) = self.checked;
        if removals.is_empty() {
            return results;
        }
        failpoint::pass(failpoint::REMOVE_BEFORE);
        let honoured = inner.conditions.honoured();
        if !honoured.delete_if_match_atomic.is_kept() {
            inner.conditions.open_window(Window::Removals);
        }
        // A single one is another request than several, and each may be honoured or not.
        let at_once = if honoured.delete_many_if_match.is_kept() {
            removals.len()
        } else {
            1
        };
        let chunks: Vec<_> = removals.chunks(at_once).map(<[_]>::to_vec).collect();
        let requests = chunks.into_iter().map(|some| async move {
            let answers = inner.store.delete_if(&some).await;
            each(answers, some.len())
        });
        let answers: Vec<_> = stream::iter(requests).buffered(SINGLES_MAX).collect().await;
        failpoint::pass(failpoint::REMOVE_ANSWERED);
        results.extend(numbers.into_iter().zip(answers.into_iter().flatten()));
        results
    }
}

/// One result for each of `count`.
fn each(answers: Result<Vec<Result<()>>>, count: usize) -> Vec<Result<()>> {
    match answers {
        Ok(answers) => answers,
        Err(error) => {
            let (kind, text) = (error.kind(), error.to_string());
            let wait = error.retry_after();
            (0..count)
                .map(|_| Err(Error::new(kind, text.clone()).with_retry_after(wait)))
                .collect()
        }
    }
}
