//! What a person decides: to wait, to go on, to try again, to hurry, to give up.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{Dropped, Leftover, Phase, Reason, RemoteBelief, Scope, Submit};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::{ErrorKind as StoreErrorKind, Key, Metadata};
use cloudmount_vfs::ErrorKind;

use crate::world::{World, key, metadata, pattern};

/// Refuses what a person must solve.
fn forbid(world: &World, operation: Operation) {
    let effect = Effect::Fail(StoreErrorKind::Forbidden);
    world.fault.add(FaultRule::new(effect).on(operation));
}

async fn failed(world: &World) {
    world
        .until("it failed", |world| world.stage.status().totals.failed == 1)
        .await;
}

async fn give_up(world: &World, keys: &[Key], leftover: Leftover) -> Vec<Dropped> {
    let (stage, keys) = (world.stage.clone(), keys.to_vec());
    let planning = tokio::spawn(async move { stage.plan_drop(&keys, leftover).await });
    world.until("planned", |_| planning.is_finished()).await;
    let plan = planning.await.unwrap().unwrap();
    world.stage.drop_planned(plan).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_upload_is_set_aside_with_its_description() {
    let mut world = World::new();
    forbid(&world, Operation::Put);
    drop(world.write("d/a", b"hello"));
    failed(&world).await;
    let dropped = give_up(&world, &[key("d/a")], Leftover::SetAside).await;
    assert_eq!(dropped.len(), 1);
    assert_eq!((&dropped[0].key, dropped[0].kind), (&key("d/a"), "content"));
    assert!(world.stage.pending(&key("d/a")).is_none());
    world.fault.clear();
    for _ in 0..2 {
        world.settle().await;
        let aside = world.stage.status().set_aside;
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(aside[0].key.as_deref(), Some("d/a"));
        assert_eq!((aside[0].reason, aside[0].size), (Reason::Dropped, 5));
        assert!(aside[0].ranges.is_empty(), "it has all: {aside:?}");
        let path = aside[0].path.clone().unwrap();
        assert_eq!(dropped[0].aside.as_ref(), Some(&path));
        assert_eq!(std::fs::read(path).unwrap(), b"hello");
        assert_eq!(world.content("d/a").await, None);
        // And so it is after a crash.
        world.crash().await;
        assert_eq!(world.recovery.pending, 0);
    }
    let path = dropped[0].aside.as_ref().unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(world.stage.status().set_aside.is_empty(), "it was taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_change_leaves_the_object_as_it_was() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    forbid(&world, Operation::Put);
    let file = (world.stage)
        .create(&key("a"), Some(base.clone()), metadata("1"))
        .unwrap();
    file.write_at(3, b"xy").unwrap();
    file.write_at(10, b"end").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    failed(&world).await;
    let dropped = give_up(&world, &[key("a")], Leftover::SetAside).await;
    assert_eq!(dropped[0].remote, RemoteBelief::Present(base.version));
    // Whoever has it open still reads what was written.
    assert_eq!(&*file.read_local(10..13).unwrap(), b"end");
    drop(file);
    let aside = world.stage.status().set_aside.remove(0);
    // What it lacked was fetched when it was closed.
    assert_eq!(aside.ranges, [(0, 10), (10, 13)]);
    assert_eq!(aside.base.unwrap().0, "a");
    let kept = std::fs::read(aside.path.unwrap()).unwrap();
    assert_eq!((&kept[3..5], &kept[10..]), (&b"xy"[..], &b"end"[..]));
    assert_eq!(&kept[..3], b"012");
    world.fault.clear();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"0123456789");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_removal_leaves_the_object() {
    let mut world = World::new();
    let base = world.object("a", b"here").await;
    world.stage.pause();
    let belief = RemoteBelief::Present(base.version);
    world.stage.remove(&key("a"), belief).unwrap();
    let dropped = give_up(&world, &[key("a")], Leftover::SetAside).await;
    assert_eq!((dropped[0].kind, &dropped[0].aside), ("removal", &None));
    world.stage.resume();
    world.settle().await;
    world.crash().await;
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"here");
    assert!(world.stage.status().set_aside.is_empty());
}

/// The removal of the old name waits for the copy. Alone it would take the only one there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_rename_keeps_the_old_name() {
    let mut world = World::new();
    let base = world.object("old", b"content").await;
    forbid(&world, Operation::Copy);
    let file = (world.stage)
        .rename_object(base, &key("new"), RemoteBelief::Absent, metadata("1"))
        .unwrap();
    drop(file);
    failed(&world).await;
    let dropped = give_up(&world, &[key("new")], Leftover::Delete).await;
    let keys: Vec<_> = dropped.iter().map(|dropped| dropped.key.as_str()).collect();
    assert_eq!(keys, ["new", "old"]);
    world.fault.clear();
    world.settle().await;
    assert_eq!(world.content("old").await.unwrap(), b"content");
    assert_eq!(world.content("new").await, None);
}

