//! What changes or follows names: lookup, create, remove, rename, symlinks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use cloudmount_vfs::{Created, Entry, Generation, Permissions, Vfs};
use fuser::{INodeNo, RenameFlags, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry};

use super::{Call, answer, done};
use crate::decode::{self, Step};
use crate::encode;

impl<V: Vfs> Call<'_, V> {
    pub(crate) fn lookup(self, name: &OsStr, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let step = decode::step(name);
        let dots = Arc::clone(&shared.dots);
        let work = async move {
            let parent = ino?;
            match step? {
                Step::Name(name) => vfs.lookup(&cx, parent, &name).await,
                Step::Parent => vfs.lookup_parent(&cx, parent).await,
                Step::Here => {
                    let (attr, ttl) = vfs.getattr(&cx, parent, None).await?;
                    dots.add(parent);
                    Ok(Entry {
                        attr,
                        generation: Generation::default(),
                        entry_ttl: ttl,
                        attr_ttl: ttl,
                    })
                }
            }
        };
        answer(shared, "lookup", reply, work, encode::entry);
    }

    pub(crate) fn mknod(self, name: &OsStr, mode: u32, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let work = async move {
            let kind = decode::mknod_kind(mode)?;
            let permissions = Permissions::from_mode(mode);
            vfs.mknod(&cx, ino?, &name?, kind, permissions).await
        };
        answer(shared, "mknod", reply, work, encode::entry);
    }

    pub(crate) fn mkdir(self, name: &OsStr, mode: u32, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let permissions = Permissions::from_mode(mode);
        let work = async move { vfs.mkdir(&cx, ino?, &name?, permissions).await };
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
            files.opened(created.entry.attr.ino, created.opened.handle, flags);
            Ok(created)
        };
        answer(shared, "create", reply, work, encode::created);
    }

    pub(crate) fn symlink(self, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::name(name);
        let target: Box<[u8]> = target.as_os_str().as_bytes().into();
        let work = async move { vfs.symlink(&cx, ino?, &name?, &target).await };
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
