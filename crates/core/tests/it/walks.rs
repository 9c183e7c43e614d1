//! Who goes through a folder finds the next small files there, and nobody pays for more than that.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_core::{AheadStats, CoreSettings, TimesToLive};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::{Key, Metadata, PutOptions};
use cloudmount_testkit::World as _;
use cloudmount_vfs::{
    Access, Attr, Context, InodeId, Name, OpenFlags, Permissions, SetAttr, Vfs as _,
};

use crate::world::CoreWorld;

/// Files in the folder.
const FILES: usize = 100;
/// Far longer than a test takes of the clock's time.
const NEVER: Duration = Duration::from_secs(3600);

fn text(number: usize) -> String {
    format!("content of {number}")
}

fn name(number: usize) -> String {
    format!("file{number:03}")
}

/// A folder `d` of files, written by somebody else, with modes.
async fn world(settings: CoreSettings) -> CoreWorld {
    let world = CoreWorld::with_settings(settings);
    for number in 0..FILES {
        put(&world, number, text(number)).await;
    }
    world
}

async fn put(world: &CoreWorld, number: usize, text: String) {
    let store = world.store().unwrap();
    let mode = ("file-permissions".to_owned(), "0100640".to_owned());
    let options = PutOptions {
        metadata: Metadata {
            user: BTreeMap::from([mode]),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    let key = Key::new(format!("d/{}", name(number))).unwrap();
    store
        .put(&key, Bytes::from(text).into(), options)
        .await
        .unwrap();
}

/// Lets everything go as far as it can without the clock.
async fn rest(world: &CoreWorld) {
    world.clock().pass(Duration::ZERO).await;
}

async fn folder(world: &CoreWorld) -> InodeId {
    let name = Name::new("d").unwrap();
    let found = world.core.lookup(&Context::ROOT, InodeId::ROOT, &name);
    found.await.unwrap().attr.ino
}

async fn stat(world: &CoreWorld, folder: InodeId, number: usize) -> Attr {
    let name = Name::new(&name(number)).unwrap();
    let entry = world.core.lookup(&Context::ROOT, folder, &name).await;
    entry.unwrap().attr
}

async fn read(world: &CoreWorld, ino: InodeId) -> Bytes {
    let (cx, core) = (Context::ROOT, &world.core);
    let flags = OpenFlags {
        access: Access::Read,
        ..OpenFlags::default()
    };
    let opened = core.open(&cx, ino, flags).await.unwrap();
    let bytes = core.read(&cx, ino, opened.handle, 0, 4096).await.unwrap();
    core.release(&cx, ino, opened.handle).await.unwrap();
    bytes
}

/// Stat, open, read and close, as `cp` does.
async fn copied(world: &CoreWorld, folder: InodeId, number: usize) -> Bytes {
    let attr = stat(world, folder, number).await;
    assert_eq!(attr.permissions, Permissions::from_mode(0o640));
    let bytes = read(world, attr.ino).await;
    assert_eq!(bytes.len() as u64, attr.size);
    rest(world).await;
    bytes
}

/// How many requests there were that begin so.
fn count(lines: &[String], begins: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(begins)).count()
}

/// Begins to copy a folder, with so many files of it done.
async fn walked(settings: CoreSettings, files: usize) -> (CoreWorld, InodeId) {
    let world = world(settings).await;
    let folder = folder(&world).await;
    for number in 0..files {
        assert_eq!(copied(&world, folder, number).await, text(number));
    }
    (world, folder)
}

#[tokio::test]
async fn a_small_file_of_a_walk_costs_one_request() {
    let (world, _) = walked(CoreSettings::default(), FILES).await;
    let lines = world.log.take();
    assert_eq!(count(&lines, "get d/"), FILES, "{lines:#?}");
    // Of the first one nobody knew that it would be read.
    assert_eq!(count(&lines, "head d/file"), 1, "{lines:#?}");
    let stats = world.core.stats().ahead;
    assert_eq!((stats.asked, stats.used), (98, 98));
}

#[tokio::test]
async fn who_only_looks_reads_no_byte() {
    let world = world(CoreSettings::default()).await;
    let folder = folder(&world).await;
    for number in 0..FILES {
        let attr = stat(&world, folder, number).await;
        assert_eq!(attr.size, text(number).len() as u64);
        rest(&world).await;
    }
    let lines = world.log.take();
    assert_eq!(count(&lines, "get"), 0, "{lines:#?}");
    assert_eq!(count(&lines, "head d/file"), FILES, "{lines:#?}");
    assert_eq!(world.core.stats().ahead.used, FILES as u64 - 3);
}

/// With nothing believed, nothing is asked ahead; an open asks by reading, so that the read costs none.
#[tokio::test]
async fn without_trust_an_open_and_its_read_are_one_request() {
    let settings = CoreSettings {
        ttl: TimesToLive::all(Duration::ZERO),
        ..CoreSettings::default()
    };
    let world = world(settings).await;
    let folder = folder(&world).await;
    for number in 0..10 {
        let attr = stat(&world, folder, number).await;
        drop(world.log.take());
        assert_eq!(read(&world, attr.ino).await, text(number));
        rest(&world).await;
        let (lines, length) = (world.log.take(), text(number).len());
        let name = name(number);
        assert_eq!(count(&lines, "get"), 1, "{lines:#?}");
        assert_eq!(count(&lines, &format!("get d/{name} 0..{length}")), 1);
        assert_eq!(count(&lines, "head"), 0, "{lines:#?}");
        // Its bytes are here now: what is asked is only whether they still are its bytes.
        assert_eq!(read(&world, attr.ino).await, text(number));
        assert_eq!(world.log.take(), [format!("head d/{name}")]);
    }
    assert_eq!(world.core.stats().ahead, AheadStats::default());
}

#[tokio::test]
async fn none_is_fetched_ahead_where_that_is_set() {
    let settings = CoreSettings {
        files_ahead: 0,
        ..CoreSettings::default()
    };
    let (world, _) = walked(settings, 20).await;
    let lines = world.log.take();
    assert_eq!(
        (count(&lines, "get"), count(&lines, "head d/file")),
        (20, 20)
    );
}

/// A file that was replaced after it was listed: the request for the listed version is refused, and what is
/// there now is shown and read.
#[tokio::test]
async fn what_was_replaced_since_the_listing_is_read_as_it_is_now() {
    let (world, folder) = walked(CoreSettings::default(), 2).await;
    put(&world, 15, "other bytes".to_owned()).await;
    for number in 2..FILES {
        let expected = match number {
            15 => "other bytes".to_owned(),
            _ => text(number),
        };
        assert_eq!(copied(&world, folder, number).await, expected);
    }
    let lines = world.log.take();
    assert_eq!(count(&lines, "head d/file015"), 1, "{lines:#?}");
}

/// What was fetched ahead is of the version that is shown, whatever happens to the object before it is read.
#[tokio::test]
async fn what_was_fetched_ahead_and_replaced_is_of_one_version() {
    let (world, folder) = walked(CoreSettings::default(), 10).await;
    put(&world, 12, "replaced".to_owned()).await;
    // Believed as every answer is: for a second.
    assert_eq!(copied(&world, folder, 12).await, text(12));
    world.clock().pass(Duration::from_secs(2)).await;
    assert_eq!(copied(&world, folder, 12).await, "replaced");
}

/// A change made here while a request is on its way is not undone by its answer.
#[tokio::test]
async fn an_answer_that_was_asked_for_ahead_undoes_no_change() {
    let (world, folder) = walked(CoreSettings::default(), 1).await;
    let key = Key::new("d/file003").unwrap();
    let slow = FaultRule::new(Effect::Delay(Duration::from_millis(500)));
    world.fault.add(slow.on(Operation::Get).key(key).nth(1));
    copied(&world, folder, 1).await;
    copied(&world, folder, 2).await;
    let lines = world.log.take();
    assert_eq!(
        count(&lines, "get d/file003"),
        1,
        "it is under way: {lines:#?}"
    );
    let inode = {
        let (looked, clock) = (stat(&world, folder, 3), world.clock());
        let (attr, ()) = futures::join!(looked, clock.pass(Duration::from_millis(500)));
        attr.ino
    };
    let set = SetAttr {
        permissions: Some(Permissions::from_mode(0o600)),
        ..SetAttr::default()
    };
    world
        .core
        .setattr(&Context::ROOT, inode, &set)
        .await
        .unwrap();
    rest(&world).await;
    let attr = stat(&world, folder, 3).await;
    assert_eq!(attr.permissions, Permissions::from_mode(0o600));
}

/// Who comes to a file whose request is under way waits for that, and sends none.
#[tokio::test]
async fn who_comes_to_a_file_under_way_joins_its_request() {
    let (world, folder) = walked(CoreSettings::default(), 1).await;
    let slow = FaultRule::new(Effect::Delay(Duration::from_millis(300)));
    let key = Key::new("d/file002").unwrap();
    world.fault.add(slow.on(Operation::Get).key(key));
    copied(&world, folder, 1).await;
    let (reading, clock) = (copied(&world, folder, 2), world.clock());
    let (bytes, ()) = futures::join!(reading, clock.pass(Duration::from_millis(400)));
    assert_eq!(bytes, text(2));
    let lines = world.log.take();
    let of_it = |line: &&String| line.contains("d/file002");
    assert_eq!(lines.iter().filter(of_it).count(), 1, "{lines:#?}");
}

/// No more requests at once than are set; and what waits for a walk that ended is never sent.
#[tokio::test]
async fn requests_are_bounded_and_those_of_a_walk_that_ended_are_not_sent() {
    let settings = CoreSettings {
        heads_max: 3,
        ..CoreSettings::default()
    };
    let (world, folder) = walked(settings, 6).await;
    drop(world.log.take());
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(30)));
    world.fault.add(slow.on(Operation::Get));
    // What is here already makes the walk go on.
    for number in 6..12 {
        copied(&world, folder, number).await;
    }
    let under_way = world.log.take();
    assert_eq!(count(&under_way, "get"), 3, "{under_way:#?}");
    // Somewhere else: the folder is not gone through any more.
    stat(&world, folder, 90).await;
    world.clock().pass(NEVER).await;
    // They stall, and may be asked again.
    let mut gets = world.log.take();
    gets.retain(|line| line.starts_with("get"));
    assert!(
        gets.iter().all(|line| under_way.contains(line)),
        "{gets:#?}"
    );
}

