//! What objects told of themselves, kept on this machine over the end of the mount: for each folder a
//! [`Manifest`] in a [`Notes`].
//!
//! The same form lies in the bucket, where that is set: see `published`.
//!
//! Laws:
//! - Only what the store told of an object, or took from here, is kept, bound to just this object. How it is used is in
//!   `recollection`.
//! - It is written when nothing more was learnt for a while. Nobody waits for the writing.
//! - Nothing depends on it: without it, and whatever is wrong with it, the store is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloudmount_cache::notes::{Note, Notes};
use cloudmount_vfs::{InodeId, Instant};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::Attributes;
use crate::core::{Inner, Table};
use crate::manifest::{self, Manifest, Outcome, Unreadable};
use crate::published::Published;

/// How long nothing more is learnt of a folder before what is known of it is written: so that a listing, which
/// asks for its entries one after the other, is written once.
const QUIET: Duration = Duration::from_secs(5);

/// How long it is put off at most.
const PUT_OFF_MAX: Duration = Duration::from_secs(60);

/// Folders that wait to be written, at most: beyond, the one that waits for the longest is not.
const WAITING_MAX: usize = 4096;

/// What is kept, and what waits to be.
pub(crate) struct Remembered {
    notes: Option<Notes>,
    inner: Weak<Inner>,
    pub(crate) runtime: Handle,
    /// Held by those who write a manifest, each, and by who wants that nobody does. Never with another lock.
    pub(crate) publishing: tokio::sync::RwLock<()>,
    /// Held by who keeps something: one at a time.
    keeping: tokio::sync::Mutex<()>,
    waiting: Mutex<Waiting>,
    /// Whether the disk failed the last time: that is said once.
    is_failing: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    folders: BTreeMap<InodeId, Wait>,
    is_worked_at: bool,
}

/// Of a folder of which something was learnt.
#[derive(Clone, Copy)]
struct Wait {
    first: Instant,
    last: Instant,
}

/// Why what is known is kept now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// Nothing more was learnt for a while.
    Quiet,
    /// It is the last one.
    End,
}

/// What is to be done next.
enum Next {
    Write(InodeId),
    Sleep(Duration),
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f.debug_struct("Remembered"))
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

impl Remembered {
    pub(crate) fn new(inner: Weak<Inner>, runtime: Handle, notes: Option<Notes>) -> Self {
        Self {
            notes,
            inner,
            runtime,
            publishing: tokio::sync::RwLock::default(),
            keeping: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Something was learnt of an entry of `dir`.
    fn mark(&self, dir: InodeId, now: Instant) {
        let mut waiting = self.waiting.lock();
        let wait = Wait {
            first: now,
            last: now,
        };
        waiting.folders.entry(dir).or_insert(wait).last = now;
        if waiting.folders.len() > WAITING_MAX {
            let oldest = waiting.folders.iter().min_by_key(|(_, wait)| wait.first);
            let oldest = oldest.map(|(dir, _)| *dir);
            oldest.map(|dir| waiting.folders.remove(&dir));
        }
        if !waiting.is_worked_at {
            waiting.is_worked_at = true;
            self.runtime.spawn(work(Weak::clone(&self.inner)));
        }
    }

    /// `None` ends the task that asks.
    fn next(&self, now: Instant) -> Option<Next> {
        let mut waiting = self.waiting.lock();
        let due = |wait: &Wait| (wait.last + QUIET).min(wait.first + PUT_OFF_MAX);
        let first = waiting.folders.iter().min_by_key(|(_, wait)| due(wait));
        let Some((&dir, wait)) = first else {
            waiting.is_worked_at = false;
            return None;
        };
        let due = due(wait);
        if due > now {
            return Some(Next::Sleep(due.saturating_since(now)));
        }
        waiting.folders.remove(&dir);
        Some(Next::Write(dir))
    }

    fn take_all(&self) -> Vec<InodeId> {
        let mut waiting = self.waiting.lock();
        std::mem::take(&mut waiting.folders).into_keys().collect()
    }

    /// What is kept of the folder with that prefix. Nothing, if that cannot be had.
    pub(crate) async fn read(&self, prefix: String) -> Manifest {
        let Some(notes) = self.notes.clone() else {
            return Manifest::default();
        };
        let looking = self.runtime.spawn_blocking(move || {
            let note = notes.read(&prefix)?;
            Ok::<_, io::Error>(match note {
                Note::Absent => Ok(Manifest::default()),
                Note::Damaged => Err(Unreadable::Damaged),
                Note::There(bytes) => manifest::decode(&bytes),
            })
        });
        match looking.await {
            Ok(Ok(Ok(manifest))) => manifest,
            Ok(Ok(Err(why))) => {
                tracing::warn!(?why, "what was known of a folder is thrown away");
                Manifest::default()
            }
            Ok(Err(error)) => {
                self.failed(&error);
                Manifest::default()
            }
            // The runtime ends.
            Err(_) => Manifest::default(),
        }
    }

    async fn write(&self, prefix: String, manifest: Manifest) {
        let Some(notes) = self.notes.clone() else {
            return;
        };
        let writing = self.runtime.spawn_blocking(move || {
            let body = manifest::encode(&manifest, notes.body_bytes_max());
            notes.write(&prefix, &body)
        });
        match writing.await {
            Ok(Ok(())) => self.is_failing.store(false, Ordering::Relaxed),
            Ok(Err(error)) => self.failed(&error),
            Err(_) => {}
        }
    }

    fn failed(&self, error: &io::Error) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "attributes are not kept over the end of this mount");
        }
    }
}

