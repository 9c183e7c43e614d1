//! Copies of what was uploaded: what they are of, what they cost, and when they go.

use std::path::Path;
use std::sync::Arc;

use cloudmount_stage::{Fit, RemoteBelief, Reserved, Stage, StageSettings, StagedFile, Submit};
use cloudmount_store::{Capabilities, MemoryStore};
use cloudmount_testkit::ManualClock;
use cloudmount_vfs::ErrorKind;

use crate::disk::Tmpfs;
use crate::recovery::cut_the_power;
use crate::world::{World, key, metadata, moment, pattern};

const MIB: usize = 1 << 20;

/// What is kept of the object under that name, if it is of the version that is in the bucket.
async fn kept(world: &World, text: &str) -> Option<Vec<u8>> {
    let version = world.version(text).await?;
    let copy = world.stage.copies().get(text, version.as_str())?;
    Some(copy.read(0..copy.size()).await.unwrap().to_vec())
}

fn budget(stage: &Stage, name: &str) -> (u64, u64) {
    let budgets = stage.status().budgets;
    let found = budgets.iter().find(|budget| budget.name == name).unwrap();
    (found.used, found.limit)
}

/// Bytes that copies take.
fn kept_bytes(world: &World) -> u64 {
    budget(&world.stage, "kept bytes").0
}

async fn until_deleted(world: &World) {
    let is_empty = |world: &World| world.local_files("data").is_empty();
    world.until("all local files are deleted", is_empty).await;
}

fn with_limits(staging: u64, kept: u64) -> World {
    let settings = StageSettings {
        staging_bytes_max: Some(staging),
        kept_bytes_max: Some(kept),
        ..StageSettings::default()
    };
    World::with(settings, MemoryStore::CAPABILITIES)
}

