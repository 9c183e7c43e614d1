//! The staging disk is full, or refuses.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cloudmount_stage::{Stage, StageSettings, Submit};
use cloudmount_store::{MemoryStore, StoreExt};
use cloudmount_testkit::ManualClock;
use cloudmount_vfs::ErrorKind;

use crate::world::{World, key, metadata, moment, pattern};

/// A small filesystem of its own, while it lives.
pub(crate) struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where this process may not mount.
    pub(crate) fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

fn open(dir: &Path, bucket: &Arc<MemoryStore>, clock: &ManualClock) -> Stage {
    let (stage, mut events, _) = Stage::open(
        dir,
        Arc::clone(bucket) as _,
        StageSettings::default(),
        Arc::new(clock.clone()),
        &tokio::runtime::Handle::current(),
    )
    .unwrap();
    tokio::spawn(async move { while events.next().await.is_some() {} });
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_the_write_that_does_not_fit() {
    let Some(disk) = Tmpfs::new("size=2m") else {
        println!("skipped: mounting is not allowed here");
        return;
    };
    let clock = ManualClock::new();
    let bucket = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let stage = open(disk.0.path(), &bucket, &clock);
    let file = stage.create(&key("a"), None, metadata("1")).unwrap();
    let first = pattern(1, 1 << 20);
    file.write_at(0, &first).unwrap();
    let error = file.write_at(1 << 20, &pattern(2, 4 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(file.size(), 1 << 20);
    assert!(file.read_local(0..1 << 21).unwrap() == first);
    let error = file.allocate(0, 8 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(file.size(), 1 << 20);
    // What fits goes on.
    file.write_at(10, b"fits").unwrap();
    let mut expected = first;
    expected[10..14].copy_from_slice(b"fits");
    stage.submit(&file, Submit::Closed).unwrap();
    drop(file);
    while stage.status().totals.keys > 0 {
        clock.advance(std::time::Duration::from_millis(50));
        moment().await;
    }
    let there = bucket
        .get_bytes(&key("a"), cloudmount_store::GetOptions::default())
        .await
        .unwrap();
    assert!(there == expected);
    // Its room comes back.
    while disk
        .0
        .path()
        .join("data")
        .read_dir()
        .unwrap()
        .next()
        .is_some()
    {
        clock.advance(std::time::Duration::from_millis(50));
        moment().await;
    }
    stage
        .create(&key("b"), None, metadata("1"))
        .unwrap()
        .write_at(0, &expected)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_grow_refuses_and_changes_nothing() {
    let Some(disk) = Tmpfs::new("size=400k") else {
        println!("skipped: mounting is not allowed here");
        return;
    };
    let clock = ManualClock::new();
    let bucket = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let stage = open(disk.0.path(), &bucket, &clock);
    stage.pause();
    let mut made = 0;
    let error = loop {
        let name = key(&format!("file {made}"));
        let made_now = stage
            .create(&name, None, metadata(&"x".repeat(500)))
            .and_then(|file| stage.submit(&file, Submit::Closed));
        match made_now {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(made > 10);
    let first = key("file 0");
    let error = stage.rename(
        &first,
        &key(&"long".repeat(200)),
        cloudmount_stage::RemoteBelief::Absent,
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(stage.pending(&first).is_some());
    // It opens all the same, and the uploads make room.
    stage.shutdown().await;
    let stage = open(disk.0.path(), &bucket, &clock);
    while stage.status().totals.keys > 0 {
        clock.advance(std::time::Duration::from_millis(50));
        moment().await;
    }
    assert_eq!(bucket.len(), made);
    stage.shutdown().await;
    let stage = open(disk.0.path(), &bucket, &clock);
    stage.create(&key("more"), None, metadata("1")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_be_as_large_as_the_store_takes() {
    let world = World::new();
    let file = world.stage.create(&key("a"), None, metadata("1")).unwrap();
    let limit = 5 << 40;
    for result in [
        file.write_at(limit - 1, b"xy"),
        file.write_at(u64::MAX, b"x"),
        file.set_len(limit + 1),
        file.allocate(limit, 1),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
    assert_eq!(file.size(), 0);
}

/// Nothing but the disk can take away what lies there: no zeros go out in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_lost_is_told_and_not_sent() {
    for settings in [
        StageSettings::default(),
        StageSettings {
            multipart_bytes_min: 64 << 10,
            ..StageSettings::default()
        },
    ] {
        let mut world = World::with(settings, MemoryStore::CAPABILITIES);
        world.stage.pause();
        let content = pattern(1, 100_000);
        let file = world.write("a", &content);
        let local = world.dir.path().join("data");
        let local = local.join(format!("{:016x}", file.id().get()));
        std::fs::OpenOptions::new()
            .write(true)
            .open(&local)
            .unwrap()
            .set_len(50_000)
            .unwrap();
        world.stage.resume();
        let error = |world: &World| world.stage.key_status(&key("a")).and_then(|key| key.error);
        world
            .until("it is told", |world| error(world).is_some())
            .await;
        let said = error(&world).unwrap();
        assert!(
            said.contains("50000 bytes shorter than it was left"),
            "{said}"
        );
        assert!(world.bucket.is_empty());
        // Written again, it goes.
        file.write_at(0, &content).unwrap();
        world.stage.submit(&file, Submit::Closed).unwrap();
        world.settle().await;
        assert!(world.content("a").await.unwrap() == content);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_queued_files_hold_few_descriptors() {
    let world = World::new();
    world.stage.pause();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut files = Vec::new();
    for n in 0..1500 {
        let file = world
            .stage
            .create(&key(&format!("{n}")), None, metadata("1"))
            .unwrap();
        file.write_at(0, b"x").unwrap();
        files.push(file);
    }
    // Other tests run beside this one.
    assert!(open() < before + 600, "{} descriptors", open() - before);
    assert_eq!(files[3].read_local(0..1).unwrap(), &b"x"[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_that_do_not_fit_are_refused_and_the_others_whole() {
    let Some(disk) = Tmpfs::new("size=2m") else {
        println!("skipped: mounting is not allowed here");
        return;
    };
    let clock = ManualClock::new();
    let bucket = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    let stage = open(disk.0.path(), &bucket, &clock);
    stage.pause();
    let body = |n: u64| pattern(n, 20_000);
    let mut made = 0;
    let (refused, error) = loop {
        let file = (stage.create(&key(&format!("f{made}")), None, metadata("1"))).unwrap();
        match file.write_at(0, &body(made)) {
            Ok(()) => stage.submit(&file, Submit::Closed).unwrap(),
            Err(error) => break (file, error),
        }
        made += 1;
        assert!(made < 200, "it fits");
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(made > 50, "{made}");
    assert_eq!(refused.size(), 0);
    // What was there of one that should grow is still there.
    let last = (stage.pending(&key("f0"))).and_then(|view| match view.desired {
        cloudmount_stage::Desired::Content(file) => Some(file),
        _ => None,
    });
    let last = last.unwrap();
    let error = last.write_at(20_000, &body(7)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let error = last.write_at(60_000, &body(7)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(last.read_local(0..1 << 20).unwrap() == body(0));
    drop(last);
    stage.resume();
    while stage.status().totals.keys > 1 {
        clock.advance(std::time::Duration::from_millis(50));
        moment().await;
    }
    for n in 0..made {
        let name = key(&format!("f{n}"));
        let there = bucket.get_bytes(&name, cloudmount_store::GetOptions::default());
        assert!(there.await.unwrap() == body(n), "f{n}");
    }
    // Their room came back.
    let mut grown = Err(error);
    for _ in 0..100 {
        clock.advance(std::time::Duration::from_millis(50));
        moment().await;
        grown = refused.write_at(0, &pattern(9, 1_500_000));
        if grown.is_ok() {
            break;
        }
        // Copies of what was uploaded go when it is full, as the core sees to.
        stage.free_full_disk().await;
    }
    grown.unwrap();
    assert!(refused.read_local(0..2 << 20).unwrap() == pattern(9, 1_500_000));
}
