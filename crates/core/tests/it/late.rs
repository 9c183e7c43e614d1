//! Listings that are late show what was done here all the same, and what others did as soon as they list it.

use std::time::Duration;

use cloudmount_core::{Attributes, CoreSettings, TimesToLive};
use cloudmount_store::{ListRequest, Store as _};
use cloudmount_testkit::dialect::LAG;
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{Dialect, World as _};
use cloudmount_vfs::{ErrorKind, OpenFlags};

use crate::world::CoreWorld;

/// Nothing is believed: each question is asked of listings that are late.
async fn mounted() -> Mounted<CoreWorld> {
    mounted_with(CoreSettings::default()).await
}

async fn mounted_with(settings: CoreSettings) -> Mounted<CoreWorld> {
    let settings = CoreSettings {
        ttl: TimesToLive::all(Duration::ZERO),
        ..settings
    };
    let world = CoreWorld::speaking(Dialect::Lags, settings).quietly();
    let here = Mounted::new(world).await;
    // What the endpoint honours is found out with the first write.
    here.kernel().write_file("/probed", b"").await.unwrap();
    settled(&here).await;
    here
}

/// All is in the bucket, and listed.
async fn settled(here: &Mounted<CoreWorld>) {
    here.world().settle().await;
    here.world().clock().pass(LAG).await;
    drop(here.world().log.take());
}

/// All is in the bucket, and what was last put there is not listed: the clock stands.
async fn uploaded(here: &Mounted<CoreWorld>, keys: &[&str], is_there: IsThere) {
    let memory = here.bucket();
    here.world().core.settle();
    for _ in 0..2_000 {
        let listed = memory.list(ListRequest::default()).await.unwrap();
        let has = |key: &&str| listed.objects.iter().any(|one| one.key.as_str() == *key);
        let done = match is_there {
            IsThere::Yes => keys.iter().all(has),
            IsThere::No => !keys.iter().any(has),
        };
        if done && here.world().core.stage().status().totals.keys == 0 {
            // Events of commits.
            here.world().clock().pass(Duration::ZERO).await;
            return;
        }
        here.world().clock().pass(Duration::from_millis(2)).await;
        real_moment().await;
    }
    panic!("{:#?}", here.world().core.stage().status());
}

#[derive(Clone, Copy)]
enum IsThere {
    Yes,
    No,
}

#[expect(
    clippy::disallowed_methods,
    reason = "threads that read files take the machine's time, not the test's"
)]
async fn real_moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What the bucket lists now.
async fn listed(here: &Mounted<CoreWorld>) -> Vec<String> {
    let page = here.world().log.list(ListRequest::default()).await.unwrap();
    drop(here.world().log.take());
    let keys = page.objects.into_iter().map(|one| one.key.to_string());
    keys.collect()
}

fn heads(here: &Mounted<CoreWorld>) -> usize {
    let lines = here.world().log.take();
    lines.iter().filter(|line| line.starts_with("head")).count()
}

#[tokio::test]
async fn a_folder_takes_along_what_is_not_listed_yet() {
    let here = mounted().await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    k.mkdir("/d/sub", 0o755).await.unwrap();
    settled(&here).await;
    for path in ["/d/a", "/d/sub/b"] {
        k.write_file(path, path.as_bytes()).await.unwrap();
    }
    uploaded(&here, &["d/a", "d/sub/b"], IsThere::Yes).await;
    assert_eq!(listed(&here).await, ["d/", "d/sub/", "probed"]);
    k.drop_caches();
    assert_eq!(k.names("/d").await.unwrap(), ["a", "sub"]);
    assert_eq!(k.names("/d/sub").await.unwrap(), ["b"]);
    k.rename("/d", "/e").await.unwrap();
    settled(&here).await;
    k.drop_caches();
    assert_eq!(
        here.keys().await,
        ["e/", "e/a", "e/sub/", "e/sub/b", "probed"]
    );
    assert_eq!(k.read_file("/e/sub/b").await.unwrap(), "/d/sub/b");
    here.end().await;
}

