//! Changes made outside: what a foreign client does to the bucket, and mounting again.
//!
//! Laws: a file that is replaced keeps its number, and whoever has it open keeps the old bytes; a
//! folder without a marker goes with the last key below it.

use cloudmount_store::Metadata;
use cloudmount_vfs::{Change, InodeId, Name, NodeKind, Result};

use super::content::Content;
use super::tree::{Body, Directory, Tree};
use super::{Flaw, ROOT};

/// Why a foreign change cannot be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unsayable {
    /// A part of the key is no name.
    Name,
    /// A part of the key is a file and would have to be a folder, or the other way round.
    Kind,
}

impl Tree {
    /// Puts an object; gives its node.
    pub(super) fn foreign_put(
        &mut self,
        key: &str,
        bytes: &[u8],
        metadata: Metadata,
    ) -> std::result::Result<InodeId, Unsayable> {
        let (folders, file) = key.rsplit_once('/').unwrap_or(("", key));
        let parent = self.foreign_folders(folders)?;
        if file.is_empty() {
            if let Ok(directory) = self.directory_mut(parent) {
                directory.marker = true;
            }
            return Ok(parent);
        }
        let name = Name::new(file).map_err(|_| Unsayable::Name)?;
        let mut content = Content::default();
        content.write(0, bytes);
        let ino = match self.child(parent, &name).map_err(|_| Unsayable::Kind)? {
            None => {
                let permissions = self.settings.file_permissions;
                let owner = self.settings.owner;
                let ino = self.add(Body::File(content), permissions, &owner);
                self.foreign_attach(parent, &name, ino);
                ino
            }
            Some(ino) => {
                self.foreign_replace(ino, content)?;
                ino
            }
        };
        // An object says nothing but its content, unless it says it in its metadata; of those
        // the model reads none.
        let (permissions, owner) = (self.settings.file_permissions, self.settings.owner);
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.metadata = metadata;
            node.xattrs.clear();
            node.attr.permissions = permissions;
            (node.attr.uid, node.attr.gid) = (owner.uid, owner.gid);
        }
        Ok(ino)
    }

    fn foreign_replace(
        &mut self,
        ino: InodeId,
        content: Content,
    ) -> std::result::Result<(), Unsayable> {
        let mixes = self.has(Flaw::MixesVersions);
        let old = self.content_mut(ino).map_err(|_| Unsayable::Kind)?;
        let old = std::mem::replace(old, content);
        let readers = self.files.values_mut().filter(|open| open.ino == ino);
        for open in readers.filter(|_| !mixes) {
            open.pinned.get_or_insert_with(|| old.clone());
        }
        self.touch_content(ino).map_err(|_| Unsayable::Kind)?;
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.changed_outside = true;
            node.attr.content.0 += 1;
        }
        self.tell(Change::Content(ino));
        Ok(())
    }

    fn foreign_attach(&mut self, parent: InodeId, name: &Name, ino: InodeId) {
        let marker = self
            .directory(parent)
            .is_ok_and(|directory| directory.marker);
        if self.attach(parent, name, ino).is_ok()
            && let Ok(directory) = self.directory_mut(parent)
        {
            directory.marker = marker;
        }
        self.tell(Change::Entry {
            parent,
            name: name.clone(),
        });
        self.tell(Change::Attributes(parent));
    }

    /// The folder of that path, made without a marker where it is missing.
    fn foreign_folders(&mut self, path: &str) -> std::result::Result<InodeId, Unsayable> {
        let mut at = ROOT;
        if path.is_empty() {
            return Ok(at);
        }
        for part in path.split('/') {
            let name = Name::new(part).map_err(|_| Unsayable::Name)?;
            at = match self.child(at, &name).map_err(|_| Unsayable::Kind)? {
                Some(child) => child,
                None => {
                    let body = Body::Directory(Directory::default());
                    let owner = self.settings.owner;
                    let ino = self.add(body, self.settings.directory_permissions, &owner);
                    self.foreign_attach(at, &name, ino);
                    ino
                }
            };
        }
        self.directory(at).map(|_| at).map_err(|_| Unsayable::Kind)
    }

    /// Removes an object or a marker; what is not there is no error.
    pub(super) fn foreign_delete(&mut self, key: &str) {
        match self.find(key.trim_end_matches('/')) {
            Some(ino) if key.ends_with('/') => {
                if let Ok(directory) = self.directory_mut(ino) {
                    directory.marker = false;
                    self.vanish(ino);
                }
            }
            Some(ino) if self.directory(ino).is_err() => self.foreign_detach(ino),
            Some(_) | None => {}
        }
    }

    fn foreign_detach(&mut self, ino: InodeId) {
        let place = self.nodes.get(&ino).and_then(|node| node.place.clone());
        let Some((parent, name)) = place else {
            return;
        };
        let marker = self
            .directory(parent)
            .is_ok_and(|directory| directory.marker);
        if self.detach(parent, &name).is_ok() {
            if let Ok(directory) = self.directory_mut(parent) {
                directory.marker = marker;
            }
            self.tell(Change::Removed {
                parent,
                child: ino,
                name,
            });
            self.tell(Change::Attributes(parent));
            self.vanish(parent);
        }
    }

    /// Removes folders that nothing holds any more, upwards.
    fn vanish(&mut self, ino: InodeId) {
        let held = self
            .directory(ino)
            .is_ok_and(|dir| dir.marker || !dir.is_empty());
        if ino != ROOT && !held {
            self.foreign_detach(ino);
        }
    }

    /// The node of a path without a leading slash.
    pub(super) fn find(&self, path: &str) -> Option<InodeId> {
        let mut at = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = self.child(at, &Name::new(part).ok()?).ok()??;
        }
        Some(at)
    }

    /// Every object: its key and its node, in the order of keys.
    pub(super) fn objects(&self) -> Vec<(String, InodeId)> {
        let mut objects = Vec::new();
        for (ino, node) in &self.nodes {
            let Some(mut path) = self.path(*ino).filter(|path| !path.is_empty()) else {
                continue;
            };
            if self.has(Flaw::MangledKeys) {
                path = path.replace(' ', "+");
            }
            match &node.body {
                Body::Directory(directory) if directory.marker => objects.push((path + "/", *ino)),
                Body::Directory(_) => {}
                Body::File(_) | Body::Symlink(_) => objects.push((path, *ino)),
            }
        }
        objects.sort();
        objects
    }

    /// Takes over the files of `old`, with new numbers.
    pub(super) fn copy_from(&mut self, old: &Self) {
        self.copy_directory(old, ROOT, ROOT).unwrap_or_default();
    }

    fn copy_directory(&mut self, old: &Self, from: InodeId, to: InodeId) -> Result<()> {
        for (name, (child, _)) in &old.directory(from)?.by_name {
            let node = old.node(*child)?.clone();
            let body = match &node.body {
                Body::Directory(_) => Body::Directory(Directory::default()),
                Body::File(_) if self.has(Flaw::ForgetsContentAtRemount) => {
                    Body::File(Content::default())
                }
                body => body.clone(),
            };
            let ino = self.add(
                body,
                self.settings.file_permissions,
                &self.settings.owner.clone(),
            );
            self.attach(to, name, ino)?;
            if node.attr.kind == NodeKind::Directory {
                self.copy_directory(old, *child, ino)?;
            }
            if !self.has(Flaw::ForgetsAttributesAtRemount) {
                let links = self.node(ino)?.attr.links;
                let copy = self.node_mut(ino)?;
                copy.attr = cloudmount_vfs::Attr {
                    ino,
                    links,
                    ..node.attr
                };
                copy.xattrs = node.xattrs;
            }
            self.node_mut(ino)?.metadata = node.metadata;
        }
        let old = old.node(from)?;
        let marker = matches!(&old.body, Body::Directory(directory) if directory.marker);
        self.directory_mut(to)?.marker = marker;
        if to == ROOT && !self.has(Flaw::ForgetsAttributesAtRemount) {
            let attr = old.attr;
            self.node_mut(to)?.attr = attr;
        }
        Ok(())
    }
}
