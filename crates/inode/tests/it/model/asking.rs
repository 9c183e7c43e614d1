//! The model: questions, and what their answers do.

use cloudmount_inode::{Answer, Applied, Belief, Found, Listed, Novelty, TableError};
use cloudmount_vfs::{InodeId, Instant, Name, NodeKind};

use super::{Asked, Kind, Known, Listing, Model, PAST, is_tombstone};

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

impl Model {
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
            return Ok(found.map_or(Known::Ask, Known::There));
        }
        let denies_others = self.dir(dir).unwrap().absent_until > now;
        let is_absent = match self.ghost(dir, name) {
            None => denies_others,
            Some(ghost) => {
                ghost.kind == Kind::Removing
                    || ghost.until > now
                    || denies_others && self.dir(dir).unwrap().listed > ghost.epoch
            }
        };
        Ok(if is_absent { Known::Absent } else { Known::Ask })
    }

    pub(crate) fn apply(
        &mut self,
        (dir, name, asked): (InodeId, &Name, Asked),
        answer: Answer,
        until: Belief,
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
                self.refresh(dir, name, asked, until.present);
                let (it, novelty) = self.awake(ino, payload);
                found(it, novelty, None)
            }
            Verdict::Replace(ino) => {
                let (it, replaced) = self.replace(
                    dir,
                    name,
                    ino,
                    kind_of(answer),
                    asked,
                    until.present,
                    payload,
                );
                found(it, Novelty::New, replaced)
            }
            Verdict::Add => {
                let it = self.add(dir, name, kind_of(answer), asked, until.present, payload);
                found(it, Novelty::New, None)
            }
            Verdict::Drop(ino) => {
                let removed = self.take(ino);
                self.deny(dir, name, asked, until.absent);
                Applied::Absent { removed }
            }
            Verdict::ConfirmAbsent => {
                self.deny(dir, name, asked, until.absent);
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
        until: Belief,
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
        (until, now): (Belief, Instant),
        payload: impl Fn(usize) -> u64,
        merged: &mut Vec<(u64, usize)>,
    ) -> Listing {
        self.purge(now);
        let (dir, asked) = probe;
        if self.is_outdated(dir, asked) || self.dir(dir).unwrap().floor >= asked.op {
            return None;
        }
        let mut removed = self.page(probe, entries, until.present, payload, merged)?;
        // One purge for the whole listing: time stands still meanwhile, so the second finds
        // nothing unless the first stopped at its limit.
        let graves = std::mem::take(&mut self.graves);
        let missing = self.finish(probe, until, now);
        self.graves = graves;
        removed.extend(missing?);
        Some(removed)
    }

    pub(crate) fn mark_listed(&mut self, dir: InodeId, until: Belief) -> Result<(), TableError> {
        self.linked(dir)?;
        self.complete(dir, self.op, until);
        Ok(())
    }

    pub(crate) fn expire_listing(&mut self, dir: InodeId) {
        let op = self.op;
        if let Some(dir) = self.dir_mut(dir) {
            (dir.listed_until, dir.absent_until) = (PAST, PAST);
            dir.void = op;
        }
    }

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
}

fn kind_of(answer: Answer) -> NodeKind {
    match answer {
        Answer::Present(kind) => kind,
        Answer::Absent => unreachable!("nothing is added because it is absent"),
    }
}