#[tokio::test]
async fn what_went_is_not_shown_by_a_listing_that_is_late() {
    let here = mounted().await;
    let k = here.kernel();
    for folder in ["/d", "/gone", "/gone/sub"] {
        k.mkdir(folder, 0o755).await.unwrap();
    }
    for path in ["/d/a", "/gone/sub/b", "/c"] {
        k.write_file(path, path.as_bytes()).await.unwrap();
    }
    settled(&here).await;
    k.rename("/d", "/e").await.unwrap();
    k.unlink("/gone/sub/b").await.unwrap();
    k.rmdir("/gone/sub").await.unwrap();
    k.rmdir("/gone").await.unwrap();
    k.unlink("/c").await.unwrap();
    uploaded(
        &here,
        &["d/", "d/a", "gone/", "gone/sub/", "gone/sub/b", "c"],
        IsThere::No,
    )
    .await;
    let late = listed(&here).await;
    assert!(late.iter().any(|key| key == "d/a"), "{late:?}");
    assert!(late.iter().any(|key| key == "c"), "{late:?}");
    k.drop_caches();
    assert_eq!(k.names("/").await.unwrap(), ["e", "probed"]);
    for path in ["/d", "/gone", "/c"] {
        let missing = k.stat(path).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{path}");
    }
    // Its place is free at once.
    k.mkdir("/d", 0o755).await.unwrap();
    assert!(k.names("/d").await.unwrap().is_empty());
    here.end().await;
}

#[tokio::test]
async fn a_reader_goes_on_though_an_older_object_is_listed() {
    let here = mounted().await;
    let k = here.kernel();
    k.write_file("/f", b"older").await.unwrap();
    settled(&here).await;
    k.write_file("/f", b"new").await.unwrap();
    here.world().core.settle();
    here.world()
        .until("it is uploaded", |world| {
            world.core.stage().status().totals.keys == 0
        })
        .await;
    let fd = k.open("/f", OpenFlags::READ).await.unwrap();
    k.names("/").await.unwrap();
    assert_eq!(k.read(fd, 0, 10).await.unwrap(), "new");
    assert_eq!(k.stat("/f").await.unwrap().size, 3);
    k.close(fd).await.unwrap();
    here.end().await;
}

/// What others removed or put is asked for once, and of many only the last ones.
#[tokio::test]
async fn what_others_changed_costs_a_question_each_once() {
    /// More than are asked for at once.
    const FILES: usize = 200;
    let here = mounted_with(CoreSettings {
        attributes: Attributes::Listing,
        ..CoreSettings::default()
    })
    .await;
    let k = here.kernel();
    for n in 0..FILES {
        k.write_file(&format!("/d-{n:03}"), b"x").await.unwrap();
    }
    settled(&here).await;
    k.unlink("/d-000").await.unwrap();
    settled(&here).await;
    assert_eq!(k.names("/").await.unwrap().len(), FILES);
    assert_eq!(heads(&here), 0, "listings agree with what was done here");
    here.put("/d-000", "theirs").await;
    here.delete("/d-001").await;
    assert_eq!(k.names("/").await.unwrap().len(), FILES);
    let asked = heads(&here);
    assert!(
        (2..=3).contains(&asked),
        "one each, and the new one for its attributes: {asked}"
    );
    k.names("/").await.unwrap();
    assert_eq!(heads(&here), 0);
    for n in 2..FILES {
        here.delete(&format!("/d-{n:03}")).await;
    }
    assert_eq!(k.names("/").await.unwrap(), ["d-000", "probed"]);
    assert_eq!(heads(&here), CoreSettings::default().heads_max);
    k.names("/").await.unwrap();
    assert_eq!(heads(&here), 0);
    here.end().await;
}

/// By nature: a mount knows nothing of what another one did, or itself before it began.
#[tokio::test]
async fn a_new_mount_sees_what_is_listed() {
    let here = mounted().await;
    here.kernel().write_file("/a", b"x").await.unwrap();
    uploaded(&here, &["a"], IsThere::Yes).await;
    let beside = Mounted::new(here.world().beside().quietly()).await;
    assert_eq!(beside.kernel().names("/").await.unwrap(), ["probed"]);
    assert_eq!(here.kernel().names("/").await.unwrap(), ["a", "probed"]);
    here.world().clock().pass(LAG).await;
    assert_eq!(beside.kernel().names("/").await.unwrap(), ["a", "probed"]);
    beside.end().await;
    here.end().await;
}
