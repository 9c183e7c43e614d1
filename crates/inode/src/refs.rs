//! Who holds an inode, and what becomes of those that nobody holds.
//!
//! Law: an inode without a name is freed by the call that takes back its last lookup or pin. One
//! with a name stays, and may be cooled once nobody needs its payload: it is held by nobody, exists
//! in the store too, and has no child with a payload.

use cloudmount_vfs::InodeId;

use crate::dir::Dir;
use crate::error::TableError;
use crate::node::{Entry, Locality, Neighbours, Node};
use crate::table::InodeTable;

/// The inodes that may be cooled, in the order in which they became so. The links are in the nodes,
/// so that each step costs the same however long the list is.
#[derive(Debug, Default)]
pub(crate) struct IdleList {
    pub(crate) first: Option<InodeId>,
    pub(crate) last: Option<InodeId>,
    len: usize,
}

impl IdleList {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl<P: Clone> InodeTable<P> {
    /// Counts one lookup of `ino`: an entry that is handed to the kernel.
    ///
    /// # Errors
    /// `NotFound` if it is unknown or cold.
    pub fn remember(&mut self, ino: InodeId) -> Result<(), TableError> {
        self.hold(ino, |node| node.lookups += 1)
    }

    /// Takes back `count` lookups of `ino`, at most all. Returns the payload if that frees the
    /// inode.
    pub fn forget(&mut self, ino: InodeId, count: u64) -> Option<P> {
        self.let_go(ino, |node| {
            node.lookups = node.lookups.saturating_sub(count);
        })
    }

    /// Holds `ino`, as an open handle or staged bytes do.
    ///
    /// # Errors
    /// `NotFound` if it is unknown or cold.
    pub fn pin(&mut self, ino: InodeId) -> Result<(), TableError> {
        self.hold(ino, |node| node.pins += 1)
    }

    /// Takes back one pin of `ino`. Returns the payload if that frees the inode.
    pub fn unpin(&mut self, ino: InodeId) -> Option<P> {
        self.let_go(ino, |node| node.pins = node.pins.saturating_sub(1))
    }

    /// Cools inodes that nobody needs, those first that became so first, until `keep` of them are
    /// left or `max` were cooled. Their names, kinds and numbers stay. Returns their payloads.
    pub fn reclaim(&mut self, keep: usize, max: usize) -> Vec<P> {
        let mut payloads = Vec::new();
        while self.idle.len > keep && payloads.len() < max {
            let Some(payload) = self.idle.first.and_then(|ino| self.cool(ino)) else {
                break;
            };
            payloads.push(payload);
        }
        payloads
    }

    /// Puts an inode into the idle list or takes it out, as it deserves. Called after each change of
    /// what that depends on.
    pub(crate) fn settle(&mut self, ino: InodeId) {
        let Some(node) = self.node(ino) else {
            return;
        };
        match (is_idle(node), node.idle) {
            (true, None) => self.append(ino),
            (false, Some(at)) => self.detach(ino, at),
            _ => {}
        }
    }

    fn hold(&mut self, ino: InodeId, count: impl FnOnce(&mut Node<P>)) -> Result<(), TableError> {
        match self.node_mut(ino) {
            Some(node) if node.payload.is_some() => count(node),
            _ => return Err(TableError::NotFound),
        }
        self.settle(ino);
        Ok(())
    }

    fn let_go(&mut self, ino: InodeId, count: impl FnOnce(&mut Node<P>)) -> Option<P> {
        let node = self.node_mut(ino)?;
        let was_held = node.is_held();
        count(node);
        if node.is_held() {
            return None;
        }
        if was_held && node.link.is_none() && ino != InodeId::ROOT {
            self.orphans -= 1;
            return self.bare(ino);
        }
        self.settle(ino);
        None
    }

    fn cool(&mut self, ino: InodeId) -> Option<P> {
        let node = self.node_mut(ino)?;
        let link = node.link?;
        let payload = node.payload.take()?;
        self.warm -= 1;
        self.settle(ino);
        self.edit(link.parent, |dir| dir.warm -= 1);
        self.settle(link.parent);
        self.shrink(ino);
        Some(payload)
    }

    /// Keeps only the place of a cold inode below which nothing is known that could not be asked
    /// again.
    pub(crate) fn shrink(&mut self, ino: InodeId) {
        let Some(node) = self.node(ino) else {
            return;
        };
        let (None, Some(link)) = (&node.payload, node.link) else {
            return;
        };
        if !node.dir.as_deref().is_none_or(Dir::is_blank) {
            return;
        }
        self.edit(ino, Dir::clear);
        if let Some(entry) = self.entries.get_mut(ino) {
            *entry = Entry::Bare(link);
        }
    }

    fn append(&mut self, ino: InodeId) {
        let before = self.idle.last.replace(ino);
        match before.and_then(|before| self.neighbours(before)) {
            Some(last) => last.after = Some(ino),
            None => self.idle.first = Some(ino),
        }
        if let Some(node) = self.node_mut(ino) {
            node.idle = Some(Neighbours {
                before,
                after: None,
            });
        }
        self.idle.len += 1;
    }

    fn detach(&mut self, ino: InodeId, at: Neighbours) {
        match at.before.and_then(|before| self.neighbours(before)) {
            Some(before) => before.after = at.after,
            None => self.idle.first = at.after,
        }
        match at.after.and_then(|after| self.neighbours(after)) {
            Some(after) => after.before = at.before,
            None => self.idle.last = at.before,
        }
        if let Some(node) = self.node_mut(ino) {
            node.idle = None;
        }
        self.idle.len -= 1;
    }

    fn neighbours(&mut self, ino: InodeId) -> Option<&mut Neighbours> {
        self.node_mut(ino)?.idle.as_mut()
    }
}

/// Whether nobody needs the payload. The root is never linked, so never idle.
pub(crate) fn is_idle<P>(node: &Node<P>) -> bool {
    node.payload.is_some()
        && node.link.is_some()
        && !node.is_held()
        && node.locality == Locality::Remote
        && node.dir.as_ref().is_none_or(|dir| dir.warm == 0)
}
