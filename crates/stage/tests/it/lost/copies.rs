//! Lost answers of large copies in parts.

use bytes::Bytes;
use cloudmount_stage::{Base, RemoteBelief, StageSettings};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, MemoryStore, Metadata, PutOptions, Store as _};

use super::is_conflict;
use crate::world::{World, key, metadata, pattern};

/// An object of someone else, of 9 MiB, that the stage believes to be there as the store tells it.
async fn large_object(world: &World, user: Metadata) -> Base {
    let options = PutOptions {
        metadata: user,
        ..PutOptions::default()
    };
    let body = Bytes::from(pattern(4, 9 << 20)).into();
    world.log.put(&key("a"), body, options).await.unwrap();
    let there = world.log.head(&key("a")).await.unwrap();
    Base {
        key: key("a"),
        version: there.version,
        size: there.size,
    }
}

/// Copies that go as parts have another tag than their source, and are too large to be read: the end of
/// the upload is recognised by the tag of its parts, or by the metadata where nobody knows the tags.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_answer_of_a_large_copy_in_parts_is_no_conflict() {
    let capabilities = Capabilities {
        // A copy checks no target, and so goes as parts.
        copy_if: false,
        part_bytes_min: 1 << 20,
        ..MemoryStore::CAPABILITIES
    };
    for user in [Metadata::default(), metadata("1")] {
        for crashes in [false, true] {
            let what = format!("{user:?}, crashes: {crashes}");
            let mut world = World::tagged(StageSettings::default(), capabilities);
            let base = large_object(&world, user.clone()).await;
            world.fault(Effect::LoseReply, Operation::MultipartComplete, 1);
            (world.stage)
                .rename_object(base, &key("b"), RemoteBelief::Absent, user.clone())
                .unwrap();
            world.until_call("complete b").await;
            if crashes {
                world
                    .until("it is joined", |world| world.bucket.len() == 2)
                    .await;
                world.crash().await;
            }
            world.settle().await;
            assert_eq!(world.bucket.keys(), [key("b")], "{what}");
            assert!(!world.events().iter().any(is_conflict), "{what}");
            world
                .until("no upload is left", |world| {
                    world.bucket.uploads_in_progress() == 0
                })
                .await;
        }
    }
}

/// New metadata for what is too large to be copied at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_answer_of_new_metadata_for_a_large_object_is_no_conflict() {
    let capabilities = Capabilities {
        copy_bytes_max: 1 << 20,
        part_bytes_min: 1 << 20,
        ..MemoryStore::CAPABILITIES
    };
    let typed = Metadata {
        content_type: Some("text/x-new".to_owned()),
        ..Metadata::default()
    };
    for new in [typed, metadata("2")] {
        let mut world = World::tagged(StageSettings::default(), capabilities);
        let base = large_object(&world, Metadata::default()).await;
        world.fault(Effect::LoseReply, Operation::MultipartComplete, 1);
        let stage = world.stage.clone();
        (stage.set_metadata(&key("a"), new.clone(), base.version)).unwrap();
        world.settle().await;
        let there = world.bucket.head(&key("a")).await.unwrap();
        assert_eq!(there.metadata, new);
        assert!(!world.events().iter().any(is_conflict), "{new:?}");
        world
            .until("no upload is left", |world| {
                world.bucket.uploads_in_progress() == 0
            })
            .await;
    }
}