/// Writes as the core does, and closes.
async fn write(stage: &Stage, text: &str, data: &[u8]) -> Arc<StagedFile> {
    let file = stage.create(&key(text), None, metadata("1")).unwrap();
    let mut room = Reserved::none();
    while let Fit::Lacks(bytes) = file.write_within(0, data, None, &mut room).unwrap() {
        drop(std::mem::take(&mut room));
        room = stage.room(bytes).await.unwrap();
    }
    stage.submit(&file, Submit::Closed).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_uploaded_is_read_again_without_a_request() {
    let mut world = World::new();
    for (text, length) in [("small", 5000), ("large", 9 * MIB)] {
        let file = world.write(text, &pattern(1, length));
        world.settle().await;
        assert!(kept(&world, text).await.is_none(), "somebody has it");
        assert_eq!(kept_bytes(&world), 0);
        drop(file);
        drop(world.calls());
        assert!(kept(&world, text).await.unwrap() == pattern(1, length));
        let version = world.version(text).await.unwrap();
        let copy = world.stage.copies().get(text, version.as_str()).unwrap();
        assert!(*copy.read(3000..3100).await.unwrap() == pattern(1, length)[3000..3100]);
        assert_eq!(world.calls(), [""; 0]);
        drop(copy);
        assert_eq!(budget(&world.stage, "staged bytes").0, 0);
        assert!(kept_bytes(&world) >= length as u64);
        world.stage.free_full_disk().await;
    }
    until_deleted(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_with_its_object() {
    let mut world = World::new();
    let first = world.object("a", &pattern(1, 9000)).await;
    let copies = world.stage.copies();
    let is_kept = |version: &str| copies.get("a", version).is_some();
    assert!(is_kept(first.version.as_str()));
    let second = world.object("a", &pattern(2, 9000)).await;
    assert!(!is_kept(first.version.as_str()));
    assert!(kept(&world, "a").await.unwrap() == pattern(2, 9000));
    // What someone else writes is told by whoever reads it.
    let theirs = world.theirs("a", b"theirs").await;
    assert!(copies.get("a", theirs.as_str()).is_none());
    copies.replaced(&key("a"), &theirs);
    assert!(!is_kept(second.version.as_str()));
    let third = world.object("b", &pattern(3, 9000)).await;
    let belief = RemoteBelief::Present(third.version.clone());
    world.stage.remove(&key("b"), belief).unwrap();
    world.settle().await;
    assert!(copies.get("b", third.version.as_str()).is_none());
    assert_eq!(kept_bytes(&world), 0);
    until_deleted(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_stays_when_its_object_gets_other_metadata_or_another_name() {
    let mut world = World::new();
    let body = pattern(1, 9000);
    let first = world.object("a", &body).await;
    let version = first.version.clone();
    (world.stage)
        .set_metadata(&key("a"), metadata("2"), first.version)
        .unwrap();
    world.settle().await;
    let second = world.base("a").await;
    assert_ne!(second.version, version);
    assert!(kept(&world, "a").await.unwrap() == body);
    let file = (world.stage)
        .rename_object(second, &key("b"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    drop(file);
    world.settle().await;
    assert!(kept(&world, "b").await.unwrap() == body);
    assert!(world.version("a").await.is_none());
    assert!(world.calls().iter().all(|call| !call.starts_with("get")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_since_its_upload_is_no_copy_of_it() {
    let mut world = World::new();
    let file = world.write("a", &pattern(1, 9000));
    world.settle().await;
    let uploaded = world.version("a").await.unwrap();
    file.write_at(100, b"changed").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    assert!((world.stage.copies().get("a", uploaded.as_str())).is_none());
    world.settle().await;
    assert_eq!(kept(&world, "a").await.unwrap()[100..107], *b"changed");
    world.stage.free_full_disk().await;
    let unlinked = world.write("b", &pattern(2, 9000));
    world.settle().await;
    let version = world.version("b").await.unwrap();
    let belief = RemoteBelief::Present(version.clone());
    world.stage.remove(&key("b"), belief).unwrap();
    drop(unlinked);
    assert!(world.stage.copies().get("b", version.as_str()).is_none());
    assert_eq!(kept_bytes(&world), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_in_part_is_not_kept() {
    let settings = StageSettings {
        kept_bytes_max: Some(64 << 20),
        multipart_bytes_min: MIB as u64,
        part_bytes: MIB as u64,
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: 1 << 19,
        ..MemoryStore::CAPABILITIES
    };
    let mut world = World::with(settings, capabilities);
    world.theirs("a", &pattern(1, 4 * MIB)).await;
    let base = world.base("a").await;
    let file = (world.stage)
        .create(&key("a"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(2_000_000, b"changed").unwrap();
    world.stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    world.settle().await;
    let version = world.version("a").await.unwrap();
    assert!(world.stage.copies().get("a", version.as_str()).is_none());
    assert_eq!(kept_bytes(&world), 0);
    until_deleted(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_give_way_to_what_is_staged_the_oldest_first() {
    let mut world = with_limits(16 * MIB as u64, 8 * MIB as u64);
    for n in 0..3 {
        drop(write(&world.stage, &format!("{n}"), &pattern(n, 2 * MIB)).await);
        world.settle().await;
    }
    assert_eq!(kept_bytes(&world), 6 * MIB as u64);
    // Nothing can be uploaded now: only copies can make room.
    world.stage.pause();
    let (stage, first) = (world.stage.clone(), pattern(7, 7 * MIB));
    drop(write(&stage, "first", &first).await);
    world
        .until("the oldest is gone", |world| {
            kept_bytes(world) == 4 * MIB as u64
        })
        .await;
    assert!(kept(&world, "0").await.is_none());
    assert!(kept(&world, "1").await.is_some() && kept(&world, "2").await.is_some());
    let task = tokio::spawn(async move {
        for n in 0..4 {
            drop(write(&stage, &format!("more{n}"), &pattern(n, 2 * MIB)).await);
        }
    });
    world.until("all is written", |_| task.is_finished()).await;
    task.await.unwrap();
    assert_eq!(kept_bytes(&world), 0);
    let (used, limit) = budget(&world.stage, "staged bytes");
    assert!(used == 15 * MIB as u64 && used < limit, "{used}");
    world.stage.resume();
    world.settle().await;
    assert!(world.content("first").await.unwrap() == first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_keep_to_a_limit_of_their_own_and_none_are_kept_if_that_is_nothing() {
    let mut world = with_limits(64 * MIB as u64, 5 * MIB as u64);
    for n in 0..4 {
        drop(world.write(&format!("{n}"), &pattern(n, 2 * MIB)));
        world.settle().await;
        let (used, limit) = budget(&world.stage, "kept bytes");
        assert!(used <= limit && limit == 5 * MIB as u64);
    }
    assert!(kept(&world, "1").await.is_none());
    assert!(kept(&world, "2").await.is_some() && kept(&world, "3").await.is_some());
    let mut none = with_limits(64 * MIB as u64, 0);
    drop(none.write("a", b"bytes"));
    none.settle().await;
    assert!(kept(&none, "a").await.is_none());
    until_deleted(&none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_the_copies_first() {
    let Some(disk) = Tmpfs::new("size=8m") else {
        println!("skipped: mounting is not allowed here");
        return;
    };
    let clock = ManualClock::new();
    let bucket = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let settings = StageSettings {
        kept_bytes_max: Some(6 * MIB as u64),
        ..StageSettings::default()
    };
    let (stage, _events, _) = Stage::open(
        disk.path(),
        bucket as _,
        settings,
        Arc::new(clock.clone()),
        &tokio::runtime::Handle::current(),
    )
    .unwrap();
    drop(write(&stage, "a", &pattern(1, 5 * MIB)).await);
    while budget(&stage, "kept bytes").0 == 0 {
        clock.advance(std::time::Duration::from_millis(50));
        moment().await;
    }
    let file = stage.create(&key("b"), None, metadata("1")).unwrap();
    let body = pattern(2, 5 * MIB);
    let full = file.write_at(0, &body).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::NoSpace);
    assert!(stage.free_full_disk().await);
    file.write_at(0, &body).unwrap();
    assert_eq!(budget(&stage, "kept bytes").0, 0);
    assert!(!stage.free_full_disk().await, "nothing is left");
}

/// What a kill at this moment leaves, with what `change` does to it.
fn killed(world: &World, change: impl FnOnce(&Path)) -> World {
    let clock = ManualClock::new();
    let bucket = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    world.on_copy(bucket, clock, change)
}

/// Ends the journal in the middle of a record.
fn tear(dir: &Path) {
    let path = dir.join("journal.log");
    let mut log = std::fs::read(&path).unwrap();
    log.extend([200, 0, 0, 0, 1, 2, 3, 4, b'[']);
    std::fs::write(path, log).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_a_crash_left_are_deleted_and_never_taken_for_what_waits() {
    let settings = StageSettings {
        // So small that it is compacted all the time: then it has forgotten the files.
        journal_bytes_min: 512,
        ..StageSettings::default()
    };
    for settings in [StageSettings::default(), settings] {
        let is_compacted = settings.journal_bytes_min == 512;
        let mut world = World::with(settings, MemoryStore::CAPABILITIES);
        drop(world.write("small", &pattern(1, 5000)));
        drop(world.write("large", &pattern(2, 300_000)));
        world.settle().await;
        if is_compacted {
            for n in 0..40 {
                let text = format!("{n}");
                drop(world.write(&text, b"x"));
                world.settle().await;
                let version = world.version(&text).await.unwrap();
                let belief = RemoteBelief::Present(version);
                world.stage.remove(&key(&text), belief).unwrap();
            }
            world.settle().await;
            let log = std::fs::read_to_string(world.dir.path().join("journal.log"));
            let log = log.unwrap_or_default();
            assert!(!log.contains("\"large\""), "{log}");
        }
        assert!(kept(&world, "small").await.is_some() && kept(&world, "large").await.is_some());
        assert_eq!(world.local_files("data").len(), 2);
        let ways: [fn(&Path); 4] = [
            |_| (),
            cut_the_power,
            tear,
            |dir| {
                cut_the_power(dir);
                tear(dir);
            },
        ];
        for way in ways {
            let again = killed(&world, way);
            let recovery = &again.recovery;
            assert_eq!((recovery.pending, recovery.removals), (0, 0));
            assert!(recovery.set_aside.is_empty(), "{:?}", recovery.set_aside);
            assert_eq!(again.local_files("data"), [""; 0]);
            assert_eq!(budget(&again.stage, "staged bytes").0, 0);
            assert_eq!(kept_bytes(&again), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_no_copy() {
    let mut world = World::new();
    drop(world.object("small", &pattern(1, 5000)).await);
    drop(world.object("large", &pattern(2, 300_000)).await);
    let version = world.version("large").await.unwrap();
    let copy = world.stage.copies().get("large", version.as_str()).unwrap();
    assert_eq!(world.local_files("data").len(), 2);
    world
        .crash_then(|dir| {
            let data = std::fs::read_dir(dir.path().join("data")).unwrap();
            assert!(data.count() <= 1, "only what somebody still reads");
        })
        .await;
    let late = copy.read(0..10).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Interrupted);
    assert_eq!(world.local_files("data"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_be_read_is_not_given_again() {
    let mut world = World::new();
    drop(world.object("a", &pattern(1, 300_000)).await);
    let version = world.version("a").await.unwrap();
    let copy = world.stage.copies().get("a", version.as_str()).unwrap();
    let name = &world.local_files("data")[0];
    let path = world.dir.path().join("data").join(name);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(1000).unwrap();
    let error = copy.read(0..300_000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(world.stage.copies().get("a", version.as_str()).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_hold_no_descriptors() {
    let settings = StageSettings {
        open_files_max: 8,
        ..StageSettings::default()
    };
    let mut world = World::with(settings, MemoryStore::CAPABILITIES);
    for n in 0..40 {
        drop(world.write(&format!("{n}"), &pattern(n, 100_000)));
        world.settle().await;
    }
    let data = world.dir.path().join("data");
    let open = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        all.filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|path| path.starts_with(&data))
            .count()
    };
    assert_eq!(world.local_files("data").len(), 40);
    assert_eq!(open(), 0);
    for n in 0..40 {
        assert!(kept(&world, &format!("{n}")).await.is_some());
    }
    assert!(open() <= 8, "{}", open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_a_copy_has_all_of_it_though_it_gives_way() {
    let mut world = World::new();
    drop(world.object("a", &pattern(1, 300_000)).await);
    let version = world.version("a").await.unwrap();
    let copy = world.stage.copies().get("a", version.as_str()).unwrap();
    world.stage.free_full_disk().await;
    world.quiet().await;
    assert!(world.stage.copies().get("a", version.as_str()).is_none());
    assert!(*copy.read(0..300_000).await.unwrap() == pattern(1, 300_000)[..]);
    drop(copy);
    until_deleted(&world).await;
}
