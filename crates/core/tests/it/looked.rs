//! Who reads a folder and wants no attributes pays for none; who looks at all of them has them asked for together, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_core::{CoreSettings, TimesToLive};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::{Key, Metadata, PutOptions};
use cloudmount_testkit::World as _;
use cloudmount_vfs::{
    Context, Cookie, DirPlusEntry, DirPlusSink, InodeId, Name, NodeKind, Permissions, SinkState,
    Unknown, Vfs as _,
};
use futures::FutureExt as _;

use crate::world::CoreWorld;

/// More than a symlink has.
const LARGE: usize = 8 << 10;
/// Entries that a kernel asks for at once.
const ROOM: usize = 60;
const ROOT: Context = Context::ROOT;

fn name(number: usize) -> String {
    format!("f{number:04}")
}

/// What somebody else put, with a mode that no default is.
async fn put(world: &CoreWorld, key: &str, bytes: usize) {
    let mode = ("file-permissions".to_owned(), "0100640".to_owned());
    let options = PutOptions {
        metadata: Metadata {
            user: BTreeMap::from([mode]),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    let key = Key::new(key).unwrap();
    let content = Bytes::from(vec![b'x'; bytes]);
    let store = world.store().unwrap();
    store.put(&key, content.into(), options).await.unwrap();
}

/// A folder `d` of so many files.
async fn world(settings: CoreSettings, files: usize, bytes: usize) -> (CoreWorld, InodeId) {
    let world = CoreWorld::with_settings(settings);
    for number in 0..files {
        put(&world, &format!("d/{}", name(number)), bytes).await;
    }
    let folder = lookup(&world, InodeId::ROOT, "d").await.0;
    drop(world.log.take());
    (world, folder)
}

fn patient() -> CoreSettings {
    CoreSettings {
        ttl: TimesToLive::all(Duration::from_secs(3600)),
        ..CoreSettings::default()
    }
}

async fn lookup(world: &CoreWorld, folder: InodeId, name: &str) -> (InodeId, Permissions) {
    let name = Name::new(name).unwrap();
    let entry = world.core.lookup(&ROOT, folder, &name).await.unwrap();
    (entry.attr.ino, entry.attr.permissions)
}

/// A kernel's request for entries.
#[derive(Default)]
struct Request {
    taken: Vec<Shown>,
}

struct Shown {
    name: String,
    ino: InodeId,
    kind: NodeKind,
    cookie: Cookie,
    /// `None`: it has to be looked up.
    permissions: Option<Permissions>,
}

impl DirPlusSink for Request {
    fn unknown(&self) -> Unknown {
        Unknown::Bare
    }

    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        if self.taken.len() == ROOM {
            return SinkState::Full;
        }
        let (name, entry, cookie, is_told) = match *entry {
            DirPlusEntry::Dot { .. } => return SinkState::Taken,
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            } => (name, entry, cookie, true),
            DirPlusEntry::Bare {
                name,
                entry,
                cookie,
            } => (name, entry, cookie, false),
        };
        self.taken.push(Shown {
            name: name.to_string(),
            ino: entry.attr.ino,
            kind: entry.attr.kind,
            cookie,
            permissions: (is_told && !entry.entry_ttl.is_zero() && !entry.attr_ttl.is_zero())
                .then_some(entry.attr.permissions),
        });
        SinkState::Taken
    }
}

/// The next entries of a folder.
async fn entries(world: &CoreWorld, folder: InodeId, from: Cookie) -> Vec<Shown> {
    let handle = world.core.opendir(&ROOT, folder).await.unwrap().handle;
    let mut request = Request::default();
    let read = (world.core).readdirplus(&ROOT, folder, handle, from, &mut request);
    read.await.unwrap();
    let released = world.core.releasedir(&ROOT, folder, handle);
    released.await.unwrap();
    request.taken
}

