//! The store in a local folder: the suite, and what other programs see of it and do to it.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::{
    Durability, Error, ErrorKind, GetOptions, Key, ListRequest, LocalSettings, LocalStore,
    Metadata, MetadataPlace, Payload, Precondition, PutOptions, Removal, Store, StoreExt, Version,
};
use cloudmount_testkit::store_suite::Bed;
use cloudmount_testkit::store_suite::reference::random_walk;
use cloudmount_vfs::SystemClock;
use futures::StreamExt;
use futures::future::join_all;
use tempfile::TempDir;
use tokio::runtime::Handle;

fn open_with(path: &Path, settings: LocalSettings) -> LocalStore {
    let clock = Arc::new(SystemClock::new());
    LocalStore::open(path, settings, clock, Handle::current()).unwrap()
}

fn open(path: &Path) -> LocalStore {
    open_with(path, LocalSettings::default())
}

fn bed(settings: LocalSettings) -> Bed {
    let folder = tempfile::tempdir().unwrap();
    Bed::new(Arc::new(open_with(folder.path(), settings))).keeping(folder)
}

fn plain() -> Bed {
    bed(LocalSettings::default())
}

fn sidecars() -> Bed {
    bed(LocalSettings {
        metadata: MetadataPlace::Sidecar,
        ..LocalSettings::default()
    })
}

mod laws {
    cloudmount_testkit::store_tests!(crate::local::plain);
}

mod laws_with_metadata_in_files {
    cloudmount_testkit::store_tests!(crate::local::sidecars);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_walks_give_what_a_map_gives() {
    // The bucket itself, where no prefix keeps keys from meeting the state folder.
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::new(Arc::new(open(folder.path())));
    for seed in 100..115 {
        let walked = random_walk(&bed.area("").bare(), seed).await;
        walked.unwrap();
    }
    assert_eq!(names(folder.path()), [".cloudmount"]);
    assert!(names(&folder.path().join(".cloudmount/keys")).is_empty());
    assert!(names(&folder.path().join(".cloudmount/tmp")).is_empty());
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn put(store: &LocalStore, name: &str, text: &'static str) -> Version {
    let payload = Payload::from(Bytes::from_static(text.as_bytes()));
    put_with(store, name, payload, PutOptions::default())
        .await
        .unwrap()
}

async fn put_with(
    store: &LocalStore,
    name: &str,
    payload: Payload,
    options: PutOptions,
) -> Result<Version, Error> {
    store.put(&key(name), payload, options).await
}

async fn read(store: &LocalStore, name: &str) -> Result<Bytes, Error> {
    store.get_bytes(&key(name), GetOptions::default()).await
}

async fn delete(store: &LocalStore, name: &str) {
    let answers = store.delete(&[key(name)]).await.unwrap();
    for answer in answers {
        answer.unwrap();
    }
}

async fn keys(store: &LocalStore) -> Vec<String> {
    let page = store.list(ListRequest::default()).await.unwrap();
    assert!(page.next.is_none());
    let names = page.objects.iter().map(|object| object.key.to_string());
    names.collect()
}

async fn folders(store: &LocalStore, prefix: &str) -> Vec<String> {
    let request = ListRequest {
        prefix: prefix.to_owned(),
        by_folder: true,
        ..ListRequest::default()
    };
    store.list(request).await.unwrap().prefixes
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_stores_on_one_folder_one_gets_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [(); 2].map(|()| open(folder.path()));
    for round in 0..50 {
        let content = Bytes::from(format!("round {round}").into_bytes());
        let plain = PutOptions::default();
        let version = put_with(&one, "f/a", content.into(), plain).await.unwrap();
        let options = PutOptions {
            precondition: Precondition::Matches(version.clone()),
            ..PutOptions::default()
        };
        let payload = Payload::from(Bytes::from_static(b"other"));
        let removal = Removal {
            key: key("f/a"),
            version,
        };
        let removals = [removal];
        let put = put_with(&two, "f/a", payload, options);
        let (put, removed) = futures::join!(put, one.delete_if(&removals));
        let removed = removed.unwrap().remove(0);
        let (put, removed) = (kind(put), kind(removed));
        let lost = Some(ErrorKind::Precondition);
        assert!(
            matches!((put, removed), (None, late) | (late, None) if late == lost),
            "{put:?} {removed:?}"
        );
        let found = read(&one, "f/a").await.ok();
        assert_eq!(found.is_some(), put.is_none());
    }
}

/// Names in a folder on disk.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = (fs::read_dir(path).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder and a store on it.
fn store() -> (TempDir, LocalStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (folder, store)
}

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

fn labelled() -> PutOptions {
    PutOptions {
        metadata: Metadata {
            content_type: Some("text/plain".to_owned()),
            user: [("label".to_owned(), "v".repeat(1000))].into(),
            ..Metadata::default()
        },
        ..PutOptions::default()
    }
}

#[tokio::test]
async fn metadata_outlive_the_store_and_a_write_in_place() {
    for settings in [
        LocalSettings::default(),
        LocalSettings {
            metadata: MetadataPlace::Sidecar,
            ..LocalSettings::default()
        },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let wanted = labelled();
        {
            let store = open_with(folder.path(), settings);
            let put = put_with(&store, "a", Payload::default(), wanted.clone());
            put.await.unwrap();
            let put = put_with(&store, "d/", Payload::default(), wanted.clone());
            put.await.unwrap();
        }
        let store = open_with(folder.path(), settings);
        let meta = async |name| store.head(&key(name)).await.unwrap().metadata;
        assert_eq!(meta("a").await, wanted.metadata);
        assert_eq!(meta("d/").await, wanted.metadata);
        fs::write(folder.path().join("a"), "in place").unwrap();
        assert_eq!(meta("a").await, wanted.metadata);
        // A new file is a new object, which never had them.
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("a")).unwrap();
        assert_eq!(meta("a").await, Metadata::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_and_metadata_are_replaced_together() {
    for metadata in [MetadataPlace::Auto, MetadataPlace::Sidecar] {
        let folder = tempfile::tempdir().unwrap();
        let settings = LocalSettings {
            metadata,
            ..LocalSettings::default()
        };
        let store = Arc::new(open_with(folder.path(), settings));
        let write = async |number: u32| {
            let text = number.to_string();
            let options = PutOptions {
                metadata: Metadata {
                    user: [("number".to_owned(), text.clone())].into(),
                    ..Metadata::default()
                },
                ..PutOptions::default()
            };
            let payload = Payload::from(Bytes::from(text.into_bytes()));
            put_with(&store, "a", payload, options).await.unwrap();
        };
        write(0).await;
        let reader = {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..5000 {
                    let result = store.get(&key("a"), GetOptions::default()).await.unwrap();
                    let mut body = result.body;
                    let text = body.next().await.unwrap().unwrap();
                    let number = result
                        .meta
                        .metadata
                        .user
                        .get("number")
                        .map(String::as_bytes);
                    assert_eq!(number, Some(&text[..]));
                }
            })
        };
        let mut number = 1;
        while !reader.is_finished() {
            write(number).await;
            number += 1;
        }
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_folders_appear_with_what_is_in_them() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..300 {
                put(&store, &format!("{n}/b/c"), "x").await;
            }
        })
    };
    while !writer.is_finished() {
        for name in keys(&store).await {
            assert!(
                name.ends_with("/b/c"),
                "{name:?} is a folder that nobody made"
            );
        }
    }
    writer.await.unwrap();
    assert_eq!(keys(&store).await.len(), 300);
}

