//! How long is waited where nothing answers, and what is told meanwhile.

use std::time::Duration;

use cloudmount_stage::{Event, Lasting, Phase};
use cloudmount_store::ErrorKind;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_vfs::Timestamp;

use crate::world::{World, key, moment};

/// Looks after each step of time: 0.2 s.
const LOOKS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_network_is_tried_for_ever_with_longer_and_longer_waits() {
    let mut world = World::new();
    world
        .fault
        .add(FaultRule::new(Effect::Fail(ErrorKind::Connection)));
    world.write("a", b"x");
    let mut tries = Vec::new();
    for _ in 0..400 {
        world.clock.pass(Duration::from_millis(500)).await;
        // No time passes while a try is under way, unless its threads take very long.
        for _ in 0..LOOKS {
            moment().await;
            let status = world.stage.status();
            if (status.keys[0].next_try).is_some_and(|wait| wait > Duration::ZERO) {
                break;
            }
        }
        tries.push(world.calls().len());
    }
    let total: usize = tries.iter().sum();
    assert!((7..=20).contains(&total), "{total} tries in 200 s");
    assert!(tries[300..].iter().sum::<usize>() <= 4);
    let events = world.events();
    assert_eq!(events.len(), 1, "told once: {events:?}");
    assert!(matches!(
        &events[0],
        Event::Failed {
            lasting: Lasting::Transient,
            kind: cloudmount_vfs::ErrorKind::Unreachable,
            ..
        }
    ));
    let status = world.stage.status();
    assert_eq!(status.keys[0].phase, Phase::Waiting);
    assert!(status.keys[0].attempts >= 7);
    assert!(status.keys[0].next_try.unwrap() <= Duration::from_secs(75));
    world.fault.clear();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_the_wall_clock_moves_no_deadline() {
    // To 1970, and by two centuries forward.
    for seconds in [0, 8_000_000_000] {
        let mut world = World::new();
        world.fault(Effect::Throttle(Duration::from_secs(30)), Operation::Put, 1);
        world.write("a", b"x");
        world.until_call("put").await;
        world.clock.set_wall(Timestamp::new(seconds, 0));
        world.clock.pass(Duration::from_secs(25)).await;
        assert_eq!(world.calls().len(), 1, "it waits as long as it was told");
        let next = world.stage.status().keys[0].next_try.unwrap();
        assert!(next <= Duration::from_secs(6), "{next:?}");
        world.clock.pass(Duration::from_secs(6)).await;
        world.settle().await;
        assert_eq!(world.calls().len(), 1, "and no longer");
        world.hang(Operation::Put);
        world.write("b", b"x");
        let stage = world.stage.clone();
        let drained = tokio::spawn(async move { stage.drain(Duration::from_secs(5)).await });
        world.until_call("put").await;
        world.clock.set_wall(Timestamp::new(-seconds, 0));
        world.clock.pass(Duration::from_secs(5)).await;
        assert_eq!(drained.await.unwrap().remaining_count, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_says_how_long_to_wait() {
    let mut world = World::new();
    world.fault(Effect::Throttle(Duration::from_secs(30)), Operation::Put, 1);
    world.write("a", b"x");
    world.until_call("put").await;
    world.clock.pass(Duration::from_secs(25)).await;
    assert_eq!(world.calls().len(), 1);
    world.clock.pass(Duration::from_secs(6)).await;
    world.settle().await;
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_must_solve_is_named_and_tried_now_and_then() {
    let world = World::new();
    world
        .fault
        .add(FaultRule::new(Effect::Fail(ErrorKind::Forbidden)).on(Operation::Put));
    world.write("a", b"x");
    world
        .until("it failed", |world| world.stage.status().totals.failed == 1)
        .await;
    let error = world.stage.wait(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), cloudmount_vfs::ErrorKind::PermissionDenied);
    let events = world.events();
    assert!(
        matches!(
            &events[..],
            [Event::Failed {
                lasting: Lasting::Permanent,
                ..
            }]
        ),
        "{events:?}"
    );
    drop(world.calls());
    world.clock.pass(Duration::from_secs(301)).await;
    world.until_call("put").await;
    assert_eq!(world.calls().len(), 1);
    // Solved: a person asks for another try.
    world.fault.clear();
    world.stage.flush_now(&key("a"));
    world.stage.wait(&key("a")).await.unwrap();
    assert_eq!(world.content("a").await.unwrap(), b"x");
}
