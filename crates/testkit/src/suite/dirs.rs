//! Directories: making, removing, listing, and their times.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudmount_vfs::{ErrorKind, NodeKind, OpenFlags, Vfs};

use super::Mounted;
use super::holds::Holds;
use crate::kernel::{Kind, Scan};
use crate::{FakeKernel, World};

/// More entries than a page of any listing has, and than a scan takes at once.
const MANY: usize = 2_500;

/// A new directory is empty.
pub async fn a_new_directory_is_empty<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    assert_eq!(k.names("/d").await.holds(), [""; 0]);
    assert_eq!(k.stat("/d").await.holds().kind, NodeKind::Directory);
    assert_eq!(k.stat("/d").await.holds().links, 2);
}

/// A name that exists cannot be made again, whatever it leads to.
pub async fn mkdir_fails_if_the_name_exists<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/f", b"kept").await.holds();
    k.symlink("d", "/s").await.holds();
    for path in ["/d", "/f", "/s"] {
        k.mkdir(path, 0o755).await.fails(ErrorKind::Exists);
        k.mknod(path, 0o644).await.fails(ErrorKind::Exists);
        k.symlink("x", path).await.fails(ErrorKind::Exists);
    }
    assert_eq!(k.read_file("/f").await.holds(), "kept");
}

/// An empty directory can be removed, and is gone.
pub async fn rmdir_removes_an_empty_directory<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"").await.holds();
    k.unlink("/d/f").await.holds();
    k.rmdir("/d").await.holds();
    k.stat("/d").await.fails(ErrorKind::NotFound);
    k.rmdir("/d").await.fails(ErrorKind::NotFound);
    assert_eq!(k.names("/").await.holds(), [""; 0]);
}

/// A directory with entries is not removed: whatever they are, in the bucket or not yet.
pub async fn rmdir_of_a_full_directory_is_refused<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"").await.holds();
    k.rmdir("/d").await.fails(ErrorKind::NotEmpty);
    m.world().settle().await;
    k.drop_caches();
    k.rmdir("/d").await.fails(ErrorKind::NotEmpty);
    k.unlink("/d/f").await.holds();
    k.mkdir("/d/sub", 0o755).await.holds();
    k.rmdir("/d").await.fails(ErrorKind::NotEmpty);
    k.rmdir("/d/sub").await.holds();
    k.symlink("x", "/d/s").await.holds();
    k.rmdir("/d").await.fails(ErrorKind::NotEmpty);
}

/// `rmdir` takes directories only, `unlink` everything else.
pub async fn each_kind_has_its_own_way_of_removal<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/f", b"").await.holds();
    k.symlink("d", "/s").await.holds();
    k.rmdir("/f").await.fails(ErrorKind::NotDirectory);
    k.rmdir("/s").await.fails(ErrorKind::NotDirectory);
    k.unlink("/d").await.fails(ErrorKind::IsDirectory);
    k.unlink("/f").await.holds();
    k.unlink("/s").await.holds();
    k.unlink("/f").await.fails(ErrorKind::NotFound);
    assert_eq!(k.names("/").await.holds(), ["d"]);
}

/// A folder whose last entry was removed, or moved away, stays, also when all is in the bucket.
pub async fn a_folder_stays_when_its_last_entry_goes<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for folder in ["/removed", "/moved"] {
        k.mkdir(folder, 0o755).await.holds();
        k.write_file(&format!("{folder}/f"), b"").await.holds();
    }
    m.world().settle().await;
    k.unlink("/removed/f").await.holds();
    k.rename("/moved/f", "/f").await.holds();
    for _ in 0..2 {
        assert_eq!(k.names("/").await.holds(), ["f", "moved", "removed"]);
        assert_eq!(k.names("/removed").await.holds(), [""; 0]);
        assert_eq!(k.names("/moved").await.holds(), [""; 0]);
        m.world().settle().await;
        m.wait_for_foreign_changes().await;
        k.drop_caches();
    }
}

/// The times of a directory move with every change of its entries.
pub async fn times_of_a_directory_move_with_its_entries<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/e", 0o755).await.holds();
    k.write_file("/e/in", b"").await.holds();
    moves(m, "mkdir", k.mkdir("/d/sub", 0o755)).await;
    moves(m, "create", k.mknod("/d/f", 0o644)).await;
    moves(m, "symlink", k.symlink("x", "/d/s")).await;
    moves(m, "rename within", k.rename("/d/f", "/d/g")).await;
    moves(m, "rename in", k.rename("/e/in", "/d/in")).await;
    moves(m, "rename out", k.rename("/d/in", "/e/in")).await;
    moves(m, "unlink", k.unlink("/d/g")).await;
    moves(m, "rmdir", k.rmdir("/d/sub")).await;
}