#[tokio::test]
async fn sidecars_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LocalSettings {
        metadata: MetadataPlace::Sidecar,
        ..LocalSettings::default()
    };
    let store = open_with(folder.path(), settings);
    for _ in 0..5 {
        for name in ["a", "d/", "x//y"] {
            let put = put_with(&store, name, Payload::default(), labelled());
            put.await.unwrap();
        }
    }
    let meta = folder.path().join(".cloudmount/meta");
    assert_eq!(names(&meta).len(), 3);
    let options = PutOptions {
        precondition: Precondition::Absent,
        ..labelled()
    };
    let refused = store.put(&key("a"), Payload::default(), options).await;
    assert_eq!(kind(refused), Some(ErrorKind::Precondition));
    assert_eq!(names(&meta).len(), 3);
    for name in ["a", "d/", "x//y"] {
        delete(&store, name).await;
    }
    assert!(names(&meta).is_empty());
}

#[tokio::test]
async fn metadata_too_large_for_an_attribute_are_kept() {
    let (folder, store) = store();
    // Six bytes of JSON for each of these characters: more than one block of ext4.
    let options = PutOptions {
        metadata: Metadata {
            user: [("control".to_owned(), "\u{1}".repeat(2000))].into(),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    for name in ["a", "d/"] {
        let put = put_with(&store, name, Payload::default(), options.clone());
        put.await.unwrap();
        let found = store.head(&key(name)).await.unwrap().metadata;
        assert_eq!(found, options.metadata, "{name}");
    }
    for name in ["a", "d/"] {
        delete(&store, name).await;
    }
    let meta = folder.path().join(".cloudmount/meta");
    assert!(!meta.exists() || names(&meta).is_empty());
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
async fn no_listing_shows_a_folder_that_a_removal_is_about_to_take() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    put(&store, "a/b/one", "x").await;
    let other = Arc::clone(&store);
    let changing = tokio::spawn(async move {
        for _ in 0..300 {
            delete(&other, "a/b/one").await;
            put(&other, "a/b/one", "x").await;
        }
    });
    let mut looks = 0;
    while !changing.is_finished() {
        let seen = keys(&store).await;
        assert!(seen.iter().all(|key| key == "a/b/one"), "{seen:?}");
        looks += 1;
    }
    changing.await.unwrap();
    assert!(looks > 10, "{looks}");
}
