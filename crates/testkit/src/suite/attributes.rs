//! Attributes: mode, owner, times and size.

use std::time::Duration;

use cloudmount_vfs::{AccessMask, Context, ErrorKind, OpenFlags, SetTime, Timestamp, Vfs};

use super::Mounted;
use super::holds::{Holds, pattern};
use crate::World;

const SECOND: Duration = Duration::from_secs(1);

/// What is made gets the mode asked for less the umask, and belongs to the caller.
pub async fn what_is_made_has_the_mode_and_the_owner<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.chmod("/", 0o777).await.holds();
    let user = k.as_user(Context {
        uid: 1234,
        gid: 567,
        pid: 1,
    });
    user.mkdir("/d", 0o777).await.holds();
    user.mknod("/f", 0o666).await.holds();
    let fd = user.create("/g", 0o640, OpenFlags::WRITE).await.holds();
    user.close(fd).await.holds();
    user.symlink("f", "/s").await.holds();
    for (path, mode) in [("/d", 0o755), ("/f", 0o644), ("/g", 0o640), ("/s", 0o777)] {
        let attr = k.lstat(path).await.holds();
        assert_eq!(
            (attr.uid, attr.gid),
            (1234, 567),
            "law: {path} belongs to its maker"
        );
        assert_eq!(attr.permissions.bits(), mode, "law: the mode of {path}");
    }
}

/// All twelve bits of a mode can be set, of files and directories.
pub async fn chmod_sets_all_twelve_bits<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for mode in [0o7777, 0, 0o4755, 0o2644, 0o1777, 0o600] {
        for path in ["/f", "/d"] {
            k.chmod(path, mode).await.holds();
            k.drop_caches();
            assert_eq!(
                u32::from(k.stat(path).await.holds().permissions.bits()),
                mode
            );
        }
    }
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    assert_eq!(k.stat("/f").await.holds().permissions.bits(), 0o600);
    assert_eq!(k.stat("/d").await.holds().permissions.bits(), 0o600);
}

/// Owner and group can be set, each by itself.
pub async fn chown_sets_owner_and_group<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for path in ["/f", "/d"] {
        k.chown(path, Some(1000), Some(2000)).await.holds();
        k.chown(path, Some(4_000_000_000), None).await.holds();
        k.chown(path, None, Some(3000)).await.holds();
        k.drop_caches();
        let attr = k.stat(path).await.holds();
        assert_eq!((attr.uid, attr.gid), (4_000_000_000, 3000));
    }
}

/// Times can be set to the nanosecond, also before 1970.
pub async fn times_can_be_set_to_the_nanosecond<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for mtime in [
        Timestamp::new(1_000_000_000, 123_456_789),
        Timestamp::new(1, 1),
        Timestamp::new(-1_000, 999_999_999),
        Timestamp::new(4_102_444_800, 0),
    ] {
        for path in ["/f", "/d"] {
            k.utimens(path, None, Some(SetTime::At(mtime)))
                .await
                .holds();
            k.drop_caches();
            assert_eq!(k.stat(path).await.holds().mtime, mtime);
        }
        m.world().settle().await;
        m.wait_for_foreign_changes().await;
        k.drop_caches();
        assert_eq!(k.stat("/f").await.holds().mtime, mtime);
    }
}

/// "Now" is the filesystem's own time.
pub async fn setting_a_time_to_now_takes_the_clock<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    m.world().clock().advance(SECOND * 100);
    k.utimens("/f", Some(SetTime::Now), Some(SetTime::Now))
        .await
        .holds();
    assert_eq!(k.stat("/f").await.holds().mtime, k.wall());
}

/// A time that was set survives the close of the file: `cp -p`, `tar` and `rsync` set it just
/// before.
pub async fn a_time_that_was_set_survives_the_close<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let mtime = Timestamp::new(1_234_567_890, 1);
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.holds();
    k.write(fd, 0, b"content").await.holds();
    k.utimens("/f", None, Some(SetTime::At(mtime)))
        .await
        .holds();
    m.world().clock().advance(SECOND);
    k.close(fd).await.holds();
    assert_eq!(k.stat("/f").await.holds().mtime, mtime);
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.stat("/f").await.holds().mtime, mtime);
}

