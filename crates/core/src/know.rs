//! Learning an inode's attributes from its object.
//!
//! Law: an answer counts only if nothing was changed here since it was asked for.

use std::sync::Arc;

use cloudmount_cache::WholeFetch;
use cloudmount_inode::{Answer, Applied, Found, Locality, Lookup};
use cloudmount_stage::Desired;
use cloudmount_store::{Key, Metadata, ObjectMeta};
use cloudmount_vfs::{Change, ErrorKind, InodeId, Instant, NodeKind, Result, Timestamp};
use futures::StreamExt;

use crate::core::{Inner, Table};
use crate::dialect;
use crate::list::{TRIES, restless};
use crate::markers::{Marks, OtherMarker, says_folder};
use crate::node::{Content, Marker, Node, Standing, State, object_ref};
use crate::seen::{Seen, SeenObject};
use crate::walk::Look;

/// Most bytes of a symlink's target: Linux's `PATH_MAX` less the final NUL.
pub(crate) const TARGET_BYTES_MAX: u64 = 4095;

/// An inode, as the table hands it out.
pub(crate) type Inode = Found<Arc<Node>>;

/// What to do about an inode's attributes.
enum Ask {
    /// Nothing: they are known.
    Nothing,
    /// Ask for this object.
    Head { key: Key, edits: u64 },
}

/// What an object is, by its metadata.
pub(crate) fn kind_of(meta: &ObjectMeta) -> NodeKind {
    if says_folder(meta) {
        return NodeKind::Directory;
    }
    match dialect::read(&meta.metadata).kind {
        Some(NodeKind::Symlink) if (1..=TARGET_BYTES_MAX).contains(&meta.size) => NodeKind::Symlink,
        _ => NodeKind::File,
    }
}

impl Inner {
    /// The inode with all its attributes known. It may be another one, if the object turns out to
    /// be of another kind.
    ///
    /// # Errors
    /// `NotFound` if the object is gone; errors of the store.
    pub(crate) async fn known(&self, inode: Inode) -> Result<Inode> {
        self.known_by(inode, Look::Attributes, &mut None).await
    }

    /// The same. Where somebody may want its content next, and that is small, one request brings both: it is
    /// given to `fetch`.
    ///
    /// # Errors
    /// As [`known`](Self::known).
    pub(crate) async fn known_by(
        &self,
        mut inode: Inode,
        want: Look,
        fetch: &mut Option<WholeFetch>,
    ) -> Result<Inode> {
        inode = self.recollect_of(&inode).await.unwrap_or(inode);
        self.confirm(&inode).await?;
        for _ in 0..TRIES {
            let mark = self.stage.mark();
            let (key, edits) = match self.what_to_ask(&inode)? {
                Ask::Nothing => return Ok(inode),
                Ask::Head { key, edits } => (key, edits),
            };
            let read = match want {
                Look::Content => self.ask_by_reading(&inode.payload, fetch).await?,
                Look::Attributes => None,
            };
            let answer = match read {
                Some(meta) => Some(meta),
                None => self.head(&key).await?,
            };
            let bare = match (&answer, self.bare_key(&inode.payload, &key)) {
                (None, Some(bare)) => self.head(&bare).await?.filter(says_folder),
                _ => None,
            };
            let mut table = self.table();
            let is_current = inode.payload.lock().edits == edits
                && self.key(&table, &inode.payload).ok().flatten() == Some(key.clone());
            if !is_current {
                continue;
            }
            inode = self.learn(&mut table, inode, &key, (answer, bare))?;
            if let Some((dir, _)) = table.parent_of(inode.ino) {
                self.learnt_below(&table, dir, 1);
            }
            // What waited from before the mount may have been carried out since it was asked. Looked at after
            // what is pending was, so that it is seen here if it was not there.
            let changed = self.stage.keys_changed_since(mark, key.as_str());
            if changed.is_none_or(|keys| !keys.contains(&key)) {
                return Ok(inode);
            }
            inode.payload.lock().doubt();
        }
        Err(restless("attributes"))
    }

