//! Reading directories, in small pieces and both ways.

use std::collections::BTreeSet;
use std::time::Duration;

use cloudmount_vfs::{
    AccessMask, Cookie, DirEntry, DirHandle, DirPlusEntry, DirPlusSink, DirSink, Entry, InodeId,
    Name, NodeKind, Result, SinkState, Unknown, Vfs,
};

use super::walk::Last;
use super::{FakeKernel, Held};

/// How often a scan is repeated when its two ways differ: they may, while changes made elsewhere
/// are still coming in.
const TRIES: usize = 100;

/// Which operation a scan uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    /// [`Vfs::readdir`].
    Plain,
    /// [`Vfs::readdirplus`].
    Plus,
}

/// An entry of a directory, other than `.` and `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The number of its inode.
    pub ino: InodeId,
    /// What it is.
    pub kind: Kind,
}

/// [`NodeKind`], which has no order of its own, in the order of its variants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl From<NodeKind> for Kind {
    fn from(kind: NodeKind) -> Self {
        match kind {
            NodeKind::File => Self::File,
            NodeKind::Directory => Self::Directory,
            NodeKind::Symlink => Self::Symlink,
        }
    }
}

/// An open directory, read piece by piece. Close it with [`close`](Self::close).
pub struct DirStream<V: Vfs> {
    kernel: FakeKernel<V>,
    held: Held<V>,
    handle: DirHandle,
    scan: Scan,
    at: Cookie,
    seen: BTreeSet<Cookie>,
    ended: bool,
}

impl<V: Vfs> std::fmt::Debug for DirStream<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirStream")
            .field("ino", &self.held.ino)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// One entry as a sink took it.
struct Taken {
    name: String,
    ino: InodeId,
    kind: NodeKind,
    cookie: Cookie,
    entry: Option<(Name, Entry)>,
}

/// A sink for so many entries.
#[derive(Default)]
struct Room {
    left: usize,
    refused: bool,
    taken: Vec<Taken>,
}

impl Room {
    fn offer(&mut self, entry: impl FnOnce() -> Taken) -> SinkState {
        assert!(
            !self.refused,
            "law: nothing is offered to a sink that said it is full"
        );
        if self.left == 0 {
            self.refused = true;
            return SinkState::Full;
        }
        self.left -= 1;
        self.taken.push(entry());
        SinkState::Taken
    }
}

fn taken(entry: &DirEntry<'_>) -> Taken {
    let DirEntry {
        ino,
        kind,
        name,
        cookie,
    } = *entry;
    Taken {
        name: name.to_owned(),
        ino,
        kind,
        cookie,
        entry: None,
    }
}

/// What is believed for no time at all.
fn at_once(entry: &Entry) -> Entry {
    Entry {
        entry_ttl: Duration::ZERO,
        attr_ttl: Duration::ZERO,
        ..*entry
    }
}

impl DirSink for Room {
    fn add(&mut self, entry: &DirEntry<'_>) -> SinkState {
        self.offer(|| taken(entry))
    }
}

impl DirPlusSink for Room {
    fn unknown(&self) -> Unknown {
        Unknown::Bare
    }

    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        self.offer(|| match entry {
            DirPlusEntry::Dot { entry, attr } => {
                assert!(
                    attr.ino == entry.ino,
                    "law: attributes carry the number of their entry"
                );
                taken(entry)
            }
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            } => Taken {
                name: name.to_string(),
                ino: entry.attr.ino,
                kind: entry.attr.kind,
                cookie: *cookie,
                entry: Some(((*name).clone(), **entry)),
            },
            // As the real one is told it: to be looked up before anybody gets to it.
            DirPlusEntry::Bare {
                name,
                entry,
                cookie,
            } => Taken {
                name: name.to_string(),
                ino: entry.attr.ino,
                kind: entry.attr.kind,
                cookie: *cookie,
                entry: Some(((*name).clone(), at_once(entry))),
            },
        })
    }
}

