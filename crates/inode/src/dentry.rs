//! What is known about one name of a directory: a dentry, if it exists; a ghost, if it does not.

use cloudmount_vfs::{InodeId, NodeKind};

use crate::epoch::{Deadline, Epoch};
use crate::texts::TextAt;

/// Where the newest knowledge about a name comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// A change made here.
    Here,
    /// An answer of the store.
    Store,
}

/// What is known of a name that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) ino: InodeId,
    /// Until when it is believed without asking. Local names are believed for ever.
    pub(crate) until: Deadline,
    /// When it was changed here, or asked.
    pub(crate) epoch: Epoch,
    pub(crate) kind: NodeKind,
    pub(crate) source: Source,
}

/// A name that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dentry {
    /// The only copy of the name in the directory.
    pub(crate) text: TextAt,
    pub(crate) ino: InodeId,
    /// Until when it is believed without asking. Local names are believed for ever.
    pub(crate) until: Deadline,
    /// When it was changed here, or asked.
    pub(crate) epoch: Epoch,
    /// Answers to questions before this moment do not contradict it: stores that list eventually.
    pub(crate) calm: Deadline,
    pub(crate) kind: NodeKind,
    pub(crate) source: Source,
}

/// A name that does not exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ghost {
    /// When it was changed here, asked, or made doubtful.
    pub(crate) epoch: Epoch,
    /// Until when the absence is believed without asking.
    pub(crate) until: Deadline,
    pub(crate) kind: GhostKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GhostKind {
    /// The store said so.
    Negative,
    /// Nothing is certain: the next lookup must ask, and older answers do not count.
    Doubt,
    /// Removed here; the store may still have it. Nothing the store says counts.
    Removing,
    /// Removed here and in the store.
    Removed {
        /// When the store confirmed it, or it became doubtful after that: older answers are refused.
        at: Epoch,
        /// As in [`Dentry`].
        calm: Deadline,
        /// When the record may be dropped.
        forget: Deadline,
    },
}

impl Ghost {
    /// A name about which the next lookup must ask.
    pub(crate) const fn doubt(epoch: Epoch) -> Self {
        Self {
            epoch,
            until: Deadline::PASSED,
            kind: GhostKind::Doubt,
        }
    }

    /// Whether the name was removed here. All others may be forgotten at any time.
    pub(crate) const fn is_tombstone(&self) -> bool {
        matches!(self.kind, GhostKind::Removing | GhostKind::Removed { .. })
    }
}
