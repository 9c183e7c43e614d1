//! What objects told of themselves is known again after the end of a mount, and never believed of other objects.

use std::path::Path;
use std::sync::Arc;

use cloudmount_cache::notes::{Notes, NotesSettings, clear_notes, notes_info};
use cloudmount_core::{Attributes, CoreSettings};
use cloudmount_store::Metadata;
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{World as _, transcript};
use tempfile::TempDir;

use crate::world::CoreWorld;

/// Room for all that these tests do, but one.
const MANY_BYTES: u64 = 1 << 20;

fn notes(root: &Path, limit_bytes: u64) -> Notes {
    Notes::new(NotesSettings {
        folder: root.join("attributes"),
        bucket: "memory".to_owned(),
        bucket_folder: "memory".to_owned(),
        limit_bytes,
    })
}

async fn mounted(root: &Path, limit_bytes: u64) -> Mounted<CoreWorld> {
    let notes = notes(root, limit_bytes);
    let world = CoreWorld::remembering(CoreSettings::default(), notes).quietly();
    Mounted::new(world).await
}

/// Runs steps, with the calls that reach the store.
async fn check(mounted: &mut Mounted<CoreWorld>, text: &str) {
    let log = Arc::clone(&mounted.world().log);
    transcript::check(mounted, &log, text).await;
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The files of notes.
fn files(root: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(root.join("attributes/memory")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// A mount over a folder `d` of two files and a symlink, which another one wrote three seconds ago, and whose
/// attributes this one has asked for.
async fn known(root: &Path, limit_bytes: u64) -> Mounted<CoreWorld> {
    let mut writer = mounted(root, limit_bytes).await;
    check(
        &mut writer,
        r#"
        mkdir /d 755 => ok
            list "" by-folder
        write /d/a "1" => ok
        write /d/b "22" => ok
        ln target /d/s => ok
        chmod /d/a 600 => ok
        setxattr /d/b user.a "v" => ok
        settle => ok
            put d/ 0 bytes -> v1
            put d/a 1 bytes if-absent -> v2
            put d/b 2 bytes if-absent -> v3
            put d/s 6 bytes if-absent -> v4
        wait 3000 => ok
        "#,
    )
    .await;
    let reader = writer.world().beside();
    writer.end().await;
    let mut reader = Mounted::new(reader).await;
    check(
        &mut reader,
        r#"
        ls /d => a b s@
            list "" by-folder
            head d/
            list d/ by-folder
            head d/a
            head d/b
            head d/s
        "#,
    )
    .await;
    reader
}

/// What is asked of the store to list `d` when all is remembered.
const ALL_KNOWN: &str = r#"
    ls /d => a b s@
        list "" by-folder
        head d/
        list d/ by-folder
"#;

/// And when nothing is.
const NOTHING_KNOWN: &str = r#"
    ls /d => a b s@
        list "" by-folder
        head d/
        list d/ by-folder
        head d/a
        head d/b
        head d/s
"#;

#[tokio::test]
async fn an_unchanged_object_is_not_asked_for_after_a_restart() {
    let dir = dir();
    let mut mounted = known(dir.path(), MANY_BYTES).await;
    check(
        &mut mounted,
        "
        readlink /d/s => \"target\"
            get d/s if-match v4
        ",
    )
    .await;
    mounted.remount().await;
    check(&mut mounted, ALL_KNOWN).await;
    check(
        &mut mounted,
        r#"
        stat /d/a => file 0600 0:0 1 bytes
        stat /d/b => file 0644 0:0 2 bytes
        readlink /d/s => "target"
        getxattr /d/b user.a => "v"
        chmod /d/b 640 => ok
        settle => ok
            copy d/b if-match v3 to d/b replacing metadata -> v5
        listxattr /d/b => user.a
        "#,
    )
    .await;
    mounted.end().await;
}

/// A single name, too, is known by a listing; and one that is opened needs no question.
#[tokio::test]
async fn a_name_that_is_looked_up_is_recognised() {
    let dir = dir();
    let mut mounted = known(dir.path(), MANY_BYTES).await;
    mounted.remount().await;
    check(
        &mut mounted,
        r#"
        stat /d/a => file 0600 0:0 1 bytes
            list "" by-folder
            head d/
            list d/ by-folder
        cat /d/b => "22"
            get d/b 0..2 if-match v3
        rm /d/a => ok
        "#,
    )
    .await;
    mounted.end().await;
}

/// What this mount wrote needs no question, once a listing has told its date.
#[tokio::test]
async fn what_was_written_here_is_known_after_a_restart() {
    let dir = dir();
    let mut mounted = mounted(dir.path(), MANY_BYTES).await;
    check(
        &mut mounted,
        r#"
        write /a "1" => ok
            list "" by-folder
        ln target /s => ok
        settle => ok
            put a 1 bytes if-absent -> v1
            put s 6 bytes if-absent -> v2
        chmod /a 600 => ok
        settle => ok
            copy a if-match v1 to a replacing metadata -> v3
        wait 3000 => ok
        ls / => a s@
            list "" by-folder
        stat /a => file 0600 0:0 1 bytes
            head a
        stat /s => symlink 0777 0:0 6 bytes
            head s
        "#,
    )
    .await;
    mounted.remount().await;
    check(
        &mut mounted,
        r#"
        ls / => a s@
            list "" by-folder
        stat /a => file 0600 0:0 1 bytes
        readlink /s => "target"
        "#,
    )
    .await;
    mounted.end().await;
}

/// Only what is as it was is known: not another content, nor other metadata of the same content.
#[tokio::test]
async fn a_changed_object_is_asked_for() {
    let dir = dir();
    let mut mounted = known(dir.path(), MANY_BYTES).await;
    mounted.remount().await;
    let mut other = Mounted::new(mounted.world().beside()).await;
    check(
        &mut other,
        r#"
        chmod /d/b 640 => ok
            list "" by-folder
            head d/
            list d/ by-folder
        settle => ok
            copy d/b if-match v3 to d/b replacing metadata -> v5
        "#,
    )
    .await;
    other.end().await;
    mounted.put("/d/a", "other").await;
    check(
        &mut mounted,
        r#"
        ls /d => a b s@
            list "" by-folder
            head d/
            list d/ by-folder
            head d/a
            head d/b
        stat /d/a => file 0644 0:0 5 bytes
        stat /d/b => file 0640 0:0 2 bytes
        "#,
    )
    .await;
    mounted.end().await;
}

/// Somebody may change metadata within the same second: what is so young is asked for again.
#[tokio::test]
async fn what_was_asked_for_right_after_it_was_written_is_asked_for_again() {
    let dir = dir();
    let mut mounted = mounted(dir.path(), MANY_BYTES).await;
    mounted.put("/f", "1").await;
    let ask = r#"
        ls / => f
            list "" by-folder
            head f
    "#;
    check(&mut mounted, ask).await;
    mounted.remount().await;
    check(&mut mounted, "wait 3000 => ok").await;
    check(&mut mounted, ask).await;
    mounted.remount().await;
    check(&mut mounted, "ls / => f\n    list \"\" by-folder").await;
    mounted.end().await;
}

/// Whatever happens to the folder costs questions, and nothing else.
#[tokio::test]
async fn what_is_damaged_is_asked_for() {
    let dir = dir();
    let mut mounted = known(dir.path(), MANY_BYTES).await;
    for damage in ["damaged", "foreign", "gone", "a file in the way"] {
        mounted.remount().await;
        check(&mut mounted, ALL_KNOWN).await;
        let file = files(dir.path()).pop().unwrap();
        let folder = dir.path().join("attributes");
        match damage {
            "damaged" => {
                let mut bytes = std::fs::read(&file).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&file, bytes).unwrap();
            }
            "foreign" => std::fs::write(&file, "none of ours").unwrap(),
            "gone" => drop(clear_notes(&folder).unwrap()),
            _ => {
                std::fs::remove_dir_all(&folder).unwrap();
                std::fs::write(&folder, "in the way").unwrap();
            }
        }
        mounted.remount().await;
        check(&mut mounted, NOTHING_KNOWN).await;
    }
    mounted.remount().await;
    check(&mut mounted, NOTHING_KNOWN).await;
    mounted.end().await;
}

/// A mount that is not ended well has written what it learnt all the same, some seconds later; and two that use
/// the same folder at once do not harm each other.
#[tokio::test]
async fn another_mount_knows_what_this_one_learnt() {
    let dir = dir();
    let mut one = known(dir.path(), MANY_BYTES).await;
    check(&mut one, "wait 6000 => ok").await;
    let is_written = |world: &CoreWorld| {
        let _ = world;
        notes_info(&dir.path().join("attributes")).is_ok_and(|info| !info.is_empty())
    };
    one.world().until("written", is_written).await;
    let mut two = Mounted::new(one.world().beside()).await;
    check(&mut two, ALL_KNOWN).await;
    two.put("/d/c", "3").await;
    check(
        &mut two,
        r#"
        wait 3000 => ok
        ls /d => a b c s@
            list "" by-folder
            head d/
            list d/ by-folder
            head d/c
        "#,
    )
    .await;
    two.remount().await;
    one.remount().await;
    for mount in [&mut one, &mut two] {
        check(
            mount,
            r#"
            ls /d => a b c s@
                list "" by-folder
                head d/
                list d/ by-folder
            "#,
        )
        .await;
    }
    one.end().await;
    two.end().await;
}

/// The folder keeps its limit, and the last folders are known.
#[tokio::test]
async fn the_limit_of_what_is_remembered_holds() {
    let dir = dir();
    let limit = 64 << 10;
    let mut mounted = mounted(dir.path(), limit).await;
    for folder in 0..40 {
        mounted.put(&format!("/{folder:02}/f"), "1").await;
    }
    check(&mut mounted, "wait 3000 => ok").await;
    let used = || {
        let info = notes_info(&dir.path().join("attributes")).unwrap();
        info.values().map(|bucket| bucket.disk_bytes).sum::<u64>()
    };
    for folder in 0..40 {
        let names = mounted.kernel().names(&format!("/{folder:02}")).await;
        assert_eq!(names.unwrap(), ["f"]);
    }
    mounted.remount().await;
    assert!((1..=limit).contains(&used()), "{} bytes", used());
    let log = Arc::clone(&mounted.world().log);
    for folder in 0..40 {
        let names = mounted.kernel().names(&format!("/{folder:02}")).await;
        assert_eq!(names.unwrap(), ["f"]);
    }
    let heads = log.take();
    let heads = heads.iter().filter(|line| line.ends_with("/f")).count();
    assert!((24..40).contains(&heads), "{heads} were asked for");
    mounted.end().await;
}

/// Nothing is asked of the folder, and nothing kept, where only listings are shown.
#[tokio::test]
async fn where_only_listings_are_shown_nothing_is_remembered() {
    let dir = dir();
    let notes = notes(dir.path(), MANY_BYTES);
    let settings = CoreSettings {
        attributes: Attributes::Listing,
        ..CoreSettings::default()
    };
    let world = CoreWorld::remembering(settings, notes).quietly();
    let mut mounted = Mounted::new(world).await;
    mounted.put("/f", "1").await;
    check(
        &mut mounted,
        r#"
        wait 3000 => ok
        cat /f => "1"
            list "" by-folder
            get f 0..1 if-match v1
        "#,
    )
    .await;
    mounted.remount().await;
    assert!(!dir.path().join("attributes").exists());
    mounted.end().await;
}

/// What is remembered of a file that was written here is what was written, not what was said of its content before.
#[tokio::test]
async fn a_checksum_of_a_former_content_does_not_come_back() {
    let dir = dir();
    let mut mounted = mounted(dir.path(), MANY_BYTES).await;
    let md5 = ("md5chksum".to_owned(), "fNxQ".to_owned());
    let metadata = Metadata {
        content_type: Some("text/x".to_owned()),
        user: [md5].into(),
        ..Metadata::default()
    };
    mounted.put_with("/f", "1", metadata).await;
    mounted.wait_for_foreign_changes().await;
    let k = mounted.kernel();
    k.write_file("/f", b"other").await.unwrap();
    mounted.world().settle().await;
    k.chmod("/f", 0o600).await.unwrap();
    mounted.world().settle().await;
    let written = mounted.metadata("/f").await;
    assert_eq!(written.content_type.as_deref(), Some("text/x"));
    assert_eq!(written.user.get("md5chksum"), None);
    // By what was remembered, too.
    check(
        &mut mounted,
        "wait 3000 => ok\nstat /f => file 0600 0:0 5 bytes\n    list \"\" by-folder\n    head f",
    )
    .await;
    mounted.remount().await;
    mounted.kernel().chmod("/f", 0o640).await.unwrap();
    mounted.world().settle().await;
    let written = mounted.metadata("/f").await;
    assert_eq!(written.content_type.as_deref(), Some("text/x"));
    assert_eq!(written.user.get("md5chksum"), None);
    assert_eq!(written.user["file-permissions"], "0100640");
    mounted.end().await;
}
