//! Paths to inodes: names that are known, lookups for those that are not, symlinks.

use std::collections::VecDeque;

use cloudmount_vfs::{AccessMask, ErrorKind, InodeId, Name, NodeKind, Result, Vfs};

use super::{FakeKernel, Held, refuse};

/// Most symlinks on the way of one path, as in Linux (`MAXSYMLINKS`).
const SYMLINKS_MAX: usize = 40;

/// What happens if the last part of a path is a symlink.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// Who may walk through a directory.
pub(super) const SEARCH: AccessMask = AccessMask {
    read: false,
    write: false,
    execute: true,
};

impl<V: Vfs> FakeKernel<V> {
    /// The inode of a path.
    pub(super) async fn walk(&self, path: &str, last: Last) -> Result<Held<V>> {
        let mut at = self.hold(InodeId::ROOT);
        let mut rest: VecDeque<String> = parts(path);
        let mut symlinks = 0;
        while let Some(part) = rest.pop_front() {
            let next = self.step(&at, &part).await?;
            let kind = self.shared.with(|state| state.node(next.ino).attr.kind);
            if kind != NodeKind::Symlink || (rest.is_empty() && last == Last::Keep) {
                at = next;
                continue;
            }
            symlinks += 1;
            if symlinks > SYMLINKS_MAX {
                return refuse(ErrorKind::InvalidArgument);
            }
            let target = self.target(&next).await?;
            let target = String::from_utf8_lossy(&target).into_owned();
            if target.starts_with('/') {
                at = self.hold(InodeId::ROOT);
            }
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
        Ok(at)
    }

    /// The directory that a path's last part is in, and that part.
    pub(super) async fn walk_to_parent(&self, path: &str) -> Result<(Held<V>, Name)> {
        let path = path.trim_end_matches('/');
        let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.walk(above, Last::Follow).await?;
        Ok((parent, Name::new(last)?))
    }

    async fn step(&self, at: &Held<V>, part: &str) -> Result<Held<V>> {
        match part {
            "." => Ok(self.hold(at.ino)),
            ".." => self.up(at).await,
            _ => self.child(at, &Name::new(part)?).await,
        }
    }

    async fn up(&self, at: &Held<V>) -> Result<Held<V>> {
        let (vfs, cx) = (self.vfs(), &self.cx);
        let entry = self.call(|| vfs.lookup_parent(cx, at.ino)).await?;
        let ino = self.shared.with(|state| state.learn(&entry, self.now()));
        Ok(Held::of_pinned(&self.shared, ino))
    }

    /// What `name` leads to: as known, or by a lookup.
    pub(super) async fn child(&self, parent: &Held<V>, name: &Name) -> Result<Held<V>> {
        self.follow_changes();
        self.permit(parent, SEARCH).await?;
        let now = self.now();
        let known = self.shared.with(|state| {
            let ino = state.dentry(parent.ino, name, now)?;
            state.pin(ino);
            Some(ino)
        });
        match known {
            Some(ino) => Ok(Held::of_pinned(&self.shared, ino)),
            None => self.lookup(parent, name).await,
        }
    }

    async fn lookup(&self, parent: &Held<V>, name: &Name) -> Result<Held<V>> {
        let (vfs, cx) = (self.vfs(), &self.cx);
        let found = self.call(|| vfs.lookup(cx, parent.ino, name)).await;
        match found {
            Ok(entry) => Ok(self.keep(parent, name, &entry)),
            Err(error) => {
                self.shared.with(|state| state.unlink(parent.ino, name));
                Err(error)
            }
        }
    }

    /// Keeps an entry that the filesystem has answered.
    pub(super) fn keep(
        &self,
        parent: &Held<V>,
        name: &Name,
        entry: &cloudmount_vfs::Entry,
    ) -> Held<V> {
        let now = self.now();
        let ino = self.shared.with(|state| {
            let ino = state.learn(entry, now);
            state.link(parent.ino, name, ino, now + entry.entry_ttl);
            ino
        });
        Held::of_pinned(&self.shared, ino)
    }
}

fn parts(path: &str) -> VecDeque<String> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}
