//! Metadata of objects whose content stays.

use cloudmount_stage::{Change, Event, RemoteBelief, StageSettings, Submit};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore};

use crate::world::{World, key, metadata, pattern};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_replaced_by_a_copy_of_the_object_onto_itself() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    drop(world.events());
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), base.version)
        .unwrap();
    let view = world.stage.pending(&key("a")).unwrap();
    assert_eq!((view.metadata(), view.size()), (Some(metadata("2")), None));
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "2");
    assert_eq!(world.content("a").await.unwrap(), b"content");
    assert_eq!(
        world.calls(),
        ["copy a if-match v1 to a replacing metadata -> v2"]
    );
    assert!(matches!(
        &world.events()[..],
        [Event::Committed {
            change: Change::Metadata,
            ..
        }]
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_go_along_with_what_is_pending() {
    let mut world = World::new();
    world.write("a", b"content");
    let version = cloudmount_store::Version::new("unused");
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), version.clone())
        .unwrap();
    let body = bytes::Bytes::from_static(b"target");
    world
        .stage
        .put_inline(&key("l"), body, metadata("1"), RemoteBelief::Absent)
        .unwrap();
    world
        .stage
        .set_metadata(&key("l"), metadata("3"), version)
        .unwrap();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "2");
    assert_eq!(world.mtime("l").await.unwrap(), "3");
    assert_eq!(world.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_open_file_that_is_in_the_bucket() {
    let mut world = World::new();
    let file = world.write("a", b"content");
    world.settle().await;
    drop(world.calls());
    world.stage.set_file_metadata(&file, metadata("2")).unwrap();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "2");
    assert_eq!(
        world.calls(),
        ["copy a if-match v1 to a replacing metadata -> v2"]
    );
    // The file knows the version that the change made.
    file.write_at(7, b"!").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.calls(), ["put a 8 bytes if-match v2 -> v3"]);
    assert_eq!(world.mtime("a").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_while_the_body_is_under_way() {
    let mut world = World::new();
    world.hang(Operation::Put);
    let file = world.write("a", b"content");
    world.until_call("put").await;
    world.stage.set_file_metadata(&file, metadata("2")).unwrap();
    world.release();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "2");
    assert_eq!(
        world.calls(),
        [
            "put a 7 bytes if-absent -> v1",
            "copy a if-match v1 to a replacing metadata -> v2"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_opened_before_the_change_was_made_is_not_a_conflict() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), base.version.clone())
        .unwrap();
    world.hang(Operation::Copy);
    world.until_call("copy").await;
    let file = world
        .stage
        .create(&key("a"), Some(base.clone()), metadata("3"))
        .unwrap();
    file.write_at(0, b"C").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"Content");
    assert_eq!(world.mtime("a").await.unwrap(), "3");
    drop(file);
    // And one that was looked up before it, by a caller that has not read the event.
    world
        .stage
        .set_metadata(&key("a"), metadata("4"), world.version("a").await.unwrap())
        .unwrap();
    let before = world.base("a").await;
    world.settle().await;
    let file = world
        .stage
        .create(&key("a"), Some(before), metadata("5"))
        .unwrap();
    file.write_at(6, b"T").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"ContenT");
    assert!(
        !world
            .events()
            .iter()
            .any(|event| matches!(event, Event::Conflict { .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_stays_when_the_object_was_replaced() {
    let mut world = World::new();
    let base = world.object("a", b"content").await;
    let theirs = world.theirs("a", b"theirs").await;
    drop(world.events());
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), base.version)
        .unwrap();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "theirs");
    assert!(matches!(
        &world.events()[..],
        [Event::Conflict { kept_as: None, theirs: Some(there), .. }] if *there == theirs
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_objects_that_cannot_be_copied_whole() {
    let settings = StageSettings {
        copy_part_bytes: 6 << 20,
        ..StageSettings::default()
    };
    let limited = Capabilities {
        copy_bytes_max: 1 << 20,
        ..MemoryStore::CAPABILITIES
    };
    let mut world = World::with(settings.clone(), limited);
    let large = pattern(1, 13 << 20);
    world.theirs("a", &large).await;
    let base = world.base("a").await;
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), base.version)
        .unwrap();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "2");
    assert!(world.content("a").await.unwrap() == large);
    let calls = world.calls();
    assert!(
        !calls.iter().any(|call| call.starts_with("get")),
        "{calls:#?}"
    );

    let mut world = World::with(settings, MemoryStore::CAPABILITIES);
    let base = world.object("a", b"content").await;
    let unsupported = Effect::Fail(ErrorKind::Unsupported);
    world
        .fault
        .add(FaultRule::new(unsupported).on(Operation::Copy));
    world
        .stage
        .set_metadata(&key("a"), metadata("2"), base.version)
        .unwrap();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "2");
    assert_eq!(world.content("a").await.unwrap(), b"content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_other_metadata_is_one_record() {
    let mut world = World::new();
    let journal = world.dir.path().join("journal.log");
    let records = || {
        let begins = b"[{\"key\":{\"key\":\"a\"";
        let text = std::fs::read(&journal).unwrap();
        let is_record = |window: &&[u8]| *window == begins;
        text.windows(begins.len()).filter(is_record).count()
    };
    let file = world.write("a", b"content");
    let before = records();
    let stage = &world.stage;
    (stage.submit_as(&file, Submit::Closed, Some(metadata("7")))).unwrap();
    assert_eq!(records(), before + 1);
    // It counts as one, too, when the process ends at once.
    drop(file);
    world.crash().await;
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"content");
    assert_eq!(world.mtime("a").await.unwrap(), "7");
    // Of a file that is all in the bucket, only the metadata go out.
    let base = world.base("a").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("7"))
        .unwrap();
    file.write_at(0, b"C").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    let stage = &world.stage;
    (stage.submit_as(&file, Submit::Closed, Some(metadata("8")))).unwrap();
    world.settle().await;
    assert_eq!(world.mtime("a").await.unwrap(), "8");
    assert_eq!(world.content("a").await.unwrap(), b"Content");
}
