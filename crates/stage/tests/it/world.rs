//! [`World`]: a stage, its folder, a bucket, and time.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{
    Base, Event, Events, Recovery, RemoteBelief, Stage, StageSettings, StagedFile, Submit,
};
use cloudmount_store::layer::{Effect, Fault, FaultPlan, FaultRule, Operation};
use cloudmount_store::{
    Capabilities, GetOptions, Key, MemoryStore, Metadata, PutOptions, Store, StoreExt, Version,
};
use cloudmount_testkit::{Dialect, DialectStore, Lie, LogStore, LyingStore, ManualClock, S3Server};
use cloudmount_vfs::{Clock, SystemClock};
use tempfile::TempDir;

use crate::tagged::Tagged;

/// How long real work (threads that read files) may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A delay that no test ever waits for: the call stays under way until the clock is told.
pub(crate) const LONG: Duration = Duration::from_secs(1000);

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) bucket: Arc<MemoryStore>,
    pub(crate) fault: Arc<Fault>,
    pub(crate) log: Arc<LogStore>,
    pub(crate) settings: StageSettings,
    pub(crate) stage: Stage,
    events: Mutex<(Events, Vec<Event>)>,
    pub(crate) recovery: Recovery,
    /// What listens on loopback, where the ways of a dialect are those of HTTP.
    pub(crate) server: Option<S3Server>,
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(crate) fn metadata(mtime: &str) -> Metadata {
    Metadata {
        user: [("mtime".to_owned(), mtime.to_owned())].into(),
        ..Metadata::default()
    }
}

