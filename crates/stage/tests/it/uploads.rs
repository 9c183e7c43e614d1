//! Multipart uploads that the bucket has, and of which nobody here has heard.

use std::time::Duration;

use cloudmount_stage::{RemoteBelief, StageSettings};
use cloudmount_store::layer::{Effect, FaultPlan, FaultRule, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore, PutOptions, Store};

use crate::world::{World, key, pattern};

/// A world whose files of a MiB go out in parts.
fn world() -> World {
    let settings = StageSettings {
        multipart_bytes_min: 1 << 20,
        part_bytes: 1 << 20,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: 1 << 19,
        ..MemoryStore::CAPABILITIES
    };
    World::with(settings, capabilities)
}

/// Someone else begins an upload of that key.
async fn theirs(world: &World, name: &str) {
    let options = PutOptions::default();
    world
        .bucket
        .multipart_start(&key(name), &options)
        .await
        .unwrap();
}

/// Ends the process between the store's answer to the start of an upload and its arrival; then these
/// faults happen.
async fn crash_at_the_start(world: &mut World, then: Vec<FaultRule>) {
    // The store begins it, and the answer never comes.
    world.fault(Effect::LoseReply, Operation::MultipartStart, 1);
    // Nor does anybody here get to look for it before the end.
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Connection));
    world.fault.add(rule.on(Operation::MultipartList));
    world.write("large", &pattern(1, 3 << 20));
    world.until_call("start large").await;
    world.until_call("list-uploads large").await;
    assert_eq!(world.bucket.uploads_in_progress(), 1);
    world.fault.set_plan(FaultPlan::script(then));
    world.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_name_never_arrived_is_gone_after_the_next_mount() {
    let mut world = world();
    // Uploads of others: long before, and of keys that begin alike.
    theirs(&world, "large").await;
    theirs(&world, "large.old").await;
    world.clock.advance(Duration::from_secs(3600));
    theirs(&world, "large/below").await;
    let others = world.bucket.uploads_in_progress();
    world.fault.add(
        FaultRule::new(Effect::LoseReply)
            .on(Operation::MultipartStart)
            .nth(1),
    );
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Connection));
    world.fault.add(rule.on(Operation::MultipartList));
    world.write("large", &pattern(1, 3 << 20));
    world.until_call("list-uploads large").await;
    assert_eq!(world.bucket.uploads_in_progress(), others + 1);
    world.fault.clear();
    world.crash().await;
    // Long after, someone begins another one.
    world.clock.advance(Duration::from_secs(3600));
    theirs(&world, "large").await;
    world.settle().await;
    world
        .until("only those of others are left", |world| {
            world.bucket.uploads_in_progress() == others + 1
        })
        .await;
    assert_eq!(world.content("large").await.unwrap(), pattern(1, 3 << 20));
    // It is searched for once.
    drop(world.calls());
    world.crash().await;
    world.quiet().await;
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_fails_is_made_again() {
    let mut world = world();
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Server));
    let then = vec![
        rule.clone().on(Operation::MultipartList).calls(1..=2),
        rule.on(Operation::MultipartAbort).nth(1),
    ];
    crash_at_the_start(&mut world, then).await;
    world.settle().await;
    let wait = world.settings.failed_delay + Duration::from_secs(1);
    for _ in 0..4 {
        world.clock.pass(wait).await;
        world.quiet().await;
    }
    world
        .until("it is found", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
    let calls = world.calls();
    let of = |start: &str| calls.iter().filter(|line| line.starts_with(start)).count();
    assert!(of("list-uploads") >= 3, "{calls:#?}");
    assert_eq!(of("abort"), 2, "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_a_file_that_is_gone_is_searched_for_too() {
    let mut world = world();
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Server));
    let then = vec![rule.on(Operation::MultipartList).nth(1)];
    crash_at_the_start(&mut world, then).await;
    world
        .stage
        .remove(&key("large"), RemoteBelief::Absent)
        .unwrap();
    world.settle().await;
    // When the failed search is noted, nobody knows: time passes until the next one was made.
    let wait = world.settings.failed_delay + Duration::from_secs(1);
    for _ in 0..50 {
        if world.bucket.uploads_in_progress() == 0 {
            return;
        }
        world.clock.pass(wait).await;
        world.quiet().await;
    }
    panic!("it was never found: {:#?}", world.log.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_while_the_next_upload_begins_is_made_again_at_once() {
    let mut world = world();
    let then = vec![
        FaultRule::new(Effect::Delay(Duration::from_secs(1)))
            .on(Operation::MultipartList)
            .nth(1),
        FaultRule::new(Effect::Delay(Duration::from_secs(2)))
            .on(Operation::MultipartStart)
            .nth(1),
    ];
    crash_at_the_start(&mut world, then).await;
    world.settle().await;
    // Long before what failed is tried again.
    assert!(world.settings.failed_delay > Duration::from_secs(250));
    world
        .until("it is found", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lists_no_uploads_is_not_asked_again() {
    let mut world = world();
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Unsupported));
    crash_at_the_start(&mut world, vec![rule.on(Operation::MultipartList)]).await;
    world.settle().await;
    world.until_call("list-uploads large").await;
    world.quiet().await;
    drop(world.calls());
    world.crash().await;
    world.quiet().await;
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_was_refused_leaves_nothing_to_search_for() {
    let mut world = world();
    world.fault(
        Effect::Fail(ErrorKind::Throttled),
        Operation::MultipartStart,
        1,
    );
    world.write("large", &pattern(1, 3 << 20));
    world.settle().await;
    world.crash().await;
    world.quiet().await;
    let calls = world.calls();
    assert!(
        !calls.iter().any(|line| line.starts_with("list")),
        "{calls:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_line_leaves_one_upload_to_search_for() {
    let mut world = world();
    world
        .fault
        .add(FaultRule::new(Effect::Fail(ErrorKind::Connection)));
    world.write("large", &pattern(1, 3 << 20));
    world.until_call("list-uploads large").await;
    for _ in 0..200 {
        world.clock.pass(Duration::from_secs(1)).await;
    }
    let calls = world.calls();
    let starts = calls.iter().filter(|line| line.starts_with("start"));
    assert_eq!(starts.count(), 1, "{calls:#?}");
    world.fault.clear();
    world.settle().await;
    assert_eq!(world.bucket.uploads_in_progress(), 0);
    assert_eq!(world.content("large").await.unwrap(), pattern(1, 3 << 20));
}
