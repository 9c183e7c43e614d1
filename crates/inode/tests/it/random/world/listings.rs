//! The table and the model: listings, their pages, and scans.

use cloudmount_vfs::{Cookie, NodeKind};

use super::{Scan, World, hold, listed, listing, take};
use crate::random::{Pick, Ttl};

impl World {
    pub(super) fn begin_listing(&mut self, dir: Pick) {
        let dir = self.dir(dir);
        let probe = self.table.begin_listing(dir, self.now);
        let errors = (
            probe.as_ref().err().copied(),
            self.model.begin_listing(dir).err(),
        );
        assert_eq!(errors.0, errors.1);
        if let Ok(probe) = probe {
            assert_eq!(probe.dir(), dir);
            let asked = self.asked();
            hold(&mut self.listings, (probe, asked));
        }
    }

    pub(super) fn page(&mut self, pick: Pick, entries: &[(Pick, NodeKind)], ttl: Ttl) {
        let Some((probe, asked)) = take(&mut self.listings, pick) else {
            return;
        };
        let (entries, until, dir) = (listed(entries), self.until(ttl).present, probe.dir());
        let made = self.model.op * 100;
        let before = self.overtaken(dir, asked);
        let mut merged = (Vec::new(), Vec::new());
        let applied = self.table.apply_page(
            &probe,
            &entries,
            until,
            |_, place| made + place as u64,
            |payload, place| merged.0.push((*payload, place)),
        );
        let payload = |place| made + place as u64;
        let expected = self
            .model
            .page((dir, asked), &entries, until, payload, &mut merged.1);
        assert_eq!(listing(applied), expected);
        assert_eq!(merged.0, merged.1);
        assert_eq!(self.overtaken(dir, asked), before, "an old page counted");
        hold(&mut self.listings, (probe, asked));
    }

    pub(super) fn apply_listing(&mut self, pick: Pick, entries: &[(Pick, NodeKind)], ttl: Ttl) {
        let Some((probe, asked)) = take(&mut self.listings, pick) else {
            return;
        };
        let (entries, until, dir) = (listed(entries), self.until(ttl), probe.dir());
        let made = self.model.op * 100;
        let before = self.overtaken(dir, asked);
        let mut merged = (Vec::new(), Vec::new());
        let applied = self.table.apply_listing(
            probe,
            &entries,
            until,
            self.now,
            |_, place| made + place as u64,
            |payload, place| merged.0.push((*payload, place)),
        );
        let payload = |place| made + place as u64;
        let times = (until, self.now);
        let expected = self
            .model
            .listing((dir, asked), &entries, times, payload, &mut merged.1);
        assert_eq!(listing(applied), expected);
        assert_eq!(merged.0, merged.1);
        assert_eq!(self.overtaken(dir, asked), before, "an old listing counted");
    }

    pub(super) fn finish_listing(&mut self, pick: Pick, ttl: Ttl) {
        let Some((probe, asked)) = take(&mut self.listings, pick) else {
            return;
        };
        let (until, dir) = (self.until(ttl), probe.dir());
        let before = self.overtaken(dir, asked);
        let applied = self.table.finish_listing(&probe, until, self.now);
        let expected = self.model.finish((dir, asked), until, self.now);
        assert_eq!(listing(applied), expected);
        assert_eq!(self.overtaken(dir, asked), before, "an old listing counted");
    }

    /// Begins to read a directory, or goes on with it, and judges a scan that has come to its end.
    pub(super) fn scan(&mut self, pick: Pick, max: usize) {
        let dir = self.dir(pick);
        let at = self.scans.iter().position(|scan| scan.dir == dir);
        let mut scan = at.map_or_else(
            || Scan {
                dir,
                after: Cookie::START,
                throughout: self
                    .model
                    .children(dir)
                    .into_iter()
                    .map(|child| child.name)
                    .collect(),
                met: Vec::new(),
            },
            |at| self.scans.swap_remove(at),
        );
        let Ok(children) = self.table.children(dir, scan.after, max) else {
            return;
        };
        for child in &children {
            assert!(child.cookie > scan.after && child.cookie > Cookie::DOT_DOT);
            scan.after = child.cookie;
            scan.met.push(child.name.clone());
        }
        if children.len() == max {
            self.scans.push(scan);
            return;
        }
        for name in &scan.throughout {
            let met = scan.met.iter().filter(|met| *met == name).count();
            assert_eq!(met, 1, "{name} was there throughout {scan:?}");
        }
    }
}
