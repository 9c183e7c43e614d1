//! Operations of a filesystem as an adapter calls them, without a mount: the core over a store in
//! memory, beside the reference model, which keeps everything in maps and does nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

mod subject;

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_benches::quick;
use cloudmount_cache::CacheSettings;
use cloudmount_core::{Core, CoreSettings, Parts, TimesToLive};
use cloudmount_stage::{Stage, StageSettings};
use cloudmount_store::{MemoryStore, Store};
use cloudmount_testkit::Model;
use cloudmount_testkit::model::Settings;
use cloudmount_vfs::{Clock, Name, OpenFlags, SystemClock, Vfs};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::subject::{DATA_BYTES, NAMES, Subject, fill, name};

/// Longer than any bench: what was asked once stays known.
const TTL: Duration = Duration::from_secs(3600);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn model() -> Subject<Model> {
    let settings = Settings {
        ttl: TTL,
        ..Settings::default()
    };
    let vfs = Arc::new(Model::new(clock(), settings));
    let runtime = runtime();
    runtime.block_on(fill(&*vfs.bucket()));
    Subject {
        label: "model",
        runtime,
        vfs,
    }
}

/// The core over a store in memory; its staging folder goes with the second part.
fn core() -> (Subject<Core>, TempDir) {
    let staging = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new(clock()));
    let runtime = runtime();
    runtime.block_on(fill(&*store));
    let store: Arc<dyn Store> = store;
    let settings = StageSettings::default();
    let (stage, events, _) = Stage::open(
        staging.path(),
        Arc::clone(&store),
        settings,
        clock(),
        runtime.handle(),
    )
    .unwrap();
    let parts = Parts {
        store,
        stage,
        events,
        clock: clock(),
        runtime: runtime.handle().clone(),
    };
    let settings = CoreSettings {
        ttl: TimesToLive::all(TTL),
        ..CoreSettings::default()
    };
    let vfs = Arc::new(Core::new(parts, CacheSettings::default(), settings));
    let subject = Subject {
        label: "core",
        runtime,
        vfs,
    };
    (subject, staging)
}

/// Gives all places below `len` in an order that no cache foresees.
fn scatter(len: usize) -> impl FnMut() -> usize {
    let mut at = 0;
    move || {
        at = (at + 7919) % len;
        at
    }
}

fn names(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject<impl Vfs>) {
    let many = subject.find_root("many");
    assert_eq!(subject.readdirplus(many), NAMES + 2);
    let all: Vec<Name> = (0..NAMES).map(name).collect();
    let mut place = scatter(NAMES);
    group.bench_function(format!("lookup and forget/{}", subject.label), |b| {
        b.iter(|| {
            let ino = subject.lookup_now(many, black_box(&all[place()]));
            subject.vfs.forget(ino, 1);
        });
    });
    let inos: Vec<_> = all.iter().map(|name| subject.find(many, name)).collect();
    let mut place = scatter(NAMES);
    group.bench_function(format!("stat/{}", subject.label), |b| {
        b.iter(|| subject.stat_now(black_box(inos[place()])));
    });
}

fn directories(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject<impl Vfs>) {
    let many = subject.find_root("many");
    group.throughput(Throughput::Elements(NAMES as u64));
    group.bench_function(format!("readdir of 10,000/{}", subject.label), |b| {
        b.iter(|| assert_eq!(subject.readdir(many), NAMES + 2));
    });
    group.bench_function(
        format!("readdirplus of 10,000, and forget/{}", subject.label),
        |b| b.iter(|| assert_eq!(subject.readdirplus(many), NAMES + 2)),
    );
}

fn reads(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject<impl Vfs>) {
    let data = subject.find_root("data");
    let file = (data, subject.open(data, OpenFlags::READ));
    for at in 0..DATA_BYTES >> 20 {
        let bytes = subject.read(file, (at as u64) << 20, 1 << 20);
        assert_eq!(bytes.len(), 1 << 20);
    }
    for (label, len) in [
        ("4 KiB", 4_u32 << 10),
        ("128 KiB", 128 << 10),
        ("1 MiB", 1 << 20),
    ] {
        let places = DATA_BYTES / len as usize;
        let mut place = scatter(places - 1);
        group.throughput(Throughput::Bytes(u64::from(len)));
        group.bench_function(format!("read {label}/{}", subject.label), |b| {
            b.iter(|| subject.read_now(file, place() as u64 * u64::from(len), len));
        });
    }
    subject.close(file);
    let small = subject.find(subject.find_root("many"), &name(7));
    group.throughput(Throughput::Elements(1));
    group.bench_function(
        format!("open, read, close a small file/{}", subject.label),
        |b| {
            b.iter(|| {
                let file = (small, subject.open(small, OpenFlags::READ));
                assert_eq!(subject.read(file, 0, 4096).len(), 5);
                subject.close(file);
            });
        },
    );
}

fn writes(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject<impl Vfs>) {
    let root = cloudmount_vfs::InodeId::ROOT;
    let target = Name::new("written").unwrap();
    subject.create(root, &target, b"");
    let ino = subject.find(root, &target);
    let file = (ino, subject.open(ino, OpenFlags::READ_WRITE));
    let data = vec![0xA5_u8; 1 << 20];
    for (label, len) in [("4 KiB", 4 << 10), ("1 MiB", 1 << 20)] {
        let places = DATA_BYTES / len;
        let mut at = 0;
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("write {label}/{}", subject.label), |b| {
            b.iter(|| {
                at = (at + 1) % places;
                subject.write(file, (at * len) as u64, black_box(&data[..len]));
            });
        });
    }
    subject.close(file);
    let mut n = 0_u64;
    group.throughput(Throughput::Elements(1));
    group.bench_function(
        format!("create, write 4 KiB, close, unlink/{}", subject.label),
        |b| {
            b.iter(|| {
                n += 1;
                let name = Name::new(&format!("new-{n}")).unwrap();
                subject.create(root, &name, &data[..4096]);
                subject.unlink(root, &name);
            });
        },
    );
}

/// The same bytes into a file of the local filesystem, where staged bytes go.
fn write_floors(group: &mut BenchmarkGroup<'_, WallTime>) {
    let file = tempfile::tempfile().unwrap();
    let data = vec![0xA5_u8; 1 << 20];
    for (label, len) in [("4 KiB", 4 << 10), ("1 MiB", 1 << 20)] {
        let places = DATA_BYTES / len;
        let mut at = 0;
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(
            format!("write {label}/floor: pwrite to a local file"),
            |b| {
                b.iter(|| {
                    at = (at + 1) % places;
                    let offset = (at * len) as u64;
                    file.write_all_at(black_box(&data[..len]), offset).unwrap();
                });
            },
        );
    }
}

fn measure(c: &mut Criterion, subject: &Subject<impl Vfs>) {
    let mut group = c.benchmark_group("core_ops");
    names(&mut group, subject);
    reads(&mut group, subject);
    writes(&mut group, subject);
    group.sample_size(10);
    directories(&mut group, subject);
    group.finish();
}

fn operations(c: &mut Criterion) {
    measure(c, &model());
    let (subject, _staging) = core();
    measure(c, &subject);
    let mut group = c.benchmark_group("core_ops");
    write_floors(&mut group);
    group.finish();
}

criterion_group! {
    name = benches;
    config = quick();
    targets = operations
}
criterion_main!(benches);
