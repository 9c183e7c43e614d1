//! The state: nodes by number, and what keeps them alive.
//!
//! Laws: numbers and handles only ever count up; a node lives while it has a name, a lookup or an
//! open handle.

use std::collections::BTreeMap;

use bytes::Bytes;
use cloudmount_store::Metadata;
use cloudmount_vfs::{
    Attr, Change, ChangeSender, ContentNumber, Context, Cookie, DirHandle, Entry, ErrorKind,
    FileHandle, Generation, InodeId, Name, NodeKind, OpenFlags, Permissions, Result, Timestamp,
};

use super::content::Content;
use super::{Flaw, Settings};

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) settings: Settings,
    /// The time of the operation that runs.
    pub(super) now: Timestamp,
    pub(super) nodes: BTreeMap<InodeId, Node>,
    pub(super) files: BTreeMap<FileHandle, OpenFile>,
    pub(super) dirs: BTreeMap<DirHandle, InodeId>,
    pub(super) changes: ChangeSender,
    next_node: u64,
    next_handle: u64,
    next_version: u64,
    pub(super) forgotten_in_excess: u64,
    /// Counts lookups, for [`Flaw::KindChanges`].
    lookups_ever: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) attr: Attr,
    pub(super) body: Body,
    /// The directory that holds it and its name there; `None` for the root and once removed.
    pub(super) place: Option<(InodeId, Name)>,
    pub(super) xattrs: BTreeMap<String, Bytes>,
    pub(super) lookups: u64,
    pub(super) opens: u64,
    /// What a store would call the `ETag`: changes with each change of content.
    pub(super) version: u64,
    /// Changed outside since the last open.
    pub(super) changed_outside: bool,
    /// What a foreign client sent along with the object.
    pub(super) metadata: Metadata,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    File(Content),
    Directory(Directory),
    Symlink(Bytes),
}

/// Entries by name and by cookie. A cookie is never given twice in one directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) by_name: BTreeMap<Name, (InodeId, Cookie)>,
    pub(super) by_cookie: BTreeMap<Cookie, Name>,
    next_cookie: u64,
    /// Whether it exists by itself and not only by what is below it.
    pub(super) marker: bool,
}

#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) ino: InodeId,
    pub(super) flags: OpenFlags,
    /// What it reads when the file was replaced outside since it was opened.
    pub(super) pinned: Option<Content>,
}

impl Directory {
    pub(super) fn with_marker() -> Self {
        Self {
            marker: true,
            ..Self::default()
        }
    }

    pub(super) fn insert(&mut self, name: &Name, ino: InodeId) {
        // A name that is there already keeps its cookie: a scan that has passed it has shown it.
        let cookie = match self.by_name.get(name) {
            Some((_, cookie)) => *cookie,
            None => {
                self.next_cookie += 1;
                Cookie(Cookie::DOT_DOT.0 + self.next_cookie)
            }
        };
        self.by_name.insert(name.clone(), (ino, cookie));
        self.by_cookie.insert(cookie, name.clone());
    }

    pub(super) fn remove(&mut self, name: &Name) {
        if let Some((_, cookie)) = self.by_name.remove(name) {
            self.by_cookie.remove(&cookie);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl Tree {
    pub(super) fn new(settings: Settings, changes: ChangeSender, now: Timestamp) -> Self {
        let mut tree = Self {
            settings,
            now,
            nodes: BTreeMap::new(),
            files: BTreeMap::new(),
            dirs: BTreeMap::new(),
            changes,
            next_node: InodeId::ROOT.get(),
            next_handle: 1,
            next_version: 1,
            forgotten_in_excess: 0,
            lookups_ever: 0,
        };
        let owner = tree.settings.owner;
        let root = Body::Directory(Directory::with_marker());
        tree.add(root, tree.settings.directory_permissions, &owner);
        tree
    }

    /// A new node without a name.
    pub(super) fn add(&mut self, body: Body, permissions: Permissions, cx: &Context) -> InodeId {
        let ino = InodeId::new(self.next_node).unwrap_or(InodeId::ROOT);
        self.next_node += 1;
        let (kind, size, links) = match &body {
            Body::File(content) => (NodeKind::File, content.size(), 1),
            Body::Directory(_) => (NodeKind::Directory, 0, 2),
            Body::Symlink(target) => (NodeKind::Symlink, target.len() as u64, 1),
        };
        let now = self.time();
        let attr = Attr {
            ino,
            kind,
            size,
            permissions,
            links,
            uid: cx.uid,
            gid: cx.gid,
            atime: now,
            mtime: now,
            ctime: now,
            content: ContentNumber::default(),
        };
        let version = self.new_version();
        let node = Node {
            attr,
            body,
            place: None,
            xattrs: BTreeMap::new(),
            lookups: 0,
            opens: 0,
            version,
            changed_outside: false,
            metadata: Metadata::default(),
        };
        self.nodes.insert(ino, node);
        ino
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.settings.flaw == Some(flaw)
    }

    /// The time that changes get.
    pub(super) fn time(&self) -> Timestamp {
        if self.has(Flaw::ForgetsNanoseconds) {
            Timestamp::new(self.now.secs(), 0)
        } else {
            self.now
        }
    }

    pub(super) const fn new_version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    /// A number for a handle; files and directories share them.
    pub(super) const fn new_handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle - 1
    }

    /// Whether a handle of that number was ever given.
    pub(super) const fn was_given(&self, handle: u64) -> bool {
        handle < self.next_handle
    }

    pub(super) fn node(&self, ino: InodeId) -> Result<&Node> {
        self.nodes
            .get(&ino)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    pub(super) fn node_mut(&mut self, ino: InodeId) -> Result<&mut Node> {
        self.nodes
            .get_mut(&ino)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The entries of a directory.
    pub(super) fn directory(&self, ino: InodeId) -> Result<&Directory> {
        match &self.node(ino)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) | Body::Symlink(_) => Err(ErrorKind::NotDirectory.into()),
        }
    }

    pub(super) fn directory_mut(&mut self, ino: InodeId) -> Result<&mut Directory> {
        match &mut self.node_mut(ino)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) | Body::Symlink(_) => Err(ErrorKind::NotDirectory.into()),
        }
    }

