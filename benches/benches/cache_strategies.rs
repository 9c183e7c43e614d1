//! Eviction strategies: hits and bytes on traces (printed, and written into the documents), and the
//! time that a step takes.
//!
//! Takes half a minute. With `--test` nothing is written.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_benches::quick;
use cloudmount_benches::strategies::{BEGIN, END, all, draw, replay, room_bytes, rows, write};
use cloudmount_cache::strategy::Eviction;
use cloudmount_cache::{BlockCache, BlockSource, ByteStream, CacheParts, CacheSettings, ObjectRef};
use cloudmount_vfs::Result;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{FutureExt, StreamExt, stream};

/// Which traces are timed: one where much is found, and one where little is.
const TIMED: [&str; 2] = ["zipf", "loop"];

/// The memory in the timed replays, in percent.
const TIMED_PERCENT: u64 = 10;

fn documents(_: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (traces, rows) = (all(), rows());
    let tables = write(&traces, &rows);
    std::io::Write::write_all(&mut std::io::stdout(), tables.as_bytes()).unwrap();
    if is_test {
        return;
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::write(docs.join("images/cache-strategies.svg"), draw(&rows)).unwrap();
    let document = docs.join("caching.md");
    let text = std::fs::read_to_string(&document).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let text = format!("{before}{BEGIN}\n\n{tables}\n{END}{after}");
    std::fs::write(document, text).unwrap();
}

/// A whole trace; the time divided by its reads of blocks is that of one of them.
fn steps(c: &mut Criterion) {
    for trace in all() {
        if !TIMED.contains(&trace.name) {
            continue;
        }
        let room = room_bytes(&trace.reads, TIMED_PERCENT);
        let mut group = c.benchmark_group(format!("cache_strategies/{}", trace.name));
        group.sample_size(10);
        for eviction in Eviction::all() {
            let blocks = replay(&trace.reads, &eviction, room).blocks;
            group.throughput(Throughput::Elements(blocks));
            group.bench_function(eviction.name(), |b| {
                b.iter(|| replay(black_box(&trace.reads), &eviction, room));
            });
        }
        group.finish();
    }
}

/// Gives zeros.
struct Zeros;

#[async_trait]
impl BlockSource for Zeros {
    async fn fetch(&self, _: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        let len = usize::try_from(range.end - range.start).unwrap();
        let bytes = Bytes::from(vec![0; len]);
        Ok(stream::iter([Ok(bytes)]).boxed())
    }
}

/// The cache itself: 4 KiB of a block that is in memory.
fn hits(c: &mut Criterion) {
    const SIZE: u64 = 32 << 20;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let mut group = c.benchmark_group("cache_strategies/4 KiB hit");
    for eviction in Eviction::all() {
        let name = eviction.name();
        let parts = CacheParts {
            eviction,
            ..CacheSettings::default().into()
        };
        let cache = BlockCache::new(Arc::new(Zeros), parts, runtime.handle().clone());
        let (reader, object) = (cache.reader(), ObjectRef::new("dir/file", "1", SIZE));
        for at in 0..SIZE >> 20 {
            let read = reader.read(&object, at << 20, 1 << 20);
            runtime.block_on(read).unwrap();
        }
        let mut at = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                at = (at + (1 << 20) + 4096) % SIZE;
                let read = reader.read(black_box(&object), at, 4096).now_or_never();
                read.expect("it is in memory").unwrap()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = quick();
    targets = documents, steps, hits
}
criterion_main!(benches);
