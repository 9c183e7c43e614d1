//! The tags of objects outlive everything that is done with their files here.

use std::collections::BTreeMap;

use bytes::Bytes;
use cloudmount_stage::{Base, RemoteBelief, StageSettings, Submit};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore, Metadata, PutOptions, Store, Tags};
use cloudmount_testkit::Lie;

use crate::world::{World, key, metadata, pattern};

/// More than is copied in one request.
const LARGE: usize = 3 << 20;

fn world() -> World {
    let settings = StageSettings {
        multipart_bytes_min: 1 << 20,
        part_bytes: 1 << 20,
        copy_part_bytes: 1 << 20,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: 1 << 19,
        copy_bytes_max: 2 << 20,
        ..MemoryStore::CAPABILITIES
    };
    World::with(settings, capabilities)
}

fn tags() -> BTreeMap<String, String> {
    [("class".to_owned(), "secret".to_owned())].into()
}

/// What someone else tagged; gives it as a file is made from it, with its metadata as a look tells.
async fn tagged(world: &World, name: &str, bytes: &[u8]) -> (Base, Metadata) {
    let options = PutOptions {
        metadata: Metadata {
            tags: Tags::from(tags()),
            ..metadata("theirs")
        },
        ..PutOptions::default()
    };
    let payload = Bytes::copy_from_slice(bytes).into();
    world
        .bucket
        .put(&key(name), payload, options)
        .await
        .unwrap();
    let seen = world.bucket.head(&key(name)).await.unwrap().metadata;
    assert_eq!(seen.tags, Tags::Unread(1));
    (world.base(name).await, seen)
}

async fn has_tags(world: &World, name: &str) {
    assert_eq!(
        world.bucket.tags(&key(name)).await.unwrap(),
        tags(),
        "{name}"
    );
}

/// How often tags were read since the last time.
fn reads(world: &World) -> usize {
    let calls = world.calls();
    calls
        .iter()
        .filter(|line| line.starts_with("tags "))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_keeps_the_tags_for_one_request() {
    let mut world = world();
    for (name, bytes) in [("small", pattern(1, 100)), ("large", pattern(2, LARGE))] {
        let (base, seen) = tagged(&world, name, &bytes).await;
        let file = world.stage.create(&key(name), Some(base), seen).unwrap();
        file.write_at(10, b"changed").unwrap();
        world.stage.submit(&file, Submit::Closed).unwrap();
        world.settle().await;
        assert_eq!(&world.content(name).await.unwrap()[10..17], b"changed");
        has_tags(&world, name).await;
        assert_eq!(reads(&world), 1, "{name}");
    }
    world.object("plain", b"plain").await;
    let base = world.base("plain").await;
    let file = world
        .stage
        .create(&key("plain"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(0, b"P").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(reads(&world), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_keeps_the_tags() {
    let mut world = world();
    for (name, bytes) in [("small", pattern(1, 100)), ("large", pattern(2, LARGE))] {
        let (base, seen) = tagged(&world, name, &bytes).await;
        let to = format!("moved/{name}");
        world
            .stage
            .rename_object(base, &key(&to), RemoteBelief::Absent, seen)
            .unwrap();
        world.settle().await;
        assert!(world.content(&to).await.unwrap() == bytes);
        has_tags(&world, &to).await;
    }
    // A whole copy keeps them by itself, one in parts does not.
    assert_eq!(reads(&world), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_renamed_and_changed_has_the_tags_of_its_base() {
    let mut world = world();
    let (base, seen) = tagged(&world, "old", &pattern(1, 100)).await;
    let file = world
        .stage
        .rename_object(base, &key("new"), RemoteBelief::Absent, seen)
        .unwrap();
    file.write_at(10, b"changed").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(&world.content("new").await.unwrap()[10..17], b"changed");
    has_tags(&world, "new").await;
    assert_eq!(world.content("old").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_attributes_keep_the_tags_also_without_a_copy() {
    let mut world = world();
    for (name, bytes) in [("small", pattern(1, 100)), ("large", pattern(2, LARGE))] {
        let (base, seen) = tagged(&world, name, &bytes).await;
        if name == "small" {
            let rule = FaultRule::new(Effect::Fail(ErrorKind::Unsupported));
            world.fault.add(rule.on(Operation::Copy));
        }
        let changed = Metadata {
            tags: seen.tags,
            ..metadata("2")
        };
        world
            .stage
            .set_metadata(&key(name), changed, base.version)
            .unwrap();
        world.settle().await;
        assert_eq!(world.mtime(name).await.unwrap(), "2");
        assert!(world.content(name).await.unwrap() == bytes);
        has_tags(&world, name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_on_a_store_that_drops_tags_keep_them() {
    let (mut world, _) = World::lying(StageSettings::default(), Lie::DropsTags);
    let (base, seen) = tagged(&world, "old", b"content").await;
    let stage = world.stage.clone();
    stage
        .rename_object(base, &key("new"), RemoteBelief::Absent, seen)
        .unwrap();
    let (base, seen) = tagged(&world, "touched", b"content").await;
    let changed = Metadata {
        tags: seen.tags,
        ..metadata("2")
    };
    stage
        .set_metadata(&key("touched"), changed, base.version)
        .unwrap();
    world.settle().await;
    has_tags(&world, "new").await;
    has_tags(&world, "touched").await;
    let calls = world.calls();
    assert!(
        calls.iter().any(|line| line.starts_with("copy old")),
        "{calls:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_kept_through_a_crash() {
    let mut world = world();
    let (base, seen) = tagged(&world, "a", &pattern(1, 100)).await;
    world.hang(Operation::Put);
    let file = world.stage.create(&key("a"), Some(base), seen).unwrap();
    file.write_at(10, b"changed").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.until_call("put a").await;
    world.fault.clear();
    world.crash().await;
    world.settle().await;
    assert_eq!(&world.content("a").await.unwrap()[10..17], b"changed");
    has_tags(&world, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_keep_its_tags_is_not_written_without_them() {
    let world = world();
    let (base, seen) = tagged(&world, "a", &pattern(1, 100)).await;
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Forbidden));
    world.fault.add(rule.on(Operation::Tags));
    let file = world.stage.create(&key("a"), Some(base), seen).unwrap();
    file.write_at(10, b"changed").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world
        .until("it failed", |world| world.stage.status().totals.failed == 1)
        .await;
    assert_eq!(world.content("a").await.unwrap(), pattern(1, 100));
    has_tags(&world, "a").await;
}
