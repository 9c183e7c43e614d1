//! What the stage tells: the bucket has it, someone else was faster, it did not work.

use std::sync::{Arc, Weak};

use cloudmount_stage::{Change as Done, Event, Events, FileId, Lasting};
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Change, NodeKind, RenameMode};

use crate::Attributes;
use crate::core::{Inner, Table};
use crate::know::Inode;
use crate::node::{Content, Marker, Node, Standing, State, object_ref};
use crate::recollection::as_told;

/// Follows the events until the core or the stage ends.
pub(crate) async fn follow(inner: Weak<Inner>, mut events: Events) {
    while let Some(event) = events.next().await {
        let Some(inner) = inner.upgrade() else {
            return;
        };
        match event {
            // It waits for what is under way, whose end is an event.
            Event::BaseLost { key, error } => {
                tracing::error!(%key, %error, "not stored");
                tokio::spawn(async move { inner.set_aside_rest(key).await });
            }
            event => inner.on_event(event),
        }
    }
}

impl Inner {
    fn on_event(&self, event: Event) {
        match event {
            Event::Committed {
                key,
                change,
                version,
                size,
            } => self.on_committed(&key, change, version, size),
            Event::Conflict {
                key,
                kept_as,
                file,
                theirs: _,
            } => self.on_conflict(&key, kept_as.as_ref(), file),
            Event::TheirsBeside { key: _, theirs_as } => {
                self.look_again(&mut self.table(), &theirs_as);
            }
            Event::BaseLost { .. } => {}
            Event::Failed {
                key,
                error,
                kind: _,
                lasting,
            } => match lasting {
                Lasting::Permanent => tracing::error!(%key, %error, "not stored"),
                Lasting::Transient => tracing::warn!(%key, %error, "not stored yet"),
            },
        }
    }

    fn on_committed(&self, key: &Key, change: Done, version: Option<Version>, size: u64) {
        let mut table = self.table();
        if change == Done::Removed {
            self.on_removed(&mut table, key);
            return;
        }
        self.expects_news(&table, key, &change);
        if let Done::Content { file, .. } = change {
            let found = self.by_file(&table, file);
            if let Some(inode) = found.filter(is_staged) {
                self.settle_file(&mut table, &inode.payload);
                self.put_below(&table, &inode.payload);
                return;
            }
        }
        if self.stage.pending(key).is_some() {
            // More is to come: the last commit tells how it is.
            return;
        }
        let Some(inode) = self.locate(&table, key) else {
            return;
        };
        let node = Arc::clone(&inode.payload);
        let mut state = node.lock();
        let is_ours = knows_what_was_stored(&state, &change, version.as_ref());
        match &mut state.content {
            Content::Folder { marker } => *marker = Marker::There(version),
            Content::Link { version: known, .. } => *known = version,
            Content::Object(object) => {
                if let Some(version) = version {
                    // A change of metadata tells no size: the bytes are the same.
                    let size = if change == Done::Metadata {
                        object.size
                    } else {
                        size
                    };
                    *object = object_ref(key, &version, size);
                }
            }
            Content::Staged(_) => {
                drop(state);
                self.settle_file(&mut table, &node);
                self.put_below(&table, &node);
                return;
            }
        }
        if !is_ours {
            state.standing = Standing::Listed;
            let listed = state.modified;
            self.in_the_bucket(&mut table, inode.ino, &mut state);
            if self.settings.attributes == Attributes::Listing {
                // The date of before is shown until the next listing: no object is asked for alone.
                state.modified = listed;
            }
            self.changes.send(Change::Attributes(inode.ino));
            return;
        }
        if inode.kind != NodeKind::Directory
            && let Ok(metadata) = state.to_store(inode.kind, self.settings.dialect)
        {
            state.metadata.set(as_told(metadata));
        }
        self.settled(&mut table, inode.ino, &mut state);
        drop(state);
        self.put_below(&table, &node);
    }

