//! Folders, markers, and what others do to the folder by hand.

use super::*;

#[tokio::test]
async fn a_file_goes_in_and_comes_out() {
    let (folder, store) = store();
    put(&store, "photos/2024/a.jpg", "bytes").await;
    let path = folder.path().join("photos/2024/a.jpg");
    assert_eq!(fs::read(&path).unwrap(), b"bytes");
    fs::write(folder.path().join("photos/b.txt"), "by hand").unwrap();
    assert_eq!(read(&store, "photos/b.txt").await.unwrap(), "by hand");
    assert_eq!(keys(&store).await, ["photos/2024/a.jpg", "photos/b.txt"]);
    assert_eq!(names(folder.path()), [".cloudmount", "photos"]);
}

#[tokio::test]
async fn folders_made_by_hand_are_markers_and_stay() {
    let (folder, store) = store();
    fs::create_dir_all(folder.path().join("empty/inside")).unwrap();
    assert_eq!(keys(&store).await, ["empty/", "empty/inside/"]);
    assert_eq!(folders(&store, "").await, ["empty/"]);
    assert_eq!(store.head(&key("empty/")).await.unwrap().size, 0);
    assert_eq!(
        kind(store.head(&key("empty")).await),
        Some(ErrorKind::NotFound)
    );
    put(&store, "empty/inside/file", "x").await;
    delete(&store, "empty/inside/file").await;
    assert_eq!(keys(&store).await, ["empty/", "empty/inside/"]);
    delete(&store, "empty/inside/").await;
    assert_eq!(keys(&store).await, ["empty/"]);
    delete(&store, "empty/").await;
    assert_eq!(names(folder.path()), [".cloudmount"]);
}

#[tokio::test]
async fn folders_made_for_keys_go_with_them() {
    let (folder, store) = store();
    put(&store, "a/b/c/one", "x").await;
    put(&store, "a/two", "x").await;
    assert_eq!(keys(&store).await, ["a/b/c/one", "a/two"]);
    delete(&store, "a/b/c/one").await;
    assert_eq!(names(&folder.path().join("a")), ["two"]);
    delete(&store, "a/two").await;
    assert_eq!(names(folder.path()), [".cloudmount"]);
}

#[tokio::test]
async fn a_folder_emptied_by_hand_still_shows() {
    let (folder, store) = store();
    put(&store, "a/one", "x").await;
    fs::remove_file(folder.path().join("a/one")).unwrap();
    assert_eq!(keys(&store).await, ["a/"]);
    assert_eq!(store.head(&key("a/")).await.unwrap().size, 0);
    delete(&store, "a/").await;
    assert_eq!(names(folder.path()), [".cloudmount"]);
}

#[tokio::test]
async fn a_deleted_marker_with_keys_below_is_no_marker_any_more() {
    let (folder, store) = store();
    fs::create_dir(folder.path().join("d")).unwrap();
    put(&store, "d/a", "x").await;
    delete(&store, "d/").await;
    assert_eq!(keys(&store).await, ["d/a"]);
    delete(&store, "d/a").await;
    assert_eq!(names(folder.path()), [".cloudmount"]);
}

#[tokio::test]
async fn every_rewrite_is_another_version() {
    let (folder, store) = store();
    let mut versions = Vec::new();
    let mut note = |version: Version| {
        assert!(!versions.contains(&version), "{version} came twice");
        versions.push(version);
    };
    // Same size, same content, quick: inode numbers come again.
    for _ in 0..200 {
        note(put(&store, "a", "same").await);
    }
    let path = folder.path().join("a");
    fs::write(&path, "mine").unwrap();
    note(store.head(&key("a")).await.unwrap().version);
    // As tools do that restore times after a copy.
    let file = fs::File::open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    fs::write(folder.path().join("new"), "your").unwrap();
    let new = fs::File::open(folder.path().join("new")).unwrap();
    new.set_modified(before).unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    note(store.head(&key("a")).await.unwrap().version);
}

#[tokio::test]
async fn a_write_by_hand_fails_a_precondition() {
    let (folder, store) = store();
    let version = put(&store, "a", "ours").await;
    fs::write(folder.path().join("a"), "theirs").unwrap();
    let options = PutOptions {
        precondition: Precondition::Matches(version),
        ..PutOptions::default()
    };
    let late = store.put(&key("a"), Payload::default(), options).await;
    assert_eq!(kind(late), Some(ErrorKind::Precondition));
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preconditions_hold_between_stores_on_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<LocalStore> = (0..4).map(|_| open(folder.path())).collect();
    for round in 0..20 {
        let key = key(&format!("{round}"));
        let puts = stores.iter().map(|store| {
            let options = PutOptions {
                precondition: Precondition::Absent,
                ..PutOptions::default()
            };
            store.put(&key, Payload::from(Bytes::from_static(b"x")), options)
        });
        let results = join_all(puts).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "round {round}: {results:?}");
    }
}

