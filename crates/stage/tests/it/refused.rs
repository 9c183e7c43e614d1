//! What the bucket as a whole refuses, until it takes it again: a quota, a bucket that is away, keys that are not known.

use std::time::Duration;

use cloudmount_stage::{Scope, Submit};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::{ErrorKind, Store as _};
use cloudmount_vfs::Clock as _;

use crate::world::{World, key, metadata, moment};

const FILES: usize = 40;

/// Long after the first try, and before anybody tries again by the longer of the two delays.
const MEANWHILE: Duration = Duration::from_secs(200);

async fn pass(world: &World, time: Duration) {
    let end = world.clock.now() + time;
    while world.clock.now() < end {
        world.clock.advance(Duration::from_millis(500));
        moment().await;
    }
}

/// So many files that were refused.
async fn refused(kind: ErrorKind) -> World {
    let world = World::new();
    world
        .fault
        .add(FaultRule::new(Effect::Fail(kind)).on(Operation::Put));
    for number in 0..FILES {
        drop(world.write(&format!("file-{number}"), b"content"));
    }
    world
        .until("all were refused", |world| {
            world.stage.status().totals.failed == FILES
        })
        .await;
    drop(world.calls());
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_finds_out_whether_the_bucket_takes_something_again() {
    for kind in [
        ErrorKind::Quota,
        ErrorKind::NoBucket,
        ErrorKind::Unauthorized,
    ] {
        let mut world = refused(kind).await;
        pass(&world, MEANWHILE).await;
        let tries = world.calls().len();
        // One in 22 to 38 s.
        assert!((5..=10).contains(&tries), "{kind}: {tries} tries");
        world.fault.clear();
        let mended = world.clock.now();
        world.settle().await;
        let took = world.clock.now().saturating_since(mended);
        assert!(took < Duration::from_secs(40), "{kind}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gets_into_the_bucket_has_all_others_tried() {
    let mut world = refused(ErrorKind::Quota).await;
    world.fault.clear();
    let mended = world.clock.now();
    drop(world.write("another", b"content"));
    world.settle().await;
    let took = world.clock.now().saturating_since(mended);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_its_size_is_not_tried_with_each_success() {
    let world = World::new();
    let large = key("large");
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Quota)).key(large.clone());
    world.fault.add(rule.on(Operation::Put));
    drop(world.write("large", b"content"));
    world
        .until("it was refused", |world| {
            world.stage.status().totals.failed == 1
        })
        .await;
    drop(world.calls());
    for number in 0..100 {
        drop(world.write(&format!("small-{number}"), b"c"));
        pass(&world, Duration::from_secs(1)).await;
    }
    let calls = world.calls();
    let tries = calls.iter().filter(|call| call.contains("large")).count();
    assert!((2..=8).contains(&tries), "{tries} tries: {calls:?}");
}

/// A bucket was deleted with all that was in it, and made again: that the object is gone shows only then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_belief_that_is_corrected_after_many_failures_is_tried_at_once() {
    let mut world = World::new();
    let base = world.object("file", b"before").await;
    let gone = Effect::Fail(ErrorKind::NoBucket);
    world.fault.add(FaultRule::new(gone));
    let file = (world.stage)
        .create(&key("file"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(0, b"after!").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    for attempts in 1..=10 {
        world
            .until("it was refused", |world| {
                let status = world.stage.status();
                status.keys.iter().any(|key| key.attempts == attempts)
            })
            .await;
        world.stage.hurry(&Scope::key(key("file")));
    }
    world.bucket.delete(&[key("file")]).await.unwrap();
    world.fault.clear();
    world.stage.hurry(&Scope::key(key("file")));
    let mended = world.clock.now();
    world.settle().await;
    let took = world.clock.now().saturating_since(mended);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.content("file").await.unwrap(), b"after!");
}
