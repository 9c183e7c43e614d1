//! [`Core`]: what the operations work on, and the order of its locks.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use cloudmount_cache::disk::DiskCache;
use cloudmount_cache::notes::Notes;
use cloudmount_cache::{BlockCache, BlockSource, CacheParts, HedgeStats, Hedged};
use cloudmount_inode::InodeTable;
use cloudmount_stage::{Desired, Events, FileId, Stage};
use cloudmount_store::{Key, Store};
use cloudmount_vfs::{
    ChangeSender, Changes, Clock, Error, ErrorKind, InodeId, Instant, NodeKind, Result,
    change_channel,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::ahead::{Ahead, AheadStats};
use crate::copies::CopiesSource;
use crate::doubts::Doubts;
use crate::handles::Handles;
use crate::left::Listings;
use crate::naming::LongNames;
use crate::node::{Content, Marker, Node, Standing};
use crate::remembered::Remembered;
use crate::told::Told;
use crate::turns::Turns;
use crate::{CoreSettings, Mode, StoreSource};

/// Changes that wait for the adapter; beyond, it is told to forget everything.
const CHANGES_MAX: usize = 4096;

/// The table of this filesystem.
pub(crate) type Table = InodeTable<Arc<Node>>;

/// What a core is made of.
#[derive(Debug)]
pub struct Parts {
    /// The bucket, with all its layers.
    pub store: Arc<dyn Store>,
    /// Where changes go.
    pub stage: Stage,
    /// What the stage tells.
    pub events: Events,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where background work runs.
    pub runtime: Handle,
}

/// What a core keeps on this machine beyond its own end. Nothing, by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local<'a> {
    /// Replicas of what is read.
    pub replicas: Option<&'a DiskCache>,
    /// What objects told of their attributes.
    pub attributes: Option<&'a Notes>,
}

/// A filesystem over an object store: the one implementation of
/// [`Vfs`](cloudmount_vfs::Vfs) that adapters show.
///
/// Cheap to clone; all clones are one filesystem.
#[derive(Clone, Debug)]
pub struct Core {
    pub(crate) inner: Arc<Inner>,
}

/// What a core holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreStats {
    /// Inodes and names.
    pub table: cloudmount_inode::Stats,
    /// Files and directories that are open.
    pub open: usize,
    /// What was asked for before anybody wanted it.
    pub ahead: AheadStats,
    /// Requests for bytes, and those that were made again.
    pub reads: HedgeStats,
}

/// Order of locks: the table, then a node, then those inside the stage and the cache. None is held
/// across an await. The handles' shards, `files`, `touched`, `turns`, `doubts`, `listings` and what `ahead`, `told` and `remembered` have are taken
/// alone, or last.
pub(crate) struct Inner {
    pub(crate) table: Mutex<Table>,
    pub(crate) handles: Handles,
    /// Which inode a staged file belongs to, for the stage's events.
    pub(crate) files: Mutex<HashMap<FileId, InodeId>>,
    /// Folders whose times are not in their markers yet.
    pub(crate) touched: Mutex<BTreeSet<InodeId>>,
    pub(crate) long: LongNames,
    /// Whether a listing has shown that a folder is marked by a suffix: then names that are asked for alone are
    /// asked for with it, too.
    pub(crate) has_suffixes: AtomicBool,
    /// Which folders are listed in turn.
    pub(crate) turns: Mutex<Turns>,
    /// What may have other attributes than are known, though listings show it unchanged.
    pub(crate) doubts: Mutex<Doubts>,
    /// Those that go on.
    pub(crate) listings: Mutex<Listings>,
    pub(crate) stage: Stage,
    pub(crate) cache: BlockCache,
    pub(crate) ahead: Ahead,
    pub(crate) told: Arc<Told>,
    pub(crate) remembered: Remembered,
    /// Where whole files are looked for that others may read, if they may.
    pub(crate) local_files: Option<DiskCache>,
    hedged: Hedged,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: CoreSettings,
    pub(crate) changes: ChangeSender,
    changes_out: Mutex<Option<Changes>>,
    events_task: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("settings", &self.settings)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Joins the parts into a filesystem and starts to follow the stage's events on the runtime.
    #[must_use]
    pub fn new(parts: Parts, cache: impl Into<CacheParts>, settings: CoreSettings) -> Self {
        Self::with_local(parts, Local::default(), cache, settings)
    }

