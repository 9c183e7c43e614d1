//! Between the bucket and the stage: a file is taken up when it is first changed, and put back when
//! all of it is in the bucket.
//!
//! Law: whoever changes an inode's key or content there holds the table's lock, then the node's.

use std::sync::Arc;

use cloudmount_inode::Locality;
use cloudmount_stage::{Base, RemoteBelief, StagedFile, Submit};
use cloudmount_store::{Key, Metadata, Version};
use cloudmount_vfs::{Error, ErrorKind, InodeId, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::dialect;
use crate::node::{Content, Marker, Node, Standing, State, object_ref};
use crate::recollection::as_told;

/// What becomes of the bytes of a file that is taken up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TakeUp {
    /// They stay.
    Keep,
    /// They go.
    Truncate,
}

/// Folders whose times wait to be written: beyond, they are written at once.
const TOUCHED_MAX: usize = 4096;

impl Inner {
    /// The staged file of `node`, made if there is none. Its attributes must be known.
    ///
    /// # Errors
    /// `NotFound` without a name; `IsDirectory`; `InvalidArgument` for a symlink; `NoSpace`, `Io`.
    pub(crate) fn take_up(&self, node: &Arc<Node>, how: TakeUp) -> Result<Arc<StagedFile>> {
        let mut table = self.table();
        let mut state = node.lock();
        self.take_up_locked(&mut table, node, &mut state, how)
    }

    pub(crate) fn take_up_locked(
        &self,
        table: &mut Table,
        node: &Arc<Node>,
        state: &mut State,
        how: TakeUp,
    ) -> Result<Arc<StagedFile>> {
        let object = match &state.content {
            Content::Staged(file) => {
                let file = Arc::clone(file);
                if how == TakeUp::Keep {
                    return Ok(file);
                }
                return self.empty(table, node, state, file);
            }
            Content::Object(object) => object.clone(),
            Content::Folder { .. } => return Err(ErrorKind::IsDirectory.into()),
            Content::Link { .. } => return Err(ErrorKind::InvalidArgument.into()),
        };
        let key = self.key(table, node)?.ok_or(ErrorKind::IsDirectory)?;
        let mut metadata = state.to_store(node.kind, self.settings.dialect)?;
        dialect::forget_content(&mut metadata);
        let there = Base {
            key,
            version: Version::new(Arc::clone(&object.version)),
            size: object.size,
        };
        let file = match how {
            TakeUp::Keep => {
                let key = there.key.clone();
                self.stage.create(&key, Some(there), metadata)?
            }
            TakeUp::Truncate => self.stage.create_truncated(there, metadata)?,
        };
        self.staged(table, node.ino, state, &file);
        Ok(file)
    }

    /// Cuts a staged file to nothing. What was closed of it and is not in the bucket yet is kept
    /// until what is written now is closed, too.
    fn empty(
        &self,
        table: &mut Table,
        node: &Arc<Node>,
        state: &mut State,
        file: Arc<StagedFile>,
    ) -> Result<Arc<StagedFile>> {
        let new = if state.is_unlinked {
            None
        } else {
            self.stage.supersede(&file, file.metadata())?
        };
        let Some(new) = new else {
            file.set_len(0)?;
            return Ok(file);
        };
        self.files.lock().remove(&file.id());
        self.staged(table, node.ino, state, &new);
        Ok(new)
    }

    /// Makes `file` the content of an inode with a name.
    pub(crate) fn staged(
        &self,
        table: &mut Table,
        ino: InodeId,
        state: &mut State,
        file: &Arc<StagedFile>,
    ) {
        if !matches!(state.content, Content::Link { .. }) {
            state.put_content(Content::Staged(Arc::clone(file)));
        }
        self.files.lock().insert(file.id(), ino);
        self.own(table, ino, state);
    }

    /// The name and the attributes exist here, and not yet in the bucket.
    pub(crate) fn own(&self, table: &mut Table, ino: InodeId, state: &mut State) {
        state.standing = Standing::Own;
        state.edits += 1;
        if let Err(error) = table.set_local(ino, Locality::Local, self.now()) {
            tracing::debug!(%error, "an inode without a name changed");
        }
    }

