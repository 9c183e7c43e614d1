//! Wait, flush, drain, pause, status.

use std::time::Duration;

use cloudmount_stage::{Phase, RemoteBelief, StageSettings, Submit};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{ErrorKind, MemoryStore};

use crate::world::{World, key, metadata};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_returns_when_it_is_there() {
    let world = World::new();
    world.stage.wait(&key("nothing pending")).await.unwrap();
    let settings = StageSettings {
        close_delay: Duration::from_secs(3600),
        ..StageSettings::default()
    };
    let world = World::with(settings, MemoryStore::CAPABILITIES);
    let file = world.write("a", b"x");
    world.stage.flush_now(&key("a"));
    world.stage.wait(&key("a")).await.unwrap();
    assert_eq!(world.content("a").await.unwrap(), b"x");
    // What is written after the call is not waited for.
    file.write_at(0, b"y").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.hang(Operation::Put);
    world.stage.flush_now(&key("a"));
    world
        .until("the second put", |world| {
            world
                .log
                .lines()
                .iter()
                .filter(|line| line.starts_with("put"))
                .count()
                == 2
        })
        .await;
    let stage = world.stage.clone();
    let waiting = tokio::spawn(async move { stage.wait(&key("a")).await });
    world.quiet().await;
    file.write_at(0, b"z").unwrap();
    assert!(!waiting.is_finished());
    world.release();
    waiting.await.unwrap().unwrap();
    assert_eq!(world.content("a").await.unwrap(), b"y");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_follows_a_rename_and_ends_with_a_removal() {
    let world = World::new();
    world.hang(Operation::Put);
    world.write("a", b"x");
    world.write("b", b"y");
    world.until_call("put b").await;
    let wait = |name: &'static str| {
        let stage = world.stage.clone();
        tokio::spawn(async move { stage.wait(&key(name)).await })
    };
    let (renamed, removed) = (wait("a"), wait("b"));
    world.quiet().await;
    world
        .stage
        .rename(&key("a"), &key("c"), RemoteBelief::Absent)
        .unwrap();
    world.stage.remove(&key("b"), RemoteBelief::Absent).unwrap();
    removed.await.unwrap().unwrap();
    assert!(!renamed.is_finished());
    world.release();
    renamed.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_ignores_delays_and_says_what_is_left() {
    let settings = StageSettings {
        close_delay: Duration::from_secs(3600),
        ..StageSettings::default()
    };
    let world = World::with(settings, MemoryStore::CAPABILITIES);
    for n in 0..40 {
        world.write(&format!("f{n}"), b"x");
    }
    let report = world.stage.drain(Duration::from_secs(3600)).await;
    assert_eq!((report.remaining_count, world.bucket.len()), (0, 40));
    let open = world
        .stage
        .create(&key("open"), None, metadata("1"))
        .unwrap();
    world.hang(Operation::Put);
    world.write("stuck", b"x");
    let stage = world.stage.clone();
    let drained = tokio::spawn(async move { stage.drain(Duration::from_secs(5)).await });
    world.quiet().await;
    assert!(!drained.is_finished());
    world.clock.pass(Duration::from_secs(5)).await;
    let report = drained.await.unwrap();
    let left: Vec<_> = report
        .remaining
        .iter()
        .map(|left| (left.key.as_str(), left.phase))
        .collect();
    assert_eq!(left, [("open", Phase::Open), ("stuck", Phase::InFlight)]);
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_means_that_nothing_starts() {
    let mut world = World::new();
    world.stage.pause();
    world.write("a", b"x");
    world
        .stage
        .remove(&key("b"), RemoteBelief::Unknown)
        .unwrap();
    world.clock.pass(Duration::from_secs(60)).await;
    world.quiet().await;
    assert!(world.calls().is_empty());
    assert!(world.stage.status().paused);
    world.stage.resume();
    world.settle().await;
    assert_eq!(world.bucket.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_are_bounded() {
    let mut world = World::new();
    world.hang(Operation::Put);
    for n in 0..100 {
        world.write(&format!("f{n}"), b"x");
    }
    world
        .until("32 are under way", |world| world.log.lines().len() == 32)
        .await;
    world.quiet().await;
    assert_eq!(world.log.lines().len(), 32);
    let status = world.stage.status();
    assert_eq!((status.totals.in_flight, status.totals.keys), (32, 100));
    assert_eq!(status.budgets[1].used, 32);
    world.release();
    world.settle().await;
    assert_eq!(world.bucket.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_asks_to_slow_down_gets_fewer_requests_at_once() {
    let mut world = World::new();
    let limit = |world: &World| {
        let budgets = world.stage.status().budgets;
        let small = budgets.iter().find(|one| one.name == "small requests");
        small.unwrap().limit
    };
    assert_eq!(limit(&world), 32);
    for n in 1..=32 {
        world.fault(Effect::Fail(ErrorKind::Throttled), Operation::Put, n);
    }
    for n in 0..100 {
        world.write(&format!("f{n}"), b"x");
    }
    world
        .until("the limit falls", |world| limit(world) < 32)
        .await;
    let low = limit(&world);
    world.settle().await;
    assert_eq!(world.bucket.len(), 100);
    assert!((4..=22).contains(&low), "{low}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_is_data() {
    let world = World::new();
    world.write("a", b"12345");
    let status = serde_json::to_value(world.stage.status()).unwrap();
    assert_eq!(status["keys"][0]["key"], "a");
    assert_eq!(status["keys"][0]["phase"], "queued");
    assert_eq!(status["keys"][0]["bytes_total"], 5);
    assert_eq!(status["totals"]["local_bytes"], 5);
    assert_eq!(status["budgets"][0]["limit"], 176 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_shutdown_nothing_changes() {
    let world = World::new();
    let file = world.write("a", b"x");
    let stage = world.stage.clone();
    world.stage.clone().shutdown().await;
    assert!(stage.remove(&key("a"), RemoteBelief::Absent).is_err());
    assert!(stage.create(&key("b"), None, metadata("1")).is_err());
    assert!(stage.submit(&file, Submit::Closed).is_err());
}

/// Whoever was told to wait for the bucket is not told that it is there while neither of the two is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_what_is_written_anew_waits_for_that() {
    let world = World::new();
    world.stage.pause();
    let old = world.write("f", b"one");
    let wait = || {
        let stage = world.stage.clone();
        tokio::spawn(async move { stage.wait(&key("f")).await })
    };
    let first = wait();
    world.quiet().await;
    let new = world.stage.supersede(&old, metadata("2")).unwrap().unwrap();
    drop(old);
    // What is open is not waited for, what was closed before is.
    let second = wait();
    new.write_at(0, b"two").unwrap();
    world.stage.submit(&new, Submit::Closed).unwrap();
    drop(new);
    world.quiet().await;
    assert!(!first.is_finished() && !second.is_finished());
    world.stage.resume();
    world
        .until("both are told", |_| {
            first.is_finished() && second.is_finished()
        })
        .await;
    assert_eq!(world.content("f").await.unwrap(), b"two");
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}
