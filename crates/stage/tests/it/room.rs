//! A limit for what is staged: who would write more waits, and uploads make room.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{Fit, Reserved, Stage, StageSettings, StagedFile, Submit};
use cloudmount_store::MemoryStore;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_vfs::{Error, ErrorKind, Result};

use crate::world::{World, key, metadata, moment, pattern};

const LIMIT: u64 = 1 << 20;
/// More than a slot of a shelf takes, and in whole blocks.
const BODY: usize = 200 << 12;

fn world() -> World {
    let settings = StageSettings {
        staging_bytes_max: Some(LIMIT),
        ..StageSettings::default()
    };
    World::with(settings, MemoryStore::CAPABILITIES)
}

fn used(world: &World) -> u64 {
    let budgets = world.stage.status().budgets;
    let staged = budgets.iter().find(|budget| budget.name == "staged bytes");
    staged.unwrap().used
}

/// Writes all of `data`, as the core does.
async fn write(stage: &Stage, file: &Arc<StagedFile>, offset: u64, data: &[u8]) -> Result<()> {
    let mut room = Reserved::none();
    loop {
        match file.write_within(offset, data, None, &mut room)? {
            Fit::Made => return Ok(()),
            Fit::Away => stage.recall(file).await?,
            Fit::Lacks(bytes) => {
                drop(std::mem::take(&mut room));
                room = stage.room(bytes).await?;
            }
            Fit::Adopted => unreachable!("it is written whatever it is"),
        }
    }
}

/// Starts to write `data`, and waits until it waits for room.
async fn waits(world: &World, text: &str, data: Vec<u8>) -> tokio::task::JoinHandle<Result<()>> {
    let before = world.stage.status().writers_waiting;
    let stage = world.stage.clone();
    let file = stage.create(&key(text), None, metadata("1")).unwrap();
    let task = tokio::spawn(async move {
        write(&stage, &file, 0, &data).await?;
        stage.submit(&file, Submit::Closed)
    });
    while world.stage.status().writers_waiting == before {
        moment().await;
    }
    task
}

/// Lets time pass until it has ended.
async fn ended<T>(world: &World, task: tokio::task::JoinHandle<T>) -> T {
    world.until("it has ended", |_| task.is_finished()).await;
    task.await.unwrap()
}

