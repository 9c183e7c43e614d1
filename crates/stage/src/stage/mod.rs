//! [`Stage`]: the handle that the core has. Its calls are synchronous and short, but for those that
//! say otherwise.

mod change;
mod create;
mod give_up;
mod lately;
mod person;
mod rename;
mod room;
mod view;
mod wait;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use cloudmount_store::{Capabilities, Key, Store};
use cloudmount_vfs::{Clock, Error, ErrorKind, Instant, Result};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

pub use self::create::Submit;
pub use self::give_up::{DropPlan, Dropped, Leftover};
pub use self::rename::RenameItem;
pub use self::view::{Mark, PendingChild, PendingFolder};
pub use self::wait::{DrainReport, Remaining};
use crate::disk::lock_folder;
use crate::disk_work::DiskWork;
use crate::edit::Edit;
use crate::events::{self, Event, Events};
use crate::file::{FileContext, Owner};
use crate::freed::Freed;
use crate::groups::Groups;
use crate::hold::{Hold, Holds};
use crate::journal::record::Change;
use crate::kept::Copies;
use crate::platform::boot_id;
use crate::queue;
use crate::queue::bodies::Bodies;
use crate::queue::condition::Conditions;
use crate::queue::lane::Lane;
use crate::queue::pace::{Bounds, Pace};
use crate::queue::probe::Asking;
use crate::recovery::{self, Recovery};
use crate::set_aside::SetAside;
use crate::table::Table;
use crate::{FileId, StageSettings, StagedFile};

/// Bytes going out: see the [crate]. Clones are the same stage; the last one dropped stops it,
/// [`shutdown`](Self::shutdown) does so and waits.
#[derive(Clone, Debug)]
pub struct Stage {
    inner: Arc<Inner>,
    stopper: Arc<Stopper>,
}

/// What the calls, the queue and its workers share.
#[derive(Debug)]
pub(crate) struct Inner {
    table: Mutex<Table>,
    /// The staging folder.
    pub(crate) dir: PathBuf,
    pub(crate) files: Arc<FileContext>,
    pub(crate) holds: Arc<Holds>,
    pub(crate) freed: Arc<Freed>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) capabilities: Capabilities,
    pub(crate) settings: StageSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: mpsc::Sender<Event>,
    /// Told whenever something ended, for those who wait for a key.
    pub(crate) ended: Notify,
    pub(crate) bodies: Bodies,
    /// How many small operations run at once. Locked last, and alone.
    pub(crate) small: Mutex<Pace>,
    /// Parts on their way.
    pub(crate) parts: Lane,
    pub(crate) disk: DiskWork,
    pub(crate) conditions: Conditions,
    pub(crate) asking: Asking,
    /// What a person sees as one.
    pub(crate) groups: Mutex<Groups>,
    /// All that is set aside.
    pub(crate) set_aside: Mutex<Vec<SetAside>>,
    next_file: AtomicU64,
    /// Itself, for the files that it makes.
    this: Weak<Self>,
    stopped: AtomicBool,
    /// Held until the stage is shut down.
    lock_file: Mutex<Option<File>>,
}

