//! Asking the store what a directory holds.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_inode::{Belief, ListProbe, ListingApplied};
use cloudmount_stage::{Mark, PendingChild};
use cloudmount_store::{Extent, Key, ListRequest, ListedObject};
use cloudmount_vfs::{Change, Error, ErrorKind, InodeId, Instant, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::listed::Refreshed;
use crate::naming::Part;
use crate::node::Node;
use crate::pages::Went;
use crate::seen::{self, Changed, Entries, Portion, Seen, Snapshot};
use crate::ttl::Wanted;

/// How often something is asked again because the directory was changed here meanwhile. Each time
/// needs a change within one round trip; after so many the caller may try again.
pub(crate) const TRIES: usize = 16;

/// How much is known of a directory now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reached {
    /// All of it.
    Whole,
    /// It has more than a page: nothing was applied.
    TooLarge,
}

/// What the portions of a listing have brought together.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Objects of which nothing else is known.
    is_strange: bool,
    /// Dates of what was written here.
    is_dated: bool,
    manifest: Option<ListedObject>,
    /// Whether the folder's own marker was shown.
    pub(crate) has_marker: bool,
    /// For how long nobody went on with it, at most.
    pub(crate) paused: Duration,
}

/// A directory that goes on changing.
pub(crate) fn restless(what: &str) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!("{what}: changed again each time it was asked for, try later"),
    )
}

impl Inner {
    /// Knows all names of `dir`, unless it has no name itself.
    pub(crate) async fn ensure_listed(&self, dir: InodeId, wanted: Wanted<'_>) -> Result<()> {
        let node = self.node(dir)?;
        if node.kind != NodeKind::Directory {
            return Err(ErrorKind::NotDirectory.into());
        }
        if !self.table().is_linked(dir) || self.is_answered(dir, wanted) {
            return Ok(());
        }
        self.list(&node, Extent::Whole, wanted).await.map(drop)
    }

    /// Asks the store, unless what is wanted is answered by then: somebody else just did.
    pub(crate) async fn list(
        &self,
        dir: &Arc<Node>,
        extent: Extent,
        wanted: Wanted<'_>,
    ) -> Result<Reached> {
        let gate = dir.gate().ok_or(ErrorKind::NotDirectory)?;
        let mut going = gate.lock().await;
        if extent == Extent::OnePage && going.as_ref().is_some_and(|listing| listing.is_long()) {
            dir.lock().is_large = true;
            return Ok(Reached::TooLarge);
        }
        for _ in 0..TRIES {
            loop {
                match self.go_on(dir, &mut going, (extent, wanted)).await? {
                    Went::Further => {}
                    Went::ToTheEnd => return Ok(Reached::Whole),
                    Went::TooFar => return Ok(Reached::TooLarge),
                    Went::Refused => break,
                }
            }
        }
        Err(restless("listing"))
    }

    /// Applies a listing, or a portion of one; says whether it could be. It may be called again if it was dropped
    /// while it waited.
    pub(crate) async fn apply_names(
        &self,
        (probe, mark): (&ListProbe, Mark),
        snapshot: &mut Snapshot,
        news: &mut News,
    ) -> Result<bool> {
        self.catch_up(probe, snapshot).await?;
        loop {
            let doubtful = {
                let mut table = self.table();
                let mut pending = self.stage.pending_children(&snapshot.prefix);
                let dir = probe.dir();
                let Some(unsure) = self.unsure_folders(&table, probe, mark, snapshot) else {
                    return Ok(false);
                };
                self.keep_due(&table, probe, snapshot, &mut pending);
                match snapshot.entries(
                    &table,
                    dir,
                    (pending, unsure),
                    (&self.long, &self.settings.litter),
                ) {
                    Ok(entries) => {
                        if entries.has_suffixes {
                            self.has_suffixes.store(true, Ordering::Relaxed);
                        }
                        let is_applied = self.merge(&mut table, (probe, snapshot), &entries, news);
                        if is_applied && snapshot.portion != Portion::Some {
                            self.saw_no_marker(&table, (dir, mark), snapshot, news);
                        }
                        // As many as came may go, so that names which nobody looks at do not pile up.
                        let idle = self.settings.idle_inodes_max;
                        let cooled = table.reclaim(idle, entries.seen.len());
                        drop(table);
                        drop(cooled);
                        return Ok(is_applied);
                    }
                    Err(doubtful) => doubtful,
                }
            };
            for part in doubtful {
                let below = format!("{}{part}/", snapshot.prefix);
                let has_others = self.folder_exists(&below).await?;
                snapshot.looked_into.insert(part, has_others);
            }
        }
    }

