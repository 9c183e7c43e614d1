//! A table with a clock of its own, and the shortest words for what the rules' tests do with it.

use std::time::Duration;

use cloudmount_inode::{
    Answer, Applied, Expect, Found, InodeTable, ListProbe, Listed, ListingApplied, Locality,
    Lookup, Novelty, Probe, TableSettings,
};
use cloudmount_vfs::{Cookie, InodeId, Instant, Name, NodeKind};

pub(crate) use cloudmount_vfs::NodeKind::{Directory, File, Symlink};

pub(crate) const ROOT: InodeId = InodeId::ROOT;

/// How long removed names are remembered in these tests, in seconds.
pub(crate) const GUARD: u64 = 30;

pub(crate) fn n(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) const fn secs(secs: u64) -> Instant {
    Instant::from_start(Duration::from_secs(secs))
}

/// Payloads are numbers, counted up from 1; the root's is 0.
#[derive(Debug)]
pub(crate) struct Kit {
    pub(crate) table: InodeTable<u64>,
    pub(crate) now: u64,
    made: u64,
}

impl Kit {
    pub(crate) fn new() -> Self {
        Self::with_cooldown(0)
    }

    pub(crate) fn with_cooldown(cooldown: u64) -> Self {
        let settings = TableSettings {
            guard: Duration::from_secs(GUARD),
            cooldown: Duration::from_secs(cooldown),
        };
        Self {
            table: InodeTable::new(settings, 0),
            now: 100,
            made: 0,
        }
    }

    pub(crate) const fn now(&self) -> Instant {
        secs(self.now)
    }

    pub(crate) fn lookup(&mut self, dir: InodeId, name: &str) -> Lookup<u64> {
        let lookup = self.table.lookup(dir, &n(name), self.now()).unwrap();
        self.table.check().unwrap();
        lookup
    }

    /// A lookup that must ask.
    #[track_caller]
    pub(crate) fn ask(&mut self, dir: InodeId, name: &str) -> Probe {
        match self.lookup(dir, name) {
            Lookup::Ask(probe) => {
                assert_eq!((probe.parent(), probe.name()), (dir, &n(name)));
                probe
            }
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Applies an answer that is valid for ten seconds.
    pub(crate) fn apply(&mut self, probe: Probe, answer: Answer) -> Applied<u64> {
        let until = secs(self.now + 10);
        let made = &mut self.made;
        let applied = self.table.apply(probe, answer, until, |_| {
            *made += 1;
            *made
        });
        self.table.check().unwrap();
        applied
    }

    /// A name that the store has, looked up now.
    #[track_caller]
    pub(crate) fn remote(&mut self, dir: InodeId, name: &str, kind: NodeKind) -> Found<u64> {
        let probe = self.ask(dir, name);
        match self.apply(probe, Answer::Present(kind)) {
            Applied::Found {
                found,
                novelty: Novelty::New,
                replaced: None,
            } => found,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn known(&mut self, dir: InodeId, name: &str) -> Found<u64> {
        match self.lookup(dir, name) {
            Lookup::Known(found) => found,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_absent(&mut self, dir: InodeId, name: &str) {
        assert_eq!(self.lookup(dir, name), Lookup::Absent, "{name}");
    }

    /// A local name.
    #[track_caller]
    pub(crate) fn create(&mut self, dir: InodeId, name: &str, kind: NodeKind) -> Found<u64> {
        self.made += 1;
        let made = self.made;
        let found = self.table.create(dir, &n(name), kind, |_| made).unwrap();
        self.table.check().unwrap();
        found
    }

    /// A local name that then reached the store.
    pub(crate) fn upload(&mut self, dir: InodeId, name: &str, kind: NodeKind) -> Found<u64> {
        let found = self.create(dir, name, kind);
        self.set(found.ino, Locality::Remote);
        found
    }

    pub(crate) fn set(&mut self, ino: InodeId, locality: Locality) {
        self.table.set_local(ino, locality, self.now()).unwrap();
        self.table.check().unwrap();
    }

    #[track_caller]
    pub(crate) fn remove(&mut self, dir: InodeId, name: &str) -> Found<u64> {
        let removed = self.table.remove(dir, &n(name), Expect::NotDirectory);
        self.table.check().unwrap();
        removed.unwrap().found
    }

    pub(crate) fn confirm(&mut self, dir: InodeId, name: &str) {
        self.table.confirm_removed(dir, &n(name), self.now());
        self.table.check().unwrap();
    }

    pub(crate) fn begin(&mut self, dir: InodeId) -> ListProbe {
        self.table.begin_listing(dir, self.now()).unwrap()
    }

    /// Applies a complete listing that is valid for ten seconds; returns what it removed.
    pub(crate) fn list(
        &mut self,
        probe: ListProbe,
        entries: &[(&str, NodeKind)],
    ) -> Option<Vec<(Name, Found<u64>)>> {
        let (until, now) = (secs(self.now + 10), self.now());
        let made = &mut self.made;
        let applied = self.table.apply_listing(
            probe,
            &listed(entries),
            until,
            now,
            |_, _| {
                *made += 1;
                *made
            },
            |_, _| {},
        );
        self.table.check().unwrap();
        match applied {
            ListingApplied::Merged { removed } => Some(removed),
            ListingApplied::Refused => None,
        }
    }

    /// Begins and applies a complete listing at once.
    pub(crate) fn list_now(
        &mut self,
        dir: InodeId,
        entries: &[(&str, NodeKind)],
    ) -> Vec<(Name, Found<u64>)> {
        let probe = self.begin(dir);
        self.list(probe, entries).unwrap()
    }

    pub(crate) fn names(&self, dir: InodeId) -> Vec<String> {
        let children = self.table.children(dir, Cookie::START, usize::MAX);
        let name = |child: cloudmount_inode::Child<u64>| child.name.to_string();
        children.unwrap().into_iter().map(name).collect()
    }
}

pub(crate) fn listed(entries: &[(&str, NodeKind)]) -> Vec<Listed> {
    let listed = |&(name, kind): &(&str, NodeKind)| Listed {
        name: n(name),
        kind,
    };
    entries.iter().map(listed).collect()
}
