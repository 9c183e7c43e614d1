//! The kernel's own part: what it keeps, for how long, what it gives back, and what it refuses.

use std::time::Duration;

use cloudmount_store::{Payload, PutOptions};
use cloudmount_vfs::{Access, AccessMask, OpenFlags, WriteMode};

use super::*;
use crate::model::{Model, ModelWorld, Settings};
use crate::{ManualClock, World};

const SECOND: Duration = Duration::from_secs(1);

async fn kernel(options: Options) -> (FakeKernel<Model>, Arc<Model>, ManualClock) {
    let world = ModelWorld::new(Settings {
        ttl: SECOND,
        ..Settings::default()
    });
    let (model, clock) = (world.vfs(), world.clock());
    let kernel = FakeKernel::with_options(Arc::clone(&model), Arc::new(clock.clone()), options);
    (kernel.await.unwrap(), model, clock)
}

fn quiet() -> Options {
    Options {
        interrupt: Interrupt::Never,
        ..Options::default()
    }
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().unwrap().kind()
}

/// Puts an object past the kernel, without a word to it.
async fn put(model: &Model, key: &str, data: &'static [u8]) {
    let key = cloudmount_store::Key::new(key).unwrap();
    let payload = Payload::from(bytes::Bytes::from_static(data));
    model
        .bucket()
        .put(&key, payload, PutOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn names_and_attributes_are_kept_as_long_as_they_may() {
    let (first, model, clock) = kernel(quiet()).await;
    // The first kernel took the stream of changes: the second lives by its TTLs alone.
    let clock_too = Arc::new(clock.clone());
    let second = FakeKernel::with_options(Arc::clone(&model), clock_too, quiet())
        .await
        .unwrap();
    first.write_file("/f", b"one").await.unwrap();
    assert_eq!(second.stat("/f").await.unwrap().size, 3);
    first.truncate("/f", 10).await.unwrap();
    clock.advance(SECOND - Duration::from_millis(1));
    assert_eq!(second.stat("/f").await.unwrap().size, 3);
    clock.advance(Duration::from_millis(1));
    assert_eq!(second.stat("/f").await.unwrap().size, 10);
    first.unlink("/f").await.unwrap();
    assert!(second.exists("/f").await.unwrap());
    clock.advance(SECOND);
    assert!(!second.exists("/f").await.unwrap());
    first.unmount().await.unwrap();
    second.unmount().await.unwrap();
    assert_eq!(
        (model.lookups(), model.forgotten_in_excess(), model.inodes()),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn changes_are_followed_at_once() {
    let (k, model, _) = kernel(quiet()).await;
    k.write_file("/f", b"ours").await.unwrap();
    assert_eq!(k.read_file("/f").await.unwrap(), "ours");
    put(&model, "f", b"theirs, longer").await;
    assert_eq!(k.stat("/f").await.unwrap().size, 14);
    assert_eq!(k.read_file("/f").await.unwrap(), "theirs, longer");
    for number in 0..2_000_u32 {
        put(&model, &format!("many/{number}"), b"").await;
    }
    assert_eq!(k.scan("/many", Scan::Plain).await.unwrap().len(), 2_000);
    k.unmount().await.unwrap();
}

#[tokio::test]
async fn an_inode_is_given_back_when_nothing_holds_it() {
    let (k, model, _) = kernel(quiet()).await;
    k.mkdir("/d", 0o755).await.unwrap();
    k.write_file("/d/f", b"x").await.unwrap();
    assert_eq!((k.inodes(), model.lookups()), (3, 2));
    let fd = k.open("/d/f", OpenFlags::READ).await.unwrap();
    k.unlink("/d/f").await.unwrap();
    assert_eq!((k.inodes(), model.lookups()), (3, 1 + 1));
    k.close(fd).await.unwrap();
    assert_eq!((k.inodes(), model.lookups(), model.inodes()), (2, 1, 2));
    k.stat("/d/..").await.unwrap();
    assert_eq!(model.lookups(), 2, "the root was looked up as `..`");
    k.drop_caches();
    assert_eq!((k.inodes(), model.lookups()), (1, 1));
    k.unmount().await.unwrap();
    assert_eq!((model.lookups(), model.open_handles()), (0, 0));
}

#[tokio::test]
async fn everything_known_below_a_directory_moves_with_it() {
    let (k, model, _) = kernel(quiet()).await;
    for path in ["/d", "/d/e", "/to"] {
        k.mkdir(path, 0o755).await.unwrap();
    }
    k.write_file("/d/e/f", b"x").await.unwrap();
    let before = (k.inodes(), model.lookups());
    k.rename("/d", "/to/d").await.unwrap();
    assert_eq!(k.read_file("/to/d/e/f").await.unwrap(), "x");
    assert_eq!(
        (k.inodes(), model.lookups()),
        before,
        "nothing was looked up again"
    );
    k.unmount().await.unwrap();
    assert_eq!(model.lookups(), 0);
}

#[tokio::test]
async fn descriptors_are_used_again_and_shared() {
    let (k, model, _) = kernel(quiet()).await;
    let flags = OpenFlags::READ_WRITE;
    let zero = k.create("/a", 0o644, flags).await.unwrap();
    let one = k.create("/b", 0o644, flags).await.unwrap();
    let two = k.dup(zero).unwrap();
    assert_eq!((zero.number(), one.number(), two.number()), (0, 1, 2));
    k.close(zero).await.unwrap();
    assert_eq!(model.open_handles(), 2, "the duplicate keeps it open");
    assert_eq!(k.create("/c", 0o644, flags).await.unwrap().number(), 0);
    k.close(two).await.unwrap();
    assert_eq!(model.open_handles(), 2);
    assert_eq!(kind(k.close(two).await), ErrorKind::BadHandle);
    assert_eq!(kind(k.read(two, 0, 1).await), ErrorKind::BadHandle);
    k.unmount().await.unwrap();
    assert_eq!(model.open_handles(), 0, "unmounting closes what is open");
}

#[tokio::test]
async fn the_umask_takes_bits_away() {
    let (k, _, _) = kernel(Options {
        umask: 0o077,
        ..quiet()
    })
    .await;
    k.mkdir("/d", 0o777).await.unwrap();
    k.mknod("/f", 0o666).await.unwrap();
    assert_eq!(k.stat("/d").await.unwrap().permissions.bits(), 0o700);
    assert_eq!(k.stat("/f").await.unwrap().permissions.bits(), 0o600);
    k.unmount().await.unwrap();
}

#[tokio::test]
async fn large_requests_are_cut() {
    let (k, _, _) = kernel(Options {
        request_bytes_max: 10,
        ..quiet()
    })
    .await;
    let data: Vec<u8> = (0..95).collect();
    k.write_file("/f", &data).await.unwrap();
    assert_eq!(k.read_file("/f").await.unwrap(), data);
    let append = OpenFlags {
        access: Access::Write,
        write_mode: WriteMode::Append,
        ..OpenFlags::READ
    };
    let fd = k.open("/f", append).await.unwrap();
    assert_eq!(k.write(fd, 0, &data).await.unwrap(), 95);
    k.close(fd).await.unwrap();
    assert_eq!(k.read_file("/f").await.unwrap(), [&*data, &*data].concat());
    k.unmount().await.unwrap();
}

#[tokio::test]
async fn permissions_are_checked_if_so_set() {
    let (root, _, _) = kernel(Options {
        permissions: Permissions::Checked,
        ..quiet()
    })
    .await;
    let alice = root.as_user(Context {
        uid: 1,
        gid: 1,
        pid: 1,
    });
    let bob = root.as_user(Context {
        uid: 2,
        gid: 2,
        pid: 2,
    });
    assert_eq!(
        kind(alice.mkdir("/d", 0o755).await),
        ErrorKind::PermissionDenied
    );
    root.chmod("/", 0o1777).await.unwrap();
    alice.mkdir("/d", 0o700).await.unwrap();
    alice.write_file("/d/f", b"mine").await.unwrap();
    assert_eq!(kind(bob.stat("/d/f").await), ErrorKind::PermissionDenied);
    assert_eq!(kind(bob.names("/d").await), ErrorKind::PermissionDenied);
    assert_eq!(kind(bob.rename("/d", "/e").await), ErrorKind::NotPermitted);
    assert_eq!(kind(bob.chmod("/d", 0o777).await), ErrorKind::NotPermitted);
    alice.chmod("/d", 0o755).await.unwrap();
    assert_eq!(bob.read_file("/d/f").await.unwrap(), "mine");
    assert_eq!(
        kind(bob.open("/d/f", OpenFlags::WRITE).await),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        kind(bob.truncate("/d/f", 0).await),
        ErrorKind::PermissionDenied
    );
    assert_eq!(kind(bob.unlink("/d/f").await), ErrorKind::PermissionDenied);
    assert_eq!(
        kind(alice.chown("/d/f", Some(2), None).await),
        ErrorKind::NotPermitted
    );
    let write = AccessMask {
        write: true,
        ..AccessMask::default()
    };
    assert_eq!(
        kind(bob.access("/d/f", write).await),
        ErrorKind::PermissionDenied
    );
    root.unlink("/d/f").await.unwrap();
    root.unmount().await.unwrap();
}

#[tokio::test]
async fn the_same_seed_interrupts_the_same_operations() {
    let seeds = [1, 1, 2].map(|seed| {
        let mut state = State::new(seed);
        (0..64).map(|_| state.roll() >> 63).collect::<Vec<_>>()
    });
    assert_eq!(seeds[0], seeds[1]);
    assert_ne!(seeds[0], seeds[2]);
    let ones: u64 = seeds[0].iter().sum();
    assert!((16..48).contains(&ones), "about half: {ones} of 64");
}

#[tokio::test]
async fn a_stream_left_open_is_told_at_unmount() {
    use futures::FutureExt;
    let (k, _, _) = kernel(quiet()).await;
    let stream = k.opendir("/", Scan::Plain).await.unwrap();
    let unmounted = std::panic::AssertUnwindSafe(k.unmount())
        .catch_unwind()
        .await;
    let said = unmounted.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("still in use"), "{said}");
    drop(stream);
}
