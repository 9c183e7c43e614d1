//! Files that are uploaded while they are written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{Change, Event, Phase, RemoteBelief, StageSettings, StagedFile, Submit};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, MemoryStore};

use crate::world::{World, key, metadata, moment, pattern};

const MIB: u64 = 1 << 20;

/// Parts of 1 MiB, so that a few MiB make a stream.
fn world() -> World {
    let settings = StageSettings {
        multipart_bytes_min: MIB,
        part_bytes: MIB,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: MIB,
        ..MemoryStore::CAPABILITIES
    };
    World::with(settings, capabilities)
}

/// Writes and asks for a stream, as the core does.
fn write(world: &World, file: &Arc<StagedFile>, at: u64, bytes: &[u8]) {
    file.write_at(at, bytes).unwrap();
    if world.stage.wants_stream(file) {
        world.stage.stream(file, metadata("early")).unwrap();
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn open(world: &World, text: &str) -> Arc<StagedFile> {
    world
        .stage
        .create(&key(text), None, metadata("early"))
        .unwrap()
}

fn count(world: &World, start: &str) -> usize {
    let lines = world.log.lines();
    lines.iter().filter(|line| line.starts_with(start)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_parts_go_out_while_the_file_is_written() {
    let mut world = world();
    let file = open(&world, "f");
    let bytes = pattern(1, 5 << 20 | 77);
    for (n, piece) in (0..).zip(bytes.chunks(300_000)) {
        write(&world, &file, n * 300_000, piece);
        moment().await;
    }
    world
        .until("five parts are there", |world| count(world, "part f") == 5)
        .await;
    world.quiet().await;
    assert_eq!((count(&world, "part f"), count(&world, "complete")), (5, 0));
    assert_eq!(
        world.content("f").await,
        None,
        "nothing is visible before the close"
    );
    assert_eq!(world.stage.pending(&key("f")).unwrap().phase, Phase::Open);
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    let calls = world.calls();
    let made = |start: &str| calls.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (made("start"), made("part f"), made("complete")),
        (1, 6, 1),
        "{calls:#?}"
    );
    assert_eq!(calls.len(), 8, "{calls:#?}");
    assert_eq!(world.mtime("f").await.unwrap(), "early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_metadata_at_the_end_cost_one_copy() {
    let mut world = world();
    let file = open(&world, "f");
    write(&world, &file, 0, &pattern(1, 3 << 20));
    world.until_call("part f").await;
    world
        .stage
        .set_file_metadata(&file, metadata("late"))
        .unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert_eq!(world.mtime("f").await.unwrap(), "late");
    assert_eq!((count(&world, "part f"), count(&world, "copy")), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_written_again_is_replaced() {
    let mut world = world();
    let file = open(&world, "f");
    let mut bytes = pattern(2, 4 << 20);
    write(&world, &file, 0, &bytes);
    world
        .until("three parts are there", |world| count(world, "part f") >= 3)
        .await;
    write(&world, &file, MIB + 5, b"again");
    bytes[index(MIB + 5)..][..5].copy_from_slice(b"again");
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!((count(&world, "start"), count(&world, "complete")), (1, 1));
    let second = world
        .log
        .lines()
        .iter()
        .filter(|line| line.contains("#2 "))
        .count();
    assert_eq!(second, 2, "{:#?}", world.log.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_back_and_forth_is_waited_for() {
    let mut world = world();
    let file = open(&world, "f");
    let mut bytes = pattern(3, 8 << 20);
    write(&world, &file, 0, &bytes);
    let mut sent = 0;
    for round in 0..40_u64 {
        let at = round % 7 * MIB;
        write(&world, &file, at, &round.to_le_bytes());
        bytes[index(at)..][..8].copy_from_slice(&round.to_le_bytes());
        write(&world, &file, bytes.len() as u64, &pattern(round, 1 << 20));
        bytes.extend(pattern(round, 1 << 20));
        world.quiet().await;
        sent = count(&world, "part f");
    }
    assert!(
        sent < 30,
        "{sent} parts were sent for 48 that were never at rest"
    );
    assert_eq!(count(&world, "complete"), 0);
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_after_the_close_sends_nothing_twice() {
    let mut world = world();
    let file = open(&world, ".f.tmp");
    let bytes = pattern(4, 6 << 20 | 9);
    write(&world, &file, 0, &bytes);
    world
        .until("six parts are there", |world| count(world, "part") == 6)
        .await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    world
        .stage
        .rename(&key(".f.tmp"), &key("f"), RemoteBelief::Absent)
        .unwrap();
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!(world.content(".f.tmp").await, None);
    assert_eq!((count(&world, "part"), count(&world, "copy")), (7, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_before_the_close_publishes_nothing_unfinished() {
    let mut world = world();
    let file = open(&world, "a");
    let bytes = pattern(5, 3 << 20);
    write(&world, &file, 0, &bytes);
    world.until_call("part a").await;
    world
        .stage
        .rename(&key("a"), &key("b"), RemoteBelief::Absent)
        .unwrap();
    world.until_call("abort a").await;
    world.quiet().await;
    assert_eq!(world.content("a").await, None);
    assert_eq!(world.content("b").await, None);
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("b").await.unwrap() == bytes);
    assert_eq!(world.content("a").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_file_leaves_no_parts() {
    let mut world = world();
    let file = open(&world, "f");
    write(&world, &file, 0, &pattern(6, 3 << 20));
    world.until_call("part f").await;
    world.stage.remove(&key("f"), RemoteBelief::Absent).unwrap();
    drop(file);
    world.until_call("abort f").await;
    world.settle().await;
    assert_eq!(world.content("f").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_publishes_nothing_unfinished_and_frees_the_parts() {
    let mut world = world();
    let file = open(&world, "f");
    write(&world, &file, 0, &pattern(7, 3 << 20));
    world.until_call("part f").await;
    drop(file);
    world.crash().await;
    assert_eq!(
        (
            world.recovery.set_aside.len(),
            world.recovery.uploads_given_up
        ),
        (1, 1)
    );
    world.until_call("abort f").await;
    assert_eq!(world.content("f").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_does_not_end_the_stream_before_the_file_rests() {
    let mut world = world();
    let file = open(&world, "f");
    let bytes = pattern(8, 8 << 20);
    for (n, piece) in (0..).zip(bytes.chunks(1 << 20)) {
        write(&world, &file, n * MIB, piece);
        world.stage.submit(&file, Submit::Synced).unwrap();
        world.quiet().await;
    }
    assert_eq!(count(&world, "complete"), 0);
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!((count(&world, "start"), count(&world, "complete")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replaced_object_stays_while_someone_reads_it() {
    let mut world = world();
    world.theirs("f", b"read by someone").await;
    let there = world.base("f").await;
    let hold = world.stage.hold(&key("f"));
    let file = world
        .stage
        .create_truncated(there, metadata("early"))
        .unwrap();
    let bytes = pattern(9, 3 << 20);
    write(&world, &file, 0, &bytes);
    world
        .until("two parts are there", |world| count(world, "part f") == 2)
        .await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    world
        .until("three parts are there", |world| count(world, "part f") == 3)
        .await;
    world.quiet().await;
    assert_eq!(world.content("f").await.unwrap(), b"read by someone");
    drop(hold);
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!(count(&world, "part f"), 3, "the parts were kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_part_is_tried_again_and_the_rest_kept() {
    let mut world = world();
    world.fault(
        Effect::Fail(cloudmount_store::ErrorKind::Server),
        Operation::MultipartPut,
        2,
    );
    let file = open(&world, "f");
    let bytes = pattern(10, 5 << 20);
    write(&world, &file, 0, &bytes);
    world
        .until("five calls", |world| count(world, "part f") >= 5)
        .await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!((count(&world, "start"), count(&world, "part f")), (1, 6));
}

/// Whatever is written, cut, closed and flushed in between: what is committed as a generation is
/// what the file was at that generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_the_file_as_it_was() {
    for seed in 1..4_u64 {
        let mut world = world();
        let file = open(&world, "f");
        let mut bytes: Vec<u8> = Vec::new();
        let mut was: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut random = seed;
        let mut next = |limit: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for step in 0..60 {
            match next(10) {
                0..=5 => {
                    let piece = pattern(seed << 32 | step, 200_000 + index(next(900_000)));
                    write(&world, &file, bytes.len() as u64, &piece);
                    bytes.extend(piece);
                }
                6 if !bytes.is_empty() => {
                    let at = next(bytes.len() as u64);
                    let piece = pattern(step, 1 + index(next(5000)));
                    write(&world, &file, at, &piece);
                    let end = bytes.len().max(index(at) + piece.len());
                    bytes.resize(end, 0);
                    bytes[index(at)..][..piece.len()].copy_from_slice(&piece);
                }
                7 => {
                    let size = next(bytes.len() as u64 + MIB);
                    file.set_len(size).unwrap();
                    bytes.resize(index(size), 0);
                }
                8 => world.stage.submit(&file, Submit::Closed).unwrap(),
                _ => world.stage.submit(&file, Submit::Synced).unwrap(),
            }
            was.insert(file.generation(), bytes.clone());
            world.clock.advance(Duration::from_millis(next(400)));
            if next(3) == 0 {
                moment().await;
            }
            check(&world, &file, &was).await;
        }
        world.stage.submit(&file, Submit::Closed).unwrap();
        world.settle().await;
        check(&world, &file, &was).await;
        assert!(world.content("f").await.unwrap() == bytes, "seed {seed}");
    }
}

async fn check(world: &World, file: &Arc<StagedFile>, was: &HashMap<u64, Vec<u8>>) {
    for event in world.events() {
        if let Event::Committed {
            change: Change::Content { generation, .. },
            version,
            ..
        } = event
            && world.version("f").await == version
        {
            let there = world.content("f").await.unwrap();
            assert!(
                Some(&there) == was.get(&generation),
                "generation {generation} of {file:?}"
            );
        }
    }
}
