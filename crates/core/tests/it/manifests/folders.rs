//! Manifests belong to their folders: they are no files, go with them, and are made anew where these are renamed.

use std::time::Duration;

use cloudmount_core::ManifestUse;
use cloudmount_core::manifest::NAME;
use cloudmount_store::Key;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_vfs::ErrorKind;

use super::{FILES, beside, fill, mounted, name, requests, rest, settings, stored};

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
