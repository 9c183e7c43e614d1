//! Random calls, faults and crashes against the plainest model: a map from keys to bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{Desired, Event, RemoteBelief, StageSettings, StagedFile, Submit};
use cloudmount_store::layer::{FaultPlan, FaultRates};
use cloudmount_store::probe::SCRATCH;
use cloudmount_store::{Capabilities, Key, MemoryStore};
use cloudmount_testkit::{Dialect, S3Server};

use crate::world::{World, key, metadata, moment};

/// Runs of the model: each takes some tens of milliseconds.
const SEEDS: u64 = 40;

/// Calls per run.
const STEPS: usize = 60;

const NAMES: [&str; 5] = ["a", "b", "c", "d/e", "d/f"];

/// Parts of 4 KiB, so that small files have several.
const PART: usize = 4096;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }
}

struct Run {
    world: World,
    random: Random,
    model: BTreeMap<&'static str, Vec<u8>>,
    open: Vec<Arc<StagedFile>>,
    trace: Vec<String>,
    stamp: u64,
}

fn settings() -> StageSettings {
    StageSettings {
        multipart_bytes_min: PART as u64,
        part_bytes: PART as u64,
        copy_part_bytes: 2 * PART as u64,
        failed_delay: Duration::from_secs(2),
        ..StageSettings::default()
    }
}

