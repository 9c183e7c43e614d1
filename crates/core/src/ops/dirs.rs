//! Reading directories.
//!
//! Laws:
//! - The call may be dropped while it waits, with entries in the sink already. They count as lookups only when it ends;
//!   until then they are pinned.
//! - What an entry is, is told as it is: a listing does not tell a small file from a symlink, so that is asked for.
//! - All attributes of an entry are asked for only where somebody wants them: the sink, or who goes through the directory and
//!   looks at each entry of it.

use cloudmount_vfs::{
    Attr, Cookie, DirEntry, DirPlusEntry, DirPlusSink, DirSink, InodeId, Name, NodeKind, Result,
    SinkState, Unknown,
};

use cloudmount_inode::Reach;

use crate::core::Inner;
use crate::know::{Inode, TARGET_BYTES_MAX};
use crate::node::{Content, Node, Standing, State};
use crate::ttl::Wanted;

/// Entries that are made ready at once: what fits a kernel's request of 32 KiB with attributes.
const BATCH: usize = 192;

/// What must be known of an entry before it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    /// What it is.
    Kind,
    /// All attributes, but for folders whose listing will tell them.
    Looked,
    /// All attributes.
    Attributes,
}

/// What one look at a folder has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    /// Some entries; there is no room for the next.
    Full,
    Some,
    /// Some entries; of the next more must be known.
    Unready,
    /// There is none as far as that.
    Nothing(Reach),
}

/// Which entries are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    /// Those of which enough is known.
    Ready,
    /// All: what can be known was just asked for.
    All,
}

/// The two entries that every directory has.
struct Dots {
    own: Attr,
    parent: Attr,
}

/// The children that a sink has taken.
struct Taken<'a> {
    inner: &'a Inner,
    inodes: Vec<InodeId>,
}

impl Taken<'_> {
    /// Counts a lookup for each.
    fn count(self) -> Result<()> {
        let mut table = self.inner.table();
        for ino in &self.inodes {
            table.remember(*ino)?;
        }
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let freed: Vec<_> = {
            let mut table = self.inner.table();
            let inodes = self.inodes.iter();
            inodes.filter_map(|ino| table.unpin(*ino)).collect()
        };
        drop(freed);
    }
}

impl Inner {
    pub(crate) async fn readdir(
        &self,
        ino: InodeId,
        from: Cookie,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        if from == Cookie::START {
            self.begin_scan(ino, Wanted::Names).await?;
        }
        let mut at = from;
        for (entry, _) in self.dots(ino)?.after(from) {
            if sink.add(&entry) == SinkState::Full {
                return Ok(());
            }
            at = entry.cookie;
        }
        loop {
            self.tell_kinds(ino, at).await?;
            let (children, reach) = self.table().scan(ino, at, (BATCH, self.now()))?;
            if children.is_empty() {
                if reach == Reach::Far {
                    return Ok(());
                }
                self.go_on_scanning(ino).await?;
            }
            for child in &children {
                let entry = DirEntry {
                    ino: child.ino,
                    kind: child.kind,
                    name: child.name.as_str(),
                    cookie: child.cookie,
                };
                if sink.add(&entry) == SinkState::Full {
                    return Ok(());
                }
                at = child.cookie;
            }
        }
    }