/// All names, and nothing else, as `find` wants them: gives what they are.
async fn found(world: &CoreWorld, folder: InodeId) -> Vec<(String, InodeId, NodeKind)> {
    let (mut all, mut at) = (Vec::new(), Cookie::START);
    loop {
        let some = entries(world, folder, at).await;
        let Some(last) = some.last() else { return all };
        at = last.cookie;
        all.extend(some.into_iter().map(|one| (one.name, one.ino, one.kind)));
    }
}

/// Every entry with its mode, as `ls -l` wants them; gives how many had to be looked up.
async fn looked(world: &CoreWorld, folder: InodeId) -> (BTreeMap<String, Permissions>, usize) {
    looked_slowly(world, folder, Duration::ZERO).await
}

/// The same, where each of the kernel's requests takes so long.
async fn looked_slowly(
    world: &CoreWorld,
    folder: InodeId,
    each: Duration,
) -> (BTreeMap<String, Permissions>, usize) {
    let (mut all, mut lookups, mut at) = (BTreeMap::new(), 0, Cookie::START);
    loop {
        world.clock().pass(each).await;
        let some = entries(world, folder, at).await;
        let Some(last) = some.last() else {
            return (all, lookups);
        };
        at = last.cookie;
        for one in some {
            let permissions = match one.permissions {
                Some(permissions) => permissions,
                None => {
                    lookups += 1;
                    let (ino, permissions) = lookup(world, folder, &one.name).await;
                    assert_eq!(ino, one.ino, "{}", one.name);
                    permissions
                }
            };
            all.insert(one.name, permissions);
        }
    }
}

fn heads(lines: &[String]) -> Vec<&str> {
    let heads = lines.iter().map(String::as_str);
    heads.filter(|line| line.starts_with("head ")).collect()
}

/// Each was asked for, and once.
fn assert_each_once(lines: &[String], files: usize) {
    let heads = heads(lines);
    let different: BTreeSet<_> = heads.iter().collect();
    assert_eq!(different.len(), heads.len(), "twice: {heads:#?}");
    assert_eq!(heads.len(), files, "{heads:#?}");
}

#[tokio::test]
async fn who_wants_names_asks_for_no_object() {
    let (world, folder) = world(patient(), 500, LARGE).await;
    let shown = found(&world, folder).await;
    assert_eq!(shown.len(), 500);
    assert!(shown.iter().all(|one| one.2 == NodeKind::File));
    let lines = world.log.take();
    assert!(heads(&lines).is_empty(), "{lines:#?}");
}

/// Only the object tells whether it is a symlink: once, and then its attributes are known, too.
#[tokio::test]
async fn what_may_be_a_symlink_is_asked_for_once() {
    let (world, folder) = world(patient(), 100, 100).await;
    assert_eq!(found(&world, folder).await.len(), 100);
    assert_each_once(&world.log.take(), 100);
    let (shown, lookups) = looked(&world, folder).await;
    assert_eq!((shown.len(), lookups), (100, 0));
    assert!(heads(&world.log.take()).is_empty());
}

#[tokio::test]
async fn who_looks_at_all_has_each_asked_for_once() {
    for files in [1, 5, ROOM, 1_000] {
        let (world, folder) = world(patient(), files, LARGE).await;
        let (shown, lookups) = looked(&world, folder).await;
        let mode = Permissions::from_mode(0o640);
        assert_eq!(shown.len(), files);
        assert!(shown.values().all(|shown| *shown == mode), "{shown:#?}");
        assert_each_once(&world.log.take(), files);
        // Those of the first request, of which nobody knew that they would be looked at.
        assert_eq!(lookups, files.min(ROOM));
    }
}