    /// Hands what was written to the queue, with the attributes as they are now.
    pub(crate) fn submit(&self, node: &Node, how: Submit) -> Result<()> {
        let (file, metadata) = {
            let state = node.lock();
            let Content::Staged(file) = &state.content else {
                return Ok(());
            };
            (
                Arc::clone(file),
                state.to_store(node.kind, self.settings.dialect)?,
            )
        };
        let metadata = (!file.has_metadata(&metadata)).then_some(metadata);
        self.stage.submit_as(&file, how, metadata)
    }

    /// Writes the attributes of `node` to where they belong.
    pub(crate) fn store_attributes(
        &self,
        table: &mut Table,
        node: &Node,
        state: &mut State,
    ) -> Result<()> {
        if state.is_unlinked || node.ino == InodeId::ROOT {
            return Ok(());
        }
        let metadata = state.to_store(node.kind, self.settings.dialect)?;
        let Some(key) = self.key(table, node)? else {
            return Ok(());
        };
        match &state.content {
            Content::Staged(file) => self.stage.set_file_metadata(file, metadata)?,
            Content::Object(object) => {
                let version = Version::new(Arc::clone(&object.version));
                self.stage.set_metadata(&key, metadata, version)?;
            }
            Content::Link {
                version: Some(version),
                ..
            } => self.stage.set_metadata(&key, metadata, version.clone())?,
            Content::Link { target, .. } => {
                self.store_link_attributes(&key, target.clone(), metadata)?;
            }
            Content::Folder { .. } => return self.put_marker(table, node, state, &key),
        }
        state.standing = Standing::Own;
        state.edits += 1;
        Ok(())
    }

    /// Of a symlink that is not in the bucket yet.
    fn store_link_attributes(
        &self,
        key: &Key,
        target: Option<bytes::Bytes>,
        metadata: Metadata,
    ) -> Result<()> {
        use cloudmount_stage::Desired;
        match self.stage.pending(key).map(|view| view.desired) {
            Some(Desired::Content(file)) => self.stage.set_file_metadata(&file, metadata),
            Some(Desired::Inline { bytes, .. }) => {
                self.stage
                    .put_inline(key, bytes, metadata, RemoteBelief::Unknown)
            }
            _ => {
                let target = target.ok_or_else(|| {
                    Error::new(ErrorKind::Busy, "a symlink that is just being stored")
                })?;
                self.stage
                    .put_inline(key, target, metadata, RemoteBelief::Unknown)
            }
        }
    }

    /// Wants the marker of a folder, with its attributes.
    pub(crate) fn put_marker(
        &self,
        table: &mut Table,
        node: &Node,
        state: &mut State,
        key: &Key,
    ) -> Result<()> {
        if !self.store.capabilities().folder_markers {
            // There is no place for it: it lives as long as the mount.
            self.own(table, node.ino, state);
            return Ok(());
        }
        let metadata = state.to_store(NodeKind::Directory, self.settings.dialect)?;
        let belief = RemoteBelief::Unknown;
        self.stage
            .put_inline(key, bytes::Bytes::new(), metadata, belief)?;
        state.content = Content::Folder {
            marker: Marker::There(None),
        };
        state.is_touched = false;
        self.touched.lock().remove(&node.ino);
        self.own(table, node.ino, state);
        Ok(())
    }

    /// An inode is about to lose its name: what its open handles need is kept.
    pub(crate) fn detach(
        &self,
        table: &mut Table,
        node: &Arc<Node>,
        key: &Key,
    ) -> Result<RemoteBelief> {
        let mut state = node.lock();
        if state.writers > 0 && matches!(state.content, Content::Object(_)) {
            self.take_up_locked(table, node, &mut state, TakeUp::Keep)?;
        }
        if state.handles > 0 && matches!(state.content, Content::Object(_)) {
            state.hold = Some(self.stage.hold(key));
        }
        Ok(state.belief())
    }

    /// It has lost its name.
    pub(crate) fn detached(&self, node: &Node) {
        let mut state = node.lock();
        state.is_unlinked = true;
        state.ctime = self.clock.wall();
        state.edits += 1;
        if state.handles == 0 {
            state.hold = None;
        }
        if let Content::Staged(file) = &state.content {
            self.files.lock().remove(&file.id());
        }
    }

