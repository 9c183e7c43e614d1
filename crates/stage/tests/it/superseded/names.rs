//! A rewrite and what it replaces follow their names.

use std::sync::Arc;

use cloudmount_stage::{Base, RemoteBelief, StagedFile, Submit};
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

const CLOSED: &[u8] = b"closed long ago";

/// Half of a file that is to be in place of `there`, or to change it.
fn half_written(world: &World, there: Base, truncated: bool) -> Arc<StagedFile> {
    let file = if truncated {
        world.stage.create_truncated(there, metadata("3"))
    } else {
        (world.stage).create(&key("f"), Some(there), metadata("3"))
    };
    let file = file.unwrap();
    file.write_at(3, b"half").unwrap();
    file
}

/// What was closed of an open file goes along with its rename: a crash before the next close shows it.
async fn goes_along(world: &mut World, file: Arc<StagedFile>, what: &str) {
    (world.stage)
        .rename(&key("f"), &key("g"), RemoteBelief::Absent)
        .unwrap();
    drop(file);
    world.crash().await;
    assert_eq!(world.recovery.set_aside.len(), 1, "{what}");
    world.settle().await;
    let content = world.content("g").await;
    assert_eq!(content.as_deref(), Some(CLOSED), "{what}");
    assert_eq!(world.content("f").await, None, "{what}");
}

/// What is in the bucket goes along with an open file that is renamed, however it is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_a_rename_before_the_close_keeps_what_was_closed() {
    for truncated in [true, false] {
        let mut world = World::new();
        let there = world.object("f", CLOSED).await;
        let file = half_written(&world, there, truncated);
        goes_along(&mut world, file, &format!("truncated: {truncated}")).await;
    }
}

/// When other metadata give an object another version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Changed {
    /// Before the file is opened, by one who has not heard of it.
    Before,
    /// While it is open.
    Meanwhile,
    /// While it is open, and nobody gets the answer.
    Unanswered,
}

/// So it is where a change of its metadata gives what is in the bucket another version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_along_may_get_other_metadata_meanwhile() {
    let when = [Changed::Before, Changed::Meanwhile, Changed::Unanswered];
    for (changed, truncated) in when.into_iter().flat_map(|one| [(one, true), (one, false)]) {
        let mut world = World::new();
        let there = world.object("f", CLOSED).await;
        match changed {
            Changed::Before => {}
            Changed::Meanwhile => world.hang(Operation::Copy),
            Changed::Unanswered => {
                world.fault(Effect::LoseReply, Operation::Copy, 1);
                world.hang(Operation::Head);
            }
        }
        (world.stage)
            .set_metadata(&key("f"), metadata("2"), there.version.clone())
            .unwrap();
        world.until_call("copy f").await;
        if changed == Changed::Before {
            world.settle().await;
        }
        let file = half_written(&world, there.clone(), truncated);
        world.release();
        world.quiet().await;
        assert_ne!(world.version("f").await.unwrap(), there.version);
        let what = format!("{changed:?}, truncated: {truncated}");
        goes_along(&mut world, file, &what).await;
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
