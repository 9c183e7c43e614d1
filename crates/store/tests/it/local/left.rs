//! What crashes, refusals and removals leave, and what comes and goes under a write.

use super::*;

#[tokio::test]
async fn an_upload_id_is_no_path() {
    let (folder, store) = store();
    fs::write(
        folder.path().join("upload.json"),
        r#"{"key":"a","record":{}}"#,
    )
    .unwrap();
    let part = || Payload::from(Bytes::from_static(b"x"));
    for id in ["..", "../..", "", ".", "a/b", "\0", "/", "ffff"] {
        let id = cloudmount_store::UploadId(id.to_owned());
        let put = store.multipart_put(&key("a"), &id, 1, part()).await;
        assert_eq!(kind(put), Some(ErrorKind::NotFound), "{id:?}");
        store.multipart_abort(&key("a"), &id).await.unwrap();
    }
    assert_eq!(names(folder.path()), [".cloudmount", "upload.json"]);
}

#[tokio::test]
async fn leftovers_go_when_they_are_old() {
    use std::time::{Duration, UNIX_EPOCH};
    let (folder, store) = store();
    let upload = store
        .multipart_start(&key("a"), &PutOptions::default())
        .await
        .unwrap();
    let part = Payload::from(Bytes::from_static(b"x"));
    store
        .multipart_put(&key("a"), &upload, 1, part)
        .await
        .unwrap();
    let state = folder.path().join(".cloudmount");
    fs::write(state.join("tmp/young"), "x").unwrap();
    fs::write(state.join("tmp/old"), "x").unwrap();
    fs::create_dir_all(state.join("tmp/old folder/deep/er")).unwrap();
    fs::write(state.join("tmp/old folder/part"), "x").unwrap();
    fs::write(state.join("tmp/old folder/deep/er/file"), "x").unwrap();
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["tmp/old", "tmp/old folder"] {
        fs::File::open(state.join(name))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    drop(open(folder.path()));
    assert_eq!(names(&state.join("tmp")), ["young"]);
    assert_eq!(names(&state.join("uploads")), [upload.0.as_str()]);
    fs::File::open(state.join("uploads").join(&upload.0))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    drop(open(folder.path()));
    assert!(names(&state.join("uploads")).is_empty());
}

/// A kill must not leave one that no list shows, for then nobody would end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_there_with_its_description_or_not_at_all() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (folder, store) = store();
    let uploads = folder.path().join(".cloudmount/uploads");
    let is_over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&is_over);
    let watcher = std::thread::spawn(move || {
        let mut bare = Vec::new();
        while !watched.load(Ordering::Relaxed) {
            let entries = fs::read_dir(&uploads).into_iter().flatten().flatten();
            let paths = entries.map(|entry| entry.path());
            bare.extend(paths.filter(|path| !path.join("upload.json").exists()));
        }
        bare
    });
    for _ in 0..300 {
        store
            .multipart_start(&key("a"), &PutOptions::default())
            .await
            .unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(watcher.join().unwrap(), Vec::<PathBuf>::new());
    assert!(names(&folder.path().join(".cloudmount/tmp")).is_empty());
}

#[tokio::test]
async fn refused_writes_leave_nothing_behind() {
    let (folder, store) = store();
    put(&store, "a", "x").await;
    let options = PutOptions {
        precondition: Precondition::Absent,
        ..labelled()
    };
    let refused = store
        .put(&key("a"), Payload::from(Bytes::from_static(b"y")), options)
        .await;
    assert_eq!(kind(refused), Some(ErrorKind::Precondition));
    let upload = store
        .multipart_start(&key("a"), &PutOptions::default())
        .await
        .unwrap();
    let a = key("a");
    let part = store.multipart_put(&a, &upload, 1, Payload::from(Bytes::from_static(b"z")));
    let parts = [part.await.unwrap()];
    let done = store
        .multipart_complete(&key("a"), &upload, &parts, Precondition::None)
        .await;
    done.unwrap();
    let state = folder.path().join(".cloudmount");
    assert!(names(&state.join("tmp")).is_empty());
    assert!(names(&state.join("uploads")).is_empty());
}

