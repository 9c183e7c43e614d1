//! Rename: what moves, what it replaces, what it refuses, and what goes on meanwhile.

use cloudmount_vfs::{ErrorKind, OpenFlags, RenameMode, XattrMode};

use super::Mounted;
use super::holds::Holds;
use crate::World;

/// A file moves with its content, within a directory and between two.
pub async fn a_renamed_file_keeps_its_content<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/a", b"content").await.holds();
    for (from, to) in [("/a", "/b"), ("/b", "/d/c"), ("/d/c", "/d/e")] {
        k.rename(from, to).await.holds();
        k.stat(from).await.fails(ErrorKind::NotFound);
        assert_eq!(k.read_file(to).await.holds(), "content");
        m.world().settle().await;
    }
    assert_eq!(k.names("/").await.holds(), ["d"]);
    assert_eq!(k.names("/d").await.holds(), ["e"]);
}

/// What is renamed keeps its number, a directory with all below it.
pub async fn a_renamed_inode_keeps_its_number<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/d/sub", 0o755).await.holds();
    k.write_file("/d/sub/f", b"x").await.holds();
    k.write_file("/f", b"x").await.holds();
    let number = |path: &'static str| async move { k.stat(path).await.holds().ino };
    let before = [
        number("/f").await,
        number("/d").await,
        number("/d/sub/f").await,
    ];
    k.rename("/f", "/g").await.holds();
    k.rename("/d", "/e").await.holds();
    let numbers = || async {
        [
            number("/g").await,
            number("/e").await,
            number("/e/sub/f").await,
        ]
    };
    assert_eq!(numbers().await, before);
    k.drop_caches();
    assert_eq!(numbers().await, before);
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    assert_eq!(numbers().await, before);
}

/// A rename over a file replaces it.
pub async fn a_rename_over_a_file_replaces_it<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for settles in [false, true] {
        k.write_file("/a", b"new").await.holds();
        k.write_file("/b", b"old and longer").await.holds();
        if settles {
            m.world().settle().await;
        }
        k.rename("/a", "/b").await.holds();
        assert_eq!(k.read_file("/b").await.holds(), "new");
        assert_eq!(k.names("/").await.holds(), ["b"]);
        m.world().settle().await;
        k.drop_caches();
        assert_eq!(k.read_file("/b").await.holds(), "new");
    }
}

/// A rename of a name to itself changes nothing.
pub async fn a_rename_onto_itself_changes_nothing<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"f").await.holds();
    k.rename("/a", "/a").await.holds();
    k.rename("/d", "/d").await.holds();
    for _ in 0..2 {
        assert_eq!(k.names("/").await.holds(), ["a", "d"]);
        assert_eq!(k.read_file("/a").await.holds(), "a");
        assert_eq!(k.read_file("/d/f").await.holds(), "f");
        m.world().settle().await;
        k.drop_caches();
    }
}

/// A directory moves with everything below it, in the bucket or not yet.
pub async fn a_renamed_directory_moves_with_everything_below<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for path in ["/d", "/d/empty", "/d/sub", "/d/sub/deep", "/to"] {
        k.mkdir(path, 0o755).await.holds();
    }
    k.write_file("/d/settled", b"1").await.holds();
    k.write_file("/d/sub/deep/settled", b"2").await.holds();
    m.world().settle().await;
    k.write_file("/d/fresh", b"3").await.holds();
    k.write_file("/d/sub/settled", b"4").await.holds();
    k.rename("/d", "/to/e").await.holds();
    for check in 0..2 {
        k.stat("/d").await.fails(ErrorKind::NotFound);
        assert_eq!(
            k.names("/to/e").await.holds(),
            ["empty", "fresh", "settled", "sub"]
        );
        assert_eq!(k.names("/to/e/empty").await.holds(), [""; 0]);
        assert_eq!(k.read_file("/to/e/settled").await.holds(), "1");
        assert_eq!(k.read_file("/to/e/sub/deep/settled").await.holds(), "2");
        assert_eq!(k.read_file("/to/e/fresh").await.holds(), "3");
        assert_eq!(k.read_file("/to/e/sub/settled").await.holds(), "4");
        if check == 0 {
            m.world().settle().await;
            m.wait_for_foreign_changes().await;
            k.drop_caches();
        }
    }
}

