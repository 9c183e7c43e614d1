//! [`CoreWorld`]: a core over a bucket in memory, its staging folder, and time.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_cache::CacheSettings;
use cloudmount_cache::notes::{Notes, NotesSettings};
use cloudmount_core::{Core, CoreSettings, Local, ManifestUse, Parts, TimesToLive, manifest};
use cloudmount_stage::{Phase, Scope, Stage, StageSettings};
use cloudmount_store::layer::{Fault, FaultPlan};
use cloudmount_store::{Capabilities, MemoryStore, Store};
use cloudmount_testkit::dialect::LAG;
use cloudmount_testkit::kernel::Options;
use cloudmount_testkit::{Dialect, LogStore, ManualClock, S3Server, World, transcript};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::bucket::Bucket;

/// How often a short rest is tried: mostly the threads have nothing to do, or are done by then.
const SHORT_RESTS: u32 = 50;

/// Lets the stage's threads work: of many rests in a row, the first ones are short.
#[expect(
    clippy::disallowed_methods,
    reason = "threads that read files take the machine's time, not the test's"
)]
async fn real_rest(nth: u32) {
    if nth < SHORT_RESTS {
        // A timer of the runtime would take two milliseconds.
        std::thread::sleep(Duration::from_micros(50));
    } else {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How long the stage's real work (threads that read files) may take before a test gives up.
const PATIENCE: u32 = 20_000;

/// What is believed without asking the bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// What it said within a second.
    Second,
    /// Nothing.
    None,
}

/// What a world is made with.
#[derive(Clone, Default)]
struct How {
    core: CoreSettings,
    stage: StageSettings,
    cache: CacheSettings,
    notes: Option<Notes>,
    dialect: Option<Dialect>,
    tags: Tags,
}

/// What the versions of objects tell.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Tags {
    #[default]
    EachWrite,
    /// Their contents alone; and dates are whole seconds.
    Contents,
}

pub(crate) struct CoreWorld {
    pub(crate) core: Arc<Core>,
    pub(crate) log: Arc<LogStore>,
    pub(crate) fault: Arc<Fault>,
    bucket: Bucket,
    clock: ManualClock,
    dir: TempDir,
    /// Where it keeps attributes, if that goes with it.
    notes_dir: Option<TempDir>,
    /// Whether what is known is kept whenever all has settled.
    keeps_at_once: bool,
    how: How,
    options: Options,
}

impl CoreWorld {
    /// One whose kernel asks nothing of its own accord.
    pub(crate) fn quiet() -> Self {
        Self::new().quietly()
    }

    /// The same, with such a kernel.
    pub(crate) fn quietly(self) -> Self {
        Self {
            options: transcript::quiet(),
            ..self
        }
    }

    /// The same, with a kernel that is like that.
    pub(crate) fn seen_by(self, options: Options) -> Self {
        Self { options, ..self }
    }

    pub(crate) fn new() -> Self {
        Self::with(Trust::Second)
    }

    pub(crate) fn with(trust: Trust) -> Self {
        Self::with_settings(CoreSettings {
            ttl: TimesToLive::all(match trust {
                Trust::Second => Duration::from_secs(1),
                Trust::None => Duration::ZERO,
            }),
            ..CoreSettings::default()
        })
    }

    pub(crate) fn with_settings(settings: CoreSettings) -> Self {
        Self::how(How {
            core: settings,
            ..How::default()
        })
    }

    /// One that keeps attributes there.
    pub(crate) fn remembering(core: CoreSettings, notes: Notes) -> Self {
        Self::how(How {
            core,
            notes: Some(notes),
            ..How::default()
        })
    }

    /// One that writes manifests, of each folder as soon as there is anything.
    pub(crate) fn publishing() -> Self {
        let core = CoreSettings {
            manifest: ManifestUse::Write,
            manifest_after: 1,
            ..CoreSettings::default()
        };
        Self {
            keeps_at_once: true,
            ..Self::with_settings(core)
        }
    }

