//! Holds: what is still read is neither overwritten nor removed.

use std::time::Duration;

use cloudmount_stage::{RemoteBelief, Segment, Submit};

use crate::world::{World, key, metadata, pattern};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_object_is_not_removed() {
    let mut world = World::new();
    let base = world.object("a", b"read me").await;
    let hold = world.stage.hold(&key("a"));
    world
        .stage
        .remove(&key("a"), RemoteBelief::Present(base.version))
        .unwrap();
    world.quiet().await;
    assert_eq!(world.content("a").await.unwrap(), b"read me");
    assert!(world.stage.status().keys[0].held);
    drop(hold);
    world.settle().await;
    assert_eq!(world.content("a").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_object_is_not_overwritten_but_new_names_are_free() {
    let mut world = World::new();
    let base = world.object("a", b"old").await;
    let hold = world.stage.hold(&key("a"));
    let file = world.stage.create_truncated(base, metadata("2")).unwrap();
    file.write_at(0, b"new").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.write("b", b"other");
    let free = world.stage.hold(&key("b"));
    world.until("b", |world| world.bucket.len() == 2).await;
    world.quiet().await;
    assert_eq!(world.content("a").await.unwrap(), b"old");
    drop((hold, free));
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlinked_file_with_holes_keeps_its_base() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    let file = world
        .stage
        .create(&key("a"), Some(base.clone()), metadata("2"))
        .unwrap();
    file.write_at(3, b"X").unwrap();
    world
        .stage
        .remove(&key("a"), RemoteBelief::Present(base.version))
        .unwrap();
    world.clock.pass(Duration::from_secs(60)).await;
    world.quiet().await;
    assert!(world.content("a").await.is_some(), "it is still read");
    assert_eq!(file.segments(0..3), [Segment::Base(0..3)]);
    drop(file);
    world.settle().await;
    assert_eq!(world.content("a").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_under_the_name_of_an_open_one_has_the_rest_fetched() {
    let mut world = World::new();
    let base = world.object("log", &pattern(5, 5000)).await;
    let old = world
        .stage
        .create(&key("log"), Some(base), metadata("2"))
        .unwrap();
    old.write_at(5000, b"more").unwrap();
    // Rotated, and still being written: never submitted.
    world
        .stage
        .rename(&key("log"), &key("log.1"), RemoteBelief::Absent)
        .unwrap();
    let new = world
        .stage
        .create(&key("log"), None, metadata("3"))
        .unwrap();
    new.write_at(0, b"fresh").unwrap();
    world.stage.submit(&new, Submit::Closed).unwrap();
    world.quiet().await;
    assert!(world.content("log").await.unwrap() == pattern(5, 5000));
    world
        .until("the new file", |world| {
            world
                .log
                .lines()
                .iter()
                .any(|line| line.starts_with("put log "))
        })
        .await;
    assert_eq!(old.fill_plan(), []);
    world.stage.submit(&old, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("log").await.unwrap(), b"fresh");
    let mut expected = pattern(5, 5000);
    expected.extend(b"more");
    assert!(world.content("log.1").await.unwrap() == expected);
    let calls = world.calls();
    assert_eq!(
        calls.iter().filter(|call| call.starts_with("get")).count(),
        1,
        "{calls:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_does_not_wait_for_the_delay_of_a_fill() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    let old = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    old.write_at(3, b"X").unwrap();
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    let new = world.write("a", b"new");
    world.stage.flush_now(&key("a"));
    world.stage.wait(&key("a")).await.unwrap();
    assert_eq!(world.content("a").await.unwrap(), b"new");
    assert!(new.is_clean());
    world.stage.submit(&old, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"012X456789");
}