/// The old place of a renamed directory is free for a new one with other files.
pub async fn the_old_name_of_a_directory_is_free<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"old").await.holds();
    m.world().settle().await;
    k.rename("/d", "/e").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    assert_eq!(k.names("/d").await.holds(), [""; 0]);
    k.write_file("/d/f", b"new").await.holds();
    m.world().settle().await;
    k.drop_caches();
    assert_eq!(k.read_file("/d/f").await.holds(), "new");
    assert_eq!(k.read_file("/e/f").await.holds(), "old");
}

/// A directory can replace an empty one, not a full one.
pub async fn a_directory_replaces_an_empty_one_only<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for path in ["/from", "/empty", "/full"] {
        k.mkdir(path, 0o755).await.holds();
    }
    k.write_file("/from/f", b"f").await.holds();
    k.write_file("/full/g", b"g").await.holds();
    k.rename("/from", "/full").await.fails(ErrorKind::NotEmpty);
    m.world().settle().await;
    k.drop_caches();
    k.rename("/from", "/full").await.fails(ErrorKind::NotEmpty);
    k.rename("/from", "/empty").await.holds();
    assert_eq!(k.read_file("/empty/f").await.holds(), "f");
    assert_eq!(k.names("/").await.holds(), ["empty", "full"]);
}

/// A directory and something that is none cannot replace each other.
pub async fn kinds_do_not_replace_each_other<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/f", b"f").await.holds();
    k.symlink("f", "/s").await.holds();
    k.rename("/f", "/d").await.fails(ErrorKind::IsDirectory);
    k.rename("/s", "/d").await.fails(ErrorKind::IsDirectory);
    k.rename("/d", "/f").await.fails(ErrorKind::NotDirectory);
    k.rename("/d", "/s").await.fails(ErrorKind::NotDirectory);
    k.rename("/s", "/f").await.holds();
    assert_eq!(k.readlink("/f").await.holds(), "f");
}

/// A directory cannot move below itself.
pub async fn a_directory_cannot_move_below_itself<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/d/sub", 0o755).await.holds();
    k.rename("/d", "/d/sub/d")
        .await
        .fails(ErrorKind::InvalidArgument);
    k.rename("/d", "/d/x")
        .await
        .fails(ErrorKind::InvalidArgument);
    k.rename("/d/sub", "/d").await.fails(ErrorKind::NotEmpty);
    assert_eq!(k.names("/d").await.holds(), ["sub"]);
}

/// What does not exist cannot be renamed, and cannot be renamed into.
pub async fn a_missing_source_or_parent_is_not_found<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    k.rename("/no", "/b").await.fails(ErrorKind::NotFound);
    k.rename("/no", "/a").await.fails(ErrorKind::NotFound);
    k.rename("/a", "/no/b").await.fails(ErrorKind::NotFound);
    assert_eq!(k.read_file("/a").await.holds(), "a");
}

/// `NoReplace` refuses a target that exists, and moves otherwise.
pub async fn no_replace_is_exact<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    k.write_file("/b", b"b").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    let mode = RenameMode::NoReplace;
    k.rename_with("/a", "/b", mode)
        .await
        .fails(ErrorKind::Exists);
    k.rename_with("/a", "/d", mode)
        .await
        .fails(ErrorKind::Exists);
    k.rename_with("/a", "/a", mode)
        .await
        .fails(ErrorKind::Exists);
    m.world().settle().await;
    k.drop_caches();
    k.rename_with("/a", "/b", mode)
        .await
        .fails(ErrorKind::Exists);
    k.rename_with("/a", "/c", mode).await.holds();
    assert_eq!(k.names("/").await.holds(), ["b", "c", "d"]);
    assert_eq!(k.read_file("/b").await.holds(), "b");
}

/// Exchange either works or says `InvalidArgument` and changes nothing.
pub async fn exchange_is_exact_or_refused<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    k.write_file("/b", b"b").await.holds();
    let done = k.rename_with("/a", "/b", RenameMode::Exchange).await;
    let (a, b) = if done.is_ok() { ("b", "a") } else { ("a", "b") };
    if done.is_err() {
        done.fails(ErrorKind::InvalidArgument);
    }
    assert_eq!(k.read_file("/a").await.holds(), a);
    assert_eq!(k.read_file("/b").await.holds(), b);
}

