//! Local changes of one name: creating, removing, and what the store has confirmed.

use cloudmount_vfs::{InodeId, Instant, Name, NodeKind};

use crate::dentry::{Ghost, GhostKind, Known, Source};
use crate::epoch::Deadline;
use crate::error::TableError;
use crate::judge::Spot;
use crate::node::{Found, Link, Locality};
use crate::table::{Grave, InodeTable};

/// What [`InodeTable::remove`] is to remove.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expect {
    /// A file or symlink (`unlink`).
    NotDirectory,
    /// An empty directory (`rmdir`).
    Directory,
}

/// What has become of an inode without a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    /// Nobody held it: the number is gone.
    Freed,
    /// It lives, without a name, until the last lookup is forgotten and the last pin is gone.
    Held,
}

/// A name that was removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed<P> {
    /// What it led to.
    pub found: Found<P>,
    /// What has become of that.
    pub fate: Fate,
}

impl<P: Clone> InodeTable<P> {
    /// Adds `name` to `parent`, leading to a new inode. The name is local until
    /// [`set_local`](Self::set_local) says otherwise. Nothing is known about a new directory's
    /// names until [`mark_listed`](Self::mark_listed).
    ///
    /// # Errors
    /// `Exists` if the name is known to exist, warm or cold; `NotFound` if `parent` is unknown, cold
    /// or an orphan; `NotDirectory`.
    pub fn create(
        &mut self,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        make: impl FnOnce(InodeId) -> P,
    ) -> Result<Found<P>, TableError> {
        if let Some((_, dentry)) = self.linked_dir(parent)?.find(name) {
            return Err(TableError::Exists(dentry.ino));
        }
        let epoch = self.tick();
        let found = self.conceive(kind, make);
        self.mark(found.ino, Locality::Local);
        let known = Known {
            ino: found.ino,
            until: Deadline::PASSED,
            epoch,
            kind,
            source: Source::Here,
        };
        self.plant(parent, name, known);
        self.edit(parent, |dir| dir.changed = epoch);
        Ok(found)
    }

    /// Takes `name` out of `parent`. It stays absent, whatever the store says, until
    /// [`confirm_removed`](Self::confirm_removed) or [`cancel_removed`](Self::cancel_removed).
    ///
    /// # Errors
    /// `NotFound` if the name is not known to exist; `Cold`; `IsDirectory`, `NotDirectory` against
    /// `expect`; `NotEmpty` if the directory has known children (a caller that wants to know about
    /// others lists first).
    pub fn remove(
        &mut self,
        parent: InodeId,
        name: &Name,
        expect: Expect,
    ) -> Result<Removed<P>, TableError> {
        let spot = self.spot(parent, name)?;
        match (expect, spot.kind) {
            (Expect::Directory, NodeKind::Directory) => self.check_empty(spot.ino)?,
            (Expect::Directory, _) => return Err(TableError::NotDirectory),
            (Expect::NotDirectory, NodeKind::Directory) => return Err(TableError::IsDirectory),
            (Expect::NotDirectory, _) => {}
        }
        let found = self.uproot(spot.link).ok_or(TableError::Cold(spot.ino))?;
        self.bury_name(parent, name);
        let fate = if self.entries.get(found.ino).is_some() {
            Fate::Held
        } else {
            Fate::Freed
        };
        Ok(Removed { found, fate })
    }

    /// The store has removed the name, too: answers asked from now on count again. Does nothing
    /// unless the name is removed here and was not confirmed yet. The caller keeps the order of
    /// what it does to one name.
    pub fn confirm_removed(&mut self, parent: InodeId, name: &Name, now: Instant) {
        self.purge(now);
        let epoch = self.tick();
        let calm = Deadline::from(now + self.settings.cooldown);
        let forget = Deadline::from(now + self.settings.guard).max(calm);
        let is_confirmed = self.edit(parent, |dir| {
            let is_removing = |ghost: &Ghost| ghost.kind == GhostKind::Removing;
            if !dir.ghost(name).is_some_and(is_removing) {
                return false;
            }
            let kind = GhostKind::Removed {
                at: epoch,
                calm,
                forget,
            };
            // As long as names without a record are known to be absent, so is this one.
            let until = dir.listing.absent.max(calm);
            dir.haunt(name, Ghost { epoch, until, kind }, now);
            dir.changed = epoch;
            true
        });
        if is_confirmed == Some(true) {
            self.graves.push_back(Grave {
                forget,
                dir: parent,
                name: name.clone(),
            });
        }
    }

