//! Files in parts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloudmount_stage::{Event, Phase, RemoteBelief, StageSettings, StagedFile, Submit};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore};

use crate::world::{LONG, World, key, metadata, pattern};

const MIB: usize = 1 << 20;

/// Parts of 1 MiB, so that tests stay quick.
fn small_parts() -> World {
    world_with(StageSettings::default())
}

fn world_with(settings: StageSettings) -> World {
    let settings = StageSettings {
        multipart_bytes_min: MIB as u64,
        part_bytes: MIB as u64,
        ..settings
    };
    let capabilities = Capabilities {
        part_bytes_min: 1 << 19,
        ..MemoryStore::CAPABILITIES
    };
    World::with(settings, capabilities)
}

fn count(calls: &[String], start: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(start)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_make_the_object() {
    let mut world = small_parts();
    let bytes = pattern(1, 5 * MIB + 77);
    let file = world.write("a", &bytes);
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    assert_eq!(world.mtime("a").await.unwrap(), "1");
    let calls = world.calls();
    assert_eq!(calls[0], "start a -> u1");
    assert_eq!(count(&calls, "part a u1"), 6);
    assert_eq!(calls[7], "complete a u1 6 parts if-absent -> v1");
    assert_eq!(calls.len(), 8);
    assert!(file.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_change_copies_the_rest() {
    let mut world = small_parts();
    let mut bytes = pattern(1, 5 * MIB + 77);
    world.object("a", &bytes).await;
    let base = world.base("a").await;
    let file = world
        .stage
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(2 * MIB as u64 + 5, b"change").unwrap();
    bytes[2 * MIB + 5..2 * MIB + 11].copy_from_slice(b"change");
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    let calls = world.calls();
    assert_eq!(
        (
            count(&calls, "copy-part"),
            count(&calls, "part"),
            count(&calls, "get")
        ),
        (5, 1, 2)
    );

    // Once more, with the same file: all bytes of it that are local are known to be in the bucket.
    file.write_at(0, b"!").unwrap();
    bytes[0] = b'!';
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    let calls = world.calls();
    assert_eq!((count(&calls, "copy-part"), count(&calls, "part")), (5, 1));
}

/// Of an object that somebody has replaced by a shorter one, Ceph RGW says that it has no such range: 416, not 412. What
/// cannot be copied is read, and that tells what has become of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_cannot_be_copied_is_read() {
    for replaced in [false, true] {
        let mut world = small_parts();
        let mut bytes = pattern(1, 3 * MIB);
        let base = world.object("a", &bytes).await;
        let file = (world.stage)
            .create(&key("a"), Some(base), metadata("2"))
            .unwrap();
        file.write_at(5, b"change").unwrap();
        bytes[5..11].copy_from_slice(b"change");
        if replaced {
            world.theirs("a", b"theirs").await;
        }
        for nth in 1..=3 {
            world.fault(
                Effect::Fail(ErrorKind::Range),
                Operation::MultipartCopy,
                nth,
            );
        }
        world.stage.submit(&file, Submit::Closed).unwrap();
        if replaced {
            let is_lost = |event: &Event| matches!(event, Event::BaseLost { .. });
            world
                .until("the base is lost", |world| world.told(is_lost) > 0)
                .await;
        } else {
            world.settle().await;
            assert!(world.content("a").await.unwrap() == bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_written_meanwhile_is_sent_again() {
    let mut world = small_parts();
    let mut bytes = pattern(1, 4 * MIB);
    world.hang(Operation::MultipartPut);
    let file = world.write("a", &bytes);
    world
        .until("all parts are under way", |world| {
            count(&world.log.lines(), "part") == 4
        })
        .await;
    file.write_at(MIB as u64 + 9, b"late").unwrap();
    bytes[MIB + 9..MIB + 13].copy_from_slice(b"late");
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.release();
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    let calls = world.calls();
    assert_eq!(count(&calls, "part a u1 #2"), 2);
    assert_eq!(
        (
            count(&calls, "part"),
            count(&calls, "start"),
            count(&calls, "complete")
        ),
        (5, 1, 1)
    );
}

/// Some servers pass parts on as they come, and cannot take one back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_part_can_be_sent_again_all_begins_again() {
    let mut world = small_parts();
    let mut bytes = pattern(1, 4 * MIB);
    world.hang(Operation::MultipartPut);
    let file = world.write("a", &bytes);
    world
        .until("all parts are under way", |world| {
            count(&world.log.lines(), "part") == 4
        })
        .await;
    file.write_at(MIB as u64 + 9, b"late").unwrap();
    bytes[MIB + 9..MIB + 13].copy_from_slice(b"late");
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.fault.clear();
    let refusal = Effect::Fail(ErrorKind::Unsupported);
    world.fault(refusal, Operation::MultipartPut, 1);
    world.clock.advance(LONG);
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    let calls = world.calls();
    assert_eq!((count(&calls, "start"), count(&calls, "complete")), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_size_starts_again() {
    let mut world = small_parts();
    world.hang(Operation::MultipartPut);
    let bytes = pattern(1, 3 * MIB);
    let file = world.write("a", &bytes);
    world.until_call("part").await;
    file.set_len(2 * MIB as u64).unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.release();
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes[..2 * MIB]);
    world
        .until("no upload is left", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_gives_the_upload_up() {
    let mut world = small_parts();
    world.hang(Operation::MultipartPut);
    let file = world.write("a", &pattern(1, 30 * MIB));
    world.until_call("part").await;
    world.stage.remove(&key("a"), RemoteBelief::Absent).unwrap();
    drop(file);
    world
        .until("no upload is left", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
    world.settle().await;
    let calls = world.calls();
    assert_eq!(
        (count(&calls, "complete"), count(&calls, "delete")),
        (0, 0),
        "{calls:#?}"
    );
    assert!(world.bucket.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_lets_the_upload_end() {
    let mut world = small_parts();
    world.hang(Operation::MultipartPut);
    let bytes = pattern(1, 3 * MIB);
    world.write("a", &bytes);
    world.until_call("part").await;
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    world.release();
    world.settle().await;
    assert!(world.content("b").await.unwrap() == bytes);
    assert_eq!(world.content("a").await, None);
    let calls = world.calls();
    assert_eq!((count(&calls, "part"), count(&calls, "copy")), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_part_keeps_the_others() {
    let mut world = small_parts();
    world.fault(Effect::Fail(ErrorKind::Server), Operation::MultipartPut, 3);
    let bytes = pattern(1, 4 * MIB);
    world.write("a", &bytes);
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    let calls = world.calls();
    assert_eq!(
        (
            count(&calls, "start"),
            count(&calls, "part"),
            count(&calls, "complete")
        ),
        (1, 5, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_store_forgot_starts_again() {
    let mut world = small_parts();
    world.fault(
        Effect::Fail(ErrorKind::NotFound),
        Operation::MultipartPut,
        2,
    );
    let bytes = pattern(1, 3 * MIB);
    world.write("a", &bytes);
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    assert_eq!(count(&world.calls(), "start"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_gives_the_upload_up_and_starts_again() {
    let mut world = small_parts();
    world.hang(Operation::MultipartPut);
    let bytes = pattern(1, 3 * MIB);
    world.write("a", &bytes);
    world.until_call("part").await;
    world.fault.clear();
    world.crash().await;
    assert_eq!(world.recovery.uploads_given_up, 1);
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
    world
        .until("no upload is left", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
}

/// Every version that becomes visible is one that the file had between two writes: each write
/// stamps all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_is_never_torn() {
    let mut world = world_with(StageSettings {
        close_delay: Duration::from_millis(1),
        synced_delay: Duration::from_millis(1),
        ..StageSettings::default()
    });
    let size = 3 * MIB;
    let file = world.write("a", &vec![1; size]);
    let enough = Arc::new(AtomicBool::new(false));
    let writer = spawn_writer(&world, &file, size, &enough);
    let mut seen = BTreeSet::new();
    while !writer.is_finished() {
        world.clock.advance(Duration::from_millis(5));
        if let Some(bytes) = world.content("a").await {
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "torn");
            seen.insert(bytes[0]);
        }
        enough.store(seen.len() > 2, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
    let last = writer.await.unwrap();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), vec![last; size]);
    assert!(seen.len() > 1, "the race was never tried");
}

/// Stamps the file again and again: at least 40 times, and until enough was seen of it.
fn spawn_writer(
    world: &World,
    file: &Arc<StagedFile>,
    size: usize,
    enough: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<u8> {
    let (file, stage) = (Arc::clone(file), world.stage.clone());
    let enough = Arc::clone(enough);
    tokio::task::spawn_blocking(move || {
        let mut last = 1;
        for round in 2..4000_u32 {
            if round > 40 && enough.load(Ordering::Relaxed) {
                break;
            }
            let stamp = u8::try_from(round % 251).unwrap();
            file.write_at(0, &vec![stamp; size]).unwrap();
            stage.submit(&file, Submit::Closed).unwrap();
            last = stamp;
            // Now and then long enough for an upload.
            for _ in 0..round % 5 * round % 50 {
                std::thread::yield_now();
                drop(file.read_local(0..size as u64).unwrap());
            }
        }
        last
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_does_not_keep_a_small_one_waiting() {
    let mut world = world_with(StageSettings {
        large_files_max: 1,
        body_bytes_max: 4 * MIB as u64,
        ..StageSettings::default()
    });
    world.hang(Operation::MultipartPut);
    world.write("large", &pattern(1, 20 * MIB));
    world.write("large too", &pattern(2, 20 * MIB));
    world.until_call("part").await;
    world.write("small", b"x");
    world
        .until("the small one", |world| world.bucket.len() == 1)
        .await;
    let status = world.stage.status();
    assert_eq!(
        status.budgets[0].used,
        3 * MIB as u64,
        "a quarter is kept free"
    );
    assert_eq!(
        world.stage.pending(&key("large too")).unwrap().phase,
        Phase::Queued
    );
    world.release();
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sparse_file_reads_nothing_for_its_holes() {
    let mut world = small_parts();
    let file = world.stage.create(&key("a"), None, metadata("1")).unwrap();
    file.set_len(4 * MIB as u64).unwrap();
    file.write_at(3 * MIB as u64 + 1, b"end").unwrap();
    assert_eq!(file.next_data(0), Some(3 * MIB as u64 + 1));
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    let mut expected = vec![0; 4 * MIB];
    expected[3 * MIB + 1..3 * MIB + 4].copy_from_slice(b"end");
    assert!(world.content("a").await.unwrap() == expected);
}
