//! What platforms leave behind, by policy and operation.

use cloudmount_core::{CoreSettings, Globs, Litter, LitterPolicy};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{ErrorKind, OpenFlags, Result};

use crate::world::CoreWorld;

async fn mounted(policy: LitterPolicy) -> Mounted<CoreWorld> {
    let settings = CoreSettings {
        litter: Litter::new(policy, Globs::parse(Litter::NAMES).unwrap()),
        ..CoreSettings::default()
    };
    Mounted::new(CoreWorld::with_settings(settings).quietly()).await
}

async fn names(here: &Mounted<CoreWorld>, path: &str) -> Vec<String> {
    let mut names = here.kernel().names(path).await.unwrap();
    names.sort();
    names
}

const NONE: [&str; 0] = [];

/// Each operation that makes a name, with one that is litter.
async fn all_that_make_names(here: &Mounted<CoreWorld>) -> Vec<(&'static str, Result<()>)> {
    let k = here.kernel();
    k.write_file("/file", b"1").await.unwrap();
    k.mkdir("/folder", 0o755).await.unwrap();
    let created = match k.create("/Thumbs.db", 0o644, OpenFlags::WRITE).await {
        Ok(fd) => k.close(fd).await,
        Err(error) => Err(error),
    };
    vec![
        ("create", created),
        ("mknod", k.mknod("/.DS_Store", 0o644).await),
        ("mkdir", k.mkdir("/.Trash-1000", 0o755).await),
        ("symlink", k.symlink("file", "/desktop.ini").await),
        ("rename of a file", k.rename("/file", "/._file").await),
        ("rename of a folder", k.rename("/folder", "/.Trashes").await),
    ]
}

#[tokio::test]
async fn litter_that_is_stored_is_like_any_other_name() {
    let here = mounted(LitterPolicy::Store).await;
    for (what, result) in all_that_make_names(&here).await {
        result.unwrap_or_else(|error| unreachable!("{what}: {error}"));
    }
    here.world().settle().await;
    let made = [
        ".DS_Store",
        ".Trash-1000",
        ".Trashes",
        "._file",
        "Thumbs.db",
        "desktop.ini",
    ];
    assert_eq!(names(&here, "/").await, made);
    assert_eq!(here.keys().await.len(), made.len());
    here.end().await;
}

#[tokio::test]
async fn litter_is_made_by_no_operation_where_it_is_refused_or_hidden() {
    for policy in [LitterPolicy::Refuse, LitterPolicy::Hide] {
        let here = mounted(policy).await;
        for (what, result) in all_that_make_names(&here).await {
            let kind = result.unwrap_err().kind();
            assert_eq!(kind, ErrorKind::PermissionDenied, "{policy:?}: {what}");
        }
        // Nothing is half done.
        assert_eq!(names(&here, "/").await, ["file", "folder"]);
        here.world().settle().await;
        assert_eq!(here.keys().await, ["file", "folder/"], "{policy:?}");
        here.end().await;
    }
}

/// Who refuses it can still see it, use it, and get rid of it.
#[tokio::test]
async fn litter_that_is_there_can_be_cleared_where_it_is_refused() {
    let here = mounted(LitterPolicy::Refuse).await;
    for path in ["/.DS_Store", "/._a", "/.Trashes/x"] {
        here.put(path, "theirs").await;
    }
    let k = here.kernel();
    assert_eq!(names(&here, "/").await, [".DS_Store", ".Trashes", "._a"]);
    assert_eq!(k.read_file("/.DS_Store").await.unwrap(), "theirs");
    k.write_file("/.DS_Store", b"ours").await.unwrap();
    k.unlink("/.DS_Store").await.unwrap();
    k.rename("/._a", "/a").await.unwrap();
    k.unlink("/.Trashes/x").await.unwrap();
    k.rmdir("/.Trashes").await.unwrap();
    here.world().settle().await;
    assert_eq!(here.keys().await, ["a"]);
    here.end().await;
}

#[tokio::test]
async fn litter_that_is_hidden_is_met_by_no_operation() {
    let here = mounted(LitterPolicy::Hide).await;
    for path in ["/.DS_Store", "/d/._a", "/d/a", "/.Trashes/x", "/.Trashes"] {
        here.put(path, "theirs").await;
    }
    let k = here.kernel();
    assert_eq!(names(&here, "/").await, ["d"]);
    assert_eq!(names(&here, "/d").await, ["a"]);
    let open = k.open("/.DS_Store", OpenFlags::READ).await.map(drop);
    for (what, result) in [
        ("stat", k.stat("/d/._a").await.map(drop)),
        ("open", open),
        ("unlink", k.unlink("/.DS_Store").await),
        ("rmdir", k.rmdir("/.Trashes").await),
        ("rename", k.rename("/d/._a", "/d/b").await),
        ("below", k.stat("/.Trashes/x").await.map(drop)),
        ("beside", k.stat("/%~f~.Trashes").await.map(drop)),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound, "{what}");
    }
    assert_eq!(here.keys().await.len(), 5);
    here.end().await;
}

/// In a folder of more than a page, where names are asked for alone, too.
#[tokio::test]
async fn litter_is_hidden_in_large_folders() {
    let here = mounted(LitterPolicy::Hide).await;
    for n in 0..1100 {
        here.put(&format!("/d/{n:04}"), "1").await;
    }
    here.put("/d/.DS_Store", "theirs").await;
    let k = here.kernel();
    k.stat("/d/0001").await.unwrap();
    let error = k.stat("/d/.DS_Store").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(names(&here, "/d").await.len(), 1100);
    here.end().await;
}

#[tokio::test]
async fn hidden_litter_goes_with_its_folder_and_moves_with_it() {
    let here = mounted(LitterPolicy::Hide).await;
    for path in [
        "/gone/",
        "/gone/.DS_Store",
        "/gone/.Trashes/deep/x",
        "/moved/.DS_Store",
        "/moved/a",
    ] {
        here.put(path, "").await;
    }
    for path in ["/full/.DS_Store", "/full/a"] {
        here.put(path, "1").await;
    }
    let k = here.kernel();
    assert_eq!(names(&here, "/gone").await, NONE);
    k.rmdir("/gone").await.unwrap();
    k.rename("/moved", "/there").await.unwrap();
    assert_eq!(names(&here, "/").await, ["full", "there"]);
    here.wait_for_foreign_changes().await;
    assert_eq!(names(&here, "/").await, ["full", "there"]);
    let error = k.rmdir("/full").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotEmpty);
    here.world().settle().await;
    here.wait_for_foreign_changes().await;
    assert_eq!(names(&here, "/").await, ["full", "there"]);
    let left = [
        "full/.DS_Store",
        "full/a",
        "there/",
        "there/.DS_Store",
        "there/a",
    ];
    assert_eq!(here.keys().await, left);
    here.end().await;
}
