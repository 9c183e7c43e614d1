//! Changes made in the bucket behind the filesystem's back.

use std::collections::BTreeMap;

use cloudmount_store::{Metadata, Tags};
use cloudmount_vfs::{ErrorKind, NodeKind, OpenFlags};

use super::Mounted;
use super::holds::{Holds, pattern, same_bytes};
use crate::World;

/// An object that someone put is a file.
pub async fn a_foreign_object_is_a_file<W: World>(m: &mut Mounted<W>) {
    m.put("/f", "from outside").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    let attr = k.stat("/f").await.holds();
    assert_eq!((attr.kind, attr.size, attr.links), (NodeKind::File, 12, 1));
    assert_eq!(k.read_file("/f").await.holds(), "from outside");
    assert_eq!(k.names("/").await.holds(), ["f"]);
}

/// A name that was looked up in vain is found once someone has put it.
pub async fn a_missing_name_is_found_when_it_appears<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.stat("/f").await.fails(ErrorKind::NotFound);
    assert_eq!(k.names("/").await.holds(), [""; 0]);
    m.put("/f", "here").await;
    m.wait_for_foreign_changes().await;
    assert_eq!(k.read_file("/f").await.holds(), "here");
    assert_eq!(k.names("/").await.holds(), ["f"]);
}

/// An object that someone replaced shows its new size and content; its number stays.
pub async fn a_foreign_overwrite_is_seen<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"ours").await.holds();
    m.world().settle().await;
    let before = k.stat("/f").await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "ours");
    for content in ["theirs, longer", "same", "emas", ""] {
        m.world()
            .clock()
            .pass(std::time::Duration::from_secs(3))
            .await;
        m.put("/f", content).await;
        m.wait_for_foreign_changes().await;
        let after = k.stat("/f").await.holds();
        assert_eq!((after.ino, after.size), (before.ino, content.len() as u64));
        assert_eq!(k.read_file("/f").await.holds(), content);
    }
}

/// An object that someone removed is gone.
pub async fn a_foreign_removal_is_seen<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"ours").await.holds();
    m.put("/g", "theirs").await;
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    assert_eq!(k.names("/").await.holds(), ["f", "g"]);
    m.delete("/f").await;
    m.delete("/g").await;
    m.wait_for_foreign_changes().await;
    k.stat("/f").await.fails(ErrorKind::NotFound);
    k.open("/g", OpenFlags::READ)
        .await
        .fails(ErrorKind::NotFound);
    assert_eq!(k.names("/").await.holds(), [""; 0]);
}

/// Keys with slashes are files in folders, though nobody made the folders.
pub async fn foreign_keys_make_folders<W: World>(m: &mut Mounted<W>) {
    m.put("/a/b/c/f", "deep").await;
    m.put("/a/g", "less deep").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    assert_eq!(k.names("/").await.holds(), ["a"]);
    assert_eq!(k.names("/a").await.holds(), ["b", "g"]);
    assert_eq!(k.stat("/a/b/c").await.holds().kind, NodeKind::Directory);
    assert_eq!(k.read_file("/a/b/c/f").await.holds(), "deep");
    k.write_file("/a/b/ours", b"x").await.holds();
    assert_eq!(k.names("/a/b").await.holds(), ["c", "ours"]);
}

/// A marker that someone put is an empty folder.
pub async fn a_foreign_marker_is_a_folder<W: World>(m: &mut Mounted<W>) {
    m.put("/d/", "").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    assert_eq!(k.stat("/d").await.holds().kind, NodeKind::Directory);
    assert_eq!(k.names("/d").await.holds(), [""; 0]);
    k.write_file("/d/f", b"x").await.holds();
    assert_eq!(k.names("/d").await.holds(), ["f"]);
}

/// A folder without a marker goes when someone removes the last key below it.
pub async fn a_folder_without_marker_goes_with_its_last_key<W: World>(m: &mut Mounted<W>) {
    m.put("/d/sub/f", "x").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    assert_eq!(k.names("/d/sub").await.holds(), ["f"]);
    m.delete("/d/sub/f").await;
    m.wait_for_foreign_changes().await;
    k.stat("/d/sub/f").await.fails(ErrorKind::NotFound);
    assert_eq!(k.names("/").await.holds(), [""; 0]);
    k.stat("/d").await.fails(ErrorKind::NotFound);
}

