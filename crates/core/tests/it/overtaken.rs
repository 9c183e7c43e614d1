//! Every listing is late: what it tells is of before, and undoes nothing that was done here since.
//!
//! Random changes are made one after the other, while folders are read over and over by others. Each listing is carried out at
//! once, and answered long afterwards. After each change the folders that it concerns show exactly what they hold by then;
//! readers that began before a change show what was there throughout, and nothing that never was.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use cloudmount_core::{CoreSettings, TimesToLive};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::kernel::{Interrupt, Options};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::transcript;
use cloudmount_vfs::{Context, ErrorKind, Result};

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

/// Shorter than listings take: each is overtaken by changes, and followed by the next.
const TTL: Duration = Duration::from_millis(50);
/// The longest that an answer is under way, in milliseconds.
const LATE_MAX: usize = 150;
/// Listings that are late, each in its own way.
const LISTINGS: u64 = 4_000;
/// Changes of one row.
const CHANGES: usize = 30;
/// Readers at once.
const READERS: usize = 3;

/// Numbers that follow no pattern (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        let at = self.roll(among.len().max(1));
        among.get(at).cloned()
    }
}

/// What is there: files with their contents, and folders. No path begins or ends with a slash; the root is empty.
#[derive(Clone, Debug, Default)]
struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

impl Tree {
    fn names(&self, folder: &str) -> BTreeSet<String> {
        let paths = self.files.keys().chain(&self.folders);
        let inside = paths.filter(|path| !path.is_empty() && parent(path) == folder);
        let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        inside.map(name).collect()
    }

