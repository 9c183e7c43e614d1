//! [`ListPoller`]: finds what has changed below the mount by listing all of it now and then.
//!
//! What is remembered between two listings is a sum for each folder, over its keys with their versions, sizes and dates: memory
//! follows the number of folders, and is bounded. Where there are more, those that find no place count for the nearest
//! folder above that has one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{ListRequest, ListedObject, Store};
use cloudmount_vfs::{BoxFuture, Clock};

use super::{ChangeFeed, News};

/// Bytes that one listing may be remembered with: some 150,000 folders with names of 50 bytes. There are two while
/// they are compared.
const REMEMBERED_BYTES_MAX: usize = 16 << 20;

/// What a folder takes in memory beside its name, about.
const FOLDER_BYTES: usize = 64;

/// More folders than that at once: all of it has changed.
const NEWS_MAX: usize = 1000;

/// Asks a store again and again, and tells which folders differ.
#[derive(Debug)]
pub struct ListPoller {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    /// How long to wait before the next listing.
    rest: Duration,
    known: Option<Folders>,
    bytes_max: usize,
}

/// What a folder holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Sum {
    /// Of hashes, modulo 2⁶⁴: whatever order they come in.
    total: u64,
    keys: u64,
    /// Whether folders below count for it, too.
    is_coarse: bool,
}

#[derive(Debug, Default)]
struct Folders {
    sums: HashMap<String, Sum>,
    bytes: usize,
}

impl ListPoller {
    /// Lists `store` at once and then every `interval`; less often where a listing takes longer than that, so that at
    /// most half of the time is spent with it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, interval: Duration) -> Self {
        Self {
            store,
            clock,
            interval,
            rest: Duration::ZERO,
            known: None,
            bytes_max: REMEMBERED_BYTES_MAX,
        }
    }

    async fn poll(&mut self) -> Result<Vec<News>, String> {
        self.clock.sleep(self.rest).await;
        self.rest = self.interval;
        let begin = self.clock.now();
        let seen = self.list().await?;
        self.rest = self.interval.max(self.clock.now().saturating_since(begin));
        Ok(match self.known.replace(seen) {
            Some(before) => self
                .known
                .as_ref()
                .map_or_else(Vec::new, |now| now.since(&before)),
            // What was looked at before the first listing may have changed since.
            None => vec![News::Below {
                prefix: String::new(),
            }],
        })
    }

    async fn list(&self) -> Result<Folders, String> {
        let mut folders = Folders::default();
        folders.sums.insert(String::new(), Sum::default());
        let mut token = None;
        loop {
            let request = ListRequest {
                token,
                ..ListRequest::default()
            };
            let page = self.store.list(request).await;
            let page = page.map_err(|error| format!("listing the bucket: {error}"))?;
            for object in &page.objects {
                folders.add(object, self.bytes_max);
            }
            token = page.next;
            if token.is_none() {
                return Ok(folders);
            }
        }
    }
}

impl ChangeFeed for ListPoller {
    fn kind(&self) -> String {
        format!("listing every {} s", self.interval.as_secs_f64())
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Vec<News>, String>> {
        Box::pin(self.poll())
    }
}

impl Folders {
    fn add(&mut self, object: &ListedObject, bytes_max: usize) {
        let key = object.key.as_str();
        let mut hasher = DefaultHasher::new();
        let version = object.version.as_ref().map(|version| version.as_str());
        let time = (object.modified.secs(), object.modified.nanos());
        (key, version, object.size, time).hash(&mut hasher);
        let hash = hasher.finish();
        // A marker is of its folder, and of the one that holds it.
        if let Some(marker) = key.strip_suffix('/') {
            self.count(key, hash, bytes_max);
            self.count(above(marker), hash, bytes_max);
        } else {
            self.count(above(key), hash, bytes_max);
        }
    }

    fn count(&mut self, prefix: &str, hash: u64, bytes_max: usize) {
        let (mut at, mut is_coarse) = (prefix, false);
        while !self.sums.contains_key(at) {
            let bytes = self.bytes + at.len() + FOLDER_BYTES;
            if bytes <= bytes_max {
                self.bytes = bytes;
                self.sums.insert(at.to_owned(), Sum::default());
                break;
            }
            is_coarse = true;
            at = above(at.strip_suffix('/').unwrap_or(at));
        }
        if let Some(sum) = self.sums.get_mut(at) {
            sum.total = sum.total.wrapping_add(hash);
            sum.keys += 1;
            sum.is_coarse |= is_coarse;
        }
    }