#[tokio::test]
async fn nothing_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("secret"), "secret").unwrap();
    let path = parent.path().join("bucket");
    fs::create_dir(&path).unwrap();
    symlink(outside.path(), path.join("link")).unwrap();
    symlink(outside.path().join("secret"), path.join("file")).unwrap();
    symlink("../secret", path.join("up")).unwrap();
    let store = open(&path);
    assert!(keys(&store).await.is_empty());
    assert!(folders(&store, "").await.is_empty());
    let absolute = format!("{}/secret", outside.path().display());
    let leading = [
        "link/secret",
        "file",
        "up",
        "../secret",
        "link/../secret",
        &absolute,
    ];
    for name in leading {
        let key = key(name);
        let found = store.get(&key, GetOptions::default()).await;
        assert_eq!(kind(found), Some(ErrorKind::NotFound), "{name}");
        put(&store, name, "ours").await;
        assert_eq!(read(&store, name).await.unwrap(), "ours", "{name}");
    }
    assert_eq!(keys(&store).await.len(), leading.len());
    for name in leading {
        delete(&store, name).await;
    }
    assert!(keys(&store).await.is_empty());
    assert_eq!(names(outside.path()), ["secret"]);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(names(parent.path()), ["bucket", "secret"]);
    assert_eq!(fs::read(parent.path().join("secret")).unwrap(), b"secret");
    for link in ["link", "file", "up"] {
        assert!(path.join(link).is_symlink(), "{link} was overwritten");
    }
}

#[tokio::test]
async fn what_is_no_file_is_no_object() {
    use std::os::unix::net::UnixListener;
    let (folder, store) = store();
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(folder.path().join("fifo"))
        .status();
    assert!(fifo.unwrap().success());
    use std::os::unix::ffi::OsStrExt as _;
    let latin = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(folder.path().join(latin), "x").unwrap();
    assert!(keys(&store).await.is_empty());
    for name in ["socket", "fifo"] {
        assert_eq!(
            kind(store.head(&key(name)).await),
            Some(ErrorKind::NotFound)
        );
        put(&store, name, "beside").await;
        assert_eq!(read(&store, name).await.unwrap(), "beside");
        let there = fs::symlink_metadata(folder.path().join(name)).unwrap();
        assert!(!there.file_type().is_file(), "{name} was overwritten");
    }
    let fifo = fs::symlink_metadata(folder.path().join("fifo")).unwrap();
    assert!(fifo.file_type().is_fifo());
    assert_eq!(keys(&store).await, ["fifo", "socket"]);
}

#[tokio::test]
async fn a_file_by_hand_comes_before_what_is_hidden() {
    let (folder, store) = store();
    put(&store, "a/b", "x").await;
    put(&store, "a", "hidden").await;
    assert_eq!(keys(&store).await, ["a", "a/b"]);
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a"), "by hand").unwrap();
    assert_eq!(keys(&store).await, ["a"]);
    assert_eq!(read(&store, "a").await.unwrap(), "by hand");
    put(&store, "a", "again").await;
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"again");
    delete(&store, "a").await;
    assert!(keys(&store).await.is_empty(), "nothing shines through");
}

#[tokio::test]
async fn keys_of_the_state_folder_are_not_its_files() {
    let (folder, store) = store();
    let lock = fs::metadata(folder.path().join(".cloudmount/lock")).unwrap();
    for name in [".cloudmount/lock", ".cloudmount/keys/fa", ".cloudmount/"] {
        assert_eq!(
            kind(store.head(&key(name)).await),
            Some(ErrorKind::NotFound)
        );
        put(&store, name, "x").await;
        assert_eq!(read(&store, name).await.unwrap(), "x");
    }
    let same = fs::metadata(folder.path().join(".cloudmount/lock")).unwrap();
    assert_eq!(lock.len(), same.len());
    assert_eq!(kind(store.head(&key("a")).await), Some(ErrorKind::NotFound));
    let all = [".cloudmount/", ".cloudmount/keys/fa", ".cloudmount/lock"];
    assert_eq!(keys(&store).await, all);
}

#[tokio::test]
async fn a_state_folder_that_is_removed_comes_back() {
    let (folder, store) = store();
    put(&store, "a", "one").await;
    put(&store, "x//y", "hidden").await;
    fs::remove_dir_all(folder.path().join(".cloudmount")).unwrap();
    assert_eq!(keys(&store).await, ["a"]);
    put(&store, "b", "two").await;
    put(&store, "x//y", "again").await;
    assert_eq!(keys(&store).await, ["a", "b", "x//y"]);
}

#[tokio::test]
async fn permissions_outlive_a_rewrite() {
    let (folder, store) = store();
    put(&store, "a", "one").await;
    let path = folder.path().join("a");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    put(&store, "a", "two").await;
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_reader_of_a_file_changed_in_place_gets_an_error() {
    let (folder, store) = store();
    let path = folder.path().join("a");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    let result = store.get(&key("a"), GetOptions::default()).await.unwrap();
    let mut body = result.body;
    let first = body.next().await.unwrap().unwrap();
    assert!(first.iter().all(|&byte| byte == 1));
    // A later tick of the kernel's clock, by an explicit time rather than by waiting.
    fs::write(&path, vec![2; 1 << 20]).unwrap();
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    fs::File::open(&path).unwrap().set_modified(later).unwrap();
    let mut broken = None;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => assert!(piece.iter().all(|&byte| byte == 1), "a mixture"),
            Err(error) => broken = Some(error.kind()),
        }
    }
    assert_eq!(broken, Some(ErrorKind::Precondition));
}

#[tokio::test]
async fn a_file_cut_short_while_it_is_read_is_an_error() {
    let (folder, store) = store();
    let path = folder.path().join("a");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    let mut body = store
        .get(&key("a"), GetOptions::default())
        .await
        .unwrap()
        .body;
    body.next().await.unwrap().unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(300_000)
        .unwrap();
    let results: Vec<_> = body.collect().await;
    assert!(results.last().unwrap().is_err());
}
