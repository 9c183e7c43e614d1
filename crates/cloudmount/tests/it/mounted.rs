//! Mounts by the library, for applications that want both.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use cloudmount::{CloudMount, MountSettings};

fn is_mounted(folder: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let folder = folder.canonicalize().unwrap();
    (table.lines()).any(|line| line.split(' ').nth(1).map(Path::new) == Some(&folder))
}

/// A folder of this machine as the bucket, with one setting.
async fn open(bucket: &Path, state: &Path, (setting, value): (&str, &str)) -> CloudMount {
    CloudMount::builder(format!("file://{}", bucket.display()))
        .set(setting, value)
        .unwrap()
        .set("state-dir", state.to_str().unwrap())
        .unwrap()
        .open()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_filesystem_by_path_and_by_kernel() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: no /dev/fuse");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = CloudMount::builder("memory:").open().await.unwrap();
    let mounted = files
        .mount(dir.path(), MountSettings::default())
        .await
        .unwrap();
    assert!(is_mounted(dir.path()));
    files.write("by/path", b"one").await.unwrap();
    let (read, written) = (dir.path().join("by/path"), dir.path().join("by/kernel"));
    let kernel = tokio::task::spawn_blocking(move || {
        fs::write(written, b"two").unwrap();
        fs::read(read).unwrap()
    });
    assert_eq!(kernel.await.unwrap(), b"one");
    assert_eq!(files.read("by/kernel").await.unwrap(), "two");
    let second = files.mount(dir.path(), MountSettings::default()).await;
    let said = second.unwrap_err().to_string();
    assert!(said.contains("mounted there already"), "{said}");
    mounted.unmount().await.unwrap();
    assert!(!is_mounted(dir.path()));
    assert!(files.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_mount_is_gone() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: no /dev/fuse");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = CloudMount::builder("memory:").open().await.unwrap();
    let mounted = files
        .mount(dir.path(), MountSettings::default())
        .await
        .unwrap();
    drop(mounted);
    assert!(!is_mounted(dir.path()));
    assert!(files.close().await.is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_past_the_page_cache_is_asked_for_each_time() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: no /dev/fuse");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (bucket, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    for name in ["a.log", "a.bin"] {
        fs::write(bucket.path().join(name), &bytes).unwrap();
    }
    let files = open(bucket.path(), state.path(), ("direct-io", "*.log")).await;
    let mounted = files
        .mount(dir.path(), MountSettings::default())
        .await
        .unwrap();
    let read = async |name: &str| {
        let path = dir.path().join(name);
        let found = tokio::task::spawn_blocking(move || fs::read(path).unwrap());
        assert!(found.await.unwrap() == bytes, "{name}");
        let cache = files.status().cache;
        cache.hits + cache.misses
    };
    for (name, is_direct) in [("a.log", true), ("a.bin", false)] {
        let (first, second) = (read(name).await, read(name).await);
        assert_eq!(second > first, is_direct, "{name}: {first}, then {second}");
    }
    mounted.unmount().await.unwrap();
    assert!(files.close().await.is_complete());
}

/// The kernel cuts a file to the size that it knows when a direct write beyond its end fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_comes_too_late_leaves_what_somebody_else_wrote_as_it_is() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: no /dev/fuse");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (bucket, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let object = bucket.path().join("file");
    fs::write(&object, [b'o'; 8192]).unwrap();
    let files = open(bucket.path(), state.path(), ("ttl", "0s")).await;
    let mounted = files
        .mount(dir.path(), MountSettings::default())
        .await
        .unwrap();
    let path = dir.path().join("file");
    let (theirs, beside) = (object.clone(), bucket.path().join("beside"));
    let kernel = tokio::task::spawn_blocking(move || {
        let direct = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .unwrap();
        let mut bytes = vec![0; 8192];
        direct.read_exact_at(&mut bytes, 0).unwrap();
        fs::write(&beside, b"theirs").unwrap();
        fs::rename(&beside, &theirs).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        let error = direct.write_at(b"more", 8192).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
        let error = direct.set_len(8192).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
        drop(direct);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    });
    kernel.await.unwrap();
    mounted.unmount().await.unwrap();
    assert!(files.close().await.is_complete());
    assert_eq!(fs::read(&object).unwrap(), b"theirs");
}
