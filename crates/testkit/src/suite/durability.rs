//! Durability: what settles in the bucket, as any other client reads it.

use cloudmount_vfs::{OpenFlags, SyncScope};

use super::Mounted;
use super::holds::{Holds, pattern, same_bytes};
use crate::World;

/// Each file is under the key that its path says, byte for byte.
pub async fn a_file_is_under_its_key_byte_for_byte<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/d/sub", 0o755).await.holds();
    let contents = [
        ("/f", 10),
        ("/d/g", 100_000),
        ("/d/sub/h", (8 << 20) + 1),
        ("/empty", 0),
    ];
    for (path, length) in contents {
        k.write_file(path, &pattern(length, 1)).await.holds();
    }
    m.world().settle().await;
    for (path, length) in contents {
        let object = m.object(path).await;
        same_bytes(
            &object.expect("law: each file is an object"),
            &pattern(length, 1),
        );
    }
}

/// A name is part of the key as it is, whatever characters it holds.
pub async fn names_are_keys_as_they_are<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let names = [
        " ", "a b", "a+b", "a%20b", "%", "é", "e\u{301}", "😀", "a\\b", "a?b#c&d", "~",
    ];
    for name in names {
        k.write_file(&format!("/{name}"), name.as_bytes())
            .await
            .holds();
    }
    m.world().settle().await;
    let mut wanted = names.map(str::to_owned);
    wanted.sort();
    assert_eq!(m.keys().await, wanted);
    for name in names {
        let object = m.object(&format!("/{name}")).await;
        assert_eq!(object.as_deref(), Some(name.as_bytes()));
    }
}

/// A removed file is gone from the bucket.
pub async fn a_removed_file_is_gone_from_the_bucket<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/settled", b"x").await.holds();
    m.world().settle().await;
    k.write_file("/fresh", b"x").await.holds();
    k.unlink("/settled").await.holds();
    k.unlink("/fresh").await.holds();
    m.world().settle().await;
    assert_eq!(m.keys().await, [""; 0]);
}

/// After several rewrites the last content is in the bucket.
pub async fn the_last_content_is_in_the_bucket<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for round in 0..5_u8 {
        let data = pattern(10_000 * (5 - usize::from(round)), round);
        k.write_file("/f", &data).await.holds();
        if round % 2 == 0 {
            m.world().settle().await;
            same_bytes(&m.object("/f").await.expect("law: it is there"), &data);
        }
    }
    m.world().settle().await;
    same_bytes(
        &m.object("/f").await.expect("law: it is there"),
        &pattern(10_000, 4),
    );
}

/// Overwriting, appending, cutting and extending all arrive.
pub async fn every_kind_of_change_arrives<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"0123456789").await.holds();
    m.world().settle().await;
    let fd = k.open("/f", OpenFlags::WRITE).await.holds();
    k.write(fd, 2, b"XX").await.holds();
    k.close(fd).await.holds();
    m.world().settle().await;
    assert_eq!(m.object("/f").await.as_deref(), Some(&b"01XX456789"[..]));
    k.truncate("/f", 5).await.holds();
    m.world().settle().await;
    assert_eq!(m.object("/f").await.as_deref(), Some(&b"01XX4"[..]));
    k.truncate("/f", 8).await.holds();
    m.world().settle().await;
    assert_eq!(m.object("/f").await.as_deref(), Some(&b"01XX4\0\0\0"[..]));
    k.write_file("/f", b"").await.holds();
    m.world().settle().await;
    assert_eq!(m.object("/f").await.as_deref(), Some(&b""[..]));
}

/// A renamed file is under its new key only.
pub async fn a_renamed_file_is_under_its_new_key_only<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    for settles in [false, true] {
        k.write_file("/a", b"content").await.holds();
        if settles {
            m.world().settle().await;
        }
        k.rename("/a", "/d/b").await.holds();
        m.world().settle().await;
        assert_eq!(m.object("/d/b").await.as_deref(), Some(&b"content"[..]));
        assert_eq!(m.keys().await, ["d/", "d/b"]);
    }
}

/// All keys of a renamed folder move, those that are in the bucket and those that are not yet.
pub async fn all_keys_of_a_renamed_folder_move<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for path in ["/d", "/d/sub", "/d/empty"] {
        k.mkdir(path, 0o755).await.holds();
    }
    for number in 0..20 {
        k.write_file(&format!("/d/sub/{number:02}"), &pattern(100, number))
            .await
            .holds();
    }
    m.world().settle().await;
    k.write_file("/d/fresh", b"fresh").await.holds();
    k.rename("/d", "/e").await.holds();
    m.world().settle().await;
    let mut wanted: Vec<_> = (0..20).map(|number| format!("e/sub/{number:02}")).collect();
    wanted.extend(["e/", "e/empty/", "e/fresh", "e/sub/"].map(str::to_owned));
    wanted.sort();
    assert_eq!(m.keys().await, wanted);
    for number in 0..20 {
        let object = m.object(&format!("/e/sub/{number:02}")).await;
        same_bytes(
            &object.expect("law: each file moved"),
            &pattern(100, number),
        );
    }
}

