//! The library as an application uses it: over memory and over a folder, without a mount.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use cloudmount::vfs::{ErrorKind, NodeKind};
use cloudmount::{CloudMount, Environment, Settings};

async fn open(location: &str, staging: &Path) -> CloudMount {
    CloudMount::builder(location)
        .staging(staging)
        .open()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_by_path() {
    let files = CloudMount::builder("memory:").open().await.unwrap();
    files.write("a/b/c.txt", b"hello").await.unwrap();
    files.write_at("a/b/c.txt", 5, b" world").await.unwrap();
    assert_eq!(files.read("/a/b/c.txt").await.unwrap(), "hello world");
    assert_eq!(files.read_at("a/b/c.txt", 6, 3).await.unwrap(), "wor");
    assert_eq!(files.stat("a/b").await.unwrap().kind, NodeKind::Directory);
    files.create_folder("x/y").await.unwrap();
    files.rename("a/b/c.txt", "x/y/d").await.unwrap();
    let names = |entries: Vec<cloudmount::Entry>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names(files.list("").await.unwrap()), ["a", "x"]);
    let listed = files.list("x/y").await.unwrap();
    assert_eq!((&*listed[0].name, listed[0].metadata.size), ("d", 11));
    let full = files.remove("x/y").await.unwrap_err();
    assert_eq!(full.kind(), Some(ErrorKind::NotEmpty));
    files.remove("x/y/d").await.unwrap();
    files.remove("x/y").await.unwrap();
    let gone = files.read("x/y/d").await.unwrap_err();
    assert_eq!(gone.kind(), Some(ErrorKind::NotFound));
    assert!(gone.to_string().contains("x/y/d"), "{gone}");
    assert_eq!(files.vfs().stats().open, 0);
    assert!(files.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_contents_go_through_in_pieces() {
    let files = CloudMount::builder("memory:").open().await.unwrap();
    let data: Vec<u8> = (0..3_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    files.write("big", &data).await.unwrap();
    files.sync("big").await.unwrap();
    assert!(files.read("big").await.unwrap() == data);
    assert_eq!(files.status().uploads.totals.keys, 0);
    assert!(files.close().await.is_complete());
}

/// What was closed is in the bucket after a close, and under its own key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_holds_the_files_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    let location = format!("file://{}", bucket.display());
    let files = open(&location, &dir.path().join("staging")).await;
    files.write("docs/a b.txt", b"content").await.unwrap();
    assert!(files.close().await.is_complete());
    assert_eq!(
        std::fs::read(bucket.join("docs/a b.txt")).unwrap(),
        b"content"
    );
    let again = open(&location, &dir.path().join("staging")).await;
    assert_eq!(again.read("docs/a b.txt").await.unwrap(), "content");
    assert!(again.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("file://{}/missing", dir.path().display());
    for (location, hint) in [
        ("pail", "no scheme"),
        ("ftp://x", "unknown scheme"),
        ("s3://", "bucket is missing"),
        (&*missing, "create the folder first"),
    ] {
        let error = CloudMount::builder(location)
            .staging(dir.path().join("staging"))
            .open()
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(hint), "{location}: {error}");
        assert!(error.lines().count() <= 2, "{error}");
    }
    let unknown = CloudMount::builder("memory:")
        .set("colour", "red")
        .unwrap_err();
    assert!(unknown.to_string().contains("colour"), "{unknown}");
}

/// Nobody listens there: it is told at once, not after a minute of retries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Environment::of([
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ]);
    let error = CloudMount::builder("s3://pail")
        .environment(keys)
        .staging(dir.path())
        .open()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("127.0.0.1:1") && error.contains("--endpoint"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

/// Two mounts of one bucket with one staging folder would lose what the other one wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staging_folder_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let one = open("memory:", dir.path()).await;
    let two = CloudMount::builder("memory:").staging(dir.path()).open();
    let error = two.await.unwrap_err().to_string();
    assert!(error.contains("another mount"), "{error}");
    assert!(one.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_filesystem_refuses_changes() {
    let settings = Settings::resolve(Some("read-only = true"), &Environment::default(), &[]);
    let files = CloudMount::builder("memory:")
        .settings(settings.unwrap())
        .open()
        .await
        .unwrap();
    let error = files.write("a", b"x").await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::ReadOnly));
    assert!(files.close().await.is_complete());
}
