//! Manifests of folders: what they save, that they never count for more than they are bound to, and that nobody sees
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudmount_core::manifest::{self, Manifest, NAME};
use cloudmount_core::{CoreSettings, ManifestUse, Mode};
use cloudmount_store::Key;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{ErrorKind, OpenFlags, XattrMode};

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

/// Row "two writers": each one's manifest is there in the end, whoever was first.
#[tokio::test]
async fn what_two_write_is_merged() {
    let one = mounted(ManifestUse::Write).await;
    one.kernel().mkdir("/d", 0o755).await.unwrap();
    one.world().settle().await;
    let two = beside(&one, settings(ManifestUse::Write)).await;
    for number in 0..FILES {
        let mount = if number % 2 == 0 { &one } else { &two };
        let k = mount.kernel();
        k.write_file(&name(number), b"content").await.unwrap();
        k.chmod(&name(number), 0o640).await.unwrap();
    }
    for number in 0..2 {
        let name = |mount| format!("/d/more{mount}{number}");
        one.kernel().write_file(&name(1), b"x").await.unwrap();
        two.kernel().write_file(&name(2), b"x").await.unwrap();
    }
    one.world().settle().await;
    two.world().settle().await;
    requests(&one);
    requests(&two);
    // Neither has seen what the other writes.
    one.world().core.remember().await;
    two.world().core.remember().await;
    assert_eq!(requests(&one), counts([("list", 1), ("put", 1)]));
    // The second one lists what the first one wrote, the manifest included, and reads it.
    let second = requests(&two);
    assert_eq!(second, counts([("list", 1), ("get", 1), ("put", 1)]));
    let stored = stored(&one).await.unwrap();
    assert_eq!(stored.entries.len(), FILES + 4);
    let reader = beside(&one, settings(ManifestUse::Read)).await;
    assert_eq!(reader.kernel().names("/d").await.unwrap().len(), FILES + 4);
    for number in 0..FILES {
        let attr = reader.kernel().stat(&name(number)).await.unwrap();
        assert_eq!(attr.permissions.bits(), 0o640);
    }
    assert_eq!(requests(&reader), counts([("list", 1), ("get", 1)]));
    for mount in [one, two, reader] {
        mount.end().await;
    }
}

/// Who finds that somebody else was faster takes over what that one knows, and writes again.
#[tokio::test]
async fn what_two_write_at_once_is_merged() {
    let one = mounted(ManifestUse::Write).await;
    one.kernel().mkdir("/d", 0o755).await.unwrap();
    one.world().settle().await;
    let two = beside(&one, settings(ManifestUse::Write)).await;
    for (mount, numbers) in [(&one, 0..16), (&two, 16..32)] {
        for number in numbers {
            let k = mount.kernel();
            k.write_file(&name(number), b"content").await.unwrap();
        }
        mount.world().settle().await;
        requests(mount);
    }
    let key = Key::new(format!("d/{NAME}")).unwrap();
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(5)));
    let world = two.world();
    world.fault.add(slow.on(Operation::Put).key(key).nth(1));
    let writing = async {
        let is_written = |world: &CoreWorld| {
            let lines = world.log.lines();
            lines.iter().any(|line| line.starts_with("put d/.cloud"))
        };
        world.until("it is being written", is_written).await;
        one.world().core.remember().await;
        assert_eq!(stored(&one).await.unwrap().entries.len(), 16);
        pass(&one, 5000).await;
    };
    futures::join!(world.core.remember(), writing);
    let expected = counts([("list", 1), ("get", 1), ("put", 2)]);
    assert_eq!(requests(&two), expected);
    assert_eq!(requests(&one), counts([("list", 1), ("put", 1)]));
    assert_eq!(stored(&one).await.unwrap().entries.len(), 32);
    one.end().await;
    two.end().await;
}

