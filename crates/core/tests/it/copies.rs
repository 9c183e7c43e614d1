//! What was written here is read again without a request, as long as the stage keeps a copy.

use cloudmount_core::{CoreSettings, WriteCache};
use cloudmount_testkit::World as _;
use cloudmount_vfs::{
    Access, Context, InodeId, Name, OpenFlags, Opened, Permissions, Vfs as _, WriteMode,
};

use crate::world::CoreWorld;

fn body(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

async fn write(world: &CoreWorld, name: &str, data: &[u8]) -> InodeId {
    let (cx, name) = (Context::ROOT, Name::new(name).unwrap());
    let mode = Permissions::from_mode(0o644);
    let created = (world.core)
        .create(&cx, InodeId::ROOT, &name, mode, OpenFlags::WRITE)
        .await
        .unwrap();
    let (ino, opened) = (created.entry.attr.ino, created.opened);
    put(world, ino, opened, data).await;
    ino
}

/// Writes all of it from the start, and closes.
async fn put(world: &CoreWorld, ino: InodeId, opened: Opened, data: &[u8]) {
    let (cx, handle) = (Context::ROOT, opened.handle);
    for (at, piece) in (0..).step_by(1 << 20).zip(data.chunks(1 << 20)) {
        let core = &world.core;
        core.write(&cx, ino, handle, at, piece).await.unwrap();
    }
    world.core.flush(&cx, ino, handle).await.unwrap();
    world.core.release(&cx, ino, handle).await.unwrap();
}

async fn open(world: &CoreWorld, ino: InodeId, flags: OpenFlags) -> Opened {
    world.core.open(&Context::ROOT, ino, flags).await.unwrap()
}

/// All of the file, through a handle of its own.
async fn read(world: &CoreWorld, ino: InodeId) -> Vec<u8> {
    let (cx, handle) = (
        Context::ROOT,
        open(world, ino, OpenFlags::READ).await.handle,
    );
    let mut all = Vec::new();
    loop {
        let at = all.len() as u64;
        let piece = world.core.read(&cx, ino, handle, at, 1 << 17).await;
        let piece = piece.unwrap();
        if piece.is_empty() {
            break;
        }
        all.extend_from_slice(&piece);
    }
    world.core.release(&cx, ino, handle).await.unwrap();
    all
}

/// Waits until it is in the bucket, and what is kept of it is a copy.
async fn until_kept(world: &CoreWorld, bytes: usize) {
    world.settle().await;
    let is_kept = |world: &CoreWorld| kept_bytes(world) >= bytes as u64;
    world.until("it is kept", is_kept).await;
}

/// Requests for content since the last look.
fn gets(world: &CoreWorld) -> Vec<String> {
    let mut calls = world.log.take();
    calls.retain(|call| call.starts_with("get"));
    calls
}

fn worlds() -> [CoreWorld; 2] {
    [WriteCache::Keep, WriteCache::Bypass].map(|write_cache| {
        CoreWorld::with_settings(CoreSettings {
            write_cache,
            ..CoreSettings::default()
        })
    })
}

#[tokio::test]
async fn what_was_written_here_is_read_again_without_a_request() {
    for world in worlds() {
        for (name, length) in [("small", 5000), ("large", 20 << 20), ("empty", 0)] {
            let data = body(1, length);
            let ino = write(&world, name, &data).await;
            until_kept(&world, length).await;
            assert!(read(&world, ino).await == data, "{name}");
            assert_eq!(gets(&world), [""; 0], "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_added_to_a_file_that_was_written_here_costs_no_request_for_the_rest() {
    let world = CoreWorld::new();
    let mut data = body(1, 50_000);
    let ino = write(&world, "file", &data).await;
    until_kept(&world, data.len()).await;
    let append = OpenFlags {
        access: Access::Write,
        write_mode: WriteMode::Append,
        ..OpenFlags::default()
    };
    let opened = open(&world, ino, append).await;
    put(&world, ino, opened, b"and more").await;
    data.extend_from_slice(b"and more");
    until_kept(&world, data.len()).await;
    assert!(read(&world, ino).await == data);
    assert_eq!(gets(&world), [""; 0]);
}

#[tokio::test]
async fn what_someone_else_wrote_is_never_read_from_a_copy() {
    let world = CoreWorld::new();
    let ino = write(&world, "file", &body(1, 9000)).await;
    until_kept(&world, 9000).await;
    let (key, theirs) = (cloudmount_store::Key::new("file").unwrap(), body(2, 9000));
    let store = world.store().unwrap();
    let payload = bytes::Bytes::from(theirs.clone()).into();
    store.put(&key, payload, Default::default()).await.unwrap();
    world.clock().advance(std::time::Duration::from_secs(5));
    let name = Name::new("file").unwrap();
    world
        .core
        .lookup(&Context::ROOT, InodeId::ROOT, &name)
        .await
        .unwrap();
    assert!(read(&world, ino).await == theirs);
    let kept = kept_bytes(&world);
    assert_eq!(kept, 0, "it is known to be of no use");
}

fn kept_bytes(world: &CoreWorld) -> u64 {
    let budgets = world.core.stage().status().budgets;
    let kept = budgets.iter().find(|budget| budget.name == "kept bytes");
    kept.unwrap().used
}

#[tokio::test]
async fn where_a_copy_cannot_be_read_the_object_is() {
    for cut in [0, 3 << 20] {
        let world = CoreWorld::new();
        let data = body(1, 9 << 20);
        let ino = write(&world, "file", &data).await;
        until_kept(&world, data.len()).await;
        for path in world.local_files() {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(cut).unwrap();
        }
        assert!(read(&world, ino).await == data);
        assert_ne!(gets(&world), [""; 0]);
    }
}
