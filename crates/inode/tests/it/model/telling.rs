//! The model: what is known of its nodes.

use cloudmount_inode::{Found, Locality, Stats};
use cloudmount_vfs::{Generation, InodeId, Instant, Name};

use super::{Model, Positive, ROOT, is_tombstone};

impl Model {
    pub(crate) fn get(&self, ino: InodeId) -> Option<Found<u64>> {
        let node = self.node(ino)?;
        Some(Found {
            ino,
            generation: Generation(0),
            kind: node.kind,
            payload: node.payload?,
        })
    }

    pub(crate) fn parent_of(&self, ino: InodeId) -> Option<(InodeId, Name)> {
        let positive = self.names.iter().find(|positive| positive.ino == ino)?;
        Some((positive.dir, positive.name.clone()))
    }

    pub(crate) fn path(&self, ino: InodeId) -> Option<Vec<Name>> {
        if ino == ROOT {
            return Some(Vec::new());
        }
        let (dir, name) = self.parent_of(ino)?;
        let mut path = self.path(dir)?;
        path.push(name);
        Some(path)
    }

    pub(crate) fn is_linked(&self, ino: InodeId) -> bool {
        self.path(ino).is_some()
    }

    pub(crate) fn locality(&self, ino: InodeId) -> Option<Locality> {
        Some(match self.node(ino)?.local {
            true => Locality::Local,
            false => Locality::Remote,
        })
    }

    pub(crate) fn children(&self, dir: InodeId) -> Vec<Positive> {
        let mut children: Vec<Positive> = self
            .names
            .iter()
            .filter(|p| p.dir == dir)
            .cloned()
            .collect();
        children.sort_by_key(|positive| positive.cookie);
        children
    }

    pub(crate) fn is_listed(&self, dir: InodeId, now: Instant) -> bool {
        self.dir(dir).is_some_and(|dir| dir.listed_until > now)
    }

    /// Until when the name that leads there is believed, unless it is local.
    pub(crate) fn believed_until(&self, ino: InodeId) -> Option<Instant> {
        let positive = self.names.iter().find(|positive| positive.ino == ino)?;
        (!self.node(ino).unwrap().local).then_some(positive.until)
    }

    pub(crate) fn below(&self, dir: InodeId) -> Vec<InodeId> {
        let is_below = |ino: &InodeId| self.ancestors(*ino).contains(&dir);
        self.nodes
            .iter()
            .map(|node| node.ino)
            .filter(is_below)
            .collect()
    }

    pub(crate) fn local_below(&self, dir: InodeId) -> u64 {
        let is_local = |ino: &&InodeId| self.node(**ino).unwrap().local;
        self.below(dir).iter().filter(is_local).count() as u64
    }

    pub(crate) fn stats(&self) -> Stats {
        let tombstones = self
            .ghosts
            .iter()
            .filter(|ghost| is_tombstone(ghost))
            .count();
        Stats {
            inodes: self.nodes.len(),
            warm: self
                .nodes
                .iter()
                .filter(|node| node.payload.is_some())
                .count(),
            reclaimable: self.nodes.iter().filter(|node| self.is_idle(node)).count(),
            orphans: self
                .nodes
                .iter()
                .filter(|node| !self.is_linked(node.ino))
                .count(),
            dentries: self.names.len(),
            local: self.nodes.iter().filter(|node| node.local).count() as u64,
            negatives: self.ghosts.len() - tombstones,
            tombstones,
        }
    }

    /// Whom `name` leads to.
    pub(crate) fn leads_to(&self, dir: InodeId, name: &Name) -> Option<InodeId> {
        Some(self.positive(dir, name)?.ino)
    }
}
