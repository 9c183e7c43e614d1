//! [`DiskCache`]: a folder of replicas, as one process uses it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cloudmount_vfs::{Clock, Instant};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::fill::Job;
use super::header::Header;
use super::id::ReplicaId;
use super::local::Locals;
use super::replica::Replica;
use super::source::DiskSource;
use super::stats::{Counters, DiskStats};
use super::{DiskSettings, LIMIT_BYTES_MIN, OFF_FOR};
use crate::geometry::{Geometry, in_memory};
use crate::pool::Pool;
use crate::settings::Limits;
use crate::{BlockSource, CacheSettings, ObjectRef};

/// Replicas that are kept open: two descriptors each, an eighth of the usual 1,024 together. To open
/// one costs a few microseconds, so more would be of little use.
const OPEN_MAX: usize = 64;

/// Threads that read the disk at once: as many requests as an SSD needs to be busy.
const READS_MAX: usize = 16;

/// Blocks that wait to be written, at least.
const QUEUE_BLOCKS_MIN: u64 = 8;

/// A folder of replicas. Cheap to clone: all clones are one cache.
#[derive(Clone)]
pub struct DiskCache(pub(crate) Arc<Tier>);

/// What the clones share. Order of locks: each is taken alone.
pub(crate) struct Tier {
    pub(crate) root: PathBuf,
    /// The bucket's folder below it.
    pub(crate) folder: PathBuf,
    bucket: String,
    pub(crate) limit_bytes: u64,
    pub(crate) geometry: Geometry,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) counters: Counters,
    pub(crate) pool: Arc<Pool>,
    pub(crate) open: Cache<ReplicaId, Arc<Replica>>,
    /// Room for threads that read.
    pub(crate) reads: Arc<Semaphore>,
    /// Room for blocks that wait to be written, in bytes.
    pub(crate) queue_room: Arc<Semaphore>,
    pub(crate) queue: Mutex<Queue>,
    /// Whether this process has counted the files.
    pub(crate) is_counted: AtomicBool,
    /// Whole replicas that others read.
    pub(crate) locals: Locals,
    off: Mutex<Option<Off>>,
}

/// What is to be done under the folder's lock.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    /// Whether somebody works at it.
    pub(crate) is_worked_at: bool,
}

/// What is not done for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Nothing is kept.
    Keeping,
    /// Nothing is read, either.
    All,
}

#[derive(Debug)]
struct Off {
    until: Instant,
    scope: Scope,
    why: String,
}

impl DiskCache {
    /// The cache in that folder, which is made when the first block is kept. Threads for the disk are
    /// those for blocking work of `runtime`.
    #[must_use]
    pub fn new(settings: DiskSettings, clock: Arc<dyn Clock>, runtime: Handle) -> Self {
        let limits = Limits::from(CacheSettings {
            block_bytes: settings.block_bytes,
            ..CacheSettings::default()
        });
        let block_bytes = limits.geometry.block_bytes();
        let queue_bytes = settings.queue_bytes.max(QUEUE_BLOCKS_MIN * block_bytes);
        let queue_bytes = in_memory(queue_bytes).min(Semaphore::MAX_PERMITS);
        let block = in_memory(block_bytes);
        Self(Arc::new(Tier {
            folder: settings.folder.join(&settings.bucket_folder),
            root: settings.folder,
            bucket: settings.bucket,
            limit_bytes: settings.limit_bytes.max(LIMIT_BYTES_MIN),
            geometry: limits.geometry,
            clock,
            runtime,
            counters: Counters::default(),
            pool: Pool::new(block, queue_bytes / block),
            open: Cache::new(OPEN_MAX),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            queue_room: Arc::new(Semaphore::new(queue_bytes)),
            queue: Mutex::default(),
            is_counted: AtomicBool::new(false),
            locals: Locals::default(),
            off: Mutex::default(),
        }))
    }

    /// A source that looks here first, and keeps here what `below` gives.
    #[must_use]
    pub fn over(&self, below: Arc<dyn BlockSource>) -> Arc<dyn BlockSource> {
        Arc::new(DiskSource::new(Arc::clone(&self.0), below))
    }

    /// The folder that is shared.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// What it has done and holds.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        DiskStats {
            limit_bytes: self.0.limit_bytes,
            off: self.0.off(),
            ..self.0.counters.snapshot()
        }
    }

    /// Waits until all that was to be kept by now is written, or given up.
    pub async fn settle(&self) {
        let (done, waiting) = oneshot::channel();
        self.0.enqueue(Job::Tell(done));
        // Where the runtime ends first, there is nothing to wait for.
        drop(waiting.await);
    }
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskCache")
            .field("folder", &self.0.folder)
            .field("limit_bytes", &self.0.limit_bytes)
            .finish_non_exhaustive()
    }
}

impl Tier {
    pub(crate) fn header(&self, object: &ObjectRef) -> Header {
        let id = ReplicaId::new(&self.bucket, object, self.geometry.block_bytes());
        Header::new(id, object, self.geometry)
    }

    /// Seconds since 1970, as entries say them.
    pub(crate) fn seconds(&self) -> u32 {
        let secs = self.clock.wall().secs();
        u32::try_from(secs.max(0)).unwrap_or(u32::MAX)
    }

    /// Why nothing is kept at the moment, if so.
    pub(crate) fn off(&self) -> Option<String> {
        let now = self.clock.now();
        let mut off = self.off.lock();
        if off.as_ref().is_some_and(|off| off.until <= now) {
            *off = None;
        }
        off.as_ref().map(|off| off.why.clone())
    }

    pub(crate) fn is_off(&self) -> bool {
        let now = self.clock.now();
        self.off.lock().as_ref().is_some_and(|off| now < off.until)
    }

    /// Whether nothing is to be read, because the disk did not answer a short while ago.
    pub(crate) fn is_silent(&self) -> bool {
        let now = self.clock.now();
        let off = self.off.lock();
        off.as_ref()
            .is_some_and(|off| now < off.until && off.scope == Scope::All)
    }

    /// Keeps nothing for a while, or reads nothing, either.
    pub(crate) fn turn_off(&self, why: &io::Error, scope: Scope) {
        let until = self.clock.now() + OFF_FOR;
        let why = why.to_string();
        *self.off.lock() = Some(Off { until, scope, why });
    }
}
