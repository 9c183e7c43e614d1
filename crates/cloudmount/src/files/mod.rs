//! Files by path, for applications that need no mount.
//!
//! Paths are relative to the mounted prefix, with `/` between names; a leading `/` is ignored.
//! Symlinks are not followed.

mod file;
mod held;

use bytes::Bytes;
use cloudmount_core::Core;
use cloudmount_vfs::{
    Attr, Context, Cookie, DirHandle, DirPlusEntry, DirPlusSink, ErrorKind, InodeId, Name,
    NodeKind, OpenFlags, Permissions, RenameMode, SinkState, Timestamp, Unknown, Vfs as _,
};
use std::sync::Arc;

pub use self::file::File;
use self::held::{Held, at_once};
use crate::{CloudMount, Error, Result};

/// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of content.
    pub size: u64,
    /// Permission bits.
    pub permissions: Permissions,
    /// When the content changed last.
    pub modified: Timestamp,
}

impl From<&Attr> for Metadata {
    fn from(attr: &Attr) -> Self {
        Self {
            kind: attr.kind,
            size: attr.size,
            permissions: attr.permissions,
            modified: attr.mtime,
        }
    }
}

/// An entry of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What is known of it.
    pub metadata: Metadata,
}

/// Collects entries without end. Each counts as a lookup, which is given back with it.
struct All {
    core: Arc<Core>,
    unknown: Unknown,
    entries: Vec<(String, Held)>,
}

impl DirPlusSink for All {
    fn unknown(&self) -> Unknown {
        self.unknown
    }

    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        match entry {
            DirPlusEntry::Dot { .. } => {}
            DirPlusEntry::Child { name, entry, .. } | DirPlusEntry::Bare { name, entry, .. } => {
                let held = Held::not_counted(&self.core, entry.attr);
                (self.entries).push((name.as_str().to_owned(), held));
            }
        }
        SinkState::Taken
    }
}

/// An open directory, which is released when it is dropped.
struct OpenFolder {
    folder: Held,
    handle: DirHandle,
}

impl Drop for OpenFolder {
    fn drop(&mut self) {
        let core = self.folder.core();
        drop(at_once(core.releasedir(
            &cx(),
            self.folder.ino(),
            self.handle,
        )));
    }
}

/// As the owner of the process: permissions are not checked against it.
fn cx() -> Context {
    Context {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        pid: std::process::id(),
    }
}

/// Says what failed, and where.
fn failed(what: &str, path: &str) -> impl FnOnce(cloudmount_vfs::Error) -> Error + use<> {
    let context = format!("{what} {path:?}");
    move |error| Error::new(context).because(error)
}

