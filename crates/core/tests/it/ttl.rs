//! Four times to live: each governs what it is of, and nothing else.

use std::time::Duration;

use cloudmount_core::{Attributes, Core, CoreSettings, TimesToLive};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{
    Context, Cookie, DirEntry, DirSink, Entry, InodeId, Name, Result, SinkState, Vfs as _,
};

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

/// The one that is tried.
const SHORT: Duration = Duration::from_secs(10);
/// All others.
const LONG: Duration = Duration::from_secs(3600);
/// Less than either.
const MOMENT: Duration = Duration::from_millis(100);

/// What is believed for a time of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Attributes,
    Entries,
    Negatives,
    Listings,
}

const KINDS: [Kind; 4] = [
    Kind::Attributes,
    Kind::Entries,
    Kind::Negatives,
    Kind::Listings,
];

impl Kind {
    /// That for so long, and all else long.
    fn for_so_long(self, time: Duration) -> TimesToLive {
        let mut ttl = TimesToLive::all(LONG);
        match self {
            Self::Attributes => ttl.attributes = time,
            Self::Entries => ttl.entries = time,
            Self::Negatives => ttl.negatives = time,
            Self::Listings => ttl.listings = time,
        }
        ttl
    }
}

#[derive(Default)]
struct Names(Vec<String>);

impl DirSink for Names {
    fn add(&mut self, entry: &DirEntry<'_>) -> SinkState {
        self.0.push(entry.name.to_owned());
        SinkState::Taken
    }
}

/// A folder that was looked at: what `changed` was like, that `gone` was there and `new` was not.
struct Folder {
    here: Here,
    dir: InodeId,
    changed: InodeId,
}

impl Folder {
    async fn new(ttl: TimesToLive) -> Self {
        let settings = CoreSettings {
            ttl,
            ..CoreSettings::default()
        };
        Self::with(settings).await
    }

    async fn with(settings: CoreSettings) -> Self {
        let world = CoreWorld::with_settings(settings).quietly();
        let here = Mounted::new(world).await;
        here.put("/d/changed", "1").await;
        here.put("/d/gone", "1").await;
        // What is younger than two seconds would be asked for once more.
        here.world().clock().pass(Duration::from_secs(5)).await;
        let folder = Self {
            dir: InodeId::ROOT,
            changed: InodeId::ROOT,
            here,
        };
        let dir = folder.lookup("d").await.unwrap().attr.ino;
        let folder = Self { dir, ..folder };
        let changed = folder.lookup("changed").await.unwrap().attr.ino;
        let folder = Self { changed, ..folder };
        for kind in KINDS {
            assert!(!folder.shows_news(kind).await, "{kind:?}");
        }
        folder
    }

    fn core(&self) -> &Core {
        self.here.kernel().vfs()
    }

    /// A lookup that the kernel forgets at once.
    async fn lookup(&self, name: &str) -> Result<Entry> {
        let name = Name::new(name).unwrap();
        let found = self.core().lookup(&Context::ROOT, self.dir, &name).await;
        if let Ok(entry) = &found {
            self.core().forget(entry.attr.ino, 1);
        }
        found
    }

    async fn names(&self) -> Vec<String> {
        let (core, cx, mut names) = (self.core(), Context::ROOT, Names::default());
        let handle = core.opendir(&cx, self.dir).await.unwrap().handle;
        let read = core.readdir(&cx, self.dir, handle, Cookie::START, &mut names);
        read.await.unwrap();
        core.releasedir(&cx, self.dir, handle).await.unwrap();
        names.0
    }

    /// Somebody else changes one thing of each kind.
    async fn change(&self) {
        self.here.put("/d/changed", "22").await;
        self.here.put("/d/new", "1").await;
        self.here.delete("/d/gone").await;
        drop(self.here.world().log.take());
    }

    /// Whether a look finds that.
    async fn shows_news(&self, kind: Kind) -> bool {
        match kind {
            Kind::Attributes => {
                let attr = self.core().getattr(&Context::ROOT, self.changed, None);
                attr.await.unwrap().0.size == 2
            }
            Kind::Entries => self.lookup("gone").await.is_err(),
            Kind::Negatives => self.lookup("new").await.is_ok(),
            Kind::Listings => self.names().await.contains(&"new".to_owned()),
        }
    }

    async fn pass(&self, time: Duration) {
        self.here.world().clock().pass(time).await;
    }

    fn requests(&self) -> Vec<String> {
        self.here.world().log.take()
    }
}

