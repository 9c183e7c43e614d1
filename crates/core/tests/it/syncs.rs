//! What `fsync` of a folder, and the end, bring into the bucket.

use std::sync::Arc;

use cloudmount_core::{CoreSettings, Durable};
use cloudmount_stage::Scope;
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{Context, ErrorKind, OpenFlags, SyncScope, Vfs as _};

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

async fn mounted(fsync: Durable) -> Here {
    let settings = CoreSettings {
        fsync,
        ..CoreSettings::default()
    };
    Mounted::new(CoreWorld::with_settings(settings).quietly()).await
}

/// `fsync` of a folder, as soon as it returns.
async fn fsync(here: &Here, path: &str) -> cloudmount_vfs::Result<()> {
    let core = Arc::clone(&here.world().core);
    let ino = here.kernel().stat(path).await.unwrap().ino;
    let syncing = tokio::spawn(async move {
        let handle = core.opendir(&Context::ROOT, ino).await?.handle;
        let scope = SyncScope::DataAndAttributes;
        let synced = core.fsyncdir(&Context::ROOT, ino, handle, scope).await;
        core.releasedir(&Context::ROOT, ino, handle).await?;
        synced
    });
    here.world()
        .until("it returns", |_| syncing.is_finished())
        .await;
    syncing.await.unwrap()
}

#[tokio::test]
async fn fsync_of_a_folder_waits_for_its_names() {
    let here = mounted(Durable::Remote).await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    for name in ["gone", "moved", "kept"] {
        k.write_file(&format!("/d/{name}"), b"x").await.unwrap();
    }
    here.world().settle().await;
    k.write_file("/d/new", b"new").await.unwrap();
    k.unlink("/d/gone").await.unwrap();
    k.rename("/d/moved", "/moved").await.unwrap();
    k.mkdir("/d/sub", 0o755).await.unwrap();
    k.symlink("new", "/d/link").await.unwrap();
    fsync(&here, "/d").await.unwrap();
    let keys = here.keys().await;
    assert_eq!(keys, ["d/", "d/kept", "d/link", "d/new", "d/sub/", "moved"]);
    // What is not directly in it is none of its business.
    here.world().core.stage().pause();
    k.write_file("/d/sub/deep", b"x").await.unwrap();
    k.write_file("/elsewhere", b"x").await.unwrap();
    fsync(&here, "/d").await.unwrap();
    assert_eq!(here.world().core.stage().keys_of(&Scope::all()).len(), 2);
    here.world().core.stage().resume();
    here.world().settle().await;
    here.end().await;
}

/// The removal of the old name waits for the copy, and nobody would make it before the file is closed.
#[tokio::test]
async fn fsync_of_a_folder_that_an_open_file_left_returns() {
    let here = mounted(Durable::Remote).await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    k.write_file("/d/f", b"0123456789").await.unwrap();
    here.world().settle().await;
    let fd = k.open("/d/f", OpenFlags::WRITE).await.unwrap();
    k.write(fd, 2, b"xx").await.unwrap();
    k.rename("/d/f", "/f").await.unwrap();
    fsync(&here, "/d").await.unwrap();
    assert_eq!(here.keys().await, ["d/", "f"]);
    k.close(fd).await.unwrap();
    here.world().settle().await;
    let content = here.object("/f").await;
    assert_eq!(content.as_deref(), Some(&b"01xx456789"[..]));
    here.end().await;
}

/// Nobody waits for who has a file open in it.
#[tokio::test]
async fn fsync_of_a_folder_does_not_wait_for_what_is_open() {
    let here = mounted(Durable::Remote).await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    let fd = k.create("/d/f", 0o644, OpenFlags::WRITE).await.unwrap();
    k.write(fd, 0, b"half").await.unwrap();
    fsync(&here, "/d").await.unwrap();
    assert_eq!(here.keys().await, ["d/"]);
    k.close(fd).await.unwrap();
    here.end().await;
}

/// In the default mode it is the journal that survives, and no request is waited for.
#[tokio::test]
async fn fsync_of_a_folder_asks_nobody_in_local_mode() {
    let here = mounted(Durable::Local).await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    k.write_file("/d/f", b"x").await.unwrap();
    here.world().core.stage().pause();
    drop(here.world().log.take());
    fsync(&here, "/d").await.unwrap();
    assert_eq!(here.world().log.take(), [""; 0]);
    here.world().core.stage().resume();
    here.world().settle().await;
    here.end().await;
}

/// A refusal reaches who asked.
#[tokio::test]
async fn fsync_of_a_folder_tells_what_failed() {
    use cloudmount_store::ErrorKind as StoreErrorKind;
    use cloudmount_store::layer::{Effect, FaultRule, Operation};
    let here = mounted(Durable::Remote).await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    here.world().settle().await;
    let forbidden = Effect::Fail(StoreErrorKind::Forbidden);
    (here.world().fault).add(FaultRule::new(forbidden).on(Operation::Put));
    k.write_file("/d/f", b"x").await.unwrap();
    let error = fsync(&here, "/d").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    here.end().await;
}

/// The four modes: what waits, and what does not.
#[tokio::test]
async fn each_mode_waits_for_what_it_says() {
    for close in [Durable::Local, Durable::Remote] {
        for fsync in [Durable::Local, Durable::Remote] {
            let settings = CoreSettings {
                close,
                fsync,
                ..CoreSettings::default()
            };
            let here = Mounted::new(CoreWorld::with_settings(settings.clone()).quietly()).await;
            let (core, k) = (&here.world().core, here.kernel());
            let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.unwrap();
            k.write(fd, 0, b"synced").await.unwrap();
            let (ino, handle) = (k.ino_of(fd).unwrap(), k.handle_of(fd).unwrap());
            // What waits for nothing but this machine returns while nothing goes out.
            let paused = |durable| {
                if durable == Durable::Local {
                    core.stage().pause();
                } else {
                    core.stage().resume();
                }
            };
            let expected = |durable, content: &'static [u8], before| match durable {
                Durable::Local => before,
                Durable::Remote => Some(content),
            };
            paused(fsync);
            let syncing = tokio::spawn({
                let core = Arc::clone(core);
                async move {
                    let scope = SyncScope::DataAndAttributes;
                    core.fsync(&Context::ROOT, ino, handle, scope).await
                }
            });
            here.world()
                .until("fsync returns", |_| syncing.is_finished())
                .await;
            syncing.await.unwrap().unwrap();
            let synced = expected(fsync, b"synced", None);
            assert_eq!(here.object("/f").await.as_deref(), synced, "{settings:?}");
            k.write(fd, 0, b"closed").await.unwrap();
            paused(close);
            let closing = tokio::spawn({
                let core = Arc::clone(core);
                async move { core.flush(&Context::ROOT, ino, handle).await }
            });
            here.world()
                .until("close returns", |_| closing.is_finished())
                .await;
            closing.await.unwrap().unwrap();
            let closed = expected(close, b"closed", synced);
            assert_eq!(here.object("/f").await.as_deref(), closed, "{settings:?}");
            core.stage().resume();
            k.close(fd).await.unwrap();
            here.world().settle().await;
            let last = here.object("/f").await;
            assert_eq!(last.as_deref(), Some(&b"closed"[..]), "{settings:?}");
            here.end().await;
        }
    }
}
