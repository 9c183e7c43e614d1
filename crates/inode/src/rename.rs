//! Renames: the number stays, the name moves, and the new name is local until the store has it.
//!
//! The checks are those of POSIX `rename` and Linux `renameat2`, over the names that are known: a
//! caller looks up both names, and lists a target directory, before.

use cloudmount_vfs::{InodeId, Name, NodeKind, RenameMode};

use crate::dentry::{Known, Source};
use crate::epoch::Deadline;
use crate::error::TableError;
use crate::judge::Spot;
use crate::node::{Found, Locality};
use crate::table::InodeTable;

/// What a rename has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renamed<P> {
    /// What the old name led to, and the new name leads to now.
    pub moved: Found<P>,
    /// What the new name led to before, and no name leads to now.
    pub replaced: Option<Found<P>>,
    /// What the new name led to before, and the old name leads to now.
    pub exchanged: Option<Found<P>>,
}

impl<P: Clone> InodeTable<P> {
    /// Moves the name `from` to `to`; each is a directory and a name in it. The old name is then
    /// removed as by [`remove`](Self::remove), and the new one local; what lies below a directory
    /// moves along. If both are one name, nothing happens.
    ///
    /// # Errors
    /// `NotFound` if a directory is unknown, cold or an orphan, if `from` is not known to exist, or
    /// `to` with `Exchange`; `Cold`; `Exists` with `NoReplace`; `InvalidArgument` to move a directory
    /// below itself; `NotEmpty`, `IsDirectory`, `NotDirectory` if the target does not admit it.
    pub fn rename(
        &mut self,
        from: (InodeId, &Name),
        to: (InodeId, &Name),
        mode: RenameMode,
    ) -> Result<Renamed<P>, TableError> {
        let (source, target) = self.ends(from, to, mode)?;
        let moved = self.get(source.ino).ok_or(TableError::NotFound)?;
        let mut renamed = Renamed {
            moved,
            replaced: None,
            exchanged: None,
        };
        match target {
            Some(target) if target.ino == source.ino => {}
            Some(target) if mode == RenameMode::Exchange => {
                renamed.exchanged = self.get(target.ino);
                self.exchange(source, target);
            }
            _ => renamed.replaced = self.relocate((source, from.1), to, target),
        }
        Ok(renamed)
    }

    /// Whether [`rename`](Self::rename) would be refused, for a caller who has to do something else
    /// first.
    ///
    /// # Errors
    /// Those of [`rename`](Self::rename).
    pub fn check_rename(
        &self,
        from: (InodeId, &Name),
        to: (InodeId, &Name),
        mode: RenameMode,
    ) -> Result<(), TableError> {
        self.ends(from, to, mode).map(drop)
    }

    /// Where an admissible rename begins and ends.
    fn ends(
        &self,
        from: (InodeId, &Name),
        to: (InodeId, &Name),
        mode: RenameMode,
    ) -> Result<(Spot, Option<Spot>), TableError> {
        let source = self.spot(from.0, from.1)?;
        let target = match self.spot(to.0, to.1) {
            Ok(spot) => Some(spot),
            Err(TableError::NotFound) if mode != RenameMode::Exchange => {
                self.linked_dir(to.0)?;
                None
            }
            Err(error) => return Err(error),
        };
        self.admit(source, to.0, target, mode)?;
        Ok((source, target))
    }

    /// Whether a rename may be done.
    fn admit(
        &self,
        source: Spot,
        to: InodeId,
        target: Option<Spot>,
        mode: RenameMode,
    ) -> Result<(), TableError> {
        if let (Some(target), RenameMode::NoReplace) = (target, mode) {
            return Err(TableError::Exists(target.ino));
        }
        let is_dir = |kind| kind == NodeKind::Directory;
        if target.is_some_and(|target| target.ino == source.ino) {
            return Ok(());
        }
        if is_dir(source.kind) && self.is_at_or_below(to, source.ino) {
            return Err(TableError::InvalidArgument);
        }
        let Some(target) = target else {
            return Ok(());
        };
        let is_above = is_dir(target.kind) && self.is_at_or_below(source.link.parent, target.ino);
        if mode == RenameMode::Exchange {
            return if is_above {
                Err(TableError::InvalidArgument)
            } else {
                Ok(())
            };
        }
        match (is_dir(source.kind), is_dir(target.kind)) {
            // As Linux has it (`do_renameat2`): before the kinds are compared.
            _ if is_above => Err(TableError::NotEmpty),
            (true, false) => Err(TableError::NotDirectory),
            (false, true) => Err(TableError::IsDirectory),
            (true, true) => self.check_empty(target.ino),
            (false, false) => Ok(()),
        }
    }

    fn relocate(
        &mut self,
        (source, old): (Spot, &Name),
        (parent, name): (InodeId, &Name),
        target: Option<Spot>,
    ) -> Option<Found<P>> {
        self.release(source.ino);
        self.edit(source.link.parent, |dir| dir.take(source.link.cookie));
        self.bury_name(source.link.parent, old);
        // Marked while unlinked: its weight is counted once, where it goes.
        self.mark(source.ino, Locality::Local);
        let mut replaced = None;
        if let Some(target) = target {
            replaced = self.retire(target.ino);
            self.graft(target.link, |dentry| {
                dentry.lead_to(source.ino, source.kind);
            });
        } else {
            let known = Known {
                ino: source.ino,
                until: Deadline::PASSED,
                epoch: self.epoch,
                kind: source.kind,
                source: Source::Here,
            };
            self.plant(parent, name, known);
        }
        self.arrive(source);
        replaced
    }

    fn exchange(&mut self, one: Spot, other: Spot) {
        for spot in [one, other] {
            self.release(spot.ino);
            self.mark(spot.ino, Locality::Local);
        }
        for (spot, link) in [(one, other.link), (other, one.link)] {
            self.graft(link, |dentry| dentry.lead_to(spot.ino, spot.kind));
        }
        self.arrive(one);
        self.arrive(other);
    }

    /// Records the change where an inode has been moved to.
    fn arrive(&mut self, moved: Spot) {
        if let Some(link) = self.link(moved.ino) {
            self.change_name(link);
        }
        let epoch = self.epoch;
        self.edit(moved.ino, |dir| dir.moved = epoch);
    }
}