/// A large folder takes longer than its names are believed: that each object was just found is as good, for it is there.
#[tokio::test]
async fn a_walk_that_takes_longer_than_names_are_believed_asks_for_each_once() {
    for bytes in [100, LARGE] {
        let (world, folder) = world(CoreSettings::default(), 1_000, bytes).await;
        let (shown, lookups) = looked_slowly(&world, folder, Duration::from_millis(150)).await;
        assert_eq!(shown.len(), 1_000);
        assert!(lookups <= ROOM, "{lookups} of {bytes} bytes");
        let lines = world.log.take();
        assert_each_once(&lines, 1_000);
        // It takes two and a half seconds: a page for each at most.
        let lists = lines.iter().filter(|line| line.starts_with("list "));
        assert!(lists.count() <= 3, "{lines:#?}");
    }
}

#[tokio::test]
async fn who_looks_at_one_has_one_asked_for() {
    let (world, folder) = world(patient(), 500, LARGE).await;
    assert_eq!(found(&world, folder).await.len(), 500);
    drop(world.log.take());
    lookup(&world, folder, &name(250)).await;
    world.clock().pass(Duration::ZERO).await;
    assert_eq!(world.log.take(), ["head d/f0250"]);
}

/// In an order that has nothing to do with that of the names.
#[tokio::test]
async fn who_looks_here_and_there_has_each_asked_for_once() {
    let (world, folder) = world(patient(), 500, LARGE).await;
    for number in 0..500 {
        let at = number * 293 % 500;
        lookup(&world, folder, &name(at)).await;
        world.clock().pass(Duration::ZERO).await;
    }
    assert_each_once(&world.log.take(), 500);
}

/// Questions of a listing and those ahead of it are both bounded, and several are under way at once.
#[tokio::test]
async fn few_are_asked_for_at_once() {
    const AT_ONCE: usize = 4;
    const TAKES: Duration = Duration::from_millis(100);
    let settings = CoreSettings {
        heads_max: AT_ONCE,
        ..patient()
    };
    let (world, folder) = world(settings, 300, LARGE).await;
    let slow = FaultRule::new(Effect::Delay(TAKES));
    world.fault.add(slow.on(Operation::Head));
    let mut looking = Box::pin(looked(&world, folder));
    let (mut lines, mut most) = (Vec::new(), 0);
    let (shown, _) = loop {
        let ended = looking.as_mut().now_or_never();
        world.clock().pass(TAKES).await;
        let begun = world.log.take();
        most = most.max(heads(&begun).len());
        lines.extend(begun);
        if let Some(ended) = ended {
            break ended;
        }
    };
    assert_eq!(shown.len(), 300);
    assert_each_once(&lines, 300);
    assert!((AT_ONCE..=2 * AT_ONCE).contains(&most), "{most} at once");
}

/// A tree of folders with and without markers: who goes through it asks for pages, for each marker there is, and for those
/// folders that he came to before he was known to go through all.
#[tokio::test]
async fn who_goes_through_a_tree_asks_for_markers_that_are_there() {
    const FOLDERS: usize = 300;
    let world = CoreWorld::with_settings(patient());
    for folder in 0..FOLDERS {
        for number in 0..3 {
            put(&world, &format!("t/d{folder:03}/{}", name(number)), LARGE).await;
        }
    }
    put(&world, "t/d150/", 0).await;
    put(&world, "t/d151/", 0).await;
    let top = lookup(&world, InodeId::ROOT, "t").await.0;
    for (folder, _, _) in found(&world, top).await {
        let (ino, permissions) = lookup(&world, top, &folder).await;
        let is_marked = ["d150", "d151"].contains(&&*folder);
        let mode = if is_marked { 0o640 } else { 0o755 };
        assert_eq!(permissions, Permissions::from_mode(mode), "{folder}");
        assert_eq!(found(&world, ino).await.len(), 3);
    }
    let lines = world.log.take();
    let asked = heads(&lines);
    let first =
        ["t/", "t/d000/", "t/d001/", "t/d002/"].map(|key| format!("head {key} ! not found"));
    let marked = ["head t/d150/", "head t/d151/"].map(str::to_owned);
    assert_eq!(asked, [first.to_vec(), marked.to_vec()].concat());
    assert!(lines.len() - asked.len() <= 10, "{lines:#?}");
}
