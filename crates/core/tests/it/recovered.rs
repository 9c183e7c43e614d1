//! Attributes that waited over a crash, and reach the bucket while somebody looks.

use std::time::Duration;

use cloudmount_core::{CoreSettings, TimesToLive};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::kernel::Scan;
use cloudmount_testkit::suite::Mounted;

use crate::world::CoreWorld;

/// What is known is believed for longer than any test takes.
async fn mounted() -> Mounted<CoreWorld> {
    let settings = CoreSettings {
        ttl: TimesToLive::all(Duration::from_secs(3600)),
        ..CoreSettings::default()
    };
    Mounted::new(CoreWorld::with_settings(settings).quietly()).await
}

/// The store may answer as it was before a change that waited since before the mount, when that is carried out
/// while the answer is on its way.
#[tokio::test]
async fn attributes_that_waited_over_a_crash_are_not_undone_by_a_late_answer() {
    const LATE: Duration = Duration::from_secs(5);
    let mut here = mounted().await;
    let k = here.kernel();
    k.write_file("/f", b"content").await.unwrap();
    here.world().settle().await;
    here.world().core.stage().pause();
    here.kernel().chmod("/f", 0o601).await.unwrap();
    here.remount().await;
    let late = FaultRule::new(Effect::Late(LATE));
    here.world().fault.add(late.on(Operation::Head).nth(1));
    let k = here.kernel();
    let (seen, ()) = futures::join!(k.stat("/f"), async {
        here.world().settle().await;
        here.world().clock().pass(LATE).await;
    });
    assert_eq!(seen.unwrap().permissions.bits(), 0o601);
}

/// What waited from before the mount is carried out after its names were listed, and before anybody asked for their
/// attributes: nobody here knows then what was stored.
#[tokio::test]
async fn what_was_stored_of_a_file_that_nobody_looked_at_is_asked_for() {
    let mut here = mounted().await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    k.mkdir("/d/e", 0o755).await.unwrap();
    for file in ["/d/changed", "/d/rewritten"] {
        k.write_file(file, b"content").await.unwrap();
        k.chmod(file, 0o602).await.unwrap();
    }
    k.symlink("target", "/d/link").await.unwrap();
    here.world().settle().await;
    here.world().core.stage().pause();
    let k = here.kernel();
    k.chmod("/d/changed", 0o601).await.unwrap();
    k.chmod("/d/e", 0o701).await.unwrap();
    k.write_file("/d/rewritten", b"other").await.unwrap();
    k.write_file("/d/new", b"new").await.unwrap();
    k.chmod("/d/new", 0o603).await.unwrap();
    here.remount().await;
    here.world().core.stage().pause();
    let k = here.kernel();
    let listed = k.scan("/d", Scan::Plain).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["changed", "e", "link", "new", "rewritten"]);
    assert_eq!(here.world().core.stage().status().totals.keys, 5, "with /d");
    here.world().core.stage().resume();
    here.world().settle().await;
    for (path, mode) in [
        ("/d/changed", 0o601),
        ("/d/e", 0o701),
        ("/d/rewritten", 0o602),
        ("/d/new", 0o603),
    ] {
        let found = k.lstat(path).await.unwrap().permissions.bits();
        assert_eq!(found, mode, "{path}: {found:o}");
    }
    // And nothing of it is lost by who changes something else.
    k.chown("/d/changed", Some(7), None).await.unwrap();
    here.world().settle().await;
    here.remount().await;
    let found = here.kernel().stat("/d/changed").await.unwrap();
    assert_eq!((found.permissions.bits(), found.uid), (0o601, 7));
}