    /// What the store says of an object; `None` if there is none.
    pub(crate) async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if error.kind() == cloudmount_store::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`known`](Self::known) for many, several at a time; those that are gone are left out.
    pub(crate) async fn know_all(&self, inodes: Vec<Inode>) -> Result<()> {
        let asked = inodes.into_iter();
        let asked = asked.map(|inode| self.known_to_show(inode, Look::Attributes));
        self.side_by_side(asked).await
    }

    /// Asks several at a time; those that are gone are left out.
    pub(crate) async fn side_by_side<T>(
        &self,
        asked: impl Iterator<Item = impl Future<Output = Result<T>>>,
    ) -> Result<()> {
        let mut asked =
            futures::stream::iter(asked).buffer_unordered(self.settings.heads_max.max(1));
        while let Some(result) = asked.next().await {
            match result {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the attributes of `node` must be asked for before they are shown.
    pub(crate) fn is_known(&self, node: &Node) -> bool {
        node.ino == InodeId::ROOT || node.look(|_| false, |state| state.is_fresh(self.now()))
    }

    fn what_to_ask(&self, inode: &Inode) -> Result<Ask> {
        let node = &inode.payload;
        let table = self.table();
        if self.is_known(node) || !table.is_linked(node.ino) {
            return Ok(Ask::Nothing);
        }
        let Some(key) = self.key(&table, node)? else {
            return Ok(Ask::Nothing);
        };
        if node.kind == NodeKind::Directory && self.knows_marker(node, &key) {
            return Ok(Ask::Nothing);
        }
        let edits = node.lock().edits;
        Ok(Ask::Head { key, edits })
    }

    /// Learns what can be known of a folder without the store.
    fn knows_marker(&self, node: &Node, key: &Key) -> bool {
        let until = self.attributes_until();
        let mut state = node.lock();
        let pending = self.stage.pending(key);
        if let Some(metadata) = pending
            .as_ref()
            .and_then(cloudmount_stage::PendingView::metadata)
        {
            let time = state.mtime;
            state.learn(dialect::read(&metadata), time, &self.settings);
            state.metadata.set(metadata);
            state.set_marker(Marker::There(None), until);
            return true;
        }
        if pending.is_some() || !self.store.capabilities().folder_markers {
            state.no_marker(until, &self.settings);
            return true;
        }
        false
    }

    /// Takes over what the store says of an object. It may be another inode that stands for it now.
    ///
    /// # Errors
    /// `NotFound`: there is none.
    pub(crate) fn learn(
        &self,
        table: &mut Table,
        inode: Inode,
        key: &Key,
        (answer, bare): (Option<ObjectMeta>, Option<ObjectMeta>),
    ) -> Result<Inode> {
        let node = Arc::clone(&inode.payload);
        let until = self.attributes_until();
        match answer {
            None if node.kind == NodeKind::Directory => {
                let mut state = node.lock();
                match bare {
                    Some(meta) => state.learn_bare(&meta, until, &self.settings),
                    None => state.no_marker(until, &self.settings),
                }
                Ok(inode)
            }
            None => self.is_gone(table, inode, key),
            Some(meta) if node.kind == NodeKind::Directory => {
                let mut state = node.lock();
                if state.standing == Standing::Listed && !state.is_touched {
                    state.ctime = meta.modified;
                }
                state.learn_object(&meta, until, &self.settings);
                state.set_marker(Marker::There(Some(meta.version)), until);
                Ok(inode)
            }
            Some(meta) if kind_of(&meta) != node.kind => self.convert(table, inode, key, &meta),
            Some(meta) => {
                if self.learn_file(&node, key, &meta, until) {
                    self.changes.send(Change::Content(node.ino));
                }
                Ok(inode)
            }
        }
    }

    /// Takes over what the store says of the object of a file or symlink; says whether someone else
    /// has changed its content.
    pub(crate) fn learn_file(
        &self,
        node: &Node,
        key: &Key,
        meta: &ObjectMeta,
        until: Instant,
    ) -> bool {
        let mut state = node.lock();
        if state.standing == Standing::Own {
            return false;
        }
        let is_foreign = match &mut state.content {
            Content::Object(known) => {
                let is_first = known.version.is_empty();
                let is_same = &*known.version == meta.version.as_str() && known.size == meta.size;
                if !is_same {
                    *known = object_ref(key, &meta.version, meta.size);
                }
                !is_same && !is_first
            }
            Content::Link {
                target,
                version,
                size,
            } => {
                if version.as_ref() != Some(&meta.version) {
                    *target = None;
                    *version = Some(meta.version.clone());
                    *size = meta.size;
                }
                false
            }
            Content::Folder { .. } | Content::Staged(_) => return false,
        };
        if is_foreign {
            state.replaced_by_others(meta.modified);
        }
        let before = state.modified;
        state.learn_object(meta, until, &self.settings);
        state.is_young = self.is_young(meta.modified);
        self.asked_for(node.ino, &mut state, before);
        if let Some(Desired::Metadata(metadata)) = self.stage.pending(key).map(|view| view.desired)
        {
            // From before this mount: it is on its way.
            state.learn(dialect::read(&metadata), meta.modified, &self.settings);
            state.metadata.set(metadata);
            state.standing = Standing::Own;
            state.edits += 1;
        }
        is_foreign
    }

    /// The store has no such object, and nothing was changed here since it was asked.
    fn is_gone(&self, table: &mut Table, inode: Inode, key: &Key) -> Result<Inode> {
        if table.locality(inode.ino) == Some(Locality::Local) {
            return Ok(inode);
        }
        let Some((parent, name)) = table.parent_of(inode.ino) else {
            return Err(ErrorKind::NotFound.into());
        };
        table.expire(parent, &name);
        let now = self.now();
        let Lookup::Ask(probe) = table.lookup(parent, &name, now)? else {
            return Ok(inode);
        };
        let make = |ino| Arc::new(self.make_blank(ino, inode.kind, key));
        if let Applied::Absent { removed } =
            table.apply(probe, Answer::Absent, self.names_until(), make)
        {
            if let Some(found) = removed {
                self.vanished(parent, name, &found);
                self.found_names(table, parent);
            }
            return Err(ErrorKind::NotFound.into());
        }
        Ok(inode)
    }

    /// The object is of another kind than its inode: another inode takes the name.
    fn convert(
        &self,
        table: &mut Table,
        inode: Inode,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<Inode> {
        let Some((parent, name)) = table.parent_of(inode.ino) else {
            return Err(ErrorKind::NotFound.into());
        };
        table.expire(parent, &name);
        let now = self.now();
        let Lookup::Ask(probe) = table.lookup(parent, &name, now)? else {
            return Ok(inode);
        };
        let kind = kind_of(meta);
        let is_mark =
            kind == NodeKind::Directory && self.marks_beside(table, (parent, &name), meta);
        let answer = if is_mark {
            Answer::Absent
        } else {
            Answer::Present(kind)
        };
        let make = |ino| Arc::new(self.make_learnt(ino, kind, key, meta));
        match table.apply(probe, answer, self.names_until(), make) {
            Applied::Found {
                found, replaced, ..
            } => {
                if let Some(replaced) = replaced {
                    self.vanished(parent, name, &replaced);
                }
                Ok(found)
            }
            Applied::Absent { removed } => {
                if let Some(removed) = removed {
                    self.vanished(parent, name, &removed);
                }
                Err(ErrorKind::NotFound.into())
            }
            Applied::Retry => Ok(inode),
        }
    }

    /// A node of which everything is known.
    pub(crate) fn make_learnt(
        &self,
        ino: InodeId,
        kind: NodeKind,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Node {
        if kind == NodeKind::Directory {
            let marks = Marks {
                bare: Some(OtherMarker::from(meta)),
                ..Marks::default()
            };
            let node = self.make(ino, kind, &Seen::Folder(marks));
            node.lock()
                .learn_bare(meta, self.attributes_until(), &self.settings);
            return node;
        }
        let object = SeenObject {
            key: key.clone(),
            size: meta.size,
            version: Some(meta.version.clone()),
            modified: meta.modified,
        };
        let node = Node::new(ino, kind, object.content(kind), &self.settings);
        {
            let mut state = node.lock();
            (state.mtime, state.ctime) = (meta.modified, meta.modified);
            state.modified = Some(meta.modified);
        }
        self.learn_file(&node, key, meta, self.attributes_until());
        node
    }

    /// A node of which nothing is known.
    pub(crate) fn make_blank(&self, ino: InodeId, kind: NodeKind, key: &Key) -> Node {
        if kind == NodeKind::Directory {
            return self.make(ino, kind, &Seen::Folder(Marks::default()));
        }
        let object = SeenObject {
            key: key.clone(),
            size: 0,
            version: None,
            modified: Timestamp::EPOCH,
        };
        self.make(ino, kind, &Seen::Object(object))
    }
}

impl State {
    /// The store is asked again.
    pub(crate) fn doubt(&mut self) {
        if let Standing::Known(_) | Standing::Told(_) = self.standing {
            self.standing = Standing::Listed;
        }
    }

    fn set_marker(&mut self, marker: Marker, until: Instant) {
        self.content = Content::Folder { marker };
        if self.standing != Standing::Own {
            self.standing = Standing::Known(until);
        }
    }

    /// A folder whose marker is an object of its own name has the attributes of that.
    pub(crate) fn learn_bare(
        &mut self,
        meta: &ObjectMeta,
        until: Instant,
        defaults: &crate::CoreSettings,
    ) {
        if self.standing == Standing::Own {
            return;
        }
        self.learn(dialect::read(&meta.metadata), meta.modified, defaults);
        self.metadata.set(Metadata {
            user: meta.metadata.user.clone(),
            ..Metadata::default()
        });
        self.set_marker(Marker::Missing, until);
    }

    /// A folder without a marker has the attributes of one that nothing is known about, and keeps
    /// its times.
    pub(crate) fn no_marker(&mut self, until: Instant, defaults: &crate::CoreSettings) {
        if self.standing == Standing::Own {
            return;
        }
        let time: Timestamp = self.mtime;
        self.learn(dialect::Stored::default(), time, defaults);
        self.metadata.set(Metadata::default());
        self.set_marker(Marker::Missing, until);
    }
}