    /// The bucket has taken an entry of a folder.
    fn put_below(&self, table: &Table, node: &Node) {
        let parent = table.parent_of(node.ino);
        if let Some((dir, _)) = parent.filter(|_| node.kind != NodeKind::Directory) {
            self.learnt_below(table, dir, 1);
        }
    }

    fn on_removed(&self, table: &mut Table, key: &Key) {
        if self.stage.pending(key).is_some() {
            return;
        }
        let now = self.now();
        for place in self.places(table, key) {
            table.confirm_removed(place.parent, &place.name, now);
        }
    }

    /// After a name was taken away: if the bucket has nothing to do for it, it is done.
    pub(crate) fn confirm_if_done(&self, table: &mut Table, key: &Key) {
        self.on_removed(table, key);
    }

    fn on_conflict(&self, key: &Key, kept_as: Option<&Key>, file: Option<FileId>) {
        tracing::warn!(
            %key,
            kept_as = kept_as.map(Key::as_str),
            "someone else changed the object; theirs keeps the name"
        );
        let mut table = self.table();
        match (file, kept_as) {
            (Some(file), Some(kept_as)) => self.move_aside(&mut table, key, kept_as, file),
            // The policy keeps it back: it is still what this mount shows.
            (Some(_), None) => return,
            (None, _) => {
                if let Some(inode) = self.locate(&table, key) {
                    let mut state = inode.payload.lock();
                    state.standing = Standing::Listed;
                    state.edits += 1;
                    self.changes.send(Change::Attributes(inode.ino));
                }
            }
        }
        self.look_again(&mut table, key);
    }

    /// What the bucket has under `key` is asked for anew.
    fn look_again(&self, table: &mut Table, key: &Key) {
        for place in self.places(table, key) {
            table.cancel_removed(place.parent, &place.name);
            table.expire(place.parent, &place.name);
            table.expire_listing(place.parent);
            self.changes.send(Change::Entry {
                parent: place.parent,
                name: place.name,
            });
        }
    }

    /// Our file goes on under another name; the name itself is theirs.
    fn move_aside(&self, table: &mut Table, key: &Key, kept_as: &Key, file: FileId) {
        let Some(inode) = self.by_file(table, file) else {
            return;
        };
        let from = (self.places(table, key).into_iter()).find(|place| {
            let found = table.peek(place.parent, &place.name);
            found.is_some_and(|found| found.ino == inode.ino)
        });
        let to = self.places(table, kept_as).into_iter().next();
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        let renamed = table.rename(
            (from.parent, &from.name),
            (to.parent, &to.name),
            RenameMode::NoReplace,
        );
        if let Err(error) = renamed {
            tracing::warn!(%error, %kept_as, "a copy kept after a conflict has no name yet");
        }
        self.changes.send(Change::Entry {
            parent: to.parent,
            name: to.name,
        });
    }

    pub(crate) fn by_file(&self, table: &Table, file: FileId) -> Option<Inode> {
        let ino = self.files.lock().get(&file).copied()?;
        table.get(ino)
    }
}

/// Whether the attributes of the node are those that were put down. What waited from before the mount may be carried out
/// before anybody has asked for them: then they are what a listing tells, and defaults.
fn knows_what_was_stored(state: &State, change: &Done, version: Option<&Version>) -> bool {
    let is_told = || match &state.content {
        Content::Object(known) => {
            version.is_some_and(|version| *known.version == *version.as_str())
        }
        _ => false,
    };
    match (state.standing, change) {
        (Standing::Own, _) => true,
        (Standing::Listed, _) => false,
        (Standing::Known(_) | Standing::Told(_), Done::Metadata) => is_told(),
        (Standing::Known(_) | Standing::Told(_), _) => true,
    }
}

fn is_staged(inode: &Inode) -> bool {
    matches!(inode.payload.lock().content, Content::Staged(_))
}