/// Its content is nowhere but in the object that will be replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_whose_old_name_was_taken_is_not_dropped_alone() {
    let mut world = World::new();
    let base = world.object("old", b"content").await;
    forbid(&world, Operation::Copy);
    let file = (world.stage)
        .rename_object(base, &key("new"), RemoteBelief::Absent, metadata("1"))
        .unwrap();
    drop(file);
    let next = (world.stage)
        .create(&key("old"), None, metadata("2"))
        .unwrap();
    next.write_at(0, b"next").unwrap();
    world.stage.submit(&next, Submit::Closed).unwrap();
    drop(next);
    failed(&world).await;
    let refused = (world.stage.plan_drop(&[key("new")], Leftover::SetAside)).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("name old, too"), "{error}");
    let dropped = give_up(&world, &[key("new"), key("old")], Leftover::SetAside).await;
    assert_eq!(dropped.len(), 2);
    world.fault.clear();
    world.settle().await;
    assert_eq!(world.content("old").await.unwrap(), b"content");
    let aside = world.stage.status().set_aside;
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(
        std::fs::read(aside[0].path.as_ref().unwrap()).unwrap(),
        b"next"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symlink_that_is_dropped_keeps_its_target() {
    let world = World::new();
    world.stage.pause();
    for (name, target) in [("one", "a"), ("two", "b")] {
        let target = Bytes::from(target.as_bytes());
        (world.stage)
            .put_inline(&key(name), target, metadata("1"), RemoteBelief::Absent)
            .unwrap();
    }
    let dropped = give_up(&world, &[key("one"), key("two")], Leftover::SetAside).await;
    let read = |at: usize| std::fs::read(dropped[at].aside.as_ref().unwrap()).unwrap();
    assert_eq!((read(0), read(1)), (b"a".to_vec(), b"b".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_leaves_nothing() {
    let mut world = World::new();
    world.stage.pause();
    drop(world.write("a", b"hello"));
    let dropped = give_up(&world, &[key("a")], Leftover::Delete).await;
    assert_eq!(dropped[0].aside, None);
    assert!(world.local_files("set-aside").is_empty());
    world
        .until("it is deleted", |world| {
            world.local_files("data").is_empty()
        })
        .await;
    world.crash().await;
    world.settle().await;
    assert_eq!(world.content("a").await, None);
}

/// Small files lie side by side, large ones have a file of their own; many are flushed together. All
/// of them are kept as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_all_sizes_are_set_aside_whole() {
    let world = World::new();
    world.stage.pause();
    let sizes = [0, 1, 70_000, 1 << 20, (1 << 20) + 1, 3 << 20];
    let names: Vec<String> = (0..30_usize).map(|n| format!("{n:02}")).collect();
    let content = |n: usize| pattern(n as u64, sizes[n % sizes.len()]);
    for (n, name) in names.iter().enumerate() {
        drop(world.write(name, &content(n)));
    }
    let holed = world
        .stage
        .create(&key("holed"), None, metadata("1"))
        .unwrap();
    holed.write_at(100_000, b"end").unwrap();
    world.stage.submit(&holed, Submit::Closed).unwrap();
    drop(holed);
    let keys = world.stage.keys_of(&Scope::all());
    let dropped = give_up(&world, &keys, Leftover::SetAside).await;
    for (n, dropped) in dropped.iter().enumerate() {
        if dropped.key == key("holed") {
            let kept = std::fs::read(dropped.aside.as_ref().unwrap()).unwrap();
            assert_eq!((kept.len(), &kept[100_000..]), (100_003, &b"end"[..]));
            assert!(kept[..100_000].iter().all(|byte| *byte == 0));
        } else if let Some(path) = &dropped.aside {
            assert!(std::fs::read(path).unwrap() == content(n), "{n}");
        } else {
            assert!(content(n).is_empty(), "{n} is not set aside");
        }
    }
    assert_eq!(dropped.len(), 31);
}

/// An upload in parts is given up where it is, and no part of it is left in the bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_upload_ends_before_it_is_dropped() {
    let mut world = World::new();
    world.hang(Operation::MultipartPut);
    let data = pattern(1, 20 << 20);
    drop(world.write("big", &data));
    world.until_call("part big").await;
    let dropped = give_up(&world, &[key("big")], Leftover::SetAside).await;
    let path = dropped[0].aside.as_ref().unwrap();
    assert!(std::fs::read(path).unwrap() == data);
    world.release();
    world.settle().await;
    world.until_call("abort big").await;
    assert_eq!(world.content("big").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_while_it_is_given_up_stays() {
    let mut world = World::new();
    let wait = Duration::from_secs(30);
    (world.fault).add(FaultRule::new(Effect::Delay(wait)).on(Operation::Put));
    drop(world.write("a", b"hello"));
    world.until_call("put a").await;
    let stage = world.stage.clone();
    let planning =
        tokio::spawn(async move { stage.plan_drop(&[key("a")], Leftover::SetAside).await });
    world.quiet().await;
    assert!(!planning.is_finished());
    world.clock.advance(wait);
    let plan = planning.await.unwrap().unwrap();
    let dropped = world.stage.drop_planned(plan).unwrap().unwrap();
    assert!(dropped.is_empty(), "{dropped:?}");
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"hello");
    assert!(world.stage.status().set_aside.is_empty());
    assert!(world.local_files("set-aside").is_empty());
}

/// What is only planned leaves everything as it was, also if the process ends there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_not_carried_out_changes_nothing() {
    let mut world = World::new();
    world.stage.pause();
    let file = world.write("a", b"hello");
    let stage = world.stage.clone();
    let plan = |key| {
        let stage = stage.clone();
        async move { stage.plan_drop(&[key], Leftover::SetAside).await.unwrap() }
    };
    let changed = plan(key("a")).await;
    assert_eq!(world.local_files("set-aside").len(), 2);
    file.write_at(5, b", world").unwrap();
    assert_eq!(world.stage.drop_planned(changed).unwrap(), None);
    assert!(world.local_files("set-aside").is_empty());
    drop(plan(key("a")).await);
    assert!(world.local_files("set-aside").is_empty());
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    std::mem::forget(plan(key("a")).await);
    drop(stage);
    world.crash().await;
    assert!(world.stage.status().set_aside.is_empty());
    assert!(world.local_files("set-aside").is_empty());
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"hello, world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_starts_nothing_and_resume_goes_on() {
    let mut world = World::new();
    world.stage.pause();
    assert!(world.stage.is_paused() && world.stage.status().paused);
    drop(world.write("a", b"x"));
    world.stage.hurry(&Scope::all());
    world.quiet().await;
    assert!(world.calls().is_empty());
    world.stage.resume();
    assert!(!world.stage.is_paused());
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"x");
}

/// Failures wait for minutes; a person who has solved the reason does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_tries_what_failed_and_nothing_else() {
    let world = World::new();
    forbid(&world, Operation::Put);
    drop(world.write("d/a", b"x"));
    drop(world.write("e", b"x"));
    world
        .until("both failed", |world| {
            world.stage.status().totals.failed == 2
        })
        .await;
    world.fault.clear();
    let open = (world.stage)
        .create(&key("d/open"), None, Metadata::default())
        .unwrap();
    open.write_at(0, b"x").unwrap();
    assert_eq!(world.stage.retry(&Scope::path("d")), 1);
    world
        .until("it is there", |world| {
            world.stage.pending(&key("d/a")).is_none()
        })
        .await;
    let phase = |text: &str| world.stage.key_status(&key(text)).unwrap().phase;
    assert_eq!((phase("e"), phase("d/open")), (Phase::Failed, Phase::Open));
    assert_eq!(world.stage.retry(&Scope::path("nothing")), 0);
    assert_eq!(world.stage.retry(&Scope::all()), 1);
    world
        .until("it is there, too", |world| {
            world.stage.pending(&key("e")).is_none()
        })
        .await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_all_hears_what_failed() {
    let world = World::new();
    let forbidden = Effect::Fail(StoreErrorKind::Forbidden);
    world.fault.add(FaultRule::new(forbidden).key(key("d/bad")));
    for name in ["d/a", "d/bad", "d/z", "elsewhere"] {
        drop(world.write(name, b"x"));
    }
    let open = world
        .stage
        .create(&key("d/open"), None, Metadata::default());
    open.as_ref().unwrap().write_at(0, b"x").unwrap();
    let scope = Scope::path("d");
    assert_eq!(world.stage.open_files(&scope).len(), 1);
    let stage = world.stage.clone();
    let of = scope.clone();
    let waiting = tokio::spawn(async move { stage.wait_all(&of, None).await });
    world.until("it ends", |_| waiting.is_finished()).await;
    let report = waiting.await.unwrap();
    assert_eq!(report.remaining_count, 1, "{report:?}");
    assert_eq!(report.remaining[0].key, "d/bad");
    assert_eq!(report.remaining[0].phase, Phase::Failed);
    assert!(report.remaining[0].error.is_some());
    for name in ["d/a", "d/z"] {
        assert_eq!(world.content(name).await.unwrap(), b"x");
    }
    // What is not there at its limit is told, too.
    world.stage.pause();
    drop(world.write("d/late", b"x"));
    let stage = world.stage.clone();
    let waiting =
        tokio::spawn(async move { (stage.wait_all(&scope, Some(Duration::from_secs(1)))).await });
    world.until("it ends, too", |_| waiting.is_finished()).await;
    let report = waiting.await.unwrap();
    let keys: Vec<_> = report.remaining.iter().map(|left| &*left.key).collect();
    assert_eq!(keys, ["d/bad", "d/late"]);
}

/// Whoever mounts another part of the bucket is told; but not of what a process is at work on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_in_a_folder_is_told_unless_it_is_used() {
    let world = World::new();
    world.stage.pause();
    let left = || cloudmount_stage::left_in(world.dir.path()).unwrap();
    assert_eq!(left(), Some(0));
    drop(world.write("a", b"x"));
    let belief = RemoteBelief::Unknown;
    world.stage.remove(&key("b"), belief).unwrap();
    assert_eq!(left(), None);
    world.stage.clone().shutdown().await;
    assert_eq!(left(), Some(2));
    let nowhere = world.dir.path().join("nowhere");
    assert_eq!(cloudmount_stage::left_in(&nowhere).unwrap(), Some(0));
}
