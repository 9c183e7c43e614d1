//! Answers that never came, and other weather.

mod copies;
mod waits;

use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{Desired, Event, KeyStatus, Phase, RemoteBelief, StageSettings, Submit};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore, Metadata};

use crate::world::{World, key, metadata, pattern};

fn is_conflict(event: &Event) -> bool {
    matches!(event, Event::Conflict { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_whose_answer_was_lost_is_not_repeated() {
    let mut world = World::new();
    world.fault(Effect::LoseReply, Operation::Put, 1);
    let file = world.write("a", b"hello");
    world.settle().await;
    // The tags of this store are no MD5, so the content is compared.
    let expected = [
        "put a 5 bytes if-absent ! timed out",
        "head a",
        "get a if-match v1",
    ];
    assert_eq!(world.calls(), expected);
    assert!(file.is_clean());
    assert_eq!(
        file.base().unwrap().version,
        world.version("a").await.unwrap()
    );
    assert!(!world.events().iter().any(is_conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_metadata_the_content_tells() {
    let mut world = World::new();
    world.fault(Effect::LoseReply, Operation::Put, 1);
    let file = world
        .stage
        .create(&key("a"), None, Metadata::default())
        .unwrap();
    file.write_at(0, b"hello").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(
        world.calls(),
        [
            "put a 5 bytes if-absent ! timed out",
            "head a",
            "get a if-match v1"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_of_the_same_size_is_not_taken_for_ours() {
    let mut world = World::new();
    world.fault(Effect::Fail(ErrorKind::TimedOut), Operation::Put, 1);
    let file = world
        .stage
        .create(&key("a"), None, Metadata::default())
        .unwrap();
    file.write_at(0, b"hello").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.theirs("a", b"HELLO").await;
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"HELLO");
    assert_eq!(
        world
            .events()
            .iter()
            .filter(|event| is_conflict(event))
            .count(),
        1
    );
    assert_eq!(world.bucket.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_after_a_lost_answer_replaces_it() {
    let mut world = World::new();
    world.fault(Effect::LoseReply, Operation::Put, 1);
    let file = world.write("a", b"first");
    world.until_call("put a").await;
    file.write_at(0, b"second").unwrap();
    world.stage.set_file_metadata(&file, metadata("2")).unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"second");
    assert!(!world.events().iter().any(is_conflict));
    assert_eq!(world.bucket.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_after_a_lost_answer_removes_it() {
    let mut world = World::new();
    world.fault(Effect::LoseReply, Operation::Put, 1);
    world.write("a", b"first");
    world
        .until("it waits", |world| {
            world
                .stage
                .pending(&key("a"))
                .is_some_and(|view| view.phase == Phase::Waiting)
        })
        .await;
    world.stage.remove(&key("a"), RemoteBelief::Absent).unwrap();
    world.settle().await;
    assert!(world.bucket.is_empty());
    assert!(!world.events().iter().any(is_conflict));
}

/// A world in which a partly changed file was put, the answer was lost, and the object that the
/// file was made from is gone thereby.
async fn lost_partial_put() -> (World, Vec<u8>) {
    let mut world = World::new();
    let mut bytes = pattern(1, 1000);
    let base = world.object("a", &bytes).await;
    world.fault(Effect::LoseReply, Operation::Put, 1);
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(500, b"changed").unwrap();
    bytes[500..507].copy_from_slice(b"changed");
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.until_call("put a").await;
    world
        .until("it waits", |world| {
            world.stage.status().totals.in_flight == 0
        })
        .await;
    (world, bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_after_a_lost_answer_finds_its_base_again() {
    let (mut world, mut bytes) = lost_partial_put().await;
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    world.settle().await;
    assert!(world.content("b").await.unwrap() == bytes);
    assert_eq!(world.content("a").await, None);
    assert!(!world.events().iter().any(is_conflict));

    // And written once more in between.
    let (mut world, _) = lost_partial_put().await;
    let file = match world.stage.pending(&key("a")).unwrap().desired {
        Desired::Content(file) => file,
        other => panic!("{other:?}"),
    };
    file.write_at(0, b"again").unwrap();
    bytes[..5].copy_from_slice(b"again");
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    let new = world.stage.create(&key("a"), None, metadata("3")).unwrap();
    new.write_at(0, b"new").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world
        .until("b is there", |world| world.bucket.len() == 2)
        .await;
    assert!(world.content("b").await.unwrap() == bytes);
    world.stage.submit(&new, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"new");
}

/// It needs nothing of the object that it was, and goes to its new name while that is asked about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_elsewhere_is_not_taken_for_what_it_was() {
    let mut world = World::new();
    drop(world.object("a", b"former").await);
    drop(world.object("c", b"in the way").await);
    world.fault(Effect::LoseReply, Operation::Put, 1);
    let file = world.write("a", &[8; 102]);
    let is_lost = |world: &World| {
        let waits = |one: &KeyStatus| one.key.as_str() == "a" && one.phase == Phase::Waiting;
        world.stage.status().keys.iter().any(waits)
    };
    world.until("its answer is lost", is_lost).await;
    world.hang(Operation::Put);
    let late = Effect::Delay(Duration::from_secs(1));
    world.fault(late, Operation::Head, 1);
    let there = RemoteBelief::Present(world.version("c").await.unwrap());
    world.stage.rename(&key("a"), &key("c"), there).unwrap();
    let new = world.write("a", b"new");
    world.stage.flush_all();
    world.until_call("get a").await;
    world.release();
    world.settle().await;
    assert_eq!(
        file.base().unwrap().version,
        world.version("c").await.unwrap()
    );
    let is_copied = |line: &String| line.starts_with("copy a");
    assert!(!world.log.lines().iter().any(is_copied), "it is there");
    drop((file, new));
    assert_eq!(world.content("a").await.unwrap(), b"new");
    assert_eq!(world.content("c").await.unwrap(), [8; 102]);
    assert!(!world.events().iter().any(is_conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_a_lost_answer_finds_the_base_again() {
    let (mut world, bytes) = lost_partial_put().await;
    world.crash().await;
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    assert_eq!(world.bucket.len(), 1);
    assert!(!world.events().iter().any(is_conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_fails_is_asked_again() {
    for operation in [Operation::Head, Operation::Get] {
        let (mut world, bytes) = lost_partial_put().await;
        world.fault(Effect::Fail(ErrorKind::Server), operation, 1);
        world.settle().await;
        assert!(world.content("a").await.unwrap() == bytes, "{operation}");
        assert_eq!(world.bucket.len(), 1, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_answer_may_be_lost() {
    let settings = StageSettings {
        multipart_bytes_min: 1 << 20,
        part_bytes: 1 << 20,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: 1 << 19,
        ..MemoryStore::CAPABILITIES
    };
    for operation in Operation::ALL {
        let mut world = World::with(settings.clone(), capabilities);
        let large = pattern(1, 3 << 20);
        world.object("large", &large).await;
        let moved = world.object("moved", b"moved").await;
        let gone = world.object("gone", b"gone").await;
        world.object("touched", b"touched").await;
        world.clock.advance(Duration::from_secs(10));
        let base = world.base("large").await;
        for nth in [1, 2, 4] {
            world.fault(Effect::LoseReply, operation, nth);
        }
        let stage = world.stage.clone();
        let file = stage
            .create(&key("large"), Some(base), metadata("2"))
            .unwrap();
        file.write_at(0, b"changed").unwrap();
        stage.submit(&file, Submit::Closed).unwrap();
        stage
            .rename_object(moved, &key("new"), RemoteBelief::Absent, metadata("3"))
            .unwrap();
        stage
            .remove(&key("gone"), RemoteBelief::Present(gone.version))
            .unwrap();
        let version = world.version("touched").await.unwrap();
        stage
            .set_metadata(&key("touched"), metadata("4"), version)
            .unwrap();
        let target = Bytes::from_static(b"target");
        stage
            .put_inline(&key("link"), target, metadata("5"), RemoteBelief::Absent)
            .unwrap();
        world.settle().await;
        let mut expected = large.clone();
        expected[..7].copy_from_slice(b"changed");
        assert!(
            world.content("large").await.unwrap() == expected,
            "{operation}"
        );
        assert_eq!(world.content("new").await.unwrap(), b"moved", "{operation}");
        assert_eq!(world.mtime("touched").await.unwrap(), "4", "{operation}");
        assert_eq!(
            world.content("link").await.unwrap(),
            b"target",
            "{operation}"
        );
        let keys = world.bucket.keys();
        assert_eq!(keys.len(), 4, "{operation}: {keys:?}");
        let events = world.events();
        assert!(!events.iter().any(is_conflict), "{operation}: {events:?}");
        world
            .until("no upload is left", |world| {
                world.bucket.uploads_in_progress() == 0
            })
            .await;
    }
}
