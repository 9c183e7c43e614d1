//! What the page cache keeps of files that are written.

use cloudmount_core::{CoreSettings, WriteCache};
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
