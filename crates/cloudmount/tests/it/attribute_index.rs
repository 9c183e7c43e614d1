//! What objects told of their attributes is known to the next one who opens the bucket.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cloudmount::store::layer::Operation;
use cloudmount::{CloudMount, disk_cache};

/// Opens the bucket `bucket` in `dir`, lists it, and gives how many objects were asked for.
async fn asked(dir: &Path, settings: &[(&str, &str)]) -> u64 {
    let location = format!("file://{}", dir.join("bucket").display());
    let mut builder = CloudMount::builder(location)
        .set("state-dir", dir.join("state").to_str().unwrap())
        .unwrap();
    for (name, value) in settings {
        builder = builder.set(name, value).unwrap();
    }
    let files = builder.open().await.unwrap();
    assert_eq!(files.list("").await.unwrap().len(), 3);
    let asked = files.requests().of(Operation::Head).requests;
    assert!(files.close().await.is_complete());
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_known_after_a_restart_and_can_be_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let bucket = dir.join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    let put = |name: &str, secs: u64| {
        let file = File::create(bucket.join(name)).unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        file.set_modified(past).unwrap();
    };
    for name in ["a", "b", "c"] {
        put(name, 1_700_000_000);
    }
    assert_eq!(asked(dir, &[("attribute-index-size", "0")]).await, 3);
    let folder = dir.join("state/attributes");
    assert!(!folder.exists());
    assert!(disk_cache::info(&folder).is_err());
    assert_eq!(asked(dir, &[]).await, 3);
    assert_eq!(asked(dir, &[]).await, 0);
    put("b", 1_700_000_009);
    assert_eq!(asked(dir, &[]).await, 1);
    let info = disk_cache::info(&folder).unwrap();
    assert_eq!(info.attributes.len(), 1);
    assert!(info.attributes.values().all(|bucket| bucket.notes == 1));
    let (_, check) = disk_cache::verify(&folder).unwrap();
    assert_eq!((check.right, check.damaged), (1, 0));
    assert_eq!(disk_cache::clear(&folder).unwrap(), 4096);
    assert_eq!(asked(dir, &[]).await, 3);
}

/// With manifests, it is known to another machine, too: one that has nothing of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_known_by_the_manifest_that_another_machine_left() {
    const FILES: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    for number in 0..FILES {
        let file = File::create(bucket.join(format!("{number}"))).unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        file.set_modified(past).unwrap();
    }
    let mut asked = Vec::new();
    for (machine, manifest) in [("one", "off"), ("two", "write"), ("three", "read")] {
        let files = CloudMount::builder(format!("file://{}", bucket.display()))
            .staging(dir.path().join(machine))
            .set("manifest", manifest)
            .unwrap();
        let files = files.open().await.unwrap();
        assert_eq!(files.list("").await.unwrap().len(), FILES);
        asked.push(files.requests().of(Operation::Head).requests);
        assert!(files.close().await.is_complete());
    }
    assert_eq!(asked, [20, 20, 0]);
    assert!(bucket.join(".cloudmount-manifest").exists());
}