/// A new file has the time at which it was made.
pub async fn a_new_file_has_the_time_of_its_making<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    m.world().clock().advance(SECOND * 7);
    k.mknod("/f", 0o644).await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for path in ["/f", "/d"] {
        let attr = k.stat(path).await.holds();
        assert_eq!(
            (attr.mtime, attr.ctime),
            (k.wall(), k.wall()),
            "law: the times of {path}"
        );
    }
}

/// A write moves the times of change; a read does not.
pub async fn a_write_moves_the_times_and_a_read_does_not<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    let before = k.stat("/f").await.holds();
    m.world().clock().advance(SECOND);
    k.read_file("/f").await.holds();
    let read = k.stat("/f").await.holds();
    assert_eq!((read.mtime, read.ctime), (before.mtime, before.ctime));
    let fd = k.open("/f", OpenFlags::WRITE).await.holds();
    k.write(fd, 0, b"y").await.holds();
    let written = k.stat("/f").await.holds();
    k.close(fd).await.holds();
    assert!(
        written.mtime > before.mtime && written.ctime > before.ctime,
        "law: a write moves both"
    );
}

/// Truncating moves the times of change, cutting or extending.
pub async fn truncate_moves_the_times<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"0123456789").await.holds();
    for size in [5, 100, 0] {
        let before = k.stat("/f").await.holds();
        m.world().clock().advance(SECOND);
        k.truncate("/f", size).await.holds();
        let after = k.stat("/f").await.holds();
        assert!(
            after.mtime > before.mtime && after.ctime > before.ctime,
            "law: it moves both"
        );
    }
}

/// A change of attributes moves the time of that, not the time of change of the content.
pub async fn chmod_moves_ctime_only<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    let before = k.stat("/f").await.holds();
    m.world().clock().advance(SECOND);
    k.chmod("/f", 0o600).await.holds();
    let after = k.stat("/f").await.holds();
    assert_eq!(after.mtime, before.mtime);
    assert!(after.ctime > before.ctime, "law: chmod moves ctime");
}

/// The size is what a read gives, at every moment.
pub async fn the_size_agrees_with_what_is_read<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    for (offset, length) in [(0, 10_usize), (5, 10), (100, 1), (50, 200)] {
        k.write(fd, offset, &pattern(length, 1)).await.holds();
        let read = k.read_all(fd).await.holds().len() as u64;
        assert_eq!(k.stat("/f").await.holds().size, read);
        assert_eq!(k.fstat(fd).await.holds().size, read);
    }
    k.close(fd).await.holds();
    assert_eq!(k.stat("/f").await.holds().size, 250);
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.stat("/f").await.holds().size, 250);
    assert_eq!(k.read_file("/f").await.holds().len(), 250);
}

/// Rewriting a file keeps its mode, owner and number.
pub async fn a_rewrite_keeps_mode_and_owner<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"one").await.holds();
    k.chmod("/f", 0o751).await.holds();
    k.chown("/f", Some(11), Some(12)).await.holds();
    let before = k.stat("/f").await.holds();
    m.world().settle().await;
    k.write_file("/f", b"two, longer").await.holds();
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    let after = k.stat("/f").await.holds();
    assert_eq!((after.ino, after.uid, after.gid), (before.ino, 11, 12));
    assert_eq!(after.permissions.bits(), 0o751);
}

