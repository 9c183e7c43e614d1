//! Files with parts that are nowhere but in the bucket, whose name someone else took.

use std::time::Duration;

use cloudmount_core::{CoreSettings, TimesToLive};
use cloudmount_stage::StageSettings;
use cloudmount_store::{Capabilities, MemoryStore};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::OpenFlags;

use crate::world::CoreWorld;

const MIB: u64 = 1 << 20;

/// Nothing that the bucket said is old within the test, so that only what is told is looked at anew.
#[tokio::test]
async fn theirs_is_shown_under_its_other_name_at_once() {
    let settings = CoreSettings {
        ttl: TimesToLive::all(Duration::from_secs(1_000_000)),
        ..CoreSettings::default()
    };
    let stage = StageSettings {
        multipart_bytes_min: MIB,
        part_bytes: MIB,
        staging_bytes_max: Some(4 * MIB),
        ..StageSettings::default()
    };
    let capabilities = Capabilities {
        part_bytes_min: MIB,
        ..MemoryStore::CAPABILITIES
    };
    let world = CoreWorld::staged(settings, stage, capabilities);
    let here = Mounted::new(world.quietly()).await;
    let (k, world) = (here.kernel(), here.world());
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.unwrap();
    let piece = vec![7; 1 << 19];
    for n in 0..20 {
        let write = k.write(fd, n * piece.len() as u64, &piece);
        world.meanwhile(write).await.unwrap();
    }
    here.put("/f", "theirs").await;
    assert_eq!(k.names("/").await.unwrap(), ["f"]);
    k.close(fd).await.unwrap();
    world.settle().await;
    k.follow_changes();
    let names = k.names("/").await.unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(k.stat("/f").await.unwrap().size, 20 << 19);
    let theirs = names.iter().find(|name| *name != "f").unwrap();
    let read = k.read_file(&format!("/{theirs}")).await.unwrap();
    assert_eq!(read, "theirs");
    assert!(
        here.object("/f")
            .await
            .unwrap()
            .iter()
            .all(|byte| *byte == 7)
    );
    here.end().await;
}
