//! What is known about the names of one directory.
//!
//! Dentries lie in one vector in the order of their cookies, which only grow: a new one goes to the
//! end, a removed one leaves a hole, and once holes outnumber dentries they are squeezed out. So a
//! scan is a walk from a binary search, and costs no second ordering of the names.

use std::collections::HashMap;

use cloudmount_vfs::{Cookie, InodeId, Instant, Name};

use crate::dentry::{Dentry, Ghost, GhostKind, Known};
use crate::epoch::{Deadline, Epoch};
use crate::index::NameIndex;
use crate::slim::slim;
use crate::texts::{TextAt, Texts};

/// How many names of one directory are remembered as absent. A program that searches a path asks
/// for some hundred names in each directory, over and over; more are asked again.
pub const MAX_NEGATIVES: usize = 1024;

/// Fewer holes than this are not worth squeezing out.
const MIN_HOLES: usize = 32;

/// Room for the first dentries of a directory.
const FIRST_SLOTS: usize = 4;

#[derive(Debug)]
struct Slot {
    cookie: Cookie,
    /// `None`: a hole.
    dentry: Option<Dentry>,
}

/// What is known about the whole of a directory's names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listing {
    /// When the newest complete listing was asked.
    pub(crate) epoch: Epoch,
    /// Until when all names are believed to be known.
    pub(crate) until: Deadline,
    /// Until when a name without a record is believed to be absent.
    pub(crate) absent: Deadline,
    /// Listings asked before this do not make it complete.
    pub(crate) void: Epoch,
    /// When the listing was asked of which some pages were applied, but not the last; or none.
    pub(crate) paged: Epoch,
}

impl Listing {
    /// It is believed no longer.
    pub(crate) const fn expire(&mut self) {
        self.until = Deadline::PASSED;
        self.absent = Deadline::PASSED;
    }
}

/// One directory.
#[derive(Debug)]
pub(crate) struct Dir {
    slots: Vec<Slot>,
    texts: Texts,
    index: NameIndex,
    last_cookie: Cookie,
    ghosts: HashMap<Name, Ghost>,
    negatives: usize,
    pub(crate) listing: Listing,
    /// About names without a record, answers asked before this are refused: a record of a local
    /// change may have been dropped.
    pub(crate) floor: Epoch,
    /// The newest local change of a name.
    pub(crate) changed: Epoch,
    /// When the directory itself was moved last: older answers speak of another path.
    pub(crate) moved: Epoch,
    /// Local names below, at any depth.
    pub(crate) locals: u64,
    /// Children with a payload.
    pub(crate) warm: usize,
}

/// How many ghosts of either kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GhostCount {
    pub(crate) negatives: usize,
    pub(crate) tombstones: usize,
}

impl Dir {
    /// A directory of which nothing is known, at `epoch`: answers asked before may be about changes
    /// that it does not remember.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            slots: Vec::new(),
            texts: Texts::default(),
            index: NameIndex::default(),
            last_cookie: Cookie::DOT_DOT,
            ghosts: HashMap::new(),
            negatives: 0,
            listing: Listing::default(),
            floor: epoch,
            changed: Epoch::NONE,
            moved: Epoch::NONE,
            locals: 0,
            warm: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing would be lost by forgetting it, but what can be asked again.
    pub(crate) fn is_blank(&self) -> bool {
        self.len() == 0 && self.ghost_count().tombstones == 0
    }

    pub(crate) fn find(&self, name: &Name) -> Option<(Cookie, &Dentry)> {
        let name = name.as_str();
        let slot = self.index.find(name, |at| self.holds(at, name))?;
        let Slot { cookie, dentry } = &self.slots[slot];
        Some((*cookie, dentry.as_ref()?))
    }

    /// The name of one of its dentries.
    pub(crate) fn name_of(&self, dentry: &Dentry) -> Name {
        self.texts.name(dentry.text)
    }

    pub(crate) fn dentry(&self, cookie: Cookie) -> Option<&Dentry> {
        self.slots[self.position(cookie)?].dentry.as_ref()
    }

    pub(crate) fn dentry_mut(&mut self, cookie: Cookie) -> Option<&mut Dentry> {
        let at = self.position(cookie)?;
        self.slots[at].dentry.as_mut()
    }

