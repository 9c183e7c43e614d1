//! Removals, many at a time.

use std::time::Duration;

use cloudmount_stage::{Change, Event, RemoteBelief, StageSettings};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore, Store};

use cloudmount_store::probe::Finding;
use cloudmount_testkit::Lie;

use crate::world::{World, key};

/// A bucket whose removals check no versions.
fn unchecked() -> World {
    let capabilities = Capabilities {
        delete_if: false,
        ..MemoryStore::CAPABILITIES
    };
    World::with(StageSettings::default(), capabilities)
}

async fn folder(mut world: World, count: usize) -> World {
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

/// How many calls begin so.
fn count(calls: &[String], start: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(start)).count()
}

async fn removed(world: World) -> Vec<String> {
    let mut world = folder(world, 1500).await;
    world.stage.pause();
    remove_all(&world, 1500).await;
    world.clock.advance(Duration::from_secs(1));
    drop(world.calls());
    world.stage.resume();
    world.settle().await;
    assert!(world.bucket.is_empty());
    // What was done is told a moment after it is no longer pending, also of what was written before.
    let removals = |world: &World| {
        let change = Change::Removed;
        world
            .told(|event| matches!(event, Event::Committed { change: done, .. } if *done == change))
    };
    world
        .until("all is told", |world| removals(world) >= 1500)
        .await;
    assert_eq!(removals(&world), 1500);
    world.calls()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_costs_a_request_per_thousand() {
    let calls = removed(World::new()).await;
    assert_eq!((calls.len(), count(&calls, "delete")), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchecked_a_folder_costs_a_listing_and_a_request_per_thousand() {
    let calls = removed(unchecked()).await;
    assert_eq!((count(&calls, "head"), count(&calls, "delete")), (2, 2));
    assert!(count(&calls, "list") <= 4, "{}", count(&calls, "list"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_single_removals_are_checked_they_go_alone() {
    let (world, _) = World::lying(StageSettings::default(), Lie::RemovesManyOfAnything);
    let mut world = folder(world, 30).await;
    remove_all(&world, 30).await;
    world.theirs("d/0007", b"theirs").await;
    world.settle().await;
    assert_eq!(world.bucket.keys(), [key("d/0007")]);
    let calls = world.calls();
    assert_eq!(count(&calls, "delete"), 30, "{calls:?}");
    assert!(!world.stage.status().window_open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_is_spared_in_a_batch() {
    for world in [World::new(), unchecked()] {
        let mut world = folder(world, 30).await;
        remove_all(&world, 30).await;
        world.theirs("d/0007", b"theirs").await;
        world.theirs("d/0000", b"theirs").await;
        world
            .bucket
            .delete(&[key("d/0011")])
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_is_spared_that_came_with_the_removal() {
    let mut world = World::new();
    world.write("a", b"ours");
    world.settle().await;
    let belief = world.belief("a").await;
    world.hang(Operation::Delete);
    world.stage.remove(&key("a"), belief).unwrap();
    world.until_call("delete a").await;
    world.theirs("a", b"theirs").await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"theirs");
    assert!(!world.stage.status().window_open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_removal_spares_what_came_after_it() {
    let mut world = World::new();
    world.write("a", b"ours");
    world.settle().await;
    let belief = world.belief("a").await;
    world.fault(Effect::LoseReply, Operation::Delete, 1);
    world.stage.remove(&key("a"), belief).unwrap();
    world
        .until("it is gone", |world| world.bucket.is_empty())
        .await;
    world.theirs("a", b"theirs").await;
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_checks_removals_no_longer_is_looked_at() {
    let (mut world, liar) = World::lying(StageSettings::default(), Lie::Nothing);
    world.write("a", b"ours");
    world.write("b", b"ours");
    world.settle().await;
    let beliefs = [world.belief("a").await, world.belief("b").await];
    world.theirs("b", b"theirs").await;
    liar.tell(Lie::NotImplemented);
    for (name, belief) in ["a", "b"].into_iter().zip(beliefs) {
        world.stage.remove(&key(name), belief).unwrap();
    }
    world.settle().await;
    assert_eq!(world.bucket.keys(), [key("b")]);
    let status = world.stage.status();
    assert!(status.window_open);
    assert_eq!(status.honoured.delete_if_match, Finding::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again() {
    for operation in [Operation::Head, Operation::List, Operation::Delete] {
        let mut world = folder(unchecked(), 20).await;
        world.fault(Effect::Fail(ErrorKind::Server), operation, 1);
        remove_all(&world, 20).await;
        world.settle().await;
        assert!(world.bucket.is_empty(), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_checked_is_looked_at_just_before() {
    let mut world = unchecked();
    world.write("a", b"x");
    world.settle().await;
    drop(world.calls());
    let version = world.version("a").await.unwrap();
    let belief = RemoteBelief::Present(version);
    world.stage.remove(&key("a"), belief).unwrap();
    world.settle().await;
    assert_eq!(world.calls(), ["head a", "delete a"]);
    assert!(world.stage.status().window_open);
    world
        .stage
        .remove(&key("b"), RemoteBelief::Unknown)
        .unwrap();
    world.settle().await;
    assert_eq!(world.calls(), ["delete b"], "nothing to compare with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_in_two_steps_is_told_as_a_window() {
    let (mut world, liar) = World::lying(StageSettings::default(), Lie::RemovesInTwoSteps);
    world.write("a", b"ours");
    world.write("b", b"ours");
    world.settle().await;
    assert_eq!(world.stage.status().windows, [""; 0], "nothing was removed");
    let beliefs = [world.belief("a").await, world.belief("b").await];
    world.theirs("b", b"theirs").await;
    drop(world.calls());
    for (name, belief) in ["a", "b"].into_iter().zip(beliefs) {
        world.stage.remove(&key(name), belief).unwrap();
    }
    world.settle().await;
    assert_eq!(
        world.bucket.keys(),
        [key("b")],
        "it is checked all the same"
    );
    let calls = world.calls();
    assert_eq!(count(&calls, "head a"), 0, "{calls:?}");
    let status = world.stage.status();
    assert_eq!(
        (status.window_open, status.windows),
        (true, vec!["removals"])
    );
    assert_eq!(status.honoured.delete_if_match_atomic, Finding::Ignored);
    // Asked again, it may not be seen again, and that proves nothing.
    liar.tell(Lie::Nothing);
    world.clock.advance(Duration::from_secs(31 * 86_400));
    drop(world.calls());
    world.write("c", b"ours");
    world.settle().await;
    assert!(world.calls().iter().any(|line| line.contains("-race-")));
    let honoured = world.stage.status().honoured;
    assert_eq!(honoured.delete_if_match_atomic, Finding::Ignored);
}
