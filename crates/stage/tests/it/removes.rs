//! Removals, many at a time.

use std::time::Duration;

use cloudmount_stage::{Event, RemoteBelief};
use cloudmount_store::ErrorKind;
use cloudmount_store::layer::{Effect, Operation};

use crate::world::{World, key};

async fn folder(count: usize) -> World {
    let mut world = World::new();
    for n in 0..count {
        world.write(&format!("d/{n:04}"), b"x");
    }
    world.settle().await;
    world.clock.advance(Duration::from_secs(60));
    drop(world.events());
    drop(world.calls());
    world
}

async fn remove_all(world: &World, count: usize) {
    for n in 0..count {
        let name = format!("d/{n:04}");
        world
            .stage
            .remove(&key(&name), world.belief(&name).await)
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_costs_a_listing_and_a_request_per_thousand() {
    let mut world = folder(1500).await;
    world.stage.pause();
    remove_all(&world, 1500).await;
    world.clock.advance(Duration::from_secs(1));
    world.stage.resume();
    world.settle().await;
    assert!(world.bucket.is_empty());
    let calls = world.calls();
    let count = |start: &str| calls.iter().filter(|call| call.starts_with(start)).count();
    assert_eq!((count("head"), count("delete")), (2, 2));
    assert!(count("list") <= 4, "{}", count("list"));
    assert_eq!(world.events().len(), 1500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_is_spared_in_a_batch() {
    let mut world = folder(30).await;
    remove_all(&world, 30).await;
    world.theirs("d/0007", b"theirs").await;
    world.theirs("d/0000", b"theirs").await;
    cloudmount_store::Store::delete(&*world.bucket, &[key("d/0011")])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    world.settle().await;
    assert_eq!(world.bucket.keys(), [key("d/0000"), key("d/0007")]);
    let events = world.events();
    let conflicts = events
        .iter()
        .filter(|event| matches!(event, Event::Conflict { .. }))
        .count();
    assert_eq!((events.len(), conflicts), (30, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again() {
    for operation in [Operation::Head, Operation::List, Operation::Delete] {
        let mut world = folder(20).await;
        world.fault(Effect::Fail(ErrorKind::Server), operation, 1);
        remove_all(&world, 20).await;
        world.settle().await;
        assert!(world.bucket.is_empty(), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_just_shown_is_not_looked_at_again() {
    let mut world = World::new();
    world.write("a", b"x");
    world.settle().await;
    drop(world.calls());
    world
        .stage
        .remove(&key("a"), world.belief("a").await)
        .unwrap();
    world.settle().await;
    assert_eq!(
        world.calls(),
        ["head a", "delete a"],
        "a belief of the caller's"
    );
    world
        .stage
        .remove(&key("b"), RemoteBelief::Unknown)
        .unwrap();
    world.settle().await;
    assert_eq!(world.calls(), ["delete b"], "nothing to compare with");
}
