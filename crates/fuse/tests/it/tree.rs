//! A small filesystem in memory, with lookup counts that tests can look at.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, CachePolicy, Changes, Context, Cookie, Created, DirEntry, DirHandle,
    DirPlusEntry, DirPlusSink, DirSink, Entry, ErrorKind, FileHandle, Generation, InodeId, Name,
    NodeKind, OpenFlags, Opened, OpenedDir, Permissions, RenameMode, Result, SeekWhence, SetAttr,
    SetTime, SinkState, StatFs, SyncScope, Timestamp, Vfs, WriteMode, XattrMode,
};
use parking_lot::{Mutex, MutexGuard};

struct Node {
    attr: Attr,
    parent: u64,
    bytes: Vec<u8>,
    children: BTreeMap<Name, (u64, u64)>,
    xattrs: BTreeMap<String, Bytes>,
}

#[derive(Default)]
pub(crate) struct State {
    nodes: HashMap<u64, Node>,
    handles: HashMap<u64, (u64, OpenFlags)>,
    pub(crate) lookups: HashMap<u64, i64>,
    last: u64,
}

pub(crate) struct Tree(Mutex<State>, CachePolicy, Duration);

fn id(raw: u64) -> InodeId {
    InodeId::new(raw).unwrap()
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::new(1_700_000_000 + self.next().cast_signed(), 5)
    }

    fn node(&mut self, ino: InodeId) -> Result<&mut Node> {
        Ok(self.nodes.get_mut(&ino.get()).ok_or(ErrorKind::NotFound)?)
    }

    fn child(&mut self, parent: InodeId, name: &Name) -> Result<u64> {
        let parent = self.node(parent)?;
        if parent.attr.kind != NodeKind::Directory {
            return Err(ErrorKind::NotDirectory.into());
        }
        let child = parent.children.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(child.1)
    }

    fn touch(&mut self, ino: InodeId) {
        let now = self.now();
        if let Ok(node) = self.node(ino) {
            node.attr.mtime = now;
            node.attr.ctime = now;
            if node.attr.kind != NodeKind::Directory {
                node.attr.size = node.bytes.len() as u64;
            }
        }
    }

    fn add(&mut self, cx: &Context, parent: u64, kind: NodeKind, permissions: Permissions) -> u64 {
        let (ino, now) = (self.next(), self.now());
        let attr = Attr {
            ino: id(ino),
            kind,
            size: 0,
            permissions,
            links: if kind == NodeKind::Directory { 2 } else { 1 },
            uid: cx.uid,
            gid: cx.gid,
            atime: now,
            mtime: now,
            ctime: now,
        };
        let node = Node {
            attr,
            parent,
            bytes: Vec::new(),
            children: BTreeMap::new(),
            xattrs: BTreeMap::new(),
        };
        self.nodes.insert(ino, node);
        ino
    }

    fn link(&mut self, parent: InodeId, name: &Name, ino: u64) {
        let cookie = self.next() + 2;
        let parent_node = self.node(parent).unwrap();
        parent_node.children.insert(name.clone(), (cookie, ino));
        self.nodes.get_mut(&ino).unwrap().parent = parent.get();
        self.touch(parent);
    }

    fn unlink(&mut self, parent: InodeId, name: &Name) {
        let (_, ino) = self.node(parent).unwrap().children.remove(name).unwrap();
        self.nodes.get_mut(&ino).unwrap().attr.links = 0;
        self.touch(parent);
    }
}

