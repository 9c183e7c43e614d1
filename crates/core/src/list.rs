//! Asking the store what a directory holds.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_inode::{Found, ListProbe, ListingApplied, Locality};
use cloudmount_stage::{Desired, Mark};
use cloudmount_store::{Extent, Key, ListRequest, Version, list_all};
use cloudmount_vfs::{Change, Error, ErrorKind, InodeId, Instant, Name, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::dialect;
use crate::naming::Part;
use crate::node::{Content, Marker, Node, Standing, object_ref};
use crate::seen::{self, Changed, Entries, Seen, SeenObject, Snapshot};

/// How often something is asked again because the directory was changed here meanwhile. Each time
/// needs a change within one round trip; after so many the caller may try again.
pub(crate) const TRIES: usize = 16;

/// How much later than by this machine's clock a store may date what it took: it has the time that the
/// clocks of machines which are kept right differ by. Where they differ more, what was written here is
/// asked for once more than needed.
const CLOCKS_DIFFER_SECS: i64 = 1;

/// How much is known of a directory now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reached {
    /// All of it.
    Whole,
    /// It has more than a page: nothing was applied.
    TooLarge,
}

/// What a listing says of a name that was known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refreshed {
    /// Nothing that is new.
    Same,
    /// What was written here has a date now.
    Dated,
    /// Someone else has changed its content.
    Replaced,
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
    pub(crate) async fn ensure_listed(&self, dir: InodeId) -> Result<()> {
        let node = self.node(dir)?;
        if node.kind != NodeKind::Directory {
            return Err(ErrorKind::NotDirectory.into());
        }
        {
            let table = self.table();
            if !table.is_linked(dir) || table.listing_is_valid(dir, self.now()) {
                return Ok(());
            }
        }
        self.list(&node, Extent::Whole).await.map(drop)
    }

    /// Asks the store, unless somebody else just did.
    pub(crate) async fn list(&self, dir: &Arc<Node>, extent: Extent) -> Result<Reached> {
        let gate = dir.gate().ok_or(ErrorKind::NotDirectory)?;
        let _one = gate.lock().await;
        // What went wrong with it is met again below, if it concerns this folder.
        if !self.table().listing_is_valid(dir.ino, self.now())
            && matches!(self.list_ahead(dir).await, Ok(true))
        {
            return Ok(Reached::Whole);
        }
        for _ in 0..TRIES {
            let (probe, prefix, mark) = {
                let mut table = self.table();
                if table.listing_is_valid(dir.ino, self.now()) {
                    return Ok(Reached::Whole);
                }
                let mark = self.stage.mark();
                let probe = table.begin_listing(dir.ino, self.now())?;
                (probe, self.prefix(&table, dir.ino)?, mark)
            };
            let Some(snapshot) = self.ask_names(dir, prefix, extent).await? else {
                return Ok(Reached::TooLarge);
            };
            if self.apply_names(probe, mark, snapshot).await? {
                return Ok(Reached::Whole);
            }
        }
        Err(restless("listing"))
    }

    /// All pages; `None` if there are more than wanted.
    async fn ask_names(
        &self,
        dir: &Arc<Node>,
        prefix: String,
        extent: Extent,
    ) -> Result<Option<Snapshot>> {
        let mut snapshot = Snapshot {
            prefix,
            ..Snapshot::default()
        };
        let request = ListRequest {
            prefix: snapshot.prefix.clone(),
            by_folder: true,
            ..ListRequest::default()
        };
        let Some(listed) = list_all(&*self.store, &request, extent).await? else {
            dir.lock().is_large = true;
            return Ok(None);
        };
        dir.lock().is_large = listed.pages > 1;
        (snapshot.objects, snapshot.folders) = (listed.objects, listed.prefixes);
        Ok(Some(snapshot))
    }

    /// Applies the listing; says whether it could be.
    pub(crate) async fn apply_names(
        &self,
        probe: ListProbe,
        mark: Mark,
        mut snapshot: Snapshot,
    ) -> Result<bool> {
        loop {
            let doubtful = {
                let mut table = self.table();
                let pending = self.stage.pending_children(&snapshot.prefix);
                let dir = probe.dir();
                let Some(unsure) = self.unsure_folders(&table, &probe, mark, &snapshot) else {
                    return Ok(false);
                };
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
                        let is_applied = self.merge(&mut table, probe, &entries);
                        if let Some(folder) = table.get(dir).filter(|_| is_applied) {
                            self.saw_manifest(&folder.payload, snapshot.manifest());
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
        let Changed { mut folders, other } = snapshot.changed(&keys);
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
            if left.iter().any(|key| !removed.contains(key)) {
                return Ok(true);
            }
            token = page.next;
            if token.is_none() {
                return Ok(false);
            }
        }
    }

    fn merge(&self, table: &mut Table, probe: ListProbe, entries: &Entries) -> bool {
        let (dir, now, until) = (probe.dir(), self.now(), self.until());
        let mut foreign = Vec::new();
        let (strangers, dated) = (Cell::new(false), Cell::new(false));
        let applied = table.apply_listing(
            probe,
            &entries.listed,
            until,
            now,
            |ino, at| {
                let seen = &entries.seen[at];
                strangers.set(strangers.get() || matches!(seen, Seen::Object(_)));
                Arc::new(self.make(ino, entries.listed[at].kind, seen))
            },
            |node, at| match self.refresh(node, &entries.seen[at], until) {
                Refreshed::Same => {}
                Refreshed::Dated => dated.set(true),
                Refreshed::Replaced => foreign.push(node.ino),
            },
        );
        let ListingApplied::Merged { removed } = applied else {
            return false;
        };
        for (listed, seen) in entries.listed.iter().zip(&entries.seen) {
            if let Seen::Pending(_, view) = seen {
                self.adopt(table, dir, &listed.name, view);
            }
        }
        if (strangers.get() || !foreign.is_empty())
            && let Some(folder) = table.get(dir)
            && let Some(recollection) = folder.payload.recollection()
        {
            recollection.lock().brought(until);
        }
        if dated.get() {
            self.learnt_below(table, dir, 0);
        }
        for ino in foreign {
            self.changes.send(Change::Content(ino));
        }
        for (name, found) in removed {
            self.vanished(dir, name, &found);
        }
        true
    }

    /// A node for what was seen; nothing but what a listing tells is known of it.
    pub(crate) fn make(&self, ino: InodeId, kind: NodeKind, seen: &Seen) -> Node {
        let (content, time) = match seen {
            Seen::Folder(_) => {
                let marker = Marker::Unknown;
                (Content::Folder { marker }, self.clock.wall())
            }
            Seen::Object(object) => (object.content(kind), object.modified),
            Seen::Pending(key, view) => (pending_content(key, kind, view), self.clock.wall()),
        };
        let node = Node::new(ino, kind, content, &self.settings);
        {
            let mut state = node.lock();
            (state.mtime, state.ctime) = (time, time);
            match seen {
                Seen::Folder(marks) => state.marks = marks.boxed(),
                Seen::Object(object) => state.modified = Some(object.modified),
                Seen::Pending(_, view) => {
                    let metadata = view.metadata().unwrap_or_default();
                    state.learn(dialect::read(&metadata), time, &self.settings);
                    state.ctime = state.mtime;
                    state.metadata = metadata;
                    state.standing = Standing::Own;
                }
            }
        }
        node
    }

    /// Takes over what was seen of a name that is in the bucket.
    fn refresh(&self, node: &Node, seen: &Seen, until: Instant) -> Refreshed {
        let object = match seen {
            Seen::Object(object) => object,
            Seen::Folder(marks) => {
                node.lock().marks = marks.boxed();
                return Refreshed::Same;
            }
            Seen::Pending(..) => return Refreshed::Same,
        };
        let mut state = node.lock();
        if state.standing == Standing::Own {
            return Refreshed::Same;
        }
        let (version, size) = match &state.content {
            Content::Object(known) => (known.version.to_string(), known.size),
            Content::Link { version, size, .. } => {
                let version = version.as_ref().map(|version| version.as_str().to_owned());
                (version.unwrap_or_default(), *size)
            }
            Content::Folder { .. } | Content::Staged(_) => return Refreshed::Same,
        };
        let same_version = match &object.version {
            Some(listed) => listed.as_str() == version,
            None => true,
        };
        let listed = object.modified.secs();
        let same_time = match (state.modified, state.taken) {
            (Some(modified), _) => modified.secs() == listed,
            // What was written here has a date that was not told. One from afterwards is someone else's.
            (None, Some(taken)) => listed <= taken.secs().saturating_add(CLOCKS_DIFFER_SECS),
            (None, None) => true,
        };
        if same_version && size == object.size && same_time {
            let had_date = state.modified.replace(object.modified).is_some();
            match state.standing {
                Standing::Known(_) => {
                    state.standing = Standing::Known(until);
                    if !had_date {
                        return Refreshed::Dated;
                    }
                }
                Standing::Told(_) => state.standing = Standing::Told(until),
                Standing::Listed | Standing::Own => {}
            }
            return Refreshed::Same;
        }
        state.content = object.content(node.kind);
        state.replaced_by_others(object.modified);
        Refreshed::Replaced
    }

    /// Gives a name that only the stage knows its content.
    pub(crate) fn adopt(
        &self,
        table: &mut Table,
        dir: InodeId,
        name: &Name,
        view: &cloudmount_stage::PendingView,
    ) {
        let Some(found) = table.peek(dir, name) else {
            return;
        };
        if table.locality(found.ino) == Some(Locality::Local) {
            return;
        }
        if let Desired::Content(file) = &view.desired {
            self.files.lock().insert(file.id(), found.ino);
            let mut state = found.payload.lock();
            let is_it = match &state.content {
                Content::Staged(known) => known.id() == file.id(),
                Content::Object(_) => false,
                Content::Link { .. } | Content::Folder { .. } => true,
            };
            if !is_it {
                state.put_content(Content::Staged(Arc::clone(file)));
                state.standing = Standing::Own;
            }
        }
        if let Err(error) = table.set_local(found.ino, Locality::Local, self.now()) {
            tracing::warn!(%error, "a pending name is gone");
        }
    }

    /// A name that the store has no more.
    pub(crate) fn vanished(&self, parent: InodeId, name: Name, found: &Found<Arc<Node>>) {
        {
            let mut state = found.payload.lock();
            state.is_unlinked = true;
            state.foreign_changes += 1;
            state.edits += 1;
        }
        self.changes.send(Change::Removed {
            parent,
            child: found.ino,
            name,
        });
    }
}

impl SeenObject {
    pub(crate) fn content(&self, kind: NodeKind) -> Content {
        let unknown = Version::new("");
        match kind {
            NodeKind::Symlink => Content::Link {
                target: None,
                version: self.version.clone(),
                size: self.size,
            },
            NodeKind::File | NodeKind::Directory => {
                let version = self.version.as_ref().unwrap_or(&unknown);
                Content::Object(object_ref(&self.key, version, self.size))
            }
        }
    }
}

fn pending_content(key: &Key, kind: NodeKind, view: &cloudmount_stage::PendingView) -> Content {
    let size = view.size().unwrap_or_default();
    match (&view.desired, kind) {
        (Desired::Content(file), NodeKind::File) => Content::Staged(Arc::clone(file)),
        (Desired::Inline { bytes, .. }, NodeKind::Symlink) => Content::Link {
            target: Some(bytes.clone()),
            version: None,
            size,
        },
        (_, NodeKind::Symlink) => Content::Link {
            target: None,
            version: None,
            size,
        },
        // No file is pending as bytes; one that another version left is read once it is there.
        _ => Content::Object(object_ref(key, &Version::new(""), size)),
    }
}
