//! Symlinks.

use cloudmount_vfs::{ErrorKind, NodeKind};

use super::Mounted;
use super::holds::Holds;
use crate::World;

/// A symlink says what it was given, byte for byte.
pub async fn a_symlink_says_what_it_was_given<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let targets = [
        "x",
        "a//b/../c/",
        "/absolute",
        " spaces ",
        "日本語",
        "a\nb",
        ".",
        "..",
        "%2F",
        "a?b#c",
    ];
    for (number, target) in targets.iter().enumerate() {
        let path = format!("/{number}");
        k.symlink(target, &path).await.holds();
        assert_eq!(k.readlink(&path).await.holds(), *target);
        let attr = k.lstat(&path).await.holds();
        assert_eq!(
            (attr.kind, attr.size),
            (NodeKind::Symlink, target.len() as u64)
        );
    }
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    for (number, target) in targets.iter().enumerate() {
        assert_eq!(k.readlink(&format!("/{number}")).await.holds(), *target);
    }
}

/// A target may have 4095 bytes, one more is too long.
pub async fn a_target_may_have_4095_bytes<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let longest = "x/".repeat(2047) + "y";
    k.symlink(&longest, "/s").await.holds();
    assert_eq!(k.readlink("/s").await.holds(), longest);
    k.symlink(&(longest + "z"), "/t")
        .await
        .fails(ErrorKind::NameTooLong);
    assert_eq!(k.names("/").await.holds(), ["s"]);
}

/// Paths go through symlinks: relative, absolute, in chains, to files and directories.
pub async fn paths_go_through_symlinks<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"found").await.holds();
    k.symlink("d", "/relative").await.holds();
    k.symlink("/d", "/absolute").await.holds();
    k.symlink("../d/f", "/d/to_file").await.holds();
    k.symlink("relative/to_file", "/chain").await.holds();
    for path in [
        "/relative/f",
        "/absolute/f",
        "/d/to_file",
        "/chain",
        "/relative/../relative/f",
    ] {
        assert_eq!(
            k.read_file(path).await.holds(),
            "found",
            "law: {path} leads there"
        );
    }
    k.write_file("/chain", b"written").await.holds();
    assert_eq!(k.read_file("/d/f").await.holds(), "written");
}

/// A symlink may lead nowhere; it exists all the same.
pub async fn a_symlink_may_lead_nowhere<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.symlink("nowhere", "/s").await.holds();
    k.stat("/s").await.fails(ErrorKind::NotFound);
    assert!(
        k.exists("/s").await.holds(),
        "law: the symlink itself exists"
    );
    k.write_file("/nowhere", b"now").await.holds();
    assert_eq!(k.read_file("/s").await.holds(), "now");
}

/// A symlink that leads to itself ends the walk with an error.
pub async fn a_loop_of_symlinks_ends<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.symlink("b", "/a").await.holds();
    k.symlink("a", "/b").await.holds();
    k.stat("/a").await.fails(ErrorKind::InvalidArgument);
}

/// Removing or renaming a symlink leaves what it leads to alone.
pub async fn removing_a_symlink_leaves_its_target<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"kept").await.holds();
    k.symlink("f", "/s").await.holds();
    k.rename("/s", "/t").await.holds();
    assert_eq!(k.readlink("/t").await.holds(), "f");
    k.unlink("/t").await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "kept");
    assert_eq!(k.names("/").await.holds(), ["f"]);
}

/// Only symlinks can be read as such.
pub async fn only_symlinks_are_read_as_such<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    k.readlink("/f").await.fails(ErrorKind::InvalidArgument);
    k.readlink("/d").await.fails(ErrorKind::InvalidArgument);
}

/// Symlinks are symlinks after mounting again.
pub async fn symlinks_survive_mounting_again<W: World>(m: &mut Mounted<W>) {
    m.kernel().symlink("some/where", "/s").await.holds();
    m.world().settle().await;
    m.remount().await;
    let k = m.kernel();
    assert_eq!(k.readlink("/s").await.holds(), "some/where");
    assert_eq!(k.lstat("/s").await.holds().kind, NodeKind::Symlink);
}