    /// Reads a file from the bucket again, if all of it is there and nobody writes.
    pub(crate) fn settle_file(&self, table: &mut Table, node: &Arc<Node>) {
        let mut state = node.lock();
        if state.is_unlinked || state.writers > 0 {
            return;
        }
        let Content::Staged(file) = &state.content else {
            return;
        };
        let key = file.key();
        let Some(base) = file.base().filter(|base| base.key == key) else {
            return;
        };
        if !file.is_clean() || base.size != file.size() || self.stage.pending(&key).is_some() {
            return;
        }
        self.files.lock().remove(&file.id());
        let metadata = as_told(file.metadata());
        state.metadata.set(metadata);
        state.put_content(Content::Object(object_ref(&key, &base.version, base.size)));
        self.settled(table, node.ino, &mut state);
    }

    /// The bucket has the name and the attributes now.
    pub(crate) fn settled(&self, table: &mut Table, ino: InodeId, state: &mut State) {
        state.standing = Standing::Known(self.attributes_until());
        self.in_the_bucket(table, ino, state);
    }

    /// The bucket has the name now, whatever is known of its attributes.
    pub(crate) fn in_the_bucket(&self, table: &mut Table, ino: InodeId, state: &mut State) {
        (state.modified, state.taken) = (None, Some(self.clock.wall()));
        state.is_young = false;
        self.doubt_date(ino, state);
        state.edits += 1;
        let told = table
            .set_local(ino, Locality::Remote, self.now())
            .and_then(|()| table.validate(ino, self.names_until().present));
        if let Err(error) = told {
            tracing::debug!(%error, "an inode without a name is in the bucket");
        }
    }

    /// A name in the folder came or went.
    pub(crate) fn touch(&self, table: &mut Table, folder: &Arc<Node>) {
        let now = self.clock.wall();
        {
            let mut state = folder.lock();
            (state.mtime, state.ctime) = (now, now);
            if !state.has_marker() {
                return;
            }
            state.is_touched = true;
        }
        let is_full = {
            let mut touched = self.touched.lock();
            touched.insert(folder.ino);
            touched.len() > TOUCHED_MAX
        };
        if is_full {
            self.store_times(table);
        }
    }

    /// Writes the times of all folders that changed.
    pub(crate) fn store_times(&self, table: &mut Table) {
        let touched = std::mem::take(&mut *self.touched.lock());
        for ino in touched {
            let Some(found) = table.get(ino) else {
                continue;
            };
            let Ok(Some(key)) = self.key(table, &found.payload) else {
                continue;
            };
            let mut state = found.payload.lock();
            if !state.is_touched || !state.has_marker() || state.standing == Standing::Listed {
                continue;
            }
            if let Err(error) = self.put_marker(table, &found.payload, &mut state, &key) {
                tracing::warn!(%error, %key, "the times of a folder are not kept");
            }
        }
    }

    /// A folder without a marker would vanish with its last entry: it gets one.
    pub(crate) fn keep_folder(&self, table: &mut Table, folder: &Arc<Node>) -> Result<()> {
        if folder.ino == InodeId::ROOT || table.has_children(folder.ino) {
            return Ok(());
        }
        let Some(key) = self.key(table, folder)? else {
            return Ok(());
        };
        let mut state = folder.lock();
        if state.has_marker() {
            return Ok(());
        }
        self.put_marker(table, folder, &mut state, &key)
    }
}

impl State {
    /// What is believed to be in the bucket for this inode.
    pub(crate) fn belief(&self) -> RemoteBelief {
        match &self.content {
            Content::Object(object) if object.version.is_empty() => RemoteBelief::Unknown,
            Content::Object(object) => {
                RemoteBelief::Present(Version::new(Arc::clone(&object.version)))
            }
            Content::Link {
                version: Some(version),
                ..
            } => RemoteBelief::Present(version.clone()),
            Content::Staged(file) => match file.base() {
                Some(base) if base.key == file.key() => RemoteBelief::Present(base.version),
                _ => RemoteBelief::Unknown,
            },
            Content::Folder {
                marker: Marker::There(Some(version)),
            } => RemoteBelief::Present(version.clone()),
            Content::Folder {
                marker: Marker::Missing,
            } => RemoteBelief::Absent,
            Content::Link { .. } | Content::Folder { .. } => RemoteBelief::Unknown,
        }
    }

    pub(crate) const fn has_marker(&self) -> bool {
        matches!(
            self.content,
            Content::Folder {
                marker: Marker::There(_) | Marker::Unknown
            }
        )
    }
}
