//! Listings that their readers have left: how many there may be.
//!
//! Laws:
//! - A listing that goes on holds up to twenty thousand entries. There are [`LISTINGS_MAX`] at most; the one that was taken further
//!   the longest time ago goes first, with what came for it.
//! - One that somebody works at stays. A scan whose listing is gone has its folder listed again, and meets no name twice.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::core::Inner;
use crate::node::Node;

/// As many programs may go through large folders side by side without having them listed again: 64 listings of some 20,000
/// entries, of 200 bytes each, are 250 MiB at the very worst. One that is left after its first names holds two pages.
const LISTINGS_MAX: usize = 64;

/// Folders with a listing that goes on; the one that went on last is last.
#[derive(Debug, Default)]
pub(crate) struct Listings(VecDeque<Weak<Node>>);

impl Listings {
    fn remove(&mut self, dir: &Arc<Node>) {
        (self.0).retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(dir)));
    }

    /// The listing of `dir` goes on. Gives the folders whose listings are to be given up.
    fn goes_on(&mut self, dir: &Arc<Node>) -> Vec<Weak<Node>> {
        self.remove(dir);
        self.0.push_back(Arc::downgrade(dir));
        let beyond = self.0.len().saturating_sub(LISTINGS_MAX);
        self.0.drain(..beyond).collect()
    }
}

impl Inner {
    /// The listing of a folder waits for who takes it further.
    pub(crate) fn leave_listing(&self, dir: &Arc<Node>) {
        let old = self.listings.lock().goes_on(dir);
        for node in old.iter().filter_map(Weak::upgrade) {
            // Who has its gate takes it further, and enters it again.
            let going = node
                .gate()
                .and_then(|gate| Some(gate.try_lock().ok()?.take()));
            drop(going);
        }
    }

    /// The listing of a folder has ended.
    pub(crate) fn end_listing(&self, dir: &Arc<Node>) {
        self.listings.lock().remove(dir);
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_vfs::{InodeId, NodeKind};

    use super::*;
    use crate::CoreSettings;
    use crate::node::{Content, Marker};

    #[test]
    fn the_one_that_went_on_the_longest_ago_is_given_up() {
        let node = |number: u64| {
            let content = Content::Folder {
                marker: Marker::Unknown,
            };
            let ino = InodeId::new(number + 1).unwrap();
            let settings = CoreSettings::default();
            Arc::new(Node::new(ino, NodeKind::Directory, content, &settings))
        };
        let nodes: Vec<_> = (0..=LISTINGS_MAX as u64).map(node).collect();
        let mut listings = Listings::default();
        for node in &nodes[..LISTINGS_MAX] {
            assert!(listings.goes_on(node).is_empty());
        }
        assert!(listings.goes_on(&nodes[0]).is_empty());
        let old = listings.goes_on(&nodes[LISTINGS_MAX]);
        let old: Vec<_> = old.iter().filter_map(Weak::upgrade).collect();
        assert_eq!(old.len(), 1);
        assert_eq!(old[0].ino, nodes[1].ino);
        listings.remove(&nodes[0]);
        assert_eq!(listings.0.len(), LISTINGS_MAX - 1);
    }
}
