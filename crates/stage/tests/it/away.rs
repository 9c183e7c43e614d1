//! Files larger than the staging folder may hold: parts that the bucket has are dropped here, and
//! recalled when they are needed.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use cloudmount_stage::{
    ConflictPolicy, Fit, Leftover, Reserved, Segment, Stage, StageSettings, StagedFile, Submit,
};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, MemoryStore, Store as _};
use cloudmount_vfs::ErrorKind;

use crate::recovery::cut_the_power;
use crate::world::{LONG, World, key, metadata, moment, pattern};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 4 * MIB;
const PIECE: usize = 100_000;
/// Three times what fits.
const BYTES: usize = 12 << 20 | 77;

/// So small that a few MiB are more than fits.
pub(crate) fn settings() -> StageSettings {
    StageSettings {
        multipart_bytes_min: MIB,
        part_bytes: MIB,
        staging_bytes_max: Some(LIMIT),
        ..StageSettings::default()
    }
}

fn world() -> World {
    with_conflict(ConflictPolicy::default())
}

fn with_conflict(conflict: ConflictPolicy) -> World {
    let settings = StageSettings {
        conflict,
        ..settings()
    };
    let capabilities = Capabilities {
        part_bytes_min: MIB,
        ..MemoryStore::CAPABILITIES
    };
    World::with(settings, capabilities)
}

fn used(world: &World) -> u64 {
    let budgets = world.stage.status().budgets;
    let staged = budgets.iter().find(|budget| budget.name == "staged bytes");
    staged.unwrap().used
}

