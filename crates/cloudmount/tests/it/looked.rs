//! What the real `find`, `ls -l` and `stat` cost on a mount with all attributes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cloudmount::store::layer::Operation;
use cloudmount::store::{Key, MemoryStore, PutOptions, Store};
use cloudmount::{CloudMount, Environment, MountSettings};
use cloudmount_testkit::{Dialect, S3Server};
use cloudmount_vfs::{Clock, SystemClock};

/// More than a symlink has.
const LARGE: usize = 8 << 10;
const FOLDERS: usize = 60;
const FILES: usize = 20;
const MANY: usize = 1_000;

/// A bucket with a folder of many files, and a tree of folders with some in each.
async fn bucket() -> S3Server {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let many = (0..MANY).map(|number| format!("many/f{number:04}"));
    let tree = (0..FOLDERS * FILES).map(|n| format!("tree/d{:03}/f{n:04}", n / FILES));
    for key in many.chain(tree) {
        let content = bytes::Bytes::from(vec![b'x'; LARGE]).into();
        let key = Key::new(key).unwrap();
        let put = store.put(&key, content, PutOptions::default());
        put.await.unwrap();
    }
    S3Server::start(store, Dialect::Plain, clock).unwrap()
}

/// What a program said, and what it cost.
struct Cost {
    lines: usize,
    heads: u64,
    lists: u64,
}

/// Runs a command in the mounted bucket.
async fn cost(bucket: &S3Server, command: &str) -> Cost {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let environment = Environment::of([
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", &bucket.endpoint()),
    ]);
    let files = CloudMount::builder("s3://pail")
        .environment(environment)
        .set("state-dir", state.path().to_str().unwrap())
        .unwrap()
        // Longer than the programs take, on a machine that is busy.
        .set("ttl", "1h")
        .unwrap()
        .open()
        .await
        .unwrap();
    let settings = MountSettings::default();
    let mounted = files.mount(dir.path(), settings).await.unwrap();
    let asked = |operation| files.requests().of(operation).requests;
    let before = (asked(Operation::Head), asked(Operation::List));
    let mut words = command.split(' ');
    let mut program = Command::new(words.next().unwrap());
    program.args(words).current_dir(dir.path());
    let ran = tokio::task::spawn_blocking(move || program.output().unwrap());
    let ran = ran.await.unwrap();
    assert!(ran.status.success(), "{command}: {ran:?}");
    let cost = Cost {
        lines: String::from_utf8(ran.stdout).unwrap().lines().count(),
        heads: asked(Operation::Head) - before.0,
        lists: asked(Operation::List) - before.1,
    };
    mounted.unmount().await.unwrap();
    assert!(files.close().await.is_complete());
    cost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_names_asks_for_no_object_and_who_wants_attributes_for_each_once() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: no /dev/fuse");
        return;
    }
    let bucket = &bucket().await;

    let find = cost(bucket, "find tree -type f").await;
    assert_eq!(find.lines, FOLDERS * FILES);
    // The folder, and those before it was known that all would be gone through.
    assert!(find.heads <= 6, "{}", find.heads);
    assert!(find.lists <= 10, "{}", find.lists);

    let names = cost(bucket, "ls many").await;
    assert_eq!((names.lines, names.heads), (MANY, 1));

    let all = cost(bucket, "ls -l many").await;
    assert_eq!(all.lines, MANY + 1);
    assert_eq!(all.heads, MANY as u64 + 1);

    let one = cost(bucket, "stat many/f0500").await;
    assert_eq!(one.heads, 2);
}
