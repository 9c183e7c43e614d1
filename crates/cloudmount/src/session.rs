//! [`CloudMount`]: an open filesystem, from its first look at the bucket to its last upload.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudmount_cache::disk::DiskCache;
use cloudmount_cache::notes::Notes;
use cloudmount_cache::strategy::Eviction;
use cloudmount_cache::{CacheParts, CacheSettings, ReadObserver};
use cloudmount_core::feed::Followed;
use cloudmount_core::{Core, CoreSettings, DirectIo, Globs, Litter, Local, Mode, PageCache, Parts};
use cloudmount_stage::{KeyStatus, Phase, Recovery, Stage, StageSettings};
use cloudmount_store::Location;
use cloudmount_store::layer::{Link, Meter, MeterSnapshot};
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use crate::attribute_index;
use crate::builder::Builder;
use crate::connection::Lookout;
use crate::disk_cache;
use crate::elsewhere::{self, Elsewhere};
use crate::feeds;
use crate::settings::{ConflictPolicy, Durable, WriteCache};
use crate::staging::{self, Staging};
use crate::{Recording, Result, Settings, Status, machine_memory, stack};

/// A bucket, open as a filesystem. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct CloudMount {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) location: Location,
    pub(crate) settings: Settings,
    pub(crate) meter: Arc<Meter>,
    pub(crate) link: Arc<Link>,
    _lookout: Lookout,
    #[cfg_attr(
        not(all(feature = "fuse", target_os = "linux")),
        expect(dead_code, reason = "mounts are served by it")
    )]
    pub(crate) runtime: Handle,
    #[cfg_attr(
        not(all(feature = "fuse", target_os = "linux")),
        expect(
            dead_code,
            reason = "what it says of safety is told once it is mounted"
        )
    )]
    pub(crate) endpoint: Option<String>,
    pub(crate) disk: Option<DiskCache>,
    pub(crate) feeds: Mutex<Vec<Followed>>,
    recovery: Recovery,
    elsewhere: Vec<Elsewhere>,
    staging: Staging,
    clock: Arc<dyn Clock>,
}

/// How often a close looks whether anything still goes on.
const STUCK_EVERY: Duration = Duration::from_millis(200);

/// Looks in a row, 2 s, without anything that goes on: what failed before has had its new try by
/// then.
const STUCK_LOOKS: u32 = 10;

/// How long a close waits for attributes to be kept, on disk and in manifests: what is lost is asked for again.
const KEEP_WAIT: Duration = Duration::from_secs(10);

/// How long a close waits for blocks to be kept on disk: what is lost is fetched again.
const DISK_WAIT: Duration = Duration::from_secs(2);

/// How a close went.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "it says what is not in the bucket"]
pub struct Closed {
    /// What did not reach the bucket, at most 1,000 keys. It waits in [`staging`](Self::staging),
    /// and the next one who opens the bucket with that folder goes on with it.
    pub remaining: Vec<String>,
    /// How many did not.
    pub remaining_count: usize,
    /// Where they wait.
    pub staging: PathBuf,
}

impl Closed {
    /// Whether all is in the bucket.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.remaining_count == 0
    }
}

impl fmt::Debug for CloudMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudMount")
            .field("location", &self.shared.location)
            .field("staging", &self.staging())
            .finish_non_exhaustive()
    }
}

pub(crate) async fn open(location: Location, builder: Builder) -> Result<CloudMount> {
    let staged = stage_settings(&builder);
    let Builder {
        settings,
        environment,
        staging,
        eviction,
        recording,
        clock,
        ..
    } = builder;
    let stack = stack::open(&location, &settings, &environment, &clock).await?;
    let bucket = staging::Bucket::new(&location, stack.endpoint.as_deref());
    let is_given = staging.is_some();
    let staging = match staging {
        Some(folder) => Staging::at(folder),
        None => Staging::find(&location, &bucket, &settings, &environment)?,
    };
    // What lies beside a folder that somebody chose is not ours to look at.
    let elsewhere = match is_given {
        true => Vec::new(),
        false => elsewhere::look(&location, &bucket, staging.path()),
    };
    bucket.check(staging.path())?;
    let (stage, events, recovery) = Stage::open(
        staging.path(),
        Arc::clone(&stack.store) as _,
        staged,
        Arc::clone(&clock),
        &Handle::current(),
    )
    .map_err(|error| staging::unusable(staging.path(), error))?;
    bucket.mark(staging.path())?;
    tell(&recovery);
    let lookout = Lookout::new(&stack, stage.clone(), &clock);
    let parts = Parts {
        store: stack.store,
        stage,
        events,
        clock: Arc::clone(&clock),
        runtime: Handle::current(),
    };
    let disk = disk_cache::open(&location, &bucket, &settings, &clock)?;
    let index = match is_given {
        true => None,
        false => attribute_index::open(&location, &bucket, &settings, &environment)?,
    };
    let how = core_settings(&settings, recording.as_deref());
    let blocks = cache_parts(&settings, eviction, recording, &clock);
    let core = Core::with_local(parts, local(disk.as_ref(), index.as_ref()), blocks, how);
    let feeds = feeds::open(&location, &settings, &core, &clock).await?;
    Ok(CloudMount {
        shared: Arc::new(Shared {
            core: Arc::new(core),
            location,
            settings,
            meter: stack.meter,
            link: stack.link,
            _lookout: lookout,
            recovery,
            elsewhere,
            staging,
            clock,
            runtime: Handle::current(),
            endpoint: stack.endpoint,
            disk,
            feeds: Mutex::new(feeds),
        }),
    })
}

