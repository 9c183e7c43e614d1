//! The block cache: hits, misses, and a stream, over a source that costs nothing but its bytes.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_benches::quick;
use cloudmount_cache::{BlockCache, BlockSource, ByteStream, CacheSettings, ObjectRef, Reader};
use cloudmount_vfs::{Clock, Result, SystemClock};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{FutureExt, StreamExt, stream};
use tokio::runtime::Runtime;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Bytes in each piece of a stream: about what an HTTP client hands over at a time.
const PIECE: usize = 64 << 10;

/// Gives slices of memory that is there already.
struct Ready(Bytes);

impl Ready {
    fn new() -> Arc<Self> {
        let bytes: Vec<u8> = (0..4 * MIB).map(|at| at.to_le_bytes()[0] ^ 0x5A).collect();
        Arc::new(Self(bytes.into()))
    }

    fn pieces(&self, bytes: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
        let whole = self.0.clone();
        let count = usize::try_from(bytes).unwrap().div_ceil(PIECE);
        (0..count).map(move |n| {
            let from = n * PIECE % whole.len();
            let len = PIECE.min(usize::try_from(bytes).unwrap() - n * PIECE);
            whole.slice(from..from + len)
        })
    }
}

#[async_trait]
impl BlockSource for Ready {
    async fn fetch(&self, _: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        Ok(stream::iter(self.pieces(range.end - range.start).map(Ok)).boxed())
    }
}

struct Stack {
    runtime: Runtime,
    cache: BlockCache,
    source: Arc<Ready>,
}

fn stack() -> Stack {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let source = Ready::new();
    let handle = runtime.handle().clone();
    let cache = BlockCache::new(Arc::clone(&source) as _, CacheSettings::default(), handle);
    Stack {
        runtime,
        cache,
        source,
    }
}

fn object(name: &str, size: u64) -> ObjectRef {
    let key = format!("projects/2024/some/folder of usual depth/{name}.bin");
    ObjectRef::new(key, "\"9b2cf535f27731c974343645a3985328-17\"", size)
}

/// Fills the cache with an object of 32 MiB, and gives a reader of it.
fn warm(stack: &Stack, name: &str) -> (Reader, ObjectRef) {
    let object = object(name, 32 * MIB);
    let reader = stack.cache.reader();
    for at in 0..32 {
        let read = reader.read(&object, at * MIB, 1 << 20);
        stack.runtime.block_on(read).unwrap();
    }
    (reader, object)
}

/// A read that must be ready at its first poll: what a dispatch thread does.
fn hit(reader: &Reader, object: &ObjectRef, offset: u64, len: usize) -> Bytes {
    let read = reader.read(object, offset, len).now_or_never();
    read.expect("the block is in memory").unwrap()
}

/// Places in an object, spread so that no read continues the last one.
fn scatter(len: u64) -> impl FnMut() -> u64 {
    let places = 32 * MIB / len;
    let mut step = 0_u64;
    move || {
        step = step.wrapping_add(7919);
        step % places * len
    }
}

fn hits(c: &mut Criterion) {
    let stack = stack();
    let (reader, object) = warm(&stack, "hits");
    let mut group = c.benchmark_group("block_cache/hit");
    for (name, len) in [("4 KiB", 4 * KIB), ("128 KiB", 128 * KIB), ("1 MiB", MIB)] {
        let size = usize::try_from(len).unwrap();
        group.throughput(Throughput::Bytes(len));
        let mut place = scatter(len);
        group.bench_function(name, |b| {
            b.iter(|| hit(&reader, black_box(&object), black_box(place()), size));
        });
        let whole = vec![1_u8; 32 << 20];
        let mut place = scatter(len);
        group.bench_function(format!("floor: copy {name}"), |b| {
            b.iter(|| {
                let from = usize::try_from(place()).unwrap();
                black_box(&whole[from..from + size]).to_vec()
            });
        });
    }
    let sequential = stack.cache.reader();
    let mut at = 0;
    group.throughput(Throughput::Bytes(4 * KIB));
    group.bench_function("4 KiB in order", |b| {
        b.iter(|| {
            at = (at + 4 * KIB) % object.size;
            hit(&sequential, &object, at, 4096)
        });
    });
    group.finish();
}

