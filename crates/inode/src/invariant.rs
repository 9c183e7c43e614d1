//! What must hold after each operation, whatever came before.

use std::collections::HashSet;
use std::fmt;

use cloudmount_vfs::{Cookie, InodeId, NodeKind};

use crate::dentry::Dentry;
use crate::dir::{Dir, GhostCount, MAX_NEGATIVES};
use crate::node::{Entry, Link, Locality, Node};
use crate::refs::is_idle;
use crate::table::InodeTable;

/// A law of the table that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

type Verdict = Result<(), Violation>;

/// `Ok` if the law holds, or else says for whom it does not.
fn holds(law: bool, ino: InodeId, says: &str) -> Verdict {
    if law {
        Ok(())
    } else {
        Err(Violation(format!("inode {ino}: {says}")))
    }
}

/// What the walk over the tree has counted.
#[derive(Default)]
struct Tally {
    seen: HashSet<InodeId>,
    orphans: usize,
    warm: usize,
    idle: usize,
    ghosts: GhostCount,
}

impl<P: Clone> InodeTable<P> {
    /// Checks every law of the table, in time proportional to its size.
    ///
    /// # Errors
    /// The first law found broken, and where.
    pub fn check(&self) -> Result<(), Violation> {
        let root = InodeId::ROOT;
        let mut tally = Tally::default();
        holds(self.node(root).is_some(), root, "the root is missing")?;
        self.check_tree(&mut tally)?;
        for (ino, entry) in self.entries.iter() {
            holds(ino <= self.last_ino, ino, "its number was never given")?;
            if tally.seen.insert(ino) {
                self.check_orphan(ino, entry, &mut tally)?;
            }
        }
        holds(
            self.warm == tally.warm,
            root,
            "the count of payloads is wrong",
        )?;
        holds(
            self.orphans == tally.orphans,
            root,
            "the count of orphans is wrong",
        )?;
        holds(
            self.ghosts == tally.ghosts,
            root,
            "the count of ghosts is wrong",
        )?;
        self.check_idle(tally.idle)
    }

    /// All that hangs below the root. Each inode is met once, so there is no cycle, and what the
    /// walk does not meet is an orphan.
    fn check_tree(&self, tally: &mut Tally) -> Verdict {
        let mut dirs = vec![InodeId::ROOT];
        let mut order = Vec::new();
        tally.seen.insert(InodeId::ROOT);
        while let Some(at) = dirs.pop() {
            order.push(at);
            for (cookie, dentry) in self.dir(at).into_iter().flat_map(Dir::iter) {
                let child = dentry.ino;
                holds(tally.seen.insert(child), child, "two names lead to it")?;
                let link = Link { parent: at, cookie };
                holds(self.link(child) == Some(link), child, "its link is wrong")?;
                if self.node(child).is_some() {
                    dirs.push(child);
                } else {
                    self.check_bare(dentry)?;
                }
            }
        }
        for ino in order {
            if let Some(node) = self.node(ino) {
                self.check_node(ino, node, tally)?;
            }
        }
        Ok(())
    }

    fn check_bare(&self, dentry: &Dentry) -> Verdict {
        let is_there = matches!(self.entries.get(dentry.ino), Some(Entry::Bare(_)));
        holds(is_there, dentry.ino, "a name leads to a freed inode")
    }

    fn check_node(&self, ino: InodeId, node: &Node<P>, tally: &mut Tally) -> Verdict {
        let is_warm = node.payload.is_some();
        tally.warm += usize::from(is_warm);
        tally.idle += usize::from(node.idle.is_some());
        holds(
            is_idle(node) == node.idle.is_some(),
            ino,
            "its place in the idle list is wrong",
        )?;
        holds(is_warm || !node.is_held(), ino, "it is held and cold")?;
        holds(
            is_warm || node.locality == Locality::Remote,
            ino,
            "it is local and cold",
        )?;
        let is_dir = node.kind == NodeKind::Directory;
        holds(is_dir == node.dir.is_some(), ino, "its kind is wrong")?;
        if let Some(link) = node.link {
            let dentry = self.dentry_at(link);
            let leads_here = dentry.is_some_and(|d| d.ino == ino && d.kind == node.kind);
            holds(leads_here, ino, "its dentry does not lead to it")?;
            let parent = self.node(link.parent);
            let is_held_up = parent.is_some_and(|parent| parent.payload.is_some());
            holds(
                !is_warm || is_held_up,
                ino,
                "it is warm below a cold directory",
            )?;
        }
        let Some(dir) = node.dir.as_deref() else {
            return holds(is_warm, ino, "it is a full node without payload");
        };
        holds(
            is_warm || !dir.is_blank(),
            ino,
            "it is a full node with nothing in it",
        )?;
        self.check_dir(ino, dir, tally)
    }