    /// One that keeps attributes on disk.
    pub(crate) fn noting() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::new(NotesSettings {
            folder: dir.path().join("attributes"),
            bucket: "memory".to_owned(),
            bucket_folder: "memory".to_owned(),
            limit_bytes: 1 << 20,
        });
        Self {
            notes_dir: Some(dir),
            keeps_at_once: true,
            ..Self::remembering(CoreSettings::default(), notes)
        }
    }

    /// One whose bucket tells apart contents and seconds only, as most servers do.
    pub(crate) fn coarse(core: CoreSettings) -> Self {
        Self::how(How {
            core,
            tags: Tags::Contents,
            ..How::default()
        })
    }

    /// One whose bucket speaks a dialect, of which nobody knows anything.
    pub(crate) fn speaking(dialect: Dialect, core: CoreSettings) -> Self {
        Self::how(How {
            core,
            dialect: Some(dialect),
            ..How::default()
        })
    }

    /// The server that it speaks to, if it does by HTTP.
    pub(crate) fn server(&self) -> Option<Arc<S3Server>> {
        self.bucket.server.clone()
    }

    /// Another mount of the same bucket, with a staging folder of its own.
    pub(crate) fn beside(&self) -> Self {
        self.beside_with(self.how.core.clone())
    }

    /// The same, with other settings.
    pub(crate) fn beside_with(&self, core: CoreSettings) -> Self {
        let how = How {
            core,
            ..self.how.clone()
        };
        Self {
            options: self.options,
            ..Self::on(tempfile::tempdir().unwrap(), self.bucket.clone(), how)
        }
    }

    /// With so many bytes of memory for blocks.
    pub(crate) fn with_memory(settings: CoreSettings, memory_bytes: u64) -> Self {
        let cache = CacheSettings {
            memory_bytes,
            ..CacheSettings::default()
        };
        Self::how(How {
            core: settings,
            cache,
            ..How::default()
        })
    }

    /// Over a bucket that can do all.
    fn how(how: How) -> Self {
        Self::over(how, MemoryStore::CAPABILITIES)
    }

    /// One whose stage has these settings, over a bucket that can do so much.
    pub(crate) fn staged(
        core: CoreSettings,
        stage: StageSettings,
        capabilities: Capabilities,
    ) -> Self {
        let how = How {
            core,
            stage,
            ..How::default()
        };
        Self::over(how, capabilities)
    }

    fn over(how: How, capabilities: Capabilities) -> Self {
        let clock = ManualClock::new();
        let mut bucket = MemoryStore::with_capabilities(Arc::new(clock.clone()), capabilities);
        if how.tags == Tags::Contents {
            bucket = bucket.tagging_contents();
        }
        let bucket = Bucket::plain(bucket, clock);
        let bucket = match how.dialect {
            None => bucket,
            Some(dialect) => bucket.speaking(dialect),
        };
        Self::on(tempfile::tempdir().unwrap(), bucket, how)
    }

    /// What `work` gives, while time passes.
    pub(crate) async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        for nth in 0..PATIENCE {
            if let Some(done) = futures::FutureExt::now_or_never(&mut work) {
                return done;
            }
            self.clock.pass(Duration::from_millis(10)).await;
            real_rest(nth).await;
        }
        panic!("it waits: {:#?}", self.core.stage().status());
    }

    fn on(dir: TempDir, bucket: Bucket, how: How) -> Self {
        let clock = bucket.clock.clone();
        let fault = Arc::new(Fault::new(
            Arc::clone(&bucket.spoken),
            FaultPlan::none(),
            Arc::new(clock.clone()),
        ));
        let log = Arc::new(LogStore::new(Arc::clone(&fault) as _));
        let store: Arc<dyn Store> = Arc::clone(&log) as _;
        let (stage, events, _) = Stage::open(
            dir.path(),
            Arc::clone(&store),
            how.stage.clone(),
            Arc::new(clock.clone()),
            &Handle::current(),
        )
        .unwrap();
        let parts = Parts {
            store,
            stage,
            events,
            clock: Arc::new(clock.clone()),
            runtime: Handle::current(),
        };
        let local = Local {
            attributes: how.notes.as_ref(),
            ..Local::default()
        };
        let core = Core::with_local(parts, local, how.cache, how.core.clone());
        let core = Arc::new(core);
        Self {
            core,
            log,
            fault,
            bucket,
            clock,
            dir,
            notes_dir: None,
            keeps_at_once: false,
            how,
            options: Options::default(),
        }
    }

    /// Waits, a little of the clock's time at a time, until it is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for nth in 0..PATIENCE {
            if is_so(self) {
                return;
            }
            self.clock.pass(Duration::from_millis(10)).await;
            real_rest(nth).await;
        }
        panic!("never: {what}: {:#?}", self.core.stage().status());
    }

    /// What is in the folder of staged files.
    pub(crate) fn local_files(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("data")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Whether nothing waits but for someone who has a file open.
    /// How much is on its way to the bucket, or held back by somebody who has the old object open.
    fn waiting(&self) -> Waiting {
        let stage = self.core.stage();
        // The status shows the files of a folder that is being renamed together, not each.
        let keys = stage.keys_of(&Scope::all()).into_iter();
        let keys: Vec<_> = keys.filter_map(|key| stage.key_status(&key)).collect();
        let mut waiting = keys.iter().filter(|key| key.phase != Phase::Open);
        let nobody_holds = self.core.stats().open == 0;
        if keys.iter().all(|key| key.phase == Phase::Open) {
            Waiting::Nothing
        } else if nobody_holds || waiting.any(|key| !key.held) {
            Waiting::Something
        } else {
            Waiting::Held
        }
    }
}

