//! Asking for one name, and bringing the answer back.

use cloudmount_vfs::{InodeId, Instant, Name, NodeKind};

use crate::belief::Belief;
use crate::dentry::{Ghost, GhostKind, Known, Source};
use crate::dir::Dir;
use crate::epoch::{Asked, Deadline, Epoch};
use crate::error::TableError;
use crate::judge::{Spot, Verdict};
use crate::node::{Found, Locality};
use crate::table::InodeTable;

/// What is known about a name.
#[derive(PartialEq, Eq, Debug)]
pub enum Lookup<P> {
    /// It leads there.
    Known(Found<P>),
    /// It does not exist.
    Absent,
    /// Ask the store, and bring the answer to [`InodeTable::apply`].
    Ask(Probe),
}

/// A question about one name. Its answer counts only as far as nothing newer is known.
#[derive(PartialEq, Eq, Debug)]
pub struct Probe {
    parent: InodeId,
    name: Name,
    asked: Asked,
}

impl Probe {
    /// The directory.
    #[must_use]
    pub const fn parent(&self) -> InodeId {
        self.parent
    }

    /// The name in it.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }
}

/// What the store says about a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// It does not exist.
    Absent,
    /// It exists and is that.
    Present(NodeKind),
}

/// What became of an inode's payload when an answer was applied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Novelty {
    /// A new number, with a new payload.
    New,
    /// The number that the name had, with a new payload: the old one was reclaimed.
    Woken,
    /// The number and the payload that were there.
    Same,
}

/// What an answer has led to.
#[derive(PartialEq, Eq, Debug)]
pub enum Applied<P> {
    /// The name leads there.
    Found {
        /// To this inode.
        found: Found<P>,
        /// Whether its payload was made just now.
        novelty: Novelty,
        /// The inode of another kind that the name led to before, unless that was cold.
        replaced: Option<Found<P>>,
    },
    /// The name does not exist.
    Absent {
        /// The inode that the name led to before, unless that was cold.
        removed: Option<Found<P>>,
    },
    /// The name, or the path of its directory, was changed here after the question: look up again.
    Retry,
}

impl<P: Clone> InodeTable<P> {
    /// What is known about `name` in `parent` at `now`.
    ///
    /// A name is believed to exist if it is local or its validity has not passed; to be absent, if
    /// the store has said so and that has not expired, if it was removed here and the store has
    /// not, or if a complete listing of the directory is believed to tell so. An orphaned directory is empty.
    ///
    /// # Errors
    /// `NotFound` if `parent` is unknown or cold; `NotDirectory`.
    pub fn lookup(
        &mut self,
        parent: InodeId,
        name: &Name,
        now: Instant,
    ) -> Result<Lookup<P>, TableError> {
        self.purge(now);
        let dir = self.open_dir(parent)?;
        if !self.is_linked(parent) {
            return Ok(Lookup::Absent);
        }
        if let Some((_, dentry)) = dir.find(name) {
            let is_valid =
                dentry.until.is_after(now) || self.locality(dentry.ino) == Some(Locality::Local);
            if let Some(found) = self.get(dentry.ino).filter(|_| is_valid) {
                return Ok(Lookup::Known(found));
            }
        } else {
            let is_absent = match dir.ghost(name) {
                Some(ghost) => {
                    ghost.kind == GhostKind::Removing
                        || ghost.until.is_after(now)
                        || (dir.denies_others(now) && dir.listing.epoch > ghost.epoch)
                }
                None => dir.denies_others(now),
            };
            if is_absent {
                return Ok(Lookup::Absent);
            }
        }
        Ok(Lookup::Ask(Probe {
            parent,
            name: name.clone(),
            asked: self.ask(now),
        }))
    }

    /// Applies the store's answer, which is believed until `until`. `make` makes the payload of an
    /// inode that has none; it is called at most once.
    ///
    /// An answer that something newer has overtaken, or that contradicts what exists only here, is
    /// not believed: the result is then what is known, or `Retry`.
    pub fn apply(
        &mut self,
        probe: Probe,
        answer: Answer,
        until: impl Into<Belief>,
        make: impl FnOnce(InodeId) -> P,
    ) -> Applied<P> {
        let Belief {
            present, absent, ..
        } = until.into();
        let Probe {
            parent,
            name,
            asked,
        } = probe;
        let verdict = self.judge(parent, &name, asked, answer);
        let Some(verdict) = verdict.filter(|_| !self.moved_since(parent, asked.epoch)) else {
            return Applied::Retry;
        };
        match (verdict, answer) {
            (Verdict::Refuse, _) => Applied::Retry,
            (Verdict::Keep(spot), _) => self.known(spot, make),
            (Verdict::Refresh(spot), _) => {
                self.refresh(spot, asked, present);
                self.known(spot, make)
            }
            (Verdict::Replace(spot), Answer::Present(kind)) => {
                let (found, replaced) = self.replace(spot, kind, asked, present, make);
                Applied::Found {
                    found,
                    novelty: Novelty::New,
                    replaced,
                }
            }
            (Verdict::Add, Answer::Present(kind)) => Applied::Found {
                found: self.add(parent, &name, kind, (asked, present), make),
                novelty: Novelty::New,
                replaced: None,
            },
            (Verdict::Drop(spot), _) => {
                let removed = self.uproot(spot.link);
                self.deny(parent, &name, asked, absent);
                Applied::Absent { removed }
            }
            (Verdict::ConfirmAbsent, _) => {
                self.deny(parent, &name, asked, absent);
                Applied::Absent { removed: None }
            }
            (Verdict::StayAbsent | Verdict::Replace(_) | Verdict::Add, _) => {
                Applied::Absent { removed: None }
            }
        }
    }

