//! What the kernel knows: inodes with their lookups, names, pages, open files.
//!
//! Laws, checked here: a live number has one kind and one generation; an attribute carries the
//! number that was asked for; handles are unique while they are open.

use std::collections::{BTreeMap, HashMap, HashSet};

use cloudmount_vfs::{
    Attr, Change, DirHandle, Entry, FileHandle, Generation, InodeId, Instant, Name, NodeKind,
    OpenFlags,
};

use super::pages::Pages;

/// An inode that the kernel knows.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) attr: Attr,
    attr_until: Instant,
    generation: Option<Generation>,
    /// Lookups counted and not forgotten.
    lookups: u64,
    /// Names that lead to it, names cached below it, open files, operations under way.
    names: usize,
    children: usize,
    pub(super) opens: usize,
    pins: usize,
    pub(super) pages: Pages,
    /// Counts changes of content through this kernel, each twice: when it begins and when it ends.
    pub(super) writes: u64,
    /// Counts changes of the entries through this kernel, likewise.
    pub(super) renames: u64,
}

#[derive(Debug)]
struct Dentry {
    child: InodeId,
    until: Instant,
}

/// An open file description.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenFile {
    pub(super) ino: InodeId,
    pub(super) handle: FileHandle,
    pub(super) flags: OpenFlags,
    pub(super) caches: bool,
    /// Descriptors that share it.
    pub(super) descriptors: usize,
    /// The size when it was opened, and [`Node::writes`] then.
    pub(super) opened_size: u64,
    pub(super) opened_writes: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    nodes: HashMap<InodeId, Node>,
    dentries: BTreeMap<InodeId, BTreeMap<Name, Dentry>>,
    /// The kind of each number and generation that was ever seen.
    kinds: HashMap<(InodeId, Generation), NodeKind>,
    pub(super) files: BTreeMap<u64, OpenFile>,
    next_file: u64,
    /// Descriptors, and the open file that each means.
    pub(super) descriptors: BTreeMap<u64, u64>,
    /// Numbers of the handles that are open, of files and directories.
    handles: HashSet<u64>,
    /// Lookups to take back as soon as the lock is free.
    pub(super) forgets: Vec<(InodeId, u64)>,
    pub(super) counted: u64,
    pub(super) forgotten: u64,
    dice: u64,
}

impl State {
    /// Nothing is known; the dice fall as `seed` says.
    pub(super) fn new(seed: u64) -> Self {
        // The generator stands still at zero.
        Self {
            dice: seed.wrapping_add(0x9E37_79B9_7F4A_7C15).max(1),
            ..Self::default()
        }
    }

    /// The node of a number that is alive.
    #[track_caller]
    pub(super) fn node(&mut self, ino: InodeId) -> &mut Node {
        let node = self.nodes.get_mut(&ino);
        node.expect("the kernel holds each inode that it names")
    }

    pub(super) fn live(&self) -> impl Iterator<Item = InodeId> {
        self.nodes.keys().copied()
    }

    /// Makes the root known; it needs no lookup.
    pub(super) fn mount(&mut self, root: Attr, until: Instant) {
        self.nodes
            .insert(InodeId::ROOT, Node::new(root, until, None));
    }

    /// Counts the lookup of an entry and pins its inode.
    #[track_caller]
    pub(super) fn learn(&mut self, entry: &Entry, now: Instant) -> InodeId {
        let attr = entry.attr;
        let until = now + entry.attr_ttl;
        let known = *self
            .kinds
            .entry((attr.ino, entry.generation))
            .or_insert(attr.kind);
        assert!(
            known == attr.kind,
            "law: one number never means two kinds; {} was a {known:?} and is a {:?}",
            attr.ino,
            attr.kind
        );
        assert!(
            attr.links > 0,
            "law: an inode with a name has links; {} has none",
            attr.ino
        );
        let node = self
            .nodes
            .entry(attr.ino)
            .or_insert_with(|| Node::new(attr, until, Some(entry.generation)));
        let generation = *node.generation.get_or_insert(entry.generation);
        assert!(
            generation == entry.generation,
            "law: a live number keeps its generation; {} had {generation:?} and has {:?}",
            attr.ino,
            entry.generation
        );
        node.attr = attr;
        node.attr_until = until;
        node.lookups += 1;
        node.pins += 1;
        self.counted += 1;
        attr.ino
    }

