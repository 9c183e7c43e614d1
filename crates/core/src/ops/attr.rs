//! Attributes: showing and changing them, and whether a caller may.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_stage::{Fit, StagedFile, Submit};
use cloudmount_vfs::{
    AccessMask, Attr, Context, ErrorKind, FileHandle, InodeId, NodeKind, Result, SetAttr, SetTime,
    StatFs,
};

use super::data::{seen_through, stale};
use crate::content::TakeUp;
use crate::core::Inner;
use crate::handles::OpenFile;
use crate::node::{Content, Node};

/// A bucket has no end: 2^38 blocks of 4 KiB are 1 PiB, which every `df` can print, and programs
/// that compute with it do not overflow. Names have 255 bytes, as everywhere on Linux.
pub(crate) const STATFS: StatFs = StatFs {
    block_bytes: 4096,
    blocks: 1 << 38,
    blocks_free: 1 << 38,
    inodes: 1 << 32,
    inodes_free: 1 << 32,
    name_bytes_max: 255,
};

impl Inner {
    /// The node with its attributes known; `NotFound` if its object is gone, `Stale` if it is of another kind by
    /// now: a kernel that is told so looks the name up again.
    pub(crate) async fn known_node(&self, ino: InodeId) -> Result<Arc<Node>> {
        let inode = self.table().get(ino).ok_or(ErrorKind::NotFound)?;
        if self.is_known(&inode.payload) {
            return Ok(inode.payload);
        }
        let known = self.known(inode).await?;
        if known.ino == ino {
            Ok(known.payload)
        } else {
            Err(ErrorKind::Stale.into())
        }
    }

    pub(crate) async fn getattr(&self, ino: InodeId) -> Result<(Attr, Duration)> {
        let node = self.shown_node(ino).await?;
        Ok(self.attr_left(&node))
    }

    pub(crate) async fn setattr(&self, ino: InodeId, set: &SetAttr) -> Result<(Attr, Duration)> {
        self.writable()?;
        let node = self.known_node(ino).await?;
        if let Some(size) = set.size {
            self.resize(&node, size, set.handle).await?;
        }
        if changes_more_than_size(set) {
            self.change_attributes(&node, set)?;
        }
        Ok(self.attr_left(&node))
    }

    fn attr_left(&self, node: &Node) -> (Attr, Duration) {
        (node.attr(), self.attributes_left(&self.table(), node))
    }

    async fn resize(&self, node: &Arc<Node>, size: u64, handle: Option<FileHandle>) -> Result<()> {
        // What was cut after release goes by the inode alone.
        let open = match handle {
            Some(handle) => self.may_write(node.ino, handle)?,
            None => None,
        };
        let how = if size == 0 {
            TakeUp::Truncate
        } else {
            TakeUp::Keep
        };
        let now = self.clock.wall();
        loop {
            let file = self.take_up_through(node, how, open.as_deref())?;
            let fit = {
                let mut state = node.lock();
                // It may have settled since; under the lock it stays.
                if !matches!(&state.content, Content::Staged(held) if Arc::ptr_eq(held, &file)) {
                    continue;
                }
                let fit = file.cut(size, seen_through(&state, open.as_deref())?)?;
                if fit == Fit::Made {
                    (state.mtime, state.ctime) = (now, now);
                }
                fit
            };
            match fit {
                Fit::Away => self.recall(&file).await?,
                Fit::Adopted => return Err(stale()),
                Fit::Made | Fit::Lacks(_) => break,
            }
        }
        match open {
            Some(open) => {
                open.is_dirty.store(true, Ordering::Release);
                Ok(())
            }
            None => self.submit(node, Submit::Closed),
        }
    }

    /// Takes a file up for somebody who has it open, if so, and has seen what it is.
    fn take_up_through(
        &self,
        node: &Arc<Node>,
        how: TakeUp,
        open: Option<&OpenFile>,
    ) -> Result<Arc<StagedFile>> {
        let mut table = self.table();
        let mut state = node.lock();
        seen_through(&state, open)?;
        self.take_up_locked(&mut table, node, &mut state, how)
    }

    fn change_attributes(&self, node: &Node, set: &SetAttr) -> Result<()> {
        let now = self.clock.wall();
        let time = |time: SetTime| match time {
            SetTime::Now => now,
            SetTime::At(at) => at,
        };
        let mut table = self.table();
        let mut state = node.lock();
        let before = (state.permissions, state.uid, state.gid, state.atime);
        let times = (state.mtime, state.ctime);
        state.permissions = set.permissions.unwrap_or(state.permissions);
        state.uid = set.uid.unwrap_or(state.uid);
        state.gid = set.gid.unwrap_or(state.gid);
        state.atime = set.atime.map(time).or(state.atime);
        state.mtime = set.mtime.map_or(state.mtime, time);
        state.ctime = now;
        let stored = self.store_attributes(&mut table, node, &mut state);
        if stored.is_ok() && set.mtime.is_some() {
            node.set_times();
        }
        if stored.is_err() {
            (state.permissions, state.uid, state.gid, state.atime) = before;
            (state.mtime, state.ctime) = times;
        }
        stored
    }

    pub(crate) async fn access(&self, cx: &Context, ino: InodeId, mask: AccessMask) -> Result<()> {
        let attr = self.shown_node(ino).await?.attr();
        if mask.write {
            self.writable()?;
        }
        if permits(cx, &attr, mask) {
            Ok(())
        } else {
            Err(ErrorKind::PermissionDenied.into())
        }
    }
}

const fn changes_more_than_size(set: &SetAttr) -> bool {
    set.permissions.is_some()
        || set.uid.is_some()
        || set.gid.is_some()
        || set.atime.is_some()
        || set.mtime.is_some()
}

/// The classes of POSIX: owner, group, others; root may all but execute what nobody may.
fn permits(cx: &Context, attr: &Attr, mask: AccessMask) -> bool {
    let bits = attr.permissions.bits();
    let executable = bits & 0o111 != 0 || attr.kind == NodeKind::Directory;
    let granted = match cx {
        cx if cx.uid == 0 => 0o6 | u16::from(executable),
        cx if cx.uid == attr.uid => bits >> 6,
        cx if cx.gid == attr.gid => bits >> 3,
        _ => bits,
    };
    let asked = u16::from(mask.read) << 2 | u16::from(mask.write) << 1 | u16::from(mask.execute);
    granted & asked == asked
}
