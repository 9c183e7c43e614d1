//! Renames: at once here, in the background in the bucket.
//!
//! Law: the stage is told first, in one record; what it refuses stays as it is. The inode follows
//! its name.

use std::sync::Arc;

use cloudmount_inode::TableError;
use cloudmount_stage::{Base, Desired, RemoteBelief, Scope, StagedFile};
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{Error, ErrorKind, InodeId, Name, NodeKind, RenameMode, Result};

use super::tree::Tree;
use crate::core::{Inner, Table};
use crate::know::Inode;
use crate::list::{TRIES, restless};
use crate::node::{Content, Node, State};
use crate::ttl::Wanted;

/// A directory and a name in it.
pub(crate) type Place<'a> = (InodeId, &'a Name);

/// Whether a step was done, or what it was based on has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Done,
    Again,
}

/// What a rename is about, under the table's lock.
pub(crate) struct Move {
    pub(crate) source: Inode,
    pub(crate) target: Option<Inode>,
    pub(crate) from: Key,
    pub(crate) to: Key,
}

impl Inner {
    pub(crate) async fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        mode: RenameMode,
    ) -> Result<()> {
        self.writable()?;
        if mode == RenameMode::Exchange {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "no object store can exchange two keys",
            ));
        }
        for _ in 0..TRIES {
            let source = self.find(from.0, from.1).await?;
            let target = self.find_maybe(to.0, to.1).await?;
            let folder = target
                .as_ref()
                .filter(|target| target.kind == NodeKind::Directory);
            if let Some(target) = folder {
                self.ensure_listed(target.ino, Wanted::Names).await?;
            }
            if let Err(error) = self.table().check_rename(from, to, mode) {
                match error {
                    TableError::Cold(_) => continue,
                    error => return Err(error.into()),
                }
            }
            if let Some(target) = &target {
                self.recall_for_readers(&target.payload).await;
            }
            let outcome = match source.kind {
                NodeKind::Directory => {
                    let _quiet = self.no_publishing().await;
                    let prefix = self.prefix(&self.table(), source.ino)?;
                    self.recall_all(&Scope::below(&prefix)).await?;
                    let tree = self.ask_tree(&source).await?;
                    self.move_folder(from, to, mode, &source, tree).await?
                }
                NodeKind::Symlink => {
                    self.target(&source.payload).await?;
                    self.move_file(from, to, mode, &source)?
                }
                NodeKind::File => {
                    // The upload that alone has a part of it is bound to the former name.
                    let key = self.key(&self.table(), &source.payload)?;
                    if let Some(key) = key {
                        self.recall_all(&Scope::key(key)).await?;
                    }
                    self.move_file(from, to, mode, &source)?
                }
            };
            if outcome == Outcome::Done {
                return Ok(());
            }
        }
        Err(restless("renaming"))
    }

    /// The two ends as they are now; `None` if they are not what was looked up.
    pub(crate) fn begin_move(
        &self,
        table: &Table,
        from: Place<'_>,
        to: Place<'_>,
        mode: RenameMode,
        source: &Inode,
    ) -> Result<Option<Move>> {
        match table.check_rename(from, to, mode) {
            Ok(()) => {}
            Err(TableError::Cold(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(found) = table
            .peek(from.0, from.1)
            .filter(|found| found.ino == source.ino)
        else {
            return Ok(None);
        };
        self.check_new_name(table, to.0, to.1, source.kind)?;
        Ok(Some(Move {
            source: found,
            target: table.peek(to.0, to.1),
            from: self.child_key(table, from.0, from.1, source.kind)?,
            to: self.child_key(table, to.0, to.1, source.kind)?,
        }))
    }

    fn move_file(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        mode: RenameMode,
        source: &Inode,
    ) -> Result<Outcome> {
        let mut table = self.table();
        let Some(change) = self.begin_move(&table, from, to, mode, source)? else {
            return Ok(Outcome::Again);
        };
        if (change.target.as_ref()).is_some_and(|target| target.ino == source.ino) {
            return Ok(Outcome::Done);
        }
        let node = Arc::clone(&change.source.payload);
        if matches!(&node.lock().content, Content::Staged(file) if file.is_away()) {
            return Ok(Outcome::Again);
        }
        let belief = match &change.target {
            Some(target) => self.detach(&mut table, &target.payload, &change.to)?,
            None => RemoteBelief::Absent,
        };
        let file = {
            let state = node.lock();
            self.move_content(&node, &state, &change, belief)?
        };
        table.rename(from, to, mode)?;
        {
            let mut state = node.lock();
            state.ctime = self.clock.wall();
            if let Content::Link { version, .. } = &mut state.content {
                *version = None;
            }
            match file {
                Some(file) => self.staged(&mut table, node.ino, &mut state, &file),
                None => self.own(&mut table, node.ino, &mut state),
            }
        }
        self.end_move(&mut table, from, to, &change);
        Ok(Outcome::Done)
    }

    /// Tells the stage; gives the staged file that the object became.
    fn move_content(
        &self,
        node: &Node,
        state: &State,
        change: &Move,
        belief: RemoteBelief,
    ) -> Result<Option<Arc<StagedFile>>> {
        let (from, to) = (&change.from, &change.to);
        let base = match &state.content {
            Content::Folder { .. } => return Err(ErrorKind::IsDirectory.into()),
            Content::Staged(_) => {
                self.stage.rename(from, to, belief)?;
                return Ok(None);
            }
            Content::Object(object) => Base {
                key: from.clone(),
                version: Version::new(Arc::clone(&object.version)),
                size: object.size,
            },
            Content::Link {
                target,
                version,
                size,
            } => match (self.stage.pending(from).map(|view| view.desired), version) {
                (Some(Desired::Content(_) | Desired::Inline { .. }), _) => {
                    self.stage.rename(from, to, belief)?;
                    return Ok(None);
                }
                (_, Some(version)) => Base {
                    key: from.clone(),
                    version: version.clone(),
                    size: *size,
                },
                (_, None) => {
                    // It was stored just now, and the event is on its way.
                    let target = target.clone().ok_or(ErrorKind::Busy)?;
                    let metadata = state.to_store(node.kind, self.settings.dialect)?;
                    self.stage.put_inline(to, target, metadata, belief)?;
                    self.stage.remove(from, RemoteBelief::Unknown)?;
                    return Ok(None);
                }
            },
        };
        let metadata = state.to_store(node.kind, self.settings.dialect)?;
        self.stage
            .rename_object(base, to, belief, metadata)
            .map(Some)
    }

    /// What follows when the name has moved.
    pub(crate) fn end_move(
        &self,
        table: &mut Table,
        from: Place<'_>,
        to: Place<'_>,
        change: &Move,
    ) {
        if let Some(target) = &change.target {
            self.detached(&target.payload);
            self.touched.lock().remove(&target.ino);
        }
        self.confirm_if_done(table, &change.from);
        for parent in [from.0, to.0] {
            let Some(folder) = table.get(parent) else {
                continue;
            };
            self.touch(table, &folder.payload);
            if let Err(error) = self.keep_folder(table, &folder.payload) {
                tracing::warn!(%error, "a folder that lost its last entry has no marker");
            }
        }
    }

    async fn move_folder(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        mode: RenameMode,
        source: &Inode,
        mut tree: Tree,
    ) -> Result<Outcome> {
        for _ in 0..TRIES {
            let missing = {
                let mut table = self.table();
                let Some(change) = self.begin_move(&table, from, to, mode, source)? else {
                    return Ok(Outcome::Again);
                };
                if change.from.as_str() != tree.prefix {
                    return Ok(Outcome::Again);
                }
                if (change.target.as_ref()).is_some_and(|target| target.ino == source.ino) {
                    return Ok(Outcome::Done);
                }
                match self.tree_items(&table, &tree, &change)? {
                    Ok(items) => {
                        self.apply_tree(&mut table, (from, to, mode), &change, items)?;
                        return Ok(Outcome::Done);
                    }
                    Err(missing) => missing,
                }
            };
            self.ask_objects(&mut tree, missing).await?;
        }
        Err(restless("renaming a folder"))
    }
}
