//! The model: local changes.

use cloudmount_inode::{Expect, Fate, Found, Locality, Removed, Renamed, TableError};
use cloudmount_vfs::{InodeId, Instant, Name, NodeKind, RenameMode};

use super::{Kind, Model, PAST};

impl Model {
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
        let until = calm.max(self.dir(dir).unwrap().absent_until);
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
}
