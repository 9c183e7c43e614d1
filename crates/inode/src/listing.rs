//! Asking for all names of a directory, and bringing the answer back: whole or page by page.
//!
//! Each name is judged on its own, so a listing of a busy directory still counts for all names that
//! nothing newer is known about. What a complete listing does not name, and what nothing newer is
//! known about, does not exist.

use cloudmount_vfs::{InodeId, Instant, Name, NodeKind};

use crate::belief::Belief;
use crate::dentry::Dentry;
use crate::epoch::{Asked, Epoch};
use crate::error::TableError;
use crate::judge::{Spot, Verdict};
use crate::lookup::Answer;
use crate::node::{Found, Locality};
use crate::table::InodeTable;

/// A question about all names of a directory.
#[derive(PartialEq, Eq, Debug)]
pub struct ListProbe {
    dir: InodeId,
    asked: Asked,
}

impl ListProbe {
    /// The directory.
    #[must_use]
    pub const fn dir(&self) -> InodeId {
        self.dir
    }

    pub(crate) const fn asked(&self) -> Asked {
        self.asked
    }
}

/// A name that the store has listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The name.
    pub name: Name,
    /// What it is.
    pub kind: NodeKind,
}

/// What a listing has changed.
#[derive(PartialEq, Eq, Debug)]
#[must_use]
pub enum ListingApplied<P> {
    /// Nothing: the directory is gone, or its path or too many of its names were changed after the
    /// question. Ask again.
    Refused,
    /// Names were added, merged and removed.
    Merged {
        /// Names that led to a warm inode and lead there no more.
        removed: Vec<(Name, Found<P>)>,
    },
}

impl<P: Clone> InodeTable<P> {
    /// Begins to ask for all names of `dir`.
    ///
    /// # Errors
    /// `NotFound` if `dir` is unknown, cold or an orphan; `NotDirectory`.
    pub fn begin_listing(&mut self, dir: InodeId, now: Instant) -> Result<ListProbe, TableError> {
        self.linked_dir(dir)?;
        let asked = self.ask(now);
        Ok(ListProbe { dir, asked })
    }

    /// Applies the complete listing `entries`, in the store's order, believed until `until`: as
    /// [`apply_page`](Self::apply_page) and [`finish_listing`](Self::finish_listing).
    pub fn apply_listing(
        &mut self,
        probe: ListProbe,
        entries: &[Listed],
        until: impl Into<Belief>,
        now: Instant,
        make: impl FnMut(InodeId, usize) -> P,
        merge: impl FnMut(&P, usize),
    ) -> ListingApplied<P> {
        let until = until.into();
        self.purge(now);
        if self.is_beyond_memory(&probe) {
            return ListingApplied::Refused;
        }
        let page = self.apply_page(&probe, entries, until.present, make, merge);
        let ListingApplied::Merged { mut removed } = page else {
            return ListingApplied::Refused;
        };
        removed.extend(self.sweep(&probe, until));
        ListingApplied::Merged { removed }
    }

    /// Applies a part of a listing: adds names, and removes none but those that lead to another
    /// kind now. The second argument of `make` and `merge` is the place in `entries`.
    ///
    /// `make` makes the payload of a new or cold inode; `merge` gets the payload of one that has
    /// it. Neither is called for names about which something newer is known, nor for local ones. A
    /// name that the listing repeats counts once.
    pub fn apply_page(
        &mut self,
        probe: &ListProbe,
        entries: &[Listed],
        until: Instant,
        mut make: impl FnMut(InodeId, usize) -> P,
        mut merge: impl FnMut(&P, usize),
    ) -> ListingApplied<P> {
        let ListProbe { dir, asked } = *probe;
        if self.is_outdated(probe) {
            return ListingApplied::Refused;
        }
        let mut removed = Vec::new();
        for (place, Listed { name, kind }) in entries.iter().enumerate() {
            let make = |ino| make(ino, place);
            match self.judge(dir, name, asked, Answer::Present(*kind)) {
                Some(Verdict::Refresh(spot)) => {
                    self.refresh(spot, asked, until);
                    match self.payload(spot.ino) {
                        Some(payload) => merge(payload, place),
                        None => {
                            self.wake(spot, make);
                        }
                    }
                }
                Some(Verdict::Replace(spot)) => {
                    let (_, replaced) = self.replace(spot, *kind, asked, until, make);
                    removed.extend(replaced.map(|found| (name.clone(), found)));
                }
                Some(Verdict::Add) => {
                    self.add(dir, name, *kind, (asked, until), make);
                }
                Some(
                    Verdict::Refuse
                    | Verdict::Keep(_)
                    | Verdict::Drop(_)
                    | Verdict::StayAbsent
                    | Verdict::ConfirmAbsent,
                )
                | None => {}
            }
        }
        ListingApplied::Merged { removed }
    }

    /// The listing is applied page by page from now on: until it ends, or another does, a scan by
    /// [`scan`](Self::scan) goes as far as the pages that were applied tell.
    pub fn begin_pages(&mut self, probe: &ListProbe) {
        let asked = probe.asked.epoch;
        self.edit(probe.dir, |dir| {
            dir.listing.paged = dir.listing.paged.max(asked);
        });
    }

