//! Rules of renames.

use cloudmount_inode::{Found, Locality, Renamed, TableError};
use cloudmount_vfs::{InodeId, RenameMode};

use crate::kit::{Directory, File, Kit, ROOT, n};

type At<'a> = (InodeId, &'a str);

impl Kit {
    fn rename(&mut self, from: At<'_>, to: At<'_>) -> Result<Renamed<u64>, TableError> {
        self.rename_as(from, to, RenameMode::Replace)
    }

    fn rename_as(
        &mut self,
        (from, old): At<'_>,
        (to, new): At<'_>,
        mode: RenameMode,
    ) -> Result<Renamed<u64>, TableError> {
        let renamed = self.table.rename((from, &n(old)), (to, &n(new)), mode);
        self.table.check().unwrap();
        renamed
    }
}

const fn moved(moved: Found<u64>) -> Renamed<u64> {
    Renamed {
        moved,
        replaced: None,
        exchanged: None,
    }
}

#[test]
fn the_number_moves_and_the_old_name_is_removed() {
    let mut kit = Kit::new();
    let a = kit.remote(ROOT, "a", File);
    let dir = kit.remote(ROOT, "d", Directory);
    assert_eq!(
        kit.rename((ROOT, "a"), (dir.ino, "b")),
        Ok(moved(a.clone()))
    );
    assert_eq!(kit.known(dir.ino, "b"), a);
    kit.assert_absent(ROOT, "a");
    assert_eq!(kit.table.locality(a.ino), Some(Locality::Local));
    kit.now += 1000;
    assert_eq!(
        kit.list_now(dir.ino, &[]),
        [],
        "the store has it at the old name still"
    );
    kit.list_now(ROOT, &[("a", File), ("d", Directory)]);
    kit.assert_absent(ROOT, "a");
    kit.confirm(ROOT, "a");
    kit.set(a.ino, Locality::Remote);
    assert_eq!(kit.list_now(dir.ino, &[("b", File)]), []);
    assert_eq!(kit.known(dir.ino, "b"), a);
}

#[test]
fn the_store_is_asked_about_what_was_moved_onto_a_name_that_it_had() {
    let mut kit = Kit::new();
    let a = kit.remote(ROOT, "a", File);
    kit.remote(ROOT, "b", File);
    kit.rename((ROOT, "a"), (ROOT, "b")).unwrap();
    kit.set(a.ino, Locality::Remote);
    let _ = kit.ask(ROOT, "b");
}

#[test]
fn what_lies_below_moves_along() {
    let mut kit = Kit::new();
    let dir = kit.remote(ROOT, "d", Directory);
    let sub = kit.remote(dir.ino, "s", Directory);
    let file = kit.create(sub.ino, "f", File);
    let to = kit.remote(ROOT, "t", Directory);
    kit.rename((ROOT, "d"), (to.ino, "e")).unwrap();
    let path = ["t", "e", "s", "f"].map(n).to_vec();
    assert_eq!(kit.table.path(file.ino), Some(path));
    assert_eq!(kit.table.local_below(to.ino), 2);
}

#[test]
fn a_replaced_inode_lives_while_it_is_held() {
    for is_held in [false, true] {
        let mut kit = Kit::new();
        let (a, b) = (kit.remote(ROOT, "a", File), kit.remote(ROOT, "b", File));
        if is_held {
            kit.table.remember(b.ino).unwrap();
        }
        let renamed = kit.rename((ROOT, "a"), (ROOT, "b")).unwrap();
        assert_eq!(renamed.replaced, Some(b.clone()));
        assert_eq!(kit.known(ROOT, "b"), a);
        assert_eq!(kit.table.forget(b.ino, 1), is_held.then_some(b.payload));
    }
}

