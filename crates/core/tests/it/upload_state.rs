//! The attribute that tells how far an upload is.

use std::time::Duration;

use cloudmount_store::ErrorKind as StoreErrorKind;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{ErrorKind, OpenFlags, XattrMode};

use crate::world::CoreWorld;

const STATE: &str = "user.cloudmount.upload";

async fn state(mounted: &Mounted<CoreWorld>, path: &str) -> String {
    let value = mounted.kernel().getxattr(path, STATE).await.unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

#[tokio::test]
async fn a_file_tells_how_far_its_upload_is() {
    let mounted = Mounted::new(CoreWorld::quiet()).await;
    let (k, world) = (mounted.kernel(), mounted.world());
    k.mkdir("/d", 0o755).await.unwrap();
    world.settle().await;
    let fd = k.create("/d/f", 0o644, OpenFlags::WRITE).await.unwrap();
    k.write(fd, 0, b"1234").await.unwrap();
    assert_eq!(state(&mounted, "/d/f").await, "open");
    assert_eq!(state(&mounted, "/d").await, "1 pending");
    // The one who answers is far away.
    (world.fault).add(FaultRule::new(Effect::Delay(Duration::from_secs(3600))).on(Operation::Put));
    k.close(fd).await.unwrap();
    assert_eq!(state(&mounted, "/d/f").await, "queued");
    world
        .until("under way", |world| {
            world.core.stage().status().totals.in_flight == 1
        })
        .await;
    assert_eq!(state(&mounted, "/d/f").await, "uploading 0%");
    world.fault.clear();
    world.clock().pass(Duration::from_secs(3600)).await;
    world.settle().await;
    drop(world.log.take());
    assert_eq!(state(&mounted, "/d/f").await, "clean");
    assert_eq!(state(&mounted, "/d").await, "clean");
    assert_eq!(state(&mounted, "/").await, "clean");
    assert_eq!(world.log.take(), [""; 0], "it asks nobody");
    mounted.end().await;
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason() {
    for (kind, word) in [
        (StoreErrorKind::Connection, "waiting: "),
        (StoreErrorKind::Forbidden, "failed: "),
    ] {
        let mounted = Mounted::new(CoreWorld::quiet()).await;
        let world = mounted.world();
        (world.fault).add(FaultRule::new(Effect::Fail(kind)).on(Operation::Put));
        (mounted.kernel()).write_file("/f", b"x").await.unwrap();
        world
            .until("a try", |world| {
                world.core.stage().status().keys[0].error.is_some()
            })
            .await;
        let told = state(&mounted, "/f").await;
        let reason = world.core.stage().status().keys[0].error.clone().unwrap();
        assert_eq!(told, format!("{word}{reason}"));
        world.fault.clear();
        world.core.stage().flush_all();
        world.settle().await;
        assert_eq!(state(&mounted, "/f").await, "clean");
        mounted.end().await;
    }
}

/// So that no copy of the file takes it along, and nobody believes to have changed it.
#[tokio::test]
async fn the_state_is_not_listed_nor_set_nor_stored() {
    let mounted = Mounted::new(CoreWorld::quiet()).await;
    let k = mounted.kernel();
    k.write_file("/f", b"x").await.unwrap();
    for path in ["/f", "/"] {
        assert_eq!(k.listxattr(path).await.unwrap(), [""; 0]);
        let set = k.setxattr(path, STATE, b"clean", XattrMode::Set).await;
        assert_eq!(set.unwrap_err().kind(), ErrorKind::NotPermitted);
        let removed = k.removexattr(path, STATE).await;
        assert_eq!(removed.unwrap_err().kind(), ErrorKind::NotPermitted);
    }
    k.setxattr("/f", "user.mine", b"1", XattrMode::Set)
        .await
        .unwrap();
    mounted.world().settle().await;
    let meta = (mounted.bucket().head(&mounted.key("/f")).await).unwrap();
    let stored = cloudmount_core::dialect::read(&meta.metadata);
    let names: Vec<_> = stored.xattrs.into_keys().collect();
    assert_eq!(names, ["user.mine"]);
    mounted.end().await;
}

/// What is open without a name will never be uploaded.
#[tokio::test]
async fn a_file_without_a_name_waits_for_nothing() {
    let mounted = Mounted::new(CoreWorld::quiet()).await;
    let k = mounted.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.unwrap();
    k.write(fd, 0, b"1").await.unwrap();
    let ino = k.ino_of(fd).unwrap();
    k.unlink("/f").await.unwrap();
    let value = cloudmount_vfs::Vfs::getxattr(&**k.vfs(), k.context(), ino, STATE).await;
    assert_eq!(value.unwrap(), "clean");
    k.close(fd).await.unwrap();
    mounted.end().await;
}