    pub(crate) async fn readdirplus(
        &self,
        ino: InodeId,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> Result<()> {
        if from == Cookie::START {
            self.begin_scan(ino, Wanted::Attributes).await?;
        }
        let mut at = from;
        for (entry, attr) in self.dots(ino)?.after(from) {
            let attr = &attr;
            if sink.add(&DirPlusEntry::Dot { entry, attr }) == SinkState::Full {
                return Ok(());
            }
            at = entry.cookie;
        }
        let mut taken = Taken {
            inner: self,
            inodes: Vec::new(),
        };
        // In a folder of more than a page, names that are believed no longer are asked for one by one, which costs more than
        // the attributes of one request of the kernel: it goes on so only for who looks.
        let is_large = self.node(ino)?.lock().is_large;
        let need = match sink.unknown() {
            Unknown::Asked => Need::Attributes,
            Unknown::Bare if is_large || self.ahead.looks_on(ino, from.0) => Need::Looked,
            Unknown::Bare => Need::Kind,
        };
        let mut which = Which::Ready;
        loop {
            let shown = self.show_more(ino, (&mut at, which), &mut taken, sink)?;
            which = Which::Ready;
            match shown {
                Shown::Full => break,
                Shown::Some => {}
                Shown::Unready => {
                    self.make_ready(ino, at, need).await?;
                    which = Which::All;
                }
                Shown::Nothing(Reach::Paged) => self.go_on_scanning(ino).await?,
                Shown::Nothing(Reach::Far) => break,
            }
        }
        if need == Need::Looked {
            self.ahead.told_up_to(ino, at.0, &taken.inodes);
        }
        taken.count()
    }

    /// Shows the next entries that are told.
    fn show_more(
        &self,
        ino: InodeId,
        (at, which): (&mut Cookie, Which),
        taken: &mut Taken<'_>,
        sink: &mut dyn DirPlusSink,
    ) -> Result<Shown> {
        let mut table = self.table();
        let (children, reach) = table.scan(ino, *at, (BATCH, self.now()))?;
        if children.is_empty() {
            return Ok(Shown::Nothing(reach));
        }
        for child in children {
            let found = child.found.as_ref();
            let is_told = found.is_some_and(|inode| self.can_show(&inode.payload));
            if which == Which::Ready && !is_told {
                return Ok(Shown::Unready);
            }
            let Some(inode) = child.found else {
                *at = child.cookie;
                continue;
            };
            let (name, entry) = (&child.name, &self.entry_of(&table, &inode));
            let cookie = child.cookie;
            // What was just asked for holds, even if it is believed no longer.
            let plus = if is_told || sink.unknown() == Unknown::Asked {
                DirPlusEntry::Child {
                    name,
                    entry,
                    cookie,
                }
            } else {
                DirPlusEntry::Bare {
                    name,
                    entry,
                    cookie,
                }
            };
            if sink.add(&plus) == SinkState::Full {
                return Ok(Shown::Full);
            }
            table.pin(inode.ino)?;
            taken.inodes.push(inode.ino);
            *at = child.cookie;
        }
        Ok(Shown::Some)
    }

    /// Makes the next entries fit to be shown without attributes.
    async fn tell_kinds(&self, ino: InodeId, from: Cookie) -> Result<()> {
        let (children, _) = self.table().scan(ino, from, (BATCH, self.now()))?;
        let found = children.into_iter().filter_map(|child| child.found);
        let must_ask = |inode: &Inode| self.must_ask(ino, &inode.payload, Need::Kind);
        let unknown = found.filter(must_ask).collect();
        self.ask(ino, unknown, Need::Kind).await
    }

    /// Makes the next entries fit to be shown with what is needed of their attributes, and with what can be told of them without
    /// a request for each.
    async fn make_ready(&self, ino: InodeId, from: Cookie, need: Need) -> Result<()> {
        let (children, _) = self.table().scan(ino, from, (BATCH, self.now()))?;
        let (mut unknown, mut cold) = (Vec::new(), Vec::new());
        for child in children {
            match child.found {
                Some(inode) if !self.can_show(&inode.payload) => unknown.push(inode),
                Some(_) => {}
                None => cold.push(child.name),
            }
        }
        self.find_cold(ino, cold, need).await?;
        self.ask(ino, unknown, need).await
    }

    /// Asks for what is needed of these and not remembered.
    async fn ask(&self, ino: InodeId, mut unknown: Vec<Inode>, need: Need) -> Result<()> {
        if !unknown.is_empty() {
            self.recollect(ino).await;
            unknown.retain(|inode| self.must_ask(ino, &inode.payload, need));
        }
        self.know_all(unknown).await
    }

    /// Finds names whose memory was reclaimed, several at a time; those that are gone are left out.
    async fn find_cold(&self, ino: InodeId, names: Vec<Name>, need: Need) -> Result<()> {
        let found = names.into_iter().map(|name| async move {
            match need {
                // What it is, is kept of each name.
                Need::Kind => self.find_name(ino, &name).await,
                Need::Looked | Need::Attributes => self.find_shown(ino, &name).await,
            }
        });
        self.side_by_side(found).await
    }

    fn must_ask(&self, dir: InodeId, node: &Node, need: Need) -> bool {
        if self.can_show(node) {
            return false;
        }
        match need {
            Need::Attributes => true,
            Need::Looked => node.kind != NodeKind::Directory || !self.is_gone_through(dir),
            // A listing does not tell a symlink from a file; the size mostly does.
            Need::Kind => node.look(|listed| listed.size <= TARGET_BYTES_MAX, State::may_be_link),
        }
    }

    fn dots(&self, ino: InodeId) -> Result<Dots> {
        let table = self.table();
        let own = self.folder(&table, ino)?.attr();
        let parent = table
            .parent_of(ino)
            .and_then(|(parent, _)| table.get(parent))
            .map_or(own, |parent| parent.payload.attr());
        Ok(Dots { own, parent })
    }
}

impl State {
    /// Whether its kind is not known for certain.
    fn may_be_link(&self) -> bool {
        self.standing == Standing::Listed
            && match &self.content {
                // An empty one may be the marker of a folder.
                Content::Object(object) => object.size <= TARGET_BYTES_MAX,
                Content::Link { .. } => true,
                Content::Folder { .. } | Content::Staged(_) => false,
            }
    }
}

impl Dots {
    /// Those after a position.
    fn after(&self, from: Cookie) -> impl Iterator<Item = (DirEntry<'static>, Attr)> {
        let entry = |attr: Attr, name, cookie| {
            let entry = DirEntry {
                ino: attr.ino,
                kind: NodeKind::Directory,
                name,
                cookie,
            };
            (entry, attr)
        };
        [
            entry(self.own, ".", Cookie::DOT),
            entry(self.parent, "..", Cookie::DOT_DOT),
        ]
        .into_iter()
        .filter(move |(entry, _)| entry.cookie > from)
    }
}