    /// What `name` in `parent` leads to.
    pub(super) fn child(&self, parent: InodeId, name: &Name) -> Result<Option<InodeId>> {
        let directory = self.directory(parent)?;
        if self.has(Flaw::FoldsCase) {
            let wanted = name.as_str().to_lowercase();
            let mut names = directory.by_name.iter();
            let found = names.find(|(name, _)| name.as_str().to_lowercase() == wanted);
            return Ok(found.map(|(_, (ino, _))| *ino));
        }
        Ok(directory.by_name.get(name).map(|(ino, _)| *ino))
    }

    /// What a lookup answers; counts it.
    pub(super) fn entry(&mut self, ino: InodeId) -> Result<Entry> {
        let ttl = self.settings.ttl;
        self.lookups_ever += 1;
        let second = self.lookups_ever.is_multiple_of(2);
        let twisted = self.has(Flaw::KindChanges) && second;
        let generation = Generation(1 + u64::from(self.has(Flaw::GenerationChanges) && second));
        let nameless = self.has(Flaw::NameWithoutLinks);
        let node = self.node_mut(ino)?;
        node.lookups += 1;
        let mut attr = node.attr;
        if twisted && attr.kind == NodeKind::File {
            attr.kind = NodeKind::Symlink;
        }
        if nameless {
            attr.links = 0;
        }
        Ok(Entry {
            attr,
            generation,
            entry_ttl: ttl,
            attr_ttl: ttl,
        })
    }

    /// Gives `ino` the name `name` in `parent`.
    pub(super) fn attach(&mut self, parent: InodeId, name: &Name, ino: InodeId) -> Result<()> {
        self.directory_mut(parent)?.insert(name, ino);
        self.node_mut(ino)?.place = Some((parent, name.clone()));
        self.touch_parent(parent)
    }

    /// Takes the name away from what it leads to, and lets it go if nothing else keeps it.
    pub(super) fn detach(&mut self, parent: InodeId, name: &Name) -> Result<()> {
        let Some(ino) = self.child(parent, name)? else {
            return Err(ErrorKind::NotFound.into());
        };
        self.directory_mut(parent)?.remove(name);
        let now = self.time();
        let drops = self.has(Flaw::UnlinkDropsContent);
        let node = self.node_mut(ino)?;
        node.place = None;
        node.attr.links = 0;
        node.attr.ctime = now;
        if let (true, Body::File(content)) = (drops, &mut node.body) {
            content.resize(0);
        }
        self.reclaim(ino);
        self.touch_parent(parent)
    }

    /// The entries of `parent` changed. Whoever changes them here keeps the folder alive.
    pub(super) fn touch_parent(&mut self, parent: InodeId) -> Result<()> {
        let now = self.time();
        let frozen = self.has(Flaw::FrozenParent);
        let node = self.node_mut(parent)?;
        if !frozen {
            node.attr.mtime = now;
            node.attr.ctime = now;
        }
        if let Body::Directory(directory) = &mut node.body {
            directory.marker = true;
        }
        Ok(())
    }

    /// The content of `ino` changed.
    pub(super) fn touch_content(&mut self, ino: InodeId) -> Result<()> {
        let now = self.time();
        let version = self.new_version();
        let node = self.node_mut(ino)?;
        node.attr.mtime = now;
        node.attr.ctime = now;
        node.version = version;
        if let Body::File(content) = &node.body {
            node.attr.size = content.size();
        }
        Ok(())
    }

    /// Drops a node that nothing keeps.
    pub(super) fn reclaim(&mut self, ino: InodeId) {
        let gone = self
            .nodes
            .get(&ino)
            .is_some_and(|node| node.attr.links == 0 && node.lookups == 0 && node.opens == 0);
        if gone {
            self.nodes.remove(&ino);
        }
    }

    pub(super) fn forget(&mut self, ino: InodeId, count: u64) {
        let Some(node) = self.nodes.get_mut(&ino) else {
            self.forgotten_in_excess += count;
            return;
        };
        if count > node.lookups && ino != InodeId::ROOT {
            self.forgotten_in_excess += count - node.lookups;
        }
        node.lookups = node.lookups.saturating_sub(count);
        self.reclaim(ino);
    }

    /// The path below the root, without a leading slash; the root's is empty. `None` once removed.
    pub(super) fn path(&self, ino: InodeId) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = ino;
        while at != InodeId::ROOT {
            let (parent, name) = self.nodes.get(&at)?.place.as_ref()?;
            parts.push(name.as_str());
            at = *parent;
        }
        parts.reverse();
        Some(parts.join("/"))
    }

    /// Tells the kernel, unless the flaw forbids it.
    pub(super) fn tell(&self, change: Change) {
        if !self.has(Flaw::KeepsStalePages) {
            self.changes.send(change);
        }
    }
}
