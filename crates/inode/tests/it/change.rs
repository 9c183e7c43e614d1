//! Rules of creating and removing.

use cloudmount_inode::{Answer, Applied, Expect, Fate, Locality, TableError};
use cloudmount_vfs::InodeId;

use crate::kit::{Directory, File, Kit, ROOT, n};

#[test]
fn creating_over_a_name_that_exists_fails() {
    let mut kit = Kit::new();
    let a = kit.remote(ROOT, "a", File);
    let exists = Err(TableError::Exists(a.ino));
    assert_eq!(kit.table.create(ROOT, &n("a"), File, |_| 9), exists);
    kit.table.reclaim(0, 1);
    assert_eq!(
        kit.table.create(ROOT, &n("a"), File, |_| 9),
        exists,
        "cold, too"
    );
    assert_eq!(
        kit.table.create(a.ino, &n("x"), File, |_| 9),
        Err(TableError::NotFound),
        "a cold parent must be looked up again"
    );
}

#[test]
fn creating_replaces_what_was_known_to_be_absent() {
    let mut kit = Kit::new();
    let probe = kit.ask(ROOT, "a");
    kit.apply(probe, Answer::Absent);
    let first = kit.create(ROOT, "a", File);
    kit.remove(ROOT, "a");
    let second = kit.create(ROOT, "a", Directory);
    assert!(second.ino > first.ino);
    kit.confirm(ROOT, "a");
    assert_eq!(
        kit.known(ROOT, "a"),
        second,
        "a late confirmation is of no matter"
    );
    assert_eq!(kit.table.stats().tombstones, 0);
}

#[test]
fn removing_checks_kind_and_children() {
    let mut kit = Kit::new();
    let dir = kit.create(ROOT, "d", Directory);
    kit.create(ROOT, "f", File);
    kit.create(dir.ino, "x", File);
    for (name, expect, error) in [
        ("d", Expect::NotDirectory, TableError::IsDirectory),
        ("f", Expect::Directory, TableError::NotDirectory),
        ("d", Expect::Directory, TableError::NotEmpty),
        ("z", Expect::Directory, TableError::NotFound),
    ] {
        assert_eq!(
            kit.table.remove(ROOT, &n(name), expect),
            Err(error),
            "{name}"
        );
    }
    kit.remove(dir.ino, "x");
    let removed = kit.table.remove(ROOT, &n("d"), Expect::Directory).unwrap();
    assert_eq!((removed.found, removed.fate), (dir, Fate::Freed));
    kit.table.check().unwrap();
}

#[test]
fn a_cold_name_must_be_looked_up_before_it_is_changed() {
    let mut kit = Kit::new();
    let a = kit.remote(ROOT, "a", File);
    kit.create(ROOT, "b", File);
    kit.table.reclaim(0, 1);
    let cold = TableError::Cold(a.ino);
    let removed = kit.table.remove(ROOT, &n("a"), Expect::NotDirectory);
    assert_eq!(removed.unwrap_err(), cold);
    for (from, to) in [("a", "c"), ("b", "a")] {
        let (from, to) = (n(from), n(to));
        let renamed = kit
            .table
            .rename((ROOT, &from), (ROOT, &to), Default::default());
        assert_eq!(renamed.unwrap_err(), cold);
    }
    let now = kit.now();
    let set = kit.table.set_local(a.ino, Locality::Local, now);
    assert_eq!(set, Err(TableError::NotFound));
}

#[test]
fn an_unlinked_inode_lives_while_it_is_held() {
    let mut kit = Kit::new();
    let found = kit.create(ROOT, "a", File);
    kit.table.remember(found.ino).unwrap();
    kit.table.pin(found.ino).unwrap();
    let removed = kit
        .table
        .remove(ROOT, &n("a"), Expect::NotDirectory)
        .unwrap();
    assert_eq!(removed.fate, Fate::Held);
    assert_eq!(kit.table.get(found.ino), Some(found.clone()));
    assert_eq!(kit.table.forget(found.ino, 1), None);
    assert_eq!(kit.table.unpin(found.ino), Some(found.payload));
    assert_eq!(kit.table.get(found.ino), None);
    assert_eq!(kit.table.unpin(found.ino), None);
    kit.table.check().unwrap();
}

