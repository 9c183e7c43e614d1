//! [`CloudMount`]: an open filesystem, from its first look at the bucket to its last upload.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_cache::CacheSettings;
use cloudmount_core::{Core, CoreSettings, Mode, Parts};
use cloudmount_stage::{DrainReport, Recovery, Stage, StageSettings};
use cloudmount_store::Location;
use cloudmount_store::layer::Meter;
use cloudmount_vfs::{ErrorKind, Permissions};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::builder::Builder;
use crate::settings::{ConflictPolicy, Durable};
use crate::{Environment, Error, Result, Settings, Status, stack};

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
    recovery: Recovery,
    staging: Staging,
}

/// Where what waits to be uploaded lies.
enum Staging {
    Kept(PathBuf),
    /// Of a bucket that ends with the process.
    Temporary(Temporary),
}

/// A folder that is removed when it is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "a temporary folder is left");
        }
    }
}

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
    let Builder {
        settings,
        environment,
        clock,
        ..
    } = builder;
    let stack = stack::open(&location, &settings, &environment, &clock).await?;
    let staging = staging(&location, &settings, &environment)?;
    let folder = staging.path();
    let (stage, events, recovery) = Stage::open(
        folder,
        Arc::clone(&stack.store),
        stage_settings(&settings),
        Arc::clone(&clock),
        &Handle::current(),
    )
    .map_err(|error| staging_error(folder, error))?;
    tell(&recovery);
    let parts = Parts {
        store: stack.store,
        stage,
        events,
        clock,
        runtime: Handle::current(),
    };
    let cache = CacheSettings {
        memory_bytes: settings.cache_memory.0,
        ..CacheSettings::default()
    };
    let core = Core::new(parts, cache, core_settings(&settings));
    Ok(CloudMount {
        shared: Arc::new(Shared {
            core: Arc::new(core),
            location,
            settings,
            meter: stack.meter,
            recovery,
            staging,
        }),
    })
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

    /// How everything stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// Uploads what waits, for as long as [`Settings::drain`] allows, and ends all work.
    pub async fn close(self) -> Closed {
        let deadline = self.shared.settings.drain.0;
        self.close_within(deadline).await
    }

    /// As [`close`](Self::close), within `deadline`.
    pub async fn close_within(self, deadline: Duration) -> Closed {
        let core = &self.shared.core;
        core.settle();
        let report = core.stage().drain(deadline).await;
        core.stage().clone().shutdown().await;
        closed(report, self.staging())
    }
}

fn closed(report: DrainReport, staging: &Path) -> Closed {
    let remaining = report.remaining.into_iter();
    Closed {
        remaining: remaining
            .map(|one| match one.error {
                Some(error) => format!("{}: {error}", one.key),
                None => one.key,
            })
            .collect(),
        remaining_count: report.remaining_count,
        staging: staging.to_owned(),
    }
}

impl Shared {
    pub(crate) fn staging_path(&self) -> &Path {
        self.staging.path()
    }
}

impl Staging {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Temporary(Temporary(path)) => path,
        }
    }
}

fn staging(location: &Location, settings: &Settings, environment: &Environment) -> Result<Staging> {
    if let Some(folder) = &settings.cache_dir {
        return Ok(Staging::Kept(folder.clone()));
    }
    let name = name_of(location, settings);
    if *location == Location::Memory && settings.state_dir.is_none() {
        let folder = temporary_folder(environment)?;
        return Ok(Staging::Temporary(Temporary(folder)));
    }
    let state = match &settings.state_dir {
        Some(folder) => folder.clone(),
        None => environment.state_dir()?,
    };
    Ok(Staging::Kept(state.join("staging").join(name)))
}

/// One folder for one bucket at one endpoint, with a name that a person recognises.
fn name_of(location: &Location, settings: &Settings) -> String {
    let endpoint = settings.endpoint.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{location}\n{endpoint}"));
    let hash: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let readable: String = location
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    format!("{}-{hash}", readable.trim_matches('-'))
}

fn temporary_folder(environment: &Environment) -> Result<PathBuf> {
    let base = environment.get("TMPDIR").unwrap_or("/tmp");
    for number in 0..1000 {
        let name = format!("cloudmount-{}-{number}", std::process::id());
        let folder = Path::new(base).join(name);
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::new(format!("cannot make {}", folder.display()))
                    .because(error)
                    .or("set TMPDIR to a folder that may be written"));
            }
        }
    }
    Err(Error::new(format!("cannot make a new folder in {base}")).or("remove old ones"))
}

fn staging_error(folder: &Path, error: cloudmount_vfs::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::Busy => {
            "another mount of this bucket uses it: unmount that one, or give this one a --cache-dir"
        }
        ErrorKind::Unsupported => "a newer version wrote it: use that one",
        ErrorKind::Corrupt => "keep a copy of it, and give this mount another --cache-dir",
        ErrorKind::NoSpace => "make room on its disk, or give a --cache-dir on another one",
        _ => "make it writable, or give another one with --cache-dir or --state-dir",
    };
    Error::new(format!(
        "cannot use the staging folder {}",
        folder.display()
    ))
    .because(error)
    .or(remedy)
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

fn stage_settings(settings: &Settings) -> StageSettings {
    StageSettings {
        host: host(),
        conflict: match settings.conflict {
            ConflictPolicy::KeepBoth => cloudmount_stage::ConflictPolicy::KeepBoth,
            ConflictPolicy::Fail => cloudmount_stage::ConflictPolicy::Fail,
            ConflictPolicy::Overwrite => cloudmount_stage::ConflictPolicy::Overwrite,
        },
        requests_max: settings.uploads,
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

fn core_settings(settings: &Settings) -> CoreSettings {
    let durable = |durable| match durable {
        Durable::Local => cloudmount_core::Durable::Local,
        Durable::Remote => cloudmount_core::Durable::Remote,
    };
    let user = || rustix::process::geteuid().as_raw();
    let group = || rustix::process::getegid().as_raw();
    CoreSettings {
        uid: settings.uid.unwrap_or_else(user),
        gid: settings.gid.unwrap_or_else(group),
        file_permissions: Permissions::from_mode(settings.file_mode.0),
        folder_permissions: Permissions::from_mode(settings.dir_mode.0),
        ttl: settings.ttl.0,
        mode: if settings.read_only {
            Mode::ReadOnly
        } else {
            Mode::ReadWrite
        },
        close: durable(settings.close),
        fsync: durable(settings.fsync),
        ..CoreSettings::default()
    }
}
