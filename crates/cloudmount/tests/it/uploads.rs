//! What an application does about uploads.

use std::time::Duration;

use cloudmount::vfs::ErrorKind;
use cloudmount::{CloudMount, Leftover};

use crate::open;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_flushed_is_in_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    let location = format!("file://{}", bucket.display());
    let files = open(&location, &dir.path().join("staging")).await;
    files.write("d/a", b"one").await.unwrap();
    let file = files.create("d/open").await.unwrap();
    file.write_at(0, b"half").await.unwrap();
    let limit = Some(Duration::from_secs(30));
    let flushed = files.flush_and_wait("d", limit).await.unwrap();
    assert!(flushed.is_complete(), "{flushed:?}");
    assert_eq!(flushed.open, ["d/open"]);
    assert_eq!(std::fs::read(bucket.join("d/a")).unwrap(), b"one");
    assert_eq!(std::fs::read(bucket.join("d/open")).unwrap(), b"half");
    file.close().await.unwrap();
    let escape = files.flush("%~nonsense").unwrap_err();
    assert_eq!(escape.kind(), Some(ErrorKind::IllegalName));
    assert!(files.close().await.is_complete());
}

/// A close wants all in the bucket, paused or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_lasts_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    let location = format!("file://{}", bucket.display());
    let files = open(&location, &dir.path().join("staging")).await;
    files.pause();
    files.write("a", b"x").await.unwrap();
    assert!(files.is_paused() && files.status().uploads.paused);
    for refused in [files.flush("").map(drop), files.retry("").map(drop)] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("paused\n  resume"), "{error}");
    }
    assert!(!bucket.join("a").exists());
    assert!(files.close().await.is_complete());
    assert_eq!(std::fs::read(bucket.join("a")).unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let files = open("memory:", dir.path()).await;
    files.pause();
    files.write("d/a", b"mine").await.unwrap();
    let file = files.create("d/b").await.unwrap();
    file.write_at(0, b"b").await.unwrap();
    let busy = files.drop_uploads(&["d/b"], Leftover::SetAside).await;
    let error = busy.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::Busy));
    assert!(
        error.to_string().contains("d/b is open for writing"),
        "{error}"
    );
    let dropped = (files.drop_uploads(&["d/a"], Leftover::SetAside).await).unwrap();
    assert_eq!((&*dropped[0].key, dropped[0].kind), ("d/a", "content"));
    let aside = dropped[0].aside.as_ref().unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), b"mine");
    assert!(std::fs::exists(aside.with_extension("json")).unwrap());
    assert_eq!(
        files.status().uploads.set_aside[0].path.as_ref(),
        Some(aside)
    );
    let gone = files.stat("d/a").await.unwrap_err();
    assert_eq!(gone.kind(), Some(ErrorKind::NotFound));
    let nothing = files.drop_uploads(&["d/a"], Leftover::SetAside).await;
    let said = nothing.unwrap_err().to_string();
    assert!(said.contains("nothing waits there"), "{said}");
    file.close().await.unwrap();
    assert!(files.close().await.is_complete());
}

/// What a person solved is tried at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_tried_again_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    let builder = CloudMount::builder(format!("file://{}", bucket.display()));
    let builder = builder.staging(dir.path().join("staging"));
    let files = builder.set("conflict", "fail").unwrap().open().await;
    let files = files.unwrap();
    files.write("a", b"one").await.unwrap();
    files.sync("a").await.unwrap();
    let file = files.create("a").await.unwrap();
    file.write_at(0, b"two").await.unwrap();
    std::fs::write(bucket.join("a"), b"theirs").unwrap();
    file.close().await.unwrap();
    let flushed = files.flush_and_wait("a", None).await.unwrap();
    assert_eq!(flushed.remaining_count, 1);
    let error = flushed.remaining[0].error.as_deref().unwrap();
    assert!(error.contains("someone else changed it"), "{error}");
    assert_eq!(files.retry("a").unwrap(), 1);
    assert_eq!(files.status_of("a").unwrap().totals.keys, 1);
    assert_eq!(files.status_of("b").unwrap().totals.keys, 0);
    // The person decides for theirs.
    let dropped = files.drop_uploads(&["a"], Leftover::Delete).await.unwrap();
    assert_eq!(dropped[0].aside, None);
    assert_eq!(files.read("a").await.unwrap(), "theirs");
    assert!(files.close().await.is_complete());
}
