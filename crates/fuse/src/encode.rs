//! From the contract's types to the kernel's answers.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{Attr, CachePolicy, Entry, NodeKind, Opened, StatFs};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate,
    ReplyData, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr,
};

use crate::kernel_nodes;
use crate::open_files::Shown;
use crate::passthrough::Backing;

/// `st_blksize`: the buffer that programs choose for themselves (Python and Java take it as it is,
/// glibc's stdio up to 8 KiB, coreutils at least 128 KiB). Without the writeback cache each write
/// call is one request, so 4 KiB would cost 32 times as many. More than 128 KiB would make each
/// open file of such programs hold that much memory.
const PREFERRED_IO_BYTES: u32 = 128 << 10;

pub(crate) const fn kind(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
    }
}

pub(crate) fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino.get()),
        size: attr.size,
        blocks: attr.blocks(),
        atime: attr.atime.into(),
        mtime: attr.mtime.into(),
        ctime: attr.ctime.into(),
        crtime: std::time::UNIX_EPOCH,
        kind: kind(attr.kind),
        perm: attr.permissions.bits(),
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: PREFERRED_IO_BYTES,
        flags: 0,
    }
}

const fn cache_flags(cache: CachePolicy) -> FopenFlags {
    match cache {
        CachePolicy::Keep => FopenFlags::FOPEN_KEEP_CACHE,
        CachePolicy::Refresh => FopenFlags::empty(),
        CachePolicy::Direct => FopenFlags::FOPEN_DIRECT_IO,
    }
}

/// The attributes under the number by which the kernel is to know the file, and how long it may keep
/// them. A second number stands in the place of the inode's, so it is asked for again at once.
pub(crate) fn shown_attr(shown: &Shown) -> (FileAttr, Duration) {
    let mut attr = file_attr(&shown.entry.attr);
    attr.ino = INodeNo(shown.number);
    if kernel_nodes::is_second(shown.number) {
        (attr, Duration::ZERO)
    } else {
        (attr, shown.entry.attr_ttl)
    }
}

pub(crate) fn data(reply: ReplyData, data: Bytes) {
    reply.data(&data);
}

pub(crate) fn attr(reply: ReplyAttr, (attr, ttl): (Attr, Duration)) {
    reply.attr(&ttl, &file_attr(&attr));
}

pub(crate) fn entry(reply: ReplyEntry, shown: Shown) {
    let (attr, attr_ttl) = shown_attr(&shown);
    let Entry {
        entry_ttl,
        generation,
        ..
    } = shown.entry;
    reply.entry_with_ttls(&attr_ttl, &entry_ttl, &attr, Generation(generation.0));
}

pub(crate) fn opened(reply: ReplyOpen, opened: Opened, backing: Option<&Backing>) {
    let (handle, flags) = (FileHandle(opened.handle.get()), cache_flags(opened.cache));
    match backing {
        Some(backing) => {
            // The kernel refuses any other flag (`FOPEN_PASSTHROUGH_MASK`), also the one to keep what is cached.
            let flags = flags & FopenFlags::FOPEN_DIRECT_IO;
            reply.opened_passthrough(handle, flags, backing.id());
        }
        None => reply.opened(handle, flags),
    }
}

pub(crate) fn created(reply: ReplyCreate, (shown, opened): (Shown, Opened)) {
    let (attr, attr_ttl) = shown_attr(&shown);
    reply.created(
        // There is room for one time only: the shorter one is safe for both.
        &attr_ttl.min(shown.entry.entry_ttl),
        &attr,
        Generation(shown.entry.generation.0),
        FileHandle(opened.handle.get()),
        cache_flags(opened.cache),
    );
}

pub(crate) fn statfs(reply: ReplyStatfs, stat: StatFs) {
    reply.statfs(
        stat.blocks,
        stat.blocks_free,
        stat.blocks_free,
        stat.inodes,
        stat.inodes_free,
        stat.block_bytes,
        stat.name_bytes_max,
        stat.block_bytes,
    );
}

/// Answers both forms of the question: how long (`room` 0), and what.
pub(crate) fn xattr(room: u32) -> impl FnOnce(ReplyXattr, Bytes) + Send + 'static {
    move |reply, value| match u32::try_from(value.len()) {
        Ok(length) if room == 0 => reply.size(length),
        Ok(length) if length <= room => reply.data(&value),
        _ => reply.error(Errno::ERANGE),
    }
}

/// The names of all attributes as listxattr(2) wants them: each ended by a NUL.
pub(crate) fn xattr_list(names: &[String]) -> Bytes {
    let mut list = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum());
    for name in names {
        list.extend_from_slice(name.as_bytes());
        list.push(0);
    }
    list.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_attributes_end_with_nul() {
        assert_eq!(xattr_list(&[]), Bytes::new());
        assert_eq!(
            xattr_list(&["user.a".into(), "user.b".into()]),
            Bytes::from_static(b"user.a\0user.b\0")
        );
    }

    #[test]
    fn cache_policies() {
        for (policy, flags) in [
            (CachePolicy::Keep, FopenFlags::FOPEN_KEEP_CACHE),
            (CachePolicy::Refresh, FopenFlags::empty()),
            (CachePolicy::Direct, FopenFlags::FOPEN_DIRECT_IO),
        ] {
            assert_eq!(cache_flags(policy), flags);
        }
    }
}