async fn moves<W: World, T>(
    m: &Mounted<W>,
    what: &str,
    change: impl Future<Output = cloudmount_vfs::Result<T>>,
) {
    let k = m.kernel();
    let before = k.stat("/d").await.holds();
    m.world().clock().advance(Duration::from_millis(10));
    change.await.holds();
    let after = k.stat("/d").await.holds();
    assert!(
        after.mtime > before.mtime && after.ctime > before.ctime,
        "law: {what} moves the times of the directory; {before:?}, {after:?}"
    );
}

/// What happens to the content of a file is no change of its directory.
pub async fn times_of_a_directory_stay_when_content_changes<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"").await.holds();
    let before = k.stat("/d").await.holds();
    m.world().clock().advance(Duration::from_secs(1));
    k.write_file("/d/f", b"longer").await.holds();
    k.chmod("/d/f", 0o600).await.holds();
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    assert_eq!(k.stat("/d").await.holds().mtime, before.mtime);
}

/// A listing shows every entry with its kind and the number that `stat` tells.
pub async fn a_listing_agrees_with_stat<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/d/sub", 0o755).await.holds();
    k.write_file("/d/file", b"x").await.holds();
    k.symlink("file", "/d/link").await.holds();
    for settled in [false, true] {
        let listed = k.readdir("/d").await.holds();
        let seen: Vec<_> = listed
            .iter()
            .map(|entry| (&*entry.name, entry.kind))
            .collect();
        let wanted = [
            ("file", Kind::File),
            ("link", Kind::Symlink),
            ("sub", Kind::Directory),
        ];
        assert_eq!(seen, wanted);
        for entry in &listed {
            let attr = k.lstat(&format!("/d/{}", entry.name)).await.holds();
            assert_eq!(
                attr.ino, entry.ino,
                "law: listing and stat tell the same number"
            );
        }
        if !settled {
            m.world().settle().await;
            m.wait_for_foreign_changes().await;
            k.drop_caches();
        }
    }
}

/// A directory of 2,500 entries is listed whole, each entry once.
pub async fn a_large_directory_is_listed_whole<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let wanted = fill(k, MANY).await;
    assert_eq!(k.names("/d").await.holds(), wanted);
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.names("/d").await.holds(), wanted);
}

/// Entries that exist during a whole scan come exactly once while others are removed.
pub async fn a_scan_survives_removals<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let all = fill(k, 100).await;
    for scan in [Scan::Plain, Scan::Plus] {
        let mut stream = k.opendir("/d", scan).await.holds();
        let mut seen = BTreeMap::<String, usize>::new();
        let mut step = 0;
        loop {
            let piece = stream.next().await.holds();
            if piece.is_empty() {
                break;
            }
            for entry in piece {
                *seen.entry(entry.name).or_default() += 1;
            }
            // Before, at and after the place of the scan.
            for name in [&all[step], &all[99 - step]] {
                if step % 2 == 1 && k.exists(&format!("/d/{name}")).await.holds() {
                    k.unlink(&format!("/d/{name}")).await.holds();
                }
            }
            step += 1;
        }
        stream.close().await.holds();
        let left = k.names("/d").await.holds();
        for name in &left {
            assert_eq!(
                seen.get(name),
                Some(&1),
                "law: {name} was there all the time"
            );
        }
        assert!(
            seen.values().all(|times| *times == 1),
            "law: no entry comes twice; {seen:?}"
        );
        refill(k, &all).await;
    }
}

/// Entries that exist during a whole scan come exactly once while others are added and renamed.
pub async fn a_scan_survives_additions<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let all = fill(k, 60).await;
    for (round, scan) in [Scan::Plain, Scan::Plus].into_iter().enumerate() {
        let mut stream = k.opendir("/d", scan).await.holds();
        let mut seen = BTreeMap::<String, usize>::new();
        // Each piece adds two: without an end to the additions the scan would have none.
        for step in 0_usize.. {
            let piece = stream.next().await.holds();
            if piece.is_empty() {
                break;
            }
            for entry in piece {
                *seen.entry(entry.name).or_default() += 1;
            }
            if step < 10 {
                k.mknod(&format!("/d/!{round}{step}"), 0o644).await.holds();
                k.mknod(&format!("/d/~{round}{step}"), 0o644).await.holds();
            }
        }
        stream.close().await.holds();
        for name in &all {
            assert_eq!(
                seen.get(name),
                Some(&1),
                "law: {name} was there all the time"
            );
        }
        assert!(
            seen.values().all(|times| *times == 1),
            "law: no entry comes twice; {seen:?}"
        );
    }
}