/// A folder without a marker stays when its last entry is removed here.
pub async fn a_folder_without_marker_stays_when_emptied_here<W: World>(m: &mut Mounted<W>) {
    m.put("/d/f", "x").await;
    m.put("/e/g", "x").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    k.unlink("/d/f").await.holds();
    k.rename("/e/g", "/g").await.holds();
    for _ in 0..2 {
        assert_eq!(k.names("/").await.holds(), ["d", "e", "g"]);
        assert_eq!(k.names("/d").await.holds(), [""; 0]);
        m.world().settle().await;
        m.wait_for_foreign_changes().await;
        k.drop_caches();
    }
    k.rmdir("/d").await.holds();
    k.rmdir("/e").await.holds();
    m.world().settle().await;
    assert_eq!(m.keys().await, ["g"]);
}

/// Removing the marker of a folder that has keys leaves the folder.
pub async fn a_folder_with_keys_needs_no_marker<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"x").await.holds();
    m.world().settle().await;
    m.delete("/d/").await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.names("/d").await.holds(), ["f"]);
    m.delete("/d/f").await;
    m.wait_for_foreign_changes().await;
    k.stat("/d").await.fails(ErrorKind::NotFound);
}

/// A reader whose object is replaced meanwhile gets the old bytes or `Stale`, never a mixture.
pub async fn a_reader_never_sees_a_mixture<W: World>(m: &mut Mounted<W>) {
    let old = pattern(3 << 20, 1);
    let new = pattern(3 << 20, 0xFF);
    m.put("/f", old.clone()).await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    let fd = k.open("/f", OpenFlags::READ).await.holds();
    let half = 1 << 20;
    same_bytes(&k.read(fd, 0, half).await.holds(), &old[..half]);
    m.put("/f", new.clone()).await;
    match k.read(fd, half as u64, half).await {
        Ok(data) => same_bytes(&data, &old[half..2 * half]),
        refused => refused.fails(ErrorKind::Stale),
    }
    m.wait_for_foreign_changes().await;
    match k.read(fd, 2 * half as u64, half).await {
        Ok(data) => same_bytes(&data, &old[2 * half..]),
        refused => refused.fails(ErrorKind::Stale),
    }
    k.close(fd).await.holds();
    same_bytes(&k.read_file("/f").await.holds(), &new);
}

/// A reader whose object shrank or went meanwhile gets the old bytes or an error, never zeros.
pub async fn a_reader_of_a_removed_object_gets_old_bytes_or_an_error<W: World>(m: &mut Mounted<W>) {
    let old = pattern(100_000, 1);
    m.put("/f", old.clone()).await;
    m.put("/g", old.clone()).await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    let removed = k.open("/f", OpenFlags::READ).await.holds();
    let shrunk = k.open("/g", OpenFlags::READ).await.holds();
    m.delete("/f").await;
    m.put("/g", "short").await;
    for fd in [removed, shrunk] {
        match k.read(fd, 50_000, 1_000).await {
            Ok(data) => same_bytes(&data, &old[50_000..51_000]),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Stale | ErrorKind::NotFound),
                "law: a reader is told that its file changed; {error:?}"
            ),
        }
        k.close(fd).await.holds();
    }
}

/// A file that is opened after a foreign overwrite shows the new content, though others still have
/// the old one open.
pub async fn opening_after_a_foreign_overwrite_shows_the_new<W: World>(m: &mut Mounted<W>) {
    m.put("/f", "old").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    let old = k.open("/f", OpenFlags::READ).await.holds();
    assert_eq!(k.read(old, 0, 10).await.holds(), "old");
    m.put("/f", "new content").await;
    m.wait_for_foreign_changes().await;
    assert_eq!(k.read_file("/f").await.holds(), "new content");
    k.close(old).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "new content");
}