    /// What is pending belongs to the portion that shows its part, or, where none does, to the last one.
    fn keep_due(
        &self,
        table: &Table,
        probe: &ListProbe,
        snapshot: &Snapshot,
        pending: &mut Vec<PendingChild>,
    ) {
        if pending.is_empty() || snapshot.portion == Portion::All {
            return;
        }
        let shown = snapshot.shown_parts();
        pending.retain(|child| {
            let part = match child {
                PendingChild::Folder { part, .. } => part.as_str(),
                PendingChild::Key(key, _) => &key.as_str()[snapshot.prefix.len()..],
            };
            let is_told = || {
                let names = seen::names_of(part, &self.long);
                names.iter().any(|name| table.knows_since(probe, name))
            };
            shown.contains(part) || snapshot.portion == Portion::Last && !is_told()
        });
    }

    /// Folders that are new to the table, and below which the stage changed something in the bucket after `mark`:
    /// they may be listed only for what is gone. A marker may be gone long before the last key below it, and with
    /// it the folder, as far as the table knows. `None` if it changed what the table does not know of: what it left
    /// from before the mount.
    fn unsure_folders(
        &self,
        table: &Table,
        probe: &ListProbe,
        mark: Mark,
        snapshot: &Snapshot,
    ) -> Option<BTreeSet<String>> {
        let keys = self.stage.keys_changed_since(mark, &snapshot.prefix)?;
        let Changed {
            mut folders,
            mut other,
        } = snapshot.changed(&keys);
        if !other.is_empty() && snapshot.portion == Portion::Some {
            // What no portion shows is looked for with the last one.
            let shown = snapshot.shown_parts();
            other.retain(|part| shown.contains(part.as_str()));
        }
        let is_missed = |part: &String| {
            let names = seen::names_of(part, &self.long);
            !names.iter().any(|name| table.remembers(probe.dir(), name))
        };
        if other.iter().any(is_missed) {
            return None;
        }
        folders.retain(|part| {
            let name = self.long.show(&Part::plain(&**part));
            table.would_add_folder(probe, &name)
        });
        Some(folders)
    }

    /// Whether anything that is to stay lies under `prefix`, which ends in `/`.
    pub(crate) async fn folder_exists(&self, prefix: &str) -> Result<bool> {
        let (mut token, mut tries) = (None, 0);
        loop {
            let mark = self.stage.mark();
            let limit = match self.stage.pending_folder(prefix) {
                Some(cloudmount_stage::PendingFolder::HasContent) => return Ok(true),
                Some(cloudmount_stage::PendingFolder::RemovalsOnly) => None,
                None if self.may_list_removed(prefix) => None,
                None => Some(1),
            };
            let request = ListRequest {
                prefix: prefix.to_owned(),
                limit,
                token: token.clone(),
                ..ListRequest::default()
            };
            let page = self.store.list(request).await?;
            // Looked at in this order: a removal that ends in between was still pending.
            let listed = page.objects.into_iter().map(|object| object.key);
            let left: Vec<Key> = listed.filter(|key| !self.is_going(key)).collect();
            let Some(removed) = self.stage.keys_removed_since(mark, prefix) else {
                tries += 1;
                if tries == TRIES {
                    return Err(restless("looking into a folder"));
                }
                continue;
            };
            let left = left.into_iter().filter(|key| !removed.contains(key));
            if self.is_any_there(left).await? {
                return Ok(true);
            }
            token = page.next;
            if token.is_none() {
                return self.has_unlisted(prefix).await;
            }
        }
    }

