//! The table again, as plainly as it can be said: vectors, searched from end to end, and every
//! count counted anew each time. Its order of events is the number of the operation.

use std::time::Duration;

use cloudmount_inode::{
    Answer, Applied, Expect, Fate, Found, Listed, Locality, Novelty, Removed, Renamed, Stats,
    TableError, TableSettings,
};
use cloudmount_vfs::{Cookie, Generation, InodeId, Instant, Name, NodeKind, RenameMode};

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
    void: u64,
    floor: u64,
    moved: u64,
}

/// What a lookup answers, without the probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    Known(Found<u64>),
    Absent,
    Ask,
}

/// When a question was asked: in operations, and on the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) op: u64,
    pub(crate) at: Instant,
}

/// What becomes of an answer.
enum Verdict {
    Refuse,
    Keep(InodeId),
    Refresh(InodeId),
    Replace(InodeId),
    Drop(InodeId),
    Add,
    StayAbsent,
    ConfirmAbsent,
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

    // What is.

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

    pub(crate) fn is_idle(&self, node: &Node) -> bool {
        let is_warm = |ino: InodeId| self.node(ino).unwrap().payload.is_some();
        node.payload.is_some()
            && self.parent_of(node.ino).is_some()
            && node.lookups + node.pins == 0
            && !node.local
            && !self.below(node.ino).into_iter().any(is_warm)
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

    // Lookups.

    pub(crate) fn lookup(
        &mut self,
        dir: InodeId,
        name: &Name,
        now: Instant,
    ) -> Result<Known, TableError> {
        self.purge(now);
        self.open(dir)?;
        if !self.is_linked(dir) {
            return Ok(Known::Absent);
        }
        if let Some(positive) = self.positive(dir, name) {
            let is_valid = positive.until > now || self.node(positive.ino).unwrap().local;
            let found = self.get(positive.ino).filter(|_| is_valid);
            return Ok(found.map_or(Known::Ask, Known::Known));
        }
        let is_listed = self.is_listed(dir, now);
        let is_absent = match self.ghost(dir, name) {
            None => is_listed,
            Some(ghost) => {
                ghost.kind == Kind::Removing
                    || ghost.until > now
                    || is_listed && self.dir(dir).unwrap().listed > ghost.epoch
            }
        };
        Ok(if is_absent { Known::Absent } else { Known::Ask })
    }

    pub(crate) fn apply(
        &mut self,
        (dir, name, asked): (InodeId, &Name, Asked),
        answer: Answer,
        until: Instant,
        payload: u64,
    ) -> Applied<u64> {
        if self.is_outdated(dir, asked) {
            return Applied::Retry;
        }
        let found = |found, novelty, replaced| Applied::Found {
            found,
            novelty,
            replaced,
        };
        match self.judge(dir, name, asked, answer) {
            Verdict::Refuse => Applied::Retry,
            Verdict::Keep(ino) => {
                let (it, novelty) = self.awake(ino, payload);
                found(it, novelty, None)
            }
            Verdict::Refresh(ino) => {
                self.refresh(dir, name, asked, until);
                let (it, novelty) = self.awake(ino, payload);
                found(it, novelty, None)
            }
            Verdict::Replace(ino) => {
                let (it, replaced) =
                    self.replace(dir, name, ino, kind_of(answer), asked, until, payload);
                found(it, Novelty::New, replaced)
            }
            Verdict::Add => {
                let it = self.add(dir, name, kind_of(answer), asked, until, payload);
                found(it, Novelty::New, None)
            }
            Verdict::Drop(ino) => {
                let removed = self.take(ino);
                self.deny(dir, name, asked, until);
                Applied::Absent { removed }
            }
            Verdict::ConfirmAbsent => {
                self.deny(dir, name, asked, until);
                Applied::Absent { removed: None }
            }
            Verdict::StayAbsent => Applied::Absent { removed: None },
        }
    }

    pub(crate) fn expire(&mut self, dir: InodeId, name: &Name) {
        let op = self.op;
        if self.dir(dir).is_none() || !self.is_linked(dir) {
            return;
        }
        if let Some(ino) = self.leads_to(dir, name) {
            if !self.node(ino).unwrap().local {
                let positive = self.positive_mut(dir, name).unwrap();
                positive.until = PAST;
                positive.epoch = op;
                positive.here = true;
            }
            return;
        }
        let kind = match self.ghost(dir, name).map(|ghost| ghost.kind) {
            Some(Kind::Removing) => return,
            Some(Kind::Removed { calm, forget, .. }) => Kind::Removed {
                at: op,
                calm,
                forget,
            },
            _ => Kind::Doubt,
        };
        self.set_ghost(dir, name, kind, PAST);
    }

    pub(crate) fn validate(&mut self, ino: InodeId, until: Instant) -> Result<(), TableError> {
        let positive = self.names.iter_mut().find(|positive| positive.ino == ino);
        let positive = positive.ok_or(TableError::NotFound)?;
        positive.until = positive.until.max(until);
        Ok(())
    }

    // Listings.

    pub(crate) fn begin_listing(&self, dir: InodeId) -> Result<(), TableError> {
        self.linked(dir)
    }

    pub(crate) fn page(
        &mut self,
        (dir, asked): (InodeId, Asked),
        entries: &[Listed],
        until: Instant,
        payload: impl Fn(usize) -> u64,
        merged: &mut Vec<(u64, usize)>,
    ) -> Listing {
        if self.is_outdated(dir, asked) {
            return None;
        }
        let mut removed = Vec::new();
        for (place, Listed { name, kind }) in entries.iter().enumerate() {
            match self.judge(dir, name, asked, Answer::Present(*kind)) {
                Verdict::Refresh(ino) => {
                    self.refresh(dir, name, asked, until);
                    let (found, novelty) = self.awake(ino, payload(place));
                    if novelty == Novelty::Same {
                        merged.push((found.payload, place));
                    }
                }
                Verdict::Replace(ino) => {
                    let payload = payload(place);
                    let (_, replaced) = self.replace(dir, name, ino, *kind, asked, until, payload);
                    removed.extend(replaced.map(|found| (name.clone(), found)));
                }
                Verdict::Add => {
                    self.add(dir, name, *kind, asked, until, payload(place));
                }
                _ => {}
            }
        }
        Some(removed)
    }

    pub(crate) fn finish(
        &mut self,
        (dir, asked): (InodeId, Asked),
        until: Instant,
        now: Instant,
    ) -> Listing {
        self.purge(now);
        if self.is_outdated(dir, asked) || self.dir(dir).unwrap().floor >= asked.op {
            return None;
        }
        let mut removed = Vec::new();
        for child in self.children(dir) {
            if let Verdict::Drop(ino) = self.judge(dir, &child.name, asked, Answer::Absent) {
                let known = self.dir_mut(dir).unwrap();
                if known.void >= asked.op {
                    known.floor = known.floor.max(asked.op);
                }
                removed.extend(self.take(ino).map(|found| (child.name, found)));
            }
        }
        self.complete(dir, asked.op, until);
        Some(removed)
    }

    pub(crate) fn listing(
        &mut self,
        probe: (InodeId, Asked),
        entries: &[Listed],
        (until, now): (Instant, Instant),
        payload: impl Fn(usize) -> u64,
        merged: &mut Vec<(u64, usize)>,
    ) -> Listing {
        self.purge(now);
        let (dir, asked) = probe;
        if self.is_outdated(dir, asked) || self.dir(dir).unwrap().floor >= asked.op {
            return None;
        }
        let mut removed = self.page(probe, entries, until, payload, merged)?;
        // One purge for the whole listing: time stands still meanwhile, so the second finds
        // nothing unless the first stopped at its limit.
        let graves = std::mem::take(&mut self.graves);
        let missing = self.finish(probe, until, now);
        self.graves = graves;
        removed.extend(missing?);
        Some(removed)
    }

    pub(crate) fn mark_listed(&mut self, dir: InodeId, until: Instant) -> Result<(), TableError> {
        self.linked(dir)?;
        self.complete(dir, self.op, until);
        Ok(())
    }

    pub(crate) fn expire_listing(&mut self, dir: InodeId) {
        let op = self.op;
        if let Some(dir) = self.dir_mut(dir) {
            dir.listed_until = PAST;
            dir.void = op;
        }
    }

    // Local changes.

    pub(crate) fn create(
        &mut self,
        dir: InodeId,
        name: &Name,
        kind: NodeKind,
        payload: u64,
    ) -> Result<Found<u64>, TableError> {
        self.linked(dir)?;
        if let Some(ino) = self.leads_to(dir, name) {
            return Err(TableError::Exists(ino));
        }
        let ino = self.birth(kind, payload);
        self.node_mut(ino).unwrap().local = true;
        self.put_here(dir, name, ino);
        Ok(self.get(ino).unwrap())
    }

    pub(crate) fn remove(
        &mut self,
        dir: InodeId,
        name: &Name,
        expect: Expect,
    ) -> Result<Removed<u64>, TableError> {
        let it = self.spot(dir, name)?;
        match expect {
            Expect::Directory if it.kind != NodeKind::Directory => {
                return Err(TableError::NotDirectory);
            }
            Expect::NotDirectory if it.kind == NodeKind::Directory => {
                return Err(TableError::IsDirectory);
            }
            _ if !self.children(it.ino).is_empty() => return Err(TableError::NotEmpty),
            _ => {}
        }
        let found = self.take(it.ino).unwrap();
        self.set_ghost(dir, name, Kind::Removing, PAST);
        let fate = match self.node(it.ino) {
            Some(_) => Fate::Held,
            None => Fate::Freed,
        };
        Ok(Removed { found, fate })
    }

    pub(crate) fn confirm(&mut self, dir: InodeId, name: &Name, now: Instant) {
        self.purge(now);
        if self.ghost(dir, name).map(|ghost| ghost.kind) != Some(Kind::Removing) {
            return;
        }
        let calm = now + self.settings.cooldown;
        let forget = calm.max(now + self.settings.guard);
        let kind = Kind::Removed {
            at: self.op,
            calm,
            forget,
        };
        let until = calm.max(self.dir(dir).unwrap().listed_until);
        self.set_ghost(dir, name, kind, until);
        self.graves.push((forget, dir, name.clone()));
    }

    pub(crate) fn cancel(&mut self, dir: InodeId, name: &Name) {
        if self.ghost(dir, name).map(|ghost| ghost.kind) == Some(Kind::Removing) {
            self.set_ghost(dir, name, Kind::Doubt, PAST);
        }
    }

    pub(crate) fn set_local(
        &mut self,
        ino: InodeId,
        locality: Locality,
        now: Instant,
    ) -> Result<(), TableError> {
        self.purge(now);
        if self.get(ino).is_none() {
            return Err(TableError::NotFound);
        }
        let (dir, name) = self.parent_of(ino).ok_or(TableError::NotFound)?;
        let was = self.node(ino).unwrap().local;
        self.node_mut(ino).unwrap().local = locality == Locality::Local;
        let calm = now + self.settings.cooldown;
        let op = self.op;
        let positive = self.positive_mut(dir, &name).unwrap();
        positive.epoch = op;
        positive.here = true;
        if was && locality == Locality::Remote {
            positive.calm = calm;
            positive.until = positive.until.max(calm);
        }
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: (InodeId, &Name),
        to: (InodeId, &Name),
        mode: RenameMode,
    ) -> Result<Renamed<u64>, TableError> {
        let moved = self.spot(from.0, from.1)?;
        self.linked(to.0)?;
        let target = match self.spot(to.0, to.1) {
            Err(TableError::NotFound) if mode != RenameMode::Exchange => None,
            other => Some(other?),
        };
        let mut renamed = Renamed {
            moved: moved.clone(),
            replaced: None,
            exchanged: None,
        };
        if let (Some(target), RenameMode::NoReplace) = (&target, mode) {
            return Err(TableError::Exists(target.ino));
        }
        if target.as_ref() == Some(&moved) {
            return Ok(renamed);
        }
        let is_in =
            |dir: InodeId, above: InodeId| dir == above || self.ancestors(dir).contains(&above);
        if is_in(to.0, moved.ino) {
            return Err(TableError::InvalidArgument);
        }
        if let Some(target) = &target {
            let is_dir = |found: &Found<u64>| found.kind == NodeKind::Directory;
            match mode {
                RenameMode::Exchange if is_in(from.0, target.ino) => {
                    return Err(TableError::InvalidArgument);
                }
                RenameMode::Exchange => {}
                _ if is_in(from.0, target.ino) => return Err(TableError::NotEmpty),
                _ if is_dir(&moved) && !is_dir(target) => return Err(TableError::NotDirectory),
                _ if !is_dir(&moved) && is_dir(target) => return Err(TableError::IsDirectory),
                _ if !self.children(target.ino).is_empty() => return Err(TableError::NotEmpty),
                _ => {}
            }
        }
        match target {
            Some(target) if mode == RenameMode::Exchange => {
                self.lead_here(from, target.ino);
                self.lead_here(to, moved.ino);
                renamed.exchanged = Some(target);
            }
            target => {
                self.names.retain(|positive| positive.ino != moved.ino);
                self.set_ghost(from.0, from.1, Kind::Removing, PAST);
                match target {
                    Some(target) => {
                        self.lead_here(to, moved.ino);
                        renamed.replaced = self.end(target.ino);
                    }
                    None => {
                        self.put_here(to.0, to.1, moved.ino);
                        self.arrive(moved.ino);
                    }
                }
            }
        }
        Ok(renamed)
    }

    // References.

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

    // Parts.

    fn judge(&self, dir: InodeId, name: &Name, asked: Asked, answer: Answer) -> Verdict {
        let is_present = answer != Answer::Absent;
        if let Some(positive) = self.positive(dir, name) {
            let ino = positive.ino;
            let node = self.node(ino).unwrap();
            if positive.epoch >= asked.op {
                return if positive.here {
                    Verdict::Refuse
                } else {
                    Verdict::Keep(ino)
                };
            }
            if answer == Answer::Present(node.kind) && !node.local {
                return Verdict::Refresh(ino);
            }
            if node.local || self.local_below(ino) > 0 || positive.calm > asked.at {
                return Verdict::Keep(ino);
            }
            return if is_present {
                Verdict::Replace(ino)
            } else {
                Verdict::Drop(ino)
            };
        }
        let known = self.dir(dir).unwrap();
        let (refused_to, absent_to, calm) = match self.ghost(dir, name) {
            Some(ghost) => match ghost.kind {
                Kind::Negative => (0, ghost.epoch, PAST),
                Kind::Doubt => (ghost.epoch, 0, PAST),
                Kind::Removing => (ghost.epoch, u64::MAX, PAST),
                Kind::Removed { at, calm, .. } => (at, ghost.epoch, calm),
            },
            None => (known.floor, known.listed, PAST),
        };
        if asked.op <= refused_to {
            Verdict::Refuse
        } else if asked.op <= absent_to || is_present && calm > asked.at {
            Verdict::StayAbsent
        } else if is_present {
            Verdict::Add
        } else {
            Verdict::ConfirmAbsent
        }
    }

    fn is_outdated(&self, dir: InodeId, asked: Asked) -> bool {
        let mut path = self.ancestors(dir);
        path.push(dir);
        let moved = |ino: &InodeId| self.dir(*ino).is_some_and(|dir| dir.moved >= asked.op);
        self.linked(dir).is_err() || path.iter().any(moved)
    }

    fn awake(&mut self, ino: InodeId, payload: u64) -> (Found<u64>, Novelty) {
        if let Some(found) = self.get(ino) {
            return (found, Novelty::Same);
        }
        let node = self.node_mut(ino).unwrap();
        node.payload = Some(payload);
        if node.kind == NodeKind::Directory && self.dir(ino).is_none() {
            self.open_book(ino);
        }
        (self.get(ino).unwrap(), Novelty::Woken)
    }

    fn refresh(&mut self, dir: InodeId, name: &Name, asked: Asked, until: Instant) {
        let positive = self.positive_mut(dir, name).unwrap();
        positive.until = until;
        positive.epoch = asked.op;
        positive.here = false;
    }

    #[expect(clippy::too_many_arguments, reason = "a model's private part")]
    fn replace(
        &mut self,
        dir: InodeId,
        name: &Name,
        old: InodeId,
        kind: NodeKind,
        asked: Asked,
        until: Instant,
        payload: u64,
    ) -> (Found<u64>, Option<Found<u64>>) {
        let ino = self.birth(kind, payload);
        self.positive_mut(dir, name).unwrap().ino = ino;
        self.positive_mut(dir, name).unwrap().calm = PAST;
        self.refresh(dir, name, asked, until);
        (self.get(ino).unwrap(), self.end(old))
    }

    fn add(
        &mut self,
        dir: InodeId,
        name: &Name,
        kind: NodeKind,
        asked: Asked,
        until: Instant,
        payload: u64,
    ) -> Found<u64> {
        let ino = self.birth(kind, payload);
        self.put_here(dir, name, ino);
        self.refresh(dir, name, asked, until);
        self.get(ino).unwrap()
    }

    fn deny(&mut self, dir: InodeId, name: &Name, asked: Asked, until: Instant) {
        let kind = match self.ghost(dir, name) {
            Some(ghost) if is_tombstone(ghost) => ghost.kind,
            _ => Kind::Negative,
        };
        self.set_ghost(dir, name, kind, until);
        self.ghosts.last_mut().unwrap().epoch = asked.op;
    }

    fn complete(&mut self, dir: InodeId, op: u64, until: Instant) {
        let dir = self.dir_mut(dir).unwrap();
        if op > dir.listed && op > dir.void {
            dir.listed = op;
            dir.listed_until = until;
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
                dir.listed_until = PAST;
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

fn kind_of(answer: Answer) -> NodeKind {
    match answer {
        Answer::Present(kind) => kind,
        Answer::Absent => unreachable!("nothing is added because it is absent"),
    }
}
