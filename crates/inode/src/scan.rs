//! Reading directories: the names that are known, in an order that no change disturbs.

use cloudmount_vfs::{Cookie, InodeId, Instant, Name, NodeKind};

use crate::dentry::Dentry;
use crate::dir::Dir;
use crate::epoch::Epoch;
use crate::error::TableError;
use crate::judge::Verdict;
use crate::listing::ListProbe;
use crate::lookup::Answer;
use crate::node::Found;
use crate::table::InodeTable;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Child<P> {
    /// The name.
    pub name: Name,
    /// Where to continue after it; larger than [`Cookie::DOT_DOT`].
    pub cookie: Cookie,
    /// The number it leads to.
    pub ino: InodeId,
    /// What that is.
    pub kind: NodeKind,
    /// The inode; `None` if it is cold: a lookup of the name wakes it.
    pub found: Option<Found<P>>,
}

/// How far a scan could go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// As far as it wanted, or to the end.
    Far,
    /// To the first name that the pages of a listing have not told yet.
    Paged,
}

impl<P: Clone> InodeTable<P> {
    /// As [`children`](Self::children), but while a listing is applied page by page, only as far as it tells: a name
    /// that none of its pages has held so far may be gone, and others may come behind. A scan that
    /// goes on from there once more pages were applied meets each name once.
    ///
    /// # Errors
    /// As [`children`](Self::children).
    pub fn scan(
        &self,
        dir: InodeId,
        after: Cookie,
        (max, now): (usize, Instant),
    ) -> Result<(Vec<Child<P>>, Reach), TableError> {
        let known = self.open_dir(dir)?;
        let paged = known.listing.paged;
        if paged == Epoch::NONE || known.is_listed(now) || !self.is_linked(dir) {
            return Ok((self.children(dir, after, max)?, Reach::Far));
        }
        let told = known
            .after(after)
            .take_while(|(_, dentry)| self.is_settled(dentry, paged));
        let children: Vec<_> = told
            .take(max)
            .map(|(cookie, dentry)| self.child(known, cookie, dentry))
            .collect();
        let reach = if children.len() == max {
            Reach::Far
        } else {
            Reach::Paged
        };
        Ok((children, reach))
    }

    fn child(&self, dir: &Dir, cookie: Cookie, dentry: &Dentry) -> Child<P> {
        Child {
            name: dir.name_of(dentry),
            cookie,
            ino: dentry.ino,
            kind: dentry.kind,
            found: self.get(dentry.ino),
        }
    }

    /// Up to `max` known names of `dir` after the position `after`, in the order of their cookies.
    /// A name has one cookie for as long as it exists, so one that exists throughout a scan is met
    /// exactly once. An orphan has none. Whether these are all names, see
    /// [`listing_is_valid`](Self::listing_is_valid).
    ///
    /// # Errors
    /// `NotFound` if `dir` is unknown or cold; `NotDirectory`.
    pub fn children(
        &self,
        dir: InodeId,
        after: Cookie,
        max: usize,
    ) -> Result<Vec<Child<P>>, TableError> {
        let known = self.open_dir(dir)?;
        let children = known.after(after).take(max);
        let children = children.map(|(cookie, dentry)| self.child(known, cookie, dentry));
        Ok(children.collect())
    }

    /// What is known under `name` in `dir`, whether or not it is still believed: no question, no
    /// judgement. `None` for an unknown name and for a cold one.
    #[must_use]
    pub fn peek(&self, dir: InodeId, name: &Name) -> Option<Found<P>> {
        let (_, dentry) = self.dir(dir)?.find(name)?;
        self.get(dentry.ino)
    }

    /// What `name` in `dir` is known to be, warm or cold, believed or not.
    #[must_use]
    pub fn kind_of(&self, dir: InodeId, name: &Name) -> Option<NodeKind> {
        let (_, dentry) = self.dir(dir)?.find(name)?;
        Some(dentry.kind)
    }

    /// Whether anything is known of `name` in `dir`, be it that it was removed: then an answer of
    /// the store that is older than that does no harm.
    #[must_use]
    pub fn remembers(&self, dir: InodeId, name: &Name) -> bool {
        self.dir(dir)
            .is_some_and(|dir| dir.find(name).is_some() || dir.ghost(name).is_some())
    }

    /// Whether an answer to `probe` that shows a folder under `name` would make it exist: nothing newer is known of
    /// the name. That its removal was confirmed before the question is nothing newer.
    #[must_use]
    pub fn would_add_folder(&self, probe: &ListProbe, name: &Name) -> bool {
        let shown = Answer::Present(NodeKind::Directory);
        self.judge(probe.dir(), name, probe.asked(), shown) == Some(Verdict::Add)
    }

    /// How many names of `dir` are known; none if it is no known directory.
    #[must_use]
    pub fn child_count(&self, dir: InodeId) -> usize {
        self.dir(dir).map_or(0, Dir::len)
    }

    /// Whether any name of `dir` is known.
    #[must_use]
    pub fn has_children(&self, dir: InodeId) -> bool {
        self.child_count(dir) > 0
    }

    /// All warm inodes below `dir`, each after its directory. The others have no payload, and none
    /// below them has.
    #[must_use]
    pub fn walk(&self, dir: InodeId) -> Vec<(InodeId, P)> {
        let mut walked = Vec::new();
        let mut dirs = vec![dir];
        while let Some(at) = dirs.pop() {
            let Some(known) = self.dir(at).filter(|dir| dir.warm > 0) else {
                continue;
            };
            for (_, dentry) in known.iter() {
                let Some(node) = self.node(dentry.ino) else {
                    continue;
                };
                walked.extend(node.payload.clone().map(|payload| (dentry.ino, payload)));
                dirs.extend(node.dir.is_some().then_some(dentry.ino));
            }
        }
        walked
    }
}