impl Tree {
    pub(crate) fn new(cache: CachePolicy, ttl: Duration) -> Self {
        let mut state = State::default();
        let cx = Context::ROOT;
        let root = state.add(&cx, 1, NodeKind::Directory, Permissions::from_mode(0o777));
        assert_eq!(root, 1);
        Self(Mutex::new(state), cache, ttl)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Replaces content behind the kernel's back.
    pub(crate) fn replace(&self, ino: u64, bytes: &[u8]) {
        let mut state = self.state();
        state.node(id(ino)).unwrap().bytes = bytes.to_vec();
        state.touch(id(ino));
    }

    /// Renames behind the kernel's back.
    pub(crate) fn rename_child(&self, from: &str, to: &str) {
        let mut state = self.state();
        let (from, to) = (Name::new(from).unwrap(), Name::new(to).unwrap());
        let root = state.node(InodeId::ROOT).unwrap();
        let child = root.children.remove(&from).unwrap();
        root.children.insert(to, child);
    }

    fn entry(&self, state: &mut State, ino: u64) -> Entry {
        *state.lookups.entry(ino).or_insert(0) += 1;
        Entry {
            attr: state.nodes[&ino].attr,
            generation: Generation(0),
            entry_ttl: self.2,
            attr_ttl: self.2,
        }
    }

    fn handle(&self, state: &mut State, ino: u64, flags: OpenFlags) -> Opened {
        let handle = state.next();
        state.handles.insert(handle, (ino, flags));
        Opened {
            handle: FileHandle::new(handle).unwrap(),
            cache: self.1,
        }
    }

    fn make(
        &self,
        cx: &Context,
        (parent, name): (InodeId, &Name),
        kind: NodeKind,
        permissions: Permissions,
    ) -> Result<Entry> {
        let mut state = self.state();
        if state.node(parent)?.attr.links == 0 {
            return Err(ErrorKind::NotFound.into());
        }
        if state.child(parent, name).is_ok() {
            return Err(ErrorKind::Exists.into());
        }
        let ino = state.add(cx, parent.get(), kind, permissions);
        state.link(parent, name, ino);
        Ok(self.entry(&mut state, ino))
    }
}

/// The entries after `from`, by cookie.
fn listing(state: &mut State, ino: InodeId, from: Cookie) -> Result<Vec<(u64, Name, u64)>> {
    let node = state.node(ino)?;
    let mut all: Vec<_> = node.children.iter().collect();
    all.sort_by_key(|(_, (cookie, _))| *cookie);
    let later = all.into_iter().filter(|(_, (cookie, _))| *cookie > from.0);
    Ok(later
        .map(|(name, &(cookie, ino))| (cookie, name.clone(), ino))
        .collect())
}

impl Vfs for Tree {
    async fn lookup(&self, _: &Context, parent: InodeId, name: &Name) -> Result<Entry> {
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        Ok(self.entry(&mut state, ino))
    }

    async fn lookup_parent(&self, _: &Context, ino: InodeId) -> Result<Entry> {
        let mut state = self.state();
        let parent = state.node(ino)?.parent;
        Ok(self.entry(&mut state, parent))
    }

    fn forget(&self, ino: InodeId, count: u64) {
        *self.state().lookups.entry(ino.get()).or_insert(0) -= count.cast_signed();
    }

    async fn getattr(
        &self,
        _: &Context,
        ino: InodeId,
        _: Option<FileHandle>,
    ) -> Result<(Attr, Duration)> {
        Ok((self.state().node(ino)?.attr, self.2))
    }

    async fn setattr(&self, _: &Context, ino: InodeId, set: &SetAttr) -> Result<(Attr, Duration)> {
        let mut state = self.state();
        let now = state.now();
        let node = state.node(ino)?;
        let time = |set: SetTime| match set {
            SetTime::Now => now,
            SetTime::At(time) => time,
        };
        if let Some(size) = set.size {
            node.bytes.resize(usize::try_from(size).unwrap(), 0);
            node.attr.size = size;
            node.attr.mtime = now;
        }
        let attr = &mut node.attr;
        attr.permissions = set.permissions.unwrap_or(attr.permissions);
        attr.uid = set.uid.unwrap_or(attr.uid);
        attr.gid = set.gid.unwrap_or(attr.gid);
        attr.atime = set.atime.map_or(attr.atime, time);
        attr.mtime = set.mtime.map_or(attr.mtime, time);
        attr.ctime = now;
        Ok((*attr, self.2))
    }

    async fn readlink(&self, _: &Context, ino: InodeId) -> Result<Bytes> {
        Ok(self.state().node(ino)?.bytes.clone().into())
    }

    async fn mknod(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.make(cx, (parent, name), kind, permissions)
    }

    async fn mkdir(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.make(cx, (parent, name), NodeKind::Directory, permissions)
    }

    async fn unlink(&self, _: &Context, parent: InodeId, name: &Name) -> Result<()> {
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        if state.nodes[&ino].attr.kind == NodeKind::Directory {
            return Err(ErrorKind::IsDirectory.into());
        }
        state.unlink(parent, name);
        Ok(())
    }

