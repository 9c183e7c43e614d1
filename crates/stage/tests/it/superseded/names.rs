//! A rewrite and what it replaces follow their names.

use cloudmount_stage::{RemoteBelief, Submit};
use cloudmount_store::layer::{Effect, Operation};

use super::rewritten;
use crate::world::{World, key, metadata};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_follow_a_rename() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let (old, new) = rewritten(&world);
    world
        .stage
        .rename(&key("f"), &key("g"), RemoteBelief::Absent)
        .unwrap();
    assert_eq!(new.key(), key("g"));
    drop((old, new));
    world.crash().await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("g").await.unwrap(), b"v1");
    assert_eq!(world.content("f").await, None);
}

/// What is in the bucket goes along with an open file that is renamed, however it is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_a_rename_before_the_close_keeps_what_was_closed() {
    for truncated in [true, false] {
        let mut world = World::new();
        let there = world.object("f", b"closed long ago").await;
        let file = if truncated {
            world.stage.create_truncated(there, metadata("2")).unwrap()
        } else {
            world
                .stage
                .create(&key("f"), Some(there), metadata("2"))
                .unwrap()
        };
        file.write_at(3, b"half").unwrap();
        world
            .stage
            .rename(&key("f"), &key("g"), RemoteBelief::Absent)
            .unwrap();
        drop(file);
        world.crash().await;
        assert_eq!(world.recovery.set_aside.len(), 1);
        world.settle().await;
        assert_eq!(world.content("g").await.unwrap(), b"closed long ago");
        assert_eq!(world.content("f").await, None);
    }
}

/// A change of its metadata gives what is in the bucket another version: while the file is open, or just before, so that who
/// opened it had not heard of it. It goes along all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_along_may_get_other_metadata_meanwhile() {
    for is_under_way in [true, false] {
        let mut world = World::new();
        let there = world.object("f", b"closed long ago").await;
        if is_under_way {
            world.hang(Operation::Copy);
        }
        (world.stage)
            .set_metadata(&key("f"), metadata("2"), there.version.clone())
            .unwrap();
        world.until_call("copy f").await;
        if !is_under_way {
            world.settle().await;
        }
        let file = (world.stage)
            .create_truncated(there.clone(), metadata("3"))
            .unwrap();
        file.write_at(0, b"half").unwrap();
        world.release();
        world.quiet().await;
        assert_ne!(world.version("f").await.unwrap(), there.version);
        (world.stage)
            .rename(&key("f"), &key("g"), RemoteBelief::Absent)
            .unwrap();
        drop(file);
        world.crash().await;
        world.settle().await;
        let content = world.content("g").await;
        assert_eq!(
            content.as_deref(),
            Some(&b"closed long ago"[..]),
            "{is_under_way}"
        );
        assert_eq!(world.content("f").await, None);
    }
}

/// However often it is renamed, and whatever of it is in the bucket by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_many_renames_before_the_close_keeps_what_was_closed() {
    let mut world = World::new();
    let (old, new) = rewritten(&world);
    drop(old);
    for (from, to) in [("f", "g"), ("g", "h"), ("h", "i")] {
        world
            .until("the former content is there", |world| {
                let keys = world.stage.status().keys;
                keys.len() == 1 && keys[0].phase == cloudmount_stage::Phase::Open
            })
            .await;
        assert_eq!(world.content(from).await.unwrap(), b"v1");
        world
            .stage
            .rename(&key(from), &key(to), RemoteBelief::Absent)
            .unwrap();
    }
    drop(new);
    world.crash().await;
    world.settle().await;
    assert_eq!(world.content("i").await.unwrap(), b"v1");
    assert_eq!(world.bucket.len(), 1);
}

