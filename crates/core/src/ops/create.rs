//! New names: files, directories, symlinks.

use std::sync::Arc;

use bytes::Bytes;
use cloudmount_stage::{RemoteBelief, Submit};
use cloudmount_store::probe::SCRATCH;
use cloudmount_store::{Key, Version};
use cloudmount_vfs::{
    Context, Created, Entry, Error, ErrorKind, InodeId, Name, NodeKind, OpenFlags, Permissions,
    Result,
};

use crate::core::{Inner, Table};
use crate::know::{Inode, TARGET_BYTES_MAX};
use crate::manifest;
use crate::markers;
use crate::naming::{self, Role};
use crate::node::{Content, Marker, Node, Standing, object_ref};
use crate::ops::open::Dirt;

/// The set-group-id bit: on a directory, its group goes to what is created in it.
const SET_GROUP_ID: u16 = 0o2000;

/// What a new inode begins with.
#[derive(Clone, Copy)]
struct Birth {
    kind: NodeKind,
    permissions: Permissions,
    uid: u32,
    gid: u32,
}

/// Where a new name goes.
struct Spot {
    folder: Arc<Node>,
    key: Key,
}

impl Inner {
    pub(crate) async fn create(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
        flags: OpenFlags,
    ) -> Result<Created> {
        let found = self.find_maybe(parent, name).await?;
        if let Some(inode) = found {
            return self.create_existing(&inode, flags).await;
        }
        self.writable()?;
        let mut table = self.table();
        let inode = self.new_file(&mut table, cx, (parent, name), permissions)?;
        let opened = self.open_locked(&mut table, &inode.payload, (flags, Dirt::ToSubmit), None)?;
        let entry = self.entry(&mut table, &inode)?;
        Ok(Created { entry, opened })
    }

    async fn create_existing(&self, inode: &Inode, flags: OpenFlags) -> Result<Created> {
        if flags.exclusive || inode.kind == NodeKind::Symlink {
            return Err(ErrorKind::Exists.into());
        }
        let opened = self.open(inode.ino, flags).await?;
        match self.entry(&mut self.table(), inode) {
            Ok(entry) => Ok(Created { entry, opened }),
            Err(error) => {
                self.release(inode.ino, opened.handle)?;
                Err(error)
            }
        }
    }

    pub(crate) async fn mknod(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
        permissions: Permissions,
    ) -> Result<Entry> {
        if kind != NodeKind::File {
            return Err(ErrorKind::NotPermitted.into());
        }
        self.must_be_free(parent, name).await?;
        let (inode, entry) = {
            let mut table = self.table();
            let inode = self.new_file(&mut table, cx, (parent, name), permissions)?;
            let entry = self.entry(&mut table, &inode)?;
            (inode, entry)
        };
        self.submit(&inode.payload, Submit::Closed)?;
        Ok(entry)
    }

    pub(crate) async fn mkdir(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        permissions: Permissions,
    ) -> Result<Entry> {
        self.must_be_free(parent, name).await?;
        let mut table = self.table();
        let spot = self.spot(&table, parent, name, NodeKind::Directory)?;
        let birth = birth(cx, &spot.folder, NodeKind::Directory, permissions);
        let marker = Marker::Missing;
        let inode = self.bear(
            &mut table,
            (parent, name),
            birth,
            Content::Folder { marker },
        )?;
        let stored = {
            let mut state = inode.payload.lock();
            self.put_marker(&mut table, &inode.payload, &mut state, &spot.key)
        };
        self.or_undo(&mut table, (parent, name), &inode, stored)?;
        table.mark_listed(inode.ino, self.names_until())?;
        self.touch(&mut table, &spot.folder);
        self.entry(&mut table, &inode)
    }

    pub(crate) async fn symlink(
        &self,
        cx: &Context,
        parent: InodeId,
        name: &Name,
        target: &[u8],
    ) -> Result<Entry> {
        if target.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        if target.len() as u64 > TARGET_BYTES_MAX {
            return Err(ErrorKind::NameTooLong.into());
        }
        self.must_be_free(parent, name).await?;
        let mut table = self.table();
        let spot = self.spot(&table, parent, name, NodeKind::Symlink)?;
        let permissions = Permissions::from_mode(0o777);
        let birth = birth(cx, &spot.folder, NodeKind::Symlink, permissions);
        let target = Bytes::copy_from_slice(target);
        let content = Content::Link {
            target: Some(target.clone()),
            version: None,
            size: target.len() as u64,
        };
        let inode = self.bear(&mut table, (parent, name), birth, content)?;
        let metadata = inode
            .payload
            .lock()
            .to_store(NodeKind::Symlink, self.settings.dialect);
        let stored = metadata.and_then(|metadata| {
            let absent = RemoteBelief::Absent;
            self.stage.put_inline(&spot.key, target, metadata, absent)
        });
        self.or_undo(&mut table, (parent, name), &inode, stored)?;
        self.touch(&mut table, &spot.folder);
        self.entry(&mut table, &inode)
    }

