//! How inodes are hung into the tree and taken out, with every count along the way.
//!
//! Law: a dentry's directory is linked up to the root. What was below a directory that is gone is
//! gone too, or an orphan if a caller holds it.

use cloudmount_vfs::{InodeId, Name, NodeKind};

use crate::dentry::{Dentry, Known, Source};
use crate::dir::Dir;
use crate::epoch::Epoch;
use crate::judge::Spot;
use crate::node::{Entry, Found, Link, Locality, Node};
use crate::table::InodeTable;

/// Whether subtree counts go up or down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Up,
    Down,
}

impl<P: Clone> InodeTable<P> {
    /// A new inode without a name; the caller links it. `make` comes first: should it panic, the
    /// table has not changed but for a number that is never given.
    pub(crate) fn conceive(&mut self, kind: NodeKind, make: impl FnOnce(InodeId) -> P) -> Found<P> {
        let next = self.last_ino.get() + 1;
        let ino = InodeId::new(next).expect("2^64 numbers last for 58,000 years");
        self.last_ino = ino;
        let payload = make(ino);
        let node = Node::new(kind, payload.clone(), self.new_dir(kind));
        self.entries.insert(ino, Entry::Full(Box::new(node)));
        self.warm += 1;
        Found {
            ino,
            generation: self.generation,
            kind,
            payload,
        }
    }

    /// Gives a cold inode a new payload.
    pub(crate) fn wake(&mut self, spot: Spot, make: impl FnOnce(InodeId) -> P) -> Found<P> {
        let Spot { link, ino, kind } = spot;
        let payload = make(ino);
        if let Some(node) = self.node_mut(ino) {
            node.payload = Some(payload.clone());
        } else {
            let mut node = Node::new(kind, payload.clone(), self.new_dir(kind));
            node.link = Some(link);
            self.entries.insert(ino, Entry::Full(Box::new(node)));
        }
        self.warm += 1;
        self.edit(link.parent, |dir| dir.warm += 1);
        self.settle(link.parent);
        self.settle(ino);
        Found {
            ino,
            generation: self.generation,
            kind,
            payload,
        }
    }

    /// Adds a dentry for a name that has none, and links its inode.
    pub(crate) fn plant(&mut self, parent: InodeId, name: &Name, known: Known) {
        let ino = known.ino;
        let cookie = self.edit(parent, |dir| {
            dir.lay(name);
            dir.insert(name, known)
        });
        if let Some(cookie) = cookie {
            self.adopt(ino, Link { parent, cookie });
        }
    }

    /// Makes the dentry at `link` lead to another inode, which must be unlinked; what it led to
    /// before is released by the caller.
    pub(crate) fn graft(&mut self, link: Link, change: impl FnOnce(&mut Dentry)) {
        let ino = self.edit(link.parent, |dir| {
            let dentry = dir.dentry_mut(link.cookie)?;
            change(dentry);
            Some(dentry.ino)
        });
        if let Some(ino) = ino.flatten() {
            self.adopt(ino, link);
        }
    }

    /// Links a full, unlinked inode, and counts it in its ancestors.
    pub(crate) fn adopt(&mut self, ino: InodeId, link: Link) {
        let Some(node) = self.node_mut(ino) else {
            return;
        };
        node.link = Some(link);
        let weight = node.local_weight();
        let is_warm = node.payload.is_some();
        self.weigh(link.parent, weight, Step::Up);
        self.edit(link.parent, |dir| dir.warm += usize::from(is_warm));
        self.settle(link.parent);
        self.settle(ino);
    }

    /// Unlinks a full inode, and takes it out of its ancestors' counts. Its dentry is the caller's.
    pub(crate) fn release(&mut self, ino: InodeId) {
        let Some(node) = self.node_mut(ino) else {
            return;
        };
        let weight = node.local_weight();
        let is_warm = node.payload.is_some();
        let Some(link) = node.link.take() else {
            return;
        };
        self.weigh(link.parent, weight, Step::Down);
        self.edit(link.parent, |dir| dir.warm -= usize::from(is_warm));
        self.settle(link.parent);
        self.settle(ino);
    }

