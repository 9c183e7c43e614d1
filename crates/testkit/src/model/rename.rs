//! Rename, with the checks in the order in which Linux makes them.

use cloudmount_vfs::{Context, ErrorKind, InodeId, Name, NodeKind, RenameMode, Result};

use super::tree::{Body, Tree};
use super::{Exchange, Flaw};

impl Tree {
    pub(super) fn rename(
        &mut self,
        (parent, name): (InodeId, &Name),
        (new_parent, new_name): (InodeId, &Name),
        mode: RenameMode,
    ) -> Result<()> {
        let mode = match mode {
            RenameMode::Exchange if self.has(Flaw::ExchangeReplaces) => RenameMode::Replace,
            mode => mode,
        };
        if mode == RenameMode::Exchange && self.settings.limits.exchange == Exchange::Refused {
            return Err(ErrorKind::InvalidArgument.into());
        }
        let Some(source) = self.child(parent, name)? else {
            return Err(ErrorKind::NotFound.into());
        };
        let target = self.child(new_parent, new_name)?;
        if mode == RenameMode::NoReplace && target.is_some() && !self.has(Flaw::IgnoresNoReplace) {
            return Err(ErrorKind::Exists.into());
        }
        if self.is_above(source, new_parent) {
            return Err(ErrorKind::InvalidArgument.into());
        }
        if target == Some(source) {
            if self.has(Flaw::RenameOntoItselfRemoves) {
                return self.detach(parent, name);
            }
            return Ok(());
        }
        if mode == RenameMode::Exchange {
            return self.exchange((parent, name), (new_parent, new_name));
        }
        if let Some(target) = target {
            self.check_target(source, target)?;
        }
        self.check_key(new_parent, new_name, self.longest_below(source))?;
        if target.is_some() {
            self.detach_replaced(new_parent, new_name)?;
        }
        self.move_entry((parent, name), (new_parent, new_name), source)
    }

    /// Takes the target's name away but keeps its cookie: the name exists all the time.
    fn detach_replaced(&mut self, parent: InodeId, name: &Name) -> Result<()> {
        let before = self.directory(parent)?.clone();
        self.detach(parent, name)?;
        *self.directory_mut(parent)? = before;
        Ok(())
    }

    fn move_entry(
        &mut self,
        (parent, name): (InodeId, &Name),
        to: (InodeId, &Name),
        source: InodeId,
    ) -> Result<()> {
        self.directory_mut(parent)?.remove(name);
        self.touch_parent(parent)?;
        let mut moved = source;
        if self.has(Flaw::RenameRenumbers) && self.node(source)?.attr.kind == NodeKind::File {
            let node = self.node(source)?.clone();
            let owner = Context {
                uid: node.attr.uid,
                gid: node.attr.gid,
                pid: 0,
            };
            moved = self.add(node.body, node.attr.permissions, &owner);
        }
        if self.has(Flaw::RenameCopies) && self.node(source)?.attr.kind == NodeKind::File {
            let node = self.node(source)?.clone();
            let owner = Context {
                uid: node.attr.uid,
                gid: node.attr.gid,
                pid: 0,
            };
            let copy = self.add(node.body, node.attr.permissions, &owner);
            self.attach(parent, name, copy)?;
        }
        let now = self.time();
        self.node_mut(moved)?.attr.ctime = now;
        self.attach(to.0, to.1, moved)
    }

    fn exchange(&mut self, one: (InodeId, &Name), other: (InodeId, &Name)) -> Result<()> {
        let (Some(first), Some(second)) =
            (self.child(one.0, one.1)?, self.child(other.0, other.1)?)
        else {
            return Err(ErrorKind::NotFound.into());
        };
        if self.is_above(second, one.0) {
            return Err(ErrorKind::InvalidArgument.into());
        }
        self.check_key(other.0, other.1, self.longest_below(first))?;
        self.check_key(one.0, one.1, self.longest_below(second))?;
        self.attach(other.0, other.1, first)?;
        self.attach(one.0, one.1, second)
    }

    fn check_target(&self, source: InodeId, target: InodeId) -> Result<()> {
        let moves_directory = self.node(source)?.attr.kind == NodeKind::Directory;
        match &self.node(target)?.body {
            Body::Directory(_) if !moves_directory => Err(ErrorKind::IsDirectory.into()),
            Body::Directory(directory) if !directory.is_empty() => Err(ErrorKind::NotEmpty.into()),
            Body::File(_) | Body::Symlink(_) if moves_directory => {
                Err(ErrorKind::NotDirectory.into())
            }
            Body::Directory(_) | Body::File(_) | Body::Symlink(_) => Ok(()),
        }
    }

    /// Whether `ino` is `below` or a directory above it.
    fn is_above(&self, ino: InodeId, below: InodeId) -> bool {
        let mut at = Some(below);
        while let Some(here) = at {
            if here == ino {
                return true;
            }
            at = self
                .nodes
                .get(&here)
                .and_then(|node| Some(node.place.as_ref()?.0));
        }
        false
    }

    /// How many bytes the longest key below `ino` has after the name of `ino` itself.
    fn longest_below(&self, ino: InodeId) -> usize {
        match self.directory(ino) {
            Err(_) => 0,
            Ok(directory) => {
                let below = directory.by_name.iter();
                let longest = below
                    .map(|(name, (child, _))| name.as_str().len() + self.longest_below(*child));
                1 + longest.max().unwrap_or_default()
            }
        }
    }
}