    fn merge(
        &self,
        table: &mut Table,
        (probe, snapshot): (&ListProbe, &Snapshot),
        entries: &Entries,
        news: &mut News,
    ) -> bool {
        let (dir, now, until) = (probe.dir(), self.now(), self.names_until());
        let attributes_until = self.attributes_until();
        let mut foreign = Vec::new();
        let (strangers, dated) = (Cell::new(false), Cell::new(false));
        let (was_listed, names) = (table.was_listed(dir), table.child_count(dir));
        if snapshot.portion != Portion::All {
            table.begin_pages(probe);
        }
        let applied = table.apply_page(
            probe,
            &entries.listed,
            until.present,
            |ino, at| {
                let seen = &entries.seen[at];
                strangers.set(strangers.get() || matches!(seen, Seen::Object(_)));
                Arc::new(self.make(ino, entries.listed[at].kind, seen))
            },
            |node, at| match self.refresh(node, &entries.seen[at], attributes_until) {
                Refreshed::Same => {}
                Refreshed::Dated => dated.set(true),
                Refreshed::Replaced => foreign.push(node.ino),
            },
        );
        let ListingApplied::Merged { mut removed } = applied else {
            return false;
        };
        let mut is_applied = true;
        if snapshot.portion != Portion::Some {
            let until = self.as_far_as_of_now(until, news);
            match table.finish_listing(probe, until, now) {
                ListingApplied::Merged { removed: more } => removed.extend(more),
                ListingApplied::Refused => is_applied = false,
            }
        }
        for (listed, seen) in entries.listed.iter().zip(&entries.seen) {
            if let Seen::Pending(_, view) = seen {
                self.adopt(table, dir, &listed.name, view);
            }
        }
        news.is_strange |= strangers.get() || !foreign.is_empty();
        news.is_dated |= dated.get();
        news.has_marker |= snapshot.shows_marker();
        if news.manifest.is_none() {
            news.manifest = snapshot.manifest().cloned();
        }
        if is_applied && snapshot.portion != Portion::Some {
            self.brought(table, dir, news, attributes_until);
        }
        for ino in foreign {
            self.changes.send(Change::Content(ino));
        }
        let is_gone = |name| table.kind_of(dir, name).is_none();
        let are_gone = removed.iter().any(|(name, _)| is_gone(name));
        if was_listed && (are_gone || table.child_count(dir) != names) {
            self.found_names(table, dir);
        }
        for (name, found) in removed {
            self.vanished(dir, name, &found);
        }
        is_applied
    }

    /// Where a listing took longer than what it tells is believed, because nobody went on with it, what came first is not
    /// of now.
    fn as_far_as_of_now(&self, until: Belief, news: &News) -> Belief {
        let (now, ttl) = (self.now(), self.settings.ttl);
        let shown = |until, ttl| {
            if news.paused > ttl { now } else { until }
        };
        Belief {
            absent: shown(until.absent, ttl.negatives),
            whole: shown(until.whole, ttl.listings),
            ..until
        }
    }

    /// A listing is whole: what it has brought is looked up when it is wanted.
    fn brought(&self, table: &Table, dir: InodeId, news: &News, until: Instant) {
        let Some(folder) = table.get(dir) else {
            return;
        };
        self.saw_manifest(&folder.payload, news.manifest.as_ref());
        if news.is_strange
            && let Some(recollection) = folder.payload.recollection()
        {
            recollection.lock().brought(until);
        }
        if news.is_dated {
            self.learnt_below(table, dir, 0);
        }
    }
}
