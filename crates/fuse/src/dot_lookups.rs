//! Lookups of `.`, which the kernel counts and the contract does not.
//!
//! [`Vfs::getattr`](cloudmount_vfs::Vfs::getattr) answers a lookup of `.`, but counts nothing, while
//! the kernel will give back one lookup for it. The difference is kept here.

use std::collections::HashMap;

use cloudmount_vfs::InodeId;
use parking_lot::Mutex;

/// For each inode, the lookups that only the kernel counted. Bounded by the kernel's inode cache;
/// empty unless handles are exported, because paths are resolved by the kernel itself.
#[derive(Debug, Default)]
pub(crate) struct DotLookups(Mutex<HashMap<InodeId, u64>>);

impl DotLookups {
    pub(crate) fn add(&self, ino: InodeId) {
        *self.0.lock().entry(ino).or_insert(0) += 1;
    }

    /// How many of the `count` lookups that the kernel forgets were counted by the filesystem.
    pub(crate) fn settle(&self, ino: InodeId, count: u64) -> u64 {
        let mut debts = self.0.lock();
        if debts.is_empty() {
            return count;
        }
        let Some(debt) = debts.get_mut(&ino) else {
            return count;
        };
        let settled = count.min(*debt);
        *debt -= settled;
        if *debt == 0 {
            debts.remove(&ino);
        }
        count - settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_of_dot_are_taken_off_what_is_forgotten() {
        let dots = DotLookups::default();
        assert_eq!(dots.settle(InodeId::ROOT, 3), 3);
        dots.add(InodeId::ROOT);
        dots.add(InodeId::ROOT);
        assert_eq!(dots.settle(InodeId::new(2).unwrap(), 1), 1);
        assert_eq!(dots.settle(InodeId::ROOT, 1), 0);
        assert_eq!(dots.settle(InodeId::ROOT, 4), 3);
        assert_eq!(dots.settle(InodeId::ROOT, 4), 4);
    }
}
