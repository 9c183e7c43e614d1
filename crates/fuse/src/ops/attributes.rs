//! Attributes of inodes and of the whole.

use cloudmount_vfs::{Result, SetAttr, Vfs};
use fuser::{AccessFlags, FileHandle, ReplyAttr, ReplyEmpty, ReplyStatfs};

use super::{Call, answer, done, privileges};
use crate::{decode, encode};

impl<V: Vfs> Call<'_, V> {
    pub(crate) fn getattr(self, handle: Option<FileHandle>, reply: ReplyAttr) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = handle.map(decode::file_handle).transpose();
        let work = async move { vfs.getattr(&cx, ino?, handle?).await };
        answer(shared, "getattr", reply, work, encode::attr);
    }

    pub(crate) fn setattr(self, set: Result<SetAttr>, reply: ReplyAttr) {
        let Self(shared, vfs, cx, ino) = self;
        let work = async move {
            let ino = ino?;
            let set = privileges::adjusted(&*vfs, &cx, ino, set?).await?;
            vfs.setattr(&cx, ino, &set).await
        };
        answer(shared, "setattr", reply, work, encode::attr);
    }

    pub(crate) fn access(self, mask: AccessFlags, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let mask = decode::access_mask(mask);
        let work = async move { vfs.access(&cx, ino?, mask).await };
        answer(shared, "access", reply, work, done);
    }

    pub(crate) fn statfs(self, reply: ReplyStatfs) {
        let Self(shared, vfs, cx, ino) = self;
        let work = async move { vfs.statfs(&cx, ino?).await };
        answer(shared, "statfs", reply, work, encode::statfs);
    }
}
