//! Files by path, for applications that need no mount.
//!
//! Paths are relative to the mounted prefix, with `/` between names; a leading `/` is ignored.
//! Symlinks are not followed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cloudmount_core::Core;
use cloudmount_vfs::{
    Attr, Context, Cookie, DirPlusEntry, DirPlusSink, ErrorKind, FileHandle, InodeId, Name,
    NodeKind, OpenFlags, Permissions, RenameMode, SinkState, SyncScope, Timestamp, Vfs,
};

use crate::{CloudMount, Error, Result};

/// What one read or write moves at a time: 1 MiB, as the kernel does.
const PIECE_BYTES: usize = 1 << 20;

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

/// An inode that was looked up; its lookup is given back when it is dropped.
struct Held {
    core: Arc<Core>,
    attr: Attr,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.attr.ino != InodeId::ROOT {
            self.core.forget(self.attr.ino, 1);
        }
    }
}

/// Collects entries without end.
#[derive(Default)]
struct All {
    entries: Vec<(Entry, InodeId)>,
    last: Cookie,
}

impl DirPlusSink for All {
    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        match entry {
            DirPlusEntry::Dot { entry, .. } => self.last = entry.cookie,
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            } => {
                self.last = *cookie;
                let metadata = Metadata::from(&entry.attr);
                let name = name.as_str().to_owned();
                (self.entries).push((Entry { name, metadata }, entry.attr.ino));
            }
        }
        SinkState::Taken
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

fn failed(what: &str, path: &str) -> impl FnOnce(cloudmount_vfs::Error) -> Error {
    let context = format!("{what} {path:?}");
    move |error| Error::new(context).because(error)
}