/// Fewer bytes than a share of the cache: of files of 192 KiB, those of 1.25 MiB, which are six.
#[tokio::test]
async fn bytes_ahead_are_bounded() {
    let world = CoreWorld::with_memory(CoreSettings::default(), 16 << 20);
    for number in 0..FILES {
        put(&world, number, text(number).repeat(16 * 1024)).await;
    }
    let folder = folder(&world).await;
    for number in 0..20 {
        let attr = stat(&world, folder, number).await;
        read(&world, attr.ino).await;
        rest(&world).await;
    }
    let lines = world.log.take();
    let gets = count(&lines, "get");
    assert!((21..=26).contains(&gets), "{gets}: {lines:#?}");
}

/// What a walk leaves out makes room for what it comes to.
#[tokio::test]
async fn who_reads_every_other_file_finds_those_ahead() {
    let world = CoreWorld::with_memory(CoreSettings::default(), 16 << 20);
    for number in 0..FILES {
        put(&world, number, text(number).repeat(4 * 1024)).await;
    }
    let folder = folder(&world).await;
    for number in (0..FILES).step_by(2) {
        let attr = stat(&world, folder, number).await;
        read(&world, attr.ino).await;
        rest(&world).await;
    }
    let used = world.core.stats().ahead.used;
    assert!(used > 35, "of 50: {used}");
}

