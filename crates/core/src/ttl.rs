//! How long what the store said is believed, by what it says.
//!
//! Laws:
//! - Each time to live is an upper limit: what others change is found by the first look after it, never later. What is asked
//!   for another reason is found sooner.
//! - What is told to somebody who keeps it (the kernel) is told with the time that is left of it, not with all of it again.

use std::time::Duration;

use cloudmount_inode::{Belief, Lookup};
use cloudmount_store::Extent;
use cloudmount_vfs::{InodeId, Instant, Name, NodeKind, Result};

use crate::Attributes;
use crate::core::{Inner, Table};
use crate::know::Inode;
use crate::node::{Node, Standing, State};

/// One second: what users of NFS are used to at best, and enough for a burst of calls to cost one request. The measurement is
/// in `docs/configuration.md`.
const SECOND: Duration = Duration::from_secs(1);

/// How long what the store said is believed. 0 asks each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimesToLive {
    /// Of attributes, and of which version of a content is the newest.
    pub attributes: Duration,
    /// That a name is there, and is what it is.
    pub entries: Duration,
    /// That a name is not there.
    pub negatives: Duration,
    /// That a folder has no names but those that were listed.
    pub listings: Duration,
}

impl TimesToLive {
    /// The same for all.
    #[must_use]
    pub const fn all(ttl: Duration) -> Self {
        Self {
            attributes: ttl,
            entries: ttl,
            negatives: ttl,
            listings: ttl,
        }
    }

    /// Where a listing is all that tells of attributes, it is believed no longer than these.
    pub(crate) fn where_shown(self, attributes: Attributes) -> Self {
        match attributes {
            Attributes::Full => self,
            Attributes::Listing => Self {
                entries: self.entries.min(self.attributes),
                listings: self.listings.min(self.attributes),
                ..self
            },
        }
    }

    /// How long all is believed that a listing tells.
    pub(crate) fn of_listed(self) -> Duration {
        self.attributes.min(self.entries).min(self.listings)
    }
}

impl Default for TimesToLive {
    fn default() -> Self {
        Self::all(SECOND)
    }
}

/// What somebody wants to know who has a folder listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// All names.
    Names,
    /// All names, and whether what is known of their attributes still holds.
    Attributes,
    /// Whether this name is there.
    Name(&'a Name),
    /// Whether what is known of the attributes of this one still holds.
    AttributesOf(&'a Node),
}

impl Inner {
    /// Until when what is learnt now of attributes is believed.
    pub(crate) fn attributes_until(&self) -> Instant {
        self.now() + self.settings.ttl.attributes
    }

    /// Until when what is learnt now of names is believed.
    pub(crate) fn names_until(&self) -> Belief {
        let (now, ttl) = (self.now(), self.settings.ttl);
        Belief {
            present: now + ttl.entries,
            absent: now + ttl.negatives,
            whole: now + ttl.listings,
        }
    }

    /// Whether the table answers that now.
    pub(crate) fn is_answered(&self, dir: InodeId, wanted: Wanted<'_>) -> bool {
        let now = self.now();
        match wanted {
            Wanted::Names => self.table().listing_is_valid(dir, now),
            Wanted::Attributes => {
                let older = self.older_than_attributes();
                self.table().listing_is_valid(dir, now + older)
            }
            Wanted::Name(name) => {
                let known = self.table().lookup(dir, name, now);
                matches!(known, Ok(Lookup::Known(_) | Lookup::Absent))
            }
            Wanted::AttributesOf(node) => self.can_show(node),
        }
    }

    /// How much of its time a listing must have left, so that what it told of attributes is believed still. Where that is never
    /// believed, no listing helps.
    fn older_than_attributes(&self) -> Duration {
        let ttl = self.settings.ttl;
        if ttl.attributes.is_zero() {
            return Duration::ZERO;
        }
        ttl.listings.saturating_sub(ttl.attributes)
    }

    /// Where names are believed longer than attributes, a page of the folder tells of all its objects at once whether what was
    /// known of them still holds. (Elsewhere the look for the name has brought that page.)
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn confirm(&self, inode: &Inode) -> Result<()> {
        let ttl = self.settings.ttl;
        if ttl.attributes.is_zero() || ttl.attributes >= ttl.entries {
            return Ok(());
        }
        let was_known = (inode.payload).look(|_| false, State::was_known);
        if inode.kind == NodeKind::Directory || !was_known || self.can_show(&inode.payload) {
            return Ok(());
        }
        let dir = {
            let table = self.table();
            table
                .parent_of(inode.ino)
                .and_then(|(dir, _)| table.get(dir))
        };
        if let Some(dir) = dir.filter(|dir| !dir.payload.lock().is_large) {
            let wanted = Wanted::AttributesOf(&inode.payload);
            self.list(&dir.payload, Extent::OnePage, wanted).await?;
        }
        Ok(())
    }

    /// For how long the name may be kept that leads to a node. Who found its object knows that the name is there: in a long
    /// listing that may be long after the page that showed it.
    pub(crate) fn entry_left(&self, table: &Table, node: &Node) -> Duration {
        let TimesToLive {
            attributes,
            entries,
            ..
        } = self.settings.ttl;
        let Some(until) = table.believed_until(node.ino) else {
            return entries;
        };
        let by_name = until.saturating_since(self.now()).min(entries);
        let left = node.look(|_| Duration::ZERO, |state| state.left(self.now()));
        if node.kind == NodeKind::Directory || left.is_zero() {
            return by_name;
        }
        let age = attributes.saturating_sub(left);
        by_name.max(entries.saturating_sub(age))
    }

    /// For how long the attributes of a node may be kept.
    pub(crate) fn attributes_left(&self, table: &Table, node: &Node) -> Duration {
        let ttl = self.settings.ttl.attributes;
        match node.look(|_| Standing::Listed, |state| state.standing) {
            Standing::Known(until) | Standing::Told(until) => {
                until.saturating_since(self.now()).min(ttl)
            }
            Standing::Own => ttl,
            Standing::Listed => match self.settings.attributes {
                Attributes::Full => Duration::ZERO,
                Attributes::Listing => self.entry_left(table, node).min(ttl),
            },
        }
    }
}

impl State {
    /// For how long what was asked of an object is believed.
    fn left(&self, now: Instant) -> Duration {
        match self.standing {
            Standing::Known(until) | Standing::Told(until) => until.saturating_since(now),
            Standing::Own | Standing::Listed => Duration::ZERO,
        }
    }

    /// Whether more than a listing tells was known at some time.
    fn was_known(&self) -> bool {
        matches!(self.standing, Standing::Known(_) | Standing::Told(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_believed_as_long_as_all_that_it_tells() {
        let secs = Duration::from_secs;
        let ttl = TimesToLive {
            attributes: secs(2),
            entries: secs(3),
            negatives: secs(1),
            listings: secs(4),
        };
        assert_eq!(ttl.of_listed(), secs(2));
        assert_eq!(ttl.where_shown(Attributes::Full), ttl);
        let shown = ttl.where_shown(Attributes::Listing);
        assert_eq!((shown.entries, shown.listings), (secs(2), secs(2)));
        assert_eq!((shown.attributes, shown.negatives), (secs(2), secs(1)));
    }
}
