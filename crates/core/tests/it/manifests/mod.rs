//! Manifests of folders: what they save, that they never count for more than they are bound to, and that nobody sees
//! them.

mod folders;
mod merged;

use std::collections::BTreeMap;
use std::time::Duration;

use cloudmount_core::manifest::{self, Manifest, NAME};
use cloudmount_core::{CoreSettings, ManifestUse, Mode};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{OpenFlags, XattrMode};

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

/// Files in the folder: more than make a manifest worth its writing.
const FILES: usize = 30;

fn settings(manifest: ManifestUse) -> CoreSettings {
    CoreSettings {
        manifest,
        ..CoreSettings::default()
    }
}

async fn mounted(manifest: ManifestUse) -> Here {
    Mounted::new(CoreWorld::with_settings(settings(manifest)).quietly()).await
}

/// Another mount of the same bucket.
async fn beside(here: &Here, settings: CoreSettings) -> Here {
    Mounted::new(here.world().beside_with(settings)).await
}

fn name(number: usize) -> String {
    format!("/d/file{number:02}")
}

/// Writes files with modes of their own, and a symlink with a target; waits until all has come to rest.
async fn fill(here: &Here) {
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    for number in 0..FILES {
        k.write_file(&name(number), b"content").await.unwrap();
        k.chmod(&name(number), 0o640).await.unwrap();
    }
    k.setxattr(&name(0), "user.a", b"v", XattrMode::Set)
        .await
        .unwrap();
    k.symlink("target", "/d/link").await.unwrap();
    rest(here).await;
}

/// Until nothing is uploaded any more, and what there is to be written of manifests is.
async fn rest(here: &Here) {
    here.world().settle().await;
    pass(here, 8000).await;
}

async fn pass(here: &Here, millis: u64) {
    let clock = here.world().clock();
    clock.pass(Duration::from_millis(millis)).await;
    // Waits for what is being written.
    here.world().core.remember().await;
    here.kernel().follow_changes();
}

/// Requests since the last time, by kind, but for those for the root and for markers of folders.
fn requests(here: &Here) -> BTreeMap<String, usize> {
    let mut requests = BTreeMap::new();
    for line in here.world().log.take() {
        let mut words = line.split(' ');
        let (kind, key) = (words.next().unwrap(), words.next().unwrap_or_default());
        let is_marker = kind != "list" && key.ends_with('/');
        if key != "\"\"" && !is_marker {
            *requests.entry(kind.to_owned()).or_default() += 1;
        }
    }
    requests
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    let counts = counts.into_iter();
    counts
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect()
}

/// Looks at all of the folder as `ls -l` does, and says whether all is as it was written.
async fn looks_right(here: &Here) {
    let k = here.kernel();
    let names = k.names("/d").await.unwrap();
    assert_eq!(names.len(), FILES + 1);
    assert!(!names.iter().any(|name| name == NAME));
    for number in 0..FILES {
        let attr = k.stat(&name(number)).await.unwrap();
        assert_eq!(attr.permissions.bits(), 0o640, "{}", name(number));
        assert_eq!(attr.size, 7);
    }
    assert_eq!(k.readlink("/d/link").await.unwrap(), "target");
    assert_eq!(k.getxattr(&name(0), "user.a").await.unwrap(), "v");
}

async fn stored(here: &Here) -> Option<Manifest> {
    let bytes = here.object(&format!("/d/{NAME}")).await?;
    Some(manifest::decode(&bytes).unwrap())
}

fn by_listing(entries: usize) -> BTreeMap<String, usize> {
    counts([("list", 1), ("head", entries)])
}

