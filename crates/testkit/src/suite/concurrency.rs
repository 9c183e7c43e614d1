//! Several callers at a time, on one runtime: operations overlap wherever they wait.

use std::collections::BTreeSet;

use cloudmount_vfs::{Access, ErrorKind, OpenFlags, WriteMode};
use futures::future::join_all;

use super::Mounted;
use super::holds::{Holds, pattern, same_bytes};
use crate::World;
use crate::kernel::{Interrupt, Options};

/// Writers of different files do not disturb each other.
pub async fn writers_of_different_files_do_not_meet<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let write = |number: u8| async move {
        let data = pattern(20_000 + usize::from(number), number);
        let path = format!("/{number}");
        let fd = k.create(&path, 0o644, OpenFlags::WRITE).await.holds();
        for (step, piece) in data.chunks(3_000).enumerate() {
            k.write(fd, step as u64 * 3_000, piece).await.holds();
        }
        k.close(fd).await.holds();
        same_bytes(&k.read_file(&path).await.holds(), &data);
    };
    join_all((0..16).map(write)).await;
    assert_eq!(k.names("/").await.holds().len(), 16);
}

/// Writers of different ranges of one file all get their bytes in.
pub async fn writers_of_one_file_all_get_in<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(16 * 5_000, 1);
    k.mknod("/f", 0o644).await.holds();
    let write = |number: usize| {
        let piece = &data[number * 5_000..(number + 1) * 5_000];
        async move {
            let fd = k.open("/f", OpenFlags::WRITE).await.holds();
            k.write(fd, number as u64 * 5_000, piece).await.holds();
            k.close(fd).await.holds();
        }
    };
    join_all((0..16).map(write)).await;
    m.world().settle().await;
    same_bytes(&k.read_file("/f").await.holds(), &data);
}

/// Appending callers lose nothing and write nothing twice.
pub async fn appenders_lose_nothing<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mknod("/log", 0o644).await.holds();
    let flags = OpenFlags {
        access: Access::Write,
        write_mode: WriteMode::Append,
        ..OpenFlags::READ
    };
    let append = |writer: usize| async move {
        let fd = k.open("/log", flags).await.holds();
        for line in 0..20 {
            k.write(fd, 0, format!("{writer}:{line}\n").as_bytes())
                .await
                .holds();
        }
        k.close(fd).await.holds();
    };
    join_all((0..8).map(append)).await;
    let log = k.read_file("/log").await.holds();
    let text = String::from_utf8_lossy(&log);
    let lines: BTreeSet<_> = text.lines().collect();
    assert_eq!((lines.len(), text.lines().count()), (160, 160));
}

/// Of several callers that create one name exclusively, one wins.
pub async fn one_exclusive_creator_wins<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let flags = OpenFlags {
        exclusive: true,
        ..OpenFlags::WRITE
    };
    for round in 0..5 {
        let path = &format!("/{round}");
        let create = |_| k.create(path, 0o644, flags);
        let mut winners = 0;
        for result in join_all((0..8).map(create)).await {
            match result {
                Ok(fd) => {
                    winners += 1;
                    k.close(fd).await.holds();
                }
                refused => refused.fails(ErrorKind::Exists),
            }
        }
        assert_eq!(winners, 1, "law: one exclusive creator wins");
        let made = join_all((0..8).map(|_| k.mkdir("/d", 0o755))).await;
        assert_eq!(made.iter().filter(|result| result.is_ok()).count(), 1);
        k.rmdir("/d").await.holds();
    }
}

/// Callers that look one name up get one number.
pub async fn lookups_agree_on_the_number<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"x").await.holds();
    m.world().settle().await;
    for _ in 0..4 {
        k.drop_caches();
        let attrs = join_all((0..16).map(|_| k.stat("/d/f"))).await;
        let numbers: BTreeSet<_> = attrs.into_iter().map(|attr| attr.holds().ino).collect();
        assert_eq!(numbers.len(), 1, "law: one file, one number");
    }
}

