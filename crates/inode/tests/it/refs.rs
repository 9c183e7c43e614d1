//! Rules of counts, and of reclaiming what nobody needs.

use cloudmount_inode::{Answer, Applied, Locality, Novelty, TableError};
use cloudmount_vfs::InodeId;

use crate::kit::{Directory, File, Kit, ROOT, n};

#[test]
fn the_least_recently_forgotten_goes_first() {
    let mut kit = Kit::new();
    let found = ["a", "b", "c"].map(|name| kit.remote(ROOT, name, File));
    for found in &found {
        kit.table.remember(found.ino).unwrap();
    }
    assert_eq!(kit.table.reclaim(0, 9), []);
    for at in [1, 2, 0] {
        assert_eq!(kit.table.forget(found[at].ino, 1), None);
    }
    assert_eq!(kit.table.reclaim(2, 9), [found[1].payload]);
    assert_eq!(kit.table.reclaim(0, 1), [found[2].payload]);
    assert_eq!(kit.table.stats().reclaimable, 1);
    assert_eq!(kit.table.reclaim(0, 9), [found[0].payload]);
    kit.table.check().unwrap();
}

#[test]
fn a_cold_name_keeps_its_number_and_must_be_asked() {
    let mut kit = Kit::new();
    let old = kit.remote(ROOT, "a", File);
    kit.table.reclaim(0, 9);
    assert_eq!(kit.table.get(old.ino), None);
    assert_eq!(kit.table.path(old.ino), Some(vec![n("a")]));
    assert!(kit.table.is_linked(old.ino));
    assert_eq!(kit.table.remember(old.ino), Err(TableError::NotFound));
    let probe = kit.ask(ROOT, "a");
    let Applied::Found { found, novelty, .. } = kit.apply(probe, Answer::Present(File)) else {
        panic!("it is there");
    };
    assert_eq!((found.ino, novelty), (old.ino, Novelty::Woken));
    assert_ne!(found.payload, old.payload);
}

#[test]
fn a_cold_name_that_is_gone_or_of_another_kind_is_replaced_silently() {
    for answer in [Answer::Absent, Answer::Present(Directory)] {
        let mut kit = Kit::new();
        let old = kit.remote(ROOT, "a", File);
        kit.table.reclaim(0, 9);
        let probe = kit.ask(ROOT, "a");
        match kit.apply(probe, answer) {
            Applied::Absent { removed } => assert_eq!(removed, None),
            Applied::Found {
                found, replaced, ..
            } => assert_eq!((found.ino.get(), replaced), (old.ino.get() + 1, None)),
            Applied::Retry => panic!("nothing has overtaken it"),
        }
        assert_eq!(kit.table.path(old.ino), None);
    }
}

#[test]
fn what_somebody_needs_stays() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let held = kit.remote(dir.ino, "held", File);
    kit.table.pin(held.ino).unwrap();
    let local = kit.create(dir.ino, "local", File);
    assert_eq!(kit.table.reclaim(0, 9), []);
    kit.table.unpin(held.ino);
    assert_eq!(kit.table.reclaim(0, 9), [held.payload]);
    kit.set(local.ino, Locality::Remote);
    // The directory follows its last child.
    assert_eq!(kit.table.reclaim(0, 9), [local.payload, dir.payload]);
    assert_eq!(kit.table.stats().warm, 1);
}

#[test]
fn a_cold_directory_keeps_the_numbers_below() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let file = kit.remote(dir.ino, "f", File);
    kit.table.reclaim(0, 9);
    assert_eq!(kit.table.path(file.ino), Some(vec![n("d"), n("f")]));
    let now = kit.now();
    let lookup = kit.table.lookup(dir.ino, &n("f"), now);
    assert_eq!(lookup.unwrap_err(), TableError::NotFound);
    for (parent, name, kind, ino) in [
        (ROOT, "d", Directory, dir.ino),
        (dir.ino, "f", File, file.ino),
    ] {
        let probe = kit.ask(parent, name);
        let Applied::Found { found, .. } = kit.apply(probe, Answer::Present(kind)) else {
            panic!("{name} is there");
        };
        assert_eq!(found.ino, ino);
    }
}

#[test]
fn a_cold_directory_keeps_its_tombstones() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    kit.create(dir.ino, "f", File);
    kit.remove(dir.ino, "f");
    assert_eq!(kit.table.reclaim(0, 9), [dir.payload]);
    kit.confirm(dir.ino, "f");
    let probe = kit.ask(ROOT, "d");
    kit.apply(probe, Answer::Present(Directory));
    assert_eq!(kit.table.stats().tombstones, 1);
    kit.table.reclaim(0, 9);
    kit.now += 1000;
    let _ = kit.ask(ROOT, "z");
    kit.table.check().unwrap();
    assert_eq!(kit.table.stats().tombstones, 0);
}

#[test]
fn a_directory_that_went_cold_refuses_what_was_asked_of_it() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let (early, late) = (kit.ask(dir.ino, "a"), kit.ask(dir.ino, "b"));
    kit.table.reclaim(0, 9);
    assert_eq!(kit.apply(early, Answer::Present(File)), Applied::Retry);
    let probe = kit.ask(ROOT, "d");
    kit.apply(probe, Answer::Present(Directory));
    assert_eq!(kit.apply(late, Answer::Present(File)), Applied::Retry);
}

#[test]
fn counts_never_go_below_zero() {
    let mut kit = Kit::new();
    let a = kit.remote(ROOT, "a", File);
    assert_eq!(kit.table.forget(a.ino, u64::MAX), None);
    assert_eq!(kit.table.unpin(a.ino), None);
    assert_eq!(kit.table.forget(InodeId::new(99).unwrap(), 1), None);
    assert_eq!(kit.table.forget(ROOT, 1), None);
    kit.table.remember(a.ino).unwrap();
    assert_eq!(kit.table.forget(a.ino, 5), None);
    assert_eq!(kit.table.stats().reclaimable, 1);
    kit.table.check().unwrap();
}
