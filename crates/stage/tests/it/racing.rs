//! Calls that overtake a running operation: the bucket ends as the last call says.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{Phase, RemoteBelief, Submit};
use cloudmount_store::layer::Operation;

use crate::world::{World, key, metadata, pattern};

/// A world in which the put of `a` is under way.
async fn uploading(bytes: &[u8]) -> (World, std::sync::Arc<cloudmount_stage::StagedFile>) {
    let world = World::new();
    world.hang(Operation::Put);
    let file = world.write("a", bytes);
    world.until_call("put a").await;
    assert_eq!(
        world.stage.pending(&key("a")).unwrap().phase,
        Phase::InFlight
    );
    (world, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rename_while_uploading() {
    let (mut world, file) = uploading(b"content").await;
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    assert_eq!(file.key(), key("b"));
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.content("b").await.unwrap(), b"content");
    assert_eq!(
        world.calls(),
        [
            "put a 7 bytes if-absent -> v1",
            "copy a if-match v1 to b if-absent replacing metadata -> v2",
            "delete a if-match v1",
        ],
        "the body goes out once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rename_back_while_uploading() {
    let (mut world, _file) = uploading(b"content").await;
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    world
        .stage
        .rename(&key("b"), &key("a"), RemoteBelief::Absent)
        .unwrap();
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"content");
    assert_eq!(world.content("b").await, None);
    assert_eq!(world.calls(), ["put a 7 bytes if-absent -> v1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_while_uploading() {
    let (mut world, _file) = uploading(b"content").await;
    world.stage.remove(&key("a"), RemoteBelief::Absent).unwrap();
    assert!(
        world.stage.pending(&key("a")).is_some(),
        "the put may still land"
    );
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(
        world.calls(),
        ["put a 7 bytes if-absent -> v1", "delete a if-match v1"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_and_create_again_while_uploading() {
    let (mut world, _file) = uploading(b"first").await;
    world.stage.remove(&key("a"), RemoteBelief::Absent).unwrap();
    world.write("a", b"second");
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"second");
    assert_eq!(
        world.calls(),
        [
            "put a 5 bytes if-absent -> v1",
            "put a 6 bytes if-match v1 -> v2"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewrite_while_uploading() {
    let (mut world, file) = uploading(b"first").await;
    file.write_at(0, b"FIRST and more").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.release();
    world
        .until("the first version", |world| !world.bucket.is_empty())
        .await;
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"FIRST and more");
    assert_eq!(
        world.calls(),
        [
            "put a 5 bytes if-absent -> v1",
            "put a 14 bytes if-match v1 -> v2"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_not_closed_waits_for_its_close() {
    let (mut world, file) = uploading(b"first").await;
    file.write_at(0, b"F").unwrap();
    world.release();
    world
        .until("the file is open again", |world| {
            world
                .stage
                .pending(&key("a"))
                .is_some_and(|view| view.phase == Phase::Open)
        })
        .await;
    world.quiet().await;
    assert_eq!(world.content("a").await.unwrap(), b"first");
    file.set_len(2).unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"Fi");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_over_a_file_that_is_uploading() {
    let (mut world, _file) = uploading(b"loser").await;
    world.write("b", b"winner");
    world
        .stage
        .rename(&key("b"), &key("a"), RemoteBelief::Absent)
        .unwrap();
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"winner");
    assert_eq!(world.content("b").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_belief_older_than_our_own_commit_is_corrected() {
    let mut world = World::new();
    let base = world.object("a", b"1").await;
    let file = world
        .stage
        .create(&key("a"), Some(base.clone()), metadata("2"))
        .unwrap();
    file.write_at(0, b"2").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    drop(world.calls());
    // The caller has not read the event yet.
    world
        .stage
        .remove(&key("a"), RemoteBelief::Present(base.version))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_under_way_then_a_new_file() {
    let mut world = World::new();
    let base = world.object("a", b"old").await;
    world.clock.advance(Duration::from_secs(60));
    world.hang(Operation::Delete);
    world
        .stage
        .remove(&key("a"), RemoteBelief::Present(base.version))
        .unwrap();
    world.until_call("delete a").await;
    world.write("a", b"new");
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"new");
    assert_eq!(
        world.calls(),
        ["delete a if-match v1", "put a 3 bytes if-absent -> v2"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inline_body_under_way_is_replaced_and_moved() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let put = |bytes: &'static [u8]| {
        let bytes = Bytes::from_static(bytes);
        world
            .stage
            .put_inline(&key("l"), bytes, metadata("1"), RemoteBelief::Absent)
            .unwrap();
    };
    put(b"one");
    world.until_call("put l").await;
    put(b"two");
    world
        .stage
        .rename(&key("l"), &key("m"), RemoteBelief::Absent)
        .unwrap();
    world.release();
    world.settle().await;
    assert_eq!(world.content("l").await, None);
    assert_eq!(world.content("m").await.unwrap(), b"two");
}

/// Small bodies are taken under the file's lock: whatever is committed is one of the states that
/// the file had between two writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_object_is_never_torn() {
    let mut world = World::new();
    let size = 200 << 10;
    let file = world.write("a", &vec![0; size]);
    let writer = {
        let (file, stage) = (std::sync::Arc::clone(&file), world.stage.clone());
        tokio::task::spawn_blocking(move || {
            for round in 1..=60_u8 {
                file.write_at(0, &vec![round; size]).unwrap();
                stage.submit(&file, Submit::Closed).unwrap();
            }
        })
    };
    let mut seen = std::collections::BTreeSet::new();
    while !writer.is_finished() {
        world.clock.advance(Duration::from_millis(50));
        if let Some(bytes) = world.content("a").await {
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "torn");
            seen.insert(bytes[0]);
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), vec![60; size]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_grows_past_one_body_meanwhile() {
    let mut world = World::new();
    let file = world.write("a", b"small");
    world.hang(Operation::Put);
    world.until_call("put a").await;
    let large = pattern(1, 9 << 20);
    file.write_at(0, &large).unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.release();
    world.settle().await;
    assert!(world.content("a").await.unwrap() == large);
}
