//! Attributes that somebody changes in the second in which the object was written: its tag stays, and its date.

use std::time::Duration;

use cloudmount_core::feed::News;
use cloudmount_core::{Attributes, CoreSettings, TimesToLive};
use cloudmount_store::{CopyMetadata, CopyOptions, CopySource, Precondition};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;

use crate::world::CoreWorld;

const SECOND: Duration = Duration::from_secs(1);
const MODE: &str = "file-permissions";

async fn coarse(ttl: Duration) -> Mounted<CoreWorld> {
    let settings = CoreSettings {
        ttl: TimesToLive::all(ttl),
        ..CoreSettings::default()
    };
    Mounted::new(CoreWorld::coarse(settings).quietly()).await
}

/// Somebody else gives an object another mode, as s3fs does: by a copy onto itself.
async fn foreign_chmod(here: &Mounted<CoreWorld>, path: &str, mode: &str) {
    let (bucket, key) = (here.bucket(), here.key(path));
    let mut metadata = bucket.head(&key).await.unwrap().metadata;
    metadata.user.insert(MODE.to_owned(), mode.to_owned());
    let source = CopySource {
        key: key.clone(),
        if_match: None,
    };
    let options = CopyOptions {
        metadata: CopyMetadata::Replace(metadata),
        precondition: Precondition::None,
        source_bytes: None,
    };
    bucket.copy(source, &key, options).await.unwrap();
}

async fn mode(here: &Mounted<CoreWorld>, path: &str) -> u16 {
    here.kernel().stat(path).await.unwrap().permissions.bits()
}

async fn wait(here: &Mounted<CoreWorld>, time: Duration) {
    here.world().clock().pass(time).await;
    here.kernel().follow_changes();
}

/// Requests for single objects since the last call.
fn heads(here: &Mounted<CoreWorld>) -> usize {
    let calls = here.world().log.take();
    calls.iter().filter(|call| call.starts_with("head")).count()
}

/// Two seconds after a write whatever comes next has another date, and what came before is asked for, once.
#[tokio::test]
async fn attributes_that_others_change_in_the_second_of_our_write_are_seen() {
    let here = coarse(SECOND).await;
    let k = here.kernel();
    k.write_file("/f", b"ours").await.unwrap();
    k.chmod("/f", 0o600).await.unwrap();
    here.world().settle().await;
    foreign_chmod(&here, "/f", "0100640").await;
    let before = here.bucket().head(&here.key("/f")).await.unwrap().version;
    wait(&here, SECOND).await;
    k.names("/").await.unwrap();
    wait(&here, 3 * SECOND).await;
    drop(here.world().log.take());
    assert_eq!(mode(&here, "/f").await, 0o640);
    assert_eq!(heads(&here), 1);
    for _ in 0..3 {
        wait(&here, 2 * SECOND).await;
        assert_eq!(mode(&here, "/f").await, 0o640);
    }
    assert_eq!(heads(&here), 0, "once for each write");
    let after = here.bucket().head(&here.key("/f")).await.unwrap().version;
    assert_eq!(before, after, "its tag tells nothing");
    here.end().await;
}

/// What was asked for in the second in which others wrote it may change once more, too.
#[tokio::test]
async fn attributes_that_others_change_right_after_we_asked_are_seen() {
    let here = coarse(SECOND).await;
    here.put("/f", "theirs").await;
    foreign_chmod(&here, "/f", "0100600").await;
    assert_eq!(mode(&here, "/f").await, 0o600);
    foreign_chmod(&here, "/f", "0100640").await;
    wait(&here, 3 * SECOND).await;
    assert_eq!(mode(&here, "/f").await, 0o640);
    drop(here.world().log.take());
    wait(&here, 3 * SECOND).await;
    assert_eq!(mode(&here, "/f").await, 0o640);
    assert_eq!(heads(&here), 0);
    here.end().await;
}

/// Of many files that are written at once, the last ones are asked for when they are listed later, together and once.
#[tokio::test]
async fn many_that_were_written_at_once_are_not_all_asked_for() {
    let here = coarse(SECOND).await;
    let k = here.kernel();
    for number in 0..600 {
        k.write_file(&format!("/{number:03}"), b"x").await.unwrap();
    }
    here.world().settle().await;
    wait(&here, 3 * SECOND).await;
    drop(here.world().log.take());
    for asked in [256, 0] {
        for number in 0..600 {
            assert_eq!(mode(&here, &format!("/{number:03}")).await, 0o644);
        }
        assert_eq!(heads(&here), asked);
        wait(&here, 3 * SECOND).await;
    }
    here.end().await;
}

#[tokio::test]
async fn who_is_shown_listings_has_nothing_asked_for() {
    let settings = CoreSettings {
        attributes: Attributes::Listing,
        ..CoreSettings::default()
    };
    let here = Mounted::new(CoreWorld::coarse(settings).quietly()).await;
    here.kernel().write_file("/f", b"ours").await.unwrap();
    here.world().settle().await;
    wait(&here, 3 * SECOND).await;
    drop(here.world().log.take());
    here.kernel().stat("/f").await.unwrap();
    assert_eq!(heads(&here), 0);
    here.end().await;
}

/// A feed tells of other attributes with the tag of what was written here: only the first such news is our own.
#[tokio::test]
async fn attributes_that_a_feed_tells_of_are_seen_at_once() {
    let here = coarse(Duration::from_secs(3600)).await;
    let k = here.kernel();
    k.write_file("/f", b"ours").await.unwrap();
    here.world().settle().await;
    let tag = here.bucket().head(&here.key("/f")).await.unwrap().version;
    let news = [News::Put {
        key: "f".to_owned(),
        tag: Some(tag.as_str().to_owned()),
    }];
    here.world().core.hear(&news);
    k.follow_changes();
    drop(here.world().log.take());
    assert_eq!(mode(&here, "/f").await, 0o644);
    assert!(here.world().log.take().is_empty(), "it is our own");
    foreign_chmod(&here, "/f", "0100640").await;
    here.world().core.hear(&news);
    k.follow_changes();
    assert_eq!(mode(&here, "/f").await, 0o640);
    here.end().await;
}
