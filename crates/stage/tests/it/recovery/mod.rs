//! After a crash: what was promised is there, what was not is set aside and named.

mod points;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{Event, Reason, RemoteBelief, Stage, StageSettings, Submit};
use cloudmount_store::layer::{Effect, Operation};

use crate::world::{World, key, metadata, pattern};

const LOG: &str = "journal.log";

/// The ends of the records of a log: a header of 12 bytes, then frames of length, CRC-32, payload.
fn record_ends(log: &[u8]) -> Vec<usize> {
    let mut ends = vec![12];
    loop {
        let at = *ends.last().unwrap();
        let Some(head) = log.get(at..at + 8) else {
            return ends;
        };
        let length = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
        ends.push(at + 8 + length);
    }
}

/// Makes the log one that was written before the machine stopped.
pub(crate) fn cut_the_power(dir: &Path) {
    let log = std::fs::read(dir.join(LOG)).unwrap();
    let ends = record_ends(&log);
    let payload = String::from_utf8(log[20..ends[1]].to_vec()).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let payload = payload.replace(boot.trim(), "11111111-2222-3333-4444-555555555555");
    let mut changed = log[..12].to_vec();
    changed.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    changed.extend(crc32fast::hash(payload.as_bytes()).to_le_bytes());
    changed.extend(payload.as_bytes());
    changed.extend(&log[ends[1]..]);
    assert_ne!(changed, log);
    std::fs::write(dir.join(LOG), changed).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_closed_is_uploaded_whatever_the_settings() {
    let mut world = World::new();
    let gone = world.object("gone", b"x").await;
    let moved = world.object("moved", b"moved").await;
    let changed = world.object("changed", &pattern(1, 100_000)).await;
    world.hang(Operation::Put);
    world.hang(Operation::Copy);
    world.hang(Operation::Delete);
    world.write("new", b"new");
    world.write("empty", b"");
    let stage = world.stage.clone();
    let file = stage
        .create(&key("changed"), Some(changed), metadata("2"))
        .unwrap();
    let mut expected = pattern(1, 100_000);
    for at in (0..90_000).step_by(7919) {
        file.write_at(at as u64, b"patch").unwrap();
        expected[at..at + 5].copy_from_slice(b"patch");
    }
    file.set_len(80_000).unwrap();
    file.set_len(80_010).unwrap();
    expected.truncate(80_000);
    expected.resize(80_010, 0);
    stage.submit(&file, Submit::Closed).unwrap();
    stage
        .remove(&key("gone"), RemoteBelief::Present(gone.version))
        .unwrap();
    stage
        .rename_object(moved, &key("to"), RemoteBelief::Absent, metadata("3"))
        .unwrap();
    stage
        .put_inline(
            &key("l"),
            Bytes::from_static(b"\xff\0t"),
            metadata("4"),
            RemoteBelief::Absent,
        )
        .unwrap();
    world.settings = StageSettings {
        close_delay: Duration::from_secs(3600),
        host: "other".to_owned(),
        ..StageSettings::default()
    };
    world.crash().await;
    assert_eq!((world.recovery.pending, world.recovery.removals), (5, 2));
    assert!(world.recovery.set_aside.is_empty());
    assert_eq!(world.stage.pending(&key("new")).unwrap().size(), Some(3));
    assert_eq!(
        world.stage.pending(&key("changed")).unwrap().metadata(),
        Some(metadata("2"))
    );
    world.release();
    world.settle().await;
    assert_eq!(world.content("new").await.unwrap(), b"new");
    assert_eq!(world.content("empty").await.unwrap(), b"");
    assert!(world.content("changed").await.unwrap() == expected);
    assert_eq!(world.content("gone").await, None);
    assert_eq!(world.content("moved").await, None);
    assert_eq!(world.content("to").await.unwrap(), b"moved");
    assert_eq!(world.mtime("to").await.unwrap(), "3");
    assert_eq!(world.content("l").await.unwrap(), b"\xff\0t");
    assert!(
        !world
            .events()
            .iter()
            .any(|event| matches!(event, Event::Conflict { .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_closed_is_set_aside() {
    let mut world = World::new();
    let base = world.object("a/doc", b"0123456789").await;
    let removed = world.object("re", b"old").await;
    let stage = world.stage.clone();
    let file = stage
        .create(&key("a/doc"), Some(base), metadata("2"))
        .unwrap();
    file.write_at(2, b"XX").unwrap();
    let new = stage.create(&key("new"), None, metadata("1")).unwrap();
    new.write_at(0, b"never closed").unwrap();
    let untouched = stage
        .create(&key("untouched"), None, metadata("1"))
        .unwrap();
    // Its removal was acknowledged, what came after it never was.
    stage
        .remove(&key("re"), RemoteBelief::Present(removed.version))
        .unwrap();
    let again = stage.create(&key("re"), None, metadata("1")).unwrap();
    again.write_at(0, b"again").unwrap();
    drop((stage, file, new, untouched, again));
    world.crash().await;
    let named: Vec<_> = (world.recovery.set_aside.iter())
        .map(|aside| (aside.key.as_deref().unwrap(), aside.reason, aside.size))
        .collect();
    let reason = Reason::NeverClosed;
    assert_eq!(
        named,
        [
            ("a/doc", reason, 10),
            ("new", reason, 12),
            ("re", reason, 5)
        ]
    );
    let aside = &world.recovery.set_aside[0];
    assert_eq!(aside.ranges, [(2, 4)]);
    assert_eq!(aside.base.as_ref().unwrap().0, "a/doc");
    let bytes = std::fs::read(aside.path.as_ref().unwrap()).unwrap();
    assert_eq!(&bytes[2..4], b"XX");
    world.settle().await;
    assert_eq!(world.content("a/doc").await.unwrap(), b"0123456789");
    assert_eq!(world.content("re").await, None, "the removal was promised");
    assert_eq!(world.bucket.len(), 1);
    world.crash().await;
    assert!(world.recovery.set_aside.is_empty());
    assert_eq!(world.stage.status().set_aside.len(), 3, "named for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_synced_but_never_closed_is_uploaded() {
    let mut world = World::new();
    let file = world.stage.create(&key("db"), None, metadata("1")).unwrap();
    file.write_at(0, b"committed").unwrap();
    world.stage.sync(&file).await.unwrap();
    world.stage.submit(&file, Submit::Synced).unwrap();
    drop(file);
    world.crash().await;
    world.settle().await;
    assert_eq!(world.content("db").await.unwrap(), b"committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_landed_before_the_crash_is_no_conflict() {
    let mut world = World::new();
    world.fault(Effect::LoseReply, Operation::Put, 1);
    world.write("a", b"content");
    world.until_call("put").await;
    world.crash().await;
    // Written again before the first try of the new stage.
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"content");
    assert_eq!(world.bucket.len(), 1);
    assert!(
        !world
            .events()
            .iter()
            .any(|event| matches!(event, Event::Conflict { .. }))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_again_and_again_changes_nothing() {
    let mut world = World::new();
    world.hang(Operation::Put);
    world.write("a", b"content");
    let open = world
        .stage
        .create(&key("open"), None, metadata("1"))
        .unwrap();
    open.write_at(0, b"x").unwrap();
    drop(open);
    for round in 0..5 {
        world.crash().await;
        assert_eq!(world.recovery.pending, 1);
        assert_eq!(world.recovery.set_aside.len(), usize::from(round == 0));
        assert_eq!(world.recovery.torn_bytes, 0);
    }
    world.release();
    world.settle().await;
    assert_eq!(world.content("a").await.unwrap(), b"content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time() {
    let world = World::new();
    let error = Stage::open(
        world.dir.path(),
        Arc::clone(&world.log) as _,
        StageSettings::default(),
        Arc::new(world.clock.clone()),
        &tokio::runtime::Handle::current(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), cloudmount_vfs::ErrorKind::Busy);
    assert!(error.to_string().contains("another process"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_only_whole_files_go_out() {
    let mut world = World::new();
    let base = world.object("patched", &pattern(1, 1 << 20)).await;
    world.hang(Operation::Put);
    let whole = world.write("whole", &pattern(2, 100_000));
    let short = world.write("short", &pattern(3, 100_000));
    let holed = world
        .stage
        .create(&key("patched"), Some(base), metadata("2"))
        .unwrap();
    holed.write_at(0, &pattern(4, 500_000)).unwrap();
    world.stage.submit(&holed, Submit::Closed).unwrap();
    let data = |id: cloudmount_stage::FileId| format!("data/{:016x}", id.get());
    let (short, holed) = (data(short.id()), data(holed.id()));
    drop(whole);
    world
        .crash_then(|dir| {
            cut_the_power(dir.path());
            let open = |name: &str| {
                File::options()
                    .write(true)
                    .open(dir.path().join(name))
                    .unwrap()
            };
            open(&short).set_len(0).unwrap();
            // Blocks that were never flushed read as a hole.
            let flags =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(open(&holed), flags, 0, 65536).unwrap();
        })
        .await;
    let named: Vec<_> = (world.recovery.set_aside.iter())
        .map(|aside| (aside.key.as_deref().unwrap(), aside.reason))
        .collect();
    assert_eq!(
        named,
        [
            ("patched", Reason::Incomplete),
            ("short", Reason::Incomplete)
        ]
    );
    world.release();
    world.settle().await;
    assert!(world.content("whole").await.unwrap() == pattern(2, 100_000));
    assert!(world.content("patched").await.unwrap() == pattern(1, 1 << 20));
    assert_eq!(world.content("short").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_synced_survives_a_power_cut() {
    let mut world = World::new();
    world.stage.pause();
    let write = |name: &str| {
        let file = world.stage.create(&key(name), None, metadata("1")).unwrap();
        file.write_at(0, name.as_bytes()).unwrap();
        file
    };
    let (synced, only_written) = (write("synced"), write("only-written"));
    world.stage.submit(&synced, Submit::Synced).unwrap();
    world.stage.sync(&synced).await.unwrap();
    drop((synced, only_written));
    world.crash_then(|dir| cut_the_power(dir.path())).await;
    let named: Vec<_> = (world.recovery.set_aside.iter())
        .map(|aside| (aside.key.as_deref().unwrap(), aside.reason))
        .collect();
    assert_eq!(named, [("only-written", Reason::NeverClosed)]);
    world.settle().await;
    assert_eq!(world.content("synced").await.unwrap(), b"synced");
    assert_eq!(world.content("only-written").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn left_over_files_are_cleared_unless_the_journal_lost_its_end() {
    let mut world = World::new();
    world.hang(Operation::Put);
    world.write("a", b"content");
    let stray = |dir: &tempfile::TempDir| {
        std::fs::write(dir.path().join("data/00000000000000ff"), b"stray").unwrap();
    };
    world.crash_then(stray).await;
    assert_eq!(world.local_files("data").len(), 1);
    assert!(world.recovery.set_aside.is_empty());
    world
        .crash_then(|dir| {
            stray(dir);
            let path = dir.path().join(LOG);
            let mut log = std::fs::read(&path).unwrap();
            log.extend(b"half a rec");
            std::fs::write(path, log).unwrap();
        })
        .await;
    assert_eq!(world.recovery.torn_bytes, 10);
    assert_eq!(world.recovery.set_aside.len(), 1);
    assert_eq!(world.recovery.set_aside[0].reason, Reason::Unknown);
    assert_eq!(world.recovery.set_aside[0].key, None);
    // Numbers are never used twice, not even of what was set aside.
    let file = world.stage.create(&key("b"), None, metadata("1")).unwrap();
    assert!(file.id().get() > 0xff);
    world.release();
}