/// What was in the bucket stays there until what was closed since is there, under whatever name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_left_stays_until_its_file_is_there() {
    for crash in [false, true] {
        let mut world = World::new();
        let there = world.object("f", b"v1").await;
        world.hang(Operation::Put);
        let new = (world.stage)
            .create_truncated(there, metadata("2"))
            .unwrap();
        new.write_at(0, b"v2").unwrap();
        world.stage.submit(&new, Submit::Closed).unwrap();
        for (from, to) in [("f", "g"), ("g", "h")] {
            (world.stage)
                .rename(&key(from), &key(to), RemoteBelief::Absent)
                .unwrap();
        }
        drop(new);
        if crash {
            world.crash().await;
        }
        world.quiet().await;
        assert_eq!(world.content("f").await.unwrap(), b"v1", "crash {crash}");
        world.release();
        world.settle().await;
        assert_eq!(world.content("f").await, None);
        assert_eq!(world.content("h").await.unwrap(), b"v2");
        assert_eq!(world.bucket.len(), 1);
    }
}

/// The same, where it is being written anew once more when it is renamed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_an_open_file_leaves_stays_until_its_file_is_there() {
    for closed in [false, true] {
        let mut world = World::new();
        let there = world.object("f", b"v1").await;
        world.hang(Operation::Put);
        let second = (world.stage)
            .create_truncated(there, metadata("2"))
            .unwrap();
        second.write_at(0, b"v2").unwrap();
        world.stage.submit(&second, Submit::Closed).unwrap();
        let third = (world.stage.supersede(&second, metadata("3")).unwrap()).unwrap();
        third.write_at(0, b"v3").unwrap();
        (world.stage)
            .rename(&key("f"), &key("g"), RemoteBelief::Absent)
            .unwrap();
        if closed {
            world.stage.submit(&third, Submit::Closed).unwrap();
        }
        drop((second, third));
        world.crash().await;
        world.quiet().await;
        assert_eq!(world.content("f").await.unwrap(), b"v1", "closed {closed}");
        world.release();
        world.settle().await;
        assert_eq!(world.content("f").await, None);
        let last = if closed { b"v3" } else { b"v2" };
        assert_eq!(world.content("g").await.unwrap(), last);
    }
}

/// What was in the bucket is there under one of its names, or what replaced it is, at each moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_name_stays_until_the_rewrite_is_there() {
    for crash in [false, true] {
        let mut world = World::new();
        let there = world.object("f", b"v1").await;
        world.hang(Operation::Copy);
        world.hang(Operation::Put);
        let old = (world.stage)
            .rename_object(there, &key("g"), RemoteBelief::Absent, metadata("1"))
            .unwrap();
        let new = world.stage.supersede(&old, metadata("2")).unwrap().unwrap();
        new.write_at(0, b"v2").unwrap();
        world.stage.submit(&new, Submit::Closed).unwrap();
        drop((old, new));
        if crash {
            world.crash().await;
        }
        world.quiet().await;
        assert_eq!(world.content("f").await.unwrap(), b"v1", "crash {crash}");
        assert_eq!(world.content("g").await, None);
        world.release();
        world.settle().await;
        assert_eq!(world.content("f").await, None);
        assert_eq!(world.content("g").await.unwrap(), b"v2");
        assert_eq!(world.mtime("g").await.unwrap(), "2");
    }
}

/// So it is where the answer about the other metadata was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_along_may_have_got_other_metadata_without_an_answer() {
    for truncated in [true, false] {
        let mut world = World::new();
        let there = world.object("f", b"closed long ago").await;
        world.fault(Effect::LoseReply, Operation::Copy, 1);
        world.hang(Operation::Head);
        (world.stage)
            .set_metadata(&key("f"), metadata("2"), there.version.clone())
            .unwrap();
        world.until_call("copy f").await;
        let file = if truncated {
            world.stage.create_truncated(there, metadata("3"))
        } else {
            (world.stage).create(&key("f"), Some(there), metadata("3"))
        };
        let file = file.unwrap();
        file.write_at(0, b"half").unwrap();
        world.release();
        world.quiet().await;
        (world.stage)
            .rename(&key("f"), &key("g"), RemoteBelief::Absent)
            .unwrap();
        drop(file);
        world.crash().await;
        world.settle().await;
        let content = world.content("g").await;
        assert_eq!(
            content.as_deref(),
            Some(&b"closed long ago"[..]),
            "{truncated}"
        );
        assert_eq!(world.content("f").await, None);
    }
}