/// What adapters of Linux show is the core itself: they know programs that index all files by their names.
#[cfg(not(target_os = "macos"))]
pub type Volume = Core;

/// What adapters of macOS show: Spotlight, which cannot be turned away, looks for a file.
#[cfg(target_os = "macos")]
pub type Volume = cloudmount_core::NeverIndexed;

#[cfg(not(target_os = "macos"))]
fn shown(core: Arc<Core>, _: &Settings) -> Arc<Volume> {
    core
}

#[cfg(target_os = "macos")]
fn shown(core: Arc<Core>, settings: &Settings) -> Arc<Volume> {
    let spotlight = match settings.indexers {
        true => cloudmount_core::Spotlight::LetIn,
        false => cloudmount_core::Spotlight::KeptAway,
    };
    Arc::new(Volume::new(core, spotlight))
}

impl CloudMount {
    /// Begins to open `location`: `s3://BUCKET/PREFIX`, `file:///FOLDER`, `memory:`, and with their
    /// features `gs://BUCKET/PREFIX` and `az://CONTAINER/PREFIX`.
    pub fn builder(location: impl Into<String>) -> Builder {
        Builder::new(location.into())
    }

    /// The filesystem itself, for adapters and for whoever works by inode.
    #[must_use]
    pub fn vfs(&self) -> Arc<Core> {
        Arc::clone(&self.shared.core)
    }

    /// The filesystem as a platform's adapter shows it.
    #[must_use]
    pub fn volume(&self) -> Arc<Volume> {
        shown(self.vfs(), &self.shared.settings)
    }

    /// Which bucket.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.shared.location
    }

    /// Where the journal lies, and what waits to be uploaded.
    #[must_use]
    pub fn staging(&self) -> &Path {
        self.shared.staging.path()
    }

    /// What an earlier end left to do.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.shared.recovery
    }

    /// What waits for the same bucket at the same endpoint in other staging folders, because another
    /// part of it was open there. It goes on when that part is opened again, not here.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<Elsewhere> {
        self.shared.elsewhere()
    }

    /// How everything stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// Requests to the store since the start, by operation, with their bytes.
    #[must_use]
    pub fn requests(&self) -> MeterSnapshot {
        self.shared.meter.snapshot()
    }

    /// Uploads what waits, for as long as [`Settings::drain`] allows, and ends all work. Does not
    /// wait for what cannot be uploaded: files that are still open, and uploads that need a person.
    pub async fn close(self) -> Closed {
        let deadline = self.shared.settings.drain.0;
        self.close_within(deadline).await
    }

    /// As [`close`](Self::close), within `deadline`.
    pub async fn close_within(self, deadline: Duration) -> Closed {
        let core = &self.shared.core;
        self.shared.feeds().clear();
        // A pause ends here: what waits is wanted in the bucket.
        core.stage().resume();
        core.settle();
        tokio::select! {
            _ = core.stage().drain(deadline) => {}
            () = self.shared.stuck() => {}
        }
        let left = core.stage().status();
        tokio::select! {
            () = core.remember() => {}
            () = self.shared.clock.sleep(KEEP_WAIT) => {}
        }
        core.stage().clone().shutdown().await;
        if let Some(disk) = &self.shared.disk {
            tokio::select! {
                () = disk.settle() => {}
                () = self.shared.clock.sleep(DISK_WAIT) => {}
            }
        }
        Closed {
            remaining: left.keys.into_iter().map(remaining).collect(),
            remaining_count: left.totals.keys,
            staging: self.staging().to_owned(),
        }
    }
}

fn remaining(key: KeyStatus) -> String {
    let why = match key.phase {
        Phase::Open => Some("it was not closed".to_owned()),
        _ => key.error,
    };
    match why {
        Some(why) => format!("{}: {why}", key.key),
        None => key.key,
    }
}

