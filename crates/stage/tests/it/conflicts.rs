//! Someone else was faster.

use bytes::Bytes;
use cloudmount_stage::{ConflictPolicy, Event, Phase, RemoteBelief, StageSettings, Submit};
use cloudmount_store::Store;
use cloudmount_store::layer::Operation;
use cloudmount_store::{Capabilities, MemoryStore};

use crate::world::{World, key, metadata, pattern};

const KEPT: &str = "doc (conflict from box at 2025-06-15T15-";

fn settings(conflict: ConflictPolicy) -> StageSettings {
    StageSettings {
        conflict,
        host: "box".to_owned(),
        ..StageSettings::default()
    }
}

fn kept_key(world: &World) -> String {
    let keys = world.bucket.keys();
    let kept = keys.iter().find(|key| key.as_str().starts_with(KEPT));
    kept.unwrap_or_else(|| panic!("{keys:?}"))
        .as_str()
        .to_owned()
}

async fn changed_by_both(world: &mut World) -> std::sync::Arc<cloudmount_stage::StagedFile> {
    let base = world.object("doc.txt", b"0123456789").await;
    let file = world
        .stage
        .create(&key("doc.txt"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(0, b"ours------").unwrap();
    world.theirs("doc.txt", b"theirs").await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_are_kept() {
    let mut world = World::with(
        settings(ConflictPolicy::KeepBoth),
        MemoryStore::CAPABILITIES,
    );
    let file = changed_by_both(&mut world).await;
    world.settle().await;
    assert_eq!(world.content("doc.txt").await.unwrap(), b"theirs");
    let kept = kept_key(&world);
    assert!(kept.ends_with("Z).txt"), "{kept}");
    assert_eq!(world.content(&kept).await.unwrap(), b"ours------");
    assert_eq!(file.key().as_str(), kept);
    let expected = Event::Conflict {
        key: key("doc.txt"),
        kept_as: Some(key(&kept)),
        file: Some(file.id()),
        theirs: world.version("doc.txt").await,
    };
    let events = world.events();
    assert_eq!(events[events.len() - 2], expected, "{events:?}");
    assert!(
        matches!(&events[events.len() - 1], Event::Committed { key, .. } if key.as_str() == kept)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_where_someone_made_one_too() {
    let mut world = World::with(
        settings(ConflictPolicy::KeepBoth),
        MemoryStore::CAPABILITIES,
    );
    world.theirs("doc", b"theirs").await;
    world.write("doc", b"ours");
    world.settle().await;
    assert_eq!(world.content("doc").await.unwrap(), b"theirs");
    assert_eq!(world.content(&kept_key(&world)).await.unwrap(), b"ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_and_a_symlink_too() {
    let mut world = World::with(
        settings(ConflictPolicy::KeepBoth),
        MemoryStore::CAPABILITIES,
    );
    world.theirs("doc", b"theirs").await;
    let large = pattern(1, 17 << 20);
    world.write("doc", &large);
    world.settle().await;
    assert_eq!(world.content("doc").await.unwrap(), b"theirs");
    assert!(world.content(&kept_key(&world)).await.unwrap() == large);
    world
        .until("no upload is left", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;

    let mut world = World::with(
        settings(ConflictPolicy::KeepBoth),
        MemoryStore::CAPABILITIES,
    );
    world.theirs("doc", b"theirs").await;
    let target = Bytes::from_static(b"t");
    world
        .stage
        .put_inline(&key("doc"), target, metadata("1"), RemoteBelief::Absent)
        .unwrap();
    world.settle().await;
    assert_eq!(world.content(&kept_key(&world)).await.unwrap(), b"t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_is_kept_and_ours_waits_for_a_person() {
    let mut world = World::with(settings(ConflictPolicy::Fail), MemoryStore::CAPABILITIES);
    let file = changed_by_both(&mut world).await;
    world
        .until("it failed", |world| {
            world
                .stage
                .pending(&key("doc.txt"))
                .is_some_and(|view| view.phase == Phase::Failed)
        })
        .await;
    assert_eq!(world.content("doc.txt").await.unwrap(), b"theirs");
    let error = world.stage.wait(&key("doc.txt")).await.unwrap_err();
    assert_eq!(error.kind(), cloudmount_vfs::ErrorKind::Stale);
    let status = world.stage.status();
    assert_eq!(status.totals.failed, 1);
    assert!(
        status.keys[0]
            .error
            .as_ref()
            .unwrap()
            .contains("someone else")
    );
    drop(file);
    // It survives a restart, and is solved by removing theirs.
    world.crash().await;
    world
        .until("it failed again", |world| {
            world.stage.status().totals.failed == 1
        })
        .await;
    Store::delete(&*world.bucket, &[key("doc.txt")])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    world.stage.flush_all();
    world.settle().await;
    assert_eq!(world.content("doc.txt").await.unwrap(), b"ours------");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_replaces_theirs() {
    let mut world = World::with(
        settings(ConflictPolicy::Overwrite),
        MemoryStore::CAPABILITIES,
    );
    changed_by_both(&mut world).await;
    world.settle().await;
    assert_eq!(world.content("doc.txt").await.unwrap(), b"ours------");
    assert_eq!(world.bucket.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_someone_removed_is_made_again() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(0, b"all is new").unwrap();
    Store::delete(&*world.bucket, &[key("a")])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"all is new");
    assert_eq!(world.bucket.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_put_together_is_kept_and_named() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(0, b"half").unwrap();
    world.theirs("a", b"theirs").await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    world
        .until("it failed", |world| world.stage.status().totals.failed == 1)
        .await;
    assert_eq!(world.content("a").await.unwrap(), b"theirs");
    assert_eq!(file.read_local(0..4).unwrap(), &b"half"[..]);
    let error = world.stage.status().keys[0].error.clone().unwrap();
    let words =
        "upload a: someone else replaced a, which has 6 of its 10 bytes; put it back, or set aside";
    assert!(error.starts_with(words), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_whose_source_is_gone_says_so_and_what_to_do() {
    let mut world = World::new();
    let base = world.object("a", b"0123456789").await;
    world.bucket.delete(&[key("a")]).await.unwrap();
    (world.stage)
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world
        .until("it failed", |world| world.stage.status().totals.failed == 1)
        .await;
    let error = world.stage.status().keys[0].error.clone().unwrap();
    let words = "rename a to b: someone else removed a before it was copied; put it back, or give the rename up (`cloudmount drop`)";
    assert!(error.starts_with(words), "{error}");
}

/// Where the bucket keeps former versions, nothing of a file is lost with its object, however large it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_in_part_is_made_whole_from_a_former_version() {
    let settings = StageSettings {
        multipart_bytes_min: 1 << 20,
        part_bytes: 1 << 20,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: 1 << 20,
        ..MemoryStore::CAPABILITIES
    };
    for size in [10, 5 << 20] {
        for removed in [false, true] {
            let what = format!("{size} bytes, removed: {removed}");
            let mut world = World::versioned(settings.clone(), capabilities);
            let mut expected = pattern(5, size);
            let base = world.object("a", &expected).await;
            let file = (world.stage)
                .create(&key("a"), Some(base), metadata("2"))
                .unwrap();
            file.write_at(2, b"new").unwrap();
            expected[2..5].copy_from_slice(b"new");
            if removed {
                world.bucket.delete(&[key("a")]).await.unwrap();
            } else {
                world.theirs("a", b"theirs").await;
            }
            world.stage.submit(&file, Submit::Closed).unwrap();
            world.settle().await;
            let ours = file.key();
            assert_eq!(ours.as_str() == "a", removed, "{what}: {ours}");
            let content = world.content(ours.as_str()).await.unwrap();
            assert!(content == expected, "{what}");
            assert_eq!(world.bucket.len(), if removed { 1 } else { 2 }, "{what}");
            world
                .until("no upload is left", |world| {
                    world.bucket.uploads_in_progress() == 0
                })
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_whose_source_is_gone_takes_its_former_version() {
    let mut world = World::versioned(StageSettings::default(), MemoryStore::CAPABILITIES);
    let base = world.object("a", b"0123456789").await;
    world.bucket.delete(&[key("a")]).await.unwrap();
    (world.stage)
        .rename_object(base, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert_eq!(world.bucket.keys(), [key("b")]);
    assert_eq!(world.content("b").await.unwrap(), b"0123456789");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_spares_what_someone_else_wrote() {
    let mut world = World::new();
    let base = world.object("a", b"1").await;
    world.clock.advance(std::time::Duration::from_secs(10));
    let theirs = world.theirs("a", b"theirs").await;
    drop(world.events());
    world
        .stage
        .remove(&key("a"), RemoteBelief::Present(base.version))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"theirs");
    let expected = Event::Conflict {
        key: key("a"),
        kept_as: None,
        file: None,
        theirs: Some(theirs),
    };
    assert_eq!(world.events(), [expected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_conditions_is_looked_at_before() {
    let capabilities = Capabilities {
        put_if_absent: false,
        put_if_match: false,
        ..MemoryStore::CAPABILITIES
    };
    let mut world = World::with(settings(ConflictPolicy::KeepBoth), capabilities);
    world.theirs("doc", b"theirs").await;
    world.write("doc", b"ours");
    world.write("free", b"x");
    assert!(!world.stage.status().window_open);
    world.settle().await;
    assert_eq!(world.content("doc").await.unwrap(), b"theirs");
    assert_eq!(world.content(&kept_key(&world)).await.unwrap(), b"ours");
    assert_eq!(world.content("free").await.unwrap(), b"x");
    assert!(world.stage.status().window_open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_admits_late_that_it_has_no_conditions() {
    // Its capabilities promise conditions that its backend refuses.
    let promise = MemoryStore::CAPABILITIES;
    let mut world = World::with(settings(ConflictPolicy::KeepBoth), promise);
    let kind = cloudmount_store::ErrorKind::Unsupported;
    world.fault(
        cloudmount_store::layer::Effect::Fail(kind),
        Operation::Put,
        1,
    );
    world.write("a", b"1");
    world.settle().await;
    world.write("b", b"2");
    world.settle().await;
    let calls = world.calls();
    assert_eq!(
        calls,
        [
            "put a 1 bytes if-absent ! not supported by this store",
            "head a ! not found",
            "put a 1 bytes -> v1",
            "head b ! not found",
            "put b 1 bytes -> v2",
        ]
    );
    assert!(world.stage.status().window_open);
}

/// What was appended to a small object is whole here soon after its close: someone else may replace
/// or remove the object before the upload, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_outlives_its_base() {
    for removed in [false, true] {
        let mut world = World::new();
        let base = world.object("f", b"first ").await;
        let file = world
            .stage
            .create(&key("f"), Some(base), metadata("2"))
            .unwrap();
        file.write_at(6, b"second").unwrap();
        // Nothing is uploaded before theirs is there.
        world.hang(Operation::Put);
        world.stage.submit(&file, Submit::Closed).unwrap();
        world.until_call("get f").await;
        world
            .until("it is whole", |_| file.fill_plan().is_empty())
            .await;
        if removed {
            world.bucket.delete(&[key("f")]).await.unwrap();
        } else {
            world.theirs("f", b"theirs").await;
        }
        world.release();
        world.settle().await;
        let kept = world.events().into_iter().find_map(|event| match event {
            Event::Conflict { kept_as, .. } => kept_as,
            _ => None,
        });
        let ours = kept.map_or_else(|| "f".to_owned(), |key| key.as_str().to_owned());
        assert_eq!(world.content(&ours).await.unwrap(), b"first second");
        assert_eq!(removed, ours == "f");
    }
}

/// Two conflicts of one name within a second: the first copy may be in the bucket already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_conflicts_of_one_second_are_two_copies() {
    let world = World::new();
    for content in [&b"ours 1"[..], b"ours 2"] {
        let there = world.theirs("f", content).await;
        drop(there);
        drop(world.write("f", content));
        world
            .until("it is in the bucket", |world| {
                world.stage.status().totals.keys == 0
            })
            .await;
    }
    let mut kept: Vec<_> = (world.events().into_iter())
        .filter_map(|event| match event {
            Event::Conflict { kept_as, .. } => kept_as,
            _ => None,
        })
        .collect();
    kept.sort();
    kept.dedup();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for key in &kept {
        assert!(world.content(key.as_str()).await.is_some(), "{key}");
    }
}

/// A base that is no more keeps nobody waiting, and is not asked for again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_is_gone_keeps_nobody_waiting() {
    let mut world = World::new();
    let base = world.object("a", &[7; 100]).await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(0, b"x").unwrap();
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    world.bucket.delete(&[key("a")]).await.unwrap();
    let new = world.write("a", b"new");
    world.stage.flush_all();
    world
        .until("the new one is there", |_| new.is_clean())
        .await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.stage.flush_all();
    world
        .until("the other one is named", |world| {
            world.stage.status().totals.failed > 0
        })
        .await;
    let gets = world
        .log
        .lines()
        .iter()
        .filter(|line| line.starts_with("get a"))
        .count();
    assert!(gets < 10, "{gets} requests");
    drop((file, new));
    world.events();
}
