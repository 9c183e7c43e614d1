//! Uploads, removals, renames and crashes on buckets that speak the dialects of S3.

use cloudmount_stage::{StageSettings, Submit};
use cloudmount_store::{Capabilities, MemoryStore};
use cloudmount_testkit::Dialect;

use crate::model::ends_right_in;
use crate::world::{World, key, metadata, pattern};

/// Runs of the model for each dialect: each takes some tens of milliseconds.
const SEEDS: u64 = 6;

macro_rules! tests {
    ($($name:ident: $dialect:ident,)*) => {
        $(mod $name {
            use cloudmount_testkit::Dialect;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_bucket_ends_as_the_last_call_says() {
                for seed in 1..=super::SEEDS {
                    super::ends_right_in(Dialect::$dialect, seed).await;
                }
                let (name, seeds) = (Dialect::$dialect.name(), super::SEEDS);
                println!("dialect {name} crashes: {seeds} held, 0 not offered, 0 by nature");
            }
        })*
    };
}

cloudmount_testkit::for_each_store_dialect!(tests);

/// Part sizes that small files have several of.
fn settings() -> StageSettings {
    StageSettings {
        multipart_bytes_min: 1 << 20,
        part_bytes: 1 << 20,
        ..StageSettings::default()
    }
}

fn world(dialect: Dialect) -> World {
    let capabilities = Capabilities {
        part_bytes_min: 1 << 19,
        ..MemoryStore::CAPABILITIES
    };
    World::speaking(settings(), capabilities, dialect)
}

/// A file that is uploaded while it grows, whose end nobody knows, has parts that are equally long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_equal_parts() {
    let mut world = world(Dialect::EqualParts);
    let bytes = pattern(1, (5 << 20) + 17);
    let stage = world.stage.clone();
    let file = stage.create(&key("a"), None, metadata("1")).unwrap();
    for (number, piece) in bytes.chunks(1 << 19).enumerate() {
        file.write_at((number << 19) as u64, piece).unwrap();
        world.quiet().await;
    }
    stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    assert!(world.content("a").await.unwrap() == bytes);
}

/// Where keys are paths, what was in the way is gone before what takes its place comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_takes_the_place_of_a_file_and_the_other_way_round() {
    let mut world = world(Dialect::NoPrefixObjects);
    drop(world.object("d", b"a file").await);
    drop(world.object("e/f", b"in a folder").await);
    let stage = world.stage.clone();
    let (file, inner) = (world.belief("d").await, world.belief("e/f").await);
    stage.remove(&key("d"), file).unwrap();
    world.write("d/x", b"in a folder now");
    stage.remove(&key("e/f"), inner).unwrap();
    world.write("e", b"a file now");
    world.settle().await;
    assert_eq!(world.content("d").await, None);
    assert_eq!(world.content("d/x").await.unwrap(), b"in a folder now");
    assert_eq!(world.content("e/f").await, None);
    assert_eq!(world.content("e").await.unwrap(), b"a file now");
}