/// What the disk has of all local files.
fn on_disk(world: &World) -> u64 {
    let data = std::fs::read_dir(world.dir.path().join("data")).unwrap();
    data.map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

/// Writes as the core does.
async fn write(stage: &Stage, file: &Arc<StagedFile>, at: u64, bytes: &[u8]) {
    let mut room = Reserved::none();
    loop {
        match file.write_within(at, bytes, None, &mut room).unwrap() {
            Fit::Made => break,
            Fit::Away => stage.recall(file).await.unwrap(),
            Fit::Lacks(bytes) => {
                drop(std::mem::take(&mut room));
                room = stage.room(bytes).await.unwrap();
            }
            Fit::Adopted => unreachable!("it is written whatever it is"),
        }
    }
    if stage.wants_stream(file) {
        stage.stream(file, metadata("early")).unwrap();
    }
}

/// Writes `bytes` in sequence from `from` on.
async fn append(world: &World, file: &Arc<StagedFile>, from: usize, bytes: &[u8]) {
    let (stage, to, bytes) = (world.stage.clone(), Arc::clone(file), bytes.to_vec());
    let task = tokio::spawn(async move {
        for (n, piece) in (0_u64..).zip(bytes[from..].chunks(PIECE)) {
            let at = from as u64 + n * PIECE as u64;
            write(&stage, &to, at, piece).await;
        }
    });
    world
        .until("all is written", |world| {
            let used = used(world);
            assert!(used <= LIMIT, "{used}");
            task.is_finished()
        })
        .await;
    task.await.unwrap();
}

/// A file of three times the limit that was written and is still open.
pub(crate) async fn written(world: &World, text: &str) -> (Arc<StagedFile>, Vec<u8>) {
    let file = (world.stage.create(&key(text), None, metadata("early"))).unwrap();
    let bytes = pattern(9, BYTES);
    append(world, &file, 0, &bytes).await;
    assert!(file.is_away());
    (file, bytes)
}

async fn recalled(world: &World, file: &Arc<StagedFile>) -> cloudmount_vfs::Result<()> {
    let (stage, file) = (world.stage.clone(), Arc::clone(file));
    let task = tokio::spawn(async move { stage.recall(&file).await });
    world.until("it is recalled", |_| task.is_finished()).await;
    task.await.unwrap()
}

fn count(world: &World, start: &str) -> usize {
    let lines = world.log.lines();
    lines.iter().filter(|line| line.starts_with(start)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_larger_than_the_limit_can_be_written_in_sequence() {
    let mut world = world();
    let (file, bytes) = written(&world, "f").await;
    assert_eq!(
        world.content("f").await,
        None,
        "not visible before its close"
    );
    assert!(on_disk(&world) <= LIMIT, "{} bytes", on_disk(&world));
    assert_eq!(file.size(), BYTES as u64);
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!(count(&world, "part f"), 13, "each once");
    world
        .until("its room is free", |world| used(world) == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_files_larger_than_the_limit_share_it() {
    let mut world = world();
    let stage = world.stage.clone();
    let tasks: Vec<_> = (0..3_u64)
        .map(|n| {
            let stage = stage.clone();
            tokio::spawn(async move {
                let name = key(&format!("f{n}"));
                let file = stage.create(&name, None, metadata("early")).unwrap();
                let bytes = pattern(n, 6 << 20);
                for (at, piece) in (0_u64..).step_by(PIECE).zip(bytes.chunks(PIECE)) {
                    write(&stage, &file, at, piece).await;
                }
                stage.submit(&file, Submit::Closed).unwrap();
            })
        })
        .collect();
    for task in tasks {
        world.until("it is written", |_| task.is_finished()).await;
        task.await.unwrap();
    }
    world.settle().await;
    for n in 0..3 {
        let there = world.content(&format!("f{n}")).await.unwrap();
        assert!(there == pattern(n, 6 << 20), "f{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_what_is_away_has_the_upload_joined() {
    let mut world = world();
    let (file, mut bytes) = written(&world, "f").await;
    assert!(matches!(&file.segments(5..100)[..], [Segment::Away(range)] if *range == (5..100)));
    recalled(&world, &file).await.unwrap();
    assert!(!file.is_away());
    assert_eq!(file.segments(5..100), [Segment::Base(5..100)]);
    assert!(world.content("f").await.unwrap() == bytes, "as it was then");
    // What was only kept to be sent makes room.
    world
        .until("copies are dropped", |world| used(world) < MIB)
        .await;
    // It goes on as any changed object: also far beyond the limit again.
    append(
        &world,
        &file,
        BYTES,
        &[&bytes[..], &pattern(4, BYTES)].concat(),
    )
    .await;
    bytes.extend(pattern(4, BYTES));
    write(&world.stage, &file, 3, b"changed").await;
    bytes[3..10].copy_from_slice(b"changed");
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_is_recalled_before_it_is_changed_or_cut() {
    for change in ["write", "cut"] {
        let mut world = world();
        let (file, mut bytes) = written(&world, "f").await;
        if change == "write" {
            let mut room = Reserved::none();
            assert_eq!(
                file.write_within(77, b"x", None, &mut room).unwrap(),
                Fit::Away
            );
            let refused = file.write_at(77, b"x").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Busy);
        } else {
            assert_eq!(file.cut(MIB + 1, None).unwrap(), Fit::Away);
        }
        recalled(&world, &file).await.unwrap();
        if change == "write" {
            write(&world.stage, &file, 77, b"x").await;
            bytes[77] = b'x';
        } else {
            assert_eq!(file.cut(MIB + 1, None).unwrap(), Fit::Made);
            bytes.truncate(1 << 20 | 1);
        }
        world.stage.submit(&file, Submit::Closed).unwrap();
        drop(file);
        world.settle().await;
        assert!(world.content("f").await.unwrap() == bytes, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_can_be_cut_to_nothing() {
    let mut world = world();
    let (file, _) = written(&world, "f").await;
    assert_eq!(file.cut(0, None).unwrap(), Fit::Made);
    assert!(!file.is_away());
    write(&world.stage, &file, 3 * MIB, b"end").await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    // What was cut does not come back with a crash.
    world.crash().await;
    world.settle().await;
    let there = world.content("f").await.unwrap();
    assert_eq!(there.len(), 3 << 20 | 3);
    assert!(there[..3 << 20].iter().all(|byte| *byte == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_survives_a_crash_after_the_close() {
    for (synced, power_is_cut) in [(false, false), (true, false), (true, true)] {
        let mut world = world();
        let (file, bytes) = written(&world, "f").await;
        world.hang(Operation::MultipartComplete);
        let how = if synced {
            Submit::Synced
        } else {
            Submit::Closed
        };
        world.stage.submit(&file, how).unwrap();
        world.stage.sync(&file).await.unwrap();
        drop(file);
        world.quiet().await;
        let parts = count(&world, "part f");
        world
            .crash_then(|dir| {
                if power_is_cut {
                    cut_the_power(dir.path());
                }
            })
            .await;
        world.release();
        assert_eq!(world.recovery.uploads_given_up, 0);
        assert!(world.recovery.set_aside.is_empty());
        assert!(used(&world) <= LIMIT);
        world.settle().await;
        assert!(world.content("f").await.unwrap() == bytes);
        // Only what was still here went again.
        assert!(count(&world, "part f") - parts <= 5);
        assert_eq!(world.bucket.uploads_in_progress(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_away_and_never_closed_is_set_aside_without_it() {
    let mut world = world();
    let (file, bytes) = written(&world, "f").await;
    drop(file);
    world.crash().await;
    let aside = world.recovery.set_aside.first().unwrap().clone();
    assert_eq!(aside.key.as_deref(), Some("f"));
    let kept = std::fs::read(aside.path.unwrap()).unwrap();
    let mut length = 0;
    // Parts go in any order, so there may be several ranges; the last one never went.
    for (start, end) in &aside.ranges {
        length += end - start;
        let range = usize::try_from(*start).unwrap()..usize::try_from(*end).unwrap();
        assert!(kept[range.clone()] == bytes[range]);
    }
    assert_eq!(aside.ranges.last().unwrap().1, BYTES as u64);
    assert!(
        length <= BYTES as u64 - 8 * MIB,
        "the rest was only in the upload"
    );
    world.settle().await;
    world
        .until("the upload is given up", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
    assert_eq!(world.content("f").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_join_keeps_what_is_away() {
    let mut world = world();
    let (file, bytes) = written(&world, "f").await;
    let fails = Effect::Fail(cloudmount_store::ErrorKind::Server);
    world.fault(fails, Operation::MultipartComplete, 1);
    world.fault(fails, Operation::MultipartComplete, 2);
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
}

/// Parts cannot be joined under another name, so theirs has to go, not ours; here only a person may
/// decide that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_waits_for_a_person_if_its_name_was_taken() {
    let mut world = with_conflict(ConflictPolicy::Fail);
    let (file, bytes) = written(&world, "f").await;
    world.theirs("f", b"theirs").await;
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world
        .until("a person is asked", |world| {
            world.stage.status().totals.failed == 1
        })
        .await;
    assert!(world.content("f").await.unwrap() == b"theirs");
    let error = world.stage.status().keys[0].error.clone().unwrap();
    assert!(error.contains("remove or rename that one"), "{error}");
    let dropped = world.stage.plan_drop(&[key("f")], Leftover::SetAside).await;
    assert_eq!(dropped.unwrap_err().kind(), ErrorKind::Busy);
    (world.bucket.delete(&[key("f")]).await).unwrap();
    world.stage.flush_now(&key("f"));
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
}

/// A kill after the parts were joined, before anybody here knew: the object has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_away_is_found_in_its_object_after_a_crash() {
    let mut world = world();
    let (file, bytes) = written(&world, "f").await;
    world.fault(Effect::Late(LONG), Operation::MultipartComplete, 1);
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world
        .until("it is joined", |world| {
            world.bucket.len() == 1 && world.bucket.uploads_in_progress() == 0
        })
        .await;
    world.crash().await;
    world.release();
    world.settle().await;
    assert!(world.content("f").await.unwrap() == bytes);
    assert_eq!(world.bucket.len(), 1);
    world
        .until("no upload is left", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_upload_of_what_is_away_is_told() {
    let world = world();
    let (file, _) = written(&world, "f").await;
    let uploads = world
        .bucket
        .multipart_list("f", None)
        .await
        .unwrap()
        .uploads;
    for listed in uploads {
        (world
            .bucket
            .multipart_abort(&listed.key, &listed.upload)
            .await)
            .unwrap();
    }
    world.stage.submit(&file, Submit::Closed).unwrap();
    world
        .until("it is told", |world| {
            world.stage.status().totals.failed == 1
        })
        .await;
    let error = world.stage.status().keys[0].error.clone().unwrap();
    assert!(
        error.contains("which were nowhere else, are gone"),
        "{error}"
    );
    assert_eq!(world.content("f").await, None, "nothing is made up");
    assert!(recalled(&world, &file).await.is_err());
    // It can be written anew.
    assert_eq!(file.cut(0, None).unwrap(), Fit::Made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_is_not_renamed_before_it_is_recalled() {
    let mut world = world();
    let (file, bytes) = written(&world, "f").await;
    let absent = cloudmount_stage::RemoteBelief::Absent;
    let error = (world.stage.rename(&key("f"), &key("g"), absent.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let all = cloudmount_stage::Scope::all();
    assert_eq!(world.stage.away_in(&all).len(), 1);
    recalled(&world, &file).await.unwrap();
    world.stage.rename(&key("f"), &key("g"), absent).unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    assert!(world.content("g").await.unwrap() == bytes);
    assert_eq!(world.content("f").await, None);
    moment().await;
}

/// Holes where the journal says that bytes are here are none that were made on purpose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lacking_beside_what_is_away_is_noticed_after_a_power_cut() {
    let mut world = world();
    let (file, _) = written(&world, "f").await;
    world.hang(Operation::MultipartComplete);
    world.stage.submit(&file, Submit::Closed).unwrap();
    world.until_call("complete f").await;
    world.quiet().await;
    let name = format!("data/{:016x}", file.id().get());
    let here = file.segments(0..BYTES as u64).into_iter();
    let here = here.filter_map(|segment| match segment {
        Segment::Local(range) if range.end - range.start > 20_000 => Some(range.start),
        _ => None,
    });
    let lost = here.max().unwrap();
    drop(file);
    world
        .crash_then(|dir| {
            cut_the_power(dir.path());
            let local = std::fs::File::options()
                .write(true)
                .open(dir.path().join(name))
                .unwrap();
            let flags =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(local, flags, lost, 16_384).unwrap();
        })
        .await;
    world.release();
    let asides = &world.recovery.set_aside;
    assert_eq!(asides[0].reason, cloudmount_stage::Reason::Incomplete);
    world.settle().await;
    assert_eq!(world.content("f").await, None);
}
