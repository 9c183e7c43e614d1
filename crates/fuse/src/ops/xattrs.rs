//! Extended attributes.

use std::ffi::OsStr;

use cloudmount_vfs::Vfs;
use fuser::{ReplyEmpty, ReplyXattr};

use super::{Call, answer, done};
use crate::{decode, encode};

impl<V: Vfs> Call<'_, V> {
    pub(crate) fn setxattr(self, name: &OsStr, value: &[u8], flags: i32, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::xattr_name(name);
        let value: Box<[u8]> = value.into();
        let work = async move {
            let mode = decode::xattr_mode(flags)?;
            vfs.setxattr(&cx, ino?, &name?, &value, mode).await
        };
        answer(shared, "setxattr", reply, work, done);
    }

    pub(crate) fn getxattr(self, name: &OsStr, room: u32, reply: ReplyXattr) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::xattr_name(name);
        let work = async move { vfs.getxattr(&cx, ino?, &name?).await };
        answer(shared, "getxattr", reply, work, encode::xattr(room));
    }

    pub(crate) fn listxattr(self, room: u32, reply: ReplyXattr) {
        let Self(shared, vfs, cx, ino) = self;
        let work = async move { Ok(encode::xattr_list(&vfs.listxattr(&cx, ino?).await?)) };
        answer(shared, "listxattr", reply, work, encode::xattr(room));
    }

    pub(crate) fn removexattr(self, name: &OsStr, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let name = decode::xattr_name(name);
        let work = async move { vfs.removexattr(&cx, ino?, &name?).await };
        answer(shared, "removexattr", reply, work, done);
    }
}
