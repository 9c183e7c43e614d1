//! A table and a model that live through the same operations, and the laws that are watched.

mod listings;

use std::collections::HashMap;
use std::time::Duration;

use cloudmount_inode::{
    Answer, Belief, Expect, InodeTable, ListProbe, Listed, ListingApplied, Locality, Lookup, Probe,
    TableSettings,
};
use cloudmount_vfs::{Cookie, InodeId, Instant, Name, NodeKind, RenameMode};

use super::{At, Op, Pick, Ttl};
use crate::model::{Asked, Known, Listing, Model};

/// A directory that is being read while it changes.
#[derive(Debug)]
struct Scan {
    dir: InodeId,
    after: Cookie,
    /// What existed at the start and ever since.
    throughout: Vec<Name>,
    met: Vec<Name>,
}

/// More questions than this are not held: the oldest is dropped unanswered.
const MAX_HELD: usize = 6;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

pub(super) struct World {
    pub(super) table: InodeTable<u64>,
    pub(super) model: Model,
    pub(super) now: Instant,
    probes: Vec<(Probe, Asked)>,
    listings: Vec<(ListProbe, Asked)>,
    scans: Vec<Scan>,
    /// All directories that ever were.
    pub(super) dirs: Vec<InodeId>,
    /// The largest number that was given.
    pub(super) last: u64,
    /// When a name was last changed here.
    changed: HashMap<(InodeId, Name), u64>,
}

impl World {
    pub(super) fn new(cooldown: u64) -> Self {
        let settings = TableSettings {
            guard: Duration::from_secs(10),
            cooldown: Duration::from_secs(cooldown),
        };
        Self {
            table: InodeTable::new(settings, 0),
            model: Model::new(settings, 0),
            now: Instant::from_start(Duration::from_secs(100)),
            probes: Vec::new(),
            listings: Vec::new(),
            scans: Vec::new(),
            dirs: vec![InodeId::ROOT],
            last: 1,
            changed: HashMap::new(),
        }
    }

    pub(super) fn run(&mut self, op: &Op) {
        self.model.op += 1;
        let locals = self.locals();
        let is_answer = matches!(
            op,
            Op::Answer(..) | Op::Page(..) | Op::ApplyListing(..) | Op::FinishListing(..)
        );
        self.step(op);
        self.model.note_idle();
        self.table.check().unwrap();
        self.compare();
        if is_answer {
            assert_eq!(self.locals(), locals, "an answer changed what is local");
        }
        for scan in &mut self.scans {
            let (table, dir) = (&self.table, scan.dir);
            scan.throughout
                .retain(|name| leads_to(table, dir, name).is_some());
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Lookup(at) => self.lookup(*at),
            Op::Answer(pick, answer, ttl) => self.answer(*pick, *answer, *ttl),
            Op::BeginListing(dir) => self.begin_listing(*dir),
            Op::Page(pick, entries, ttl) => self.page(*pick, entries, *ttl),
            Op::ApplyListing(pick, entries, ttl) => self.apply_listing(*pick, entries, *ttl),
            Op::FinishListing(pick, ttl) => self.finish_listing(*pick, *ttl),
            Op::Create(at, kind) => self.create(*at, *kind),
            Op::Remove(at, expect) => self.remove(*at, *expect),
            Op::Rename(from, to, mode) => self.rename(*from, *to, *mode),
            Op::SetLocal(pick, locality) => self.set_local(*pick, *locality),
            Op::Reclaim(keep, max) => self.reclaim(*keep, *max),
            Op::Scan(dir, max) => self.scan(*dir, *max),
            Op::Wait(secs) => self.now = self.now + Duration::from_secs(*secs),
            Op::Remember(_) | Op::Forget(..) | Op::Pin(_) | Op::Unpin(_) => self.count(op),
            Op::MarkListed(..) | Op::ExpireListing(_) | Op::Expire(_) | Op::Validate(..) => {
                self.believe(op);
            }
            Op::Confirm(at) | Op::Cancel(at) => {
                let (dir, name) = self.at(*at);
                if matches!(op, Op::Confirm(_)) {
                    self.table.confirm_removed(dir, &name, self.now);
                    self.model.confirm(dir, &name, self.now);
                } else {
                    self.table.cancel_removed(dir, &name);
                    self.model.cancel(dir, &name);
                }
            }
        }
    }