    fn files(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// But for the root.
    fn folders(&self) -> Vec<String> {
        self.folders
            .iter()
            .filter(|path| !path.is_empty())
            .cloned()
            .collect()
    }

    fn rename_folder(&mut self, from: &str, to: &str) {
        let moved = |path: &String| format!("{to}{}", &path[from.len()..]);
        let is_moved = |path: &str| path == from || is_below(path, from);
        self.folders = (self.folders.iter())
            .map(|path| {
                if is_moved(path) {
                    moved(path)
                } else {
                    path.clone()
                }
            })
            .collect();
        self.files = (std::mem::take(&mut self.files).into_iter())
            .map(|(path, bytes)| (if is_moved(&path) { moved(&path) } else { path }, bytes))
            .collect();
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<String>>>>>;

/// Somebody who reads a folder while it changes.
struct Reader {
    folder: String,
    reading: Reading,
    throughout: BTreeSet<String>,
    ever: BTreeSet<String>,
    /// Whether the folder goes elsewhere meanwhile: then it may be seen to.
    goes: bool,
}

impl Reader {
    fn new(here: &Here, tree: &Tree, folder: &str) -> Self {
        let kernel = here.kernel().as_user(Context::ROOT);
        let path = format!("/{folder}");
        let names = tree.names(folder);
        Self {
            folder: folder.to_owned(),
            reading: Box::pin(async move { kernel.names(&path).await }),
            throughout: names.clone(),
            ever: names,
            goes: false,
        }
    }

    fn changed(&mut self, tree: &Tree) {
        let now = tree.names(&self.folder);
        self.throughout.retain(|name| now.contains(name));
        self.ever.extend(now);
    }

    /// What it has shown; gives how much was checked.
    fn end(&self, read: Result<Vec<String>>, seed: u64) -> usize {
        if self.goes {
            return 0;
        }
        let (folder, seen) = (&self.folder, read.unwrap());
        let count = seen.len();
        let seen: BTreeSet<String> = seen.into_iter().collect();
        assert_eq!(seen.len(), count, "none twice in {folder} (seed {seed})");
        let missed: Vec<_> = self.throughout.difference(&seen).collect();
        assert!(missed.is_empty(), "{folder} lacks {missed:?} (seed {seed})");
        let strange: Vec<_> = seen.difference(&self.ever).collect();
        assert!(
            strange.is_empty(),
            "{folder} shows {strange:?} (seed {seed})"
        );
        1
    }
}

struct Row {
    here: Here,
    tree: Tree,
    readers: Vec<Reader>,
    dice: Dice,
    seed: u64,
    made: usize,
    /// Listings whose readers came to their end.
    read: usize,
}

impl Row {
    async fn new(seed: u64) -> Self {
        let settings = CoreSettings {
            ttl: TimesToLive::all(TTL),
            ..CoreSettings::default()
        };
        let interrupt = match seed % 2 {
            0 => Interrupt::Never,
            _ => Interrupt::Sometimes { seed },
        };
        let options = Options {
            interrupt,
            ..transcript::quiet()
        };
        let here = Mounted::new(CoreWorld::with_settings(settings).seen_by(options)).await;
        let mut tree = Tree::default();
        tree.folders.insert(String::new());
        for folder in ["a", "b", "a/deep"] {
            tree.folders.insert(folder.to_owned());
            for number in 0..6 {
                let path = format!("{folder}/f{number}");
                here.put(&path, path.clone()).await;
                tree.files.insert(path.clone(), path.into_bytes());
            }
        }
        let mut dice = Dice::new(seed);
        for nth in 1..=LISTINGS {
            let late = Duration::from_millis(dice.roll(LATE_MAX) as u64);
            let rule = FaultRule::new(Effect::Late(late)).on(Operation::List);
            here.world().fault.add(rule.nth(nth));
        }
        Self {
            here,
            tree,
            readers: Vec::new(),
            dice,
            seed,
            made: 0,
            read: 0,
        }
    }

    /// What `work` gives, while the readers go on and time passes.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = Box::pin(work);
        let readers = &mut self.readers;
        let (mut ended, seed) = (0, self.seed);
        let all = std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            readers.retain_mut(|reader| match reader.reading.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(read) => {
                    ended += reader.end(read, seed);
                    false
                }
            });
            Poll::Pending
        });
        let done = self.here.world().meanwhile(all).await;
        self.read += ended;
        done
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("n{}", self.made)
    }

    /// Does what `work` does here; the readers know it from its beginning to its end, in either way.
    async fn change(
        &mut self,
        work: impl Future<Output = Result<()>>,
        change: impl FnOnce(&mut Tree),
    ) {
        let mut after = self.tree.clone();
        change(&mut after);
        for reader in &mut self.readers {
            reader.changed(&after);
        }
        let done = self.meanwhile(work).await;
        assert!(done.is_ok(), "{done:?} (seed {})", self.seed);
        self.tree = after;
    }

    /// The folder goes elsewhere.
    fn goes(&mut self, folder: &str) {
        for reader in &mut self.readers {
            reader.goes |= reader.folder == folder || is_below(&reader.folder, folder);
        }
    }

    /// One change; gives the folders that it concerns.
    async fn step(&mut self) -> Vec<String> {
        let kernel = self.here.kernel().as_user(Context::ROOT);
        let all: Vec<String> = self.tree.folders.iter().cloned().collect();
        let folder = self.dice.pick(&all).unwrap();
        let new = joined(&folder, &self.new_name());
        let (file, moved) = (
            self.dice.pick(&self.tree.files()),
            self.dice.pick(&self.tree.folders()),
        );
        match (self.dice.roll(8), file, moved) {
            (0, Some(file), _) => {
                let bytes = new.into_bytes();
                let path = format!("/{file}");
                let write = kernel.write_file(&path, &bytes);
                let written = bytes.clone();
                self.change(write, |tree| drop(tree.files.insert(file.clone(), written)))
                    .await;
                vec![parent(&file).to_owned()]
            }
            (1, Some(file), _) => {
                let path = format!("/{file}");
                self.change(kernel.unlink(&path), |tree| drop(tree.files.remove(&file)))
                    .await;
                vec![parent(&file).to_owned()]
            }
            (2 | 3, Some(file), _) => self.rename_file(&file, new).await,
            (4, _, Some(from)) if folder != from && !is_below(&folder, &from) => {
                self.rename_folder(&from, &new).await;
                vec![parent(&from).to_owned(), folder, new]
            }
            (5, _, Some(gone)) => {
                self.remove_folder(&gone).await;
                vec![parent(&gone).to_owned()]
            }
            (6, ..) => {
                let path = format!("/{new}");
                let made = new.clone();
                self.change(kernel.mkdir(&path, 0o755), |tree| {
                    assert!(tree.folders.insert(made));
                })
                .await;
                vec![folder, new]
            }
            _ => {
                let (path, bytes) = (format!("/{new}"), new.clone().into_bytes());
                let (made, written) = (new.clone(), bytes.clone());
                self.change(kernel.write_file(&path, &bytes), |tree| {
                    tree.files.insert(made, written);
                })
                .await;
                vec![folder]
            }
        }
    }

    /// To a new name, or over another file.
    async fn rename_file(&mut self, file: &str, new: String) -> Vec<String> {
        let kernel = self.here.kernel().as_user(Context::ROOT);
        let to = match self.dice.pick(&self.tree.files()) {
            Some(other) if self.dice.roll(2) == 0 && other != file => other,
            _ => new,
        };
        let paths = (format!("/{file}"), format!("/{to}"));
        self.change(kernel.rename(&paths.0, &paths.1), |tree| {
            if let Some(bytes) = tree.files.remove(file) {
                tree.files.insert(to.clone(), bytes);
            }
        })
        .await;
        vec![parent(file).to_owned(), parent(&to).to_owned()]
    }

    async fn rename_folder(&mut self, from: &str, to: &str) {
        let kernel = self.here.kernel().as_user(Context::ROOT);
        self.goes(from);
        let paths = (format!("/{from}"), format!("/{to}"));
        let renamed = kernel.rename(&paths.0, &paths.1);
        self.change(renamed, |tree| tree.rename_folder(from, to))
            .await;
    }

    async fn remove_folder(&mut self, gone: &str) {
        let kernel = self.here.kernel().as_user(Context::ROOT);
        let path = format!("/{gone}");
        if self.tree.names(gone).is_empty() {
            self.goes(gone);
            self.change(kernel.rmdir(&path), |tree| {
                assert!(tree.folders.remove(gone));
            })
            .await;
            return;
        }
        let refused = self.meanwhile(kernel.rmdir(&path)).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::NotEmpty,
            "{gone} (seed {})",
            self.seed
        );
    }

    /// What these folders show now, by a kernel that has forgotten all.
    async fn check(&mut self, folders: &[String]) {
        let kernel = self.here.kernel().as_user(Context::ROOT);
        for folder in folders {
            kernel.drop_caches();
            let path = format!("/{folder}");
            let seen = self.meanwhile(kernel.names(&path)).await.unwrap();
            let seen: BTreeSet<String> = seen.into_iter().collect();
            assert_eq!(
                seen,
                self.tree.names(folder),
                "{folder} (seed {})",
                self.seed
            );
        }
        if let Some(file) = self.dice.pick(&self.tree.files()) {
            let path = format!("/{file}");
            let bytes = self.meanwhile(kernel.read_file(&path)).await.unwrap();
            assert_eq!(bytes, self.tree.files[&file], "{file} (seed {})", self.seed);
        }
    }

    async fn finish_readers(&mut self) {
        while !self.readers.is_empty() {
            self.meanwhile(tokio::task::yield_now()).await;
            self.here
                .world()
                .clock()
                .pass(Duration::from_millis(10))
                .await;
        }
    }

    async fn run(mut self) -> usize {
        for _ in 0..CHANGES {
            while self.readers.len() < READERS {
                let all: Vec<String> = self.tree.folders.iter().cloned().collect();
                let folder = self.dice.pick(&all).unwrap();
                self.readers
                    .push(Reader::new(&self.here, &self.tree, &folder));
            }
            let folders = self.step().await;
            self.check(&folders).await;
            // Uploads get through, or not.
            let rest = Duration::from_millis(self.dice.roll(400) as u64);
            self.here.world().clock().pass(rest).await;
        }
        self.finish_readers().await;
        self.here.world().settle().await;
        self.here.wait_for_foreign_changes().await;
        let all: Vec<String> = self.tree.folders.iter().cloned().collect();
        self.check(&all).await;
        let keys: BTreeSet<String> = self.here.keys().await.into_iter().collect();
        let keys: BTreeSet<_> = keys.iter().filter(|key| !key.ends_with('/')).collect();
        assert_eq!(keys, self.tree.files.keys().collect(), "seed {}", self.seed);
        for (path, bytes) in &self.tree.files {
            let object = self.here.object(path).await.unwrap();
            assert_eq!(object, *bytes, "{path} (seed {})", self.seed);
        }
        self.here.end().await;
        self.read
    }
}

#[tokio::test]
async fn listings_that_come_late_undo_nothing_that_was_done_here() {
    let mut read = 0;
    for seed in 1..=4 {
        read += Row::new(seed).await.run().await;
    }
    // Readers that end are what is checked beside each change.
    assert!(read > 100, "{read}");
}