    async fn must_be_free(&self, parent: InodeId, name: &Name) -> Result<()> {
        if self.find_maybe(parent, name).await?.is_some() {
            return Err(ErrorKind::Exists.into());
        }
        self.writable()
    }

    fn new_file(
        &self,
        table: &mut Table,
        cx: &Context,
        place: (InodeId, &Name),
        permissions: Permissions,
    ) -> Result<Inode> {
        let spot = self.spot(table, place.0, place.1, NodeKind::File)?;
        let birth = birth(cx, &spot.folder, NodeKind::File, permissions);
        let nothing = Content::Object(object_ref(&spot.key, &Version::new(""), 0));
        let inode = self.bear(table, place, birth, nothing)?;
        let metadata = inode
            .payload
            .lock()
            .to_store(NodeKind::File, self.settings.dialect);
        let staged = metadata.and_then(|metadata| self.stage.create(&spot.key, None, metadata));
        let staged = staged.map(|file| {
            inode.payload.lock().content = Content::Staged(Arc::clone(&file));
            self.files.lock().insert(file.id(), inode.ino);
        });
        self.or_undo(table, place, &inode, staged)?;
        self.touch(table, &spot.folder);
        Ok(inode)
    }

    /// Checks that a name may be created there.
    fn spot(&self, table: &Table, parent: InodeId, name: &Name, kind: NodeKind) -> Result<Spot> {
        let folder = table.get(parent).ok_or(ErrorKind::NotFound)?.payload;
        if folder.kind != NodeKind::Directory {
            return Err(ErrorKind::NotDirectory.into());
        }
        self.check_new_name(table, parent, name, kind)?;
        let key = self.child_key(table, parent, name, kind)?;
        Ok(Spot { folder, key })
    }

    /// Whether what is created under `name` will be listed under `name`.
    pub(crate) fn check_new_name(
        &self,
        table: &Table,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
    ) -> Result<()> {
        let refuse = |why| Err(Error::new(ErrorKind::IllegalName, why));
        if naming::is_hashed(name) {
            return refuse("a hashed name stands for a key that exists");
        }
        let part = naming::part_of(name, &self.long)?;
        self.settings.litter.check_new(&part.text)?;
        if part.text == manifest::NAME {
            return refuse("the name of the manifests of folders");
        }
        if parent == InodeId::ROOT && part.text.starts_with(SCRATCH) {
            return refuse("a name of the scratch objects of probes");
        }
        if kind != NodeKind::Directory && markers::folder_of(&part.text).is_some() {
            return refuse("a name that marks a folder: empty, it would be shown as that");
        }
        if part.role == Role::Plain {
            return Ok(());
        }
        let plain = naming::shown(&naming::Part::plain(part.text));
        let beside = table.kind_of(parent, &plain) == Some(NodeKind::Directory);
        if beside && kind != NodeKind::Directory {
            return Ok(());
        }
        refuse("a name for an object beside a folder, and there is no such folder")
    }

    /// Adds the name with a new inode, both of this mount alone so far.
    fn bear(
        &self,
        table: &mut Table,
        (parent, name): (InodeId, &Name),
        birth: Birth,
        content: Content,
    ) -> Result<Inode> {
        let now = self.clock.wall();
        let make = |ino| {
            let node = Node::new(ino, birth.kind, content, &self.settings);
            {
                let mut state = node.lock();
                state.permissions = birth.permissions;
                (state.uid, state.gid) = (birth.uid, birth.gid);
                (state.mtime, state.ctime) = (now, now);
                state.standing = Standing::Own;
            }
            Arc::new(node)
        };
        Ok(table.create(parent, name, birth.kind, make)?)
    }

    /// Takes a new name away again if the stage did not take it.
    fn or_undo(
        &self,
        table: &mut Table,
        (parent, name): (InodeId, &Name),
        inode: &Inode,
        stored: Result<()>,
    ) -> Result<()> {
        if stored.is_err() {
            let expect = match inode.kind {
                NodeKind::Directory => cloudmount_inode::Expect::Directory,
                NodeKind::File | NodeKind::Symlink => cloudmount_inode::Expect::NotDirectory,
            };
            table.remove(parent, name, expect)?;
            table.cancel_removed(parent, name);
        }
        stored
    }
}

/// Owner, group and permissions of something new in `folder`.
fn birth(cx: &Context, folder: &Node, kind: NodeKind, permissions: Permissions) -> Birth {
    let above = folder.attr();
    let inherits = above.permissions.contains(SET_GROUP_ID);
    let bits = if inherits && kind == NodeKind::Directory {
        permissions.bits() | SET_GROUP_ID
    } else {
        permissions.bits()
    };
    Birth {
        kind,
        permissions: Permissions::from_mode(bits.into()),
        uid: cx.uid,
        gid: if inherits { above.gid } else { cx.gid },
    }
}
