//! How a rename is carried out where the store copies in part, late or not at all.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{
    Event, Fit, Leftover, RemoteBelief, Reserved, StageSettings, StagedFile, Submit,
};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore, Store as _};
use cloudmount_testkit::Lie;
use cloudmount_vfs::Clock as _;

use crate::world::{World, key, metadata, pattern};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_be_copied_is_sent_and_smaller_ones_are_copied() {
    let mut world = World::new();
    world.fault(Effect::Fail(ErrorKind::TooLarge), Operation::Copy, 1);
    let mut calls = Vec::new();
    for (from, to, bytes) in [
        ("large", "b", 2000),
        ("small", "c", 1000),
        ("larger", "d", 2001),
    ] {
        let base = world.object(from, &vec![7; bytes]).await;
        (world.stage)
            .rename_object(base, &key(to), RemoteBelief::Absent, metadata("2"))
            .unwrap();
        world.settle().await;
        assert_eq!(world.content(to).await.unwrap(), vec![7; bytes], "{to}");
        let asked = world.calls().into_iter();
        calls.extend(asked.filter(|call| call.starts_with("copy") || call.starts_with("put")));
    }
    let starts: Vec<_> = calls
        .iter()
        .map(|call| &call[..call.len().min(10)])
        .collect();
    assert_eq!(
        starts,
        ["copy large", "put b 2000", "copy small", "put d 2001"]
    );
    let honoured = world.stage.status().honoured;
    assert!(honoured.copy.is_kept(), "it copies what is not so large");
}

/// A bucket that checks no conditions of copies.
fn unchecked_copies() -> World {
    let capabilities = Capabilities {
        copy_if: false,
        ..MemoryStore::CAPABILITIES
    };
    World::with(StageSettings::default(), capabilities)
}

/// Renames `a` to `b`; gives what that cost.
async fn renamed(world: &mut World, content: &[u8]) -> Vec<String> {
    let base = world.object("a", content).await;
    world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert!(world.content("b").await.unwrap() == content);
    assert_eq!(world.mtime("b").await.unwrap(), "2");
    world.calls()
}

