//! One inode's own state: attributes, and where its content is.
//!
//! Law: everything of one inode lies behind its own lock, so no two files share one on the way of
//! their data. The table's lock may be held when a node's is taken, never the other way round.

use bytes::Bytes;
use std::sync::Arc;

use cloudmount_cache::ObjectRef;
use cloudmount_stage::{Hold, StagedFile};
use cloudmount_store::{Key, Metadata, ObjectMeta, Version};
use cloudmount_vfs::{
    Attr, ContentNumber, InodeId, Instant, NodeKind, Permissions, Result, Timestamp,
};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::CoreSettings;
use crate::dialect::{self, Dialect, Stored, ToStore, Xattrs};
use crate::doubts::Doubt;
use crate::listing_only::ListingOnly;
use crate::markers::Marks;
use crate::pages::Going;
use crate::rare::Rare;
use crate::recollection::Recollection;

/// An inode.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub ino: InodeId,
    /// What it is.
    pub kind: NodeKind,
    state: Mutex<Held>,
    /// What only folders have.
    folder: Option<Box<Folder>>,
}

/// What only folders have.
#[derive(Debug, Default)]
struct Folder {
    /// Lets one at a time list it; the others find it listed, or go on with it.
    gate: tokio::sync::Mutex<Going>,
    recollection: Mutex<Recollection>,
    /// When names were last found that others had made or removed.
    found: Mutex<Option<Timestamp>>,
}

/// How what is known of an inode is held.
#[derive(Debug)]
enum Held {
    /// By what is enough to show it.
    Listed(ListingOnly),
    Whole(Box<State>),
}

/// Where the content of an inode is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A folder has none; its marker object, if it has one, carries its attributes.
    Folder {
        /// The marker's version, as far as known.
        marker: Marker,
    },
    /// A symlink's target.
    Link {
        /// The target, once it was read.
        target: Option<Bytes>,
        /// The object's version; `None` while it is pending.
        version: Option<Version>,
        /// Bytes of the target.
        size: u64,
    },
    /// An object in the bucket.
    Object(ObjectRef),
    /// A staged file.
    Staged(Arc<StagedFile>),
}

/// What is known of a folder's marker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Marker {
    /// Nothing.
    Unknown,
    /// There is none: the folder exists because of what is below it.
    Missing,
    /// It is there, or will be.
    There(Option<Version>),
}

/// How far the attributes are believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Only what a listing tells: size, version, time. The rest is a default.
    Listed,
    /// All of it, until then, by the word of a manifest in the bucket: it is shown. Before anything is changed,
    /// the store is asked.
    Told(Instant),
    /// All of it, until then; after that the store is asked.
    Known(Instant),
    /// Changed here, and not in the bucket yet: the store is not asked.
    Own,
}

/// What a node's lock guards.
#[derive(Debug)]
pub struct State {
    /// Permission bits.
    pub permissions: Permissions,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access, where someone set it.
    pub atime: Option<Timestamp>,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// All metadata as they were in the store: what is not ours is kept.
    pub metadata: Rare<Metadata>,
    /// Where the content is.
    pub content: Content,
    /// How far this is believed.
    pub standing: Standing,
    /// When the store wrote the object, as far as known.
    pub modified: Option<Timestamp>,
    /// When the bucket took what was written here last, by this machine's clock.
    pub taken: Option<Timestamp>,
    /// Raised with each change made here, and when the bucket has it: an answer of the store that
    /// was asked for before says nothing of this inode.
    pub edits: u64,
    /// Raised whenever someone else is found to have changed the content; [`changes`](Self::changes) tells all.
    pub foreign_changes: u64,
    /// What `changes` was when the content was last opened: pages cached since are good. `None`
    /// once someone may write past the page cache: no page is.
    pub seen_changes: Option<u64>,
    /// Whether it was opened to be read: what `seen_changes` says is good may be in the kernel's pages.
    pub was_read: bool,
    /// Open handles.
    pub handles: u32,
    /// Of these, the ones that may write.
    pub writers: u32,
    /// Whether no name leads here any more.
    pub is_unlinked: bool,
    /// Whether a folder holds more names than one page of a listing: then names are asked for one
    /// by one.
    pub is_large: bool,
    /// Whether a folder's times moved since its marker was written.
    pub is_touched: bool,
    /// Whether it was asked for so soon after it was written that another change may have the same date.
    pub is_young: bool,
    /// Whether its attributes may have changed without another date.
    pub doubt: Doubt,
    /// How often the bucket took what was written here, less how often news told of it.
    pub news_due: i8,
    /// Of a folder: its markers by other tools.
    pub(crate) marks: Option<Box<Marks>>,
    /// Keeps the object while an unlinked file is open.
    pub hold: Option<Hold>,
}

