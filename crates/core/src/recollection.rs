//! What a listing shows is recognised as what was known before: by what is kept on this machine (`remembered`), and
//! by the manifest of its folder (`published`).
//!
//! Laws:
//! - What is kept is believed only of an object that a listing, believed at that moment, shows with the same
//!   version, size and date; and then as long as the listing is.
//! - A folder is looked up at once, for all its entries, and once for each listing that brought something new.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{Metadata, Tags, Version};
use cloudmount_vfs::{Cookie, InodeId, Instant, NodeKind, Timestamp};

use crate::core::Inner;
use crate::doubts::Doubt;
use crate::know::Inode;
use crate::manifest::{Binding, Known, Manifest};
use crate::naming;
use crate::node::{Content, Node, Standing, State};
use crate::published::Seen;
use crate::seen;

/// How long after an object was written its date may still be that of another change: stores have dates in
/// whole seconds, and clocks that are kept right differ by less than one.
const YOUNG: Duration = Duration::from_secs(2);

/// Entries that are looked at under one lock of the table.
const BATCH: usize = 256;

/// What was looked up of the entries of a folder.
#[derive(Debug, Default)]
pub(crate) struct Recollection {
    /// How often listings brought something new.
    brought: u64,
    /// Of how many of them that was looked up.
    looked_up: u64,
    /// How long the last listing is believed.
    until: Option<Instant>,
    /// Its manifest in the bucket, as the last listing shows it.
    pub(crate) manifest: Seen,
    /// Which one was read, or written here.
    pub(crate) read: Option<Version>,
    /// How many entries were learnt, or written, since the manifest was.
    pub(crate) news: u32,
}

/// Whose word it is that an object is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    /// Our own, from before.
    Ours,
    /// That of a manifest in the bucket.
    Theirs,
}

/// Something that only a listing has told of.
struct Stranger {
    ino: InodeId,
    /// The last part of its key.
    part: String,
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
    /// Whether an object is so young that another change may have the same date.
    pub(crate) fn is_young(&self, modified: Timestamp) -> bool {
        self.clock.wall().saturating_since(modified) < YOUNG
    }

    /// Looks up an entry of which only a listing has told, with all others of its folder. Gives the inode that
    /// turned out to stand for it, if that is another one.
    pub(crate) async fn recollect_of(&self, inode: &Inode) -> Option<Inode> {
        let is_stranger =
            || (inode.payload).look(|_| true, |state| state.standing == Standing::Listed);
        if !self.remembers() || inode.kind == NodeKind::Directory || !is_stranger() {
            return None;
        }
        let (dir, name) = self.table().parent_of(inode.ino)?;
        self.recollect(dir).await;
        let table = self.table();
        let now = table.peek(dir, &name)?;
        (now.ino != inode.ino && !table.is_linked(inode.ino)).then_some(now)
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
            let mut manifest = self.remembered.read(prefix.clone()).await;
            let mut left = strangers.len();
            for batch in strangers.chunks(BATCH) {
                left -= self.recognise(batch, &mut manifest, Word::Ours, until);
            }
            if let Some(mut manifest) = self.read_manifest(&folder, &prefix, left).await {
                for batch in strangers.chunks(BATCH) {
                    self.recognise(batch, &mut manifest, Word::Theirs, until);
                }
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
    pub(crate) fn each_object(&self, dir: InodeId, mut visit: impl FnMut(InodeId, String, &Node)) {
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

    /// Takes over what is known of these, as far as it is bound to what was listed; gives of how many.
    fn recognise(
        &self,
        strangers: &[Stranger],
        manifest: &mut Manifest,
        word: Word,
        until: Instant,
    ) -> usize {
        let mut recognised = 0;
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
                    .filter(|_| state.standing == Standing::Listed && state.doubt == Doubt::None);
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
                state.standing = match word {
                    Word::Ours => Standing::Known(until),
                    Word::Theirs => Standing::Told(until),
                };
            }
            state.put_target(&known);
            recognised += 1;
        }
        recognised
    }

    pub(crate) fn has_part(&self, dir: InodeId, part: &str) -> bool {
        let table = self.table();
        let names = seen::names_of(part, &self.long);
        names.iter().any(|name| table.kind_of(dir, name).is_some())
    }
}

impl State {
    /// Whether this is known, but for the date that the store gave it.
    pub(crate) fn lacks_date(&self) -> bool {
        matches!(self.standing, Standing::Known(_)) && self.modified.is_none()
    }

    /// Which object this is, as far as its date is known.
    pub(crate) fn binding(&self) -> Option<Binding> {
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
    pub(crate) fn known(&self) -> Option<Known> {
        let is_sure = matches!(self.standing, Standing::Known(_)) && !self.is_young;
        let binding = self.binding().filter(|_| is_sure)?;
        let target = match &self.content {
            Content::Link { target, .. } => target.clone(),
            _ => None,
        };
        Some(Known {
            binding,
            metadata: self.metadata.get(),
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
