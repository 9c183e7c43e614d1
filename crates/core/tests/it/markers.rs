//! Folders as other tools mark them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cloudmount_store::{Key, Metadata, Payload, PutOptions};
use cloudmount_testkit::World as _;
use cloudmount_testkit::kernel::Kind;
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::transcript;
use cloudmount_vfs::{ErrorKind, NodeKind};
use proptest::prelude::*;

use crate::world::CoreWorld;

fn of_type(content_type: &str) -> Metadata {
    Metadata {
        content_type: Some(content_type.into()),
        ..Metadata::default()
    }
}

async fn mounted() -> Mounted<CoreWorld> {
    Mounted::new(CoreWorld::quiet()).await
}

async fn names(here: &Mounted<CoreWorld>, path: &str) -> Vec<String> {
    let mut names = here.kernel().names(path).await.unwrap();
    names.sort();
    names
}

async fn put_folder(here: &Mounted<CoreWorld>, path: &str) {
    let metadata = of_type("application/x-directory");
    here.put_with(path, "", metadata).await;
}

#[tokio::test]
async fn an_empty_object_with_the_suffix_is_its_folder() {
    let here = mounted().await;
    for path in ["/a_$folder$", "/b_$folder$", "/b/f", "/c_$folder$"] {
        here.put(path, "").await;
    }
    here.put("/c_$folder$/x", "1").await;
    for path in ["/full_$folder$", "/_$folder$", "/file"] {
        here.put(path, "bytes").await;
    }
    here.put("/file_$folder$", "").await;
    let k = here.kernel();
    let shown = [
        "%~f~file",
        "_$folder$",
        "a",
        "b",
        "c",
        "c_$folder$",
        "file",
        "full_$folder$",
    ];
    assert_eq!(names(&here, "/").await, shown);
    for folder in ["/a", "/b", "/c", "/c_$folder$", "/file"] {
        assert_eq!(k.stat(folder).await.unwrap().kind, NodeKind::Directory);
    }
    assert_eq!(names(&here, "/a").await, <[&str; 0]>::default());
    assert_eq!(names(&here, "/b").await, ["f"]);
    for file in ["/full_$folder$", "/_$folder$", "/%~f~file"] {
        assert_eq!(k.read_file(file).await.unwrap(), "bytes");
    }
    let error = k.stat("/a_$folder$").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    here.end().await;
}