impl Content {
    /// The object, if it is known which, and if that has some bytes, and not more than so many.
    pub(crate) fn small(&self, bytes_max: u64) -> Option<&ObjectRef> {
        match self {
            Self::Object(object) => {
                let is_small = (1..=bytes_max).contains(&object.size);
                (is_small && !object.version.is_empty()).then_some(object)
            }
            Self::Folder { .. } | Self::Link { .. } | Self::Staged(_) => None,
        }
    }
}

impl Node {
    /// A node with the attributes of one that nothing is known about.
    #[must_use]
    pub fn new(ino: InodeId, kind: NodeKind, content: Content, settings: &CoreSettings) -> Self {
        let permissions = match kind {
            NodeKind::Directory => settings.folder_permissions,
            NodeKind::File => settings.file_permissions,
            NodeKind::Symlink => Permissions::from_mode(0o777),
        };
        let owned = (permissions, settings.uid, settings.gid);
        Self::holding(ino, kind, Held::Whole(Box::new(State::new(owned, content))))
    }

    /// A file of which a listing has told, and nothing else.
    pub(crate) fn listed(ino: InodeId, listed: ListingOnly) -> Self {
        Self::holding(ino, NodeKind::File, Held::Listed(listed))
    }

    fn holding(ino: InodeId, kind: NodeKind, held: Held) -> Self {
        Self {
            ino,
            kind,
            state: Mutex::new(held),
            folder: (kind == NodeKind::Directory).then(Box::default),
        }
    }

    /// What lets one at a time list this folder; `None` for what is no folder.
    pub(crate) fn gate(&self) -> Option<&tokio::sync::Mutex<Going>> {
        self.folder.as_ref().map(|folder| &folder.gate)
    }

    /// What was looked up of the entries of this folder; `None` for what is no folder. Its lock is taken last.
    pub(crate) fn recollection(&self) -> Option<&Mutex<Recollection>> {
        self.folder.as_ref().map(|folder| &folder.recollection)
    }

    /// Takes the node's lock: briefly, never across an await.
    pub fn lock(&self) -> MappedMutexGuard<'_, State> {
        MutexGuard::map(self.state.lock(), Held::whole)
    }

    /// Looks at what is known, where what a listing has told may be enough. Takes the node's lock.
    pub(crate) fn look<T>(
        &self,
        listed: impl FnOnce(&mut ListingOnly) -> T,
        whole: impl FnOnce(&State) -> T,
    ) -> T {
        match &mut *self.state.lock() {
            Held::Listed(only) => listed(only),
            Held::Whole(state) => whole(state),
        }
    }

    /// The attributes as `stat` shows them.
    #[must_use]
    pub fn attr(&self) -> Attr {
        let attr = self.look(
            |listed| listed.attr(self.ino),
            |state| state.attr(self.ino, self.kind),
        );
        let Some(found) = (self.folder.as_ref()).and_then(|folder| *folder.found.lock()) else {
            return attr;
        };
        Attr {
            mtime: attr.mtime.max(found),
            ctime: attr.ctime.max(found),
            ..attr
        }
    }

    /// Others have made or removed names of this folder: its times move, here. Nothing is written for it.
    pub(crate) fn found_names(&self, now: Timestamp) {
        if let Some(folder) = &self.folder {
            *folder.found.lock() = Some(now);
        }
    }

    /// The times are set: what was found before does not count.
    pub(crate) fn set_times(&self) {
        if let Some(folder) = &self.folder {
            *folder.found.lock() = None;
        }
    }
}

impl Held {
    /// All of it; it is made now if it was not before.
    fn whole(&mut self) -> &mut State {
        if let Self::Listed(listed) = self {
            *self = Self::Whole(Box::new(listed.state()));
        }
        match self {
            Self::Whole(state) => state,
            Self::Listed(_) => unreachable!("it was made whole"),
        }
    }
}

impl State {
    /// Of an inode of which nothing is known but whose it is by default, and where its content is.
    pub(crate) fn new((permissions, uid, gid): (Permissions, u32, u32), content: Content) -> Self {
        Self {
            permissions,
            uid,
            gid,
            atime: None,
            mtime: Timestamp::EPOCH,
            ctime: Timestamp::EPOCH,
            xattrs: Xattrs::new(),
            metadata: Rare::default(),
            content,
            standing: Standing::Listed,
            modified: None,
            taken: None,
            edits: 0,
            foreign_changes: 0,
            seen_changes: Some(0),
            was_read: false,
            handles: 0,
            writers: 0,
            is_unlinked: false,
            is_large: false,
            is_touched: false,
            is_young: false,
            doubt: Doubt::None,
            news_due: 0,
            marks: None,
            hold: None,
        }
    }