    /// Keeps attributes that an operation answered.
    #[track_caller]
    pub(super) fn learn_attr(&mut self, ino: InodeId, attr: &Attr, until: Instant) {
        assert!(
            attr.ino == ino,
            "law: attributes of {ino} carry its number, not {}",
            attr.ino
        );
        let node = self.node(ino);
        assert!(
            node.attr.kind == attr.kind,
            "law: one number never means two kinds; {ino} was a {:?} and is a {:?}",
            node.attr.kind,
            attr.kind
        );
        node.attr = *attr;
        node.attr_until = until;
    }

    /// The cached attributes, if they may still be used.
    pub(super) fn fresh_attr(&mut self, ino: InodeId, now: Instant) -> Option<Attr> {
        let node = self.node(ino);
        (now < node.attr_until).then_some(node.attr)
    }

    pub(super) fn expire_attr(&mut self, ino: InodeId) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.attr_until = Instant::default();
        }
    }

    pub(super) fn pin(&mut self, ino: InodeId) {
        self.node(ino).pins += 1;
    }

    pub(super) fn unpin(&mut self, ino: InodeId) {
        // Unmounting takes all; what outlives it has been told there.
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.pins -= 1;
            self.evict(ino);
        }
    }

    /// What a name leads to, if that may still be used.
    pub(super) fn dentry(&self, parent: InodeId, name: &Name, now: Instant) -> Option<InodeId> {
        let dentry = self.dentries.get(&parent)?.get(name)?;
        (now < dentry.until).then_some(dentry.child)
    }

    /// What a name leads to as far as was known last, however old.
    pub(super) fn last_known(&self, parent: InodeId, name: &Name) -> Option<InodeId> {
        Some(self.dentries.get(&parent)?.get(name)?.child)
    }

    pub(super) fn link(&mut self, parent: InodeId, name: &Name, child: InodeId, until: Instant) {
        self.node(child).names += 1;
        self.node(parent).children += 1;
        let names = self.dentries.entry(parent).or_default();
        if let Some(old) = names.insert(name.clone(), Dentry { child, until }) {
            self.unlinked(parent, old.child);
        }
    }

    /// Forgets where a name leads, and what was known below it.
    pub(super) fn unlink(&mut self, parent: InodeId, name: &Name) -> Option<Instant> {
        let dentry = self.dentries.get_mut(&parent)?.remove(name)?;
        self.unlinked(parent, dentry.child);
        Some(dentry.until)
    }

    fn unlinked(&mut self, parent: InodeId, child: InodeId) {
        self.node(parent).children -= 1;
        let node = self.node(child);
        node.names -= 1;
        if node.names == 0 {
            // A directory that no name leads to cannot be walked through any more.
            for name in self.names_in(child) {
                self.unlink(child, &name);
            }
        }
        self.evict(child);
        self.evict(parent);
    }

    fn names_in(&self, directory: InodeId) -> Vec<Name> {
        let names = self.dentries.get(&directory);
        names
            .map(|names| names.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Moves a name with all that is known below it.
    pub(super) fn rename(&mut self, from: (InodeId, &Name), to: (InodeId, &Name)) {
        let Some(child) = self.last_known(from.0, from.1) else {
            self.unlink(to.0, to.1);
            return;
        };
        self.pin(child);
        self.node(child).names += 1;
        let until = self.unlink(from.0, from.1).unwrap_or_default();
        self.link(to.0, to.1, child, until);
        self.node(child).names -= 1;
        self.unpin(child);
    }

    /// Drops every name, and with them every inode that nothing else holds.
    pub(super) fn drop_names(&mut self) {
        let parents: Vec<_> = self.dentries.keys().copied().collect();
        for parent in parents {
            for name in self.names_in(parent) {
                self.unlink(parent, &name);
            }
        }
        self.dentries.retain(|_, names| !names.is_empty());
    }

    /// Gives an inode back that nothing holds.
    pub(super) fn evict(&mut self, ino: InodeId) {
        let idle = self.nodes.get(&ino).is_some_and(Node::is_idle);
        if idle
            && ino != InodeId::ROOT
            && let Some(node) = self.nodes.remove(&ino)
        {
            self.dentries.remove(&ino);
            self.forgets.push((ino, node.lookups));
        }
    }

    /// Gives the root's own lookups back: only `..` counts them.
    pub(super) fn unmount(&mut self) {
        self.drop_names();
        if self.node(InodeId::ROOT).is_idle()
            && let Some(root) = self.nodes.remove(&InodeId::ROOT)
            && root.lookups > 0
        {
            self.forgets.push((InodeId::ROOT, root.lookups));
        }
    }

    /// Follows what the filesystem says that changed elsewhere.
    pub(super) fn follow(&mut self, change: &Change) {
        match change {
            Change::Attributes(ino) => self.expire_attr(*ino),
            Change::Content(ino) => {
                self.expire_attr(*ino);
                if let Some(node) = self.nodes.get_mut(ino) {
                    node.pages.clear();
                }
            }
            Change::Entry { parent, name } => {
                self.unlink(*parent, name);
            }
            Change::Removed {
                parent,
                child,
                name,
            } => {
                if self.last_known(*parent, name) == Some(*child) {
                    self.unlink(*parent, name);
                }
                self.expire_attr(*child);
            }
            Change::Everything => {
                self.drop_names();
                for node in self.nodes.values_mut() {
                    node.attr_until = Instant::default();
                    node.pages.clear();
                }
            }
        }
    }

    /// Keeps an open file; gives its descriptor, the lowest that is free.
    #[track_caller]
    pub(super) fn keep_file(&mut self, file: OpenFile) -> u64 {
        self.keep_handle(file.handle.get());
        self.node(file.ino).opens += 1;
        self.next_file += 1;
        self.files.insert(self.next_file, file);
        self.new_descriptor(self.next_file)
    }

    pub(super) fn new_descriptor(&mut self, file: u64) -> u64 {
        let mut free = 0;
        while self.descriptors.contains_key(&free) {
            free += 1;
        }
        self.descriptors.insert(free, file);
        free
    }

    #[track_caller]
    fn keep_handle(&mut self, handle: u64) {
        let new = self.handles.insert(handle);
        assert!(
            new,
            "law: a handle is unique while it is open; {handle} was given twice"
        );
    }

    #[track_caller]
    pub(super) fn keep_dir(&mut self, ino: InodeId, handle: DirHandle) {
        self.keep_handle(handle.get());
        self.node(ino).opens += 1;
    }

    /// A handle is about to be released.
    pub(super) fn drop_handle(&mut self, handle: u64) {
        self.handles.remove(&handle);
    }

    /// A handle was released.
    pub(super) fn closed(&mut self, ino: InodeId) {
        self.node(ino).opens -= 1;
        self.evict(ino);
    }

    /// A pseudo-random number; the same seed gives the same row (xorshift64*, Vigna 2016).
    pub(super) const fn roll(&mut self) -> u64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        self.dice.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Node {
    fn new(attr: Attr, attr_until: Instant, generation: Option<Generation>) -> Self {
        Self {
            attr,
            attr_until,
            generation,
            lookups: 0,
            names: 0,
            children: 0,
            opens: 0,
            pins: 0,
            pages: Pages::default(),
            writes: 0,
            renames: 0,
        }
    }

    /// Whether nothing holds it.
    const fn is_idle(&self) -> bool {
        self.names == 0 && self.children == 0 && self.opens == 0 && self.pins == 0
    }
}
