//! The plain life of a file: written, closed, uploaded, changed, gone.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{Change, Event, Phase, RemoteBelief, Segment, Submit};
use cloudmount_store::layer::Operation;
use cloudmount_store::{Capabilities, MemoryStore, Metadata};

use crate::world::{World, key, metadata, pattern};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_file_is_one_put() {
    let mut world = World::new();
    let file = world.write("a/b", b"hello");
    assert_eq!(
        world.stage.pending(&key("a/b")).unwrap().phase,
        Phase::Queued
    );
    world.settle().await;
    assert_eq!(world.calls(), ["put a/b 5 bytes if-absent -> v1"]);
    assert_eq!(world.content("a/b").await.unwrap(), b"hello");
    assert_eq!(world.mtime("a/b").await.unwrap(), "1");
    assert!(file.is_clean());
    assert_eq!(
        file.base().unwrap().version,
        world.version("a/b").await.unwrap()
    );
    let expected = Event::Committed {
        key: key("a/b"),
        change: Change::Content {
            file: file.id(),
            generation: file.generation(),
        },
        version: world.version("a/b").await,
        size: 5,
    };
    assert_eq!(world.events(), [expected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_file_is_uploaded_too() {
    let mut world = World::new();
    world.write("empty", b"");
    world.settle().await;
    assert_eq!(world.content("empty").await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_before_close_and_its_delay() {
    let mut world = World::new();
    let file = world
        .stage
        .create(&key("a"), None, Metadata::default())
        .unwrap();
    file.write_at(0, b"x").unwrap();
    world.quiet().await;
    assert_eq!(world.stage.pending(&key("a")).unwrap().phase, Phase::Open);
    assert!(world.calls().is_empty());
    world.stage.submit(&file, Submit::Closed).unwrap();
    for _ in 0..5 {
        crate::world::moment().await;
    }
    assert!(world.calls().is_empty(), "the delay has not passed");
    world.clock.advance(Duration::from_millis(100));
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_uploaded_costs_no_request() {
    let world = World::new();
    let file = world.write("tmp", b"x");
    world
        .stage
        .remove(&key("tmp"), RemoteBelief::Absent)
        .unwrap();
    assert!(world.stage.pending(&key("tmp")).is_none());
    world.quiet().await;
    assert!(world.calls().is_empty());
    // Whoever has it open goes on.
    file.write_at(1, b"y").unwrap();
    assert_eq!(file.read_local(0..2).unwrap(), &b"xy"[..]);
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.quiet().await;
    assert!(world.calls().is_empty());
    world
        .until("the local file is gone", |world| {
            world.local_files("data").is_empty()
        })
        .await;
    assert!(world.events().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_file_that_replaces_another_is_one_put() {
    let mut world = World::new();
    let base = world.object("doc", b"old").await;
    let belief = RemoteBelief::Present(base.version);
    world.write(".doc.tmp", b"new");
    world
        .stage
        .rename(&key(".doc.tmp"), &key("doc"), belief)
        .unwrap();
    world.settle().await;
    assert_eq!(world.calls(), ["put doc 3 bytes if-match v1 -> v2"]);
    assert_eq!(world.content("doc").await.unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_after_a_removal_replaces_it() {
    let mut world = World::new();
    let base = world.object("a", b"old").await;
    world
        .stage
        .remove(&key("a"), RemoteBelief::Present(base.version))
        .unwrap();
    world.write("a", b"new");
    world.settle().await;
    assert_eq!(world.calls(), ["put a 3 bytes if-match v1 -> v2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reads_only_what_it_needs() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(4, b"XY").unwrap();
    let expected = [
        Segment::Base(0..4),
        Segment::Local(4..6),
        Segment::Base(6..10),
    ];
    assert_eq!(file.segments(0..99), expected);
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"0123XY6789");
    let calls = world.calls();
    assert_eq!(
        calls,
        [
            "get a 0..4 if-match v1",
            "get a 6..10 if-match v1",
            "put a 10 bytes if-match v1 -> v2"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncation_and_extension_leave_zeros() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.set_len(4).unwrap();
    file.set_len(8).unwrap();
    file.allocate(6, 6).unwrap();
    file.write_at(14, b"!").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(
        world.content("a").await.unwrap(),
        b"0123\0\0\0\0\0\0\0\0\0\0!"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_file_is_taken_up_by_a_write() {
    let mut world = World::new();
    let file = world.write("a", b"one");
    world.settle().await;
    drop(world.calls());
    file.write_at(3, b" two").unwrap();
    assert_eq!(world.stage.pending(&key("a")).unwrap().phase, Phase::Open);
    assert!(!file.is_clean());
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.calls(), ["put a 7 bytes if-match v1 -> v2"]);
    assert_eq!(world.content("a").await.unwrap(), b"one two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untouched_copy_sends_nothing() {
    let mut world = World::new();
    let base = world.object("a", b"same").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("1"))
        .unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.calls().is_empty());
    assert!(file.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synced_file_waits_until_it_rests() {
    let mut world = World::new();
    let file = world.stage.create(&key("db"), None, metadata("1")).unwrap();
    file.write_at(0, b"1").unwrap();
    world.stage.sync(&file).await.unwrap();
    world.stage.submit(&file, Submit::Synced).unwrap();
    for round in 0..4_u8 {
        world.clock.pass(Duration::from_secs(4)).await;
        file.write_at(0, &[b'a' + round]).unwrap();
        world.clock.pass(Duration::from_secs(1)).await;
        crate::world::moment().await;
        assert!(world.calls().is_empty(), "round {round}");
    }
    world.settle().await;
    assert_eq!(world.content("db").await.unwrap(), b"d");
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_bodies_and_markers() {
    let mut world = World::new();
    let stage = &world.stage;
    let target = Bytes::from_static(b"../target");
    stage
        .put_inline(&key("link"), target, metadata("1"), RemoteBelief::Absent)
        .unwrap();
    stage
        .put_inline(
            &key("dir/"),
            Bytes::new(),
            metadata("2"),
            RemoteBelief::Absent,
        )
        .unwrap();
    assert_eq!(stage.pending(&key("link")).unwrap().size(), Some(9));
    world.theirs("dir/", b"").await;
    world.settle().await;
    assert_eq!(world.content("link").await.unwrap(), b"../target");
    assert_eq!(
        world.mtime("dir/").await.unwrap(),
        "2",
        "a marker is put whatever is there"
    );
    world
        .stage
        .remove(&key("dir/"), RemoteBelief::Unknown)
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("dir/").await, None);
    // Which of the two was first is nobody's business.
    let bare = |call: String| call.split(" -> ").next().unwrap_or_default().to_owned();
    let mut calls: Vec<_> = world.calls().into_iter().map(bare).collect();
    calls.sort();
    assert_eq!(
        calls,
        [
            "delete dir/",
            "put dir/ 0 bytes",
            "put link 9 bytes if-absent"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_that_the_store_cannot_hold_are_done_at_once() {
    let capabilities = Capabilities {
        folder_markers: false,
        ..MemoryStore::CAPABILITIES
    };
    let world = World::with(cloudmount_stage::StageSettings::default(), capabilities);
    let stage = &world.stage;
    stage
        .put_inline(
            &key("d/"),
            Bytes::new(),
            metadata("2"),
            RemoteBelief::Absent,
        )
        .unwrap();
    stage.remove(&key("d/"), RemoteBelief::Unknown).unwrap();
    assert!(stage.pending(&key("d/")).is_none());
    world.quiet().await;
    assert!(world.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files() {
    let mut world = World::new();
    for n in 0..500_u64 {
        world.write(&format!("d/{n:03}"), &pattern(n, 300));
    }
    assert_eq!(world.stage.pending_under("d/").len(), 500);
    assert_eq!(world.stage.pending_under("d/49").len(), 10);
    assert!(world.stage.pending_under("e").is_empty());
    world.settle().await;
    for n in [0_u64, 99, 499] {
        assert_eq!(
            world.content(&format!("d/{n:03}")).await.unwrap(),
            pattern(n, 300)
        );
    }
    assert_eq!(world.calls().len(), 500);
    assert_eq!(world.local_files("data").len(), 1, "one shelf of copies");
    world.stage.free_full_disk().await;
    world
        .until("the local files are gone", |world| {
            world.local_files("data").is_empty()
        })
        .await;
}

/// Uploads wait while one file after the other is closed, for two seconds at most; all but a few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_closes_goes_first() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let mut puts = 0;
    for n in 0..80 {
        world.write(&format!("f{n}"), b"x");
        world.clock.advance(Duration::from_millis(50));
        crate::world::moment().await;
        puts += world.calls().len();
        match n {
            0..36 => assert!(puts <= 8, "{puts} while they are closed"),
            60.. => assert!(puts > 8, "the first have waited for three seconds"),
            _ => {}
        }
    }
    world.release();
    world.settle().await;
    assert_eq!(world.bucket.len(), 80);
}