#[test]
fn nothing_the_store_says_counts_until_a_removal_is_confirmed() {
    let mut kit = Kit::new();
    kit.remote(ROOT, "a", File);
    kit.remove(ROOT, "a");
    for _ in 0..3 {
        kit.now += 1000;
        kit.assert_absent(ROOT, "a");
        kit.list_now(ROOT, &[("a", File)]);
        kit.assert_absent(ROOT, "a");
    }
    kit.confirm(ROOT, "a");
    kit.now += 1;
    kit.list_now(ROOT, &[("a", File)]);
    kit.known(ROOT, "a");
}

#[test]
fn tombstones_go_once_the_guard_has_passed() {
    let mut kit = Kit::new();
    for raw in 0..20 {
        kit.create(ROOT, &raw.to_string(), File);
        kit.remove(ROOT, &raw.to_string());
        kit.confirm(ROOT, &raw.to_string());
    }
    kit.now += 29;
    let _ = kit.ask(ROOT, "z");
    assert_eq!(kit.table.stats().tombstones, 20);
    kit.now += 1;
    for left in [12, 4, 0] {
        let _ = kit.ask(ROOT, "z");
        assert_eq!(kit.table.stats().tombstones, left, "a few at a time");
    }
}

#[test]
fn a_tombstone_that_the_store_has_agreed_to_stays_absent() {
    let mut kit = Kit::new();
    kit.create(ROOT, "a", File);
    kit.remove(ROOT, "a");
    kit.confirm(ROOT, "a");
    kit.now += 25;
    let probe = kit.ask(ROOT, "a");
    kit.apply(probe, Answer::Absent);
    kit.now += 9;
    kit.assert_absent(ROOT, "a");
    let stats = kit.table.stats();
    assert_eq!((stats.tombstones, stats.negatives), (0, 1));
    kit.now += 1;
    let _ = kit.ask(ROOT, "a");
}

#[test]
fn a_removal_that_fails_in_a_cold_directory_is_forgotten_with_it() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    kit.create(dir.ino, "f", File);
    kit.remove(dir.ino, "f");
    kit.table.reclaim(0, 9);
    kit.table.cancel_removed(dir.ino, &n("f"));
    kit.table.check().unwrap();
    let stats = kit.table.stats();
    assert_eq!((stats.tombstones, stats.negatives), (0, 0));
}

#[test]
fn a_removal_that_fails_is_asked_about() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File)]);
    let old = kit.remove(ROOT, "a");
    kit.table.cancel_removed(ROOT, &n("a"));
    let probe = kit.ask(ROOT, "a");
    let Applied::Found { found, .. } = kit.apply(probe, Answer::Present(File)) else {
        panic!("the store has it");
    };
    assert!(found.ino > old.ino);
    kit.table.cancel_removed(ROOT, &n("a"));
    assert_eq!(kit.known(ROOT, "a"), found, "only removals are cancelled");
}

#[test]
fn going_remote_refuses_older_listings() {
    let mut kit = Kit::new();
    let found = kit.create(ROOT, "a", File);
    let probe = kit.begin(ROOT);
    kit.set(found.ino, Locality::Remote);
    assert_eq!(kit.list(probe, &[]), Some(vec![]));
    assert_eq!(kit.list_now(ROOT, &[]), [(n("a"), found)]);
}

#[test]
fn local_names_are_counted_along_the_path() {
    let mut kit = Kit::new();
    let outer = kit.upload(ROOT, "o", Directory);
    let inner = kit.upload(outer.ino, "i", Directory);
    let other = kit.upload(ROOT, "x", Directory);
    let file = kit.create(inner.ino, "f", File);
    let below = |kit: &Kit, dirs: [InodeId; 4]| dirs.map(|dir| kit.table.local_below(dir));
    let dirs = [ROOT, outer.ino, inner.ino, other.ino];
    assert_eq!(below(&kit, dirs), [1, 1, 1, 0]);
    kit.table
        .rename(
            (outer.ino, &n("i")),
            (other.ino, &n("j")),
            Default::default(),
        )
        .unwrap();
    assert_eq!(below(&kit, dirs), [2, 0, 1, 2]);
    kit.set(inner.ino, Locality::Remote);
    kit.remove(inner.ino, "f");
    assert_eq!(below(&kit, dirs), [0, 0, 0, 0]);
    let now = kit.now();
    let set = kit.table.set_local(file.ino, Locality::Local, now);
    assert_eq!(set, Err(TableError::NotFound));
    assert_eq!(kit.table.locality(inner.ino), Some(Locality::Remote));
}
