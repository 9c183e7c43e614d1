//! The table again, as plainly as it can be said: vectors, searched from end to end, and every
//! count counted anew each time. Its order of events is the number of the operation.

mod asking;
mod changing;
mod telling;

use std::time::Duration;

use cloudmount_inode::{Belief, Found, TableError, TableSettings};
use cloudmount_vfs::{Cookie, InodeId, Instant, Name, NodeKind};

const ROOT: InodeId = InodeId::ROOT;
const PAST: Instant = Instant::from_start(Duration::ZERO);
const PURGE_STEP: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) ino: InodeId,
    pub(crate) kind: NodeKind,
    pub(crate) payload: Option<u64>,
    pub(crate) lookups: u64,
    pub(crate) pins: u64,
    pub(crate) local: bool,
    pub(crate) idle_since: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Positive {
    pub(crate) dir: InodeId,
    pub(crate) name: Name,
    pub(crate) cookie: Cookie,
    pub(crate) ino: InodeId,
    until: Instant,
    epoch: u64,
    here: bool,
    calm: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Negative,
    Doubt,
    Removing,
    Removed {
        at: u64,
        calm: Instant,
        forget: Instant,
    },
}

#[derive(Clone, Debug)]
struct Ghost {
    dir: InodeId,
    name: Name,
    epoch: u64,
    until: Instant,
    kind: Kind,
}

#[derive(Clone, Debug)]
struct Dir {
    ino: InodeId,
    last_cookie: u64,
    listed: u64,
    listed_until: Instant,
    absent_until: Instant,
    void: u64,
    floor: u64,
    moved: u64,
}

/// What a lookup answers, without the probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    There(Found<u64>),
    Absent,
    Ask,
}

/// When a question was asked: in operations, and on the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) op: u64,
    pub(crate) at: Instant,
}

pub(crate) type Listing = Option<Vec<(Name, Found<u64>)>>;

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) op: u64,
    settings: TableSettings,
    last_ino: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: Vec<Positive>,
    ghosts: Vec<Ghost>,
    dirs: Vec<Dir>,
    graves: Vec<(Instant, InodeId, Name)>,
}

impl Model {
    pub(crate) fn new(settings: TableSettings, root: u64) -> Self {
        let mut model = Self {
            op: 0,
            settings,
            last_ino: 0,
            nodes: Vec::new(),
            names: Vec::new(),
            ghosts: Vec::new(),
            dirs: Vec::new(),
            graves: Vec::new(),
        };
        model.birth(NodeKind::Directory, root);
        model
    }

    pub(crate) fn is_idle(&self, node: &Node) -> bool {
        let is_warm = |ino: InodeId| self.node(ino).unwrap().payload.is_some();
        node.payload.is_some()
            && self.parent_of(node.ino).is_some()
            && node.lookups + node.pins == 0
            && !node.local
            && !self.below(node.ino).into_iter().any(is_warm)
    }

    pub(crate) fn hold(
        &mut self,
        ino: InodeId,
        count: impl FnOnce(&mut Node),
    ) -> Result<(), TableError> {
        match self.node_mut(ino) {
            Some(node) if node.payload.is_some() => count(node),
            _ => return Err(TableError::NotFound),
        }
        Ok(())
    }

    pub(crate) fn let_go(&mut self, ino: InodeId, count: impl FnOnce(&mut Node)) -> Option<u64> {
        let node = self.node_mut(ino)?;
        count(node);
        let payload = node.payload;
        if self.is_linked(ino) || self.is_held(ino) {
            return None;
        }
        self.nodes.retain(|node| node.ino != ino);
        self.dirs.retain(|dir| dir.ino != ino);
        payload
    }

