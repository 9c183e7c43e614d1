//! Files that are changed in part, and whose object someone else replaces.

use std::time::Duration;

use cloudmount_stage::Reason;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::kernel::Fd;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{ErrorKind, OpenFlags};

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

/// A file of the bucket, to which six bytes were appended.
async fn appended(content: &'static [u8]) -> (Here, Fd) {
    let here = Mounted::new(CoreWorld::quiet()).await;
    here.put("/f", content).await;
    let k = here.kernel();
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.unwrap();
    k.write(fd, content.len() as u64, b"second").await.unwrap();
    (here, fd)
}

#[tokio::test]
async fn a_close_makes_a_small_file_whole() {
    let (here, fd) = appended(b"first ").await;
    let k = here.kernel();
    k.close(fd).await.unwrap();
    here.put("/f", "of someone else").await;
    here.world().settle().await;
    let mut contents = Vec::new();
    for key in here.keys().await {
        contents.push(here.object(&format!("/{key}")).await.unwrap());
    }
    contents.sort();
    assert_eq!(contents, ["first second", "of someone else"]);
    here.end().await;
}

#[tokio::test]
async fn what_was_read_before_makes_a_file_whole_without_its_object() {
    let (here, fd) = appended(b"first ").await;
    let k = here.kernel();
    assert_eq!(k.read(fd, 0, 99).await.unwrap(), "first second");
    here.put("/f", "of someone else").await;
    k.close(fd).await.unwrap();
    here.world().settle().await;
    let copy = (here.keys().await.into_iter()).find(|key| key.contains("(conflict from"));
    let copy = here.object(&format!("/{}", copy.unwrap())).await.unwrap();
    assert_eq!(copy, "first second");
    here.end().await;
}

#[tokio::test]
async fn a_close_that_comes_too_late_says_so_and_sets_aside_what_there_is() {
    let (here, fd) = appended(b"first ").await;
    let k = here.kernel();
    here.put("/f", "of someone else").await;
    let error = k.close(fd).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    here.world()
        .until("it is set aside", |world| {
            !world.core.stage().status().set_aside.is_empty()
        })
        .await;
    let status = here.world().core.stage().status();
    assert_eq!(status.totals.keys, 0, "nothing is stuck");
    let aside = &status.set_aside[0];
    assert_eq!(aside.reason, Reason::BaseLost);
    assert_eq!(
        (aside.key.as_deref(), &*aside.ranges),
        (Some("f"), &[(6, 12)][..])
    );
    let kept = std::fs::read(aside.path.as_ref().unwrap()).unwrap();
    assert_eq!(&kept[6..], b"second");
    here.wait_for_foreign_changes().await;
    k.follow_changes();
    assert_eq!(k.read_file("/f").await.unwrap(), "of someone else");
    assert_eq!(here.keys().await, ["f"]);
    here.end().await;
}

#[tokio::test]
async fn a_close_does_not_wait_for_a_dead_line() {
    let (here, fd) = appended(b"first ").await;
    let k = here.kernel();
    let world = here.world();
    let rule = FaultRule::new(Effect::Delay(Duration::from_secs(1000)));
    world.fault.add(rule.on(Operation::Get));
    let clock = world.clock();
    let closed = async {
        let close = k.close(fd);
        let mut close = std::pin::pin!(close);
        for _ in 0..100 {
            if let Some(done) = futures::FutureExt::now_or_never(&mut close) {
                return done;
            }
            clock.pass(Duration::from_millis(100)).await;
        }
        panic!("it waits");
    };
    closed.await.unwrap();
    world.fault.clear();
    clock.pass(Duration::from_secs(1000)).await;
    world.settle().await;
    assert_eq!(here.object("/f").await.unwrap(), "first second");
    here.end().await;
}

/// A rename takes what is there, also what someone else wrote just before: that is another content than the one which
/// was shown under the old name and may be open.
#[tokio::test]
async fn what_a_rename_took_of_others_is_another_content() {
    let here = Mounted::new(CoreWorld::quiet()).await;
    here.put("/a", "short").await;
    let k = here.kernel();
    let fd = k.open("/a", OpenFlags::READ).await.unwrap();
    assert_eq!(k.read(fd, 0, 99).await.unwrap(), "short");
    let before = k.stat("/a").await.unwrap();
    here.put("/a", "longer, and of someone else").await;
    k.rename("/a", "/b").await.unwrap();
    here.world().settle().await;
    let taken = "longer, and of someone else";
    assert_eq!(here.object("/b").await.unwrap(), taken);
    let error = k.read(fd, 0, 99).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    k.close(fd).await.unwrap();
    here.world().clock().pass(Duration::from_secs(2)).await;
    let after = k.stat("/b").await.unwrap();
    assert_eq!(after.size, taken.len() as u64);
    assert_ne!(
        after.content, before.content,
        "the kernel drops what it has"
    );
    assert_eq!(k.read_file("/b").await.unwrap(), taken);
    here.end().await;
}

/// The kernel cuts a file to the size that it knows after a direct write through the handle that failed beyond the end
/// (Linux, `fuse_direct_IO`): through a handle of a former content, that is none of this one's business.
#[tokio::test]
async fn through_a_handle_of_a_former_content_nothing_is_cut_or_extended() {
    for is_renamed in [false, true] {
        let here = Mounted::new(CoreWorld::quiet()).await;
        here.put("/a", "what was read here").await;
        let k = here.kernel();
        let fd = k.open("/a", OpenFlags::READ_WRITE).await.unwrap();
        assert_eq!(k.read(fd, 0, 99).await.unwrap(), "what was read here");
        here.put("/a", "theirs").await;
        let name = if is_renamed { "/b" } else { "/a" };
        if is_renamed {
            k.rename("/a", "/b").await.unwrap();
            here.world().settle().await;
        } else {
            here.wait_for_foreign_changes().await;
            k.follow_changes();
            k.stat("/a").await.unwrap();
        }
        let written = k.write(fd, 18, b"more").await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Stale);
        let room = k.fallocate(fd, 0, 18).await;
        assert_eq!(room.unwrap_err().kind(), ErrorKind::Stale);
        for size in [18, 3, 0] {
            let cut = k.ftruncate(fd, size).await;
            assert_eq!(cut.unwrap_err().kind(), ErrorKind::Stale, "to {size}");
        }
        k.close(fd).await.unwrap();
        here.world().settle().await;
        assert_eq!(here.object(name).await.unwrap(), "theirs");
        assert_eq!(k.read_file(name).await.unwrap(), "theirs");
        let keys: &[&str] = if is_renamed { &["a", "b"] } else { &["a"] };
        assert_eq!(here.keys().await, keys, "theirs keeps the name");
        // Through a handle of its own, or by its name, it is cut as ever.
        let fd = k.open(name, OpenFlags::READ_WRITE).await.unwrap();
        k.ftruncate(fd, 5).await.unwrap();
        k.close(fd).await.unwrap();
        k.truncate(name, 3).await.unwrap();
        here.world().settle().await;
        assert_eq!(here.object(name).await.unwrap(), "the");
        here.end().await;
    }
}