    fn lookup(&mut self, at: At) {
        let (dir, name) = self.at(at);
        let known = match self.table.lookup(dir, &name, self.now) {
            Ok(Lookup::Known(found)) => Ok(Known::There(found)),
            Ok(Lookup::Absent) => Ok(Known::Absent),
            Ok(Lookup::Ask(probe)) => {
                let asked = self.asked();
                hold(&mut self.probes, (probe, asked));
                Ok(Known::Ask)
            }
            Err(error) => Err(error),
        };
        assert_eq!(known, self.model.lookup(dir, &name, self.now));
    }

    fn answer(&mut self, pick: Pick, answer: Answer, ttl: Ttl) {
        let Some((probe, asked)) = take(&mut self.probes, pick) else {
            return;
        };
        let (dir, name) = (probe.parent(), probe.name().clone());
        let until = self.until(ttl);
        let payload = self.model.op * 100;
        let before = leads_to(&self.table, dir, &name);
        let applied = self.table.apply(probe, answer, until, |_| payload);
        let expected = self
            .model
            .apply((dir, &name, asked), answer, until, payload);
        assert_eq!(applied, expected);
        if self.is_overtaken(dir, &name, asked) {
            assert_eq!(
                leads_to(&self.table, dir, &name),
                before,
                "an old answer counted"
            );
        }
    }

    fn believe(&mut self, op: &Op) {
        match op {
            Op::MarkListed(dir, ttl) => {
                let (dir, until) = (self.dir(*dir), self.until(*ttl));
                let expected = self.model.mark_listed(dir, until);
                assert_eq!(self.table.mark_listed(dir, until), expected);
            }
            Op::ExpireListing(dir) => {
                let dir = self.dir(*dir);
                self.table.expire_listing(dir);
                self.model.expire_listing(dir);
            }
            Op::Expire(at) => {
                let (dir, name) = self.at(*at);
                self.table.expire(dir, &name);
                self.model.expire(dir, &name);
            }
            Op::Validate(pick, ttl) => {
                let (ino, until) = (self.ino(*pick), self.until(*ttl).present);
                assert_eq!(
                    self.table.validate(ino, until),
                    self.model.validate(ino, until)
                );
            }
            other => panic!("{other:?} is no matter of belief"),
        }
    }

    fn create(&mut self, at: At, kind: NodeKind) {
        let (dir, name) = self.at(at);
        let payload = self.model.op * 100;
        let created = self.table.create(dir, &name, kind, |_| payload);
        assert_eq!(created, self.model.create(dir, &name, kind, payload));
        if let Ok(found) = created {
            assert!(found.ino.get() > self.last, "a number was given twice");
            self.note_change(dir, &name);
        }
    }

    fn remove(&mut self, at: At, expect: Expect) {
        let (dir, name) = self.at(at);
        let removed = self.table.remove(dir, &name, expect);
        assert_eq!(removed, self.model.remove(dir, &name, expect));
        if removed.is_ok() {
            self.note_change(dir, &name);
        }
    }

    fn rename(&mut self, from: At, to: At, mode: RenameMode) {
        let (from, to) = (self.at(from), self.at(to));
        let (old, new) = ((from.0, &from.1), (to.0, &to.1));
        let renamed = self.table.rename(old, new, mode);
        assert_eq!(renamed, self.model.rename(old, new, mode));
        if renamed.is_ok() && old != new {
            self.note_change(from.0, &from.1);
            self.note_change(to.0, &to.1);
        }
    }

    fn set_local(&mut self, pick: Pick, locality: Locality) {
        let ino = self.ino(pick);
        let set = self.table.set_local(ino, locality, self.now);
        assert_eq!(set, self.model.set_local(ino, locality, self.now));
        if let (Ok(()), Some((dir, name))) = (set, self.table.parent_of(ino)) {
            self.note_change(dir, &name);
        }
    }

    fn count(&mut self, op: &Op) {
        match *op {
            Op::Remember(pick) => {
                let ino = self.ino(pick);
                let expected = self.model.hold(ino, |node| node.lookups += 1);
                assert_eq!(self.table.remember(ino), expected);
            }
            Op::Forget(pick, count) => {
                let ino = self.ino(pick);
                let expected = self.model.let_go(ino, |node| {
                    node.lookups = node.lookups.saturating_sub(count);
                });
                assert_eq!(self.table.forget(ino, count), expected);
            }
            Op::Pin(pick) => {
                let ino = self.ino(pick);
                let expected = self.model.hold(ino, |node| node.pins += 1);
                assert_eq!(self.table.pin(ino), expected);
            }
            Op::Unpin(pick) => {
                let ino = self.ino(pick);
                let expected = self
                    .model
                    .let_go(ino, |node| node.pins = node.pins.saturating_sub(1));
                assert_eq!(self.table.unpin(ino), expected);
            }
            ref other => panic!("{other:?} counts nothing"),
        }
    }

