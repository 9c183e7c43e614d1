//! The library as an application uses it: over memory and over a folder, without a mount.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use cloudmount::vfs::{ErrorKind, NodeKind};
use cloudmount::{CloudMount, Environment, Settings};

mod attribute_index;
#[cfg(target_os = "linux")]
mod feeds;
#[cfg(target_os = "linux")]
mod looked;
#[cfg(target_os = "linux")]
mod mounted;
mod open_files;
mod strategies;
mod uploads;

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
        ("b2://", "bucket is missing"),
        ("b2://pail", "--region"),
        ("r2://pail", "ACCOUNT.r2"),
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

/// Nobody but Amazon's machines has a role to ask for: nothing is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_keys_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let error = CloudMount::builder("s3://pail")
        .set("endpoint", "http://127.0.0.1:1")
        .unwrap()
        .staging(dir.path())
        .open()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    assert!(error.contains("--anonymous"), "{error}");
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

/// What waits in it would go to the wrong bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staging_folder_has_one_bucket() {
    let (dir, pail) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = open("memory:", dir.path()).await;
    assert!(one.close().await.is_complete());
    let other = CloudMount::builder(format!("file://{}", pail.path().display()));
    let error = other.staging(dir.path()).open().await.unwrap_err();
    assert!(error.to_string().contains("that of memory:"), "{error}");
}

/// The folder for caches is shared by buckets; each has a folder of its own in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_share_a_cache_dir() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = Vec::new();
    for name in ["one", "two"] {
        let pail = dir.path().join(name);
        std::fs::create_dir(&pail).unwrap();
        let builder = CloudMount::builder(format!("file://{}", pail.display()));
        let cache = dir.path().join("cache").display().to_string();
        let files = builder.set("cache-dir", &cache).unwrap().open().await;
        open.push(files.unwrap());
    }
    assert!(open[0].staging() != open[1].staging());
    for files in open {
        assert!(files.staging().starts_with(dir.path().join("cache")));
        files
            .write("a", files.location().to_string().as_bytes())
            .await
            .unwrap();
        assert!(files.close().await.is_complete());
    }
    let two = std::fs::read_to_string(dir.path().join("two/a")).unwrap();
    assert!(two.ends_with("/two"), "{two}");
}

/// Nothing is left behind on disk by a bucket that ends with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_leaves_nothing() {
    let files = CloudMount::builder("memory:").open().await.unwrap();
    let staging = files.staging().to_owned();
    files.write("a", b"x").await.unwrap();
    assert!(staging.is_dir());
    assert!(files.close().await.is_complete());
    assert!(!staging.exists());
}

/// An upload that needs a person is told, not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_tells_what_cannot_be_uploaded() {
    let dir = tempfile::tempdir().unwrap();
    let (pail, staging) = (dir.path().join("pail"), dir.path().join("staging"));
    std::fs::create_dir(&pail).unwrap();
    let location = format!("file://{}", pail.display());
    let builder = CloudMount::builder(&*location).staging(&staging);
    let files = builder
        .set("conflict", "fail")
        .unwrap()
        .open()
        .await
        .unwrap();
    files.write("mine", b"one").await.unwrap();
    files.sync("mine").await.unwrap();
    let file = files.create("mine").await.unwrap();
    file.write_at(0, b"two").await.unwrap();
    std::fs::write(pail.join("mine"), b"theirs").unwrap();
    file.close().await.unwrap();
    let started = tokio::time::Instant::now();
    let closed = files.close().await;
    assert!(
        started.elapsed().as_secs() < 60,
        "it waited for what cannot happen"
    );
    assert_eq!(closed.remaining_count, 1);
    assert!(closed.remaining[0].starts_with("mine: "), "{closed:?}");
    assert_eq!(closed.staging, staging);
    assert_eq!(std::fs::read(pail.join("mine")).unwrap(), b"theirs");
    // It waits, and the next one who opens the bucket decides otherwise.
    let builder = CloudMount::builder(&*location).staging(&staging);
    let files = builder
        .set("conflict", "overwrite")
        .unwrap()
        .open()
        .await
        .unwrap();
    assert!(files.close().await.is_complete());
    assert_eq!(std::fs::read(pail.join("mine")).unwrap(), b"two");
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