/// Bytes that differ everywhere.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(StageSettings::default(), MemoryStore::CAPABILITIES)
    }

    pub(crate) fn with(settings: StageSettings, capabilities: Capabilities) -> Self {
        let clock = ManualClock::new();
        let bucket = MemoryStore::with_capabilities(Arc::new(clock.clone()), capabilities);
        Self::on(
            tempfile::tempdir().unwrap(),
            Arc::new(bucket),
            clock,
            settings,
        )
    }

    /// On a bucket of which nobody knows what it honours; gives what lies about it.
    pub(crate) fn lying(settings: StageSettings, lie: Lie) -> (Self, Arc<LyingStore>) {
        let clock = ManualClock::new();
        let capabilities = Capabilities {
            part_bytes_min: 1 << 19,
            ..MemoryStore::CAPABILITIES
        };
        let bucket = MemoryStore::with_capabilities(Arc::new(clock.clone()), capabilities);
        let bucket = Arc::new(bucket);
        let liar = Arc::new(LyingStore::new(Arc::clone(&bucket) as _, lie));
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::clone(&liar) as _;
        (Self::over(dir, bucket, store, clock, settings), liar)
    }

    /// On a bucket of which nobody knows what it honours, and which speaks a dialect.
    pub(crate) fn speaking(
        settings: StageSettings,
        capabilities: Capabilities,
        dialect: Dialect,
    ) -> Self {
        let clock = ManualClock::new();
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let bucket = MemoryStore::with_capabilities(Arc::clone(&time), capabilities);
        let bucket = Arc::new(bucket);
        let dir = tempfile::tempdir().unwrap();
        if !dialect.is_of_http() {
            let store = Arc::new(DialectStore::new(Arc::clone(&bucket) as _, dialect, time));
            return Self::over(dir, bucket, store, clock, settings);
        }
        let server = S3Server::start(Arc::clone(&bucket) as _, dialect, real_time()).unwrap();
        let store = server.store(capabilities);
        Self {
            server: Some(server),
            ..Self::over(dir, bucket, store, clock, settings)
        }
    }

    /// On a bucket whose tags are those of S3.
    pub(crate) fn tagged(settings: StageSettings, capabilities: Capabilities) -> Self {
        let clock = ManualClock::new();
        let bucket = MemoryStore::with_capabilities(Arc::new(clock.clone()), capabilities);
        let bucket = Arc::new(bucket);
        let store = Arc::new(Tagged::new(Arc::clone(&bucket)));
        let dir = tempfile::tempdir().unwrap();
        Self::over(dir, bucket, store, clock, settings)
    }

    /// On a bucket that keeps former versions.
    pub(crate) fn versioned(settings: StageSettings, capabilities: Capabilities) -> Self {
        let clock = ManualClock::new();
        let bucket = MemoryStore::with_capabilities(Arc::new(clock.clone()), capabilities);
        let bucket = Arc::new(bucket.keeping_versions());
        Self::on(tempfile::tempdir().unwrap(), bucket, clock, settings)
    }

    fn on(
        dir: TempDir,
        bucket: Arc<MemoryStore>,
        clock: ManualClock,
        settings: StageSettings,
    ) -> Self {
        let inner: Arc<dyn Store> = Arc::clone(&bucket) as _;
        Self::over(dir, bucket, inner, clock, settings)
    }

    fn over(
        dir: TempDir,
        bucket: Arc<MemoryStore>,
        inner: Arc<dyn Store>,
        clock: ManualClock,
        settings: StageSettings,
    ) -> Self {
        let fault = Arc::new(Fault::new(
            inner,
            FaultPlan::none(),
            Arc::new(clock.clone()),
        ));
        let log = Arc::new(LogStore::new(Arc::clone(&fault) as _));
        let (stage, events, recovery) = open(&dir, &log, &settings, &clock);
        Self {
            dir,
            clock,
            bucket,
            fault,
            log,
            settings,
            stage,
            events: Mutex::new((events, Vec::new())),
            recovery,
            server: None,
        }
    }

    /// Ends the stage without finishing anything, as a kill does, and opens the folder again.
    pub(crate) async fn crash(&mut self) {
        self.crash_then(|_| ()).await;
    }

    /// As [`crash`](Self::crash), with something done to the folder in between.
    pub(crate) async fn crash_then(&mut self, between: impl FnOnce(&TempDir)) {
        self.stage.clone().shutdown().await;
        between(&self.dir);
        let (stage, events, recovery) = open(&self.dir, &self.log, &self.settings, &self.clock);
        self.stage = stage;
        self.events = Mutex::new((events, Vec::new()));
        self.recovery = recovery;
    }

    /// A stage on a copy of the folder, changed by `change`, and on a bucket of its own.
    pub(crate) fn on_copy(
        &self,
        bucket: Arc<MemoryStore>,
        clock: ManualClock,
        change: impl FnOnce(&Path),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(self.dir.path(), dir.path());
        change(dir.path());
        Self::on(dir, bucket, clock, self.settings.clone())
    }

    /// Content of an object, past all faults.
    pub(crate) async fn content(&self, text: &str) -> Option<Vec<u8>> {
        let bytes = self
            .bucket
            .get_bytes(&key(text), GetOptions::default())
            .await;
        bytes.ok().map(|bytes| bytes.to_vec())
    }

    pub(crate) async fn version(&self, text: &str) -> Option<Version> {
        self.bucket
            .head(&key(text))
            .await
            .ok()
            .map(|there| there.version)
    }

    pub(crate) async fn mtime(&self, text: &str) -> Option<String> {
        let there = self.bucket.head(&key(text)).await.ok()?;
        there.metadata.user.get("mtime").cloned()
    }

    /// What someone else writes, past the stage.
    pub(crate) async fn theirs(&self, text: &str, bytes: &[u8]) -> Version {
        let payload = Bytes::copy_from_slice(bytes).into();
        let options = PutOptions {
            metadata: metadata("theirs"),
            ..PutOptions::default()
        };
        self.bucket.put(&key(text), payload, options).await.unwrap()
    }

    pub(crate) async fn base(&self, text: &str) -> Base {
        let there = self.bucket.head(&key(text)).await.unwrap();
        Base {
            key: key(text),
            version: there.version,
            size: there.size,
        }
    }

    pub(crate) async fn belief(&self, text: &str) -> RemoteBelief {
        self.version(text)
            .await
            .map_or(RemoteBelief::Absent, RemoteBelief::Present)
    }

    /// A new file, written and closed.
    pub(crate) fn write(&self, text: &str, bytes: &[u8]) -> Arc<StagedFile> {
        let file = self.stage.create(&key(text), None, metadata("1")).unwrap();
        file.write_at(0, bytes).unwrap();
        self.stage.submit(&file, Submit::Closed).unwrap();
        file
    }

    /// An object that the stage wrote itself and has forgotten.
    pub(crate) async fn object(&mut self, text: &str, bytes: &[u8]) -> Base {
        drop(self.write(text, bytes));
        self.settle().await;
        drop(self.log.take());
        self.base(text).await
    }

    /// Lets every call of that kind hang until [`release`](Self::release).
    pub(crate) fn hang(&self, operation: Operation) {
        self.fault
            .add(FaultRule::new(Effect::Delay(LONG)).on(operation));
    }

    /// Lets what hangs go on, and hangs nothing more.
    pub(crate) fn release(&self) {
        self.fault.clear();
        self.clock.advance(LONG);
    }

    pub(crate) fn fault(&self, effect: Effect, operation: Operation, nth: u64) {
        self.fault
            .add(FaultRule::new(effect).on(operation).nth(nth));
    }

    /// Waits in real time, moving the clock a little, until `done` holds.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let turns = PATIENCE.as_millis() / 2;
        for _ in 0..turns {
            self.read_events();
            if done(self) {
                return;
            }
            self.clock.advance(Duration::from_millis(20));
            moment().await;
        }
        panic!(
            "never: {what}\ncalls: {:#?}\n{:#?}",
            self.log.lines(),
            self.stage.status()
        );
    }

    /// Waits until such a call was made.
    pub(crate) async fn until_call(&self, start: &str) {
        self.until(start, |world| {
            world.log.lines().iter().any(|line| line.starts_with(start))
        })
        .await;
    }

    /// Waits until nothing is pending.
    pub(crate) async fn settle(&mut self) {
        self.until("nothing is pending", |world| {
            world.stage.status().totals.keys == 0
        })
        .await;
    }

    /// How many events of a kind were told so far, of those that nobody took.
    pub(crate) fn told(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        self.read_events();
        let events = self.events.lock().unwrap();
        events.1.iter().filter(|event| is_meant(event)).count()
    }

    /// Gives the queue time to do what it should not do.
    pub(crate) async fn quiet(&self) {
        for _ in 0..10 {
            self.clock.advance(Duration::from_millis(50));
            moment().await;
        }
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.log.take()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.read_events();
        std::mem::take(&mut self.events.lock().unwrap().1)
    }

    /// Reads what there is: a stage whose events nobody reads stops.
    fn read_events(&self) {
        let mut events = self.events.lock().unwrap();
        while let Some(event) = events.0.try_next() {
            events.1.push(event);
        }
    }

    /// Names of the local files.
    pub(crate) fn local_files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.dir.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn open(
    dir: &TempDir,
    log: &Arc<LogStore>,
    settings: &StageSettings,
    clock: &ManualClock,
) -> (Stage, Events, Recovery) {
    Stage::open(
        dir.path(),
        Arc::clone(log) as _,
        settings.clone(),
        Arc::new(clock.clone()),
        &tokio::runtime::Handle::current(),
    )
    .unwrap()
}

fn real_time() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A moment of real time, for threads that read files.
#[expect(
    clippy::disallowed_methods,
    reason = "threads that read real files need real time"
)]
pub(crate) async fn moment() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