impl CloudMount {
    fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }

    fn root(&self) -> Held {
        Held {
            core: Arc::clone(self.core()),
            attr: Attr {
                ino: InodeId::ROOT,
                kind: NodeKind::Directory,
                size: 0,
                permissions: Permissions::from_mode(0o755),
                links: 2,
                uid: 0,
                gid: 0,
                atime: Timestamp::EPOCH,
                mtime: Timestamp::EPOCH,
                ctime: Timestamp::EPOCH,
            },
        }
    }

    async fn walk(&self, path: &str) -> cloudmount_vfs::Result<Held> {
        let mut at = self.root();
        for part in parts(path) {
            let entry = (self.core())
                .lookup(&cx(), at.attr.ino, &Name::new(part)?)
                .await?;
            at = Held {
                core: Arc::clone(self.core()),
                attr: entry.attr,
            };
        }
        if at.attr.ino == InodeId::ROOT {
            at.attr = self.core().getattr(&cx(), InodeId::ROOT, None).await?.0;
        }
        Ok(at)
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
        let folder = self.walk(path).await?;
        let (core, ino) = (self.core(), folder.attr.ino);
        let handle = core.opendir(&cx(), ino).await?.handle;
        let mut all = All::default();
        let read = core
            .readdirplus(&cx(), ino, handle, Cookie::START, &mut all)
            .await;
        core.releasedir(&cx(), ino, handle).await?;
        read?;
        let mut entries = Vec::with_capacity(all.entries.len());
        for (entry, ino) in all.entries {
            core.forget(ino, 1);
            entries.push(entry);
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// It is not there, or the store fails.
    pub async fn read(&self, path: &str) -> Result<Bytes> {
        self.read_inner(path, 0, u64::MAX)
            .await
            .map_err(failed("read", path))
    }

    /// Up to `length` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_at(&self, path: &str, offset: u64, length: u64) -> Result<Bytes> {
        self.read_inner(path, offset, length)
            .await
            .map_err(failed("read", path))
    }

    async fn read_inner(
        &self,
        path: &str,
        offset: u64,
        length: u64,
    ) -> cloudmount_vfs::Result<Bytes> {
        let file = self.walk(path).await?;
        let (core, ino) = (self.core(), file.attr.ino);
        let handle = core.open(&cx(), ino, OpenFlags::READ).await?.handle;
        let read = self.read_pieces(ino, handle, offset, length).await;
        core.release(&cx(), ino, handle).await?;
        read
    }

    async fn read_pieces(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        length: u64,
    ) -> cloudmount_vfs::Result<Bytes> {
        let mut all = BytesMut::new();
        while (all.len() as u64) < length {
            let left = length - all.len() as u64;
            let size = u32::try_from(left.min(PIECE_BYTES as u64)).unwrap_or(u32::MAX);
            let at = offset.saturating_add(all.len() as u64);
            let piece = self.core().read(&cx(), ino, handle, at, size).await?;
            if all.is_empty() && (piece.len() as u64) < u64::from(size) {
                return Ok(piece);
            }
            if piece.is_empty() {
                break;
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
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
        self.write_inner(path, 0, data, flags)
            .await
            .map_err(failed("write", path))
    }

    /// Writes at `offset` into a file, which is made if it is missing.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_at(&self, path: &str, offset: u64, data: &[u8]) -> Result<()> {
        self.write_inner(path, offset, data, OpenFlags::WRITE)
            .await
            .map_err(failed("write", path))
    }

    async fn write_inner(
        &self,
        path: &str,
        offset: u64,
        data: &[u8],
        flags: OpenFlags,
    ) -> cloudmount_vfs::Result<()> {
        let trimmed = path.trim_matches('/');
        if let Some((folder, _)) = trimmed.rsplit_once('/') {
            self.make_folders(folder).await?;
        }
        let (folder, name) = self.walk_to_last(path).await?;
        let core = self.core();
        let permissions = Permissions::from_mode(self.shared.settings.file_mode.0);
        let created = core
            .create(&cx(), folder.attr.ino, &name, permissions, flags)
            .await?;
        let file = Held {
            core: Arc::clone(core),
            attr: created.entry.attr,
        };
        let (ino, handle) = (file.attr.ino, created.opened.handle);
        let written = self.write_pieces(ino, handle, offset, data).await;
        core.release(&cx(), ino, handle).await?;
        written
    }

    async fn write_pieces(
        &self,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> cloudmount_vfs::Result<()> {
        let core = self.core();
        for (number, piece) in data.chunks(PIECE_BYTES).enumerate() {
            let at = offset.saturating_add((number * PIECE_BYTES) as u64);
            core.write(&cx(), ino, handle, at, piece).await?;
        }
        core.flush(&cx(), ino, handle).await
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
        let mut at = self.root();
        let permissions = Permissions::from_mode(self.shared.settings.dir_mode.0);
        for part in parts(path) {
            let name = Name::new(part)?;
            let (core, parent) = (self.core(), at.attr.ino);
            let found = match core.lookup(&cx(), parent, &name).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match core.mkdir(&cx(), parent, &name, permissions).await {
                        // Somebody else was faster.
                        Err(error) if error.kind() == ErrorKind::Exists => {
                            core.lookup(&cx(), parent, &name).await?
                        }
                        made => made?,
                    }
                }
                found => found?,
            };
            at = Held {
                core: Arc::clone(core),
                attr: found.attr,
            };
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
            let (old, new, mode) = (old.attr.ino, new.attr.ino, RenameMode::Replace);
            (self.core())
                .rename(&cx(), old, &old_name, new, &new_name, mode)
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
            let (core, parent) = (self.core(), folder.attr.ino);
            match kind {
                NodeKind::Directory => core.rmdir(&cx(), parent, &name).await,
                NodeKind::File | NodeKind::Symlink => core.unlink(&cx(), parent, &name).await,
            }
        };
        removed.await.map_err(failed("remove", path))
    }

    /// Waits until a file that was written is in the bucket.
    ///
    /// # Errors
    /// It is not there, or the upload fails for a reason that needs a person.
    pub async fn sync(&self, path: &str) -> Result<()> {
        let synced = async {
            let file = self.walk(path).await?;
            let (core, ino) = (self.core(), file.attr.ino);
            let handle = core.open(&cx(), ino, OpenFlags::READ).await?.handle;
            let scope = SyncScope::DataAndAttributes;
            let synced = core.fsync(&cx(), ino, handle, scope).await;
            core.release(&cx(), ino, handle).await?;
            synced?;
            core.wait_uploaded(ino).await
        };
        synced.await.map_err(failed("sync", path))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}
