//! Rules of listings, and of reading directories.

use cloudmount_inode::{Answer, ListingApplied, Lookup, Novelty, Reach};
use cloudmount_vfs::{Cookie, RenameMode};

use crate::kit::{Directory, File, Kit, ROOT, listed, n, secs};

#[test]
fn a_listing_adds_merges_and_removes() {
    let mut kit = Kit::new();
    let (a, b) = (kit.remote(ROOT, "a", File), kit.remote(ROOT, "b", File));
    let probe = kit.begin(ROOT);
    let mut merged = Vec::new();
    let entries = listed(&[("c", Directory), ("a", File)]);
    let applied = kit.table.apply_listing(
        probe,
        &entries,
        secs(110),
        secs(100),
        |ino, place| ino.get() * 10 + place as u64,
        |payload, place| merged.push((*payload, place)),
    );
    let removed = vec![(n("b"), b)];
    assert_eq!(applied, ListingApplied::Merged { removed });
    assert_eq!(merged, [(a.payload, 1)]);
    assert_eq!(kit.names(ROOT), ["a", "c"]);
    let c = kit.known(ROOT, "c");
    assert_eq!((c.ino.get(), c.payload), (4, 40));
}

#[test]
fn names_that_a_valid_listing_does_not_hold_are_absent() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File)]);
    assert!(kit.table.listing_is_valid(ROOT, kit.now()));
    kit.assert_absent(ROOT, "b");
    kit.now += 10;
    assert!(!kit.table.listing_is_valid(ROOT, kit.now()));
    let _ = kit.ask(ROOT, "b");
}

#[test]
fn what_was_removed_here_stays_absent_while_the_listing_is_valid() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File)]);
    kit.remove(ROOT, "a");
    kit.assert_absent(ROOT, "a");
    kit.confirm(ROOT, "a");
    kit.now += 9;
    kit.assert_absent(ROOT, "a");
    kit.now += 1;
    let _ = kit.ask(ROOT, "a");
}

#[test]
fn each_name_of_a_busy_directory_is_judged_on_its_own() {
    let mut kit = Kit::new();
    kit.list_now(
        ROOT,
        &[
            ("old", File),
            ("gone", File),
            ("removed", File),
            ("moved", File),
        ],
    );
    let probe = kit.begin(ROOT);
    kit.upload(ROOT, "uploaded", File);
    let local = kit.create(ROOT, "local", File);
    kit.remove(ROOT, "removed");
    kit.table
        .rename((ROOT, &n("moved")), (ROOT, &n("here")), RenameMode::Replace)
        .unwrap();
    let store = [
        ("local", Directory),
        ("moved", File),
        ("new", File),
        ("old", File),
        ("removed", File),
    ];
    let removed = kit.list(probe, &store).unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].0, n("gone"));
    assert_eq!(kit.names(ROOT), ["old", "uploaded", "local", "here", "new"]);
    assert_eq!(kit.known(ROOT, "local"), local);
    assert!(kit.table.listing_is_valid(ROOT, kit.now()));
}

#[test]
fn a_listing_keeps_directories_above_local_names() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let sub = kit.remote(dir.ino, "s", Directory);
    kit.create(sub.ino, "a", File);
    assert_eq!(kit.list_now(ROOT, &[]), []);
    assert_eq!(kit.list_now(ROOT, &[("d", File)]), []);
    assert_eq!(kit.table.get(sub.ino), Some(sub));
}

#[test]
fn a_newer_listing_counts_whatever_the_order() {
    let mut kit = Kit::new();
    let (first, second) = (kit.begin(ROOT), kit.begin(ROOT));
    kit.list(second, &[("new", File)]).unwrap();
    assert_eq!(kit.list(first, &[("old", File)]), Some(vec![]));
    assert_eq!(kit.names(ROOT), ["new"]);
    kit.assert_absent(ROOT, "old");
}

#[test]
fn an_answer_asked_before_a_listing_does_not_contradict_it() {
    let mut kit = Kit::new();
    let probe = kit.ask(ROOT, "a");
    kit.list_now(ROOT, &[]);
    kit.apply(probe, Answer::Present(File));
    kit.assert_absent(ROOT, "a");
}

#[test]
fn a_listing_of_a_directory_that_moved_or_went_is_refused() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let sub = kit.remote(dir.ino, "s", Directory);
    let probe = kit.begin(sub.ino);
    kit.table
        .rename((ROOT, &n("d")), (ROOT, &n("e")), RenameMode::Replace)
        .unwrap();
    assert_eq!(kit.list(probe, &[("a", File)]), None);
    let probe = kit.begin(sub.ino);
    kit.table
        .remove(dir.ino, &n("s"), cloudmount_inode::Expect::Directory)
        .unwrap();
    assert_eq!(kit.list(probe, &[("a", File)]), None);
    assert_eq!(kit.table.stats().dentries, 1);
}