fn begin_so(calls: &[String], starts: &[&str]) {
    let is_so = (calls.iter().zip(starts)).all(|(call, start)| call.starts_with(start));
    assert!(is_so && calls.len() == starts.len(), "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_conditional_copies_the_bytes_or_parts_go_on_the_condition() {
    let mut world = unchecked_copies();
    let calls = renamed(&mut world, b"content").await;
    begin_so(
        &calls,
        &["get a", "put b 7 bytes if-absent", "delete a if-match"],
    );
    assert!(!world.stage.status().window_open);
    let mut world = unchecked_copies();
    let calls = renamed(&mut world, &pattern(1, 300 << 10)).await;
    let parts = ["start b", "copy", "complete b", "delete a if-match"];
    begin_so(&calls, &parts);
    assert!(calls[2].contains("if-absent"), "{calls:?}");
    assert!(!world.stage.status().window_open);
    assert_eq!(world.bucket.uploads_in_progress(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_conditions_the_target_is_looked_at() {
    let capabilities = Capabilities {
        put_if_absent: false,
        put_if_match: false,
        copy_if: false,
        ..MemoryStore::CAPABILITIES
    };
    let mut world = World::with(StageSettings::default(), capabilities);
    drop(world.write("a", b"content"));
    world.settle().await;
    let calls = renamed(&mut world, b"content").await;
    begin_so(
        &calls,
        &["head b ! not found", "copy a if-match", "delete a if-match"],
    );
    assert!(world.stage.status().window_open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_during_a_copy_keeps_the_name() {
    for (size, last) in [
        (100, Operation::Put),
        (300 << 10, Operation::MultipartComplete),
    ] {
        let mut world = unchecked_copies();
        let content = pattern(7, size);
        let base = world.object("a", &content).await;
        world.hang(last);
        world
            .stage
            .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
            .unwrap();
        let call = if last == Operation::Put {
            "put b"
        } else {
            "complete b"
        };
        world.until_call(call).await;
        world.theirs("b", b"theirs").await;
        world.release();
        world.settle().await;
        assert_eq!(world.content("b").await.unwrap(), b"theirs");
        let kept = world.events().into_iter().find_map(|event| match event {
            Event::Conflict { kept_as, .. } => kept_as,
            _ => None,
        });
        assert!(world.content(kept.unwrap().as_str()).await.unwrap() == content);
        assert_eq!(world.content("a").await, None);
        assert_eq!(world.bucket.uploads_in_progress(), 0, "{last}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_metadata_spare_what_came_meanwhile_where_copies_check_no_source() {
    let (mut world, _) = World::lying(StageSettings::default(), Lie::CopiesAnySource);
    let base = world.object("a", b"content").await;
    world.hang(Operation::Put);
    let stage = world.stage.clone();
    stage
        .set_metadata(&key("a"), metadata("2"), base.version)
        .unwrap();
    world.until_call("put a 7 bytes if-match").await;
    world.theirs("a", b"theirs").await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"theirs");
    assert_eq!(world.mtime("a").await.unwrap(), "theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_copy_gets_the_bytes_again() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    let unsupported = Effect::Fail(ErrorKind::Unsupported);
    for operation in [Operation::Copy, Operation::MultipartCopy] {
        world
            .fault
            .add(cloudmount_store::layer::FaultRule::new(unsupported).on(operation));
    }
    world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.content("b").await.unwrap(), b"content");
    assert_eq!(world.mtime("b").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_over_the_limit_of_copies_are_copied_in_parts() {
    let settings = StageSettings {
        copy_part_bytes: 10 << 20,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        copy_bytes_max: 1 << 20,
        ..MemoryStore::CAPABILITIES
    };
    let mut world = World::with(settings, capabilities);
    let bytes = pattern(3, 24 << 20);
    world.theirs("a", &bytes).await;
    let base = world.base("a").await;
    world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert!(world.content("b").await.unwrap() == bytes);
    assert_eq!(world.content("a").await, None);
    let calls = world.calls();
    assert!(
        calls
            .iter()
            .all(|call| !call.starts_with("get") && !call.starts_with("part")),
        "{calls:#?}"
    );
    assert_eq!(
        calls
            .iter()
            .filter(|call| call.starts_with("copy-part"))
            .count(),
        3
    );
}

/// Renames `a`, which is `mine`, to `b` when someone else has just replaced it.
async fn renamed_late(world: &mut World, mine: &[u8], theirs: &[u8]) -> Arc<StagedFile> {
    let base = world.object("a", mine).await;
    world.theirs("a", theirs).await;
    world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changed_just_before_is_taken_as_it_is() {
    let mut world = World::new();
    renamed_late(&mut world, b"mine", b"theirs, longer").await;
    let before = world.clock.now();
    world.until_call("copy a if-match v2").await;
    let took = world.clock.now().saturating_since(before);
    assert!(took < Duration::from_secs(1), "nobody wrote it: {took:?}");
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"theirs, longer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_what_was_there_before_changes_nothing_of_what_was_taken() {
    let mut world = World::new();
    world.hang(Operation::Copy);
    let file = renamed_late(&mut world, b"mine, longer", b"theirs").await;
    let seen = file.adopted();
    world.release();
    world.until("it is taken", |_| file.adopted() != seen).await;
    let mut room = Reserved::none();
    let mut changes = [
        file.write_within(12, b"more", Some(seen), &mut room),
        file.allocate_within(0, 12, Some(seen), &mut room),
        file.cut(12, Some(seen)),
        file.cut(0, Some(seen)),
    ]
    .into_iter();
    assert!(changes.all(|made| made.unwrap() == Fit::Adopted));
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"theirs");
    assert_eq!(file.cut(3, Some(file.adopted())).unwrap(), Fit::Made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_to_what_was_taken_survives_a_crash() {
    let mut world = World::new();
    let file = renamed_late(&mut world, b"mine, longer", b"theirs").await;
    world.hang(Operation::Put);
    world.until("it is taken", |_| file.adopted() > 0).await;
    file.write_at(0, b"T").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.crash().await;
    world.release();
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"Theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_anew_before_it_is_set_aside_is_uploaded() {
    let mut world = World::new();
    let base = world.object("a", b"mine, longer").await;
    world
        .bucket
        .delete(&[key("a")])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let file = world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    let is_lost = |event: &Event| matches!(event, Event::BaseLost { .. });
    world
        .until("it is told", |world| world.told(is_lost) == 1)
        .await;
    // As who writes it in place does, byte by byte of what is lost.
    file.write_at(0, b"anew").unwrap();
    file.set_len(4).unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    let plan = (world.stage)
        .plan_drop(&[key("b")], Leftover::SetAsideInPart)
        .await
        .unwrap();
    assert_eq!(plan.keys().next(), None);
    drop(plan);
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"anew");
    assert!(world.stage.status().set_aside.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_all_here_is_renamed_as_it_is_here() {
    let mut world = World::new();
    let file = world.write("a", b"mine, and open");
    world.settle().await;
    world.theirs("a", b"theirs").await;
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    let before = world.clock.now();
    world.settle().await;
    let took = world.clock.now().saturating_since(before);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(world.content("b").await.unwrap(), b"mine, and open");
    assert_eq!(world.content("a").await.unwrap(), b"theirs");
    drop(file);
}