#[test]
fn the_target_must_admit_it() {
    let mut kit = Kit::new();
    let file = kit.remote(ROOT, "f", File);
    let dir = kit.remote(ROOT, "d", Directory);
    let sub = kit.remote(dir.ino, "s", Directory);
    kit.remote(dir.ino, "x", File);
    kit.remote(ROOT, "empty", Directory);
    let unknown = InodeId::new(99).unwrap();
    for (from, to, error) in [
        ((ROOT, "z"), (ROOT, "f"), TableError::NotFound),
        ((ROOT, "f"), (unknown, "f"), TableError::NotFound),
        ((ROOT, "f"), (file.ino, "f"), TableError::NotDirectory),
        ((ROOT, "f"), (ROOT, "d"), TableError::IsDirectory),
        ((ROOT, "d"), (ROOT, "f"), TableError::NotDirectory),
        ((ROOT, "empty"), (ROOT, "d"), TableError::NotEmpty),
        ((dir.ino, "x"), (ROOT, "d"), TableError::NotEmpty),
        ((ROOT, "d"), (dir.ino, "y"), TableError::InvalidArgument),
        ((ROOT, "d"), (sub.ino, "y"), TableError::InvalidArgument),
        ((ROOT, "d"), (dir.ino, "s"), TableError::InvalidArgument),
    ] {
        assert_eq!(kit.rename(from, to), Err(error), "{from:?} to {to:?}");
    }
    let renamed = kit.rename((dir.ino, "s"), (ROOT, "empty")).unwrap();
    assert_eq!(renamed.moved, sub);
}

#[test]
fn one_name_onto_itself_is_nothing() {
    let mut kit = Kit::new();
    let a = kit.remote(ROOT, "a", File);
    for mode in [RenameMode::Replace, RenameMode::Exchange] {
        let renamed = kit.rename_as((ROOT, "a"), (ROOT, "a"), mode);
        assert_eq!(renamed, Ok(moved(a.clone())));
    }
    let renamed = kit.rename_as((ROOT, "a"), (ROOT, "a"), RenameMode::NoReplace);
    assert_eq!(renamed, Err(TableError::Exists(a.ino)));
    assert_eq!(kit.table.locality(a.ino), Some(Locality::Remote));
}

#[test]
fn no_replace_is_exact() {
    let mut kit = Kit::new();
    let (a, b) = (kit.remote(ROOT, "a", File), kit.remote(ROOT, "b", File));
    let mode = RenameMode::NoReplace;
    let exists = Err(TableError::Exists(b.ino));
    assert_eq!(kit.rename_as((ROOT, "a"), (ROOT, "b"), mode), exists);
    assert_eq!(kit.rename_as((ROOT, "a"), (ROOT, "c"), mode), Ok(moved(a)));
}

#[test]
fn exchange_swaps_kinds_and_counts() {
    let mut kit = Kit::new();
    let file = kit.remote(ROOT, "f", File);
    let (one, two) = (
        kit.remote(ROOT, "1", Directory),
        kit.remote(ROOT, "2", Directory),
    );
    let dir = kit.remote(two.ino, "d", Directory);
    let local = kit.create(dir.ino, "x", File);
    let mode = RenameMode::Exchange;
    let renamed = kit.rename_as((ROOT, "f"), (two.ino, "d"), mode).unwrap();
    assert_eq!(
        (renamed.moved, renamed.exchanged),
        (file.clone(), Some(dir.clone()))
    );
    assert_eq!(kit.known(ROOT, "f"), dir);
    assert_eq!(kit.known(two.ino, "d"), file);
    assert_eq!(kit.table.path(local.ino), Some(vec![n("f"), n("x")]));
    assert_eq!(kit.table.stats().tombstones, 0);
    assert_eq!(
        [one.ino, two.ino].map(|dir| kit.table.local_below(dir)),
        [0, 1]
    );
    for (from, to, error) in [
        ((ROOT, "1"), (ROOT, "z"), TableError::NotFound),
        ((two.ino, "d"), (ROOT, "2"), TableError::InvalidArgument),
        ((ROOT, "2"), (two.ino, "d"), TableError::InvalidArgument),
    ] {
        assert_eq!(
            kit.rename_as(from, to, mode),
            Err(error),
            "{from:?} with {to:?}"
        );
    }
}

#[test]
fn nothing_moves_into_a_directory_that_was_removed() {
    let mut kit = Kit::new();
    kit.create(ROOT, "a", File);
    let dir = kit.create(ROOT, "d", Directory);
    kit.table.remember(dir.ino).unwrap();
    kit.table
        .remove(ROOT, &n("d"), cloudmount_inode::Expect::Directory)
        .unwrap();
    let renamed = kit.rename((ROOT, "a"), (dir.ino, "a"));
    assert_eq!(renamed, Err(TableError::NotFound));
    let created = kit.table.create(dir.ino, &n("x"), File, |_| 0);
    assert_eq!(created, Err(TableError::NotFound));
}