/// Two files read from two threads at once, against one: what they share costs the difference.
fn contention(c: &mut Criterion) {
    let stack = stack();
    let files = [warm(&stack, "first"), warm(&stack, "second")];
    let clock = SystemClock::new();
    let mut group = c.benchmark_group("block_cache/4 KiB hits of both");
    let timed = |threads: usize, rounds: u64| -> Duration {
        let start = clock.now();
        std::thread::scope(|scope| {
            for (reader, object) in &files[..threads] {
                scope.spawn(move || {
                    let mut place = scatter(4 * KIB);
                    for _ in 0..rounds {
                        black_box(hit(reader, object, place(), 4096));
                    }
                });
            }
        });
        clock.now().saturating_since(start)
    };
    group.bench_function("two files, two threads", |b| {
        b.iter_custom(|rounds| timed(2, rounds));
    });
    group.bench_function("floor: one file, one thread", |b| {
        b.iter_custom(|rounds| timed(1, rounds));
    });
    group.finish();
}

fn misses(c: &mut Criterion) {
    let stack = stack();
    let object = object("misses", 1 << 45);
    let reader = stack.cache.reader();
    let mut group = c.benchmark_group("block_cache/miss");
    group.throughput(Throughput::Bytes(128 * KIB));
    let mut at = 0;
    group.bench_function("128 KiB", |b| {
        b.iter(|| {
            // Far apart: each is a request of its own, and none is read ahead.
            at = (at + 16 * MIB) % object.size;
            let read = reader.read(&object, at, 128 << 10);
            stack.runtime.block_on(read).unwrap()
        });
    });
    let source = Arc::clone(&stack.source);
    group.bench_function("floor: a task that copies 128 KiB", |b| {
        b.iter(|| {
            let pieces = source.pieces(128 * KIB);
            let task = stack.runtime.spawn(async move {
                pieces.fold(Vec::with_capacity(128 << 10), |mut all, piece| {
                    all.extend_from_slice(&piece);
                    all
                })
            });
            stack.runtime.block_on(task).unwrap()
        });
    });
    group.finish();
}

/// A whole file read in order, through a cache that is full of others: what a mount in use does.
fn streaming(c: &mut Criterion) {
    const SIZE: u64 = 256 * MIB;
    let stack = stack();
    let mut version = 0;
    let mut group = c.benchmark_group("block_cache/stream of 256 MiB");
    group.sample_size(10).throughput(Throughput::Bytes(SIZE));
    for (name, len) in [("128 KiB reads", 128 * KIB), ("1 MiB reads", MIB)] {
        let size = usize::try_from(len).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                version += 1;
                let object = object(&format!("stream-{version}"), SIZE);
                let reader = stack.cache.reader();
                stack.runtime.block_on(async {
                    for at in 0..SIZE / len {
                        black_box(reader.read(&object, at * len, size).await.unwrap());
                    }
                });
            });
        });
    }
    // As many blocks as the cache keeps, so that each is written to memory that no cache holds.
    let mut kept = vec![vec![0_u8; 128 << 10]; 1500];
    let mut next = 0;
    group.bench_function("floor: copy once", |b| {
        b.iter(|| {
            for (piece, n) in stack.source.pieces(SIZE).zip(0..) {
                let from = n % 2 * PIECE;
                kept[next][from..from + piece.len()].copy_from_slice(black_box(&piece));
                next = (next + n % 2) % kept.len();
            }
            black_box(&kept);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = quick();
    targets = hits, contention, misses, streaming
}
criterion_main!(benches);
