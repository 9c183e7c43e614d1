//! Going through a tree: folders are listed ahead, many with one request.

use std::time::Duration;

use cloudmount_core::{Attributes, CoreSettings, TimesToLive};
use cloudmount_testkit::World as _;
use cloudmount_testkit::kernel::Kind;
use cloudmount_testkit::suite::Mounted;

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

fn quick() -> CoreSettings {
    CoreSettings {
        attributes: Attributes::Listing,
        // The test's own requests take no time; a kernel's clock does not pass.
        ttl: TimesToLive::all(Duration::from_secs(60)),
        ..CoreSettings::default()
    }
}

async fn mounted(settings: CoreSettings, keys: impl Iterator<Item = String>) -> Here {
    let here = Mounted::new(CoreWorld::with_settings(settings).quietly()).await;
    for key in keys {
        here.put(&key, "content").await;
    }
    here.wait_for_foreign_changes().await;
    drop(here.world().log.take());
    here
}

/// Goes through all below, as `find` does; gives the paths.
async fn find(here: &Here, top: &str) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![top.to_owned()]);
    while let Some(folder) = folders.pop() {
        let mut names = here.kernel().readdir(&folder).await.unwrap();
        names.sort_by(|one, other| other.name.cmp(&one.name));
        for entry in names {
            let path = format!("{folder}/{}", entry.name);
            if entry.kind == Kind::Directory {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The listings that were asked for; nothing else was.
fn listings(here: &Here) -> usize {
    let asked = here.world().log.take();
    assert!(
        asked.iter().all(|line| line.starts_with("list ")),
        "{asked:#?}"
    );
    asked.len()
}

#[tokio::test]
async fn a_tree_of_many_folders_takes_few_listings() {
    let keys = || (0..3_000).map(|n| format!("t/d{:04}/f{:02}", n / 10, n % 10));
    let here = mounted(quick(), keys()).await;
    let wanted: Vec<_> = keys().map(|key| format!("/{key}")).collect();
    assert_eq!(find(&here, "/t").await, wanted);
    // The root and `t`; three folders; three pages, of which two were asked for again in part.
    let asked = listings(&here);
    assert!(asked <= 9, "{asked} listings");
    // Again: nothing.
    assert_eq!(find(&here, "/t").await, wanted);
    assert_eq!(listings(&here), 0);
    here.end().await;
}

/// The names of the folders are told once, and gone through for longer than they are believed.
#[tokio::test]
async fn a_walk_that_takes_longer_than_names_are_believed_asks_for_none_of_them() {
    const FOLDERS: usize = 1_100;
    let keys = || (0..FOLDERS * 10).map(|n| format!("t/d{:04}/f{}", n / 10, n % 10));
    let settings = CoreSettings {
        ttl: TimesToLive::all(Duration::from_secs(1)),
        ..quick()
    };
    let here = mounted(settings, keys()).await;
    let names = here.kernel().readdir("/t").await.unwrap();
    assert_eq!(names.len(), FOLDERS);
    for folder in names {
        let below = here.kernel().readdir(&format!("/t/{}", folder.name)).await;
        assert_eq!(below.unwrap().len(), 10, "{}", folder.name);
        // Two hundred folders, two pages, while they are believed.
        here.world().clock().pass(Duration::from_millis(5)).await;
    }
    // Eleven pages, the folders' two and a guess, three folders alone, the root six times, and what was listed too early.
    let asked = listings(&here);
    println!("{asked} listings");
    assert!(asked <= 40, "{asked} listings");
    here.end().await;
}

/// As large as trees are that are worth it: `cargo test -p cloudmount-core --test it list_ahead -- --ignored`.
#[tokio::test]
#[ignore = "takes a quarter of a minute"]
async fn a_tree_of_300_000_objects_takes_a_tenth_more_than_its_pages_at_most() {
    const OBJECTS: usize = 300_000;
    const PAGE: usize = 1000;
    let keys = || (0..OBJECTS).map(|n| format!("t/d{:04}/f{:02}", n / 100, n % 100));
    let settings = CoreSettings {
        ttl: TimesToLive::all(Duration::from_secs(3600)),
        ..quick()
    };
    let here = mounted(settings, keys()).await;
    let found = find(&here, "/t").await;
    assert_eq!(found.len(), OBJECTS);
    assert!(
        found.iter().eq(keys()
            .map(|key| format!("/{key}"))
            .collect::<Vec<_>>()
            .iter())
    );
    let asked = listings(&here);
    println!("{OBJECTS} objects in 3,000 folders: {asked} listings");
    assert!(asked * 10 <= OBJECTS / PAGE * 11, "{asked} listings");
    here.end().await;
}

#[tokio::test]
async fn folders_of_folders_are_part_of_the_walk() {
    let name = |n: u32| format!("t/{:02}/d{:02}/f{}", n / 200, n / 5 % 40, n % 5);
    let keys = || (0..4_000).map(name);
    let here = mounted(quick(), keys()).await;
    let wanted: Vec<_> = keys().map(|key| format!("/{key}")).collect();
    assert_eq!(find(&here, "/t").await, wanted);
    // 20 folders, with 200 names each below: two for each, and few more.
    let asked = listings(&here);
    assert!(asked <= 55, "{asked} listings");
    here.end().await;
}

#[tokio::test]
async fn large_folders_are_listed_as_if_there_were_no_walk() {
    let keys = || (0..8_800).map(|n| format!("t/d{}/f{:04}", n / 1_100, n % 1_100));
    let here = mounted(quick(), keys()).await;
    let wanted: Vec<_> = keys().map(|key| format!("/{key}")).collect();
    assert_eq!(find(&here, "/t").await, wanted);
    // The root and `t`, two for each of eight folders, one that was tried, and what was guessed of the first.
    let asked = listings(&here);
    assert!(asked <= 20, "{asked} listings");
    here.end().await;
}

/// Folders that are empty here, gone here, new here, and changed here are as they are here.
#[tokio::test]
async fn what_was_changed_here_is_shown_by_a_walk() {
    let keys = (0..40).map(|n| format!("t/d{:02}/f{}", n / 2, n % 2));
    let settings = CoreSettings {
        list_ahead_after: 0,
        ..quick()
    };
    let here = mounted(settings, keys).await;
    let k = here.kernel();
    k.unlink("/t/d05/f0").await.unwrap();
    k.write_file("/t/d06/new", b"new").await.unwrap();
    k.rename("/t/d07", "/t/d08/moved").await.unwrap();
    k.mkdir("/t/d09x", 0o755).await.unwrap();
    for round in ["at once", "when it is done", "later"] {
        let found = find(&here, "/t").await;
        let below = |folder: &str| {
            let folder = format!("/t/{folder}/");
            let names = found.iter().filter_map(|path| path.strip_prefix(&folder));
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(below("d05"), ["f1"], "{round}");
        assert_eq!(below("d06"), ["f0", "f1", "new"], "{round}");
        assert_eq!(below("d07"), [""; 0], "{round}");
        assert_eq!(
            below("d08"),
            ["f0", "f1", "moved/f0", "moved/f1"],
            "{round}"
        );
        assert_eq!(found.len(), 40, "{round}");
        if round == "at once" {
            here.world().settle().await;
        }
        here.world().clock().pass(Duration::from_secs(61)).await;
    }
    here.end().await;
}