    /// The dentries with a larger cookie than `cookie`, in the order of cookies.
    pub(crate) fn after(&self, cookie: Cookie) -> impl Iterator<Item = (Cookie, &Dentry)> {
        let from = self.slots.partition_point(|slot| slot.cookie <= cookie);
        self.slots[from..]
            .iter()
            .filter_map(|slot| Some((slot.cookie, slot.dentry.as_ref()?)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Cookie, &Dentry)> {
        self.after(Cookie::START)
    }

    /// Adds a dentry for a name that has none, under a new cookie.
    pub(crate) fn insert(&mut self, name: &Name, known: Known) -> Cookie {
        // A quarter more, not twice as much: a directory of a million names shall not hold memory
        // for another million.
        if self.slots.len() == self.slots.capacity() {
            self.slots
                .reserve_exact((self.slots.len() / 4).max(FIRST_SLOTS));
        }
        self.last_cookie = Cookie(self.last_cookie.0 + 1);
        self.index.insert(name.as_str(), self.slots.len());
        let text = self.texts.add(name.as_str());
        self.slots.push(Slot {
            cookie: self.last_cookie,
            dentry: Some(known.named(text)),
        });
        self.last_cookie
    }

    /// Takes a dentry out; gives where it led to.
    pub(crate) fn take(&mut self, cookie: Cookie) -> Option<InodeId> {
        let at = self.position(cookie)?;
        let dentry = self.slots[at].dentry.take()?;
        (self.index).remove(self.texts.get(dentry.text), |slot| slot == at);
        self.texts.remove(dentry.text);
        self.squeeze();
        Some(dentry.ino)
    }

    /// Forgets all names, and returns where they led to. What was asked or changed before stays
    /// refused by `floor`, which the caller sees to.
    pub(crate) fn clear(&mut self) -> Vec<InodeId> {
        let slots = std::mem::take(&mut self.slots);
        self.texts = Texts::default();
        self.index.clear();
        self.ghosts = HashMap::new();
        self.negatives = 0;
        self.listing.expire();
        self.listing.paged = Epoch::NONE;
        self.locals = 0;
        self.warm = 0;
        slots
            .into_iter()
            .filter_map(|slot| Some(slot.dentry?.ino))
            .collect()
    }

    pub(crate) fn ghost(&self, name: &Name) -> Option<&Ghost> {
        self.ghosts.get(name)
    }

    pub(crate) fn ghosts(&self) -> impl Iterator<Item = (&Name, &Ghost)> {
        self.ghosts.iter()
    }

    pub(crate) fn ghost_count(&self) -> GhostCount {
        GhostCount {
            negatives: self.negatives,
            tombstones: self.ghosts.len() - self.negatives,
        }
    }

    /// Sets what is known about an absent name. `now` may lie in the past: it only tells which
    /// negatives have surely expired.
    pub(crate) fn haunt(&mut self, name: &Name, ghost: Ghost, now: Instant) {
        self.lay(name);
        if !ghost.is_tombstone() {
            if self.negatives >= MAX_NEGATIVES {
                self.evict(now);
            }
            self.negatives += 1;
        }
        self.ghosts.insert(name.clone(), ghost);
    }

    /// Forgets that a name is absent.
    pub(crate) fn lay(&mut self, name: &Name) -> Option<Ghost> {
        let ghost = self.ghosts.remove(name)?;
        self.negatives -= usize::from(!ghost.is_tombstone());
        slim(&mut self.ghosts);
        Some(ghost)
    }

    /// Whether all names are known.
    pub(crate) fn is_listed(&self, now: Instant) -> bool {
        self.listing.until.is_after(now)
    }

    /// Whether a name without a record is known to be absent.
    pub(crate) fn denies_others(&self, now: Instant) -> bool {
        self.listing.absent.is_after(now)
    }

    /// Drops the negatives that have expired, and of the others the half that expires first.
    fn evict(&mut self, now: Instant) {
        let mut victims: Vec<(Deadline, Name)> = self
            .ghosts
            .iter()
            .filter(|(_, ghost)| !ghost.is_tombstone())
            .map(|(name, ghost)| (ghost.until, name.clone()))
            .collect();
        victims.sort_unstable();
        let expired = victims.partition_point(|(until, _)| !until.is_after(now));
        victims.truncate(expired.max(victims.len() - MAX_NEGATIVES / 2));
        for (_, name) in victims {
            let Some(ghost) = self.lay(&name) else {
                continue;
            };
            // Local changes of the name are forgotten with it, and none is newer than `changed`.
            self.floor = self.floor.max(ghost.epoch.min(self.changed));
            if ghost.kind == GhostKind::Doubt && ghost.epoch > self.listing.epoch {
                // Without the doubt, the listing would be believed.
                self.listing.expire();
            }
        }
    }

    fn holds(&self, slot: usize, name: &str) -> bool {
        let dentry = self.slots[slot].dentry.as_ref();
        dentry.is_some_and(|dentry| self.texts.is(dentry.text, name))
    }

    fn position(&self, cookie: Cookie) -> Option<usize> {
        self.slots
            .binary_search_by_key(&cookie, |slot| slot.cookie)
            .ok()
    }

    /// Removes holes at the end; all of them, and the room behind, once that is most of the memory.
    fn squeeze(&mut self) {
        while self.slots.last().is_some_and(|slot| slot.dentry.is_none()) {
            self.slots.pop();
        }
        let holes = self.slots.len() - self.len();
        let is_sparse = holes >= MIN_HOLES.max(self.len());
        let is_oversized = self.slots.capacity() >= 4 * MIN_HOLES.max(self.len());
        if is_sparse || is_oversized {
            self.slots.retain(|slot| slot.dentry.is_some());
            self.slots.shrink_to_fit();
            self.index.clear();
            for (at, slot) in self.slots.iter().enumerate() {
                if let Some(dentry) = &slot.dentry {
                    self.index.insert(self.texts.get(dentry.text), at);
                }
            }
        }
        if is_sparse || is_oversized || self.texts.is_sparse() {
            self.join_texts();
        }
    }

    /// Puts the texts together without the gaps between them.
    fn join_texts(&mut self) {
        let before = std::mem::take(&mut self.texts);
        for dentry in self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.dentry.as_mut())
        {
            dentry.text = self.texts.add(before.get(dentry.text));
        }
    }

    /// Bytes on the heap for the dentries and their names.
    #[cfg(test)]
    pub(crate) fn dentry_bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Slot>();
        slots + self.texts.heap_bytes() + self.index.heap_bytes()
    }
}

impl Known {
    const fn named(self, text: TextAt) -> Dentry {
        Dentry {
            text,
            ino: self.ino,
            until: self.until,
            epoch: self.epoch,
            calm: Deadline::PASSED,
            kind: self.kind,
            source: self.source,
        }
    }
}

#[cfg(test)]
mod tests;
