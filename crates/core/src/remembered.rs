//! What objects told of themselves, kept on this machine over the end of the mount: for each folder a
//! [`Manifest`] in a [`Notes`].
//!
//! Laws:
//! - What is kept is believed only of an object that a listing, believed at that moment, shows with the same
//!   version, size and date; then it is as good as an answer of the store, until the listing is not believed
//!   any more.
//! - It is looked at once for each listing that brought something new, and written when nothing more was learnt
//!   for a while. Nobody waits for the writing.
//! - Nothing depends on it: without it, and whatever is wrong with it, the store is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cloudmount_cache::notes::{Note, Notes};
use cloudmount_store::{Metadata, Tags, Version};
use cloudmount_vfs::{Cookie, InodeId, Instant, NodeKind, Timestamp};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::Attributes;
use crate::core::Inner;
use crate::manifest::{self, Binding, Known, Manifest, Unreadable};
use crate::naming;
use crate::node::{Content, Node, Standing, State};
use crate::seen;

/// How long nothing more is learnt of a folder before what is known of it is written: so that a listing, which
/// asks for its entries one after the other, is written once.
const QUIET: Duration = Duration::from_secs(5);

/// How long it is put off at most.
const PUT_OFF_MAX: Duration = Duration::from_secs(60);

/// Folders that wait to be written, at most: beyond, the one that waits for the longest is not.
const WAITING_MAX: usize = 4096;

/// How long after an object was written its date may still be that of another change: stores have dates in
/// whole seconds, and clocks that are kept right differ by less than one.
const YOUNG: Duration = Duration::from_secs(2);

/// Entries that are looked at under one lock of the table.
const BATCH: usize = 256;

/// What is kept, and what waits to be.
pub(crate) struct Remembered {
    notes: Option<Notes>,
    inner: Weak<Inner>,
    runtime: Handle,
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

/// What is to be done next.
enum Next {
    Write(InodeId),
    Sleep(Duration),
}

/// Of a folder: how often listings brought something new, and of how many that was looked up.
#[derive(Debug, Default)]
pub(crate) struct Recollection {
    brought: u64,
    looked_up: u64,
    /// How long the last listing is believed.
    until: Option<Instant>,
}

/// Something that only a listing has told of.
struct Stranger {
    ino: InodeId,
    /// The last part of its key.
    part: String,
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
    async fn read(&self, prefix: String) -> Manifest {
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
                inner.remember(dir).await;
                continue;
            }
            Some(Next::Sleep(time)) => inner.clock.sleep(time),
        };
        drop(inner);
        sleep.await;
    }
}

impl Recollection {
    /// A listing, believed until then, has brought something new.
    pub(crate) fn brought(&mut self, until: Instant) {
        self.brought += 1;
        self.until = Some(until);
    }

    /// Which listing is to be looked up now, and how long it is believed.
    fn due(&self, now: Instant) -> Option<(u64, Instant)> {
        let until = self.until.filter(|until| now < *until)?;
        (self.looked_up < self.brought).then_some((self.brought, until))
    }
}

impl Inner {
    /// Whether anything is kept, or could be of use.
    pub(crate) fn remembers(&self) -> bool {
        self.remembered.notes.is_some() && self.settings.attributes == Attributes::Full
    }

    /// The store has told of an entry of a folder, and that may be kept.
    pub(crate) fn learnt_below(&self, dir: InodeId) {
        if self.remembers() {
            self.remembered.mark(dir, self.now());
        }
    }

    /// Whether an object is so young that another change may have the same date.
    pub(crate) fn is_young(&self, modified: Timestamp) -> bool {
        self.clock.wall().saturating_since(modified) < YOUNG
    }

    /// Looks up the entries of a folder of which only a listing has told.
    pub(crate) async fn recollect(&self, dir: InodeId) {
        if !self.remembers() {
            return;
        }
        let Some(folder) = self.table().get(dir).map(|found| found.payload) else {
            return;
        };
        let (Some(gate), Some(recollection)) = (folder.gate(), folder.recollection()) else {
            return;
        };
        if recollection.lock().due(self.now()).is_none() {
            return;
        }
        // Who comes meanwhile finds them known.
        let _one = gate.lock().await;
        let Some((listing, until)) = recollection.lock().due(self.now()) else {
            return;
        };
        if let Some((prefix, strangers)) = self.strangers(dir) {
            let mut manifest = self.remembered.read(prefix).await;
            for batch in strangers.chunks(BATCH) {
                self.recognise(batch, &mut manifest, until);
            }
        }
        recollection.lock().looked_up = listing;
    }