impl Shared {
    pub(crate) fn feeds(&self) -> MutexGuard<'_, Vec<Followed>> {
        // Nothing that holds it can fail half-way.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elsewhere(&self) -> Vec<Elsewhere> {
        elsewhere::look_again(&self.elsewhere)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn staging_path(&self) -> &Path {
        self.staging.path()
    }

    /// Returns when nothing that waits will go on by itself: what is left is still open, or failed
    /// for a reason that needs a person.
    async fn stuck(&self) {
        let mut looks = 0;
        while looks < STUCK_LOOKS {
            self.clock.sleep(STUCK_EVERY).await;
            let totals = self.core.stage().status().totals;
            let is_stuck = totals.keys == totals.open + totals.failed;
            looks = if is_stuck { looks + 1 } else { 0 };
        }
    }
}

fn tell(recovery: &Recovery) {
    if recovery.pending + recovery.removals > 0 {
        tracing::info!(
            uploads = recovery.pending,
            removals = recovery.removals,
            "going on with what was left"
        );
    }
    for aside in &recovery.set_aside {
        tracing::warn!(?aside, "written but never closed before a crash: set aside");
    }
}

fn local<'a>(disk: Option<&'a DiskCache>, index: Option<&'a Notes>) -> Local<'a> {
    Local {
        replicas: disk,
        attributes: index,
    }
}

fn cache_parts(
    settings: &Settings,
    eviction: Option<Eviction>,
    recording: Option<Arc<Recording>>,
    clock: &Arc<dyn Clock>,
) -> CacheParts {
    CacheParts {
        settings: CacheSettings {
            memory_bytes: machine_memory::for_blocks(settings),
            ..CacheSettings::default()
        },
        eviction: eviction.unwrap_or_else(|| settings.cache_strategy.eviction()),
        observer: recording.map(|recording| recording as Arc<dyn ReadObserver>),
        clock: Arc::clone(clock),
    }
}

fn stage_settings(builder: &Builder) -> StageSettings {
    let settings = &builder.settings;
    StageSettings {
        host: host(),
        conflict: match settings.conflict {
            ConflictPolicy::KeepBoth => cloudmount_stage::ConflictPolicy::KeepBoth,
            ConflictPolicy::Fail => cloudmount_stage::ConflictPolicy::Fail,
            ConflictPolicy::Overwrite => cloudmount_stage::ConflictPolicy::Overwrite,
        },
        requests_max: settings.uploads,
        part_requests_max: settings
            .uploads
            .min(StageSettings::default().part_requests_max),
        staging_bytes_max: settings.staging_limit.map(|limit| limit.0),
        kept_bytes_max: settings.kept_limit.map(|limit| limit.0),
        #[cfg(feature = "failpoints")]
        journal_bytes_min: (builder.journal_bytes_min)
            .unwrap_or_else(|| StageSettings::default().journal_bytes_min),
        ..StageSettings::default()
    }
}

fn host() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    if name.is_empty() {
        "this machine".to_owned()
    } else {
        name.replace('/', "-")
    }
}

fn litter(settings: &Settings) -> Litter {
    let names = match &settings.litter_names {
        Some(names) => names.0.clone(),
        // A test reads them.
        None => Globs::parse(Litter::NAMES).unwrap_or_default(),
    };
    Litter::new(settings.litter.policy(), names)
}

fn core_settings(settings: &Settings, recording: Option<&Recording>) -> CoreSettings {
    let durable = |durable| match durable {
        Durable::Local => cloudmount_core::Durable::Local,
        Durable::Remote => cloudmount_core::Durable::Remote,
    };
    let user = || rustix::process::geteuid().as_raw();
    let group = || rustix::process::getegid().as_raw();
    CoreSettings {
        uid: settings.uid.unwrap_or_else(user),
        gid: settings.gid.unwrap_or_else(group),
        file_permissions: settings.permissions_of_files(),
        folder_permissions: settings.permissions_of_folders(),
        ttl: settings.times_to_live(),
        mode: if settings.read_only {
            Mode::ReadOnly
        } else {
            Mode::ReadWrite
        },
        page_cache: recording.map_or(PageCache::Used, |_| PageCache::Bypassed),
        close: durable(settings.close),
        fsync: durable(settings.fsync),
        attributes: settings.attributes.shown(),
        manifest: settings.manifest.used(),
        dialect: settings.attribute_dialect.dialect(),
        litter: litter(settings),
        local_files: settings.passthrough,
        direct_io: DirectIo::new(settings.direct_io.0.clone(), settings.direct_io_changed.0),
        write_cache: match settings.write_cache {
            WriteCache::Keep => cloudmount_core::WriteCache::Keep,
            WriteCache::Bypass => cloudmount_core::WriteCache::Bypass,
        },
        files_ahead: settings.files_ahead.into(),
        ..CoreSettings::default()
    }
}
