//! Change feeds: what others change is seen when it is told, not when `ttl` is over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_core::feed::{ChangeFeed, Followed, ListPoller, News};
use cloudmount_core::{CoreSettings, TimesToLive};
use cloudmount_store::Store;
use cloudmount_testkit::World as _;
use cloudmount_testkit::kernel::Kind;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{BoxFuture, ErrorKind, OpenFlags};
use proptest::prelude::*;
use tokio::runtime::Handle;

use crate::world::CoreWorld;

const HOUR: Duration = Duration::from_secs(3600);

/// A mount that believes for an hour what it was told.
async fn trusting() -> Mounted<CoreWorld> {
    let settings = CoreSettings {
        ttl: TimesToLive::all(HOUR),
        ..CoreSettings::default()
    };
    Mounted::new(CoreWorld::with_settings(settings).quietly()).await
}

fn put(key: &str) -> News {
    News::Put {
        key: key.into(),
        tag: None,
    }
}

fn gone(key: &str) -> News {
    News::Gone { key: key.into() }
}

fn hear(here: &Mounted<CoreWorld>, news: &[News]) {
    here.world().core.hear(news);
    here.kernel().follow_changes();
}

#[tokio::test]
async fn what_is_told_is_seen_at_once_and_nothing_before() {
    let here = trusting().await;
    for path in ["/d/a", "/d/b", "/gone/deep/x"] {
        here.put(path, "old").await;
    }
    let k = here.kernel();
    assert_eq!(k.names("/d").await.unwrap(), ["a", "b"]);
    assert_eq!(k.names("/gone/deep").await.unwrap(), ["x"]);
    assert_eq!(k.read_file("/d/a").await.unwrap(), "old");
    let number = k.stat("/d/a").await.unwrap().ino;
    assert!(k.stat("/d/c").await.is_err());
    here.put("/d/a", "newer").await;
    here.put("/d/c", "3").await;
    here.put("/new/deep/y", "4").await;
    here.delete("/d/b").await;
    here.delete("/gone/deep/x").await;
    k.follow_changes();
    assert_eq!(k.names("/d").await.unwrap(), ["a", "b"]);
    assert_eq!(k.read_file("/d/a").await.unwrap(), "old");
    let told = [
        put("d/a"),
        put("d/c"),
        put("new/deep/y"),
        gone("d/b"),
        gone("gone/deep/x"),
    ];
    hear(&here, &told);
    assert_eq!(k.read_file("/d/c").await.unwrap(), "3");
    assert_eq!(k.names("/d").await.unwrap(), ["a", "c"]);
    assert_eq!(k.read_file("/d/a").await.unwrap(), "newer");
    assert_eq!(k.stat("/d/a").await.unwrap().ino, number);
    assert_eq!(k.read_file("/new/deep/y").await.unwrap(), "4");
    assert_eq!(k.names("/").await.unwrap(), ["d", "new"]);
    for path in ["/d/b", "/gone", "/gone/deep/x"] {
        let error = k.stat(path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
    }
    here.end().await;
}

/// What was known of a folder is no reason to believe that it holds more than what is gone now.
#[tokio::test]
async fn a_folder_goes_with_the_last_of_several_removals() {
    let here = trusting().await;
    here.put("/d/a", "1").await;
    here.put("/d/e/a", "2").await;
    let k = here.kernel();
    assert_eq!(k.names("/d").await.unwrap(), ["a", "e"]);
    assert_eq!(k.names("/d/e").await.unwrap(), ["a"]);
    for key in ["d/a", "d/e/a"] {
        here.delete(&format!("/{key}")).await;
        hear(&here, &[gone(key)]);
    }
    assert_eq!(k.names("/").await.unwrap(), <[&str; 0]>::default());
    here.end().await;
}

/// News that is late, doubled or wrong takes nothing away that was made here.
#[tokio::test]
async fn what_is_told_undoes_nothing_that_was_done_here() {
    let here = trusting().await;
    for path in ["/d/rm", "/d/mv", "/d/edit"] {
        here.put(path, "theirs").await;
    }
    let k = here.kernel();
    assert_eq!(k.names("/d").await.unwrap(), ["edit", "mv", "rm"]);
    let fd = k.create("/d/new", 0o644, OpenFlags::WRITE).await.unwrap();
    k.write(fd, 0, b"ours").await.unwrap();
    k.mkdir("/d/folder", 0o755).await.unwrap();
    k.unlink("/d/rm").await.unwrap();
    k.rename("/d/mv", "/d/moved").await.unwrap();
    k.write_file("/d/edit", b"ours").await.unwrap();
    let number = k.stat("/d/new").await.unwrap().ino;
    let check = async || {
        let mut names = k.names("/d").await.unwrap();
        names.sort();
        assert_eq!(names, ["edit", "folder", "moved", "new"]);
        assert_eq!(k.read_file("/d/edit").await.unwrap(), "ours");
        assert_eq!(k.read_file("/d/moved").await.unwrap(), "theirs");
        assert_eq!(k.stat("/d/new").await.unwrap().ino, number);
    };
    let keys = [
        "d/new",
        "d/folder/",
        "d/rm",
        "d/mv",
        "d/moved",
        "d/edit",
        "d/",
    ];
    let all = ["", "d/"].map(|prefix| News::Below {
        prefix: prefix.into(),
    });
    let folder = News::Folder {
        prefix: "d/".into(),
    };
    let news: Vec<News> = keys
        .iter()
        .flat_map(|key| [put(key), gone(key)])
        .chain(all)
        .chain([folder])
        .collect();
    for one in &news {
        hear(&here, std::slice::from_ref(one));
        check().await;
    }
    k.close(fd).await.unwrap();
    here.world().settle().await;
    hear(&here, &news);
    check().await;
    assert_eq!(k.read_file("/d/new").await.unwrap(), "ours");
    here.end().await;
}

/// A store that notifies of what this mount uploads says nothing new.
#[tokio::test]
async fn news_of_our_own_uploads_costs_nothing() {
    let here = trusting().await;
    let k = here.kernel();
    k.write_file("/f", b"ours").await.unwrap();
    assert_eq!(k.names("/").await.unwrap(), ["f"]);
    here.world().settle().await;
    let version = here.bucket().head(&here.key("/f")).await.unwrap().version;
    k.stat("/f").await.unwrap();
    drop(here.world().log.take());
    let tag = Some(version.as_str().trim_matches('"').to_owned());
    let key = "f".to_owned();
    hear(&here, &[News::Put { key, tag }]);
    assert_eq!(k.read_file("/f").await.unwrap(), "ours");
    assert_eq!(k.names("/").await.unwrap(), ["f"]);
    hear(&here, &[gone("never/seen"), gone("nor-this")]);
    let calls = here.world().log.take();
    let asked = |call: &&String| call.starts_with("head") || call.starts_with("list");
    assert_eq!(calls.iter().filter(asked).count(), 0, "{calls:?}");
    here.end().await;
}

fn poller(here: &Mounted<CoreWorld>, interval: Duration) -> Followed {
    let world = here.world();
    let store: Arc<dyn Store> = Arc::clone(&world.log) as _;
    let poller = ListPoller::new(store, Arc::new(world.clock()), interval);
    world.core.follow(Box::new(poller), &Handle::current())
}

#[tokio::test]
async fn a_poller_sees_what_has_changed_within_its_interval() {
    let here = trusting().await;
    here.put("/d/a", "old").await;
    here.put("/e/b", "old").await;
    let minute = Duration::from_secs(60);
    let followed = poller(&here, minute);
    let k = here.kernel();
    let clock = here.world().clock();
    clock.pass(Duration::from_millis(1)).await;
    k.follow_changes();
    assert_eq!(followed.status().news, 1);
    assert_eq!(k.read_file("/d/a").await.unwrap(), "old");
    assert_eq!(k.names("/").await.unwrap(), ["d", "e"]);
    assert_eq!(k.names("/e").await.unwrap(), ["b"]);
    here.put("/d/a", "newer").await;
    here.put("/n/c", "3").await;
    here.delete("/e/b").await;
    clock.pass(Duration::from_secs(58)).await;
    k.follow_changes();
    assert_eq!(k.read_file("/d/a").await.unwrap(), "old");
    clock.pass(Duration::from_secs(2)).await;
    k.follow_changes();
    assert_eq!(k.read_file("/d/a").await.unwrap(), "newer");
    assert_eq!(k.names("/").await.unwrap(), ["d", "n"]);
    assert_eq!(k.read_file("/n/c").await.unwrap(), "3");
    let news = followed.status().news;
    clock.pass(10 * minute).await;
    assert_eq!(followed.status().news, news, "nothing has changed since");
    drop(followed);
    drop(here.world().log.take());
    clock.pass(10 * minute).await;
    assert_eq!(here.world().log.take().len(), 0, "nobody follows it");
    here.end().await;
}

/// One that fails now and then.
#[derive(Debug)]
struct Scripted(VecDeque<Result<Vec<News>, String>>);

impl ChangeFeed for Scripted {
    fn kind(&self) -> String {
        "a script".into()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Vec<News>, String>> {
        match self.0.pop_front() {
            Some(next) => Box::pin(std::future::ready(next)),
            None => Box::pin(std::future::pending()),
        }
    }
}

#[tokio::test]
async fn a_feed_that_fails_is_told_and_asked_again() {
    let here = trusting().await;
    let script = [
        Ok(vec![put("a")]),
        Err("no network".to_owned()),
        Ok(vec![put("b"), gone("c")]),
    ];
    let feed = Box::new(Scripted(script.into()));
    let followed = here.world().core.follow(feed, &Handle::current());
    let clock = here.world().clock();
    clock.pass(Duration::from_millis(100)).await;
    let status = followed.status();
    assert_eq!((status.kind.as_str(), status.news), ("a script", 1));
    assert_eq!(status.error.as_deref(), Some("no network"));
    clock.pass(Duration::from_secs(1)).await;
    let status = followed.status();
    assert_eq!((status.news, status.error), (3, None));
    here.end().await;
}

/// All files below, with their bytes.
async fn files(here: &Mounted<CoreWorld>) -> BTreeMap<String, Bytes> {
    let k = here.kernel();
    let mut files = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(path) = left.pop() {
        let entries = k.readdir(&format!("/{path}")).await.unwrap();
        assert!(path.is_empty() || !entries.is_empty(), "{path} is empty");
        for entry in entries {
            let below = format!("{path}{}", entry.name);
            if entry.kind == Kind::Directory {
                left.push(below + "/");
            } else {
                let bytes = k.read_file(&format!("/{below}")).await.unwrap();
                files.insert(below, bytes);
            }
        }
    }
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever others do, who is told of it shows the bucket as it is, though it believes everything for an hour.
    #[test]
    fn whoever_is_told_of_each_change_shows_the_bucket(
        changes in prop::collection::vec((0_usize..6, any::<bool>(), 0_u8..4), 1..24),
    ) {
        const KEYS: [&str; 6] = ["a", "d/a", "d/e/a", "d/e/b", "f/g/h/a", "d_x/a"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let here = trusting().await;
            let mut bucket = BTreeMap::new();
            for (round, (which, is_put, looks)) in changes.into_iter().enumerate() {
                let key = KEYS[which];
                let news = if is_put {
                    let bytes = Bytes::from(format!("{key} {round}"));
                    here.put(&format!("/{key}"), bytes.clone()).await;
                    bucket.insert(key.to_owned(), bytes);
                    put(key)
                } else {
                    here.delete(&format!("/{key}")).await;
                    bucket.remove(key);
                    gone(key)
                };
                hear(&here, &[news]);
                if looks == 0 {
                    assert_eq!(files(&here).await, bucket);
                }
            }
            assert_eq!(files(&here).await, bucket);
            here.end().await;
        });
    }
}