#[tokio::test]
async fn an_empty_object_that_says_so_is_a_folder() {
    let here = mounted().await;
    put_folder(&here, "/a").await;
    put_folder(&here, "/b").await;
    here.put("/b/f", "1").await;
    let swift = of_type("httpd/unix-directory; charset=utf-8");
    here.put_with("/c", "", swift).await;
    // A byte, or nothing that says so: these are files.
    let folder = of_type("application/x-directory");
    here.put_with("/full", "1", folder).await;
    here.put("/empty", "").await;
    here.put("/empty2", "").await;
    here.put("/empty2/f", "1").await;
    let shown = ["%~f~empty2", "a", "b", "c", "empty", "empty2", "full"];
    assert_eq!(names(&here, "/").await, shown);
    let k = here.kernel();
    for (path, kind) in [
        ("/a", NodeKind::Directory),
        ("/b", NodeKind::Directory),
        ("/c", NodeKind::Directory),
        ("/full", NodeKind::File),
        ("/empty", NodeKind::File),
        ("/empty2", NodeKind::Directory),
        ("/%~f~empty2", NodeKind::File),
    ] {
        assert_eq!(k.stat(path).await.unwrap().kind, kind, "{path}");
    }
    let error = k.stat("/%~f~b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    here.end().await;
}

/// Neither an answer of the store nor the kernel changes what the folder is, nor its number.
#[tokio::test]
async fn a_marked_folder_keeps_its_number() {
    let here = mounted().await;
    here.put("/a_$folder$", "").await;
    put_folder(&here, "/b").await;
    put_folder(&here, "/c").await;
    here.put("/c/f", "1").await;
    let k = here.kernel();
    let mut numbers = BTreeSet::new();
    for round in 0..20 {
        for path in ["/a", "/b", "/c"] {
            numbers.insert(k.stat(path).await.unwrap().ino);
        }
        assert_eq!(names(&here, "/").await, ["a", "b", "c"]);
        if round % 3 == 0 {
            here.put("/c/f", format!("{round}")).await;
        }
        here.wait_for_foreign_changes().await;
    }
    assert_eq!(numbers.len(), 3);
    here.end().await;
}

#[tokio::test]
async fn a_removed_folder_takes_its_markers_with_it() {
    let here = mounted().await;
    here.put("/a_$folder$", "").await;
    put_folder(&here, "/b").await;
    put_folder(&here, "/c").await;
    for path in ["/c/", "/c/f", "/c_$folder$"] {
        here.put(path, "").await;
    }
    let k = here.kernel();
    assert_eq!(names(&here, "/").await, ["a", "b", "c"]);
    let error = k.rmdir("/c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotEmpty);
    k.unlink("/c/f").await.unwrap();
    for folder in ["/a", "/b", "/c"] {
        k.rmdir(folder).await.unwrap();
    }
    assert_eq!(names(&here, "/").await, <[&str; 0]>::default());
    here.world().settle().await;
    assert_eq!(here.keys().await, <[&str; 0]>::default());
    here.wait_for_foreign_changes().await;
    assert_eq!(names(&here, "/").await, <[&str; 0]>::default());
    // The names are free.
    k.write_file("/b", b"a file").await.unwrap();
    k.mkdir("/a", 0o755).await.unwrap();
    here.world().settle().await;
    assert_eq!(here.keys().await, ["a/", "b"]);
    here.end().await;
}

/// What somebody put in the place of a marker since it was seen is not removed with the folder.
#[tokio::test]
async fn a_file_that_took_the_place_of_a_marker_stays() {
    let here = mounted().await;
    put_folder(&here, "/b").await;
    here.put("/b/f", "1").await;
    assert_eq!(names(&here, "/").await, ["b"]);
    let k = here.kernel();
    k.unlink("/b/f").await.unwrap();
    here.put("/b", "a file").await;
    k.rmdir("/b").await.unwrap();
    here.world().settle().await;
    assert_eq!(here.keys().await, ["b"]);
    here.wait_for_foreign_changes().await;
    assert_eq!(k.read_file("/b").await.unwrap(), "a file");
    here.end().await;
}

#[tokio::test]
async fn a_renamed_folder_leaves_no_marker_behind() {
    let here = mounted().await;
    for path in ["/a_$folder$", "/a/sub_$folder$", "/a/f"] {
        here.put(path, "").await;
    }
    put_folder(&here, "/a/bare").await;
    put_folder(&here, "/b").await;
    let k = here.kernel();
    assert_eq!(names(&here, "/").await, ["a", "b"]);
    assert_eq!(names(&here, "/a").await, ["bare", "f", "sub"]);
    k.rename("/a", "/new").await.unwrap();
    k.rename("/b", "/new2").await.unwrap();
    assert_eq!(names(&here, "/").await, ["new", "new2"]);
    assert_eq!(names(&here, "/new").await, ["bare", "f", "sub"]);
    here.world().settle().await;
    here.wait_for_foreign_changes().await;
    let keys = ["new/", "new/bare", "new/f", "new/sub_$folder$", "new2/"];
    assert_eq!(here.keys().await, keys);
    assert_eq!(names(&here, "/new").await, ["bare", "f", "sub"]);
    k.rmdir("/new/sub").await.unwrap();
    k.rmdir("/new/bare").await.unwrap();
    here.world().settle().await;
    assert_eq!(here.keys().await, ["new/", "new/f", "new2/"]);
    here.end().await;
}

/// An empty folder that is replaced by another leaves its markers to that one.
#[tokio::test]
async fn a_folder_that_replaces_a_marked_one_is_removed_whole() {
    let here = mounted().await;
    here.put("/to_$folder$", "").await;
    put_folder(&here, "/to").await;
    let k = here.kernel();
    k.mkdir("/from", 0o755).await.unwrap();
    k.write_file("/from/f", b"1").await.unwrap();
    here.world().settle().await;
    k.rename("/from", "/to").await.unwrap();
    here.world().settle().await;
    here.wait_for_foreign_changes().await;
    assert_eq!(names(&here, "/").await, ["to"]);
    assert_eq!(names(&here, "/to").await, ["f"]);
    k.unlink("/to/f").await.unwrap();
    k.rmdir("/to").await.unwrap();
    here.world().settle().await;
    assert_eq!(here.keys().await, <[&str; 0]>::default());
    here.end().await;
}

/// The attributes that an old s3fs put on its marker are the folder's, until they are changed here.
#[tokio::test]
async fn a_marker_of_the_same_name_has_the_attributes_of_the_folder() {
    let here = mounted().await;
    let user = [("mode", "16832"), ("uid", "1000"), ("mtime", "1500000000")];
    let metadata = Metadata {
        user: user.map(|(name, value)| (name.into(), value.into())).into(),
        ..of_type("application/x-directory")
    };
    here.put_with("/alone", "", metadata.clone()).await;
    here.put_with("/full", "", metadata).await;
    here.put("/full/f", "1").await;
    let k = here.kernel();
    assert_eq!(names(&here, "/").await, ["alone", "full"]);
    for _ in 0..3 {
        for path in ["/alone", "/full"] {
            let attr = k.stat(path).await.unwrap();
            assert_eq!(attr.permissions.bits(), 0o700, "{path}");
            assert_eq!((attr.uid, attr.mtime.secs()), (1000, 1_500_000_000));
        }
        here.wait_for_foreign_changes().await;
    }
    k.chmod("/alone", 0o750).await.unwrap();
    here.world().settle().await;
    here.wait_for_foreign_changes().await;
    let attr = k.stat("/alone").await.unwrap();
    assert_eq!((attr.permissions.bits(), attr.uid), (0o750, 1000));
    assert_eq!(attr.kind, NodeKind::Directory);
    here.end().await;
}

/// Where names are asked for alone, markers are found, too.
#[tokio::test]
async fn markers_are_found_in_a_directory_of_more_than_a_page() {
    let here = mounted().await;
    for n in 0..1100 {
        here.put(&format!("/file{n:04}"), "1").await;
    }
    here.put("/a_$folder$", "").await;
    put_folder(&here, "/b").await;
    put_folder(&here, "/c").await;
    here.put("/c/f", "1").await;
    let k = here.kernel();
    for path in ["/b", "/c"] {
        let kind = k.stat(path).await.unwrap().kind;
        assert_eq!(kind, NodeKind::Directory, "{path}");
    }
    for path in ["/a_$folder$", "/%~f~c"] {
        let error = k.stat(path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
    }
    assert_eq!(names(&here, "/").await.len(), 1103);
    here.wait_for_foreign_changes().await;
    let kind = k.stat("/a").await.unwrap().kind;
    assert_eq!(kind, NodeKind::Directory);
    k.rmdir("/a").await.unwrap();
    here.world().settle().await;
    here.wait_for_foreign_changes().await;
    let error = k.stat("/a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    here.end().await;
}

#[tokio::test]
async fn no_file_is_made_with_the_name_of_a_marker() {
    let here = mounted().await;
    let k = here.kernel();
    k.write_file("/f", b"1").await.unwrap();
    let name = "/x_$folder$";
    let refused = [
        k.write_file(name, b"1").await,
        k.mknod(name, 0o644).await,
        k.symlink("f", name).await,
        k.rename("/f", name).await,
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::IllegalName);
    }
    k.mkdir(name, 0o755).await.unwrap();
    assert_eq!(names(&here, "/").await, ["f", "x_$folder$"]);
    here.end().await;
}

/// What it costs that only a HEAD tells a marker of the same name.
#[tokio::test]
async fn a_marker_costs_one_more_look() {
    let world = CoreWorld::quiet();
    let log = std::sync::Arc::clone(&world.log);
    let mut here = Mounted::new(world).await;
    put_folder(&here, "/b").await;
    here.put("/c_$folder$", "").await;
    let text = r#"
ls / => b/ c/
    list "" by-folder
    head b
stat /b => directory 0755 0:0
stat /c => directory 0755 0:0
    head c/ ! not found
wait 1500 => ok
ls / => b/ c/
    list "" by-folder
stat /b => directory 0755 0:0
    head b/ ! not found
    head b
stat /c => directory 0755 0:0
    head c/ ! not found
"#;
    transcript::check(&mut here, &log, text).await;
    here.end().await;
}

/// Puts under a key that may begin with a slash.
async fn put_key(here: &Mounted<CoreWorld>, key: &str, data: &str, content_type: &str) {
    let options = PutOptions {
        metadata: of_type(content_type),
        ..PutOptions::default()
    };
    let payload = Payload::from(Bytes::from(data.to_owned()));
    let key = Key::new(key).unwrap();
    here.bucket().put(&key, payload, options).await.unwrap();
}

/// What is below `path`, which ends in a slash: files with their bytes, and folders.
async fn walk(here: &Mounted<CoreWorld>) -> (BTreeMap<String, Vec<u8>>, BTreeSet<String>) {
    let k = here.kernel();
    let (mut files, mut folders) = (BTreeMap::new(), BTreeSet::new());
    let mut left = vec![String::new()];
    while let Some(path) = left.pop() {
        for entry in k.readdir(&format!("{path}/")).await.unwrap() {
            let below = format!("{path}/{}", entry.name);
            if entry.kind == Kind::Directory {
                folders.insert(below.clone());
                left.push(below);
            } else {
                let bytes = k.read_file(&below).await.unwrap();
                files.insert(below, bytes.to_vec());
            }
        }
    }
    (files, folders)
}

/// Parts of keys that meet each other, and those that no path can say.
fn part() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "a",
        "b",
        "a_$folder$",
        "b_$folder$",
        "_$folder$",
        "a_$folder$_$folder$",
        ".",
        "..",
        "%~x",
        "",
    ]);
    prop_oneof![
        6 => known.prop_map(str::to_owned),
        1 => "[^/]{1,4}",
        1 => "[ax]{250,300}".prop_map(|long| long),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Body {
    Bytes,
    Empty,
    SaysFolder,
}

fn bucket() -> impl Strategy<Value = BTreeMap<String, Body>> {
    let body = prop_oneof![Just(Body::Bytes), Just(Body::Empty), Just(Body::SaysFolder)];
    let key = prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/"));
    let keys = prop::collection::btree_map(key, body, 1..12);
    keys.prop_map(|keys| {
        let is_key = |key: &str| !key.is_empty() && key.len() <= 1024;
        keys.into_iter().filter(|(key, _)| is_key(key)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every object is shown once, with its own bytes; what is not shown as a file is empty, and marks a folder.
    #[test]
    fn whatever_keys_there_are_all_have_a_name(bucket in bucket()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (files, folders) = runtime.block_on(async {
            let here = mounted().await;
            for (key, body) in &bucket {
                match body {
                    Body::Bytes => put_key(&here, key, &format!("bytes of {key}"), "text/plain").await,
                    Body::Empty => put_key(&here, key, "", "text/plain").await,
                    Body::SaysFolder => put_key(&here, key, "", "application/x-directory").await,
                }
            }
            let shown = walk(&here).await;
            here.end().await;
            shown
        });
        let mut shown: Vec<&[u8]> = files.values().map(Vec::as_slice).collect();
        shown.retain(|bytes| !bytes.is_empty());
        shown.sort_unstable();
        let mut told: Vec<Vec<u8>> = Vec::new();
        let (mut markers, mut empty) = (0, 0);
        for (key, body) in &bucket {
            let is_own = key.ends_with('/');
            let last = key.rsplit('/').next().unwrap();
            let is_suffixed = last.len() > "_$folder$".len() && last.ends_with("_$folder$");
            match body {
                Body::Bytes if !is_own => told.push(format!("bytes of {key}").into_bytes()),
                Body::Bytes => markers += 1,
                Body::Empty | Body::SaysFolder if is_own || is_suffixed => markers += 1,
                Body::Empty => empty += 1,
                Body::SaysFolder => markers += 1,
            }
        }
        told.sort_unstable();
        prop_assert_eq!(&shown, &told);
        prop_assert_eq!(files.len() - shown.len(), empty, "{:?}", files);
        prop_assert!(markers == 0 || !folders.is_empty());
    }
}
