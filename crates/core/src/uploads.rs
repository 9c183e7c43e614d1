//! What a person does about uploads: hands over what is open, gives up what waits.
//!
//! Law: what is given up is changed here under the table's lock, together with the stage: at no
//! moment does a name lead to what nobody keeps any more.

use std::sync::Arc;

use cloudmount_inode::{Expect, Locality};
use cloudmount_stage::{
    Desired, Dropped, FileId, Leftover, RemoteBelief, Scope, StagedFile, Submit,
};
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Change, Error, ErrorKind, InodeId, Name, NodeKind, Result};

use crate::core::{Core, Inner, Table};
use crate::keys::to_key;
use crate::know::Inode;
use crate::list::{TRIES, restless};
use crate::naming::{self, Part, Role};
use crate::node::{Content, Marker, Node, Standing, object_ref};

impl Core {
    /// What is meant by a path below the mount, with `/` between names: the file of that name, and
    /// as a folder all below it. It need not be there: what is to be removed has a scope, too. An
    /// empty path is everything.
    ///
    /// # Errors
    /// `IllegalName`, `NameTooLong` if a part of it is no name; `NotFound` for the short form of a
    /// long name that no listing has shown.
    pub fn scope(&self, path: &str) -> Result<Scope> {
        let inner = &self.inner;
        let names = naming::names_of(path)?;
        let parts = (names.iter())
            .map(|name| naming::part_of(name, &inner.long))
            .collect::<Result<Vec<Part>>>()?;
        let texts: Vec<&str> = parts.iter().map(|part| &*part.text).collect();
        let text = texts.join("/");
        let is_beside = (parts.last()).is_some_and(|part| part.role == Role::BesideFolder);
        Ok(match inner.kind_at(&names) {
            Some(NodeKind::Directory) if !names.is_empty() => Scope::below(&format!("{text}/")),
            Some(NodeKind::File | NodeKind::Symlink) => Scope::key(to_key(text)?),
            _ if is_beside => Scope::key(to_key(text)?),
            _ => Scope::path(&text),
        })
    }

    /// Hands all of `scope` to the bucket at once: also what is being written, as it is now, as
    /// `fsync` would. Gives the keys of the files that are still open then.
    ///
    /// # Errors
    /// `NoSpace`, `Io` of the staging disk.
    pub fn flush_uploads(&self, scope: &Scope) -> Result<Vec<Key>> {
        let inner = &self.inner;
        if scope.is_all() {
            self.settle();
        }
        let mut open = Vec::new();
        for file in inner.stage.open_files(scope) {
            inner.hand_over(&file)?;
            open.push(file.key());
        }
        inner.stage.hurry(scope);
        Ok(open)
    }

    /// Gives up what waits for the bucket in any of `scopes`: then this mount shows what the bucket
    /// has. What was staged is set aside, or deleted. Files that are open for reading keep what they
    /// read, or are stale.
    ///
    /// # Errors
    /// `NotFound`: nothing waits there. `Busy`: one of the files is open for writing, its upload
    /// does not end, or it is the only copy of something. `NoSpace`, `Io` of the staging disk. Then
    /// nothing is given up.
    pub async fn drop_uploads(&self, scopes: &[Scope], leftover: Leftover) -> Result<Vec<Dropped>> {
        self.inner.give_up(scopes, leftover).await
    }
}

impl Inner {
    async fn give_up(&self, scopes: &[Scope], leftover: Leftover) -> Result<Vec<Dropped>> {
        for _ in 0..TRIES {
            let keys = self.pending_in(scopes);
            if keys.is_empty() {
                return Err(Error::new(ErrorKind::NotFound, "nothing waits there"));
            }
            self.check_no_writer(&self.table(), &keys)?;
            let plan = self.stage.plan_drop(&keys, leftover).await?;
            let dropped = {
                let mut table = self.table();
                let planned: Vec<Key> = plan.keys().cloned().collect();
                self.check_no_writer(&table, &planned)?;
                let dropped = self.stage.drop_planned(plan)?;
                // What is below a folder goes before it.
                for one in dropped.iter().flatten().rev() {
                    self.dropped(&mut table, one);
                }
                dropped
            };
            if let Some(dropped) = dropped {
                self.stage.sync_journal().await?;
                return Ok(dropped);
            }
        }
        Err(restless("giving up what waits"))
    }

    /// Sets aside what is left of a file whose rest is lost: theirs is shown under the name.
    pub(crate) async fn set_aside_rest(&self, key: Key) {
        let scope = Scope::key(key.clone());
        match self.give_up(&[scope], Leftover::SetAsideInPart).await {
            Ok(dropped) if dropped.is_empty() => {
                tracing::debug!(%key, "it was written anew, and lacks nothing any more");
            }
            Ok(dropped) if dropped.iter().all(|one| one.aside.is_none()) => {
                tracing::error!(%key, "a rename is given up: someone else removed its source before it was copied");
            }
            Ok(_) => tracing::error!(%key, "what was written is set aside: the rest of it is lost"),
            // It is told again after the next try.
            Err(error) => tracing::warn!(%key, %error, "what was written cannot be set aside yet"),
        }
    }

    /// What is at the end of a path, as far as it is known.
    fn kind_at(&self, names: &[Name]) -> Option<NodeKind> {
        let table = self.table();
        let mut at = (InodeId::ROOT, NodeKind::Directory);
        for name in names {
            let found = table.peek(at.0, name)?;
            at = (found.ino, found.kind);
        }
        Some(at.1)
    }

