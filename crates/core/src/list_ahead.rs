//! Listing ahead of who goes through a tree: one listing of all that is below a folder answers for many folders in it.
//!
//! Laws:
//! - It is asked as if each of the folders had been asked at once: with a question to the table for each that is known
//!   then, and by the same rules for what was changed here since.
//! - Only folders that were seen whole count. Whatever else comes of it, the folder that is wanted can still be
//!   listed alone.
//! - It holds [`FOLDERS_MAX`] folders and the pages of `turns` at most.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudmount_inode::ListProbe;
use cloudmount_stage::Mark;
use cloudmount_store::{ListPage, ListRequest, ListedObject};
use cloudmount_vfs::{Cookie, InodeId, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::list::News;
use crate::naming;
use crate::node::Node;
use crate::seen::Snapshot;

/// Folders that one listing may answer for: as many as are in some pages of folders with a few names.
const FOLDERS_MAX: usize = 4096;

/// More entries than one page has: a folder in which names are asked for alone.
const LARGE: usize = 1000;

/// A listing ahead.
struct Ahead {
    above: InodeId,
    /// What all keys begin with.
    prefix: String,
    /// The folder that is wanted.
    from: String,
    pages: u32,
    mark: Mark,
    /// What is asked, by prefix.
    probes: BTreeMap<String, (ListProbe, Arc<Node>)>,
}

/// Folders as their keys come.
#[derive(Debug, Default)]
struct Folders {
    /// By prefix.
    open: BTreeMap<String, Snapshot>,
    /// The last key.
    reached: String,
}

impl Inner {
    /// Lists `dir` with those behind it, if it is one of a walk; says whether it is listed now.
    pub(crate) async fn list_ahead(&self, dir: &Node) -> Result<bool> {
        let Some(mut ahead) = self.plan_ahead(dir)? else {
            return Ok(false);
        };
        let mut folders = Folders {
            reached: just_before(&ahead.from),
            ..Folders::default()
        };
        let mut reached = ahead.from.clone();
        let (mut token, mut pages, mut whole) = (None, 0, 0);
        while pages < ahead.pages {
            let request = ListRequest {
                prefix: ahead.prefix.clone(),
                start_after: Some(just_before(&ahead.from)),
                token: token.take(),
                ..ListRequest::default()
            };
            let page = self.store.list(request).await?;
            pages += 1;
            token.clone_from(&page.next);
            if !folders.add(&ahead, page) {
                break;
            }
            let end = token.is_some().then(|| folders.last(&ahead));
            while let Some((probe, node, mut snapshot)) =
                ahead.next_whole(&mut folders, end.as_deref())
            {
                whole += u32::from(!snapshot.is_empty());
                reached.clone_from(&snapshot.prefix);
                node.lock().is_large = snapshot.len() > LARGE;
                let question = (&probe, ahead.mark);
                let is_applied = self
                    .apply_names(question, &mut snapshot, &mut News::default())
                    .await?;
                if is_applied && !snapshot.is_empty() {
                    // It is there, for something is in it: who comes to it need not ask for its name.
                    let until = self.names_until().present;
                    // It is unknown where it was removed here meanwhile.
                    let _ = self.table().validate(node.ino, until);
                }
            }
            if token.is_none() {
                break;
            }
        }
        self.turns
            .lock()
            .listed(ahead.above, (pages, whole), &reached, self.now());
        Ok(self.table().listing_is_valid(dir.ino, self.now()))
    }

    /// Looks for a folder that was known, and that somebody who goes through a tree comes to, by what is in it: that is asked
    /// for next anyway. Whether it is there, its name tells afterwards.
    pub(crate) async fn look_ahead(&self, dir: &Node) {
        // Who lists it now brings the same.
        let Some(Ok(_one)) = dir.gate().map(tokio::sync::Mutex::try_lock) else {
            return;
        };
        // What goes wrong is met by who asks for the name.
        drop(self.list_ahead(dir).await);
    }

    fn plan_ahead(&self, dir: &Node) -> Result<Option<Ahead>> {
        // What is not believed for a moment cannot be used later.
        if self.settings.ttl.listings.is_zero() {
            return Ok(None);
        }
        let mut table = self.table();
        let Some((above, _)) = table.parent_of(dir.ino) else {
            return Ok(None);
        };
        let prefix = self.prefix(&table, above)?;
        let from = self.prefix(&table, dir.ino)?;
        let habits = (
            self.settings.list_ahead_after,
            self.settings.ttl.of_listed(),
        );
        let asked = (self.turns.lock()).asked((above, &from), habits, self.now());
        let Some(pages) = asked else {
            return Ok(None);
        };
        let mark = self.stage.mark();
        let probes = self.ask_behind(&mut table, (above, &prefix), &from)?;
        Ok(Some(Ahead {
            above,
            prefix,
            from,
            pages,
            mark,
            probes,
        }))
    }

    /// Questions about the folder with the prefix `from` and those behind it.
    fn ask_behind(
        &self,
        table: &mut Table,
        (above, prefix): (InodeId, &str),
        from: &str,
    ) -> Result<BTreeMap<String, (ListProbe, Arc<Node>)>> {
        let now = self.now();
        let mut behind = BTreeMap::new();
        for child in table.children(above, Cookie::START, usize::MAX)? {
            let Some(found) = child.found.filter(|_| child.kind == NodeKind::Directory) else {
                continue;
            };
            let is_believed = (table.believed_until(found.ino)).is_none_or(|until| now < until);
            if is_believed && table.listing_is_valid(found.ino, now) {
                continue;
            }
            let Ok(part) = naming::part_of(&child.name, &self.long) else {
                continue;
            };
            let prefix = format!("{prefix}{}/", part.text);
            if prefix.as_str() >= from {
                behind.insert(prefix, found.payload);
            }
            if behind.len() > FOLDERS_MAX {
                behind.pop_last();
            }
        }
        let mut probes = BTreeMap::new();
        for (prefix, node) in behind {
            probes.insert(prefix, (table.begin_listing(node.ino, now)?, node));
        }
        Ok(probes)
    }
}

/// Where a listing begins that is to show the marker of a folder, whose key is the folder's prefix: `start-after` leaves out
/// the key itself. Few keys lie between, such as `a.~b` where the folder is `a/`.
fn just_before(prefix: &str) -> String {
    let folder = prefix.strip_suffix('/').unwrap_or(prefix);
    format!("{folder}.~")
}

impl Ahead {
    /// The next folder that lies before `end`, with what it holds: nothing, where no key was seen.
    fn next_whole(
        &mut self,
        folders: &mut Folders,
        end: Option<&str>,
    ) -> Option<(ListProbe, Arc<Node>, Snapshot)> {
        let first = self.probes.first_entry()?;
        if end.is_some_and(|end| first.key().as_str() >= end) {
            return None;
        }
        let (prefix, (probe, node)) = first.remove_entry();
        let none = || Snapshot {
            prefix: prefix.clone(),
            ..Snapshot::default()
        };
        let snapshot = folders.open.remove(&prefix).unwrap_or_else(none);
        Some((probe, node, snapshot))
    }
}

impl Folders {
    /// Takes a page; says whether it is one that goes on in order.
    fn add(&mut self, ahead: &Ahead, page: ListPage) -> bool {
        for object in page.objects {
            let key = object.key.as_str();
            let before = self.reached.as_str();
            let Some(rest) = key.strip_prefix(&*ahead.prefix).filter(|_| key > before) else {
                return false;
            };
            key.clone_into(&mut self.reached);
            if key < ahead.from.as_str() {
                continue;
            }
            let Some(slash) = rest.find('/') else {
                continue;
            };
            let prefix = &key[..=ahead.prefix.len() + slash];
            if ahead.probes.contains_key(prefix) {
                let prefix = prefix.to_owned();
                let folder = self.open.entry(prefix.clone()).or_default();
                folder.add(prefix, object);
            }
        }
        true
    }

    /// The prefix of the folder that the last key lies in, or this key: all before is whole.
    fn last(&self, ahead: &Ahead) -> String {
        let rest = self
            .reached
            .strip_prefix(&*ahead.prefix)
            .unwrap_or_default();
        let end = rest
            .find('/')
            .map_or(self.reached.len(), |slash| ahead.prefix.len() + slash + 1);
        self.reached[..end].to_owned()
    }
}

impl Snapshot {
    /// An object at any depth below.
    fn add(&mut self, prefix: String, object: ListedObject) {
        self.prefix = prefix;
        let rest = &object.key.as_str()[self.prefix.len()..];
        let Some(slash) = rest.find('/') else {
            self.objects.push(object);
            return;
        };
        let folder = &object.key.as_str()[..=self.prefix.len() + slash];
        if self.folders.last().is_none_or(|last| last != folder) {
            self.folders.push(folder.to_owned());
        }
    }

    fn len(&self) -> usize {
        self.objects.len() + self.folders.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
