//! The inode table: what every lookup, listing and `forget` pays for under the lock.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench that cannot run has nothing to report"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_benches::quick;
use cloudmount_inode::{
    Answer, Applied, InodeTable, Listed, ListingApplied, Lookup, TableSettings,
};
use cloudmount_vfs::{Cookie, InodeId, Instant, Name, NodeKind};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Names in the directory: a large folder, and many pages of a listing.
const NAMES: usize = 10_000;
/// How many entries a caller asks for at a time: what fits in one reply of `readdirplus`.
const PAGE: usize = 64;

/// A payload like a real one: shared, and of some size.
type Payload = Arc<[u64; 16]>;
type Table = InodeTable<Payload>;

fn payload(ino: InodeId) -> Payload {
    Arc::new([ino.get(); 16])
}

fn now() -> Instant {
    Instant::default()
}

fn later() -> Instant {
    now() + Duration::from_secs(60)
}

fn empty() -> Table {
    let settings = TableSettings {
        guard: Duration::from_secs(60),
        cooldown: Duration::ZERO,
    };
    InodeTable::new(settings, payload(InodeId::ROOT))
}

fn entries() -> Vec<Listed> {
    (0..NAMES)
        .map(|n| Listed {
            name: Name::new(&format!("photo-2024-08-17-{n:06}.jpeg")).unwrap(),
            kind: NodeKind::File,
        })
        .collect()
}

fn list(table: &mut Table, entries: &[Listed]) {
    let probe = table.begin_listing(InodeId::ROOT, now()).unwrap();
    let make = |ino, _| payload(ino);
    let applied = table.apply_listing(probe, entries, later(), now(), make, |_, _| ());
    assert!(matches!(applied, ListingApplied::Merged { .. }));
}

fn listed(entries: &[Listed]) -> Table {
    let mut table = empty();
    list(&mut table, entries);
    table
}

fn known(table: &mut Table, name: &Name) -> InodeId {
    match table.lookup(InodeId::ROOT, name, now()) {
        Ok(Lookup::Known(found)) => found.ino,
        other => panic!("{name} must be known: {other:?}"),
    }
}

/// Gives all places below `len` in an order that no cache foresees.
fn scatter(len: usize) -> impl FnMut() -> usize {
    let mut at = 0;
    move || {
        at = (at + 7919) % len;
        at
    }
}

fn lookups(c: &mut Criterion) {
    let entries = entries();
    let mut table = listed(&entries);
    let mut group = c.benchmark_group("inode_table/lookup");
    let mut place = scatter(NAMES);
    group.bench_function("known", |b| {
        b.iter(|| known(&mut table, black_box(&entries[place()].name)));
    });
    let absent = Name::new("no-such-name.jpeg").unwrap();
    group.bench_function("absent from a complete listing", |b| {
        b.iter(|| {
            let answer = table.lookup(InodeId::ROOT, black_box(&absent), now());
            assert!(matches!(answer, Ok(Lookup::Absent)));
        });
    });
    let floor: HashMap<Name, Payload> = entries
        .iter()
        .map(|entry| (entry.name.clone(), payload(InodeId::ROOT)))
        .collect();
    let mut place = scatter(NAMES);
    group.bench_function("floor: one hash map, SipHash", |b| {
        b.iter(|| floor.get(black_box(&entries[place()].name)).cloned());
    });
    group.finish();
}

fn answers(c: &mut Criterion) {
    let entries = entries();
    let mut group = c.benchmark_group("inode_table/apply");
    group.bench_function("a lookup that was asked, new", |b| {
        b.iter_batched_ref(
            || (empty(), entries.iter()),
            |(table, names)| {
                let name = &names.next().unwrap().name;
                let Ok(Lookup::Ask(probe)) = table.lookup(InodeId::ROOT, name, now()) else {
                    panic!("{name} must be asked");
                };
                let present = Answer::Present(NodeKind::File);
                let applied = table.apply(probe, present, later(), payload);
                assert!(matches!(applied, Applied::Found { .. }));
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(NAMES as u64));
    group.bench_function("a listing of 10,000, new", |b| {
        b.iter_batched(
            empty,
            |mut table| {
                list(&mut table, &entries);
                table
            },
            BatchSize::LargeInput,
        );
    });
    let mut table = listed(&entries);
    group.bench_function("a listing of 10,000, unchanged", |b| {
        b.iter(|| list(&mut table, &entries));
    });
    group.bench_function("floor: 10,000 names into a hash map", |b| {
        b.iter(|| {
            let names = entries.iter().map(|entry| entry.name.clone());
            names
                .map(|name| (name, payload(InodeId::ROOT)))
                .collect::<HashMap<_, _>>()
        });
    });
    group.finish();
}

fn scans(c: &mut Criterion) {
    let entries = entries();
    let table = listed(&entries);
    let mut group = c.benchmark_group("inode_table/readdir of 10,000");
    group.throughput(Throughput::Elements(NAMES as u64));
    group.bench_function("in pages of 64", |b| {
        b.iter(|| {
            let mut seen = 0;
            let mut after = Cookie::DOT_DOT;
            loop {
                let page = table.children(InodeId::ROOT, after, PAGE).unwrap();
                let Some(last) = page.last() else {
                    break;
                };
                after = last.cookie;
                seen += page.len();
                black_box(page);
            }
            assert_eq!(seen, NAMES);
        });
    });
    group.bench_function("floor: clone the names and payloads", |b| {
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name.clone(), payload(InodeId::ROOT)))
            .collect();
        b.iter(|| {
            for page in rows.chunks(PAGE) {
                black_box(page.to_vec());
            }
        });
    });
    group.finish();
}

fn forgetting(c: &mut Criterion) {
    let entries = entries();
    let mut table = listed(&entries);
    let inos: Vec<_> = entries
        .iter()
        .map(|entry| known(&mut table, &entry.name))
        .collect();
    let mut group = c.benchmark_group("inode_table/forget");
    let mut place = scatter(NAMES);
    group.bench_function("remember and forget", |b| {
        b.iter(|| {
            let ino = black_box(inos[place()]);
            table.remember(ino).unwrap();
            table.forget(ino, 1)
        });
    });
    group.throughput(Throughput::Elements(NAMES as u64));
    group.bench_function("cool 10,000", |b| {
        b.iter_batched(
            || listed(&entries),
            |mut table| {
                assert_eq!(table.reclaim(0, NAMES).len(), NAMES);
                table
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = quick();
    targets = lookups, answers, scans, forgetting
}
criterion_main!(benches);