    /// Believes no longer what is known about a name, nor what has been asked about it: the next
    /// lookup asks. Local names and those removed here are left alone.
    pub fn expire(&mut self, parent: InodeId, name: &Name) {
        let epoch = self.tick();
        let Some(dir) = self.dir(parent).filter(|_| self.is_linked(parent)) else {
            return;
        };
        let Some((cookie, dentry)) = dir.find(name) else {
            self.edit(parent, |dir| doubt(dir, name, epoch));
            return;
        };
        if self.locality(dentry.ino) == Some(Locality::Local) {
            return;
        }
        self.edit(parent, |dir| {
            if let Some(dentry) = dir.dentry_mut(cookie) {
                dentry.until = Deadline::PASSED;
                dentry.epoch = epoch;
                dentry.source = Source::Here;
            }
        });
    }

    /// Believes no longer what is known of `dir`: neither that all its names are known, nor any of them that is
    /// not local, nor that others are absent, unless they were removed here. Gives all those names.
    pub fn expire_names(&mut self, dir: InodeId) -> Vec<Name> {
        let Some(known) = self.dir(dir) else {
            return Vec::new();
        };
        let there = known.iter().map(|(_, dentry)| known.name_of(dentry));
        let absent = known.ghosts().map(|(name, _)| name.clone());
        let names: Vec<Name> = there.chain(absent).collect();
        for name in &names {
            self.expire(dir, name);
        }
        self.expire_listing(dir);
        names
    }

    /// The store has it, as the caller knows from elsewhere (an upload that has just ended): it is
    /// believed until `until` at least.
    ///
    /// # Errors
    /// `NotFound` if no name leads to `ino`.
    pub fn validate(&mut self, ino: InodeId, until: Instant) -> Result<(), TableError> {
        let link = self.link(ino).ok_or(TableError::NotFound)?;
        self.edit(link.parent, |dir| {
            if let Some(dentry) = dir.dentry_mut(link.cookie) {
                dentry.until = dentry.until.max(until.into());
            }
        });
        Ok(())
    }

    /// Until when the name that leads to `ino` is believed; `None` if it is local, or there is none: then nobody
    /// else is asked.
    #[must_use]
    pub fn believed_until(&self, ino: InodeId) -> Option<Instant> {
        let link = self.link(ino)?;
        let dentry = self.dir(link.parent)?.dentry(link.cookie)?;
        let is_local = self.locality(ino) == Some(Locality::Local);
        (!is_local).then(|| dentry.until.into())
    }

    /// A name that exists, as it is known.
    fn known(&mut self, spot: Spot, make: impl FnOnce(InodeId) -> P) -> Applied<P> {
        let (found, novelty) = match self.get(spot.ino) {
            Some(found) => (found, Novelty::Same),
            None => (self.wake(spot, make), Novelty::Woken),
        };
        Applied::Found {
            found,
            novelty,
            replaced: None,
        }
    }

    /// Records that a dentry is as the store says.
    pub(crate) fn refresh(&mut self, spot: Spot, asked: Asked, until: Instant) {
        self.edit(spot.link.parent, |dir| {
            if let Some(dentry) = dir.dentry_mut(spot.link.cookie) {
                dentry.until = until.into();
                dentry.epoch = asked.epoch;
                dentry.source = Source::Store;
            }
        });
    }

    /// Makes a dentry lead to a new inode of another kind, and retires the old one. The name goes
    /// on to exist, so it keeps its cookie.
    pub(crate) fn replace(
        &mut self,
        spot: Spot,
        kind: NodeKind,
        asked: Asked,
        until: Instant,
        make: impl FnOnce(InodeId) -> P,
    ) -> (Found<P>, Option<Found<P>>) {
        let found = self.conceive(kind, make);
        let replaced = self.retire(spot.ino);
        self.graft(spot.link, |dentry| {
            dentry.lead_to(found.ino, kind);
            dentry.until = until.into();
            dentry.epoch = asked.epoch;
            dentry.source = Source::Store;
        });
        (found, replaced)
    }

    /// Adds a name that the store has.
    pub(crate) fn add(
        &mut self,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        (asked, until): (Asked, Instant),
        make: impl FnOnce(InodeId) -> P,
    ) -> Found<P> {
        let found = self.conceive(kind, make);
        let known = Known {
            ino: found.ino,
            until: until.into(),
            epoch: asked.epoch,
            kind,
            source: Source::Store,
        };
        self.plant(parent, name, known);
        found
    }

    /// Records that the store has no such name; a tombstone stays one.
    fn deny(&mut self, parent: InodeId, name: &Name, asked: Asked, until: Instant) {
        self.edit(parent, |dir| {
            let kind = match dir.ghost(name) {
                Some(ghost) if ghost.is_tombstone() => ghost.kind,
                _ => GhostKind::Negative,
            };
            let ghost = Ghost {
                epoch: asked.epoch,
                until: until.into(),
                kind,
            };
            dir.haunt(name, ghost, asked.at);
        });
    }
}

/// Makes the next lookup of an absent name ask.
fn doubt(dir: &mut Dir, name: &Name, epoch: Epoch) {
    let kind = match dir.ghost(name).map(|ghost| ghost.kind) {
        Some(GhostKind::Removing) => return,
        Some(GhostKind::Removed { calm, forget, .. }) => GhostKind::Removed {
            at: epoch,
            calm,
            forget,
        },
        Some(GhostKind::Negative | GhostKind::Doubt) | None => GhostKind::Doubt,
    };
    let ghost = Ghost {
        epoch,
        until: Deadline::PASSED,
        kind,
    };
    dir.haunt(name, ghost, Instant::default());
}
