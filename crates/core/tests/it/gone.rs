//! Folders that are gone here, while the bucket still loses what was below them.
//!
//! Law: a folder that was renamed or removed here is not shown again, however late the store answers, unless someone
//! else puts something there.

use std::time::Duration;

use cloudmount_store::Key;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

/// How long what is below the folder stays in the bucket, and how long an answer takes that was asked for before.
/// Together less than how long a removed name is remembered: 15 minutes.
const STAYS: Duration = Duration::from_secs(3 * 60);
const LATE: Duration = Duration::from_secs(10 * 60);

/// Which of the requests that one call makes is answered late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slow {
    /// The listing of the parent.
    Parent,
    /// The look into the folder.
    Folder,
}

const SLOW: [Slow; 2] = [Slow::Parent, Slow::Folder];

/// Whether the folders have objects of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Markers {
    There,
    Missing,
}

const CASES: [(Slow, Markers); 4] = [
    (Slow::Parent, Markers::There),
    (Slow::Folder, Markers::There),
    (Slow::Parent, Markers::Missing),
    (Slow::Folder, Markers::Missing),
];

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn is_there(here: &Here, text: &str) -> bool {
    let bucket = here.world().store().unwrap();
    bucket.head(&key(text)).await.is_ok()
}

/// Waits until nothing is to be done for a key any more.
async fn done(here: &Here, text: &str) {
    let is_done = |world: &CoreWorld| world.core.stage().pending(&key(text)).is_none();
    here.world().until("it is done", is_done).await;
    // The event.
    here.world().clock().pass(Duration::ZERO).await;
}

/// `/d/x/f`, in the bucket, with or without markers.
async fn mounted(markers: Markers) -> Here {
    let mut here = Mounted::new(CoreWorld::quiet()).await;
    let k = here.kernel();
    if markers == Markers::There {
        k.mkdir("/d", 0o755).await.unwrap();
        k.mkdir("/d/x", 0o755).await.unwrap();
        k.write_file("/d/x/f", b"content").await.unwrap();
        here.world().settle().await;
    } else {
        here.put("d/x/f", &b"content"[..]).await;
    }
    here.remount().await;
    here
}

/// Makes `d/x/f` stay in the bucket for a while.
fn hold(here: &Here, operation: Operation) {
    let rule = FaultRule::new(Effect::Delay(STAYS)).on(operation);
    here.world().fault.add(rule.key(key("d/x/f")));
}

/// What `/d` holds, asked while `d/x/f` is there, and answered when it is not any more.
async fn names_late(here: &Here, slow: Slow) -> Vec<String> {
    let world = here.world();
    // Nothing that was listed before is believed.
    world.clock().pass(Duration::from_secs(2)).await;
    let k = here.kernel();
    k.stat("/d").await.unwrap();
    drop(world.log.take());
    let late = FaultRule::new(Effect::Late(LATE)).on(Operation::List);
    let injected = world.fault.injected();
    let (nth, asked) = match slow {
        Slow::Parent => (1, "list d/ by-folder"),
        Slow::Folder => (2, "list d/x/"),
    };
    world.fault.add(late.nth(nth));
    let (shown, ()) = futures::join!(k.names("/d"), async {
        let is_asked = |world: &CoreWorld| world.fault.injected() > injected;
        world.until("it is asked", is_asked).await;
        assert!(is_there(here, "d/x/f").await, "{slow:?}");
        let lines = world.log.take();
        let last = lines.iter().rfind(|line| line.starts_with("list"));
        assert_eq!(last.unwrap(), asked);
        world.clock().pass(STAYS).await;
        done(here, "d/x/f").await;
        assert!(!is_there(here, "d/x/f").await, "{slow:?}");
        world.clock().pass(LATE).await;
    });
    shown.unwrap()
}

/// Its marker is gone, and known to be, before the last key below it is.
#[tokio::test]
async fn a_folder_that_was_renamed_is_not_shown_by_a_late_answer() {
    for (slow, markers) in CASES {
        let here = mounted(markers).await;
        let k = here.kernel();
        assert_eq!(k.names("/d/x").await.unwrap(), ["f"]);
        hold(&here, Operation::Copy);
        k.rename("/d/x", "/d/y").await.unwrap();
        done(&here, "d/x/").await;
        assert_eq!(names_late(&here, slow).await, ["y"], "{slow:?} {markers:?}");
        here.world().settle().await;
        assert_eq!(k.names("/d/y").await.unwrap(), ["f"]);
        here.end().await;
    }
}

/// The same of one that was emptied and removed.
#[tokio::test]
async fn a_folder_that_was_removed_is_not_shown_by_a_late_answer() {
    for slow in SLOW {
        let here = mounted(Markers::There).await;
        let k = here.kernel();
        hold(&here, Operation::Delete);
        k.unlink("/d/x/f").await.unwrap();
        // Its removal is on its way alone.
        here.world().clock().pass(Duration::from_secs(1)).await;
        k.rmdir("/d/x").await.unwrap();
        done(&here, "d/x/").await;
        let none: [&str; 0] = [];
        assert_eq!(names_late(&here, slow).await, none, "{slow:?}");
        here.end().await;
    }
}

/// What someone else puts into it meanwhile is shown.
#[tokio::test]
async fn a_folder_that_was_renamed_is_shown_again_if_others_put_something_there() {
    for (slow, markers) in CASES {
        let here = mounted(markers).await;
        let k = here.kernel();
        assert_eq!(k.names("/d/x").await.unwrap(), ["f"]);
        hold(&here, Operation::Copy);
        k.rename("/d/x", "/d/y").await.unwrap();
        done(&here, "d/x/").await;
        here.put("d/x/theirs", &b"content"[..]).await;
        assert_eq!(
            names_late(&here, slow).await,
            ["x", "y"],
            "{slow:?} {markers:?}"
        );
        here.end().await;
    }
}

/// It was renamed before a crash: the mount knows nothing of it but what waits.
#[tokio::test]
async fn a_folder_that_was_renamed_before_a_crash_is_not_shown_by_a_late_answer() {
    for slow in SLOW {
        let mut here = mounted(Markers::There).await;
        here.world().core.stage().pause();
        here.kernel().rename("/d/x", "/d/y").await.unwrap();
        here.remount().await;
        hold(&here, Operation::Copy);
        done(&here, "d/x/").await;
        assert_eq!(names_late(&here, slow).await, ["y"], "{slow:?}");
        here.end().await;
    }
}
