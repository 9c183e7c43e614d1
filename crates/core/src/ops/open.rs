//! Open files: opening, flushing, closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloudmount_cache::ObjectRef;
use cloudmount_stage::{PendingChild, Phase, Submit};
use cloudmount_store::Key;
use cloudmount_vfs::{
    Access, CachePolicy, ContentNumber, DirHandle, Error, ErrorKind, FileHandle, InodeId,
    LocalFile, NodeKind, OpenFlags, Opened, OpenedDir, Result,
};
use futures::future::{Either, select};

use crate::content::TakeUp;
use crate::core::{Inner, Table};
use crate::handles::OpenFile;
use crate::node::{Content, Node};
use crate::walk::Look;
use crate::{Durable, PageCache, WriteCache};

/// Whether closing has something to hand to the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dirt {
    /// Nothing was changed yet.
    None,
    /// The file is new or was cut: it is to be stored even if nothing is written.
    ToSubmit,
}

impl Inner {
    pub(crate) async fn open(&self, ino: InodeId, flags: OpenFlags) -> Result<Opened> {
        match self.node(ino)?.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(ErrorKind::IsDirectory.into()),
            NodeKind::Symlink => return Err(ErrorKind::InvalidArgument.into()),
        }
        if flags.access.writes() || flags.truncate {
            self.writable()?;
        }
        let node = if flags.access == Access::Read && !flags.truncate {
            self.known_to_read(ino).await?
        } else {
            self.known_node(ino).await?
        };
        let mut dirt = Dirt::None;
        if flags.truncate {
            let now = self.clock.wall();
            self.take_up(&node, TakeUp::Truncate)?;
            let mut state = node.lock();
            (state.mtime, state.ctime) = (now, now);
            dirt = Dirt::ToSubmit;
        }
        let found = self.local_file_of(&node).await;
        self.open_locked(&mut self.table(), &node, (flags, dirt), found)
    }

    /// The file on this machine with all of what the node is now, where readers may be told of it.
    async fn local_file_of(&self, node: &Node) -> Option<(ObjectRef, LocalFile)> {
        let disk = self.local_files.as_ref()?;
        let object = match &node.lock().content {
            Content::Object(object) => object.clone(),
            _ => return None,
        };
        let file = disk.local_file(&object).await?;
        Some((object, file))
    }

    /// The file on this machine that a handle may be read from in its place.
    pub(crate) fn local_file(&self, ino: InodeId, handle: FileHandle) -> Option<LocalFile> {
        // Every open asks this, so where there are none no handle is looked up.
        self.local_files.as_ref()?;
        let open = self.open_file(ino, handle).ok().flatten()?;
        open.local.clone()
    }

    /// The node with its attributes known, for somebody who is about to read it.
    async fn known_to_read(&self, ino: InodeId) -> Result<Arc<Node>> {
        self.looked(ino, Look::Content);
        let inode = self.table().get(ino).ok_or(ErrorKind::NotFound)?;
        if self.is_told(&inode.payload) {
            return Ok(inode.payload);
        }
        let known = self.known_to_show(inode, Look::Content).await?;
        if known.ino == ino {
            Ok(known.payload)
        } else {
            Err(ErrorKind::Stale.into())
        }
    }

    /// Opens a file whose attributes are known, with what was `found` of it on this machine.
    pub(crate) fn open_locked(
        &self,
        table: &mut Table,
        node: &Arc<Node>,
        (flags, dirt): (OpenFlags, Dirt),
        found: Option<(ObjectRef, LocalFile)>,
    ) -> Result<Opened> {
        table.pin(node.ino)?;
        let is_direct = flags.access == Access::Read && self.reads_past_cache(table, node);
        let mut state = node.lock();
        let changes = state.changes();
        let cache = if self.settings.page_cache == PageCache::Bypassed || is_direct {
            CachePolicy::Direct
        } else if state.handles == 0 && self.bypasses(flags, dirt) {
            // Who opens it meanwhile must not cache what is being written, and who opens it then
            // must not see what was cached before.
            state.seen_changes = None;
            CachePolicy::Direct
        } else if state.seen_changes == Some(changes) {
            CachePolicy::Keep
        } else if state.seen_changes.is_none() && state.handles > 0 {
            // It is being written past the page cache.
            CachePolicy::Direct
        } else {
            state.seen_changes = Some(changes);
            CachePolicy::Refresh
        };
        state.was_read |= flags.access.reads();
        state.handles += 1;
        state.writers += u32::from(flags.access.writes());
        // It may have been replaced since that was looked for. Past the page cache, every read is to come here.
        let is_of_it =
            |object: &ObjectRef| matches!(&state.content, Content::Object(now) if now == object);
        let local = found
            .filter(|(object, _)| cache != CachePolicy::Direct && is_of_it(object))
            .map(|(_, file)| file);
        let handle = self.handles.open(OpenFile {
            node: Arc::clone(node),
            flags,
            reader: self.cache.reader(),
            changes,
            local,
            is_dirty: AtomicBool::new(dirt == Dirt::ToSubmit),
        });
        Ok(Opened {
            handle,
            cache,
            content: ContentNumber(changes),
        })
    }

    /// Whether a file is written past the page cache: one that is new or was cut to nothing, through
    /// a handle that cannot read or map it.
    fn bypasses(&self, flags: OpenFlags, dirt: Dirt) -> bool {
        self.settings.write_cache == WriteCache::Bypass
            && flags.access == Access::Write
            && dirt == Dirt::ToSubmit
    }

    /// Whether the settings say that who reads a file does so past the page cache.
    fn reads_past_cache(&self, table: &Table, node: &Node) -> bool {
        let direct = &self.settings.direct_io;
        if direct.is_off() {
            return false;
        }
        let changed = {
            let state = node.lock();
            (state.foreign_changes > 0).then_some(state.modified)
        };
        // What has no name is meant by none.
        let key = self.key(table, node).ok().flatten();
        let means = |key: Key| direct.means(key.as_str(), changed.flatten(), self.clock.wall());
        key.is_some_and(means)
    }

    /// The open file of that handle; `None` if it was released: then the inode alone counts.
    pub(crate) fn open_file(
        &self,
        ino: InodeId,
        handle: FileHandle,
    ) -> Result<Option<Arc<OpenFile>>> {
        match self.handles.get(handle) {
            Some(open) if open.node.ino == ino => Ok(Some(open)),
            None if self.handles.was_given(handle) => Ok(None),
            Some(_) | None => Err(ErrorKind::BadHandle.into()),
        }
    }

    /// Whether the handle may be written through.
    pub(crate) fn may_write(
        &self,
        ino: InodeId,
        handle: FileHandle,
    ) -> Result<Option<Arc<OpenFile>>> {
        let open = self.open_file(ino, handle)?;
        if open
            .as_ref()
            .is_some_and(|open| !open.flags.access.writes())
        {
            return Err(ErrorKind::BadHandle.into());
        }
        Ok(open)
    }

    pub(crate) async fn flush(&self, ino: InodeId, handle: FileHandle) -> Result<()> {
        let open = self.open_file(ino, handle)?;
        let node = self.node(ino)?;
        let is_dirty = (open.as_ref()).is_none_or(|open| open.is_dirty.load(Ordering::Acquire));
        let whole = if is_dirty {
            self.make_whole(&node, open.as_deref()).await
        } else {
            Ok(())
        };
        // What cannot be made whole is handed over too: then the status names it.
        self.flush_handle(&node, open.as_deref())?;
        whole?;
        if self.settings.close == Durable::Remote
            && open.is_none_or(|open| open.flags.access.writes())
        {
            self.wait_for_bucket(&node).await?;
        }
        Ok(())
    }

    /// Submits what was written through the handle, or, without one, whatever there is.
    fn flush_handle(&self, node: &Node, open: Option<&OpenFile>) -> Result<()> {
        let is_dirty = open.is_none_or(|open| open.is_dirty.swap(false, Ordering::AcqRel));
        if !is_dirty {
            return Ok(());
        }
        let submitted = self.submit(node, Submit::Closed);
        if let (Err(_), Some(open)) = (&submitted, open) {
            open.is_dirty.store(true, Ordering::Release);
        }
        submitted
    }

    pub(crate) async fn fsync(&self, ino: InodeId, handle: FileHandle) -> Result<()> {
        let open = self.open_file(ino, handle)?;
        let node = self.node(ino)?;
        let is_dirty = open.is_none_or(|open| open.is_dirty.load(Ordering::Acquire));
        if self.settings.fsync == Durable::Remote {
            if is_dirty {
                self.submit(&node, Submit::Closed)?;
            }
            return self.wait_for_bucket(&node).await;
        }
        if is_dirty {
            self.submit(&node, Submit::Synced)?;
        }
        let staged = match &node.lock().content {
            Content::Staged(file) => Some(Arc::clone(file)),
            _ => None,
        };
        match staged {
            Some(file) => self.stage.sync(&file).await,
            None => self.stage.sync_journal().await,
        }
    }

    /// Waits until the bucket has the inode as it is now.
    pub(crate) async fn wait_for_bucket(&self, node: &Node) -> Result<()> {
        let key = {
            let table = self.table();
            if !table.is_linked(node.ino) {
                return Ok(());
            }
            self.key(&table, node)?
        };
        match key {
            Some(key) => self.wait_for_keys(&[key]).await,
            None => Ok(()),
        }
    }

    /// Waits until the bucket has what is wanted under the keys, with a limit.
    pub(crate) async fn wait_for_keys(&self, keys: &[Key]) -> Result<()> {
        for key in keys {
            self.stage.flush_now(key);
        }
        let all = futures::future::try_join_all(keys.iter().map(|key| self.stage.wait(key)));
        let limit = self.clock.sleep(self.settings.remote_wait);
        match select(std::pin::pin!(all), limit).await {
            Either::Left((result, _)) => result.map(drop),
            Either::Right(((), _)) => Err(Error::new(
                ErrorKind::TimedOut,
                "waiting for the bucket; the upload goes on in the background",
            )),
        }
    }

    pub(crate) fn release(&self, ino: InodeId, handle: FileHandle) -> Result<()> {
        let open = self
            .handles
            .close(handle, ino)
            .ok_or(ErrorKind::BadHandle)?;
        let flushed = self.flush_handle(&open.node, Some(&open));
        let mut table = self.table();
        let freed = {
            let mut state = open.node.lock();
            state.handles = state.handles.saturating_sub(1);
            if open.flags.access.writes() {
                state.writers = state.writers.saturating_sub(1);
            }
            if state.handles == 0 {
                state.hold.take()
            } else {
                None
            }
        };
        self.settle_file(&mut table, &open.node);
        let gone = table.unpin(ino);
        drop(table);
        // Outside the locks: both may have work to do when they go.
        drop((freed, gone));
        flushed
    }

    pub(crate) fn opendir(&self, ino: InodeId) -> Result<OpenedDir> {
        let mut table = self.table();
        self.folder(&table, ino)?;
        table.pin(ino)?;
        let handle = self.handles.open_dir(ino);
        Ok(OpenedDir { handle })
    }

    pub(crate) fn releasedir(&self, ino: InodeId, handle: DirHandle) -> Result<()> {
        if !self.handles.close_dir(handle, ino) {
            return Err(ErrorKind::BadHandle.into());
        }
        let gone = self.table().unpin(ino);
        drop(gone);
        Ok(())
    }

    pub(crate) async fn fsyncdir(&self, ino: InodeId) -> Result<()> {
        let prefix = {
            let table = self.table();
            self.folder(&table, ino)?;
            if !table.is_linked(ino) {
                return Ok(());
            }
            self.prefix(&table, ino)?
        };
        if self.settings.fsync == Durable::Local {
            return self.stage.sync_journal().await;
        }
        let keys = self.submitted_in(&prefix);
        for key in &keys {
            // The removal of a name waits for the copy under the new one, and that for who writes.
            for file in self.stage.waited_for(key) {
                self.hand_over(&file)?;
                self.stage.flush_now(&file.key());
            }
        }
        self.wait_for_keys(&keys).await
    }

    /// What waits directly in a folder: its own marker, and the names in it, removed ones too. Not
    /// what is open and was never closed.
    fn submitted_in(&self, prefix: &str) -> Vec<Key> {
        let marker = |text: String| {
            let key = Key::new(text).ok()?;
            self.stage.pending(&key).map(|view| (key, view.phase))
        };
        let children = self.stage.pending_children(prefix).into_iter();
        let children = children.filter_map(|child| match child {
            PendingChild::Key(key, view) => Some((key, view.phase)),
            PendingChild::Folder { part, .. } => marker(format!("{prefix}{part}/")),
        });
        (marker(prefix.to_owned()).into_iter().chain(children))
            .filter(|(_, phase)| *phase != Phase::Open)
            .map(|(key, _)| key)
            .collect()
    }
}