    async fn rmdir(&self, _: &Context, parent: InodeId, name: &Name) -> Result<()> {
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        if state.nodes[&ino].attr.kind != NodeKind::Directory {
            return Err(ErrorKind::NotDirectory.into());
        }
        if !state.nodes[&ino].children.is_empty() {
            return Err(ErrorKind::NotEmpty.into());
        }
        state.unlink(parent, name);
        Ok(())
    }

    async fn symlink(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        target: &[u8],
    ) -> Result<Entry> {
        let permissions = Permissions::from_mode(0o777);
        let mut entry = self.make(cx, (parent, name), NodeKind::Symlink, permissions)?;
        let mut state = self.state();
        let node = state.node(entry.attr.ino)?;
        node.bytes = target.to_vec();
        node.attr.size = target.len() as u64;
        entry.attr = node.attr;
        Ok(entry)
    }

    async fn rename(
        &self,
        _: &Context,
        parent: InodeId,
        name: &Name,
        new_parent: InodeId,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<()> {
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        let target = state.child(new_parent, new_name).ok();
        match (mode, target) {
            (RenameMode::Exchange, _) => return Err(ErrorKind::InvalidArgument.into()),
            (RenameMode::NoReplace, Some(_)) => return Err(ErrorKind::Exists.into()),
            (RenameMode::Replace, Some(target)) => {
                if !state.nodes[&target].children.is_empty() {
                    return Err(ErrorKind::NotEmpty.into());
                }
                state.unlink(new_parent, new_name);
            }
            (_, None) => {}
        }
        let links = state.nodes[&ino].attr.links;
        state.unlink(parent, name);
        state.nodes.get_mut(&ino).unwrap().attr.links = links;
        state.link(new_parent, new_name, ino);
        Ok(())
    }

    async fn open(&self, _: &Context, ino: InodeId, flags: OpenFlags) -> Result<Opened> {
        let mut state = self.state();
        let node = state.node(ino)?;
        if flags.truncate {
            node.bytes.clear();
            state.touch(ino);
        }
        Ok(self.handle(&mut state, ino.get(), flags))
    }

    async fn create(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> Result<Created> {
        let entry = self.make(cx, (parent, name), NodeKind::File, permissions)?;
        let opened = self.handle(&mut self.state(), entry.attr.ino.get(), flags);
        Ok(Created { entry, opened })
    }

    async fn read(
        &self,
        _: &Context,
        ino: InodeId,
        _: FileHandle,
        offset: u64,
        size: u32,
    ) -> Result<Bytes> {
        let mut state = self.state();
        let bytes = &state.node(ino)?.bytes;
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        let end = (start + size as usize).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[start..end]))
    }

    async fn write(
        &self,
        _: &Context,
        ino: InodeId,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<u32> {
        let mut state = self.state();
        let (_, flags) = *state
            .handles
            .get(&handle.get())
            .ok_or(ErrorKind::BadHandle)?;
        let bytes = &mut state.node(ino)?.bytes;
        let start = match flags.write_mode {
            WriteMode::AtOffset => usize::try_from(offset).unwrap(),
            WriteMode::Append => bytes.len(),
        };
        let end = start + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        state.touch(ino);
        Ok(u32::try_from(data.len()).unwrap())
    }

    async fn flush(&self, _: &Context, _: InodeId, _: FileHandle) -> Result<()> {
        Ok(())
    }

    async fn fsync(&self, _: &Context, _: InodeId, _: FileHandle, _: SyncScope) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &Context, _: InodeId, handle: FileHandle) -> Result<()> {
        self.state().handles.remove(&handle.get());
        Ok(())
    }

    async fn opendir(&self, _: &Context, ino: InodeId) -> Result<OpenedDir> {
        let mut state = self.state();
        state.node(ino)?;
        let handle = DirHandle::new(state.next()).unwrap();
        Ok(OpenedDir { handle })
    }

