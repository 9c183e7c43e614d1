//! [`InodeTable`]: its parts, and what can be asked of it without a change.

use std::collections::VecDeque;
use std::time::Duration;

use cloudmount_vfs::{Generation, InodeId, Instant, Name, NodeKind};

use crate::dentry::{Dentry, Ghost, GhostKind};
use crate::dir::{Dir, GhostCount};
use crate::epoch::{Asked, Deadline, Epoch};
use crate::error::TableError;
use crate::node::{Entry, Found, Link, Locality, Node};
use crate::numbers::Numbers;
use crate::refs::IdleList;

/// How long local changes are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableSettings {
    /// How long a removed name is remembered once the store has removed it too. It must exceed the
    /// longest deadline of a remote operation. An answer that arrives later still is refused, but
    /// with it all answers of that age about unknown names of the directory.
    pub guard: Duration,
    /// For stores that list eventually: after a local change has reached the store, answers to
    /// questions within this time that contradict it are ignored. Zero for consistent stores.
    pub cooldown: Duration,
}

/// What a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Numbers in use: linked inodes, warm or cold, and orphans.
    pub inodes: usize,
    /// Inodes with a payload.
    pub warm: usize,
    /// Of these, the ones that [`InodeTable::reclaim`] may cool.
    pub reclaimable: usize,
    /// Inodes without a name that a caller still holds.
    pub orphans: usize,
    /// Names that exist.
    pub dentries: usize,
    /// Of these, the ones that exist only here.
    pub local: u64,
    /// Names that are remembered as absent.
    pub negatives: usize,
    /// Names that were removed here, confirmed or not.
    pub tombstones: usize,
}

/// A tombstone to be dropped: when, and which.
#[derive(Debug)]
pub(crate) struct Grave {
    pub(crate) forget: Deadline,
    pub(crate) dir: InodeId,
    pub(crate) name: Name,
}

/// How many tombstones one call drops at most. More than one, so that a backlog shrinks; few, so
/// that no call pays for a folder of a million removed files.
const PURGE_STEP: usize = 8;

/// The inodes of a mount, and the names that lead to them. See the crate's documentation.
#[derive(Debug)]
pub struct InodeTable<P> {
    pub(crate) entries: Numbers<Entry<P>>,
    pub(crate) settings: TableSettings,
    pub(crate) generation: Generation,
    pub(crate) last_ino: InodeId,
    pub(crate) epoch: Epoch,
    pub(crate) idle: IdleList,
    /// Confirmed tombstones, the oldest first.
    pub(crate) graves: VecDeque<Grave>,
    pub(crate) warm: usize,
    pub(crate) orphans: usize,
    pub(crate) ghosts: GhostCount,
}

impl<P: Clone> InodeTable<P> {
    /// A table that holds the root only.
    #[must_use]
    pub fn new(settings: TableSettings, root: P) -> Self {
        let mut entries = Numbers::new();
        let dir = Box::new(Dir::new(Epoch::NONE));
        let node = Node::new(NodeKind::Directory, root, Some(dir));
        entries.insert(InodeId::ROOT, Entry::Full(Box::new(node)));
        Self {
            entries,
            settings,
            generation: Generation::default(),
            last_ino: InodeId::ROOT,
            epoch: Epoch::NONE,
            idle: IdleList::default(),
            graves: VecDeque::new(),
            warm: 1,
            orphans: 0,
            ghosts: GhostCount::default(),
        }
    }

    /// The same table with a generation of its own, for protocols whose clients outlive a mount.
    #[must_use]
    pub const fn with_generation(mut self, generation: Generation) -> Self {
        self.generation = generation;
        self
    }

    /// The inode of that number; `None` if it is unknown or cold.
    #[must_use]
    pub fn get(&self, ino: InodeId) -> Option<Found<P>> {
        let node = self.node(ino)?;
        Some(Found {
            ino,
            generation: self.generation,
            kind: node.kind,
            payload: node.payload.clone()?,
        })
    }

    /// The directory and name that lead to `ino`, also if it is cold; `None` for the root, orphans
    /// and unknown numbers.
    #[must_use]
    pub fn parent_of(&self, ino: InodeId) -> Option<(InodeId, Name)> {
        let link = self.link(ino)?;
        let dir = self.dir(link.parent)?;
        Some((link.parent, dir.name_of(dir.dentry(link.cookie)?)))
    }

    /// The names from the root to `ino`, none for the root itself; `None` for orphans and unknown
    /// numbers.
    #[must_use]
    pub fn path(&self, ino: InodeId) -> Option<Vec<Name>> {
        let mut names = Vec::new();
        let mut at = ino;
        while at != InodeId::ROOT {
            let (parent, name) = self.parent_of(at)?;
            names.push(name);
            at = parent;
        }
        names.reverse();
        Some(names)
    }

    /// Whether a name leads to `ino`. The root counts as linked.
    #[must_use]
    pub fn is_linked(&self, ino: InodeId) -> bool {
        ino == InodeId::ROOT || self.link(ino).is_some()
    }

    /// Where `ino` is known to exist; `None` if it is unknown. Orphans are remote.
    #[must_use]
    pub fn locality(&self, ino: InodeId) -> Option<Locality> {
        match self.entries.get(ino)? {
            Entry::Bare(_) => Some(Locality::Remote),
            Entry::Full(node) => Some(node.locality),
        }
    }

    /// How many local names there are below `dir`, at any depth.
    #[must_use]
    pub fn local_below(&self, dir: InodeId) -> u64 {
        self.dir(dir).map_or(0, |dir| dir.locals)
    }