/// What is not in the bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    /// It may be for as long as something is open.
    Held,
    Something,
}

/// In how many looks in a row all that waits must be held: what a thread is about to let go is not.
const HELD_LOOKS: u32 = 50;

impl World for CoreWorld {
    type Fs = Core;

    fn vfs(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::clone(&self.bucket.memory) as _)
    }

    async fn settle(&self) {
        self.core.settle();
        let mut held = 0;
        for nth in 0..PATIENCE {
            self.clock.pass(Duration::from_millis(100)).await;
            let waiting = self.waiting();
            held = if waiting == Waiting::Held {
                held + 1
            } else {
                0
            };
            if waiting == Waiting::Nothing || held == HELD_LOOKS {
                // The events of the last commits.
                self.clock.pass(Duration::ZERO).await;
                if self.keeps_at_once {
                    self.meanwhile(self.core.remember()).await;
                }
                return;
            }
            real_rest(nth).await;
        }
        panic!(
            "the stage does not settle: {:#?}",
            self.core.stage().status()
        );
    }

    async fn remount(self) -> Option<Self> {
        self.core.settle();
        self.core.remember().await;
        let Self {
            core,
            bucket,
            clock,
            dir,
            notes_dir,
            keeps_at_once,
            how,
            options,
            ..
        } = self;
        let stage = core.stage().clone();
        drop(core);
        stage.shutdown().await;
        if how.dialect == Some(Dialect::Lags) {
            // A mount that was just begun knows nothing of what the last one did: see `late`.
            clock.pass(LAG).await;
        }
        Some(Self {
            options,
            notes_dir,
            keeps_at_once,
            ..Self::on(dir, bucket, how)
        })
    }

    fn options(&self) -> Options {
        self.options
    }

    fn unsupported(&self) -> &[&str] {
        match self.how.core.manifest {
            ManifestUse::Off | ManifestUse::Read => &[],
            // Its manifest is a key below it.
            ManifestUse::Write => &["a_folder_with_keys_needs_no_marker"],
        }
    }

    fn keeps_for_itself(&self, key: &str) -> bool {
        self.keeps_at_once && key.rsplit('/').next() == Some(manifest::NAME)
    }

    fn open_handles(&self) -> Option<usize> {
        Some(self.core.stats().open)
    }
}