    async fn readdir(
        &self,
        _: &Context,
        ino: InodeId,
        _: DirHandle,
        from: Cookie,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        let mut state = self.state();
        for (cookie, name) in [(Cookie::DOT, "."), (Cookie::DOT_DOT, "..")] {
            let kind = NodeKind::Directory;
            let dot = DirEntry {
                ino,
                kind,
                name,
                cookie,
            };
            if from < cookie && sink.add(&dot) == SinkState::Full {
                return Ok(());
            }
        }
        for (cookie, name, ino) in listing(&mut state, ino, from)? {
            let entry = DirEntry {
                ino: id(ino),
                kind: state.nodes[&ino].attr.kind,
                name: name.as_str(),
                cookie: Cookie(cookie),
            };
            if sink.add(&entry) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }

    async fn readdirplus(
        &self,
        _: &Context,
        ino: InodeId,
        _: DirHandle,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> Result<()> {
        let mut state = self.state();
        let attr = state.node(ino)?.attr;
        for (cookie, name) in [(Cookie::DOT, "."), (Cookie::DOT_DOT, "..")] {
            let kind = NodeKind::Directory;
            let entry = DirEntry {
                ino,
                kind,
                name,
                cookie,
            };
            let dot = DirPlusEntry::Dot { entry, attr: &attr };
            if from < cookie && sink.add(&dot) == SinkState::Full {
                return Ok(());
            }
        }
        for (cookie, name, ino) in listing(&mut state, ino, from)? {
            let entry = self.entry(&mut state, ino);
            let child = DirPlusEntry::Child {
                name: &name,
                entry: &entry,
                cookie: Cookie(cookie),
            };
            if sink.add(&child) == SinkState::Full {
                *state.lookups.get_mut(&ino).unwrap() -= 1;
                break;
            }
        }
        Ok(())
    }

    async fn releasedir(&self, _: &Context, _: InodeId, _: DirHandle) -> Result<()> {
        Ok(())
    }

    async fn fsyncdir(&self, _: &Context, _: InodeId, _: DirHandle, _: SyncScope) -> Result<()> {
        Ok(())
    }

    async fn statfs(&self, _: &Context, _: InodeId) -> Result<StatFs> {
        Ok(StatFs {
            block_bytes: 4096,
            blocks: 1000,
            blocks_free: 500,
            inodes: 100,
            inodes_free: 50,
            name_bytes_max: 255,
        })
    }

    async fn setxattr(
        &self,
        _: &Context,
        ino: InodeId,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        if !name.starts_with("user.") {
            return Err(ErrorKind::Unsupported.into());
        }
        let mut state = self.state();
        let xattrs = &mut state.node(ino)?.xattrs;
        match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => Err(ErrorKind::Exists.into()),
            (XattrMode::Replace, false) => Err(ErrorKind::NoAttribute.into()),
            _ => {
                xattrs.insert(name.into(), Bytes::copy_from_slice(value));
                Ok(())
            }
        }
    }

    async fn getxattr(&self, _: &Context, ino: InodeId, name: &str) -> Result<Bytes> {
        let mut state = self.state();
        let value = state.node(ino)?.xattrs.get(name).cloned();
        Ok(value.ok_or(ErrorKind::NoAttribute)?)
    }

    async fn listxattr(&self, _: &Context, ino: InodeId) -> Result<Vec<String>> {
        Ok(self.state().node(ino)?.xattrs.keys().cloned().collect())
    }

    async fn removexattr(&self, _: &Context, ino: InodeId, name: &str) -> Result<()> {
        let mut state = self.state();
        let removed = state.node(ino)?.xattrs.remove(name);
        Ok(removed.map(drop).ok_or(ErrorKind::NoAttribute)?)
    }

    async fn access(&self, _: &Context, _: InodeId, _: AccessMask) -> Result<()> {
        Ok(())
    }

    async fn fallocate(
        &self,
        _: &Context,
        ino: InodeId,
        _: FileHandle,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let mut state = self.state();
        let bytes = &mut state.node(ino)?.bytes;
        let end = usize::try_from(offset + length).unwrap();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        state.touch(ino);
        Ok(())
    }

    async fn lseek(
        &self,
        _: &Context,
        ino: InodeId,
        _: FileHandle,
        offset: u64,
        whence: SeekWhence,
    ) -> Result<u64> {
        let size = self.state().node(ino)?.attr.size;
        match whence {
            _ if offset >= size => Err(ErrorKind::NoSuchRange.into()),
            SeekWhence::Data => Ok(offset),
            SeekWhence::Hole => Ok(size),
        }
    }

    fn changes(&self) -> Option<Changes> {
        None
    }
}
