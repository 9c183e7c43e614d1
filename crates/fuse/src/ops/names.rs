//! What changes or follows names: lookup, create, remove, rename, symlinks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use cloudmount_vfs::{Created, Entry, Generation, Permissions, Result, Vfs};
use fuser::{INodeNo, RenameFlags, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry};

use super::{Call, answer, done};
use crate::decode::{self, Step};
use crate::encode;
use crate::open_files::{OpenFiles, Shown};

/// What is told of an entry that the filesystem has counted as a lookup.
fn show<V: Vfs>(vfs: &V, files: &OpenFiles, entry: Entry) -> Result<Shown> {
    files
        .show(entry)
        .inspect_err(|_| vfs.forget(entry.attr.ino, 1))
}

impl<V: Vfs> Call<'_, V> {
    pub(crate) fn lookup(self, name: &OsStr, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let step = decode::step(name);
        let (dots, files) = (Arc::clone(&shared.dots), Arc::clone(&shared.open_files));
        let work = async move {
            let parent = ino?;
            let entry = match step? {
                Step::Name(name) => vfs.lookup(&cx, parent, &name).await?,
                Step::Parent => vfs.lookup_parent(&cx, parent).await?,
                Step::Here => {
                    let (attr, ttl) = vfs.getattr(&cx, parent, None).await?;
                    let shown = files.show(Entry {
                        attr,
                        generation: Generation::default(),
                        entry_ttl: ttl,
                        attr_ttl: ttl,
                    })?;
                    dots.add(parent);
                    return Ok(shown);
                }
            };
            show(&*vfs, &files, entry)
        };
        answer(shared, "lookup", reply, work, encode::entry);
    }

    pub(crate) fn mknod(self, name: &OsStr, mode: u32, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let kind = decode::mknod_kind(mode)?;
            let permissions = Permissions::from_mode(mode);
            let made = vfs.mknod(&cx, ino?, &name?, kind, permissions).await?;
            show(&*vfs, &files, made)
        };
        answer(shared, "mknod", reply, work, encode::entry);
    }

    pub(crate) fn mkdir(self, name: &OsStr, mode: u32, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let permissions = Permissions::from_mode(mode);
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let made = vfs.mkdir(&cx, ino?, &name?, permissions).await?;
            show(&*vfs, &files, made)
        };
        answer(shared, "mkdir", reply, work, encode::entry);
    }

    pub(crate) fn create(self, name: &OsStr, mode: u32, flags: i32, reply: ReplyCreate) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let flags = decode::open_flags(flags)?;
            let permissions = Permissions::from_mode(mode);
            let created: Created = vfs.create(&cx, ino?, &name?, permissions, flags).await?;
            match files.created(created, flags) {
                Ok(told) => Ok(told),
                Err(error) => {
                    let (ino, handle) = (created.entry.attr.ino, created.opened.handle);
                    vfs.release(&cx, ino, handle).await?;
                    vfs.forget(ino, 1);
                    Err(error)
                }
            }
        };
        answer(shared, "create", reply, work, encode::created);
    }

    pub(crate) fn symlink(self, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let target: Box<[u8]> = target.as_os_str().as_bytes().into();
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let made = vfs.symlink(&cx, ino?, &name?, &target).await?;
            show(&*vfs, &files, made)
        };
        answer(shared, "symlink", reply, work, encode::entry);
    }

    pub(crate) fn readlink(self, reply: ReplyData) {
        let Self(shared, vfs, cx, ino) = self;
        let work = async move { vfs.readlink(&cx, ino?).await };
        answer(shared, "readlink", reply, work, encode::data);
    }

    pub(crate) fn unlink(self, name: &OsStr, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let work = async move { vfs.unlink(&cx, ino?, &name?).await };
        answer(shared, "unlink", reply, work, done);
    }

    pub(crate) fn rmdir(self, name: &OsStr, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let work = async move { vfs.rmdir(&cx, ino?, &name?).await };
        answer(shared, "rmdir", reply, work, done);
    }

    pub(crate) fn rename(
        self,
        name: &OsStr,
        (new_parent, new_name): (INodeNo, &OsStr),
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Self(shared, vfs, cx, ino) = self;
        let new_parent = decode::inode(new_parent);
        let (name, new_name) = (decode::name(name), decode::name(new_name));
        let work = async move {
            let mode = decode::rename_mode(flags)?;
            vfs.rename(&cx, ino?, &name?, new_parent?, &new_name?, mode)
                .await
        };
        answer(shared, "rename", reply, work, done);
    }
}
