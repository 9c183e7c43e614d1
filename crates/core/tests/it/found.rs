//! The times of a folder move when others make or remove names of it, as soon as that is found.

use std::time::Duration;

use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{SetAttr, SetTime, Timestamp};

use crate::world::CoreWorld;

async fn mtime(here: &Mounted<CoreWorld>) -> Timestamp {
    here.kernel().follow_changes();
    let attr = here.kernel().stat("/d").await.unwrap();
    assert!(attr.ctime >= attr.mtime);
    attr.mtime
}

async fn later(here: &Mounted<CoreWorld>) {
    here.world().clock().pass(Duration::from_secs(5)).await;
    here.kernel().names("/d").await.unwrap();
}

#[tokio::test]
async fn the_time_of_a_folder_moves_with_names_that_are_found() {
    // Of a folder that exists for its keys, and of one with a marker.
    for marker in [None, Some("/d/")] {
        let here = Mounted::new(CoreWorld::new()).await;
        if let Some(marker) = marker {
            here.put(marker, "").await;
        }
        for path in ["/d/a", "/d/b"] {
            here.put(path, "x").await;
        }
        here.wait_for_foreign_changes().await;
        here.kernel().names("/d").await.unwrap();
        let first = mtime(&here).await;
        later(&here).await;
        assert_eq!(mtime(&here).await, first, "nothing came or went");

        here.put("/d/a", "other").await;
        later(&here).await;
        assert_eq!(mtime(&here).await, first, "a content is no name");

        here.put("/d/c", "x").await;
        later(&here).await;
        let second = mtime(&here).await;
        assert!(second > first, "{marker:?}: {second:?}");

        here.delete("/d/a").await;
        later(&here).await;
        let third = mtime(&here).await;
        assert!(third > second, "{marker:?}: {third:?}");

        here.delete("/d/b").await;
        here.put("/d/d", "x").await;
        later(&here).await;
        let fourth = mtime(&here).await;
        assert!(fourth > third, "as many came as went");
        later(&here).await;
        assert_eq!(mtime(&here).await, fourth);

        drop(here.world().log.take());
        here.world().settle().await;
        let written = here.world().log.take();
        assert!(
            written.iter().all(|call| !call.starts_with("put")),
            "{written:?}"
        );
        here.end().await;
    }
}

#[tokio::test]
async fn a_time_that_is_set_counts_more_than_what_was_found() {
    let here = Mounted::new(CoreWorld::new()).await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    here.world().settle().await;
    here.put("/d/a", "x").await;
    later(&here).await;
    let set = Timestamp::new(981_173_106, 5);
    let times = SetAttr {
        mtime: Some(SetTime::At(set)),
        ..SetAttr::default()
    };
    k.setattr("/d", &times).await.unwrap();
    assert_eq!(mtime(&here).await, set);
    here.end().await;
}
