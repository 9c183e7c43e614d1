//! Rules of asking for one name.

use cloudmount_inode::{Answer, Applied, Locality, Lookup, Novelty, TableError};
use cloudmount_vfs::{Generation, InodeId};

use crate::kit::{Directory, File, Kit, ROOT, Symlink, n, secs};

#[test]
fn an_answer_is_believed_until_its_time_has_passed() {
    let mut kit = Kit::new();
    let found = kit.remote(ROOT, "a", File);
    kit.now += 9;
    assert_eq!(kit.known(ROOT, "a"), found);
    kit.now += 1;
    let _ = kit.ask(ROOT, "a");
}

#[test]
fn absence_is_believed_until_its_time_has_passed() {
    let mut kit = Kit::new();
    let probe = kit.ask(ROOT, "a");
    assert_eq!(
        kit.apply(probe, Answer::Absent),
        Applied::Absent { removed: None }
    );
    kit.now += 9;
    kit.assert_absent(ROOT, "a");
    kit.now += 1;
    let _ = kit.ask(ROOT, "a");
}

#[test]
fn a_refresh_keeps_number_and_payload() {
    let mut kit = Kit::new();
    let found = kit.remote(ROOT, "a", File);
    kit.now += 10;
    let probe = kit.ask(ROOT, "a");
    let same = Applied::Found {
        found,
        novelty: Novelty::Same,
        replaced: None,
    };
    assert_eq!(kit.apply(probe, Answer::Present(File)), same);
}

#[test]
fn another_kind_is_another_inode_under_the_same_cookie() {
    let mut kit = Kit::new();
    let file = kit.remote(ROOT, "a", File);
    kit.remote(ROOT, "b", File);
    kit.table.remember(file.ino).unwrap();
    kit.now += 10;
    let probe = kit.ask(ROOT, "a");
    let Applied::Found {
        found,
        novelty: Novelty::New,
        replaced: Some(replaced),
    } = kit.apply(probe, Answer::Present(Symlink))
    else {
        panic!("the kind has changed");
    };
    assert_eq!(replaced, file);
    assert_eq!((found.ino.get(), found.kind), (4, Symlink));
    assert_eq!(kit.names(ROOT), ["a", "b"]);
    assert!(!kit.table.is_linked(file.ino), "an orphan");
    assert_eq!(kit.table.get(file.ino), Some(file));
}

#[test]
fn a_name_that_is_gone_from_the_store_leaves_an_orphan_if_it_is_held() {
    for is_held in [false, true] {
        let mut kit = Kit::new();
        let found = kit.remote(ROOT, "a", File);
        if is_held {
            kit.table.pin(found.ino).unwrap();
        }
        kit.now += 10;
        let probe = kit.ask(ROOT, "a");
        let removed = Some(found.clone());
        assert_eq!(
            kit.apply(probe, Answer::Absent),
            Applied::Absent { removed }
        );
        assert_eq!(kit.table.get(found.ino).is_some(), is_held);
        assert_eq!(kit.table.stats().orphans, usize::from(is_held));
    }
}

#[test]
fn a_directory_that_is_gone_takes_all_below_along() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let sub = kit.remote(dir.ino, "s", Directory);
    let open = kit.remote(sub.ino, "open", File);
    let idle = kit.remote(sub.ino, "idle", File);
    kit.table.pin(open.ino).unwrap();
    kit.now += 10;
    let probe = kit.ask(ROOT, "d");
    assert_eq!(
        kit.apply(probe, Answer::Absent),
        Applied::Absent { removed: Some(dir) }
    );
    assert_eq!(kit.table.get(idle.ino), None);
    assert_eq!(kit.table.get(sub.ino), None);
    assert_eq!(kit.table.path(open.ino), None);
    assert_eq!(kit.table.unpin(open.ino), Some(open.payload));
    assert_eq!(kit.table.stats().inodes, 1);
}

#[test]
fn local_names_are_known_for_ever() {
    let mut kit = Kit::new();
    let found = kit.create(ROOT, "a", File);
    kit.now += 1_000_000;
    assert_eq!(kit.known(ROOT, "a"), found);
    kit.set(found.ino, Locality::Remote);
    let _ = kit.ask(ROOT, "a");
}