    /// Cools the inode with that payload, which must be one of those that waited longest.
    pub(crate) fn reclaim(&mut self, payload: u64) {
        self.note_idle();
        let node = self
            .nodes
            .iter()
            .find(|node| node.payload == Some(payload))
            .unwrap();
        let since = node.idle_since.expect("it was reclaimable");
        let longest = self.nodes.iter().filter_map(|node| node.idle_since).min();
        assert_eq!(Some(since), longest, "another has waited longer");
        let ino = node.ino;
        self.node_mut(ino).unwrap().payload = None;
        self.note_idle();
    }

    /// Notes since when each inode is reclaimable, and forgets what is known about cold directories
    /// without names. To be called after each operation.
    pub(crate) fn note_idle(&mut self) {
        for dir in self.dirs.clone() {
            let is_here = |ghost: &&Ghost| ghost.dir == dir.ino;
            let is_blank = self.children(dir.ino).is_empty()
                && !self.ghosts.iter().filter(is_here).any(is_tombstone);
            if is_blank && self.get(dir.ino).is_none() {
                self.ghosts.retain(|ghost| ghost.dir != dir.ino);
                self.dirs.retain(|known| known.ino != dir.ino);
            }
        }
        let idle: Vec<bool> = self.nodes.iter().map(|node| self.is_idle(node)).collect();
        for (node, is_idle) in self.nodes.iter_mut().zip(idle) {
            node.idle_since = is_idle.then(|| node.idle_since.unwrap_or(self.op));
        }
    }

    fn complete(&mut self, dir: InodeId, op: u64, until: Belief) {
        let dir = self.dir_mut(dir).unwrap();
        if op > dir.listed && op > dir.void {
            dir.listed = op;
            dir.listed_until = until.whole;
            dir.absent_until = until.absent;
        }
    }

    fn purge(&mut self, now: Instant) {
        for _ in 0..PURGE_STEP {
            if self.graves.first().is_none_or(|grave| grave.0 > now) {
                return;
            }
            let (due, dir, name) = self.graves.remove(0);
            let Some(ghost) = self.ghost(dir, &name).cloned() else {
                continue;
            };
            match ghost.kind {
                Kind::Removed { at, forget, .. } if forget == due => {
                    self.ghosts
                        .retain(|ghost| ghost.dir != dir || ghost.name != name);
                    if ghost.until > now || ghost.epoch > at {
                        let kind = Kind::Negative;
                        self.ghosts.push(Ghost { kind, ..ghost });
                    } else {
                        let dir = self.dir_mut(dir).unwrap();
                        dir.floor = dir.floor.max(at);
                    }
                }
                _ => {}
            }
        }
    }

    fn birth(&mut self, kind: NodeKind, payload: u64) -> InodeId {
        self.last_ino += 1;
        let ino = InodeId::new(self.last_ino).unwrap();
        self.nodes.push(Node {
            ino,
            kind,
            payload: Some(payload),
            lookups: 0,
            pins: 0,
            local: false,
            idle_since: None,
        });
        if kind == NodeKind::Directory {
            self.open_book(ino);
        }
        ino
    }

    fn open_book(&mut self, ino: InodeId) {
        self.dirs.push(Dir {
            ino,
            last_cookie: 2,
            listed: 0,
            listed_until: PAST,
            absent_until: PAST,
            void: 0,
            floor: self.op,
            moved: 0,
        });
    }

    /// Adds a name that was changed here.
    fn put_here(&mut self, dir: InodeId, name: &Name, ino: InodeId) {
        self.ghosts
            .retain(|ghost| ghost.dir != dir || ghost.name != *name);
        let book = self.dir_mut(dir).unwrap();
        book.last_cookie += 1;
        let cookie = Cookie(book.last_cookie);
        self.names.push(Positive {
            dir,
            name: name.clone(),
            cookie,
            ino,
            until: PAST,
            epoch: self.op,
            here: true,
            calm: PAST,
        });
    }

    /// Makes a name lead elsewhere by a change made here.
    fn lead_here(&mut self, (dir, name): (InodeId, &Name), ino: InodeId) {
        let op = self.op;
        let positive = self.positive_mut(dir, name).unwrap();
        positive.ino = ino;
        positive.until = PAST;
        positive.calm = PAST;
        positive.epoch = op;
        positive.here = true;
        self.arrive(ino);
    }