/// Row "a foreign writer": what somebody else changed is asked for, and only that.
#[tokio::test]
async fn what_others_changed_is_asked_for() {
    let writer = mounted(ManifestUse::Write).await;
    fill(&writer).await;
    let stale = writer.object(&format!("/d/{NAME}")).await.unwrap();
    // Other contents, of the same size and of another one; other metadata alone; and a new name.
    writer.put(&name(1), "CONTENT").await;
    writer.put(&name(2), "longer content").await;
    let other = beside(&writer, settings(ManifestUse::Off)).await;
    other.kernel().chmod(&name(3), 0o600).await.unwrap();
    other.kernel().unlink(&name(4)).await.unwrap();
    other.world().settle().await;
    writer.put("/d/new", "new").await;
    assert_eq!(writer.object(&format!("/d/{NAME}")).await.unwrap(), stale);
    pass(&writer, 3000).await;
    let reader = beside(&writer, settings(ManifestUse::Read)).await;
    let k = reader.kernel();
    let names = k.names("/d").await.unwrap();
    assert!(names.contains(&"new".to_owned()) && !names.contains(&"file04".to_owned()));
    let mode = |attr: cloudmount_vfs::Attr| attr.permissions.bits();
    assert_eq!(mode(k.stat(&name(0)).await.unwrap()), 0o640);
    assert_eq!(
        mode(k.stat(&name(1)).await.unwrap()),
        0o644,
        "of nobody's mode"
    );
    assert_eq!(k.stat(&name(2)).await.unwrap().size, 14);
    assert_eq!(mode(k.stat(&name(3)).await.unwrap()), 0o600);
    assert_eq!(mode(k.stat("/d/new").await.unwrap()), 0o644);
    let expected = counts([("list", 1), ("get", 1), ("head", 4)]);
    assert_eq!(requests(&reader), expected);
    // While it is shown, too.
    writer.put(&name(5), "changed again").await;
    pass(&reader, 2000).await;
    k.names("/d").await.unwrap();
    assert_eq!(k.stat(&name(5)).await.unwrap().size, 13);
    assert_eq!(requests(&reader), by_listing(1));
    for mount in [writer, other, reader] {
        mount.end().await;
    }
}

/// What a manifest says is shown, and never written: who changes attributes asks for them first.
#[tokio::test]
async fn what_a_manifest_says_is_never_written() {
    let writer = mounted(ManifestUse::Write).await;
    fill(&writer).await;
    // One that lies about an object, as only who may write into the folder can make it.
    let mut lie = stored(&writer).await.unwrap();
    let known = lie.entries.get_mut("file00").unwrap();
    known.metadata.content_type = Some("a/lie".to_owned());
    known
        .metadata
        .user
        .insert("file-owner".to_owned(), "7".to_owned());
    let bytes = manifest::encode(&lie, manifest::BYTES_MAX);
    writer.put(&format!("/d/{NAME}"), bytes).await;
    let reader = beside(&writer, settings(ManifestUse::Write)).await;
    let k = reader.kernel();
    k.names("/d").await.unwrap();
    assert_eq!(k.stat(&name(0)).await.unwrap().uid, 7, "it is shown");
    requests(&reader);
    k.chmod(&name(0), 0o600).await.unwrap();
    reader.world().settle().await;
    assert_eq!(requests(&reader), counts([("head", 1), ("copy", 1)]));
    let written = reader.metadata(&name(0)).await;
    assert_eq!(written.content_type, None);
    assert_eq!(written.user["file-owner"], "0");
    assert_eq!(k.stat(&name(0)).await.unwrap().uid, 0);
    // To read, to remove and to rename.
    assert_eq!(k.read_file(&name(1)).await.unwrap(), "content");
    k.unlink(&name(2)).await.unwrap();
    reader.world().settle().await;
    assert_eq!(requests(&reader), counts([("get", 1), ("delete", 1)]));
    k.rename(&name(3), "/d/renamed").await.unwrap();
    reader.world().settle().await;
    assert_eq!(requests(&reader)["head"], 1);
    // What is known only by a manifest is not vouched for by the next one.
    for mount in [writer, reader] {
        mount.end().await;
    }
}

/// Whatever lies there, everything is shown as the objects say.
#[tokio::test]
async fn a_manifest_of_no_use_costs_questions_and_nothing_else() {
    let writer = mounted(ManifestUse::Write).await;
    fill(&writer).await;
    let good = writer.object(&format!("/d/{NAME}")).await.unwrap();
    let mut damaged = good.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let newer = b"{\"cloudmount-manifest\":99}\n".to_vec();
    let foreign = b"a file of somebody".to_vec();
    for (bytes, is_replaced) in [
        (damaged, true),
        (newer, false),
        (foreign, false),
        (Vec::new(), false),
    ] {
        let before = bytes.clone();
        writer.put(&format!("/d/{NAME}"), bytes).await;
        let reader = beside(&writer, settings(ManifestUse::Write)).await;
        looks_right(&reader).await;
        assert_eq!(requests(&reader)["head"], FILES + 1);
        pass(&reader, 8000).await;
        let after = writer.object(&format!("/d/{NAME}")).await.unwrap();
        if is_replaced {
            assert_eq!(stored(&writer).await.unwrap().entries.len(), FILES + 1);
        } else {
            assert_eq!(after, before);
        }
        reader.end().await;
    }
    writer.delete(&format!("/d/{NAME}")).await;
    let reader = beside(&writer, settings(ManifestUse::Read)).await;
    looks_right(&reader).await;
    assert_eq!(requests(&reader)["head"], FILES + 1);
    for mount in [writer, reader] {
        mount.end().await;
    }
}