    /// Whether anything was learnt of `name` since the listing was asked, be it by one of its pages.
    #[must_use]
    pub fn knows_since(&self, probe: &ListProbe, name: &Name) -> bool {
        let Some(dir) = self.dir(probe.dir) else {
            return false;
        };
        let asked = probe.asked.epoch;
        match dir.find(name) {
            Some((_, dentry)) => self.is_settled(dentry, asked),
            None => dir.ghost(name).is_some_and(|ghost| ghost.epoch >= asked),
        }
    }

    /// Whether a name was met, or made here, since a question, or exists only here.
    pub(crate) fn is_settled(&self, dentry: &Dentry, asked: Epoch) -> bool {
        dentry.epoch >= asked || self.locality(dentry.ino) == Some(Locality::Local)
    }

    /// Ends a listing all pages of which were applied: removes the names that none of them held,
    /// and believes that all are known, and others absent, until `until`.
    pub fn finish_listing(
        &mut self,
        probe: &ListProbe,
        until: impl Into<Belief>,
        now: Instant,
    ) -> ListingApplied<P> {
        self.purge(now);
        if self.is_outdated(probe) || self.is_beyond_memory(probe) {
            return ListingApplied::Refused;
        }
        let removed = self.sweep(probe, until.into());
        ListingApplied::Merged { removed }
    }

    /// All names of `dir` are known until `until`, as of one that was just created here.
    ///
    /// # Errors
    /// `NotFound` if `dir` is unknown, cold or an orphan; `NotDirectory`.
    pub fn mark_listed(
        &mut self,
        dir: InodeId,
        until: impl Into<Belief>,
    ) -> Result<(), TableError> {
        self.linked_dir(dir)?;
        let epoch = self.tick();
        self.complete(dir, epoch, until.into());
        self.end_pages(dir, epoch);
        Ok(())
    }

    /// Whether all names of `dir` are known at `now`.
    #[must_use]
    pub fn listing_is_valid(&self, dir: InodeId, now: Instant) -> bool {
        self.dir(dir).is_some_and(|dir| dir.is_listed(now))
    }

    /// Whether all names of `dir` were known at some time.
    #[must_use]
    pub fn was_listed(&self, dir: InodeId) -> bool {
        let dir = self.dir(dir);
        dir.is_some_and(|dir| dir.listing.epoch > Epoch::NONE)
    }

    /// Believes no longer that all names of `dir` are known, nor listings that were asked before.
    /// What is known about single names stays: see [`expire`](Self::expire).
    pub fn expire_listing(&mut self, dir: InodeId) {
        let epoch = self.tick();
        self.edit(dir, |dir| {
            dir.listing.expire();
            dir.listing.void = epoch;
        });
    }

    /// Removes the names that no page of the listing has held, and completes the directory.
    fn sweep(&mut self, probe: &ListProbe, until: Belief) -> Vec<(Name, Found<P>)> {
        let ListProbe { dir, asked } = *probe;
        let missing: Vec<(Spot, Name)> = self.dir(dir).map_or_else(Vec::new, |known| {
            let dentries = known.iter();
            dentries
                .map(|(cookie, dentry)| (Spot::new(dir, cookie, dentry), dentry))
                .filter(|(spot, dentry)| {
                    let verdict = self.judge_dentry(*spot, dentry, asked, Answer::Absent);
                    matches!(verdict, Verdict::Drop(_))
                })
                .map(|(spot, dentry)| (spot, known.name_of(dentry)))
                .collect()
        });
        let has_missing = !missing.is_empty();
        let mut removed = Vec::new();
        for (spot, name) in missing {
            let found = self.uproot(spot.link);
            removed.extend(found.map(|found| (name, found)));
        }
        let is_void = self
            .dir(dir)
            .is_some_and(|dir| dir.listing.void >= asked.epoch);
        if is_void && has_missing {
            // The records of these names are gone, and no complete listing stands in for them.
            self.edit(dir, |dir| dir.floor = dir.floor.max(asked.epoch));
        }
        self.complete(dir, asked.epoch, until);
        self.end_pages(dir, asked.epoch);
        removed
    }

    /// All names are told that a listing would tell that was asked before `asked`.
    fn end_pages(&mut self, dir: InodeId, asked: Epoch) {
        self.edit(dir, |dir| {
            if dir.listing.paged <= asked {
                dir.listing.paged = Epoch::NONE;
            }
        });
    }

    fn complete(&mut self, dir: InodeId, epoch: Epoch, until: Belief) {
        self.edit(dir, |dir| {
            if epoch > dir.listing.epoch && epoch > dir.listing.void {
                dir.listing.epoch = epoch;
                dir.listing.until = until.whole.into();
                dir.listing.absent = until.absent.into();
            }
        });
    }

    /// Whether records of names that were changed here since are lost: pages have left such names
    /// out, so the listing is not complete.
    fn is_beyond_memory(&self, probe: &ListProbe) -> bool {
        self.dir(probe.dir)
            .is_none_or(|dir| dir.floor >= probe.asked.epoch)
    }

    fn payload(&self, ino: InodeId) -> Option<&P> {
        self.node(ino)?.payload.as_ref()
    }

    fn is_outdated(&self, probe: &ListProbe) -> bool {
        self.linked_dir(probe.dir).is_err() || self.moved_since(probe.dir, probe.asked.epoch)
    }
}