#[test]
fn an_answer_that_a_creation_has_overtaken_is_refused() {
    for answer in [Answer::Absent, Answer::Present(Directory)] {
        let mut kit = Kit::new();
        let probe = kit.ask(ROOT, "a");
        let found = kit.upload(ROOT, "a", File);
        assert_eq!(kit.apply(probe, answer), Applied::Retry);
        let probe = kit.ask(ROOT, "a");
        let same = Applied::Found {
            found,
            novelty: Novelty::Same,
            replaced: None,
        };
        assert_eq!(kit.apply(probe, Answer::Present(File)), same);
    }
}

#[test]
fn an_answer_that_a_removal_has_overtaken_is_refused_before_and_after_the_guard() {
    for wait in [0, 29, 30, 300] {
        let mut kit = Kit::new();
        kit.remote(ROOT, "a", File);
        kit.now += 10;
        let probe = kit.ask(ROOT, "a");
        kit.remove(ROOT, "a");
        kit.confirm(ROOT, "a");
        kit.now += wait;
        let _ = kit.ask(ROOT, "z");
        assert_eq!(kit.table.stats().tombstones, usize::from(wait < 30));
        assert_eq!(kit.apply(probe, Answer::Present(File)), Applied::Retry);
    }
}

#[test]
fn of_two_answers_the_one_asked_later_counts() {
    let mut kit = Kit::new();
    let (first, second) = (kit.ask(ROOT, "a"), kit.ask(ROOT, "a"));
    assert!(matches!(
        kit.apply(second, Answer::Present(File)),
        Applied::Found { .. }
    ));
    let Applied::Found { novelty, .. } = kit.apply(first, Answer::Absent) else {
        panic!("the older answer counted");
    };
    assert_eq!(novelty, Novelty::Same);

    let (first, second) = (kit.ask(ROOT, "b"), kit.ask(ROOT, "b"));
    kit.apply(second, Answer::Absent);
    assert_eq!(
        kit.apply(first, Answer::Present(File)),
        Applied::Absent { removed: None }
    );
}

#[test]
fn an_answer_about_a_directory_that_was_moved_is_refused() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let sub = kit.remote(dir.ino, "s", Directory);
    let other = kit.remote(ROOT, "e", Directory);
    let (below, beside) = (kit.ask(sub.ino, "a"), kit.ask(other.ino, "a"));
    kit.table
        .rename((ROOT, &n("d")), (ROOT, &n("moved")), Default::default())
        .unwrap();
    assert_eq!(kit.apply(below, Answer::Absent), Applied::Retry);
    assert_eq!(
        kit.apply(beside, Answer::Absent),
        Applied::Absent { removed: None }
    );
}

#[test]
fn an_answer_about_a_directory_that_is_gone_is_refused() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let probe = kit.ask(dir.ino, "a");
    kit.table.pin(dir.ino).unwrap();
    kit.table
        .remove(ROOT, &n("d"), cloudmount_inode::Expect::Directory)
        .unwrap();
    assert_eq!(kit.apply(probe, Answer::Present(File)), Applied::Retry);
    kit.assert_absent(dir.ino, "a");
}

#[test]
fn no_answer_removes_a_directory_above_a_local_name() {
    for answer in [Answer::Absent, Answer::Present(File)] {
        let mut kit = Kit::new();
        let dir = kit.remote(ROOT, "d", Directory);
        let sub = kit.remote(dir.ino, "s", Directory);
        let local = kit.create(sub.ino, "a", File);
        kit.now += 10;
        let probe = kit.ask(ROOT, "d");
        let kept = Applied::Found {
            found: dir.clone(),
            novelty: Novelty::Same,
            replaced: None,
        };
        assert_eq!(kit.apply(probe, answer), kept);
        kit.set(local.ino, Locality::Remote);
        let probe = kit.ask(ROOT, "d");
        assert_ne!(kit.apply(probe, answer), kept);
    }
}

