//! Open files, and what calls leave behind: nothing.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use cloudmount::CloudMount;
use cloudmount::core::CoreStats;
use cloudmount::vfs::ErrorKind;

async fn memory() -> CloudMount {
    CloudMount::builder("memory:").open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_file_is_read_and_written_in_place() {
    let files = memory().await;
    let file = files.create("a/b").await.unwrap();
    file.write_at(0, b"hello world").await.unwrap();
    file.write_at(6, b"there").await.unwrap();
    assert_eq!(file.read_at(0, 100).await.unwrap(), "hello there");
    assert_eq!(file.read_at(6, 2).await.unwrap(), "th");
    assert_eq!(file.read_at(100, 2).await.unwrap(), "");
    file.set_len(5).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().size, 5);
    file.sync().await.unwrap();
    file.close().await.unwrap();
    let again = files.create("a/b").await.unwrap();
    assert_eq!(again.read_at(0, 100).await.unwrap(), "hello");
    drop(again);
    let read_only = files.open("a/b").await.unwrap();
    let refused = read_only.write_at(0, b"x").await.unwrap_err();
    assert_eq!(refused.kind(), Some(ErrorKind::BadHandle));
    assert!(refused.to_string().contains("a/b"), "{refused}");
    drop(read_only);
    assert_eq!(files.vfs().stats().open, 0);
    let folder = files.open("a").await.unwrap_err();
    assert_eq!(folder.kind(), Some(ErrorKind::IsDirectory));
    assert!(files.close().await.is_complete());
}

/// Its content outlives its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_file_keeps_what_it_was() {
    let files = memory().await;
    files.write("a", b"old").await.unwrap();
    files.sync("a").await.unwrap();
    let file = files.open("a").await.unwrap();
    files.remove("a").await.unwrap();
    files.write("a", b"new").await.unwrap();
    assert_eq!(file.read_at(0, 10).await.unwrap(), "old");
    assert_eq!(files.read("a").await.unwrap(), "new");
    drop(file);
    assert!(files.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_removed_whole() {
    let files = memory().await;
    for path in [
        "top/a",
        "top/b/c",
        "top/b/d/e",
        "top/b/d/f",
        "top/g/h",
        "other/a",
    ] {
        files.write(path, path.as_bytes()).await.unwrap();
    }
    files.create_folder("top/empty/inside").await.unwrap();
    files.remove_all("top").await.unwrap();
    let gone = files.stat("top").await.unwrap_err();
    assert_eq!(gone.kind(), Some(ErrorKind::NotFound));
    assert_eq!(files.read("other/a").await.unwrap(), "other/a");
    files.remove_all("other/a").await.unwrap();
    let missing = files.remove_all("other/a").await.unwrap_err();
    assert_eq!(missing.kind(), Some(ErrorKind::NotFound));
    assert!(files.close().await.is_complete());
}

/// Each lookup is given back: also of calls that fail, and of those that are given up half-way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_leave_nothing_behind() {
    let files = memory().await;
    for name in 0..20 {
        files.write(&format!("folder/{name}"), b"x").await.unwrap();
    }
    files.list("folder").await.unwrap();
    files.stat("folder/3").await.unwrap();
    files.read("folder/3").await.unwrap();
    files.read("folder/none").await.unwrap_err();
    files.stat("folder/3/below").await.unwrap_err();
    files.rename("folder/3", "none/3").await.unwrap_err();
    files.rename("folder/3", "folder/4").await.unwrap();
    // Polled once, then dropped.
    for path in ["folder", "folder/1"] {
        let mut context = Context::from_waker(Waker::noop());
        let _ = pin!(files.list(path)).poll(&mut context);
        let _ = pin!(files.read(path)).poll(&mut context);
        let _ = pin!(files.remove_all("folder/2")).poll(&mut context);
        let _ = pin!(files.write("folder/5", &[1; 3 << 20])).poll(&mut context);
    }
    // The root holds itself; a folder is held by the children that are known of it.
    let is_balanced = |stats: CoreStats| {
        let table = stats.table;
        stats.open == 0 && table.orphans == 0 && table.reclaimable + 2 == table.warm
    };
    let mut every = tokio::time::interval(Duration::from_millis(20));
    let mut looks = 0;
    while !is_balanced(files.vfs().stats()) {
        // What is not uploaded yet is held, too.
        looks += 1;
        assert!(looks < 500, "{:?}", files.vfs().stats());
        every.tick().await;
    }
    assert!(files.close().await.is_complete());
}