    /// `dir` was renamed: what was removed in it, at any depth, was removed under another path, and
    /// nothing can be left of it under this one. All of it counts as confirmed.
    pub fn confirm_removed_below(&mut self, dir: InodeId, now: Instant) {
        let mut dirs = vec![dir];
        while let Some(at) = dirs.pop() {
            let Some(known) = self.dir(at) else {
                continue;
            };
            let below = known.iter().map(|(_, dentry)| dentry);
            let below = below.filter(|dentry| dentry.kind == NodeKind::Directory);
            dirs.extend(below.map(|dentry| dentry.ino));
            let removing = known.ghosts();
            let removing = removing.filter(|(_, ghost)| ghost.kind == GhostKind::Removing);
            let names: Vec<Name> = removing.map(|(name, _)| name.clone()).collect();
            for name in names {
                self.confirm_removed(at, &name, now);
            }
        }
    }

    /// The store will not remove the name: the next lookup asks. Does nothing unless the name is
    /// removed here and was not confirmed. What the name led to is not brought back; if the store
    /// has it still, it gets a new number.
    pub fn cancel_removed(&mut self, parent: InodeId, name: &Name) {
        let epoch = self.tick();
        self.edit(parent, |dir| {
            let is_removing = |ghost: &Ghost| ghost.kind == GhostKind::Removing;
            if dir.ghost(name).is_some_and(is_removing) {
                dir.haunt(name, Ghost::doubt(epoch), Instant::default());
                dir.changed = epoch;
            }
        });
        self.shrink(parent);
    }

    /// Says where the inode's name exists. A local name is believed without asking, and no answer
    /// removes it or a directory above it. When it goes remote, older answers are refused, and those
    /// asked within the cooldown cannot contradict it.
    ///
    /// # Errors
    /// `NotFound` if no name leads to `ino`, or it is cold.
    pub fn set_local(
        &mut self,
        ino: InodeId,
        locality: Locality,
        now: Instant,
    ) -> Result<(), TableError> {
        self.purge(now);
        let node = self.node(ino).ok_or(TableError::NotFound)?;
        let (Some(link), Some(_)) = (node.link, &node.payload) else {
            return Err(TableError::NotFound);
        };
        let was = node.locality;
        self.mark(ino, locality);
        let epoch = self.tick();
        let calm = Deadline::from(now + self.settings.cooldown);
        self.edit(link.parent, |dir| {
            dir.changed = epoch;
            if let Some(dentry) = dir.dentry_mut(link.cookie) {
                dentry.change_here(epoch);
                if (was, locality) == (Locality::Local, Locality::Remote) {
                    dentry.calm = calm;
                    dentry.until = dentry.until.max(calm);
                }
            }
        });
        Ok(())
    }

    /// A name that exists and whose inode is warm.
    pub(crate) fn spot(&self, parent: InodeId, name: &Name) -> Result<Spot, TableError> {
        let dir = self.linked_dir(parent)?;
        let (cookie, dentry) = dir.find(name).ok_or(TableError::NotFound)?;
        match self.get(dentry.ino) {
            Some(_) => Ok(Spot::new(parent, cookie, dentry)),
            None => Err(TableError::Cold(dentry.ino)),
        }
    }

    /// That a directory has no known children.
    pub(crate) fn check_empty(&self, ino: InodeId) -> Result<(), TableError> {
        match self.dir(ino) {
            Some(dir) if dir.len() > 0 => Err(TableError::NotEmpty),
            _ => Ok(()),
        }
    }

    /// Records that a name was removed here.
    pub(crate) fn bury_name(&mut self, parent: InodeId, name: &Name) {
        let epoch = self.tick();
        self.edit(parent, |dir| {
            let ghost = Ghost {
                epoch,
                until: Deadline::PASSED,
                kind: GhostKind::Removing,
            };
            dir.haunt(name, ghost, Instant::default());
            dir.changed = epoch;
        });
    }

    /// Records that a dentry was changed here and is local.
    pub(crate) fn change_name(&mut self, link: Link) {
        let epoch = self.tick();
        self.edit(link.parent, |dir| {
            dir.changed = epoch;
            if let Some(dentry) = dir.dentry_mut(link.cookie) {
                dentry.change_here(epoch);
                // What the store said was about what the name led to before.
                dentry.until = Deadline::PASSED;
                dentry.calm = Deadline::PASSED;
            }
        });
    }
}
