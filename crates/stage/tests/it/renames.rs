//! Renames of objects that are not staged, of many at once, and of open files.

use cloudmount_stage::{Event, RemoteBelief, RenameItem, Segment, StageSettings, Submit};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore};
use cloudmount_testkit::Lie;

use crate::world::{World, key, metadata, pattern};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_object_is_copied_within_the_store() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    let file = world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    assert_eq!(file.segments(0..100), [Segment::Base(0..7)]);
    assert!(
        world
            .local_files("data")
            .iter()
            .all(|name| !name.ends_with(&format!("{:x}", file.id().get())))
    );
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.content("b").await.unwrap(), b"content");
    assert_eq!(world.mtime("b").await.unwrap(), "2");
    assert_eq!(
        world.calls(),
        [
            "copy a if-match v1 to b if-absent replacing metadata -> v2",
            "delete a if-match v1"
        ],
        "the copy has just shown what the removal removes"
    );
}

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
async fn writing_after_a_rename_goes_to_the_new_name() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    let file = world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    file.write_at(0, b"C").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.content("b").await.unwrap(), b"Content");
    let expected = [
        "get a 1..7 if-match v1",
        "put b 7 bytes if-absent -> v2",
        "delete a if-match v1",
    ];
    assert_eq!(world.calls(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_settled_file_follows_its_name() {
    let mut world = World::new();
    let file = world.write("a", b"content");
    world.settle().await;
    drop(world.calls());
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    assert_eq!(file.key(), key("b"));
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.content("b").await.unwrap(), b"content");
    file.write_at(7, b"!").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"content!");
    assert_eq!(
        world.calls(),
        [
            "copy a if-match v1 to b if-absent replacing metadata -> v2",
            "delete a if-match v1",
            "put b 8 bytes if-match v2 -> v3",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_whose_metadata_are_pending_takes_them_along() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), base.version.clone())
        .unwrap();
    world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.mtime("b").await.unwrap(), "2");
    assert_eq!(world.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapping_two_names() {
    let mut world = World::new();
    let a = world.object("a", b"AAAA").await;
    let b = world.object("b", b"BB").await;
    let stage = world.stage.clone();
    let present = |base: &cloudmount_stage::Base| RemoteBelief::Present(base.version.clone());
    stage
        .rename_object(a.clone(), &key("t"), RemoteBelief::Absent, metadata("a"))
        .unwrap();
    stage
        .rename_object(b.clone(), &key("a"), present(&a), metadata("b"))
        .unwrap();
    stage.rename(&key("t"), &key("b"), present(&b)).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"BB");
    assert_eq!(world.content("b").await.unwrap(), b"AAAA");
    assert_eq!(world.content("t").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_partly_changed_files() {
    let mut world = World::new();
    let names = ["a", "b", "c"];
    let mut files = Vec::new();
    for (n, name) in names.iter().enumerate() {
        world.object(name, &pattern(n as u64, 1000)).await;
    }
    for name in names {
        let base = world.base(name).await;
        let file = world
            .stage
            .create(&key(name), Some(base), metadata("2"))
            .unwrap();
        file.write_at(10, name.as_bytes()).unwrap();
        files.push(file);
    }
    let stage = world.stage.clone();
    stage
        .rename(&key("a"), &key("t"), RemoteBelief::Absent)
        .unwrap();
    for (from, to) in [("c", "a"), ("b", "c"), ("t", "b")] {
        stage
            .rename(&key(from), &key(to), RemoteBelief::Unknown)
            .unwrap();
    }
    for file in &files {
        stage.submit(file, Submit::Closed).unwrap();
    }
    world.settle().await;
    for (n, (from, to)) in [("a", "b"), ("b", "c"), ("c", "a")].into_iter().enumerate() {
        let mut expected = pattern(n as u64, 1000);
        expected[10] = from.as_bytes()[0];
        assert!(world.content(to).await.unwrap() == expected, "{to}");
    }
    assert_eq!(world.bucket.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_all_kinds_moves_in_one_record() {
    let mut world = World::new();
    let mut items = Vec::new();
    for n in 0..50 {
        let base = world
            .object(&format!("d/{n}"), format!("object {n}").as_bytes())
            .await;
        items.push(RenameItem::Object {
            base,
            to: key(&format!("e/{n}")),
            to_remote: RemoteBelief::Absent,
            metadata: metadata("1"),
        });
    }
    world.write("d/new", b"new");
    let empty = bytes::Bytes::new();
    world
        .stage
        .put_inline(&key("d/"), empty, metadata("1"), RemoteBelief::Absent)
        .unwrap();
    for name in ["new", ""] {
        items.push(RenameItem::Pending {
            from: key(&format!("d/{name}")),
            to: key(&format!("e/{name}")),
            to_remote: RemoteBelief::Absent,
        });
    }
    let before = std::fs::metadata(world.dir.path().join("journal.log"))
        .unwrap()
        .len();
    let files = world.stage.rename_many(items.clone()).unwrap();
    assert_eq!(files.iter().filter(|file| file.is_some()).count(), 51);
    // Cut one byte off: then nothing of the rename happened.
    let shown = world.stage.pending_under("e/");
    assert_eq!(shown.len(), 52);
    // What is recovered is due at once.
    world.hang(Operation::Put);
    world
        .crash_then(|dir| {
            let path = dir.path().join("journal.log");
            let log = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            assert!(log.metadata().unwrap().len() > before);
            log.set_len(log.metadata().unwrap().len() - 1).unwrap();
        })
        .await;
    assert!(world.stage.pending_under("e/").is_empty());
    world.stage.rename_many(items).unwrap();
    world.crash().await;
    world.release();
    world.settle().await;
    assert_eq!(world.bucket.len(), 52);
    assert_eq!(world.content("e/7").await.unwrap(), b"object 7");
    assert_eq!(world.content("e/new").await.unwrap(), b"new");
    assert_eq!(world.content("e/").await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_nothing() {
    let mut world = World::new();
    let base = world.object("a", b"1").await;
    let items = vec![
        RenameItem::Object {
            base,
            to: key("b"),
            to_remote: RemoteBelief::Absent,
            metadata: metadata("1"),
        },
        RenameItem::Pending {
            from: key("missing"),
            to: key("c"),
            to_remote: RemoteBelief::Absent,
        },
    ];
    let error = world.stage.rename_many(items).unwrap_err();
    assert_eq!(error.kind(), cloudmount_vfs::ErrorKind::NotFound);
    assert_eq!(world.stage.status().totals.keys, 0);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changed_just_before_is_taken_as_it_is() {
    let mut world = World::new();
    let base = world.object("a", b"mine").await;
    world.theirs("a", b"theirs, longer").await;
    world
        .stage
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap(), b"theirs, longer");
}
