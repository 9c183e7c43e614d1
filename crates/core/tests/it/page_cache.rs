//! What the page cache keeps of files that are written.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_core::{CoreSettings, DirectIo, Globs, WriteCache};
use cloudmount_store::{Key, PutOptions};
use cloudmount_testkit::World as _;
use cloudmount_vfs::{
    Access, CachePolicy, Context, InodeId, Name, OpenFlags, Opened, Permissions, Vfs as _,
};

use crate::world::CoreWorld;

fn world(write_cache: WriteCache) -> CoreWorld {
    CoreWorld::with_settings(CoreSettings {
        write_cache,
        ..CoreSettings::default()
    })
}

fn flags(access: Access) -> OpenFlags {
    OpenFlags {
        access,
        ..OpenFlags::default()
    }
}

fn truncating(access: Access) -> OpenFlags {
    OpenFlags {
        truncate: true,
        ..flags(access)
    }
}

async fn create(world: &CoreWorld, name: &str, access: Access) -> (InodeId, Opened) {
    let (cx, name) = (Context::ROOT, Name::new(name).unwrap());
    let mode = Permissions::from_mode(0o644);
    let created = (world.core)
        .create(&cx, InodeId::ROOT, &name, mode, flags(access))
        .await
        .unwrap();
    (created.entry.attr.ino, created.opened)
}

async fn open(world: &CoreWorld, ino: InodeId, flags: OpenFlags) -> Opened {
    world.core.open(&Context::ROOT, ino, flags).await.unwrap()
}

async fn close(world: &CoreWorld, ino: InodeId, opened: Opened) {
    let (cx, handle) = (Context::ROOT, opened.handle);
    world.core.flush(&cx, ino, handle).await.unwrap();
    world.core.release(&cx, ino, handle).await.unwrap();
}

#[tokio::test]
async fn what_is_written_stays_cached_where_that_is_set() {
    let world = world(WriteCache::Keep);
    let (ino, opened) = create(&world, "file", Access::Write).await;
    assert_eq!(opened.cache, CachePolicy::Keep);
    close(&world, ino, opened).await;
    world.settle().await;
    let opened = open(&world, ino, flags(Access::Read)).await;
    assert_eq!(opened.cache, CachePolicy::Keep);
}

/// The page cache has what was read before, and nothing of what is written, until all is closed.
#[tokio::test]
async fn what_is_written_whole_goes_past_the_page_cache() {
    let world = world(WriteCache::default());
    let (ino, writer) = create(&world, "file", Access::Write).await;
    assert_eq!(writer.cache, CachePolicy::Direct);
    let reader = open(&world, ino, flags(Access::Read)).await;
    assert_eq!(reader.cache, CachePolicy::Direct, "who reads meanwhile");
    close(&world, ino, writer).await;
    close(&world, ino, reader).await;
    let first = open(&world, ino, flags(Access::Read)).await;
    assert_eq!(first.cache, CachePolicy::Refresh, "the first who reads");
    let second = open(&world, ino, flags(Access::Read)).await;
    assert_eq!(second.cache, CachePolicy::Keep, "the second");
    let writer = open(&world, ino, truncating(Access::Write)).await;
    assert_eq!(writer.cache, CachePolicy::Keep, "there are readers");
    for opened in [first, second, writer] {
        close(&world, ino, opened).await;
    }
    let part = open(&world, ino, flags(Access::Write)).await;
    assert_eq!(part.cache, CachePolicy::Keep, "a part of it");
    close(&world, ino, part).await;
    let mapped = open(&world, ino, truncating(Access::ReadWrite)).await;
    assert_eq!(mapped.cache, CachePolicy::Keep, "it may be mapped");
    close(&world, ino, mapped).await;
    let whole = open(&world, ino, truncating(Access::Write)).await;
    assert_eq!(whole.cache, CachePolicy::Direct, "all of it");
}

#[tokio::test]
async fn who_reads_what_a_pattern_names_does_so_past_the_page_cache() {
    let world = CoreWorld::with_settings(CoreSettings {
        direct_io: DirectIo::new(Globs::parse("*.log,.git/*").unwrap(), Duration::ZERO),
        write_cache: WriteCache::Keep,
        ..CoreSettings::default()
    });
    for (name, cache) in [("a.log", CachePolicy::Direct), ("a", CachePolicy::Keep)] {
        let (ino, opened) = create(&world, name, Access::Write).await;
        assert_eq!(opened.cache, CachePolicy::Keep, "{name}: who writes");
        close(&world, ino, opened).await;
        for access in [Access::Read, Access::ReadWrite, Access::Read] {
            let opened = open(&world, ino, flags(access)).await;
            let wanted = match access {
                Access::Read => cache,
                _ => CachePolicy::Keep,
            };
            assert_eq!(opened.cache, wanted, "{name}, {access:?}");
            close(&world, ino, opened).await;
        }
    }
}

#[tokio::test]
async fn what_others_changed_is_read_past_the_page_cache_for_a_while() {
    const WINDOW: Duration = Duration::from_secs(60);
    let world = CoreWorld::with_settings(CoreSettings {
        direct_io: DirectIo::new(Globs::default(), WINDOW),
        write_cache: WriteCache::Keep,
        ..CoreSettings::default()
    });
    let (ino, opened) = create(&world, "file", Access::Write).await;
    close(&world, ino, opened).await;
    world.settle().await;
    let read = async || {
        let name = Name::new("file").unwrap();
        let entry = world.core.lookup(&Context::ROOT, InodeId::ROOT, &name);
        let ino = entry.await.unwrap().attr.ino;
        let opened = open(&world, ino, flags(Access::Read)).await;
        let cache = opened.cache;
        close(&world, ino, opened).await;
        cache
    };
    assert_eq!(read().await, CachePolicy::Keep, "changed here");
    world.clock().advance(Duration::from_secs(10));
    let key = Key::new("file").unwrap();
    let theirs = Bytes::from_static(b"theirs").into();
    let bucket = world.store().unwrap();
    bucket
        .put(&key, theirs, PutOptions::default())
        .await
        .unwrap();
    world.clock().advance(Duration::from_secs(10));
    assert_eq!(read().await, CachePolicy::Direct, "changed elsewhere");
    world.clock().advance(WINDOW);
    assert_eq!(read().await, CachePolicy::Refresh, "long ago");
    assert_eq!(read().await, CachePolicy::Keep, "and not again");
}