/// Several renames to one name leave one file there and lose none that lost.
pub async fn renames_to_one_name_leave_one<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for number in 0..8 {
        k.write_file(&format!("/{number}"), format!("{number}").as_bytes())
            .await
            .holds();
    }
    let rename = |number: usize| async move { k.rename(&format!("/{number}"), "/target").await };
    for result in join_all((0..8).map(rename)).await {
        result.holds();
    }
    assert_eq!(k.names("/").await.holds(), ["target"]);
    assert_eq!(k.read_file("/target").await.holds().len(), 1);
}

/// A rename that several callers try succeeds once.
pub async fn a_rename_succeeds_once<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/a", b"a").await.holds();
    let rename = |number: usize| async move { k.rename("/a", &format!("/b{number}")).await };
    let mut moved = 0;
    for result in join_all((0..8).map(rename)).await {
        match result {
            Ok(()) => moved += 1,
            refused => refused.fails(ErrorKind::NotFound),
        }
    }
    assert_eq!(moved, 1, "law: a name can be taken away once");
    assert_eq!(k.names("/").await.holds().len(), 1);
}

/// Creating, renaming and removing at the same time leaves what is left and nothing else.
pub async fn a_storm_of_changes_leaves_what_is_left<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    let storm = |number: usize| async move {
        for round in 0..10 {
            let (one, two) = (
                format!("/d/{number}-{round}"),
                format!("/d/{number}={round}"),
            );
            k.write_file(&one, b"x").await.holds();
            k.rename(&one, &two).await.holds();
            k.names("/d").await.holds();
            if round > 0 {
                k.unlink(&two).await.holds();
            }
        }
    };
    join_all((0..6).map(storm)).await;
    let wanted: Vec<_> = (0..6).map(|number| format!("{number}=0")).collect();
    assert_eq!(k.names("/d").await.holds(), wanted);
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.names("/d").await.holds(), wanted);
}

/// Whoever reads while another writes sees, byte by byte, the old content or the new.
pub async fn a_reader_sees_old_or_new_bytes<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", &[b'o'; 50_000]).await.holds();
    m.world().settle().await;
    let writer = async {
        let fd = k.open("/f", OpenFlags::WRITE).await.holds();
        for step in 0..10 {
            k.write(fd, step * 5_000, &[b'n'; 5_000]).await.holds();
        }
        k.close(fd).await.holds();
    };
    let reader = async {
        for _ in 0..10 {
            let data = k.read_file("/f").await.holds();
            assert_eq!(data.len(), 50_000);
            assert!(
                data.iter().all(|byte| b"on".contains(byte)),
                "law: old or new, nothing else"
            );
        }
    };
    futures::future::join(writer, reader).await;
    same_bytes(&k.read_file("/f").await.holds(), &[b'n'; 50_000]);
}

/// An operation that was dropped before it was ready, and is then repeated, gives the same result
/// as if it had run once.
pub async fn an_interrupted_operation_can_be_repeated<W: World>(m: &mut Mounted<W>) {
    let options = Options {
        interrupt: Interrupt::Always,
        ..m.world().options()
    };
    let k = m.second_kernel(options).await;
    let exclusive = OpenFlags {
        exclusive: true,
        ..OpenFlags::READ_WRITE
    };
    k.mkdir("/d", 0o755).await.holds();
    k.mknod("/d/made", 0o644).await.holds();
    let fd = k.create("/d/f", 0o644, exclusive).await.holds();
    k.write(fd, 0, b"one ").await.holds();
    k.write(fd, 4, b"two").await.holds();
    k.close(fd).await.holds();
    let append = OpenFlags {
        access: Access::Write,
        write_mode: WriteMode::Append,
        ..OpenFlags::READ
    };
    let fd = k.open("/d/f", append).await.holds();
    k.write(fd, 0, b" three").await.holds();
    k.close(fd).await.holds();
    assert_eq!(k.read_file("/d/f").await.holds(), "one two three");
    k.symlink("f", "/d/s").await.holds();
    k.rename("/d/f", "/d/g").await.holds();
    k.truncate("/d/g", 3).await.holds();
    assert_eq!(k.names("/d").await.holds(), ["g", "made", "s"]);
    for path in ["/d/g", "/d/made", "/d/s"] {
        k.unlink(path).await.holds();
    }
    k.rmdir("/d").await.holds();
    assert_eq!(k.names("/").await.holds(), [""; 0]);
    k.unmount().await.holds();
}