    /// The entries of `dir` of which only a listing has told; `None` if there are none.
    fn strangers(&self, dir: InodeId) -> Option<(String, Vec<Stranger>)> {
        let prefix = self.prefix(&self.table(), dir).ok()?;
        let mut strangers = Vec::new();
        self.each_object(dir, |ino, part, node| {
            if node.lock().standing == Standing::Listed {
                strangers.push(Stranger { ino, part });
            }
        });
        (!strangers.is_empty()).then_some((prefix, strangers))
    }

    /// Visits the files and symlinks of a folder that are in memory, a few under each lock of the table.
    fn each_object(&self, dir: InodeId, mut visit: impl FnMut(InodeId, String, &Node)) {
        let mut after = Cookie::START;
        loop {
            let table = self.table();
            let Ok(children) = table.children(dir, after, BATCH) else {
                return;
            };
            let Some(last) = children.last() else {
                return;
            };
            after = last.cookie;
            for child in children {
                let Some(found) = child.found.filter(|_| child.kind != NodeKind::Directory) else {
                    continue;
                };
                if let Ok(part) = naming::part_of(&child.name, &self.long) {
                    visit(found.ino, part.text, &found.payload);
                }
            }
        }
    }

    /// Takes over what is known of these, as far as it is bound to what was listed.
    fn recognise(&self, strangers: &[Stranger], manifest: &mut Manifest, until: Instant) {
        let mut table = self.table();
        for Stranger { ino, part } in strangers {
            let Some(known) = manifest.entries.remove(part) else {
                continue;
            };
            let Some(inode) = table.get(*ino) else {
                continue;
            };
            let is_it = {
                let state = inode.payload.lock();
                let listed = state
                    .binding()
                    .filter(|_| state.standing == Standing::Listed);
                listed.is_some_and(|listed| listed.is_same(&known.binding))
            };
            let Ok(Some(key)) = self.key(&table, &inode.payload) else {
                continue;
            };
            if !is_it {
                continue;
            }
            let answer = (Some(known.meta()), None);
            let Ok(inode) = self.learn(&mut table, inode, &key, answer) else {
                continue;
            };
            let mut state = inode.payload.lock();
            if let Standing::Known(_) = state.standing {
                state.standing = Standing::Known(until);
            }
            state.put_target(&known);
        }
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
        let was = before.clone();
        manifest.add_missing(before, |part| !is_listed || self.has_part(dir, part));
        if manifest != was {
            self.remembered.write(prefix, manifest).await;
        }
    }

    fn has_part(&self, dir: InodeId, part: &str) -> bool {
        let table = self.table();
        let names = seen::names_of(part, &self.long);
        names.iter().any(|name| table.kind_of(dir, name).is_some())
    }

    /// Writes all that waits, at once.
    pub(crate) async fn remember_all(&self) {
        for dir in self.remembered.take_all() {
            self.remember(dir).await;
        }
    }
}

impl State {
    /// Which object this is, as far as its date is known.
    fn binding(&self) -> Option<Binding> {
        let (version, size) = match &self.content {
            Content::Object(object) => (Version::new(Arc::clone(&object.version)), object.size),
            Content::Link { version, size, .. } => (version.clone()?, *size),
            Content::Folder { .. } | Content::Staged(_) => return None,
        };
        let binding = Binding {
            version,
            size,
            modified: self.modified?,
        };
        (!binding.version.as_str().is_empty()).then_some(binding)
    }

    /// What may be kept of this object.
    fn known(&self) -> Option<Known> {
        let is_sure = matches!(self.standing, Standing::Known(_)) && !self.is_young;
        let binding = self.binding().filter(|_| is_sure)?;
        let target = match &self.content {
            Content::Link { target, .. } => target.clone(),
            _ => None,
        };
        Some(Known {
            binding,
            metadata: self.metadata.clone(),
            target,
        })
    }

    fn put_target(&mut self, known: &Known) {
        if let Content::Link {
            target,
            version,
            size,
        } = &mut self.content
            && version.as_ref() == Some(&known.binding.version)
            && let Some(told) = &known.target
            && told.len() as u64 == *size
        {
            *target = Some(told.clone());
        }
    }
}

/// Metadata that were written, as the store tells them.
pub(crate) fn as_told(mut metadata: Metadata) -> Metadata {
    if let Tags::These(tags) = &metadata.tags {
        metadata.tags = match u16::try_from(tags.len()) {
            Ok(0) => Tags::None,
            count => Tags::Unread(count.unwrap_or(u16::MAX)),
        };
    }
    metadata
}
