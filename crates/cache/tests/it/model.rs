//! Random reads through slow, faulty requests give the object's bytes, or the error that occurred.

use std::sync::Arc;

use cloudmount_cache::strategy::Eviction;
use cloudmount_cache::{CacheParts, CacheSettings};
use cloudmount_vfs::ErrorKind;
use futures::future::join_all;
use proptest::prelude::*;

use crate::source::{FakeSource, Fault, KIB, content, object};

#[derive(Clone, Debug)]
struct World {
    eviction: Eviction,
    size: u64,
    block_bytes: u64,
    piece: u64,
    yields: usize,
    request_bytes_max: u64,
    whole_object_bytes: u64,
    faults: Vec<Fault>,
    /// For each reader, what it reads: (offset, length, whether it follows the last one).
    reads: Vec<Vec<(u64, usize, bool)>>,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Refuse(ErrorKind::Unreachable)),
        1 => (0..200 * KIB).prop_map(Fault::Break),
        1 => (0..200 * KIB).prop_map(Fault::Short),
        1 => Just(Fault::Long),
    ]
}

fn world() -> impl Strategy<Value = World> {
    let read = (0..1100 * KIB, 0_usize..200 << 10, any::<bool>());
    let reads = prop::collection::vec(prop::collection::vec(read, 1..30), 1..5);
    let eviction = prop::sample::select(Eviction::all().collect::<Vec<_>>());
    (
        eviction,
        (0..1000 * KIB, 12_u32..17, 500..100 * KIB, 0_usize..4),
        (0..300 * KIB, 0..300 * KIB),
        prop::collection::vec(fault(), 0..40),
        reads,
    )
        .prop_map(
            |(eviction, (size, shift, piece, yields), limits, faults, reads)| World {
                eviction,
                size,
                block_bytes: 1 << shift,
                piece,
                yields,
                request_bytes_max: limits.0,
                whole_object_bytes: limits.1,
                faults,
                reads,
            },
        )
}

async fn run(world: World) {
    let may_fail = !world.faults.is_empty();
    let source = FakeSource::new(world.piece)
        .slow(world.yields)
        .faults(world.faults);
    let settings = CacheSettings {
        memory_bytes: 512 * KIB,
        block_bytes: world.block_bytes,
        readahead_bytes_max: 128 * KIB,
        request_bytes_max: world.request_bytes_max,
        whole_object_bytes: world.whole_object_bytes,
    };
    let cache = source.cache(CacheParts {
        eviction: world.eviction,
        ..settings.into()
    });
    let object = object(world.size);
    let expected = Arc::new(content(&object, 0..world.size));
    let tasks = world.reads.into_iter().map(|reads| {
        let (reader, object, expected) = (cache.reader(), object.clone(), Arc::clone(&expected));
        tokio::spawn(async move {
            let mut end = 0;
            for (offset, len, follows) in reads {
                let offset = if follows { end } else { offset };
                end = offset + len as u64;
                let from = usize::try_from(offset.min(object.size)).unwrap();
                let to = usize::try_from(end.min(object.size)).unwrap();
                match reader.read(&object, offset, len).await {
                    Ok(bytes) => assert!(bytes == expected[from..to], "wrong bytes"),
                    Err(error) => assert!(may_fail, "{error:?}"),
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let stats = cache.stats();
    assert!(stats.cached_bytes <= stats.limit_bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn reads_give_the_objects_bytes(world in world()) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap()
            .block_on(run(world));
    }
}