    /// Unlinks an inode whose dentry is taken or grafted already. It becomes an orphan if a caller
    /// holds it, and is freed otherwise; so is all that was below it. `None` if it was cold.
    pub(crate) fn retire(&mut self, ino: InodeId) -> Option<Found<P>> {
        let found = self.get(ino);
        self.release(ino);
        let mut gone = vec![ino];
        let mut next = 0;
        while let Some(&at) = gone.get(next) {
            gone.extend(self.edit(at, Dir::clear).unwrap_or_default());
            next += 1;
        }
        for ino in gone {
            self.cut(ino);
        }
        found
    }

    /// Makes one inode an orphan, or frees it. Its directory's counts are gone already.
    fn cut(&mut self, ino: InodeId) {
        if let Some(node) = self.node_mut(ino) {
            node.link = None;
            node.locality = Locality::Remote;
            if node.is_held() {
                self.orphans += 1;
                self.settle(ino);
                return;
            }
        }
        self.settle(ino);
        self.bare(ino);
    }

    /// Takes a number out of the table. It must be in no list.
    pub(crate) fn bare(&mut self, ino: InodeId) -> Option<P> {
        let entry = self.entries.remove(ino);
        let Some(Entry::Full(node)) = entry else {
            return None;
        };
        self.warm -= usize::from(node.payload.is_some());
        node.payload
    }

    /// Takes the dentry out, and retires its inode.
    pub(crate) fn uproot(&mut self, link: Link) -> Option<Found<P>> {
        let ino = self.edit(link.parent, |dir| dir.take(link.cookie))??;
        self.retire(ino)
    }

    /// Marks a warm inode, and counts it in its ancestors if it is linked.
    pub(crate) fn mark(&mut self, ino: InodeId, locality: Locality) {
        let Some(node) = self.node_mut(ino) else {
            return;
        };
        if node.locality == locality {
            return;
        }
        node.locality = locality;
        if let Some(link) = node.link {
            let step = match locality {
                Locality::Local => Step::Up,
                Locality::Remote => Step::Down,
            };
            self.weigh(link.parent, 1, step);
        }
        self.settle(ino);
    }

    /// Whether `ino` is `above` itself or lies below it.
    pub(crate) fn is_at_or_below(&self, ino: InodeId, above: InodeId) -> bool {
        self.with_ancestors(ino).any(|at| at == above)
    }

    /// Whether `dir`, or a directory above it, was moved after `epoch`.
    pub(crate) fn moved_since(&self, dir: InodeId, epoch: Epoch) -> bool {
        self.with_ancestors(dir)
            .any(|at| self.dir(at).is_some_and(|dir| dir.moved > epoch))
    }

    /// `ino`, its directory, and so on up to the root.
    pub(crate) fn with_ancestors(&self, ino: InodeId) -> impl Iterator<Item = InodeId> {
        std::iter::successors(Some(ino), |at| Some(self.link(*at)?.parent))
    }

    fn weigh(&mut self, from: InodeId, weight: u64, step: Step) {
        let mut next = (weight > 0).then_some(from);
        while let Some(at) = next {
            self.edit(at, |dir| match step {
                Step::Up => dir.locals += weight,
                Step::Down => dir.locals -= weight,
            });
            next = self.link(at).map(|link| link.parent);
        }
    }

    fn new_dir(&self, kind: NodeKind) -> Option<Box<Dir>> {
        (kind == NodeKind::Directory).then(|| Box::new(Dir::new(self.epoch)))
    }
}

impl Dentry {
    /// Records a change made here.
    pub(crate) const fn change_here(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.source = Source::Here;
    }

    /// Makes it lead elsewhere.
    pub(crate) const fn lead_to(&mut self, ino: InodeId, kind: NodeKind) {
        self.ino = ino;
        self.kind = kind;
    }
}