impl CloudMount {
    fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }

    async fn walk(&self, path: &str) -> cloudmount_vfs::Result<Held> {
        let core = self.core();
        let mut parts = parts(path);
        let Some(first) = parts.next() else {
            let (attr, _) = core.getattr(&cx(), InodeId::ROOT, None).await?;
            return Ok(Held::not_counted(core, attr));
        };
        let mut at = self.lookup(InodeId::ROOT, first).await?;
        for part in parts {
            at = self.lookup(at.ino(), part).await?;
        }
        Ok(at)
    }

    async fn lookup(&self, folder: InodeId, name: &str) -> cloudmount_vfs::Result<Held> {
        let core = self.core();
        let entry = core.lookup(&cx(), folder, &Name::new(name)?).await?;
        Ok(Held::counted(core, entry.attr))
    }

    /// The folder of a path, and the last name.
    async fn walk_to_last(&self, path: &str) -> cloudmount_vfs::Result<(Held, Name)> {
        let trimmed = path.trim_matches('/');
        let (folder, last) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
        let name = Name::new(last)?;
        Ok((self.walk(folder).await?, name))
    }

    /// What is known of a file or folder.
    ///
    /// # Errors
    /// It is not there, or the store fails.
    pub async fn stat(&self, path: &str) -> Result<Metadata> {
        let held = self.walk(path).await.map_err(failed("stat", path))?;
        Ok(Metadata::from(&held.attr))
    }

    /// The entries of a folder, by name.
    ///
    /// # Errors
    /// It is no folder, or the store fails.
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>> {
        self.list_inner(path).await.map_err(failed("list", path))
    }

    async fn list_inner(&self, path: &str) -> cloudmount_vfs::Result<Vec<Entry>> {
        let entries = self
            .children(self.walk(path).await?, Unknown::Asked)
            .await?;
        let mut entries: Vec<_> = (entries.into_iter())
            .map(|(name, held)| Entry {
                name,
                metadata: Metadata::from(&held.attr),
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// The entries of a folder, with attributes that hold if those that are not known are asked for.
    async fn children(
        &self,
        folder: Held,
        unknown: Unknown,
    ) -> cloudmount_vfs::Result<Vec<(String, Held)>> {
        let (core, ino) = (self.core(), folder.ino());
        let handle = core.opendir(&cx(), ino).await?.handle;
        let open = OpenFolder { folder, handle };
        let mut all = All {
            core: Arc::clone(core),
            unknown,
            entries: Vec::new(),
        };
        core.readdirplus(&cx(), ino, handle, Cookie::START, &mut all)
            .await?;
        drop(open);
        // Only a call that ends has counted what was taken.
        for (_, held) in &mut all.entries {
            held.count();
        }
        Ok(all.entries)
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// It is not there, is no file, or the store fails.
    pub async fn open(&self, path: &str) -> Result<File> {
        let file = self.open_inner(path, OpenFlags::READ).await;
        file.map_err(failed("open", path))
    }

    /// Opens a file to read and write it. It is made if it is missing, as are folders on the way;
    /// what it holds is kept.
    ///
    /// # Errors
    /// The path leads through a file, the filesystem is read-only, or the store fails.
    pub async fn create(&self, path: &str) -> Result<File> {
        let file = self.create_inner(path, OpenFlags::READ_WRITE).await;
        file.map_err(failed("create", path))
    }

    async fn open_inner(&self, path: &str, flags: OpenFlags) -> cloudmount_vfs::Result<File> {
        let held = self.walk(path).await?;
        let opened = self.core().open(&cx(), held.ino(), flags).await?;
        Ok(File::new(held, opened.handle, path))
    }

    async fn create_inner(&self, path: &str, flags: OpenFlags) -> cloudmount_vfs::Result<File> {
        let trimmed = path.trim_matches('/');
        if let Some((folder, _)) = trimmed.rsplit_once('/') {
            self.make_folders(folder).await?;
        }
        let (folder, name) = self.walk_to_last(path).await?;
        let core = self.core();
        let permissions = self.shared.settings.permissions_of_files();
        let created = core
            .create(&cx(), folder.ino(), &name, permissions, flags)
            .await?;
        let held = Held::counted(core, created.entry.attr);
        Ok(File::new(held, created.opened.handle, path))
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// It is not there, or the store fails.
    pub async fn read(&self, path: &str) -> Result<Bytes> {
        self.read_at(path, 0, u64::MAX).await
    }

    /// Up to `length` bytes at `offset`; fewer only at the end of the file. Whoever reads a file
    /// piece by piece [opens](Self::open) it, which makes sure that all pieces are of one version.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_at(&self, path: &str, offset: u64, length: u64) -> Result<Bytes> {
        let read = async {
            let file = self.open_inner(path, OpenFlags::READ).await?;
            file.read_inner(offset, length).await
        };
        read.await.map_err(failed("read", path))
    }

    /// Replaces the content of a file, which is made if it is missing, as are folders on the way.
    /// Returns when it is staged: the upload goes on in the background.
    ///
    /// # Errors
    /// The path leads through a file, the staging disk is full, or the store fails.
    pub async fn write(&self, path: &str, data: &[u8]) -> Result<()> {
        let flags = OpenFlags {
            truncate: true,
            ..OpenFlags::WRITE
        };
        let written = self.write_inner(path, 0, data, flags).await;
        written.map_err(failed("write", path))
    }

    /// Writes at `offset` into a file, which is made if it is missing.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<()> {
        let written = self.write_inner(path, offset, data, OpenFlags::WRITE).await;
        written.map_err(failed("write", path))
    }

    async fn write_inner(
        &self,
        path: &str,
        offset: u64,
        data: &[u8],
        flags: OpenFlags,
    ) -> cloudmount_vfs::Result<()> {
        let file = self.create_inner(path, flags).await?;
        file.write_inner(offset, data).await?;
        file.flush().await
    }

    /// Makes a folder, and those on the way. One that is there already is fine.
    ///
    /// # Errors
    /// The path leads through a file, or the store fails.
    pub async fn create_folder(&self, path: &str) -> Result<()> {
        self.make_folders(path)
            .await
            .map_err(failed("create folder", path))
    }

    async fn make_folders(&self, path: &str) -> cloudmount_vfs::Result<()> {
        let core = self.core();
        let permissions = self.shared.settings.permissions_of_folders();
        let mut at = self.walk("").await?;
        for part in parts(path) {
            let found = match self.lookup(at.ino(), part).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let name = Name::new(part)?;
                    match core.mkdir(&cx(), at.ino(), &name, permissions).await {
                        Ok(made) => Ok(Held::counted(core, made.attr)),
                        // Somebody else was faster.
                        Err(error) if error.kind() == ErrorKind::Exists => {
                            self.lookup(at.ino(), part).await
                        }
                        Err(error) => Err(error),
                    }
                }
                found => found,
            };
            at = found?;
            if at.attr.kind != NodeKind::Directory {
                return Err(ErrorKind::NotDirectory.into());
            }
        }
        Ok(())
    }

    /// Moves a file or folder; a file that is there is replaced.
    ///
    /// # Errors
    /// It is not there, the target does not admit it, or the store fails.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let moved = async {
            let (old, old_name) = self.walk_to_last(from).await?;
            let (new, new_name) = self.walk_to_last(to).await?;
            let (core, mode) = (self.core(), RenameMode::Replace);
            core.rename(&cx(), old.ino(), &old_name, new.ino(), &new_name, mode)
                .await
        };
        moved.await.map_err(failed("rename", from))
    }

    /// Removes a file, a symlink or an empty folder.
    ///
    /// # Errors
    /// It is not there or not empty, or the store fails.
    pub async fn remove(&self, path: &str) -> Result<()> {
        let removed = async {
            let kind = self.walk(path).await?.attr.kind;
            let (folder, name) = self.walk_to_last(path).await?;
            self.remove_child(folder.ino(), &name, kind).await
        };
        removed.await.map_err(failed("remove", path))
    }

    /// Removes a file, a symlink or a folder with all that is in it. What is made there meanwhile
    /// may stay, and then the folder does.
    ///
    /// # Errors
    /// It is not there, or the store fails: what was not removed by then is still there.
    pub async fn remove_all(&self, path: &str) -> Result<()> {
        let removed = async {
            let top = self.walk(path).await?;
            let (parent, name) = self.walk_to_last(path).await?;
            let kind = top.attr.kind;
            if kind == NodeKind::Directory {
                self.empty(top).await?;
            }
            self.remove_child(parent.ino(), &name, kind).await
        };
        removed.await.map_err(failed("remove", path))
    }

    /// Removes all that is in a folder. Not by recursion: keys may be as deep as they are long.
    async fn empty(&self, top: Held) -> cloudmount_vfs::Result<()> {
        // Folders, with the name by which the one before it in the list holds them.
        let mut found = vec![(InodeId::ROOT, String::new(), top)];
        let mut at = 0;
        while let Some((_, _, folder)) = found.get(at) {
            let folder = folder.again();
            let parent = folder.ino();
            for (name, child) in self.children(folder, Unknown::Bare).await? {
                match child.attr.kind {
                    NodeKind::Directory => found.push((parent, name, child)),
                    kind => self.remove_child(parent, &Name::new(&name)?, kind).await?,
                }
            }
            at += 1;
        }
        // The deepest were found last.
        for (parent, name, _) in found.iter().skip(1).rev() {
            let name = Name::new(name)?;
            self.remove_child(*parent, &name, NodeKind::Directory)
                .await?;
        }
        Ok(())
    }

    async fn remove_child(
        &self,
        folder: InodeId,
        name: &Name,
        kind: NodeKind,
    ) -> cloudmount_vfs::Result<()> {
        match kind {
            NodeKind::Directory => self.core().rmdir(&cx(), folder, name).await,
            NodeKind::File | NodeKind::Symlink => self.core().unlink(&cx(), folder, name).await,
        }
    }

    /// Waits until a file that was written is in the bucket.
    ///
    /// # Errors
    /// It is not there, or the upload fails for a reason that needs a person.
    pub async fn sync(&self, path: &str) -> Result<()> {
        let synced = async {
            let file = self.walk(path).await?;
            self.core().wait_uploaded(file.ino()).await
        };
        synced.await.map_err(failed("sync", path))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}
