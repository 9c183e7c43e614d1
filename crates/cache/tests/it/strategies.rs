//! Every eviction strategy in the cache itself, and one that the test brings.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudmount_cache::strategy::{Arrival, Eviction, EvictionStrategy, Place, Queues};
use cloudmount_cache::{CacheParts, CacheSettings, ObjectRef, ReadObserver};
use parking_lot::Mutex;

use crate::source::{BLOCK, FakeSource, KIB, MIB, content, object, settle, span};

fn parts(eviction: Eviction) -> CacheParts {
    let settings = CacheSettings {
        memory_bytes: 32 * MIB,
        readahead_bytes_max: 0,
        whole_object_bytes: 0,
        ..CacheSettings::default()
    };
    CacheParts {
        eviction,
        ..settings.into()
    }
}

#[tokio::test]
async fn a_block_that_is_read_in_small_steps_is_fetched_once() {
    for eviction in Eviction::all() {
        let name = eviction.name();
        let source = FakeSource::new(BLOCK).faults([]);
        let cache = source.cache(parts(eviction));
        // Another file fills the memory, and is read often.
        let (hot, reader) = (ObjectRef::new("hot", "1", 20 * MIB), cache.reader());
        for _ in 0..4 {
            for at in 0..20 {
                reader.read(&hot, at * MIB, 1 << 20).await.unwrap();
            }
        }
        let before = source.log().len();
        let (object, reader) = (object(8 * MIB), cache.reader());
        for at in 0..8 * MIB / (16 * KIB) {
            let bytes = reader.read(&object, at * 16 * KIB, 16 << 10).await.unwrap();
            assert!(bytes == content(&object, at * 16 * KIB..(at + 1) * 16 * KIB));
        }
        assert_eq!(
            source.log().len() - before,
            64,
            "{name}: blocks of the file"
        );
    }
}

/// The newest goes first: wrong for most, and nothing like what is built in.
#[derive(Debug)]
struct NewestFirst {
    blocks: Queues<1>,
    newest: Vec<Place>,
    evicted: Arc<AtomicU64>,
}

impl EvictionStrategy for NewestFirst {
    fn read(&mut self, _: Place) {}

    fn evict(&mut self, _: &Arrival) -> Option<Place> {
        let newest = self.newest.pop()?;
        self.blocks.remove(newest)?;
        self.evicted.fetch_add(1, Ordering::Relaxed);
        Some(newest)
    }

    fn inserted(&mut self, place: Place, arrival: &Arrival) {
        self.newest.push(place);
        self.blocks.push(0, place, arrival.bytes);
    }

    fn removed(&mut self, place: Place) {
        self.newest.retain(|other| *other != place);
        self.blocks.remove(place);
    }
}

#[tokio::test]
async fn a_strategy_of_ones_own_decides() {
    let evicted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&evicted);
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(parts(Eviction::custom(move |_| {
        Box::new(NewestFirst {
            blocks: Queues::default(),
            newest: Vec::new(),
            evicted: Arc::clone(&count),
        })
    })));
    let (object, reader) = (object(64 * MIB), cache.reader());
    for at in 0..512 {
        reader.read(&object, at * BLOCK, 1 << 17).await.unwrap();
    }
    // Three eighths of the memory, less what free buffers may take, hold some 90 blocks.
    let evicted = evicted.load(Ordering::Relaxed);
    assert!((410..440).contains(&evicted), "{evicted}");
    settle().await;
    let before = source.log();
    for at in 0..64 {
        reader.read(&object, at * BLOCK, 1 << 17).await.unwrap();
    }
    assert_eq!(source.log(), before, "the first to come are here yet");
    reader.read(&object, 400 * BLOCK, 1 << 17).await.unwrap();
    assert_eq!(source.log().last(), Some(&span(400 * BLOCK, 401 * BLOCK)));
    cache.forget(&object);
    assert_eq!(cache.stats().cached_bytes, 0);
}

#[derive(Default)]
struct Heard(Mutex<Vec<(ObjectRef, Range<u64>)>>);

impl ReadObserver for Heard {
    fn read(&self, object: &ObjectRef, range: &Range<u64>) {
        self.0.lock().push((object.clone(), range.clone()));
    }
}

#[tokio::test]
async fn an_observer_hears_of_hits_and_misses_as_they_were_asked_for() {
    let heard = Arc::new(Heard::default());
    let source = FakeSource::new(BLOCK).faults([]);
    let cache = source.cache(CacheParts {
        observer: Some(Arc::clone(&heard) as _),
        ..CacheParts::default()
    });
    let (object, reader) = (object(MIB + 5), cache.reader());
    for (offset, len) in [(0, 4096), (0, 4096), (MIB, 1 << 20), (2 * MIB, 10), (7, 0)] {
        reader.read(&object, offset, len).await.unwrap();
    }
    let expected = [span(0, 4096), span(0, 4096), span(MIB, MIB + 5)];
    let heard = heard.0.lock();
    assert!(heard.iter().all(|(of, _)| *of == object));
    assert!(heard.iter().map(|(_, range)| range).eq(&expected));
}