/// A folder that was made has a marker, and has none when it was removed.
pub async fn a_folder_has_a_marker<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/d/sub", 0o755).await.holds();
    m.world().settle().await;
    assert_eq!(m.keys().await, ["d/", "d/sub/"]);
    assert_eq!(
        m.object("/d/").await.as_deref(),
        Some(&b""[..]),
        "law: a marker is empty"
    );
    k.rmdir("/d/sub").await.holds();
    k.rmdir("/d").await.holds();
    m.world().settle().await;
    assert_eq!(m.keys().await, [""; 0]);
}

/// A file that is unlinked while it is written leaves nothing in the bucket.
pub async fn an_unlinked_file_leaves_no_key<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.holds();
    k.write(fd, 0, &pattern(50_000, 1)).await.holds();
    k.fsync(fd, SyncScope::DataAndAttributes).await.holds();
    k.unlink("/f").await.holds();
    k.write(fd, 50_000, b"more").await.holds();
    m.world().settle().await;
    k.close(fd).await.holds();
    m.world().settle().await;
    assert_eq!(m.keys().await, [""; 0]);
}

/// A file that is renamed while it is written ends under its new key only, with all its bytes.
pub async fn a_file_renamed_while_written_ends_under_its_new_key<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(60_000, 2);
    let fd = k.create("/a", 0o644, OpenFlags::WRITE).await.holds();
    k.write(fd, 0, &data[..30_000]).await.holds();
    k.rename("/a", "/b").await.holds();
    k.write(fd, 30_000, &data[30_000..]).await.holds();
    k.close(fd).await.holds();
    m.world().settle().await;
    assert_eq!(m.keys().await, ["b"]);
    same_bytes(&m.object("/b").await.expect("law: it is there"), &data);
}

/// However busy it was, the bucket ends with the files that are left and nothing else.
pub async fn the_bucket_ends_as_the_last_calls_say<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    for round in 0..6_u8 {
        let tmp = format!("/d/tmp{round}");
        k.write_file(&tmp, &pattern(1_000, round)).await.holds();
        k.rename(&tmp, "/d/kept").await.holds();
        k.write_file(&tmp, b"again").await.holds();
        k.write_file("/d/twice", &pattern(500, round)).await.holds();
        k.truncate("/d/twice", 100).await.holds();
        k.unlink(&tmp).await.holds();
        if round % 2 == 1 {
            m.world().settle().await;
        }
        k.rename("/d", "/e").await.holds();
        k.rename("/e", "/d").await.holds();
    }
    m.world().settle().await;
    assert_eq!(m.keys().await, ["d/", "d/kept", "d/twice"]);
    same_bytes(
        &m.object("/d/kept").await.expect("law: it is there"),
        &pattern(1_000, 5),
    );
    same_bytes(
        &m.object("/d/twice").await.expect("law: it is there"),
        &pattern(500, 5)[..100],
    );
}

/// A change of attributes alone leaves the content in the bucket as it was.
pub async fn a_change_of_attributes_keeps_the_content<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(20_000, 3);
    k.write_file("/f", &data).await.holds();
    m.world().settle().await;
    k.chmod("/f", 0o600).await.holds();
    k.chown("/f", Some(5), Some(6)).await.holds();
    m.world().settle().await;
    same_bytes(&m.object("/f").await.expect("law: it is there"), &data);
    assert_eq!(m.keys().await, ["f"]);
}

/// Files and folders are there after mounting again, with content and names.
pub async fn everything_survives_mounting_again<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.mkdir("/d/empty", 0o755).await.holds();
    k.write_file("/d/f", &pattern(30_000, 4)).await.holds();
    k.write_file("/a%20b é", b"named").await.holds();
    k.write_file("/gone", b"").await.holds();
    k.unlink("/gone").await.holds();
    m.world().settle().await;
    m.remount().await;
    let k = m.kernel();
    assert_eq!(k.names("/").await.holds(), ["a%20b é", "d"]);
    assert_eq!(k.names("/d").await.holds(), ["empty", "f"]);
    same_bytes(&k.read_file("/d/f").await.holds(), &pattern(30_000, 4));
    assert_eq!(k.read_file("/a%20b é").await.holds(), "named");
}

/// What was closed before unmounting is there after mounting again, though nobody waited for it to
/// arrive in the bucket.
pub async fn what_was_closed_survives_mounting_again<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(200_000, 5);
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", &data).await.holds();
    m.remount().await;
    let k = m.kernel();
    same_bytes(&k.read_file("/d/f").await.holds(), &data);
    m.world().settle().await;
    k.drop_caches();
    same_bytes(&k.read_file("/d/f").await.holds(), &data);
}
