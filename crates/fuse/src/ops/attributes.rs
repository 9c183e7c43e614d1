//! Attributes of inodes and of the whole.

use std::sync::Arc;

use cloudmount_vfs::{Result, SetAttr, Vfs};
use fuser::{AccessFlags, FileHandle, INodeNo, ReplyAttr, ReplyEmpty, ReplyStatfs};

use super::{Call, answer, done, privileges};
use crate::{decode, encode};

impl<V: Vfs> Call<'_, V> {
    pub(crate) fn getattr(self, number: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = handle.map(decode::file_handle).transpose();
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let told = vfs.getattr(&cx, ino?, handle?).await?;
            files.tell(number.0, &told.0)?;
            Ok(told)
        };
        answer(shared, "getattr", reply, work, encode::attr);
    }

    pub(crate) fn setattr(self, number: INodeNo, set: Result<SetAttr>, reply: ReplyAttr) {
        let Self(shared, vfs, cx, ino) = self;
        let files = Arc::clone(&shared.open_files);
        let work = async move {
            let ino = ino?;
            let set = privileges::adjusted(&*vfs, &cx, ino, set?).await?;
            let told = vfs.setattr(&cx, ino, &set).await?;
            files.tell(number.0, &told.0)?;
            Ok(told)
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
