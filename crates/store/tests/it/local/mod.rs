//! The store in a local folder: the suite, and what other programs see of it and do to it.

mod folders;
mod left;
mod metadata;

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