#[test]
fn contradictions_are_ignored_for_the_cooldown() {
    let mut kit = Kit::with_cooldown(5);
    let found = kit.upload(ROOT, "a", File);
    kit.now += 4;
    assert_eq!(kit.list_now(ROOT, &[]), []);
    assert_eq!(kit.known(ROOT, "a"), found, "believed without asking");
    kit.now += 1;
    assert_eq!(kit.list_now(ROOT, &[]), [(n("a"), found)]);

    kit.now += 10;
    kit.upload(ROOT, "b", File);
    kit.remove(ROOT, "b");
    kit.confirm(ROOT, "b");
    kit.now += 4;
    kit.list_now(ROOT, &[("b", File)]);
    kit.assert_absent(ROOT, "b");
    kit.now += 1;
    kit.list_now(ROOT, &[("b", File)]);
    kit.known(ROOT, "b");
}

#[test]
fn expiring_a_directory_asks_again_for_all_but_what_is_local() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File)]);
    kit.assert_absent(ROOT, "b");
    let local = kit.create(ROOT, "local", File);
    kit.create(ROOT, "gone", File);
    kit.remove(ROOT, "gone");
    let mut names = kit.table.expire_names(ROOT);
    names.sort();
    assert_eq!(names, [n("a"), n("gone"), n("local")]);
    for name in ["a", "b"] {
        let probe = kit.ask(ROOT, name);
        let applied = kit.apply(probe, Answer::Absent);
        assert!(
            matches!(applied, Applied::Absent { .. }),
            "{name}: {applied:?}"
        );
    }
    assert_eq!(kit.known(ROOT, "local"), local);
    kit.assert_absent(ROOT, "gone");
}

#[test]
fn expiring_a_name_asks_again_and_refuses_what_was_asked() {
    let mut kit = Kit::new();
    kit.list_now(ROOT, &[("a", File)]);
    for name in ["a", "b"] {
        kit.table.expire(ROOT, &n(name));
        let probe = kit.ask(ROOT, name);
        kit.table.expire(ROOT, &n(name));
        assert_eq!(kit.apply(probe, Answer::Present(File)), Applied::Retry);
    }
    kit.assert_absent(ROOT, "c");
    let local = kit.create(ROOT, "local", File);
    kit.table.expire(ROOT, &n("local"));
    assert_eq!(kit.known(ROOT, "local"), local);
}

#[test]
fn an_upload_that_ended_is_believed_without_asking() {
    let mut kit = Kit::new();
    let found = kit.upload(ROOT, "a", File);
    kit.table.validate(found.ino, secs(kit.now + 3)).unwrap();
    kit.now += 2;
    assert_eq!(kit.known(ROOT, "a"), found);
    kit.now += 1;
    let _ = kit.ask(ROOT, "a");
    let unknown = InodeId::new(99).unwrap();
    assert_eq!(
        kit.table.validate(unknown, secs(0)),
        Err(TableError::NotFound)
    );
}

#[test]
fn names_lie_in_directories_only() {
    let mut kit = Kit::new();
    let file = kit.remote(ROOT, "a", File);
    let now = kit.now();
    let error = |lookup: Result<Lookup<u64>, TableError>| lookup.unwrap_err();
    let lookup = kit.table.lookup(file.ino, &n("x"), now);
    assert_eq!(error(lookup), TableError::NotDirectory);
    let lookup = kit.table.lookup(InodeId::new(99).unwrap(), &n("x"), now);
    assert_eq!(error(lookup), TableError::NotFound);
}

#[test]
fn paths_and_generations() {
    let kit = Kit::new();
    let mut table = kit.table.with_generation(Generation(7));
    let dir = table.create(ROOT, &n("d"), Directory, |_| 1).unwrap();
    let file = table
        .create(dir.ino, &n("f"), File, |ino| ino.get())
        .unwrap();
    assert_eq!((file.generation, file.payload), (Generation(7), 3));
    assert_eq!(table.path(file.ino), Some(vec![n("d"), n("f")]));
    assert_eq!(table.path(ROOT), Some(vec![]));
    assert_eq!(table.parent_of(file.ino), Some((dir.ino, n("f"))));
    assert_eq!(table.parent_of(ROOT), None);
    assert_eq!(table.walk(ROOT), [(dir.ino, 1), (file.ino, 3)]);
}