/// An open handle follows its file through a rename, and of the directory above too.
pub async fn an_open_handle_follows_a_rename<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/a", b"one").await.holds();
    m.world().settle().await;
    let fd = k.open("/d/a", OpenFlags::READ_WRITE).await.holds();
    k.rename("/d/a", "/d/b").await.holds();
    k.write(fd, 3, b" two").await.holds();
    assert_eq!(k.read_file("/d/b").await.holds(), "one two");
    k.rename("/d", "/e").await.holds();
    k.write(fd, 7, b" three").await.holds();
    assert_eq!(k.read(fd, 0, 100).await.holds(), "one two three");
    k.close(fd).await.holds();
    m.world().settle().await;
    k.drop_caches();
    assert_eq!(k.read_file("/e/b").await.holds(), "one two three");
    assert_eq!(k.names("/").await.holds(), ["e"]);
}

/// A rename over a file that is open leaves its reader with the old bytes.
pub async fn a_rename_over_an_open_file_leaves_its_reader_the_old_bytes<W: World>(
    m: &mut Mounted<W>,
) {
    let k = m.kernel();
    k.write_file("/old", b"old bytes").await.holds();
    k.write_file("/new", b"new").await.holds();
    m.world().settle().await;
    let reader = k.open("/old", OpenFlags::READ).await.holds();
    assert_eq!(k.read(reader, 0, 3).await.holds(), "old");
    k.rename("/new", "/old").await.holds();
    assert_eq!(k.read(reader, 0, 100).await.holds(), "old bytes");
    assert_eq!(k.fstat(reader).await.holds().links, 0);
    assert_eq!(k.read_file("/old").await.holds(), "new");
    m.world().settle().await;
    assert_eq!(k.read(reader, 4, 100).await.holds(), "bytes");
    k.close(reader).await.holds();
}

/// Mode, times and extended attributes travel with a renamed file.
pub async fn attributes_travel_with_a_rename<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    k.chmod("/a", 0o640).await.holds();
    k.setxattr("/a", "user.tag", b"value", XattrMode::Set)
        .await
        .holds();
    let before = k.stat("/a").await.holds();
    m.world().settle().await;
    m.world().clock().advance(std::time::Duration::from_secs(5));
    k.rename("/a", "/b").await.holds();
    m.world().settle().await;
    k.drop_caches();
    let after = k.stat("/b").await.holds();
    assert_eq!(
        (after.permissions, after.mtime),
        (before.permissions, before.mtime)
    );
    assert_eq!(k.getxattr("/b", "user.tag").await.holds(), "value");
}

/// Two files change places through a third name.
pub async fn files_change_places_through_a_third_name<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    k.write_file("/b", b"b").await.holds();
    m.world().settle().await;
    for (from, to) in [("/a", "/t"), ("/b", "/a"), ("/t", "/b")] {
        k.rename(from, to).await.holds();
    }
    m.world().settle().await;
    k.drop_caches();
    assert_eq!(k.read_file("/a").await.holds(), "b");
    assert_eq!(k.read_file("/b").await.holds(), "a");
    assert_eq!(k.names("/").await.holds(), ["a", "b"]);
}

/// A rename that changes only the case of letters is a rename.
pub async fn a_rename_can_change_only_the_case<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/readme", b"x").await.holds();
    k.rename("/readme", "/README").await.holds();
    assert_eq!(k.names("/").await.holds(), ["README"]);
}

/// Writing a new file beside and renaming it over the old one, as editors save, never shows
/// anything but the old or the new content.
pub async fn saving_by_rename_shows_old_or_new<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/doc", b"version 0").await.holds();
    for version in 1..5 {
        let (old, new) = (
            format!("version {}", version - 1),
            format!("version {version}"),
        );
        k.write_file("/doc.tmp", new.as_bytes()).await.holds();
        assert_eq!(k.read_file("/doc").await.holds(), old);
        k.rename("/doc.tmp", "/doc").await.holds();
        assert_eq!(k.read_file("/doc").await.holds(), new);
    }
    m.world().settle().await;
    k.drop_caches();
    assert_eq!(k.read_file("/doc").await.holds(), "version 4");
    assert_eq!(k.names("/").await.holds(), ["doc"]);
}