    /// What the table holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            inodes: self.entries.len(),
            warm: self.warm,
            reclaimable: self.idle.len(),
            orphans: self.orphans,
            dentries: self.entries.len() - 1 - self.orphans,
            local: self.local_below(InodeId::ROOT),
            negatives: self.ghosts.negatives,
            tombstones: self.ghosts.tombstones,
        }
    }

    pub(crate) fn node(&self, ino: InodeId) -> Option<&Node<P>> {
        match self.entries.get(ino)? {
            Entry::Full(node) => Some(node),
            Entry::Bare(_) => None,
        }
    }

    pub(crate) fn node_mut(&mut self, ino: InodeId) -> Option<&mut Node<P>> {
        match self.entries.get_mut(ino)? {
            Entry::Full(node) => Some(node),
            Entry::Bare(_) => None,
        }
    }

    /// What is known about a directory's names, warm or cold.
    pub(crate) fn dir(&self, ino: InodeId) -> Option<&Dir> {
        self.node(ino)?.dir.as_deref()
    }

    /// Changes what is known about a directory's names, and keeps the table's counts.
    pub(crate) fn edit<T>(&mut self, ino: InodeId, edit: impl FnOnce(&mut Dir) -> T) -> Option<T> {
        let Some(Entry::Full(node)) = self.entries.get_mut(ino) else {
            return None;
        };
        let dir = node.dir.as_deref_mut()?;
        let before = dir.ghost_count();
        let answer = edit(dir);
        let after = dir.ghost_count();
        self.ghosts.negatives = self.ghosts.negatives + after.negatives - before.negatives;
        self.ghosts.tombstones = self.ghosts.tombstones + after.tombstones - before.tombstones;
        Some(answer)
    }

    /// A directory that callers may use: it has a payload. It may be an orphan.
    pub(crate) fn open_dir(&self, ino: InodeId) -> Result<&Dir, TableError> {
        let node = self.node(ino).ok_or(TableError::NotFound)?;
        if node.payload.is_none() {
            return Err(TableError::NotFound);
        }
        node.dir.as_deref().ok_or(TableError::NotDirectory)
    }

    /// As [`Self::open_dir`], and it is not an orphan: names can be added to it.
    pub(crate) fn linked_dir(&self, ino: InodeId) -> Result<&Dir, TableError> {
        let dir = self.open_dir(ino)?;
        if self.is_linked(ino) {
            Ok(dir)
        } else {
            Err(TableError::NotFound)
        }
    }

    pub(crate) fn link(&self, ino: InodeId) -> Option<Link> {
        match self.entries.get(ino)? {
            Entry::Bare(link) => Some(*link),
            Entry::Full(node) => node.link,
        }
    }

    pub(crate) fn dentry_at(&self, link: Link) -> Option<&Dentry> {
        self.dir(link.parent)?.dentry(link.cookie)
    }

    /// Takes the next place in the order of events.
    pub(crate) const fn tick(&mut self) -> Epoch {
        self.epoch = self.epoch.next();
        self.epoch
    }

    pub(crate) const fn ask(&mut self, now: Instant) -> Asked {
        Asked {
            epoch: self.tick(),
            at: now,
        }
    }

    /// Drops tombstones whose time has come, a few at a time.
    pub(crate) fn purge(&mut self, now: Instant) {
        for _ in 0..PURGE_STEP {
            match self.graves.front() {
                Some(grave) if !grave.forget.is_after(now) => {}
                _ => return,
            }
            if let Some(grave) = self.graves.pop_front() {
                self.edit(grave.dir, |dir| bury(dir, &grave, now));
                self.shrink(grave.dir);
                if self.graves.len() < self.graves.capacity() / 8 {
                    self.graves.shrink_to(self.graves.capacity() / 4);
                }
            }
        }
    }
}

/// Drops the tombstone of a grave, unless the name has another history by now.
fn bury(dir: &mut Dir, grave: &Grave, now: Instant) {
    let Some(ghost) = dir.ghost(&grave.name).copied() else {
        return;
    };
    match ghost.kind {
        GhostKind::Removed { at, forget, .. } if forget == grave.forget => {
            if ghost.until.is_after(now) || ghost.epoch > at {
                let kind = GhostKind::Negative;
                dir.haunt(&grave.name, Ghost { kind, ..ghost }, now);
            } else {
                dir.lay(&grave.name);
                dir.floor = dir.floor.max(at);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Listed;

    /// Bytes for each cold name of a directory with `names` of them, with the name's text of five bytes.
    fn bytes_for_each(names: usize) -> usize {
        let mut table = InodeTable::new(TableSettings::default(), ());
        let now = Instant::default();
        let probe = table.begin_listing(InodeId::ROOT, now).unwrap();
        let entries: Vec<Listed> = (0..names)
            .map(|raw| Listed {
                name: Name::new(&raw.to_string()).unwrap(),
                kind: NodeKind::File,
            })
            .collect();
        let _ = table.apply_listing(probe, &entries, now, now, |_, _| (), |(), _| {});
        assert_eq!(table.reclaim(0, usize::MAX).len(), names);
        assert_eq!(table.stats().warm, 1);
        let dir = table.dir(InodeId::ROOT).unwrap();
        (table.entries.heap_bytes() + dir.dentry_bytes()) / names
    }

    #[test]
    fn a_cold_name_takes_at_most_110_bytes() {
        // Before and after the point where the index of names doubles, and the map of pages, and in between.
        for names in [
            49_151, 49_153, 57_343, 57_345, 65_536, 80_000, 98_303, 98_305,
        ] {
            let bytes = bytes_for_each(names);
            assert!((80..=110).contains(&bytes), "{bytes} bytes of {names}");
        }
        assert_eq!(size_of::<Entry<()>>(), 16);
    }
}