    fn check_dir(&self, ino: InodeId, dir: &Dir, tally: &mut Tally) -> Verdict {
        let mut last = Cookie::DOT_DOT;
        let mut names = 0;
        let mut locals = 0;
        let mut warm = 0;
        for (cookie, dentry) in dir.iter() {
            holds(cookie > last, ino, "its cookies do not grow")?;
            last = cookie;
            names += 1;
            let name = dir.name_of(dentry);
            let is_indexed = dir.find(&name).is_some_and(|(at, _)| at == cookie);
            holds(is_indexed, ino, "a name is not found by its index")?;
            holds(
                dir.ghost(&name).is_none(),
                ino,
                "a name exists and does not",
            )?;
            holds(
                dentry.epoch <= self.epoch,
                ino,
                "a name is newer than the newest event",
            )?;
            if let Some(child) = self.node(dentry.ino) {
                locals += child.local_weight();
                warm += usize::from(child.payload.is_some());
            }
        }
        holds(dir.len() == names, ino, "its count of names is wrong")?;
        holds(
            dir.locals == locals,
            ino,
            "its count of local names is wrong",
        )?;
        holds(dir.warm == warm, ino, "its count of warm children is wrong")?;
        let tombstones = dir
            .ghosts()
            .filter(|(_, ghost)| ghost.is_tombstone())
            .count();
        let negatives = dir.ghosts().count() - tombstones;
        let counted = GhostCount {
            negatives,
            tombstones,
        };
        holds(
            dir.ghost_count() == counted,
            ino,
            "its count of ghosts is wrong",
        )?;
        holds(negatives <= MAX_NEGATIVES, ino, "it has too many negatives")?;
        tally.ghosts.negatives += negatives;
        tally.ghosts.tombstones += tombstones;
        Ok(())
    }

    /// An inode that the tree does not hold: it has no link, nothing below, and a holder.
    fn check_orphan(&self, ino: InodeId, entry: &Entry<P>, tally: &mut Tally) -> Verdict {
        let Entry::Full(node) = entry else {
            return holds(false, ino, "it is cold and no name leads to it");
        };
        tally.orphans += 1;
        holds(
            node.link.is_none(),
            ino,
            "it is linked to no directory of the tree",
        )?;
        holds(
            node.is_held(),
            ino,
            "nobody holds it and no name leads to it",
        )?;
        holds(
            node.locality == Locality::Remote,
            ino,
            "it is local and has no name",
        )?;
        if let Some(dir) = node.dir.as_deref() {
            let is_empty = dir.len() == 0 && dir.ghosts().count() == 0;
            holds(is_empty, ino, "it is removed and not empty")?;
        }
        self.check_node(ino, node, tally)
    }

    /// The idle list is one chain, both ways, of as many inodes as say they are in it.
    fn check_idle(&self, idle: usize) -> Verdict {
        let mut before = None;
        let mut next = self.idle.first;
        let mut met = 0;
        while let Some(ino) = next {
            let place = self.node(ino).and_then(|node| node.idle);
            holds(
                place.is_some_and(|at| at.before == before),
                ino,
                "the idle list is broken",
            )?;
            met += 1;
            holds(met <= idle, ino, "the idle list is too long")?;
            before = Some(ino);
            next = place.and_then(|at| at.after);
        }
        let root = InodeId::ROOT;
        holds(
            self.idle.last == before,
            root,
            "the idle list ends elsewhere",
        )?;
        holds(
            met == idle && self.idle.len() == idle,
            root,
            "the idle list is too short",
        )
    }
}