    /// What differs from `before`.
    fn since(&self, before: &Self) -> Vec<News> {
        let mut news = Vec::new();
        for (prefix, sum) in &self.sums {
            let was = before.sums.get(prefix);
            if was == Some(sum) {
                continue;
            }
            let prefix = prefix.clone();
            let is_coarse = sum.is_coarse || was.is_some_and(|was| was.is_coarse);
            news.push(if is_coarse {
                News::Below { prefix }
            } else {
                News::Folder { prefix }
            });
        }
        for prefix in before.sums.keys() {
            if !self.sums.contains_key(prefix) {
                let prefix = prefix.clone();
                let key = prefix.clone();
                news.extend([News::Below { prefix }, News::Gone { key }]);
            }
        }
        if news.len() > NEWS_MAX {
            let prefix = String::new();
            news = vec![News::Below { prefix }];
        }
        news
    }
}

/// The prefix of the folder that holds a key.
fn above(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

#[cfg(test)]
mod tests {
    use cloudmount_store::{Key, Version};
    use cloudmount_vfs::Timestamp;

    use super::*;

    fn folders(keys: &[(&str, &str)], bytes_max: usize) -> Folders {
        let mut folders = Folders::default();
        folders.sums.insert(String::new(), Sum::default());
        for (key, version) in keys {
            let object = ListedObject {
                key: Key::new(*key).unwrap(),
                size: 1,
                version: Some(Version::new(*version)),
                modified: Timestamp::EPOCH,
            };
            folders.add(&object, bytes_max);
        }
        folders
    }

    fn news(before: &[(&str, &str)], now: &[(&str, &str)], bytes_max: usize) -> Vec<String> {
        let news = folders(now, bytes_max).since(&folders(before, bytes_max));
        let mut shown: Vec<String> = (news.iter())
            .map(|news| match news {
                News::Folder { prefix } => format!("folder {prefix}"),
                News::Below { prefix } => format!("below {prefix}"),
                News::Gone { key } => format!("gone {key}"),
                News::Put { key, .. } => format!("put {key}"),
            })
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn the_folder_of_what_differs_is_told() {
        let before = [("a/x", "1"), ("a/b/y", "1"), ("c/", "1"), ("z", "1")];
        let none: [&str; 0] = [];
        for (now, told) in [
            (&before[..], &none[..]),
            (
                &[before[0], ("a/b/y", "2"), before[2], before[3]],
                &["folder a/b/"],
            ),
            (
                &[before[0], before[1], before[2], before[3], ("a/n", "1")],
                &["folder a/"],
            ),
            (&[before[0], before[1], before[2]], &["folder "]),
            (
                &[before[0], before[2], before[3]],
                &["below a/b/", "gone a/b/"],
            ),
            (
                &[before[0], before[1], ("c/", "2"), before[3]],
                &["folder ", "folder c/"],
            ),
            (
                &[before[0], before[1], before[2], before[3], ("new/d/x", "1")],
                &["folder new/d/"],
            ),
        ] {
            assert_eq!(news(&before, now, 1 << 20), told, "{now:?}");
        }
    }

    #[test]
    fn folders_beyond_the_memory_count_for_those_above() {
        let before = [("a/x", "1"), ("b/c/y", "1"), ("b/d/z", "1")];
        let now = [before[0], before[1], ("b/d/z", "2")];
        let room = 2 * FOLDER_BYTES + 8;
        assert_eq!(folders(&before, room).sums.len(), 3);
        assert_eq!(news(&before, &now, room), ["below "]);
        assert_eq!(
            news(&before, &[before[0], ("b/c/y", "2"), before[2]], room),
            ["folder b/c/"]
        );
    }

    #[test]
    fn much_at_once_is_everything() {
        let keys: Vec<String> = (0..2000).map(|n| format!("d{n}/x")).collect();
        let now: Vec<(&str, &str)> = keys.iter().map(|key| (&**key, "1")).collect();
        assert_eq!(news(&[], &now, 1 << 20), ["below "]);
    }
}