/// Ends the queue when the last handle goes.
#[derive(Debug)]
struct Stopper {
    stop: watch::Sender<bool>,
    queue: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Stage {
    /// Opens the staging folder `dir` (made if missing), replays its journal and starts the queue
    /// on `runtime`. Never waits for the network.
    ///
    /// # Errors
    /// `Busy` if another process has the folder; `Unsupported` if a newer version wrote it;
    /// `Corrupt`; `NoSpace`, `Io`.
    pub fn open(
        dir: &Path,
        store: Arc<dyn Store>,
        settings: StageSettings,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<(Self, Events, Recovery)> {
        recovery::make_folders(dir)?;
        let lock = lock_folder(dir)?;
        let freed = Arc::new(Freed::default());
        let capabilities = store.capabilities();
        let found = recovery::load(dir)?;
        let files = recovery::context(dir, &found, &settings, &capabilities, &freed)?;
        let (asking, remembered) = Asking::new(dir, &capabilities, clock.wall());
        let (events, reader) = events::channel();
        let inner = Arc::new_cyclic(|this: &Weak<Inner>| Inner {
            table: Mutex::default(),
            dir: dir.to_owned(),
            files,
            holds: Arc::new(Holds::new(Arc::clone(&freed))),
            freed,
            store,
            capabilities,
            bodies: Bodies::new(&settings),
            small: Mutex::new(Pace::new(Bounds::small(&settings))),
            parts: Lane::new(Bounds::parts(&settings)),
            disk: DiskWork::new(),
            settings,
            clock,
            events,
            ended: Notify::new(),
            conditions: Conditions::new(&capabilities, remembered),
            asking,
            groups: Mutex::default(),
            set_aside: Mutex::new(found.set_aside.clone()),
            next_file: AtomicU64::new(found.next_file),
            this: this.clone(),
            stopped: AtomicBool::new(false),
            lock_file: Mutex::new(Some(lock)),
        });
        let report = recovery::take_over(&inner, found);
        let (stop, stopped) = watch::channel(false);
        let queue = runtime.spawn(queue::run(Arc::clone(&inner), stopped));
        let stage = Self {
            inner,
            stopper: Arc::new(Stopper {
                stop,
                queue: Mutex::new(Some(queue)),
            }),
        };
        Ok((stage, reader, report))
    }

    /// Stops the queue, gives up what is under way and releases the folder. What is pending stays
    /// in the journal. Later calls through other clones fail or do nothing.
    pub async fn shutdown(self) {
        self.stopper.stop.send_replace(true);
        let queue = self.stopper.queue.lock().take();
        if let Some(queue) = queue
            && let Err(error) = queue.await
        {
            tracing::error!(%error, "the upload queue did not end well");
        }
    }

    /// The copies that are kept of what was uploaded. They do not keep the stage from stopping.
    #[must_use]
    pub fn copies(&self) -> Copies {
        Copies::new(Arc::clone(&self.inner))
    }

    /// Keeps the object under `key` as it is for as long as the hold lives.
    #[must_use]
    pub fn hold(&self, key: &Key) -> Hold {
        self.inner.holds.take(key)
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn next_file(&self) -> FileId {
        FileId::new(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// Itself, as what takes up files.
    pub(crate) fn owner(&self) -> Weak<dyn Owner> {
        self.this.clone()
    }

    /// Marks the end: no call changes anything from here on.
    pub(crate) fn stop(&self) {
        // Under the lock, so that no call is half-way.
        let _table = self.table.lock();
        self.stopped.store(true, Ordering::Release);
    }

    /// Lets the next owner have the folder, once nothing of this one writes there any more.
    pub(crate) async fn release(&self) {
        self.free_disk().await;
        self.disk.end().await;
        self.files.journal.close();
        self.lock_file.lock().take();
    }

    /// The first record of a journal that begins now.
    pub(crate) fn opened(&self) -> Change {
        Change::Opened {
            boot: boot_id(),
            next_file: self.next_file.load(Ordering::Relaxed),
            done: self.freed.done(),
        }
    }

    /// Changes the table in one record, and lets the queue look at what changed.
    ///
    /// # Errors
    /// Those of `edit`; `NoSpace`, `Io` of the journal; `Interrupted` after the shutdown. Then
    /// nothing changed.
    pub(crate) fn edit<T>(
        &self,
        edit: impl FnOnce(&mut Edit<'_>, Instant) -> Result<T>,
    ) -> Result<T> {
        let now = self.now();
        let mut table = self.table.lock();
        if self.is_stopped() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "the stage was shut down",
            ));
        }
        let mut changes = Edit::new(&mut table, now);
        let value = edit(&mut changes, now)?;
        let keys = changes.finish(&self.files.journal)?;
        for key in &keys {
            table.schedule(self, key, now);
        }
        // To wake the queue for nothing costs more than the edit.
        let has_work = table.has_news(&keys);
        drop(table);
        if has_work {
            self.freed.wake();
        }
        if !keys.is_empty() {
            self.ended.notify_waiters();
        }
        Ok(value)
    }
}

impl Owner for Inner {
    fn take_up(&self, file: &Arc<StagedFile>) -> Result<()> {
        self.take_up_file(file)
    }
}