#[test]
fn a_listing_older_than_the_memory_of_removals_is_refused() {
    let mut kit = Kit::new();
    kit.upload(ROOT, "a", File);
    let (whole, paged) = (kit.begin(ROOT), kit.begin(ROOT));
    kit.remove(ROOT, "a");
    kit.confirm(ROOT, "a");
    kit.now += 1000;
    assert_eq!(kit.list(whole, &[("a", File)]), None);
    let (until, now) = (secs(kit.now + 10), kit.now());
    let page = listed(&[("a", File)]);
    let _ = kit
        .table
        .apply_page(&paged, &page, until, |_, _| 0, |_, _| {});
    assert_eq!(
        kit.table.finish_listing(&paged, until, now),
        ListingApplied::Refused
    );
    assert_eq!(kit.names(ROOT), [""; 0]);
}

#[test]
fn pages_add_and_the_end_removes() {
    let mut kit = Kit::new();
    let (_, b) = (kit.remote(ROOT, "a", File), kit.remote(ROOT, "b", File));
    let probe = kit.begin(ROOT);
    let (until, now) = (secs(kit.now + 10), kit.now());
    for page in [[("a", File), ("c", File)], [("d", File), ("e", Directory)]] {
        let applied = kit
            .table
            .apply_page(&probe, &listed(&page), until, |_, _| 9, |_, _| {});
        assert_eq!(applied, ListingApplied::Merged { removed: vec![] });
        kit.table.check().unwrap();
    }
    assert_eq!(kit.names(ROOT), ["a", "b", "c", "d", "e"]);
    assert!(!kit.table.listing_is_valid(ROOT, now));
    kit.create(ROOT, "f", File);
    let removed = vec![(n("b"), b)];
    assert_eq!(
        kit.table.finish_listing(&probe, until, now),
        ListingApplied::Merged { removed }
    );
    assert_eq!(kit.names(ROOT), ["a", "c", "d", "e", "f"]);
    assert!(kit.table.listing_is_valid(ROOT, now));
}

#[test]
fn a_name_that_a_listing_repeats_counts_once() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File), ("a", Directory), ("a", File)]);
    assert_eq!(kit.known(ROOT, "a").kind, File);
    assert_eq!(kit.table.stats().inodes, 2);
}

#[test]
fn expiring_a_listing_refuses_to_complete_it_by_an_older_one() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File)]);
    let probe = kit.begin(ROOT);
    kit.table.expire_listing(ROOT);
    assert!(!kit.table.listing_is_valid(ROOT, kit.now()));
    assert_eq!(
        kit.list(probe, &[("b", File)]).map(|removed| removed.len()),
        Some(1)
    );
    assert_eq!(kit.names(ROOT), ["b"]);
    assert!(!kit.table.listing_is_valid(ROOT, kit.now()));
    kit.list_now(ROOT, &[("b", File)]);
    assert!(kit.table.listing_is_valid(ROOT, kit.now()));
}

/// A page of an older listing must not bring back what a newer one has removed, though that newer
/// one was itself invalidated before it could complete the directory.
#[test]
fn a_void_listing_still_outdates_older_pages() {
    let mut kit = Kit::new();
    kit.upload(ROOT, "a", File);
    let older = kit.begin(ROOT);
    kit.remove(ROOT, "a");
    kit.confirm(ROOT, "a");
    kit.now += 1;
    let probe = kit.ask(ROOT, "a");
    kit.apply(probe, Answer::Present(File));
    let newer = kit.begin(ROOT);
    kit.table.expire_listing(ROOT);
    assert_eq!(kit.list(newer, &[]).map(|removed| removed.len()), Some(1));
    let until = secs(kit.now + 10);
    let page = listed(&[("a", File)]);
    let _ = kit
        .table
        .apply_page(&older, &page, until, |_, _| 0, |_, _| {});
    assert_eq!(kit.names(ROOT), [""; 0]);
}

#[test]
fn a_new_directory_is_complete_from_birth() {
    let mut kit = Kit::new();
    let dir = kit.create(ROOT, "d", Directory);
    let _ = kit.ask(dir.ino, "a");
    kit.table.mark_listed(dir.ino, secs(kit.now + 5)).unwrap();
    kit.assert_absent(dir.ino, "a");
    kit.create(dir.ino, "a", File);
    kit.known(dir.ino, "a");
    kit.assert_absent(dir.ino, "b");
    kit.now += 5;
    let _ = kit.ask(dir.ino, "b");
}

#[test]
fn cookies_stay_while_the_directory_changes() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File), ("b", File), ("c", File), ("d", File)]);
    let first = kit.table.children(ROOT, Cookie::START, 2).unwrap();
    assert_eq!(first[0].cookie, Cookie(3));
    kit.remove(ROOT, "a");
    kit.remove(ROOT, "c");
    kit.create(ROOT, "a", File);
    kit.table
        .rename((ROOT, &n("b")), (ROOT, &n("d")), RenameMode::Replace)
        .unwrap();
    let rest = kit.table.children(ROOT, first[1].cookie, 9).unwrap();
    let rest: Vec<&str> = rest.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(rest, ["d", "a"], "d was there throughout, a is new");
    assert_eq!(kit.table.child_count(ROOT), 2);
    assert!(kit.table.has_children(ROOT));
}