/// Row "cold `ls -l`": one listing and one read, where a question for each entry was needed.
#[tokio::test]
async fn a_cold_listing_costs_one_listing_and_one_read() {
    let writer = mounted(ManifestUse::Write).await;
    fill(&writer).await;
    let off = beside(&writer, settings(ManifestUse::Off)).await;
    looks_right(&off).await;
    let mut expected = by_listing(FILES + 1);
    expected.insert("get".to_owned(), 1);
    assert_eq!(requests(&off), expected, "the symlink is read");
    let reader = beside(&writer, settings(ManifestUse::Read)).await;
    looks_right(&reader).await;
    assert_eq!(requests(&reader), counts([("list", 1), ("get", 1)]));
    // Again when that is believed no longer: all is as it was.
    pass(&reader, 2000).await;
    looks_right(&reader).await;
    assert_eq!(requests(&reader), counts([("list", 1)]));
    for mount in [writer, off, reader] {
        mount.end().await;
    }
}

/// Row "files are written": one listing, for their dates, and one write.
#[tokio::test]
async fn writing_files_costs_one_listing_and_one_write_more() {
    let writer = mounted(ManifestUse::Write).await;
    let k = writer.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    for number in 0..FILES {
        k.write_file(&name(number), b"content").await.unwrap();
    }
    writer.world().settle().await;
    assert_eq!(requests(&writer), counts([("put", FILES)]));
    pass(&writer, 8000).await;
    assert_eq!(requests(&writer), counts([("list", 1), ("put", 1)]));
    assert_eq!(stored(&writer).await.unwrap().entries.len(), FILES);
    // Nothing more is learnt, nothing more is written.
    pass(&writer, 120_000).await;
    assert_eq!(requests(&writer), counts([]));
    writer.end().await;
}

/// A listing that had to ask for many entries spares the next one the same.
#[tokio::test]
async fn what_a_listing_asked_for_is_written() {
    let writer = mounted(ManifestUse::Off).await;
    fill(&writer).await;
    assert_eq!(stored(&writer).await, None);
    let reader = beside(&writer, settings(ManifestUse::Write)).await;
    looks_right(&reader).await;
    requests(&reader);
    pass(&reader, 8000).await;
    assert_eq!(requests(&reader), counts([("list", 1), ("put", 1)]));
    let second = beside(&writer, settings(ManifestUse::Read)).await;
    looks_right(&second).await;
    assert_eq!(requests(&second), counts([("list", 1), ("get", 1)]));
    for mount in [writer, reader, second] {
        mount.end().await;
    }
}

/// A few entries are not worth a write; nor is anything written by who only reads, or while uploads go on.
#[tokio::test]
async fn nothing_is_written_where_it_is_not_worth_it_or_not_allowed() {
    let writer = mounted(ManifestUse::Write).await;
    let k = writer.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    for number in 0..15 {
        k.write_file(&name(number), b"content").await.unwrap();
    }
    rest(&writer).await;
    assert_eq!(stored(&writer).await, None);
    k.write_file(&name(15), b"content").await.unwrap();
    writer.world().settle().await;
    let fd = k.create("/d/open", 0o644, OpenFlags::WRITE).await.unwrap();
    pass(&writer, 90_000).await;
    assert_eq!(stored(&writer).await, None, "a file is being written");
    k.close(fd).await.unwrap();
    rest(&writer).await;
    assert_eq!(stored(&writer).await.unwrap().entries.len(), 17);
    let before = writer.object(&format!("/d/{NAME}")).await;
    for number in 16..FILES {
        writer.put(&name(number), "content").await;
    }
    for number in 0..20 {
        writer.put(&format!("/d/other{number}"), "content").await;
    }
    let read_only = CoreSettings {
        mode: Mode::ReadOnly,
        ..settings(ManifestUse::Write)
    };
    for settings in [settings(ManifestUse::Read), read_only] {
        let reader = beside(&writer, settings).await;
        reader.kernel().names("/d").await.unwrap();
        for number in 16..FILES {
            reader.kernel().stat(&name(number)).await.unwrap();
        }
        pass(&reader, 8000).await;
        assert!(!requests(&reader).contains_key("put"));
        reader.end().await;
    }
    assert_eq!(writer.object(&format!("/d/{NAME}")).await, before);
    writer.end().await;
}