    /// Submits a file as it is now, with its attributes, if it was not.
    pub(crate) fn hand_over(&self, file: &Arc<StagedFile>) -> Result<()> {
        let found = self.by_file(&self.table(), file.id());
        match found {
            Some(inode) => self.submit(&inode.payload, Submit::Synced),
            None => self.stage.submit(file, Submit::Synced),
        }
    }

    fn pending_in(&self, scopes: &[Scope]) -> Vec<Key> {
        let mut keys: Vec<Key> = scopes
            .iter()
            .flat_map(|scope| self.stage.keys_of(scope))
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn check_no_writer(&self, table: &Table, keys: &[Key]) -> Result<()> {
        for key in keys {
            let Some(Desired::Content(file)) = self.stage.pending(key).map(|view| view.desired)
            else {
                continue;
            };
            let inode = self.by_file(table, file.id());
            if inode.is_some_and(|inode| inode.payload.lock().writers > 0) {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("{key} is open for writing"),
                ));
            }
        }
        Ok(())
    }

    /// A key is as the bucket has it, whatever that is.
    fn dropped(&self, table: &mut Table, dropped: &Dropped) {
        let key = &dropped.key;
        if dropped.kind == "removal" {
            self.reveal(table, key);
            return;
        }
        let by_file = |file: FileId| self.by_file(table, file);
        let found = dropped.file.and_then(by_file);
        if let Some(file) = dropped.file {
            self.files.lock().remove(&file);
        }
        let Some(inode) = found.or_else(|| self.locate(table, key)) else {
            self.reveal(table, key);
            return;
        };
        let node = &inode.payload;
        let is_object = matches!(node.lock().content, Content::Object(_));
        if dropped.kind == "metadata" || is_object {
            self.unlearn(table, node, None);
        } else if let RemoteBelief::Present(_) = dropped.remote {
            self.unlearn(table, node, Some(key));
        } else {
            self.withdraw(table, key, &inode);
        }
    }

    /// The bucket has an object under the name: its attributes, and with `key` its content, are to
    /// be asked for.
    fn unlearn(&self, table: &mut Table, node: &Arc<Node>, key: Option<&Key>) {
        let change = {
            let mut state = node.lock();
            state.standing = Standing::Listed;
            state.modified = None;
            state.is_touched = false;
            state.edits += 1;
            match key {
                Some(key) => {
                    state.put_content(unknown(node.kind, key));
                    state.foreign_changes += 1;
                    Change::Content(node.ino)
                }
                None => Change::Attributes(node.ino),
            }
        };
        self.leave_to_bucket(table, node.ino);
        self.changes.send(change);
    }

    /// The bucket has nothing under the name, as far as is known. Who has the file open keeps it.
    fn withdraw(&self, table: &mut Table, key: &Key, inode: &Inode) {
        let node = &inode.payload;
        let Some((parent, name)) = table.parent_of(node.ino) else {
            return;
        };
        let expect = match node.kind {
            NodeKind::Directory => Expect::Directory,
            NodeKind::File | NodeKind::Symlink => Expect::NotDirectory,
        };
        if table.has_children(node.ino) || table.remove(parent, &name, expect).is_err() {
            // A folder that is there for what is below it.
            self.unlearn(table, node, Some(key));
            return;
        }
        self.detached(node);
        self.touched.lock().remove(&node.ino);
        self.changes.send(Change::Removed {
            parent,
            child: node.ino,
            name: name.clone(),
        });
        self.doubt(table, parent, name);
    }

    /// A name that was removed here may be there again, and so may the folders on the way to it.
    fn reveal(&self, table: &mut Table, key: &Key) {
        let text = key.as_str();
        let text = text.strip_suffix('/').unwrap_or(text);
        let folders = text.rsplit_once('/').map(|(folders, _)| folders);
        let mut parent = InodeId::ROOT;
        for part in folders.into_iter().flat_map(|folders| folders.split('/')) {
            let name = self.long.show(&Part::plain(part));
            match table.peek(parent, &name) {
                Some(found) if found.kind == NodeKind::Directory => parent = found.ino,
                _ => return self.doubt(table, parent, name),
            }
        }
        for place in self.places(table, key) {
            self.doubt(table, place.parent, place.name);
        }
    }

    /// Nothing is known of the name any more.
    fn doubt(&self, table: &mut Table, parent: InodeId, name: Name) {
        table.cancel_removed(parent, &name);
        table.expire(parent, &name);
        table.expire_listing(parent);
        self.changes.send(Change::Entry { parent, name });
    }

    fn leave_to_bucket(&self, table: &mut Table, ino: InodeId) {
        if let Err(error) = table.set_local(ino, Locality::Remote, self.now()) {
            tracing::debug!(%error, "an inode without a name was given up");
        }
        if let Some((parent, name)) = table.parent_of(ino) {
            self.doubt(table, parent, name);
        }
    }
}

/// The content of what nothing is known about.
fn unknown(kind: NodeKind, key: &Key) -> Content {
    match kind {
        NodeKind::Directory => Content::Folder {
            marker: Marker::Unknown,
        },
        NodeKind::Symlink => Content::Link {
            target: None,
            version: None,
            size: 0,
        },
        NodeKind::File => Content::Object(object_ref(key, &Version::new(""), 0)),
    }
}
