//! Whether the table and the model are in the same state, by all that can be asked of them.

use cloudmount_inode::TableError;
use cloudmount_vfs::{Cookie, InodeId, NodeKind};

use super::world::World;

impl World {
    /// Compares everything.
    pub(super) fn compare(&mut self) {
        assert_eq!(self.table.stats(), self.model.stats());
        let newest = self.model.nodes.iter().map(|node| node.ino.get()).max();
        for raw in self.last + 1..=newest.unwrap_or(0).max(self.last) {
            let ino = InodeId::new(raw).unwrap();
            if self
                .model
                .get(ino)
                .is_some_and(|found| found.kind == NodeKind::Directory)
            {
                self.dirs.push(ino);
            }
        }
        self.last = self.last.max(newest.unwrap_or(0));
        for ino in (1..=self.last).filter_map(InodeId::new) {
            assert_eq!(self.table.get(ino), self.model.get(ino));
            assert_eq!(self.table.parent_of(ino), self.model.parent_of(ino));
            assert_eq!(self.table.path(ino), self.model.path(ino));
            assert_eq!(self.table.is_linked(ino), self.model.is_linked(ino));
            assert_eq!(self.table.locality(ino), self.model.locality(ino));
            assert_eq!(
                self.table.believed_until(ino),
                self.model.believed_until(ino)
            );
        }
        for dir in &self.dirs {
            self.compare_dir(*dir);
        }
    }

    fn compare_dir(&self, dir: InodeId) {
        let (table, model) = (&self.table, &self.model);
        let is_listed = table.listing_is_valid(dir, self.now);
        assert_eq!(is_listed, model.is_listed(dir, self.now));
        let known = model.children(dir);
        assert_eq!(table.child_count(dir), known.len());
        assert_eq!(table.local_below(dir), model.local_below(dir));
        let mut walked = table.walk(dir);
        walked.sort_unstable();
        let payload = |ino: InodeId| Some((ino, model.get(ino)?.payload));
        let mut expected: Vec<_> = model.below(dir).into_iter().filter_map(payload).collect();
        expected.sort_unstable();
        assert_eq!(walked, expected);
        match table.children(dir, Cookie::START, usize::MAX) {
            Err(error) => {
                assert_eq!(error, TableError::NotFound);
                assert_eq!(model.get(dir), None);
            }
            Ok(children) => {
                assert_eq!(children.len(), known.len());
                for (child, known) in children.into_iter().zip(known) {
                    assert_eq!(child.found, model.get(known.ino));
                    let child = (child.name, child.cookie, child.ino);
                    assert_eq!(child, (known.name, known.cookie, known.ino));
                }
            }
        }
    }
}