fn capabilities(seed: u64) -> Capabilities {
    Capabilities {
        part_bytes_min: 1024,
        part_copy: !seed.is_multiple_of(3),
        copy_if: seed.is_multiple_of(2),
        copy_bytes_max: if seed.is_multiple_of(5) {
            6000
        } else {
            5 << 30
        },
        ..MemoryStore::CAPABILITIES
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        Self::on(World::with(settings(), capabilities(seed)), seed)
    }

    fn on(world: World, seed: u64) -> Self {
        world.fault.set_plan(FaultPlan::random(
            seed,
            FaultRates {
                fail: 60,
                throttle: 0,
                lose_reply: 60,
                truncate: 20,
                delay: 300,
                longest_delay: Duration::from_millis(400),
            },
        ));
        Self {
            world,
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            model: BTreeMap::new(),
            open: Vec::new(),
            trace: Vec::new(),
            stamp: 0,
        }
    }

    fn metadata(&mut self) -> cloudmount_store::Metadata {
        self.stamp += 1;
        metadata(&self.stamp.to_string())
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [1, 100, PART, 3 * PART + 5][self.random.below(4)];
        self.stamp += 1;
        crate::world::pattern(self.stamp, length)
    }

    /// The staged file of `name`, as an open for writing finds or makes it.
    async fn staged(&mut self, name: &'static str) -> Arc<StagedFile> {
        if let Some(Desired::Content(file)) = self
            .world
            .stage
            .pending(&key(name))
            .map(|view| view.desired)
        {
            return file;
        }
        let base = self.world.base(name).await;
        let metadata = self.metadata();
        self.world
            .stage
            .create(&key(name), Some(base), metadata)
            .unwrap()
    }

    async fn step(&mut self) {
        let name = self.random.name();
        match self.random.below(12) {
            0..3 => self.create(name).await,
            3..5 => self.change(name).await,
            5 => self.remove(name).await,
            6..8 => self.rename(name).await,
            8 => self.touch(name).await,
            9 => {
                let pass = Duration::from_millis(self.random.below(400) as u64);
                self.trace.push(format!("{pass:?}"));
                self.world.clock.pass(pass).await;
                moment().await;
            }
            10 => {
                let keep = self.random.below(3);
                self.open.truncate(keep);
            }
            _ => {
                if self.random.below(3) == 0 {
                    self.trace.push("crash".to_owned());
                    self.open.clear();
                    self.world.crash().await;
                    assert!(
                        self.world.recovery.set_aside.is_empty(),
                        "{:?}",
                        self.world.recovery
                    );
                }
            }
        }
    }

    async fn create(&mut self, name: &'static str) {
        let (bytes, metadata) = (self.bytes(), self.metadata());
        self.trace.push(format!("create {name} {}", bytes.len()));
        let file = match self.world.version(name).await {
            Some(_) => {
                let there = self.world.base(name).await;
                self.world.stage.create_truncated(there, metadata)
            }
            None => self.world.stage.create(&key(name), None, metadata),
        };
        let file = file.unwrap();
        file.write_at(0, &bytes).unwrap();
        self.world.stage.submit(&file, Submit::Closed).unwrap();
        self.model.insert(name, bytes);
        self.open.push(file);
    }

    async fn change(&mut self, name: &'static str) {
        if !self.model.contains_key(name) {
            return;
        }
        let file = self.staged(name).await;
        let bytes = self.model.get_mut(name).unwrap();
        if self.random.below(4) == 0 {
            let size = self.random.below(2 * PART);
            self.trace.push(format!("resize {name} {size}"));
            file.set_len(size as u64).unwrap();
            bytes.resize(size, 0);
        } else {
            let at = self.random.below(bytes.len() + 100);
            let length = 1 + self.random.below(300);
            self.trace.push(format!("write {name} {at} {length}"));
            self.stamp += 1;
            let patch = crate::world::pattern(self.stamp, length);
            file.write_at(at as u64, &patch).unwrap();
            let end = bytes.len().max(at + length);
            bytes.resize(end, 0);
            bytes[at..at + length].copy_from_slice(&patch);
        }
        assert_eq!(file.size(), bytes.len() as u64);
        let metadata = self.metadata();
        self.world.stage.set_file_metadata(&file, metadata).unwrap();
        self.world.stage.submit(&file, Submit::Closed).unwrap();
        self.open.push(file);
    }

    async fn remove(&mut self, name: &'static str) {
        if self.model.remove(name).is_none() {
            return;
        }
        self.trace.push(format!("remove {name}"));
        let remote = self.world.belief(name).await;
        self.world.stage.remove(&key(name), remote).unwrap();
    }

    async fn rename(&mut self, from: &'static str) {
        let to = self.random.name();
        if from == to || !self.model.contains_key(from) {
            return;
        }
        let to_remote = self.world.belief(to).await;
        let stage = self.world.stage.clone();
        let metadata = self.metadata();
        if let Err(error) = stage.rename(&key(from), &key(to), to_remote.clone()) {
            assert_eq!(error.kind(), cloudmount_vfs::ErrorKind::NotFound);
            let base = self.world.base(from).await;
            self.trace.push(format!("rename object {from} {to}"));
            stage
                .rename_object(base, &key(to), to_remote, metadata)
                .unwrap();
        } else {
            self.trace.push(format!("rename {from} {to}"));
        }
        let bytes = self.model.remove(from).unwrap();
        self.model.insert(to, bytes);
    }

    async fn touch(&mut self, name: &'static str) {
        if !self.model.contains_key(name) {
            return;
        }
        self.trace.push(format!("touch {name}"));
        let metadata = self.metadata();
        let version = match self.world.belief(name).await {
            RemoteBelief::Present(version) => version,
            _ => cloudmount_store::Version::new("none"),
        };
        self.world
            .stage
            .set_metadata(&key(name), metadata, version)
            .unwrap();
    }

    async fn finish(&mut self) {
        self.open.clear();
        self.world.fault.clear();
        self.world.settle().await;
        let mut found = BTreeMap::new();
        // What an interrupted probe left, the next one removes.
        let is_file = |key: &Key| !key.as_str().starts_with(SCRATCH);
        for key in self.world.bucket.keys().into_iter().filter(is_file) {
            found.insert(
                key.as_str().to_owned(),
                self.world.content(key.as_str()).await.unwrap(),
            );
        }
        let expected: BTreeMap<_, _> = self
            .model
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()))
            .collect();
        let names = |tree: &BTreeMap<String, Vec<u8>>| {
            tree.iter()
                .map(|(name, bytes)| (name.clone(), bytes.len()))
                .collect::<Vec<_>>()
        };
        let calls = self.world.calls();
        assert_eq!(names(&found), names(&expected), "{calls:#?}");
        assert!(found == expected, "other bytes");
        let events = self.world.events();
        let conflict = events
            .iter()
            .find(|event| matches!(event, Event::Conflict { .. }));
        assert_eq!(conflict, None, "nobody else writes here");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_ends_as_the_last_call_says() {
    for seed in 1..=SEEDS {
        drop(end_to_end(Run::new(seed), seed).await);
    }
}

/// The same with a bucket that speaks `dialect`; gives how many requests met its ways, if these are those of HTTP.
pub(crate) async fn ends_right_in(dialect: Dialect, seed: u64) -> Option<u64> {
    let world = World::speaking(settings(), capabilities(seed), dialect);
    let run = end_to_end(Run::on(world, seed), seed).await;
    run.world.server.as_ref().map(S3Server::met)
}

async fn end_to_end(mut run: Run, seed: u64) -> Run {
    let handle = tokio::spawn(async move {
        for _ in 0..STEPS {
            run.step().await;
        }
        (run.trace.clone(), run)
    });
    let (trace, mut run) = handle
        .await
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let finish = async move {
        run.finish().await;
        run
    };
    let ended = tokio::spawn(finish).await;
    ended.unwrap_or_else(|error| panic!("seed {seed}: {error}: {trace:#?}"))
}
