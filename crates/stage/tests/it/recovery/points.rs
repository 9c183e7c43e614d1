//! A crash between any two bytes of the journal.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_stage::{Base, RemoteBelief, RenameItem, Submit};
use cloudmount_store::{GetOptions, MemoryStore, PutOptions, Store as _, StoreExt as _};
use cloudmount_testkit::ManualClock;

use super::{LOG, record_ends};
use crate::world::{World, key, metadata, pattern};

type Tree = BTreeMap<String, Vec<u8>>;

async fn tree(bucket: &MemoryStore) -> Tree {
    let mut tree = Tree::new();
    for key in bucket.keys() {
        let bytes = bucket.get_bytes(&key, GetOptions::default()).await.unwrap();
        tree.insert(key.as_str().to_owned(), bytes.to_vec());
    }
    tree
}

/// A bucket with some objects: the same versions each time.
async fn bucket_before(clock: &ManualClock) -> Arc<MemoryStore> {
    let bucket = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    for n in 0..6_u64 {
        let payload = Bytes::from(pattern(n, 1000)).into();
        bucket
            .put(&key(&format!("o{n}")), payload, PutOptions::default())
            .await
            .unwrap();
    }
    bucket
}

async fn object(bucket: &MemoryStore, name: &str) -> Base {
    let there = bucket.head(&key(name)).await.unwrap();
    Base {
        key: key(name),
        version: there.version,
        size: there.size,
    }
}

/// Makes changes, each with what the bucket must hold once it is acknowledged.
async fn changes(world: &World) -> Vec<(u64, Tree)> {
    let stage = &world.stage;
    let mut now = tree(&world.bucket).await;
    let mut steps = Vec::new();
    let length = || std::fs::metadata(world.dir.path().join(LOG)).unwrap().len();
    steps.push((length(), now.clone()));

    world.write("new", b"new file");
    now.insert("new".to_owned(), b"new file".to_vec());
    steps.push((length(), now.clone()));

    let base = object(&world.bucket, "o0").await;
    let file = stage.create(&key("o0"), Some(base), metadata("2")).unwrap();
    for at in [100, 10, 900] {
        file.write_at(at, b"patch").unwrap();
    }
    file.set_len(950).unwrap();
    stage.submit(&file, Submit::Closed).unwrap();
    let patched = now.get_mut("o0").unwrap();
    for at in [100, 10, 900] {
        patched[at..at + 5].copy_from_slice(b"patch");
    }
    patched.truncate(950);
    steps.push((length(), now.clone()));

    stage
        .rename(&key("new"), &key("newer"), RemoteBelief::Absent)
        .unwrap();
    let bytes = now.remove("new").unwrap();
    now.insert("newer".to_owned(), bytes);
    steps.push((length(), now.clone()));

    let base = object(&world.bucket, "o1").await;
    stage
        .remove(&key("o1"), RemoteBelief::Present(base.version))
        .unwrap();
    now.remove("o1");
    steps.push((length(), now.clone()));

    let mut items = Vec::new();
    for n in 2..5 {
        items.push(RenameItem::Object {
            base: object(&world.bucket, &format!("o{n}")).await,
            to: key(&format!("d/o{n}")),
            to_remote: RemoteBelief::Absent,
            metadata: metadata("3"),
        });
        let bytes = now.remove(&format!("o{n}")).unwrap();
        now.insert(format!("d/o{n}"), bytes);
    }
    drop(stage.rename_many(items).unwrap());
    steps.push((length(), now.clone()));

    stage
        .rename(&key("newer"), &key("o1"), RemoteBelief::Unknown)
        .unwrap();
    let bytes = now.remove("newer").unwrap();
    now.insert("o1".to_owned(), bytes);
    steps.push((length(), now.clone()));

    stage.remove(&key("o0"), RemoteBelief::Unknown).unwrap();
    now.remove("o0");
    steps.push((length(), now.clone()));
    steps
}

/// At every record and in the middle of each: the bucket ends as the last acknowledged call said,
/// or as one that was not acknowledged yet would have had it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_bytes_that_matter() {
    let clock = ManualClock::new();
    let before = bucket_before(&clock).await;
    let origin = World::new().on_copy(before, clock, |_| ());
    origin.stage.pause();
    let steps = changes(&origin).await;
    let log = std::fs::read(origin.dir.path().join(LOG)).unwrap();
    let ends = record_ends(&log);
    assert!(ends.len() > 12, "{ends:?}");
    for pair in ends[1..].windows(2) {
        for cut in [
            pair[0],
            pair[0] + 3,
            usize::midpoint(pair[0], pair[1]),
            pair[1],
        ] {
            let clock = ManualClock::new();
            let bucket = bucket_before(&clock).await;
            let mut world = origin.on_copy(bucket, clock, |dir| {
                File::options()
                    .write(true)
                    .open(dir.join(LOG))
                    .unwrap()
                    .set_len(cut as u64)
                    .unwrap();
            });
            world.settle().await;
            let found = tree(&world.bucket).await;
            let acknowledged = steps
                .iter()
                .rposition(|(length, _)| *length <= cut as u64)
                .unwrap();
            let next = steps.get(acknowledged + 1);
            let is_right =
                found == steps[acknowledged].1 || next.is_some_and(|next| found == next.1);
            assert!(
                is_right,
                "cut at {cut}, after step {acknowledged}: {:?}",
                found.keys()
            );
            world.stage.shutdown().await;
        }
    }
}