/// A scan can go back to a place it had, and start again.
pub async fn a_scan_can_go_back<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    fill(k, 30).await;
    let mut stream = k.opendir("/d", Scan::Plain).await.holds();
    let first = stream.next().await.holds();
    let place = stream.tell();
    let second = stream.next().await.holds();
    stream.next().await.holds();
    stream.seek(place);
    assert_eq!(stream.next().await.holds(), second);
    stream.rewind();
    assert_eq!(stream.next().await.holds(), first);
    k.mknod("/d/later", 0o644).await.holds();
    stream.rewind();
    let mut names = Vec::new();
    loop {
        let piece = stream.next().await.holds();
        if piece.is_empty() {
            break;
        }
        names.extend(piece.into_iter().map(|entry| entry.name));
    }
    assert!(
        names.contains(&"later".to_owned()),
        "law: a scan begun again shows what is new"
    );
    stream.close().await.holds();
}

/// Removing each entry as the scan shows it, as `rm -r` does, leaves an empty directory.
pub async fn removing_while_scanning_removes_all<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    fill(k, 100).await;
    let mut stream = k.opendir("/d", Scan::Plus).await.holds();
    loop {
        let piece = stream.next().await.holds();
        if piece.is_empty() {
            break;
        }
        for entry in piece {
            k.unlink(&format!("/d/{}", entry.name)).await.holds();
        }
    }
    stream.close().await.holds();
    k.rmdir("/d").await.holds();
}

/// A directory that was removed while open takes no new entries, and can be closed.
pub async fn a_removed_directory_takes_no_entries<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    let ino = k.stat("/d").await.holds().ino;
    let stream = k.opendir("/d", Scan::Plain).await.holds();
    k.rmdir("/d").await.holds();
    let name = cloudmount_vfs::Name::new("x")
        .map_err(cloudmount_vfs::Error::from)
        .holds();
    let permissions = cloudmount_vfs::Permissions::from_mode(0o644);
    let cx = k.context();
    k.vfs()
        .mkdir(cx, ino, &name, permissions)
        .await
        .fails(ErrorKind::NotFound);
    let made = k
        .vfs()
        .create(cx, ino, &name, permissions, OpenFlags::WRITE)
        .await;
    made.fails(ErrorKind::NotFound);
    stream.close().await.holds();
    assert_eq!(k.names("/").await.holds(), [""; 0]);
}

/// Directories nest as deeply as keys allow.
pub async fn directories_nest_deeply<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let mut path = String::new();
    for depth in 0..100 {
        path = format!("{path}/{depth}");
        k.mkdir(&path, 0o755).await.holds();
    }
    k.write_file(&format!("{path}/f"), b"deep").await.holds();
    k.drop_caches();
    assert_eq!(k.read_file(&format!("{path}/f")).await.holds(), "deep");
}

/// A name can be used again at once, for something of another kind.
pub async fn a_name_can_be_used_again_for_another_kind<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for _ in 0..3 {
        k.write_file("/x", b"file").await.holds();
        k.unlink("/x").await.holds();
        k.mkdir("/x", 0o755).await.holds();
        k.write_file("/x/f", b"").await.holds();
        k.unlink("/x/f").await.holds();
        k.rmdir("/x").await.holds();
        k.symlink("f", "/x").await.holds();
        k.unlink("/x").await.holds();
    }
    m.world().settle().await;
    assert_eq!(k.names("/").await.holds(), [""; 0]);
}

async fn fill<V: Vfs>(k: &FakeKernel<V>, count: usize) -> Vec<String> {
    k.mkdir("/d", 0o755).await.holds();
    let names: Vec<_> = (0..count).map(|number| format!("{number:05}")).collect();
    // Nobody needs to ask first: where nothing is believed, each question lists the directory.
    for name in &names {
        k.mknod(&format!("/d/{name}"), 0o644).await.holds();
    }
    names
}

async fn refill<V: Vfs>(k: &FakeKernel<V>, names: &[String]) {
    for name in names {
        let path = format!("/d/{name}");
        if !k.exists(&path).await.holds() {
            k.mknod(&path, 0o644).await.holds();
        }
    }
}