    fn arrive(&mut self, ino: InodeId) {
        self.node_mut(ino).unwrap().local = true;
        let op = self.op;
        if let Some(dir) = self.dir_mut(ino) {
            dir.moved = op;
        }
    }

    /// Removes the name that leads to `ino`, and ends that.
    fn take(&mut self, ino: InodeId) -> Option<Found<u64>> {
        self.names.retain(|positive| positive.ino != ino);
        self.end(ino)
    }

    /// Ends an inode without a name, and all below it.
    fn end(&mut self, ino: InodeId) -> Option<Found<u64>> {
        let found = self.get(ino);
        let mut gone = self.below(ino);
        gone.push(ino);
        self.names.retain(|positive| !gone.contains(&positive.dir));
        self.ghosts.retain(|ghost| !gone.contains(&ghost.dir));
        for ino in gone {
            self.node_mut(ino).unwrap().local = false;
            if let Some(dir) = self.dir_mut(ino) {
                (dir.listed_until, dir.absent_until) = (PAST, PAST);
            }
            if !self.is_held(ino) {
                self.nodes.retain(|node| node.ino != ino);
                self.dirs.retain(|dir| dir.ino != ino);
            }
        }
        found
    }

    fn spot(&self, dir: InodeId, name: &Name) -> Result<Found<u64>, TableError> {
        self.linked(dir)?;
        let ino = self.leads_to(dir, name).ok_or(TableError::NotFound)?;
        self.get(ino).ok_or(TableError::Cold(ino))
    }

    fn open(&self, dir: InodeId) -> Result<(), TableError> {
        match self.get(dir).ok_or(TableError::NotFound)?.kind {
            NodeKind::Directory => Ok(()),
            _ => Err(TableError::NotDirectory),
        }
    }

    fn linked(&self, dir: InodeId) -> Result<(), TableError> {
        self.open(dir)?;
        self.path(dir).map(|_| ()).ok_or(TableError::NotFound)
    }

    fn ancestors(&self, ino: InodeId) -> Vec<InodeId> {
        match self.parent_of(ino) {
            Some((dir, _)) => [vec![dir], self.ancestors(dir)].concat(),
            None => Vec::new(),
        }
    }

    fn is_held(&self, ino: InodeId) -> bool {
        self.node(ino)
            .is_some_and(|node| ino == ROOT || node.lookups + node.pins > 0)
    }

    fn set_ghost(&mut self, dir: InodeId, name: &Name, kind: Kind, until: Instant) {
        self.ghosts
            .retain(|ghost| ghost.dir != dir || ghost.name != *name);
        self.ghosts.push(Ghost {
            dir,
            name: name.clone(),
            epoch: self.op,
            until,
            kind,
        });
    }

    fn node(&self, ino: InodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.ino == ino)
    }

    fn node_mut(&mut self, ino: InodeId) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.ino == ino)
    }

    fn positive(&self, dir: InodeId, name: &Name) -> Option<&Positive> {
        self.names.iter().find(|p| p.dir == dir && p.name == *name)
    }

    fn positive_mut(&mut self, dir: InodeId, name: &Name) -> Option<&mut Positive> {
        self.names
            .iter_mut()
            .find(|p| p.dir == dir && p.name == *name)
    }

    fn ghost(&self, dir: InodeId, name: &Name) -> Option<&Ghost> {
        self.ghosts.iter().find(|g| g.dir == dir && g.name == *name)
    }

    fn dir(&self, ino: InodeId) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.ino == ino)
    }

    fn dir_mut(&mut self, ino: InodeId) -> Option<&mut Dir> {
        self.dirs.iter_mut().find(|dir| dir.ino == ino)
    }
}

const fn is_tombstone(ghost: &Ghost) -> bool {
    matches!(ghost.kind, Kind::Removing | Kind::Removed { .. })
}