/// Writes what waits, each folder when its time has come.
async fn work(inner: Weak<Inner>) {
    while let Some(inner) = inner.upgrade() {
        let sleep = match inner.remembered.next(inner.now()) {
            None => return,
            Some(Next::Write(dir)) => {
                inner.keep(dir, Moment::Quiet).await;
                continue;
            }
            Some(Next::Sleep(time)) => inner.clock.sleep(time),
        };
        drop(inner);
        sleep.await;
    }
}

impl Inner {
    /// Whether anything is kept, or could be of use.
    pub(crate) fn remembers(&self) -> bool {
        let is_of_use = self.remembered.notes.is_some() || self.reads_manifests();
        is_of_use && self.settings.attributes == Attributes::Full
    }

    /// So many entries of a folder were told of by the store, or put there, and that may be kept. None, if only
    /// their dates were told.
    pub(crate) fn learnt_below(&self, table: &Table, dir: InodeId, entries: u32) {
        if !self.remembers() {
            return;
        }
        let folder = table.get(dir).map(|found| found.payload);
        if let Some(recollection) = folder.as_ref().and_then(|folder| folder.recollection()) {
            let mut recollection = recollection.lock();
            recollection.news = recollection.news.saturating_add(entries);
        }
        self.remembered.mark(dir, self.now());
    }

    /// Of a folder of which something was learnt, what is known of its entries is kept.
    async fn keep(&self, dir: InodeId, moment: Moment) {
        let _one = self.remembered.keeping.lock().await;
        if self.remembered.notes.is_some() {
            self.remember(dir).await;
        }
        let folder = self.table().get(dir).map(|found| found.payload);
        let Some(recollection) = folder.as_ref().and_then(|folder| folder.recollection()) else {
            return;
        };
        let news = {
            let mut recollection = recollection.lock();
            if !self.writes_manifests() || recollection.news < self.settings.manifest_after {
                return;
            }
            std::mem::take(&mut recollection.news)
        };
        let published = self.publish(dir).await;
        match published {
            Ok(Published::Done) => return,
            Ok(Published::Busy) if moment == Moment::Quiet => self.remembered.mark(dir, self.now()),
            Ok(Published::Busy) => {}
            Err(error) => {
                tracing::warn!(%error, "the manifest of a folder is not written");
            }
        }
        let mut recollection = recollection.lock();
        recollection.news = recollection.news.saturating_add(news);
    }

    /// Writes what is known of the entries of a folder.
    async fn remember(&self, dir: InodeId) {
        let (prefix, is_listed) = {
            let table = self.table();
            let Ok(prefix) = self.prefix(&table, dir) else {
                return;
            };
            (prefix, table.listing_is_valid(dir, self.now()))
        };
        let mut manifest = Manifest::default();
        self.each_object(dir, |_, part, node| {
            if let Some(known) = node.lock().known() {
                manifest.entries.insert(part, known);
            }
        });
        let before = self.remembered.read(prefix.clone()).await;
        let outcome = manifest.add_missing(before, |part| !is_listed || self.has_part(dir, part));
        if outcome == Outcome::Changed {
            self.remembered.write(prefix, manifest).await;
        }
    }

    /// Writes all that waits, at once, and waits for what is being written.
    pub(crate) async fn remember_all(&self) {
        drop(self.remembered.keeping.lock().await);
        for dir in self.remembered.take_all() {
            self.keep(dir, Moment::End).await;
        }
    }
}
