//! What a listing says of single names: nodes that are made of it, and those that it finds.
//!
//! Law: what was changed here, and is not in the bucket yet, is not taken from a listing.

use std::sync::Arc;

use cloudmount_inode::{Found, Locality};
use cloudmount_stage::Desired;
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Change, InodeId, Instant, Name, NodeKind};

use crate::CoreSettings;
use crate::core::{Inner, Table};
use crate::dialect;
use crate::doubts::Doubt;
use crate::listing_only::ListingOnly;
use crate::node::{Content, Marker, Node, Standing, object_ref};
use crate::seen::{Seen, SeenObject};

/// How much later than by this machine's clock a store may date what it took: it has the time that the
/// clocks of machines which are kept right differ by. Where they differ more, what was written here is
/// asked for once more than needed.
const CLOCKS_DIFFER_SECS: i64 = 1;

/// What a listing says of a name that was known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refreshed {
    /// Nothing that is new.
    Same,
    /// What was written here has a date now.
    Dated,
    /// Someone else has changed its content.
    Replaced,
}

impl Inner {
    /// A node for what was seen; nothing but what a listing tells is known of it.
    pub(crate) fn make(&self, ino: InodeId, kind: NodeKind, seen: &Seen) -> Node {
        if let (Seen::Object(object), NodeKind::File) = (seen, kind) {
            return Node::listed(ino, object.only(&self.settings));
        }
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
                    state.metadata.set(metadata);
                    state.standing = Standing::Own;
                }
            }
        }
        node
    }

    /// Takes over what was seen of a name that is in the bucket.
    pub(crate) fn refresh(&self, node: &Node, seen: &Seen, until: Instant) -> Refreshed {
        let object = match seen {
            Seen::Object(object) => object,
            Seen::Folder(marks) => {
                node.lock().marks = marks.boxed();
                return Refreshed::Same;
            }
            Seen::Pending(..) => return Refreshed::Same,
        };
        let is_still = node.look(
            |listed| listed.is_still(object.version.as_ref(), object.size, object.modified),
            |_| false,
        );
        if is_still {
            return Refreshed::Same;
        }
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
            self.end_doubt(node.ino, &mut state);
            match state.standing {
                Standing::Known(_) => {
                    state.standing = Standing::Known(match state.doubt {
                        Doubt::Due => self.now(),
                        Doubt::None | Doubt::Goes => until,
                    });
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
                let metadata = view.metadata().unwrap_or_default();
                let time = self.clock.wall();
                state.learn(dialect::read(&metadata), time, &self.settings);
                state.metadata.set(metadata);
                state.standing = Standing::Own;
            }
        }
        if let Err(error) = table.set_local(found.ino, Locality::Local, self.now()) {
            tracing::warn!(%error, "a pending name is gone");
        }
    }

    /// Names of a folder were found to have come or gone by others.
    pub(crate) fn found_names(&self, table: &Table, dir: InodeId) {
        if let Some(folder) = table.get(dir) {
            folder.payload.found_names(self.clock.wall());
            self.changes.send(Change::Attributes(dir));
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
    fn only(&self, settings: &CoreSettings) -> ListingOnly {
        let told = (self.size, self.modified);
        ListingOnly::new(&self.key, self.version.as_ref(), told, settings)
    }

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