fn refused(result: Result<()>) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_does_not_fit_waits_until_uploads_make_room() {
    let mut world = world();
    drop(world.write("a", &pattern(1, BODY)));
    let waiting = waits(&world, "b", pattern(2, BODY)).await;
    // It holds nothing that others need.
    let other = world.write("small", b"x");
    world.stage.sync(&other).await.unwrap();
    assert!(!waiting.is_finished());
    assert!(used(&world) <= LIMIT);
    ended(&world, waiting).await.unwrap();
    assert!(used(&world) <= LIMIT);
    world.settle().await;
    assert!(world.content("a").await.unwrap() == pattern(1, BODY));
    assert!(world.content("b").await.unwrap() == pattern(2, BODY));
    drop(other);
    world
        .until("all of it is free", |world| used(world) == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_far_more_than_the_limit_all_get_in() {
    let mut world = world();
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let stage = world.stage.clone();
            tokio::spawn(async move {
                for n in 0..6 {
                    let name = key(&format!("{writer}/{n}"));
                    let file = stage.create(&name, None, metadata("1")).unwrap();
                    let body = pattern(writer * 100 + n, 150_000);
                    for (at, piece) in (0..).step_by(50_000).zip(body.chunks(50_000)) {
                        write(&stage, &file, at, piece).await.unwrap();
                        assert!(stage.status().budgets.iter().all(|of| of.used <= of.limit));
                    }
                    stage.submit(&file, Submit::Closed).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        ended(&world, writer).await;
    }
    world.settle().await;
    for (writer, n) in (0..8).flat_map(|writer| (0..6).map(move |n| (writer, n))) {
        let there = world.content(&format!("{writer}/{n}")).await.unwrap();
        assert!(there == pattern(writer * 100 + n, 150_000), "{writer}/{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_while_uploads_are_paused_waits_until_they_go_on() {
    let world = world();
    world.stage.pause();
    drop(world.write("a", &pattern(1, BODY)));
    let waiting = waits(&world, "b", pattern(2, BODY)).await;
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(3600));
        moment().await;
    }
    assert!(!waiting.is_finished());
    world.stage.resume();
    ended(&world, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_refused_if_nothing_can_make_room() {
    let world = world();
    let open = (world.stage.create(&key("open"), None, metadata("1"))).unwrap();
    write(&world.stage, &open, 0, &pattern(1, BODY))
        .await
        .unwrap();
    let waiting = waits(&world, "b", pattern(2, BODY)).await;
    world.clock.advance(Duration::from_secs(5));
    world.quiet().await;
    assert!(!waiting.is_finished(), "others may close what they write");
    let error = refused(ended(&world, waiting).await);
    let said = format!("{error}");
    assert!(said.contains("limit of 1048576 staged bytes"), "{said}");
    // More than would ever fit is refused at once.
    let huge = world.stage.room(LIMIT + 1).await.unwrap_err();
    assert_eq!(huge.kind(), ErrorKind::NoSpace);
    // What is closed then makes room for the next.
    world.stage.submit(&open, Submit::Closed).unwrap();
    drop(open);
    let next = waits(&world, "c", pattern(3, BODY)).await;
    ended(&world, next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_ten_minutes_for_a_dead_network() {
    let world = world();
    world.fault.add(FaultRule::new(Effect::Fail(
        cloudmount_store::ErrorKind::Connection,
    )));
    drop(world.write("a", &pattern(1, BODY)));
    let waiting = waits(&world, "b", pattern(2, BODY)).await;
    for _ in 0..55 {
        world.clock.advance(Duration::from_secs(10));
        moment().await;
    }
    assert!(!waiting.is_finished());
    let error = refused(ended(&world, waiting).await);
    assert!(format!("{error}").contains("no upload gets any further"));
    world.fault.clear();
    let next = waits(&world, "c", pattern(3, BODY)).await;
    ended(&world, next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_or_removed_gives_its_room_back() {
    let world = world();
    let stage = &world.stage;
    let file = stage.create(&key("a"), None, metadata("1")).unwrap();
    write(stage, &file, 0, &pattern(1, BODY)).await.unwrap();
    assert_eq!(used(&world), BODY as u64);
    // What is written again takes nothing more, and a hole takes nothing.
    write(stage, &file, 100, &pattern(2, BODY - 100))
        .await
        .unwrap();
    file.set_len(LIMIT * 4).unwrap();
    assert_eq!(used(&world), BODY as u64);
    write(stage, &file, LIMIT * 3, b"x").await.unwrap();
    assert_eq!(used(&world), BODY as u64 + 4096);
    file.set_len(4097).unwrap();
    assert_eq!(used(&world), 8192);
    let mut room = Reserved::none();
    let kept = file.allocate_within(0, 100_000, None, &mut room).unwrap();
    assert_eq!(kept, Fit::Made);
    assert_eq!(used(&world), 102_400);
    let kept = file.allocate_within(0, LIMIT * 2, None, &mut room).unwrap();
    assert_eq!(kept, Fit::Lacks(2 * LIMIT - 102_400));
    stage
        .remove(&key("a"), cloudmount_stage::RemoteBelief::Absent)
        .unwrap();
    drop(file);
    world
        .until("all of it is free", |world| used(world) == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_counts_and_may_be_over_the_limit() {
    let mut world = world();
    world.stage.pause();
    // One in a slot of a shelf, one with a hole, and one that is in the bucket but for an end.
    drop(world.write("small", &pattern(1, 5000)));
    let holed = world.stage.create(&key("b"), None, metadata("1")).unwrap();
    holed.write_at(800_000, &pattern(2, 100_000)).unwrap();
    holed.write_at(0, &pattern(3, 100_000)).unwrap();
    world.stage.submit(&holed, Submit::Closed).unwrap();
    drop(holed);
    let before = used(&world);
    world.settings.staging_bytes_max = Some(100_000);
    // Nothing arrives before it was looked at.
    for operation in [Operation::Put, Operation::MultipartStart] {
        let refused = FaultRule::new(Effect::Fail(cloudmount_store::ErrorKind::Server));
        world.fault.add(refused.on(operation));
    }
    world.crash().await;
    world.stage.pause();
    world.fault.clear();
    let after = used(&world);
    // Only of a file in a shelf, holes count.
    assert_eq!(before, after);
    assert!(after > 100_000);
    let waiting = waits(&world, "c", pattern(4, 20_000)).await;
    world.stage.resume();
    ended(&world, waiting).await.unwrap();
    world.settle().await;
    assert_eq!(world.content("b").await.unwrap().len(), 900_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_room_leaves_when_the_stage_ends() {
    let world = world();
    world.hang(Operation::Put);
    drop(world.write("a", &pattern(1, BODY)));
    let waiting = waits(&world, "b", pattern(2, BODY)).await;
    world.stage.clone().shutdown().await;
    let error = ended(&world, waiting).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}