    /// The attributes as `stat` shows them.
    #[must_use]
    pub fn attr(&self, ino: InodeId, kind: NodeKind) -> Attr {
        let links = match (self.is_unlinked, kind) {
            (true, _) => 0,
            (false, NodeKind::Directory) => 2,
            (false, NodeKind::File | NodeKind::Symlink) => 1,
        };
        let (size, changes) = self.shown();
        Attr {
            ino,
            kind,
            size,
            permissions: self.permissions,
            links,
            uid: self.uid,
            gid: self.gid,
            atime: self.atime.unwrap_or(self.mtime),
            mtime: self.mtime,
            ctime: self.ctime,
            content: ContentNumber(changes),
        }
    }

    /// Bytes of content.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shown().0
    }

    /// How often someone else put another content. What was read when it was another number is not of this one. A
    /// staged file may raise it at any moment, when a rename takes what someone else wrote.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shown().1
    }

    /// Size and number of one content.
    fn shown(&self) -> (u64, u64) {
        let (size, adopted) = match &self.content {
            Content::Folder { .. } => (0, 0),
            Content::Link { size, .. } => (*size, 0),
            Content::Object(object) => (object.size, 0),
            Content::Staged(file) => file.shown(),
        };
        (size, self.foreign_changes + adopted)
    }

    /// The same content lies elsewhere from now on, or we changed it: its number stays.
    pub fn put_content(&mut self, content: Content) {
        let before = self.changes();
        self.content = content;
        let adopted = self.changes() - self.foreign_changes;
        self.foreign_changes = before.saturating_sub(adopted);
    }

    /// Takes over what the metadata say; what they do not say becomes the default. The time of the
    /// last change of anything stays: it would go back to the store's whole seconds.
    pub fn learn(&mut self, stored: Stored, modified: Timestamp, defaults: &CoreSettings) {
        let permissions = match &self.content {
            Content::Folder { .. } => defaults.folder_permissions,
            Content::Link { .. } => Permissions::from_mode(0o777),
            Content::Object(_) | Content::Staged(_) => defaults.file_permissions,
        };
        self.permissions = stored.permissions.unwrap_or(permissions);
        self.uid = stored.uid.unwrap_or(defaults.uid);
        self.gid = stored.gid.unwrap_or(defaults.gid);
        if !self.is_touched {
            self.mtime = stored.mtime.unwrap_or(modified);
        }
        self.atime = stored.atime;
        self.xattrs = stored.xattrs;
    }

    /// Takes over what a HEAD of this node's object has told. Says nothing of its content.
    pub fn learn_object(&mut self, meta: &ObjectMeta, until: Instant, defaults: &CoreSettings) {
        self.learn(dialect::read(&meta.metadata), meta.modified, defaults);
        self.metadata.set(meta.metadata.clone());
        // A listing may have told it to the nanosecond, and this in whole seconds.
        let is_finer =
            |known: Timestamp| meta.modified.nanos() == 0 && known.secs() == meta.modified.secs();
        if !self.modified.is_some_and(is_finer) {
            self.modified = Some(meta.modified);
        }
        self.standing = Standing::Known(until);
    }

    /// The metadata that say what this node is now, for the store, in `dialect`.
    ///
    /// # Errors
    /// `NoSpace` when the store would not take so much.
    pub fn to_store(&self, kind: NodeKind, dialect: Dialect) -> Result<Metadata> {
        let mut metadata = self.metadata.get();
        if matches!(self.content, Content::Staged(_)) {
            dialect::forget_content(&mut metadata);
        }
        let attributes = ToStore {
            kind,
            permissions: self.permissions,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            atime: self.atime,
            xattrs: &self.xattrs,
        };
        dialect::write(&mut metadata, &attributes, dialect)?;
        Ok(metadata)
    }

    /// Someone else has put another content: nothing but that is known.
    pub fn replaced_by_others(&mut self, modified: Timestamp) {
        self.standing = Standing::Listed;
        self.modified = Some(modified);
        (self.mtime, self.ctime) = (modified, modified);
        self.foreign_changes += 1;
        self.edits += 1;
        self.doubt = Doubt::None;
    }

    /// Whether the attributes need no question to the store at `now`.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        match self.standing {
            Standing::Listed | Standing::Told(_) => false,
            Standing::Known(until) => now < until,
            Standing::Own => true,
        }
    }

    /// Whether all attributes are told well enough at `now` to be shown.
    #[must_use]
    pub fn is_told(&self, now: Instant) -> bool {
        match self.standing {
            Standing::Told(until) => now < until,
            Standing::Listed | Standing::Known(_) | Standing::Own => self.is_fresh(now),
        }
    }
}

/// The reference under which the cache keeps `version` of `key`.
#[must_use]
pub fn object_ref(key: &Key, version: &Version, size: u64) -> ObjectRef {
    ObjectRef::new(key.as_str(), version.as_str(), size)
}
