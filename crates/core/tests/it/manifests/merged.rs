//! What several mounts write, and what others change, ends in one manifest.

use std::time::Duration;

use cloudmount_core::ManifestUse;
use cloudmount_core::manifest::{self, NAME};
use cloudmount_store::Key;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;

use super::{
    FILES, beside, by_listing, counts, fill, looks_right, mounted, name, pass, requests, settings,
    stored,
};
use crate::world::CoreWorld;

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
