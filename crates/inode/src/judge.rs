//! What an answer about a name does to what is known about it: the rules, in one place, for
//! lookups, pages and complete listings alike.
//!
//! Law: an answer is as old as its question. It loses to a local change and to an answer whose
//! question came later, whatever the order in which they arrive.

use cloudmount_vfs::{Cookie, InodeId, Name, NodeKind};

use crate::dentry::{Dentry, Ghost, GhostKind, Source};
use crate::dir::Dir;
use crate::epoch::{Asked, Deadline};
use crate::lookup::Answer;
use crate::node::{Link, Locality};
use crate::table::InodeTable;

/// A name that exists: where, and what it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    pub(crate) link: Link,
    pub(crate) ino: InodeId,
    pub(crate) kind: NodeKind,
}

impl Spot {
    pub(crate) const fn new(parent: InodeId, cookie: Cookie, dentry: &Dentry) -> Self {
        Self {
            link: Link { parent, cookie },
            ino: dentry.ino,
            kind: dentry.kind,
        }
    }
}

/// What to do with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// A local change has overtaken it.
    Refuse,
    /// The name exists, whatever was answered.
    Keep(Spot),
    /// The name exists, as was answered.
    Refresh(Spot),
    /// The name leads to something of another kind now.
    Replace(Spot),
    /// The name does not exist any more.
    Drop(Spot),
    /// The name exists now.
    Add,
    /// The name does not exist, whatever was answered.
    StayAbsent,
    /// The name does not exist, as was answered.
    ConfirmAbsent,
}

impl<P: Clone> InodeTable<P> {
    /// Judges `answer` about `name`; `None` if the directory is gone, or was moved since.
    pub(crate) fn judge(
        &self,
        parent: InodeId,
        name: &Name,
        asked: Asked,
        answer: Answer,
    ) -> Option<Verdict> {
        let dir = self.linked_dir(parent).ok()?;
        Some(if let Some((cookie, dentry)) = dir.find(name) {
            self.judge_dentry(Spot::new(parent, cookie, dentry), dentry, asked, answer)
        } else if let Some(ghost) = dir.ghost(name) {
            judge_ghost(ghost, asked, answer)
        } else {
            judge_unknown(dir, asked, answer)
        })
    }

    /// Judges `answer` about the name of `dentry`, which lies at `spot`.
    pub(crate) fn judge_dentry(
        &self,
        spot: Spot,
        dentry: &Dentry,
        asked: Asked,
        answer: Answer,
    ) -> Verdict {
        // "At" counts as overtaken, too: the same listing has named it before.
        if dentry.epoch >= asked.epoch {
            return match dentry.source {
                Source::Here => Verdict::Refuse,
                Source::Store => Verdict::Keep(spot),
            };
        }
        let node = self.node(spot.ino);
        let is_local = node.is_some_and(|node| node.locality == Locality::Local);
        let is_guarded =
            node.is_some_and(|node| node.local_weight() > 0) || is_calm(dentry.calm, asked);
        match answer {
            Answer::Present(kind) if kind == dentry.kind && !is_local => Verdict::Refresh(spot),
            _ if is_guarded => Verdict::Keep(spot),
            Answer::Present(_) => Verdict::Replace(spot),
            Answer::Absent => Verdict::Drop(spot),
        }
    }
}

fn judge_ghost(ghost: &Ghost, asked: Asked, answer: Answer) -> Verdict {
    match (ghost.kind, answer) {
        (GhostKind::Removing | GhostKind::Doubt, _) if ghost.epoch >= asked.epoch => {
            Verdict::Refuse
        }
        (GhostKind::Removing, _) => Verdict::StayAbsent,
        (GhostKind::Removed { at, .. }, _) if at >= asked.epoch => Verdict::Refuse,
        _ if ghost.epoch >= asked.epoch => Verdict::StayAbsent,
        (GhostKind::Removed { calm, .. }, Answer::Present(_)) if is_calm(calm, asked) => {
            Verdict::StayAbsent
        }
        (_, Answer::Present(_)) => Verdict::Add,
        (_, Answer::Absent) => Verdict::ConfirmAbsent,
    }
}

fn judge_unknown(dir: &Dir, asked: Asked, answer: Answer) -> Verdict {
    if dir.floor >= asked.epoch {
        return Verdict::Refuse;
    }
    match answer {
        _ if dir.listing.epoch >= asked.epoch => Verdict::StayAbsent,
        Answer::Present(_) => Verdict::Add,
        Answer::Absent => Verdict::ConfirmAbsent,
    }
}

fn is_calm(calm: Deadline, asked: Asked) -> bool {
    calm.is_after(asked.at)
}
