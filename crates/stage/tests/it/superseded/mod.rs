//! A file that was closed is written anew before it is in the bucket: what was closed is kept until
//! the new content is closed, too.

mod names;

use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{
    ConflictPolicy, Event, Reason, RemoteBelief, StageSettings, StagedFile, Submit,
};
use cloudmount_store::MemoryStore;
use cloudmount_store::layer::Operation;

use crate::world::{World, key, metadata};

/// `f` closed as `v1`, and opened to be written anew as far as `half`.
fn rewritten(world: &World) -> (Arc<StagedFile>, Arc<StagedFile>) {
    let old = world.write("f", b"v1");
    let new = world.stage.supersede(&old, metadata("2")).unwrap().unwrap();
    assert_ne!(old.id(), new.id());
    new.write_at(0, b"half").unwrap();
    (old, new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_a_rewrite_keeps_what_was_closed() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let (old, new) = rewritten(&world);
    drop((old, new));
    world.crash().await;
    let aside = &world.recovery.set_aside;
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].reason, Reason::NeverClosed);
    assert_eq!(
        std::fs::read(aside[0].path.as_ref().unwrap()).unwrap(),
        b"half"
    );
    world.release();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"v1");
    assert_eq!(world.mtime("f").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_a_rewrite_keeps_a_change_of_metadata() {
    for renamed in [None, Some("g")] {
        let mut world = World::new();
        let base = world.object("f", b"v1").await;
        world.hang(Operation::Copy);
        let stage = &world.stage;
        stage
            .set_metadata(&key("f"), metadata("2"), base.version.clone())
            .unwrap();
        let new = stage.create(&key("f"), Some(base), metadata("2")).unwrap();
        new.write_at(0, b"half").unwrap();
        if let Some(to) = renamed {
            stage
                .rename(&key("f"), &key(to), RemoteBelief::Absent)
                .unwrap();
        }
        drop(new);
        world.crash().await;
        assert_eq!(world.recovery.set_aside.len(), 1);
        world.release();
        world.settle().await;
        let name = renamed.unwrap_or("f");
        assert_eq!(world.content(name).await.unwrap(), b"v1");
        assert_eq!(world.mtime(name).await.unwrap(), "2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_that_wrote_nothing_was_none() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let old = world.write("f", b"v1");
    drop(world.stage.supersede(&old, metadata("2")).unwrap());
    drop(old);
    world.crash().await;
    assert!(world.recovery.set_aside.is_empty());
    world.release();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_that_is_closed_in_time_is_all_that_is_sent() {
    let mut world = World::new();
    let (old, new) = rewritten(&world);
    world.stage.submit(&new, Submit::Closed).unwrap();
    drop(old);
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"half");
    let puts = world
        .calls()
        .iter()
        .filter(|call| call.starts_with("put "))
        .count();
    assert_eq!(puts, 1);
    world
        .until("its file is gone", |world| {
            world.local_files("data").len() == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_closed_goes_out_while_the_rewrite_is_open() {
    let mut world = World::new();
    let (old, new) = rewritten(&world);
    let id = old.id();
    drop(old);
    world.until_call("put f").await;
    world
        .until("the former file is gone", |world| {
            world.local_files("data").len() == 1
        })
        .await;
    assert_eq!(world.content("f").await.unwrap(), b"v1");
    assert!(world.events().iter().any(|event| matches!(
        event,
        Event::Committed { change: cloudmount_stage::Change::Content { file, .. }, .. } if *file == id
    )));
    world.quiet().await;
    assert_eq!(world.content("f").await.unwrap(), b"v1");
    world.stage.submit(&new, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"half");
    assert_eq!(world.mtime("f").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_that_is_closed_cancels_what_it_replaces() {
    let settings = StageSettings {
        multipart_bytes_min: 5 << 20,
        part_bytes: 5 << 20,
        ..StageSettings::default()
    };
    let mut world = World::with(settings, MemoryStore::CAPABILITIES);
    world.hang(Operation::MultipartPut);
    let old = world.write("f", &vec![1; 11 << 20]);
    world.until_call("part f").await;
    let new = world.stage.supersede(&old, metadata("2")).unwrap().unwrap();
    new.write_at(0, b"small").unwrap();
    world.stage.submit(&new, Submit::Closed).unwrap();
    world.until_call("abort f").await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_closed_empty_is_kept_as_such() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let old = world.write("f", b"");
    let new = world.stage.supersede(&old, metadata("2")).unwrap().unwrap();
    new.write_at(0, b"never closed").unwrap();
    drop((old, new));
    world.crash().await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"");
    assert_eq!(world.recovery.set_aside.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_ends_both() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let (old, new) = rewritten(&world);
    world.stage.remove(&key("f"), RemoteBelief::Absent).unwrap();
    drop((old, new));
    world.release();
    world.settle().await;
    assert_eq!(world.content("f").await, None);
    world
        .until("no file is left", |world| {
            world.local_files("data").is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_someone_else_wrote_outlives_both() {
    let mut world = World::new();
    let (old, new) = rewritten(&world);
    drop(old);
    world.theirs("f", b"theirs").await;
    world
        .until("a conflict", |world| {
            world
                .log
                .lines()
                .iter()
                .filter(|call| call.starts_with("put "))
                .count()
                >= 2
        })
        .await;
    assert_eq!(world.content("f").await.unwrap(), b"theirs");
    world.stage.submit(&new, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"theirs");
    let mut kept: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Conflict { kept_as, .. } => kept_as,
            _ => None,
        })
        .collect();
    kept.sort();
    kept.dedup();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let mut contents = Vec::new();
    for key in &kept {
        contents.push(world.content(key.as_str()).await.unwrap());
    }
    contents.sort();
    assert_eq!(contents, [b"half".to_vec(), b"v1".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_journal_knows_both() {
    let settings = StageSettings {
        journal_bytes_min: 1,
        ..StageSettings::default()
    };
    let mut world = World::with(settings, MemoryStore::CAPABILITIES);
    world.hang(Operation::Put);
    let (old, new) = rewritten(&world);
    for n in 0..50 {
        let temporary = world.write(&format!("t{n}"), b"x");
        world
            .stage
            .remove(&temporary.key(), RemoteBelief::Absent)
            .unwrap();
    }
    world.clock.advance(Duration::from_secs(2));
    world.quiet().await;
    drop((old, new));
    // Twice: the second start reads what the first one wrote.
    world.crash().await;
    world.crash().await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_conflict_keeps_both_here() {
    let settings = StageSettings {
        conflict: ConflictPolicy::Fail,
        ..StageSettings::default()
    };
    let mut world = World::with(settings, MemoryStore::CAPABILITIES);
    world.theirs("f", b"theirs").await;
    let (old, new) = rewritten(&world);
    world
        .until("it failed", |world| world.stage.status().totals.failed == 1)
        .await;
    drop((old, new));
    world.crash().await;
    world.stage.flush_all();
    world
        .until("it failed again", |world| {
            world.stage.status().totals.failed == 1
        })
        .await;
    assert_eq!(world.content("f").await.unwrap(), b"theirs");
    assert_eq!(world.stage.pending(&key("f")).unwrap().size(), Some(2));
}

/// A file that is closed every few milliseconds is uploaded all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_again_and_again_does_not_put_the_upload_off_for_ever() {
    let world = World::new();
    let file = world.write("f", b"0");
    for n in 1..400_u64 {
        world.clock.advance(Duration::from_millis(50));
        file.write_at(n, b"x").unwrap();
        world.stage.submit(&file, Submit::Closed).unwrap();
        crate::world::moment().await;
        world.events();
    }
    assert!(world.content("f").await.is_some());
}

/// What is changed again after it was closed is not published half-way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_goes_on_is_waited_for() {
    let mut world = World::new();
    let file = world.write("f", b"one");
    file.write_at(0, b"two").unwrap();
    world.quiet().await;
    assert_eq!(world.content("f").await, None);
    file.write_at(3, b"!").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    assert_eq!(world.content("f").await.unwrap(), b"two!");
}
