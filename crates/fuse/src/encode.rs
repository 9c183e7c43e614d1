//! From the contract's types to the kernel's answers.

use std::ffi::OsStr;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{
    Attr, CachePolicy, Created, DirEntry, DirPlusEntry, DirPlusSink, DirSink, Entry, NodeKind,
    Opened, SinkState, StatFs,
};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr,
};

/// `st_blksize`: the buffer that programs choose for themselves (Python and Java take it as it is,
/// glibc's stdio up to 8 KiB, coreutils at least 128 KiB). Without the writeback cache each write
/// call is one request, so 4 KiB would cost 32 times as many. More than 128 KiB would make each
/// open file of such programs hold that much memory.
const PREFERRED_IO_BYTES: u32 = 128 << 10;

const fn kind(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
    }
}

fn file_attr(attr: &Attr) -> FileAttr {
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

/// Where an answer has room for one time only, the shorter one is safe for both.
fn shorter_ttl(entry: &Entry) -> Duration {
    entry.entry_ttl.min(entry.attr_ttl)
}

pub(crate) fn data(reply: ReplyData, data: Bytes) {
    reply.data(&data);
}

pub(crate) fn attr(reply: ReplyAttr, (attr, ttl): (Attr, Duration)) {
    reply.attr(&ttl, &file_attr(&attr));
}

pub(crate) fn entry(reply: ReplyEntry, entry: Entry) {
    reply.entry_with_ttls(
        &entry.attr_ttl,
        &entry.entry_ttl,
        &file_attr(&entry.attr),
        Generation(entry.generation.0),
    );
}

pub(crate) fn opened(reply: ReplyOpen, opened: Opened) {
    reply.opened(FileHandle(opened.handle.get()), cache_flags(opened.cache));
}

pub(crate) fn created(reply: ReplyCreate, created: Created) {
    let Created { entry, opened } = created;
    reply.created(
        &shorter_ttl(&entry),
        &file_attr(&entry.attr),
        Generation(entry.generation.0),
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

/// The reply to one `readdir`, being filled.
pub(crate) struct Listing<R> {
    pub(crate) reply: R,
    /// Entries that the reply holds. If a directory fails midway they are delivered, and the next
    /// call meets the error: entries of `readdirplus` count as lookups already.
    pub(crate) taken: usize,
}

impl<R> Listing<R> {
    pub(crate) const fn new(reply: R) -> Self {
        Self { reply, taken: 0 }
    }

    fn record(&mut self, full: bool) -> SinkState {
        if full {
            return SinkState::Full;
        }
        self.taken += 1;
        SinkState::Taken
    }
}

impl DirSink for Listing<ReplyDirectory> {
    fn add(&mut self, entry: &DirEntry<'_>) -> SinkState {
        let full = self.reply.add(
            INodeNo(entry.ino.get()),
            entry.cookie.0,
            kind(entry.kind),
            OsStr::new(entry.name),
        );
        self.record(full)
    }
}

impl DirPlusSink for Listing<ReplyDirectoryPlus> {
    fn add(&mut self, entry: &DirPlusEntry<'_>) -> SinkState {
        let full = match entry {
            // The kernel neither links nor counts these two (`fuse_direntplus_link`).
            DirPlusEntry::Dot { entry, attr } => self.reply.add(
                INodeNo(entry.ino.get()),
                entry.cookie.0,
                OsStr::new(entry.name),
                &Duration::ZERO,
                &file_attr(attr),
                Generation(0),
            ),
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            } => self.reply.add(
                INodeNo(entry.attr.ino.get()),
                cookie.0,
                OsStr::new(name.as_str()),
                &shorter_ttl(entry),
                &file_attr(&entry.attr),
                Generation(entry.generation.0),
            ),
        };
        self.record(full)
    }
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