/// Pages that the kernel keeps are not fetched again, though the cache has lost their bytes.
#[tokio::test]
async fn what_the_kernel_has_is_not_fetched_again() {
    let settings = CoreSettings {
        ttl: TimesToLive::all(NEVER),
        ..CoreSettings::default()
    };
    let world = CoreWorld::with_memory(settings, 0);
    // Four times what the smallest cache holds.
    for number in 0..FILES {
        put(&world, number, text(number).repeat(24 * 1024)).await;
    }
    let folder = folder(&world).await;
    for number in 0..FILES {
        let attr = stat(&world, folder, number).await;
        read(&world, attr.ino).await;
        rest(&world).await;
    }
    drop(world.log.take());
    for number in 0..FILES {
        let attr = stat(&world, folder, number).await;
        let flags = OpenFlags {
            access: Access::Read,
            ..OpenFlags::default()
        };
        // The pages are there: no read comes here.
        let opened = (world.core.open(&Context::ROOT, attr.ino, flags).await).unwrap();
        let released = world.core.release(&Context::ROOT, attr.ino, opened.handle);
        released.await.unwrap();
        rest(&world).await;
    }
    let lines = world.log.take();
    assert!(lines.is_empty(), "{lines:#?}");
}

/// A store that refuses to give bytes still tells attributes, and is not asked for all of the folder.
#[tokio::test]
async fn files_that_may_not_be_read_are_still_shown() {
    let (world, folder) = walked(CoreSettings::default(), 5).await;
    let refused = FaultRule::new(Effect::Fail(cloudmount_store::ErrorKind::Forbidden));
    world.fault.add(refused.on(Operation::Get));
    drop(world.log.take());
    for number in 5..FILES {
        let attr = stat(&world, folder, number).await;
        assert_eq!(attr.permissions, Permissions::from_mode(0o640), "{number}");
        rest(&world).await;
    }
    let lines = world.log.take();
    assert!(count(&lines, "get") < FILES / 2, "{lines:#?}");
}
