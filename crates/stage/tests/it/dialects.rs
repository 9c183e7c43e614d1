//! Uploads, removals, renames and crashes on buckets that speak the dialects of S3.

use cloudmount_stage::{StageSettings, Submit};
use cloudmount_store::{Capabilities, MemoryStore};
use cloudmount_testkit::Dialect;

use crate::model::ends_right_in;
use crate::world::{World, key, metadata, pattern};

/// Runs of the model for each dialect: each takes some tens of milliseconds.
const SEEDS: u64 = 6;

async fn rows(dialect: Dialect) {
    let mut met = None;
    for seed in 1..=SEEDS {
        met = met.max(ends_right_in(dialect, seed).await);
    }
    assert_ne!(met, Some(0), "what no request met proves nothing");
}

macro_rules! tests {
    ($($name:ident: $dialect:ident,)*) => {
        $(mod $name {
            use cloudmount_testkit::Dialect;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_bucket_ends_as_the_last_call_says() {
                super::rows(Dialect::$dialect).await;
                let (name, seeds) = (Dialect::$dialect.name(), super::SEEDS);
                println!("dialect {name} crashes: {seeds} held, 0 not offered, 0 by nature");
            }
        })*
    };
}

cloudmount_testkit::for_each_dialect!(tests);

/// Removals that are looked at by a listing, as there are so many.
const FILES: usize = 12;

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

/// Of many removals whose versions the store does not check, those are looked at by a listing: what is late says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_listed_yet_is_removed_all_the_same() {
    let capabilities = Capabilities {
        delete_if: false,
        ..MemoryStore::CAPABILITIES
    };
    let mut world = World::speaking(StageSettings::default(), capabilities, Dialect::Lags);
    world.settle().await;
    for round in 0..2 {
        for n in 0..FILES {
            world.write(&format!("d/{n:02}"), format!("{round}").as_bytes());
        }
        let bucket = world.bucket.clone();
        let is_there = |world: &World| {
            let totals = world.stage.status().totals;
            totals.keys == 0 && bucket.keys().len() == FILES
        };
        world.until("all is uploaded", is_there).await;
        let stage = world.stage.clone();
        stage.pause();
        for n in 0..FILES {
            let name = format!("d/{n:02}");
            stage
                .remove(&key(&name), world.belief(&name).await)
                .unwrap();
        }
        // Just now, they were written.
        drop(world.log.take());
        let put = |world: &World| world.stage.status().totals.keys == 0;
        stage.resume();
        stage.flush_all();
        world.until("all is removed", put).await;
        let calls = world.calls();
        assert!(
            calls.iter().any(|call| call.starts_with("list")),
            "{calls:#?}"
        );
        assert!(world.bucket.is_empty(), "{:?}", world.bucket.keys());
    }
}