/// What is changed here is not undone by an older state of the bucket.
pub async fn a_local_change_is_not_undone_by_the_bucket<W: World>(m: &mut Mounted<W>) {
    m.put("/a", "theirs").await;
    m.put("/b", "theirs").await;
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    assert_eq!(k.names("/").await.holds(), ["a", "b"]);
    k.unlink("/a").await.holds();
    k.write_file("/b", b"ours").await.holds();
    k.write_file("/c", b"ours").await.holds();
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.names("/").await.holds(), ["b", "c"]);
    assert_eq!(k.read_file("/b").await.holds(), "ours");
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    assert_eq!(k.names("/").await.holds(), ["b", "c"]);
}

/// Content type and unknown user metadata are kept by a rewrite, a rename and a change of mode.
pub async fn foreign_metadata_is_kept<W: World>(m: &mut Mounted<W>) {
    let user = [("project".to_owned(), "apollo".to_owned())].into();
    let content_type = Some("image/png".to_owned());
    let tags = BTreeMap::from([("class".to_owned(), "secret".to_owned())]);
    let mut metadata = Metadata {
        content_type,
        user,
        ..Metadata::default()
    };
    m.put_with("/f", "picture", metadata.clone()).await;
    if m.tags("/f").await.is_some() {
        metadata.tags = Tags::from(tags.clone());
        m.put_with("/f", "picture", metadata).await;
    }
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    for step in 0..3 {
        let path = match step {
            0 => {
                k.chmod("/f", 0o600).await.holds();
                "/f"
            }
            1 => {
                k.write_file("/f", b"other picture").await.holds();
                "/f"
            }
            _ => {
                k.rename("/f", "/g").await.holds();
                "/g"
            }
        };
        m.world().settle().await;
        let kept = m.metadata(path).await;
        assert_eq!(
            kept.content_type.as_deref(),
            Some("image/png"),
            "law: step {step} keeps it"
        );
        assert_eq!(kept.user.get("project").map(String::as_str), Some("apollo"));
        if let Some(found) = m.tags(path).await {
            assert_eq!(found, tags, "law: step {step} keeps the tags");
        }
    }
}

/// A folder of more foreign objects than a page of the listing is shown whole.
pub async fn many_foreign_objects_are_listed_whole<W: World>(m: &mut Mounted<W>) {
    let names: Vec<_> = (0..1_200).map(|number| format!("{number:04}")).collect();
    for name in &names {
        m.put(&format!("/d/{name}"), "x").await;
    }
    m.wait_for_foreign_changes().await;
    assert_eq!(m.kernel().names("/d").await.holds(), names);
}

/// Keys that no path can say are shown under other names: none hides another, none breaks the
/// listing, each can be read and removed.
pub async fn keys_that_no_path_can_say_are_shown_and_hide_nothing<W: World>(m: &mut Mounted<W>) {
    let keys = [
        "/k/a",
        "/k/a/b",
        "/k/x//y",
        "/k/./z",
        "/k/../w",
        "/k/c\u{1}d",
        "/k/plain",
    ];
    let long = format!("/k/{}", "n".repeat(300));
    let mut wanted = Vec::new();
    for key in keys.into_iter().chain([&*long]) {
        m.put(key, key.to_owned()).await;
        wanted.push(key.to_owned());
    }
    m.wait_for_foreign_changes().await;
    let k = m.kernel();
    let mut found = Vec::new();
    let mut folders = vec!["/k".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in k.readdir(&folder).await.holds() {
            let path = format!("{folder}/{}", entry.name);
            if entry.kind == crate::kernel::Kind::Directory {
                folders.push(path);
                continue;
            }
            found.push(String::from_utf8_lossy(&k.read_file(&path).await.holds()).into_owned());
            k.unlink(&path).await.holds();
        }
    }
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    m.world().settle().await;
    let mut left = m.keys().await;
    left.retain(|key| !key.ends_with('/'));
    assert_eq!(
        left, [""; 0],
        "law: what was removed is gone from the bucket"
    );
}