#[test]
fn a_listing_wakes_cold_names_under_their_numbers() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File), ("b", File)]);
    let a = kit.known(ROOT, "a");
    assert_eq!(kit.table.reclaim(0, 9).len(), 2);
    let cold = kit.table.children(ROOT, Cookie::START, 9).unwrap();
    assert!(cold.iter().all(|child| child.found.is_none()));
    assert_eq!((cold[0].ino, cold[0].kind), (a.ino, File));
    kit.assert_absent(ROOT, "c");
    let probe = kit.ask(ROOT, "b");
    let woken = kit.apply(probe, Answer::Present(File));
    assert!(matches!(
        woken,
        cloudmount_inode::Applied::Found {
            novelty: Novelty::Woken,
            ..
        }
    ));
    kit.list_now(ROOT, &[("a", File), ("b", File)]);
    let again = kit.known(ROOT, "a");
    assert_eq!(again.ino, a.ino);
    assert_ne!(again.payload, a.payload, "made anew");
    assert!(matches!(kit.lookup(ROOT, "b"), Lookup::Known(_)));
}

#[test]
fn a_place_is_where_a_scan_goes_on() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    kit.list_now(dir.ino, &[("a", File), ("b", File), ("c", File)]);
    let b = kit.known(dir.ino, "b");
    let (parent, cookie) = kit.table.place_of(b.ino).unwrap();
    assert_eq!(parent, dir.ino);
    let after = kit.table.children(parent, cookie, 9).unwrap();
    let names: Vec<_> = after.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["c"]);
    kit.table.reclaim(0, 9);
    assert_eq!(
        kit.table.place_of(b.ino),
        Some((parent, cookie)),
        "cold ones have one, too"
    );
    assert_eq!(kit.table.place_of(ROOT), None);
}

/// The names that a scan from the beginning meets, and whether it could go on.
fn scanned(kit: &Kit) -> (Vec<String>, Reach) {
    let scan = kit.table.scan(ROOT, Cookie::START, (usize::MAX, kit.now()));
    let (children, reach) = scan.unwrap();
    let names = children.iter().map(|child| child.name.to_string());
    (names.collect(), reach)
}

#[test]
fn a_scan_goes_as_far_as_the_pages_tell() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File), ("b", File), ("c", File)]);
    kit.create(ROOT, "local", File);
    kit.now += 10;
    let probe = kit.begin(ROOT);
    kit.table.begin_pages(&probe);
    assert_eq!(scanned(&kit), (vec![], Reach::Paged));
    let until = secs(kit.now + 10);
    let page = |kit: &mut Kit, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name, File)).collect();
        let _ = (kit.table).apply_page(&probe, &listed(&names), until, |_, _| 7, |_, _| {});
    };
    page(&mut kit, &["b", "new"]);
    // Of `a` no page has told anything so far.
    assert_eq!(scanned(&kit), (vec![], Reach::Paged));
    page(&mut kit, &["a"]);
    assert_eq!(scanned(&kit), (vec!["a".into(), "b".into()], Reach::Paged));
    assert!(kit.table.knows_since(&probe, &n("a")) && !kit.table.knows_since(&probe, &n("c")));
    kit.remove(ROOT, "b");
    assert!(kit.table.knows_since(&probe, &n("b")));
    let _ = kit.table.finish_listing(&probe, until, kit.now());
    let all = vec!["a".into(), "local".into(), "new".into()];
    assert_eq!(scanned(&kit), (all, Reach::Far));
}

/// What one listing has begun, another may end.
#[test]
fn a_newer_listing_tells_all_that_an_older_one_would() {
    let mut kit = Kit::new();
    let older = kit.begin(ROOT);
    kit.table.begin_pages(&older);
    let until = secs(kit.now + 10);
    let page = listed(&[("a", File)]);
    let _ = (kit.table).apply_page(&older, &page, until, |_, _| 7, |_, _| {});
    assert_eq!(scanned(&kit).1, Reach::Paged);
    let newer = kit.begin(ROOT);
    kit.table.begin_pages(&newer);
    assert_eq!(scanned(&kit), (vec![], Reach::Paged));
    let _ = kit.table.finish_listing(&older, until, kit.now());
    kit.now += 10;
    assert_eq!(scanned(&kit).1, Reach::Paged, "the newer one goes on");
    kit.list(newer, &[("a", File)]).unwrap();
    kit.now += 10;
    assert_eq!(scanned(&kit), (vec!["a".into()], Reach::Far));
}