    fn reclaim(&mut self, keep: usize, max: usize) {
        let payloads = self.table.reclaim(keep, max);
        for (done, payload) in payloads.iter().enumerate() {
            assert!(done < max && self.model.stats().reclaimable > keep);
            self.model.reclaim(*payload);
        }
        assert!(payloads.len() == max || self.model.stats().reclaimable <= keep);
    }

    /// Everything local, and where it is.
    fn locals(&self) -> Vec<(InodeId, Option<Vec<Name>>)> {
        let all = (1..=self.last).filter_map(InodeId::new);
        let is_local = |ino: &InodeId| self.table.locality(*ino) == Some(Locality::Local);
        all.filter(is_local)
            .map(|ino| (ino, self.table.path(ino)))
            .collect()
    }

    fn is_overtaken(&self, dir: InodeId, name: &Name, asked: Asked) -> bool {
        let changed = self.changed.get(&(dir, name.clone()));
        changed.is_some_and(|changed| *changed > asked.op)
    }

    /// Where the names of `dir` lead that were changed here after a question.
    fn overtaken(&self, dir: InodeId, asked: Asked) -> Vec<Option<InodeId>> {
        let names = NAMES.map(|text| Name::new(text).unwrap());
        let changed = names
            .iter()
            .filter(|name| self.is_overtaken(dir, name, asked));
        changed
            .map(|name| leads_to(&self.table, dir, name))
            .collect()
    }

    fn note_change(&mut self, dir: InodeId, name: &Name) {
        self.changed.insert((dir, name.clone()), self.model.op);
    }

    const fn asked(&self) -> Asked {
        Asked {
            op: self.model.op,
            at: self.now,
        }
    }

    fn until(&self, ttl: Ttl) -> Belief {
        let [present, absent, whole] = ttl.map(|secs| self.now + Duration::from_secs(secs));
        Belief {
            present,
            absent,
            whole,
        }
    }

    /// Mostly a directory that is usable, now and then one that was.
    fn dir(&self, pick: Pick) -> InodeId {
        let is_usable = |ino: &&InodeId| self.model.is_linked(**ino);
        let usable: Vec<InodeId> = self.dirs.iter().filter(is_usable).copied().collect();
        let among = if pick & 7 == 0 { &self.dirs } else { &usable };
        among[usize::from(pick / 8) % among.len()]
    }

    fn at(&self, (dir, name): At) -> (InodeId, Name) {
        let name = NAMES[usize::from(name) % NAMES.len()];
        (self.dir(dir), Name::new(name).unwrap())
    }

    /// Mostly an inode that is there, now and then one that was or never will be.
    fn ino(&self, pick: Pick) -> InodeId {
        let there: Vec<InodeId> = self.model.nodes.iter().map(|node| node.ino).collect();
        let at = usize::from(pick / 8);
        if pick & 7 == 0 {
            InodeId::new(at as u64 % (self.last + 1) + 1).unwrap()
        } else {
            there[at % there.len()]
        }
    }
}

fn leads_to(table: &InodeTable<u64>, dir: InodeId, name: &Name) -> Option<InodeId> {
    let children = table.children(dir, Cookie::START, usize::MAX).ok()?;
    Some(children.into_iter().find(|child| child.name == *name)?.ino)
}

fn listed(entries: &[(Pick, NodeKind)]) -> Vec<Listed> {
    let listed = |&(name, kind): &(Pick, NodeKind)| Listed {
        name: Name::new(NAMES[usize::from(name) % NAMES.len()]).unwrap(),
        kind,
    };
    entries.iter().map(listed).collect()
}

fn listing(applied: ListingApplied<u64>) -> Listing {
    match applied {
        ListingApplied::Refused => None,
        ListingApplied::Merged { removed } => Some(removed),
    }
}

fn hold<T>(held: &mut Vec<T>, one: T) {
    if held.len() == MAX_HELD {
        held.remove(0);
    }
    held.push(one);
}

fn take<T>(held: &mut Vec<T>, pick: Pick) -> Option<T> {
    let at = usize::from(pick).checked_rem(held.len())?;
    Some(held.remove(at))
}