#[tokio::test]
async fn a_walk_that_was_parked_sees_what_changed() {
    let (folder, store) = store();
    for n in 0..50 {
        fs::write(folder.path().join(format!("{n:02}")), "x").unwrap();
    }
    // So old that the folder's time tells every change.
    let settle = || {
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
        fs::File::open(folder.path())
            .unwrap()
            .set_modified(old)
            .unwrap();
    };
    settle();
    let mut request = ListRequest {
        limit: Some(10),
        ..ListRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = store.list(request.clone()).await.unwrap();
        seen.extend(page.objects.iter().map(|object| object.key.to_string()));
        request.token = page.next;
        if request.token.is_none() {
            break;
        }
        if seen.len() == 20 {
            fs::write(folder.path().join("205"), "x").unwrap();
            fs::remove_file(folder.path().join("25")).unwrap();
            fs::write(folder.path().join("00"), "x").unwrap();
        }
    }
    let mut wanted: Vec<String> = (0..50).map(|n| format!("{n:02}")).collect();
    wanted.retain(|name| name != "25");
    wanted.push("205".to_owned());
    wanted.sort();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn every_kind_of_write_can_be_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LocalSettings {
        durability: Durability::Machine,
        ..LocalSettings::default()
    };
    let store = open_with(folder.path(), settings);
    for name in ["a/b/c", "a//b", "a/", "a", "a/b/"] {
        put(&store, name, "x").await;
        let put = put_with(&store, name, Payload::default(), labelled());
        put.await.unwrap();
    }
    let a = key("a/b/c");
    let upload = store.multipart_start(&a, &labelled()).await.unwrap();
    let part = store.multipart_put(&a, &upload, 1, Payload::from(Bytes::from_static(b"z")));
    let parts = [part.await.unwrap()];
    let done = store.multipart_complete(&a, &upload, &parts, Precondition::None);
    done.await.unwrap();
    assert_eq!(read(&store, "a/b/c").await.unwrap(), "z");
    assert_eq!(keys(&store).await, ["a", "a/", "a//b", "a/b/", "a/b/c"]);
    for name in keys(&store).await {
        delete(&store, &name).await;
    }
    assert_eq!(names(folder.path()), [".cloudmount"]);
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_hidden_tree_does_not_show() {
    let (folder, store) = store();
    fs::create_dir_all(folder.path().join(".cloudmount/keys/dq/d/dr")).unwrap();
    assert!(keys(&store).await.is_empty());
    assert!(folders(&store, "").await.is_empty());
    put(&store, "q//r/s", "x").await;
    assert_eq!(folders(&store, "q//").await, ["q//r/"]);
    assert_eq!(keys(&store).await, ["q//r/s"]);
}

#[tokio::test]
async fn a_state_folder_that_is_a_link_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    symlink(outside.path(), folder.path().join(".cloudmount")).unwrap();
    let clock = Arc::new(SystemClock::new());
    let settings = LocalSettings::default();
    let opened = LocalStore::open(folder.path(), settings, clock, Handle::current());
    assert!(opened.is_err());
    assert!(names(outside.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_may_come_and_go_under_a_write() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    const WON: u32 = 20;
    let (folder, store) = store();
    let over = Arc::new(AtomicBool::new(false));
    let won = Arc::new(AtomicU32::new(0));
    let vandal = {
        let (over, won) = (Arc::clone(&over), Arc::clone(&won));
        let path = folder.path().join("a");
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // Fails while something is in it, as it should.
                for folder in [path.join("b"), path.clone()] {
                    let removed = fs::remove_dir(folder).is_ok();
                    won.fetch_add(u32::from(removed), Ordering::Relaxed);
                }
                std::thread::yield_now();
            }
        })
    };
    let mut round = 0;
    while round < 300 || won.load(Ordering::Relaxed) < WON {
        put(&store, "a/b/c", "x").await;
        assert_eq!(read(&store, "a/b/c").await.unwrap(), "x");
        delete(&store, "a/b/c").await;
        // May lose to the vandal, which is what it is for.
        let _ = fs::create_dir_all(folder.path().join("a/b"));
        round += 1;
    }
    over.store(true, Ordering::Relaxed);
    vandal.join().unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_not_found() {
    let clock = Arc::new(SystemClock::new());
    let settings = LocalSettings::default();
    let opened = LocalStore::open("/nonexistent/bucket", settings, clock, Handle::current());
    assert_eq!(kind(opened), Some(ErrorKind::NotFound));
}

/// A kill between the removal of a key and that of its folders.
#[tokio::test]
async fn folders_left_between_two_steps_of_a_removal_go_at_the_next_start() {
    let (folder, store) = store();
    for name in ["a/b/c/one", "a/b/d/two", "kept/by/others/three"] {
        put(&store, name, "x").await;
    }
    put(&store, "made/", "").await;
    put(&store, "made/below/four", "x").await;
    for name in ["a/b/c/one", "a/b/d/two", "kept/by/others/three"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    fs::remove_file(folder.path().join("made/below/four")).unwrap();
    fs::remove_dir(folder.path().join("a/b/d")).unwrap();
    drop(store);
    let temp = folder.path().join(".cloudmount/tmp");
    for (name, note) in [
        ("prune-1", "a/b/c/"),
        ("prune-2", "a/b/d/"),
        ("prune-3", "made/below/"),
        ("prune-4", "gone/long/ago/"),
        ("prune-torn", "kept/by/oth"),
        ("prune-out", "../../kept/"),
    ] {
        fs::write(temp.join(name), note).unwrap();
    }
    let store = open(folder.path());
    assert_eq!(names(folder.path()), [".cloudmount", "kept", "made"]);
    assert_eq!(keys(&store).await, ["kept/by/others/", "made/"]);
    assert!(names(&temp).is_empty());
    // Of removals that come to their end nothing is left.
    put(&store, "x/y/z", "x").await;
    delete(&store, "x/y/z").await;
    assert!(names(&temp).is_empty());
    assert_eq!(names(folder.path()), [".cloudmount", "kept", "made"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_shown_a_folder_that_a_removal_is_about_to_take() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    put(&store, "a/b/one", "x").await;
    let other = Arc::clone(&store);
    let changing = tokio::spawn(async move {
        for _ in 0..1000 {
            delete(&other, "a/b/one").await;
            put(&other, "a/b/one", "x").await;
        }
    });
    let mut looks = 0;
    while !changing.is_finished() {
        let seen = keys(&store).await;
        assert!(seen.iter().all(|key| key == "a/b/one"), "{seen:?}");
        for folder in ["a/b/", "a/"] {
            let seen = store.head(&key(folder)).await;
            assert_eq!(kind(seen), Some(ErrorKind::NotFound), "{folder}");
        }
        looks += 1;
    }
    changing.await.unwrap();
    assert!(looks > 10, "{looks}");
}