#[tokio::test]
async fn each_time_to_live_governs_its_own_and_nothing_else() {
    for short in KINDS {
        for look in KINDS {
            let folder = Folder::new(short.for_so_long(SHORT)).await;
            folder.change().await;
            folder.pass(SHORT - MOMENT).await;
            assert!(!folder.shows_news(look).await, "{short:?}, {look:?}");
            assert_eq!(folder.requests(), [""; 0], "{short:?}, {look:?}");
            folder.pass(MOMENT * 2).await;
            // A lookup answers attributes, too: it has to ask for them.
            let is_asked = short == look || (short, look) == (Kind::Attributes, Kind::Entries);
            let seen = folder.shows_news(look).await;
            assert_eq!(seen, is_asked, "{short:?}, {look:?}");
            let requests = folder.requests();
            assert_eq!(
                requests.is_empty(),
                !is_asked,
                "{short:?}, {look:?}: {requests:?}"
            );
            // In the end all are over.
            folder.pass(LONG).await;
            assert!(folder.shows_news(look).await, "{short:?}, {look:?}");
            folder.here.end().await;
        }
    }
}

#[tokio::test]
async fn a_time_to_live_of_nothing_asks_each_time() {
    for none in KINDS {
        let folder = Folder::new(none.for_so_long(Duration::ZERO)).await;
        for _ in 0..3 {
            drop(folder.requests());
            assert!(!folder.shows_news(none).await, "{none:?}");
            assert!(!folder.requests().is_empty(), "{none:?}");
        }
        folder.change().await;
        assert!(folder.shows_news(none).await, "{none:?}");
        folder.here.end().await;
    }
}

/// The kernel keeps it for no longer than what is left of it.
#[tokio::test]
async fn what_is_told_is_kept_no_longer_than_it_is_believed() {
    let ttl = TimesToLive {
        attributes: SHORT,
        entries: SHORT * 2,
        ..TimesToLive::all(LONG)
    };
    let folder = Folder::new(ttl).await;
    let told = folder.lookup("changed").await.unwrap();
    assert_eq!((told.attr_ttl, told.entry_ttl), (SHORT, SHORT * 2));
    folder.pass(SHORT - MOMENT).await;
    let told = folder.lookup("changed").await.unwrap();
    assert_eq!((told.attr_ttl, told.entry_ttl), (MOMENT, SHORT + MOMENT));
    let attr = folder.core().getattr(&Context::ROOT, folder.changed, None);
    assert_eq!(attr.await.unwrap().1, MOMENT);
    // Asked for again, and again for the whole time.
    folder.pass(MOMENT).await;
    let told = folder.lookup("changed").await.unwrap();
    assert_eq!((told.attr_ttl, told.entry_ttl), (SHORT, SHORT * 2));
    folder.here.end().await;
}

/// Names are believed for longer than attributes: a page tells of all of them whether they are as they were.
#[tokio::test]
async fn one_page_confirms_the_attributes_of_a_folder() {
    let ttl = Kind::Attributes.for_so_long(SHORT);
    let folder = Folder::new(ttl).await;
    for number in 0..50 {
        folder.here.put(&format!("/d/f{number}"), "x").await;
    }
    // What is younger than two seconds would be asked for once more.
    folder.pass(Duration::from_secs(5)).await;
    folder.core().invalidate("").unwrap();
    folder.here.kernel().drop_caches();
    folder
        .here
        .kernel()
        .scan("/d", cloudmount_testkit::kernel::Scan::Plus)
        .await
        .unwrap();
    folder.pass(SHORT * 2).await;
    folder.here.kernel().drop_caches();
    drop(folder.requests());
    for number in 0..50 {
        folder
            .here
            .kernel()
            .stat(&format!("/d/f{number}"))
            .await
            .unwrap();
    }
    let requests = folder.requests();
    let of_files = requests.iter().filter(|line| line.starts_with("head d/f"));
    assert_eq!(of_files.count(), 0, "{requests:?}");
    let pages = requests.iter().filter(|line| line.starts_with("list d/"));
    assert_eq!(pages.count(), 1, "{requests:?}");
    folder.here.end().await;
}

/// Where a listing is all that tells of attributes, it is believed no longer than these.
#[tokio::test]
async fn what_only_listings_tell_is_seen_within_the_time_of_attributes() {
    let settings = CoreSettings {
        ttl: Kind::Attributes.for_so_long(SHORT),
        attributes: Attributes::Listing,
        ..CoreSettings::default()
    };
    let folder = Folder::with(settings).await;
    folder.change().await;
    folder.pass(SHORT - MOMENT).await;
    assert!(!folder.shows_news(Kind::Attributes).await);
    folder.pass(MOMENT * 2).await;
    assert!(folder.shows_news(Kind::Attributes).await);
    folder.here.end().await;
}

/// Who reads a folder with attributes begins with a listing that is no older than these, and sees them without a request for
/// each.
#[tokio::test]
async fn a_scan_with_attributes_begins_with_a_listing_as_young_as_they_must_be() {
    let folder = Folder::new(Kind::Attributes.for_so_long(SHORT)).await;
    folder.change().await;
    folder.pass(SHORT * 2).await;
    folder.here.kernel().drop_caches();
    let scan = cloudmount_testkit::kernel::Scan::Plus;
    let listed = folder.here.kernel().scan("/d", scan).await.unwrap();
    let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
    assert!(
        names.contains(&"new") && !names.contains(&"gone"),
        "{names:?}"
    );
    folder.here.end().await;
}
