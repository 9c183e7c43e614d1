//! Renames of objects that are not staged, of many at once, and of open files.

mod ways;

use cloudmount_stage::{RemoteBelief, RenameItem, Segment, Submit};
use cloudmount_store::layer::Operation;

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