/// Nobody sees it, in any mode, and nobody makes another file of that name.
#[tokio::test]
async fn a_manifest_is_no_file() {
    let writer = mounted(ManifestUse::Write).await;
    fill(&writer).await;
    let path = format!("/d/{NAME}");
    let illegal = Some(ErrorKind::IllegalName);
    for manifest in [ManifestUse::Off, ManifestUse::Read, ManifestUse::Write] {
        let mount = beside(&writer, settings(manifest)).await;
        let k = mount.kernel();
        assert!(!k.names("/d").await.unwrap().contains(&NAME.to_owned()));
        assert!(!k.exists(&path).await.unwrap());
        let kind =
            |result: Result<(), cloudmount_vfs::Error>| result.err().map(|error| error.kind());
        assert_eq!(kind(k.write_file(&path, b"x").await), illegal);
        assert_eq!(kind(k.mkdir(&path, 0o755).await), illegal);
        assert_eq!(kind(k.symlink("x", &path).await), illegal);
        assert_eq!(kind(k.rename(&name(0), &path).await), illegal);
        assert_eq!(kind(k.unlink(&path).await), Some(ErrorKind::NotFound));
        assert!(stored(&mount).await.is_some());
        mount.end().await;
    }
    writer.end().await;
}

/// It is no child of its folder, and goes with it, in any mode.
#[tokio::test]
async fn a_manifest_goes_with_its_folder() {
    for manifest in [ManifestUse::Off, ManifestUse::Read, ManifestUse::Write] {
        let writer = mounted(ManifestUse::Write).await;
        fill(&writer).await;
        let mount = beside(&writer, settings(manifest)).await;
        let k = mount.kernel();
        let full = k.rmdir("/d").await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::NotEmpty);
        for number in 0..FILES {
            k.unlink(&name(number)).await.unwrap();
        }
        k.unlink("/d/link").await.unwrap();
        k.rmdir("/d").await.unwrap();
        assert!(!k.exists("/d").await.unwrap());
        rest(&mount).await;
        assert_eq!(mount.keys().await, Vec::<String>::new());
        assert!(!k.exists("/d").await.unwrap());
        k.mkdir("/d", 0o755).await.unwrap();
        assert_eq!(k.names("/d").await.unwrap(), Vec::<String>::new());
        writer.end().await;
        mount.end().await;
    }
}

/// A folder that has another name leaves it behind, and gets a new one.
#[tokio::test]
async fn a_renamed_folder_gets_another_manifest() {
    let writer = mounted(ManifestUse::Write).await;
    fill(&writer).await;
    let k = writer.kernel();
    k.mkdir("/above", 0o755).await.unwrap();
    k.rename("/d", "/above/e").await.unwrap();
    assert_eq!(k.names("/above/e").await.unwrap().len(), FILES + 1);
    writer.world().settle().await;
    let keys = writer.keys().await;
    assert!(
        !keys
            .iter()
            .any(|key| key.ends_with(NAME) || key.starts_with("d/")),
        "{keys:?}"
    );
    assert!(!k.exists("/d").await.unwrap());
    rest(&writer).await;
    assert!(writer.object(&format!("/above/e/{NAME}")).await.is_some());
    // And with a folder above it, back to where one was.
    k.rename("/above", "/d").await.unwrap();
    k.rename("/d/e", "/d/d").await.unwrap();
    rest(&writer).await;
    let reader = beside(&writer, settings(ManifestUse::Read)).await;
    assert_eq!(
        reader.kernel().names("/d/d").await.unwrap().len(),
        FILES + 1
    );
    for number in 0..FILES {
        let attr = reader
            .kernel()
            .stat(&format!("/d/d/file{number:02}"))
            .await
            .unwrap();
        assert_eq!(attr.permissions.bits(), 0o640);
    }
    assert!(!requests(&reader).contains_key("head"));
    for mount in [writer, reader] {
        mount.end().await;
    }
}

/// A folder that is removed while its manifest is being written does not come back with it.
#[tokio::test]
async fn a_manifest_under_way_does_not_bring_a_removed_folder_back() {
    let writer = mounted(ManifestUse::Write).await;
    let k = writer.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    for number in 0..FILES {
        k.write_file(&name(number), b"content").await.unwrap();
    }
    writer.world().settle().await;
    let slow = FaultRule::new(Effect::Delay(Duration::from_secs(5)))
        .on(Operation::Put)
        .key(Key::new(format!("d/{NAME}")).unwrap());
    writer.world().fault.add(slow);
    let world = writer.world();
    let keeping = world.meanwhile(world.core.remember());
    let removing = async {
        world
            .until("it is being written", |world| {
                let lines = world.log.lines();
                lines.iter().any(|line| line.starts_with("put d/.cloud"))
            })
            .await;
        for number in 0..FILES {
            k.unlink(&name(number)).await.unwrap();
        }
        world.meanwhile(k.rmdir("/d")).await.unwrap();
    };
    futures::join!(keeping, removing);
    rest(&writer).await;
    assert_eq!(writer.keys().await, Vec::<String>::new());
    assert!(!k.exists("/d").await.unwrap());
    writer.end().await;
}