impl<V: Vfs> FakeKernel<V> {
    /// The entries of a directory, by name. Reads it twice, once in each way, and compares.
    ///
    /// # Errors
    /// Those of the way there, of [`Vfs::opendir`], [`Vfs::readdir`] and [`Vfs::readdirplus`].
    pub async fn readdir(&self, path: &str) -> Result<Vec<Listed>> {
        let mut tries = 0;
        loop {
            let plain = self.scan(path, Scan::Plain).await?;
            let plus = self.scan(path, Scan::Plus).await?;
            if plain == plus {
                return Ok(plain);
            }
            tries += 1;
            assert!(
                tries < TRIES,
                "law: readdir and readdirplus show the same; {plain:?} and {plus:?}"
            );
        }
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// As [`readdir`](Self::readdir).
    pub async fn names(&self, path: &str) -> Result<Vec<String>> {
        Ok(self
            .readdir(path)
            .await?
            .into_iter()
            .map(|listed| listed.name)
            .collect())
    }

    /// One whole scan in one way, by name.
    ///
    /// # Errors
    /// Those of the way there, of [`Vfs::opendir`] and of the way of reading.
    pub async fn scan(&self, path: &str, scan: Scan) -> Result<Vec<Listed>> {
        let mut stream = self.opendir(path, scan).await?;
        let changes = |stream: &DirStream<V>| {
            let ino = stream.held.ino;
            self.shared.with(|state| state.node(ino).renames)
        };
        let before = changes(&stream);
        let mut all = Vec::new();
        let result = loop {
            match stream.next().await {
                Ok(piece) if piece.is_empty() => break Ok(()),
                Ok(piece) => all.extend(piece),
                Err(error) => break Err(error),
            }
        };
        let quiet = before == changes(&stream);
        stream.close().await?;
        result?;
        all.sort();
        let twice = all.windows(2).find(|pair| pair[0].name == pair[1].name);
        assert!(
            twice.is_none() || !quiet,
            "law: a scan of a quiet directory shows no name twice; {twice:?} in {path}"
        );
        Ok(all)
    }

    /// Opens a directory, to read it piece by piece.
    ///
    /// # Errors
    /// Those of the way there, and of [`Vfs::opendir`].
    pub async fn opendir(&self, path: &str, scan: Scan) -> Result<DirStream<V>> {
        let held = self.walk(path, Last::Follow).await?;
        self.permit(
            &held,
            AccessMask {
                read: true,
                write: false,
                execute: false,
            },
        )
        .await?;
        let (vfs, cx) = (self.vfs(), &self.cx);
        let opened = self.call(|| vfs.opendir(cx, held.ino)).await?;
        self.shared
            .with(|state| state.keep_dir(held.ino, opened.handle));
        let (kernel, handle) = (self.clone(), opened.handle);
        let at = Cookie::START;
        Ok(DirStream {
            kernel,
            held,
            handle,
            scan,
            at,
            seen: BTreeSet::new(),
            ended: false,
        })
    }
}

impl<V: Vfs> DirStream<V> {
    /// The next entries, as many as fit one request; none at the end.
    ///
    /// # Errors
    /// Those of [`Vfs::readdir`] or [`Vfs::readdirplus`].
    pub async fn next(&mut self) -> Result<Vec<Listed>> {
        loop {
            let before = self.changes();
            let room = self.request().await?;
            let quiet = before == self.changes();
            assert!(
                room.taken.is_empty() || !self.ended || !quiet,
                "law: after a sink that was not full, nothing is left"
            );
            self.ended = !room.refused && room.left > 0 && quiet;
            let end = room.taken.is_empty();
            if end && self.at < Cookie::DOT_DOT {
                self.check_removed().await;
            }
            let listed = self.keep(room.taken);
            if end || !listed.is_empty() {
                return Ok(listed);
            }
        }
    }

    /// A directory that shows neither `.` nor `..` is one that was removed.
    async fn check_removed(&self) {
        let (vfs, cx, ino) = (self.kernel.vfs(), &self.kernel.cx, self.held.ino);
        let told = self.kernel.call(|| vfs.getattr(cx, ino, None)).await;
        let exists = told.is_ok_and(|(attr, _)| attr.links > 0);
        assert!(!exists, "law: a directory shows . and ..; {ino} does not");
    }

    /// Starts again from the beginning (`rewinddir`).
    pub fn rewind(&mut self) {
        self.at = Cookie::START;
        self.seen.clear();
        self.ended = false;
    }

    /// Where the scan is: what [`seek`](Self::seek) takes.
    #[must_use]
    pub const fn tell(&self) -> Cookie {
        self.at
    }

    /// Goes on after an entry that was seen before (`seekdir`).
    pub fn seek(&mut self, cookie: Cookie) {
        self.at = cookie;
        self.seen = BTreeSet::from([cookie]);
        self.ended = false;
    }

    /// Closes the directory.
    ///
    /// # Errors
    /// Those of [`Vfs::releasedir`].
    pub async fn close(self) -> Result<()> {
        let kernel = &self.kernel;
        kernel
            .shared
            .with(|state| state.drop_handle(self.handle.get()));
        let (vfs, cx) = (kernel.vfs(), &kernel.cx);
        let done = kernel
            .call(|| vfs.releasedir(cx, self.held.ino, self.handle))
            .await;
        kernel.shared.with(|state| state.closed(self.held.ino));
        done
    }

    fn changes(&self) -> u64 {
        let ino = self.held.ino;
        self.kernel.shared.with(|state| state.node(ino).renames)
    }

    async fn request(&self) -> Result<Room> {
        let kernel = &self.kernel;
        let (vfs, cx, ino, handle, at) = (
            kernel.vfs(),
            &kernel.cx,
            self.held.ino,
            self.handle,
            self.at,
        );
        let left = kernel.shared.options.scan_room.max(1);
        let read = || async move {
            let mut room = Room {
                left,
                ..Room::default()
            };
            match self.scan {
                Scan::Plain => vfs.readdir(cx, ino, handle, at, &mut room).await?,
                Scan::Plus => vfs.readdirplus(cx, ino, handle, at, &mut room).await?,
            }
            Ok(room)
        };
        kernel.call(read).await
    }

    /// Counts the lookups of what was taken, checks the cookies, and goes on.
    fn keep(&mut self, taken: Vec<Taken>) -> Vec<Listed> {
        let mut listed = Vec::new();
        for Taken {
            name,
            ino,
            kind,
            cookie,
            entry,
        } in taken
        {
            let dots = match (self.at, &*name) {
                (Cookie::START, ".") => cookie == Cookie::DOT && ino == self.held.ino,
                (Cookie::DOT, "..") => cookie == Cookie::DOT_DOT,
                (Cookie::START | Cookie::DOT, _) | (_, "." | "..") => false,
                _ => cookie > Cookie::DOT_DOT,
            };
            assert!(
                dots,
                "law: a directory begins with . and .., with their cookies; {name:?} has \
                 {cookie:?} after {:?}",
                self.at
            );
            let new = self.seen.insert(cookie);
            assert!(
                new,
                "law: no cookie comes twice in a scan; {name:?} has {cookie:?}"
            );
            self.at = cookie;
            if let Some((name, entry)) = entry {
                drop(self.kernel.keep(&self.held, &name, &entry));
            }
            if cookie > Cookie::DOT_DOT {
                listed.push(Listed {
                    name,
                    ino,
                    kind: kind.into(),
                });
            }
        }
        listed
    }
}