    /// The same, with what is on this machine.
    #[must_use]
    pub fn with_local(
        parts: Parts,
        local: Local<'_>,
        cache: impl Into<CacheParts>,
        settings: CoreSettings,
    ) -> Self {
        let Parts {
            store,
            stage,
            events,
            clock,
            runtime,
        } = parts;
        let settings = CoreSettings {
            ttl: settings.ttl.where_shown(settings.attributes),
            ..settings
        };
        let told = Arc::new(Told::default());
        let source = StoreSource::telling(Arc::clone(&store), Arc::clone(&told));
        let hedged = Hedged::new(Arc::new(source), Arc::clone(&clock));
        let source: Arc<dyn BlockSource> = Arc::new(hedged.clone());
        let source = match local.replicas {
            Some(disk) => disk.over(source),
            None => source,
        };
        let source: Arc<dyn BlockSource> = Arc::new(CopiesSource::new(stage.copies(), source));
        let (changes, changes_out) = change_channel(CHANGES_MAX);
        let cache = BlockCache::new(source, cache, runtime.clone());
        let inner = Arc::new_cyclic(|inner| Inner {
            table: Mutex::new(InodeTable::new(settings.table, root(&*clock, &settings))),
            handles: Handles::default(),
            files: Mutex::default(),
            touched: Mutex::default(),
            long: LongNames::default(),
            has_suffixes: AtomicBool::new(false),
            ahead: Ahead::new(
                Weak::clone(inner),
                runtime.clone(),
                settings.heads_max,
                cache.ahead_bytes(),
            ),
            told,
            remembered: Remembered::new(
                Weak::clone(inner),
                runtime.clone(),
                local.attributes.cloned(),
            ),
            local_files: (local.replicas.cloned())
                .filter(|_| settings.local_files && settings.mode == Mode::ReadOnly),
            hedged,
            cache,
            turns: Mutex::default(),
            doubts: Mutex::default(),
            listings: Mutex::default(),
            stage,
            store,
            clock,
            settings,
            changes,
            changes_out: Mutex::new(Some(changes_out)),
            events_task: Mutex::new(None),
        });
        let task = runtime.spawn(crate::commit::follow(Arc::downgrade(&inner), events));
        *inner.events_task.lock() = Some(task);
        Self { inner }
    }

    /// The stage below: its status, its queue, its draining.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.inner.stage
    }

    /// The cache below.
    #[must_use]
    pub fn cache(&self) -> &BlockCache {
        &self.inner.cache
    }

    /// The store below, with its layers.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Waits until the bucket has the inode as it is now, at most for
    /// [`CoreSettings::remote_wait`].
    ///
    /// # Errors
    /// `NotFound`; `TimedOut`; why the upload fails, if that needs a person.
    pub async fn wait_uploaded(&self, ino: InodeId) -> Result<()> {
        let node = self.inner.node(ino)?;
        self.inner.wait_for_bucket(&node).await
    }

    /// Hands what is kept in memory only, the times of folders, to the stage. To be called before
    /// the stage is drained at unmount.
    pub fn settle(&self) {
        let inner = &self.inner;
        inner.store_times(&mut inner.table());
    }

    /// Writes down what is to be remembered beyond the end of this core, which is done later otherwise. To be
    /// called when it ends.
    pub async fn remember(&self) {
        self.inner.remember_all().await;
    }

    /// What the core holds.
    #[must_use]
    pub fn stats(&self) -> CoreStats {
        CoreStats {
            table: self.inner.table().stats(),
            open: self.inner.handles.count(),
            ahead: self.inner.ahead.stats(),
            reads: self.inner.hedged.stats(),
        }
    }

    /// The stream of changes: there is one.
    pub(crate) fn take_changes(&self) -> Option<Changes> {
        self.inner.changes_out.lock().take()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.events_task.lock().take() {
            task.abort();
        }
    }
}

impl Inner {
    /// Takes the table's lock: briefly, never across an await.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Whether an object is to be removed: it is not there any more, whatever the store says.
    pub(crate) fn is_going(&self, key: &Key) -> bool {
        let pending = self.stage.pending(key);
        pending.is_some_and(|view| matches!(view.desired, Desired::Absent))
    }

    /// Refuses changes of a read-only mount.
    pub(crate) fn writable(&self) -> Result<()> {
        match self.settings.mode {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => Err(Error::new(ErrorKind::ReadOnly, "the mount is read-only")),
        }
    }

    /// A live directory's node.
    pub(crate) fn folder(&self, table: &Table, ino: InodeId) -> Result<Arc<Node>> {
        let found = table.get(ino).ok_or(ErrorKind::NotFound)?;
        if found.payload.kind == NodeKind::Directory {
            Ok(found.payload)
        } else {
            Err(ErrorKind::NotDirectory.into())
        }
    }

    /// The live inode of that number.
    pub(crate) fn node(&self, ino: InodeId) -> Result<Arc<Node>> {
        let found = self.table().get(ino);
        found
            .map(|found| found.payload)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("inode {ino}")))
    }
}

/// The root exists whatever the bucket holds. It has no key of its own, so its attributes live as
/// long as the mount.
fn root(clock: &dyn Clock, settings: &CoreSettings) -> Arc<Node> {
    let content = Content::Folder {
        marker: Marker::Missing,
    };
    let node = Node::new(InodeId::ROOT, NodeKind::Directory, content, settings);
    {
        let mut state = node.lock();
        state.mtime = clock.wall();
        state.ctime = state.mtime;
        state.standing = Standing::Own;
    }
    Arc::new(node)
}