/// In a set-group-id directory everything new gets its group, and directories the bit.
pub async fn a_setgid_directory_hands_on_its_group<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o777).await.holds();
    k.chown("/d", None, Some(4242)).await.holds();
    k.chmod("/d", 0o2777).await.holds();
    let user = k.as_user(Context {
        uid: 7,
        gid: 8,
        pid: 1,
    });
    user.mknod("/d/f", 0o644).await.holds();
    user.mkdir("/d/sub", 0o755).await.holds();
    let fd = user
        .create("/d/sub/g", 0o644, OpenFlags::WRITE)
        .await
        .holds();
    user.close(fd).await.holds();
    for path in ["/d/f", "/d/sub", "/d/sub/g"] {
        let attr = k.stat(path).await.holds();
        assert_eq!(
            (attr.uid, attr.gid),
            (7, 4242),
            "law: {path} gets the group of its directory"
        );
    }
    assert_eq!(k.stat("/d/sub").await.holds().permissions.bits(), 0o2755);
    assert_eq!(k.stat("/d/f").await.holds().permissions.bits(), 0o644);
}

/// Mode, owner and times are the same after mounting again.
pub async fn attributes_survive_mounting_again<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let mtime = Timestamp::new(987_654_321, 123_456_789);
    k.write_file("/f", b"content").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for path in ["/f", "/d"] {
        k.chmod(path, 0o2710).await.holds();
        k.chown(path, Some(1001), Some(1002)).await.holds();
        k.utimens(path, None, Some(SetTime::At(mtime)))
            .await
            .holds();
    }
    m.world().settle().await;
    m.remount().await;
    let k = m.kernel();
    for path in ["/f", "/d"] {
        let attr = k.stat(path).await.holds();
        assert_eq!(
            attr.permissions.bits(),
            0o2710,
            "law: the mode of {path} survives"
        );
        assert_eq!(
            (attr.uid, attr.gid),
            (1001, 1002),
            "law: the owner of {path} survives"
        );
        assert_eq!(attr.mtime, mtime, "law: the time of {path} survives");
    }
    assert_eq!(k.stat("/f").await.holds().size, 7);
}

/// A size can be set on files only.
pub async fn a_directory_cannot_be_truncated<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.truncate("/d", 0).await.fails(ErrorKind::IsDirectory);
}

/// `access` follows owner, group and mode.
pub async fn access_follows_the_mode<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.chown("/f", Some(1), Some(2)).await.holds();
    k.chmod("/f", 0o640).await.holds();
    let read = AccessMask {
        read: true,
        ..AccessMask::default()
    };
    let write = AccessMask {
        write: true,
        ..AccessMask::default()
    };
    let execute = AccessMask {
        execute: true,
        ..AccessMask::default()
    };
    let as_user = |uid, gid| k.as_user(Context { uid, gid, pid: 1 });
    for (uid, gid, reads, writes) in [
        (1, 9, true, true),
        (9, 2, true, false),
        (9, 9, false, false),
        (0, 0, true, true),
    ] {
        let user = as_user(uid, gid);
        for (mask, may) in [(read, reads), (write, writes), (execute, false)] {
            let answer = user.access("/f", mask).await;
            if may {
                answer.holds();
            } else {
                answer.fails(ErrorKind::PermissionDenied);
            }
        }
        user.access("/f", AccessMask::default()).await.holds();
    }
}

/// The filesystem says how much room there is and how long names may be.
pub async fn statfs_tells_room_and_limits<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let told = k.statfs("/").await.holds();
    assert_eq!(told.name_bytes_max, 255);
    assert!(
        told.blocks_free > 0 && told.blocks_free <= told.blocks,
        "law: there is room"
    );
    assert!(
        told.inodes_free <= told.inodes,
        "law: no more inodes are free than there are"
    );
}

/// The root is a directory with number 1 that can be given attributes like any other.
pub async fn the_root_is_a_directory_like_others<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let (attr, _) = k
        .vfs()
        .getattr(k.context(), cloudmount_vfs::InodeId::ROOT, None)
        .await
        .holds();
    assert_eq!((attr.ino.get(), attr.links), (1, 2));
    k.chmod("/", 0o711).await.holds();
    k.drop_caches();
    assert_eq!(k.stat("/").await.holds().permissions.bits(), 0o711);
}
