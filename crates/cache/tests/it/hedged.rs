//! Requests that stall are asked again: played on a clock of their own, on connections that do as a script says.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_cache::{BlockSource, ByteStream, HedgeStats, Hedged, ObjectRef};
use cloudmount_vfs::{BoxFuture, Clock, Error, ErrorKind, Instant, Result, Timestamp};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::oneshot;

use crate::source::{KIB, MIB, content, object, settle};

/// A clock that goes on to the next deadline when nothing else is to be done.
#[derive(Clone, Debug, Default)]
struct Steps(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Duration,
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    count: u64,
}

impl Steps {
    /// Goes to the next deadline; says whether there was one.
    fn step(&self) -> bool {
        let mut state = self.0.lock();
        let Some(((at, _), sleeper)) = state.sleepers.pop_first() else {
            return false;
        };
        state.now = state.now.max(at);
        // Who slept may have been dropped.
        sleeper.send(()).ok();
        true
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().now
    }
}

impl Clock for Steps {
    fn wall(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.0.lock();
        let (sender, wakes) = oneshot::channel();
        let place = (state.now + duration, state.count);
        state.count += 1;
        state.sleepers.insert(place, sender);
        wakes.map(drop).boxed()
    }
}

/// What a connection does, in order; after that it is silent for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// So many ms later, so many bytes.
    Bytes(u64, u64),
    /// So many ms later, all the rest.
    Rest(u64),
    /// So many ms later, it breaks.
    Break(u64, ErrorKind),
}

/// Connections that do as they are told, in the order in which they are asked; those after them are good.
struct Line {
    clock: Steps,
    scripts: Mutex<VecDeque<Vec<Act>>>,
    asked: Mutex<Vec<Range<u64>>>,
}

const GOOD: Act = Act::Rest(20);

#[async_trait]
impl BlockSource for Line {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        self.asked.lock().push(range.clone());
        let script = self
            .scripts
            .lock()
            .pop_front()
            .unwrap_or_else(|| vec![GOOD]);
        let (clock, object) = (self.clock.clone(), object.clone());
        let acts = stream::unfold((script.into_iter(), range), move |(mut script, rest)| {
            let (clock, object) = (clock.clone(), object.clone());
            async move {
                if rest.is_empty() {
                    return None;
                }
                let (wait, bytes) = match script.next() {
                    None => std::future::pending().await,
                    Some(Act::Bytes(wait, bytes)) => (wait, Ok(bytes)),
                    Some(Act::Rest(wait)) => (wait, Ok(u64::MAX)),
                    Some(Act::Break(wait, kind)) => (wait, Err(kind)),
                };
                clock.sleep(Duration::from_millis(wait)).await;
                let next = match bytes {
                    Ok(bytes) => rest.end.min(rest.start.saturating_add(bytes)),
                    Err(kind) => return Some((Err(Error::new(kind, "broken")), (script, rest))),
                };
                let piece = Bytes::from(content(&object, rest.start..next));
                Some((Ok(piece), (script, next..rest.end)))
            }
        });
        Ok(acts.boxed())
    }
}

struct Bed {
    clock: Steps,
    line: Arc<Line>,
    hedged: Hedged,
}

impl Bed {
    fn new(scripts: impl IntoIterator<Item = Vec<Act>>) -> Self {
        let clock = Steps::default();
        let line = Arc::new(Line {
            clock: clock.clone(),
            scripts: Mutex::new(scripts.into_iter().collect()),
            asked: Mutex::default(),
        });
        let hedged = Hedged::new(Arc::clone(&line) as _, Arc::new(clock.clone()));
        Self {
            clock,
            line,
            hedged,
        }
    }

    /// One that has heard of forty good requests, of 20 ms, and of 100 ms for a MiB.
    async fn used(scripts: impl IntoIterator<Item = Vec<Act>>) -> Self {
        let good = vec![Act::Bytes(20, MIB / 2), Act::Rest(50)];
        let before = std::iter::repeat_n(good, 40);
        let bed = Self::new(before.chain(scripts));
        for _ in 0..40 {
            bed.read(0..MIB).await.unwrap();
        }
        bed.line.asked.lock().clear();
        bed
    }

    /// Goes on until it is ready, or nothing ever happens again.
    async fn play<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            for _ in 0..8 {
                if let Some(ready) = future.as_mut().now_or_never() {
                    return Some(ready);
                }
                tokio::task::yield_now().await;
            }
            if !self.clock.step() {
                return None;
            }
        }
    }

    /// How long it took to read that, all of it and right.
    async fn read(&self, range: Range<u64>) -> Result<Duration> {
        let object = object(64 * MIB);
        let began = self.clock.elapsed();
        let reading = async {
            let mut stream = self.hedged.fetch(&object, range.clone()).await?;
            let mut all = Vec::new();
            while let Some(piece) = stream.next().await {
                all.extend_from_slice(&piece?);
            }
            Result::Ok(all)
        };
        let all: Result<Vec<u8>> = self.play(reading).await.expect("it ends");
        let all = all?;
        assert!(all == content(&object, range), "other bytes");
        Ok(self.clock.elapsed() - began)
    }

    fn asked(&self) -> Vec<Range<u64>> {
        self.line.asked.lock().clone()
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn a_silent_connection_costs_little_more_than_the_others() {
    let bed = Bed::used([vec![]]).await;
    assert_eq!(bed.read(0..MIB).await.unwrap(), ms(250 + 20));
    assert_eq!(bed.asked(), [0..MIB, 0..MIB]);
    let expected = HedgeStats {
        requests: 41,
        again: 1,
        won: 1,
    };
    assert_eq!(bed.hedged.stats(), expected);
}

#[tokio::test]
async fn one_that_falls_silent_in_the_middle_goes_on_from_there() {
    let bed = Bed::used([vec![Act::Bytes(20, 300 * KIB)]]).await;
    assert_eq!(bed.read(MIB..2 * MIB).await.unwrap(), ms(20 + 250 + 20));
    assert_eq!(bed.asked(), [MIB..2 * MIB, MIB + 300 * KIB..2 * MIB]);
}

/// 40 KiB each 100 ms: 50 times slower than the others, and never silent.
#[tokio::test]
async fn one_that_trickles_is_overtaken() {
    let slow = vec![Act::Bytes(100, 40 * KIB); 1000];
    let bed = Bed::used([slow]).await;
    let took = bed.read(0..8 * MIB).await.unwrap();
    // Four times what 8 MiB take after the first byte, a silence, and the second request. Alone it would be 20 s.
    assert_eq!(took, ms(4 * 8 * 50 + 250 + 20));
    assert_eq!(bed.asked().len(), 2);
}

#[tokio::test]
async fn what_is_not_known_is_waited_for_longer() {
    let bed = Bed::new([vec![]]);
    assert_eq!(bed.read(0..MIB).await.unwrap(), ms(2000 + 20));
}

#[tokio::test]
async fn who_reads_slowly_has_nothing_asked_again() {
    let bed = Bed::used([vec![Act::Bytes(20, MIB / 2), Act::Rest(20)]]).await;
    let object = object(64 * MIB);
    let fetch = bed.hedged.fetch(&object, 0..MIB);
    let mut stream = bed.play(fetch).await.unwrap().unwrap();
    bed.play(stream.next()).await.unwrap().unwrap().unwrap();
    bed.play(bed.clock.sleep(Duration::from_secs(60)))
        .await
        .unwrap();
    bed.play(stream.next()).await.unwrap().unwrap().unwrap();
    assert!(bed.play(stream.next()).await.unwrap().is_none());
    assert_eq!(bed.hedged.stats().again, 0);
}

/// The object was replaced: the second request is refused, and the first goes on with the old bytes.
#[tokio::test]
async fn a_version_that_is_gone_is_asked_again_once_at_most() {
    let refused = vec![Act::Break(10, ErrorKind::Stale)];
    let bed = Bed::used([vec![Act::Bytes(20, KIB), Act::Rest(5000)], refused]).await;
    assert_eq!(bed.read(0..MIB).await.unwrap(), ms(5020));
    assert_eq!(bed.asked().len(), 2);
}

#[tokio::test]
async fn the_first_one_that_wakes_up_wins_and_one_that_breaks_is_followed() {
    let late = vec![Act::Rest(300)];
    let never = vec![];
    let breaks = vec![Act::Break(300, ErrorKind::Unreachable)];
    let slow = vec![Act::Rest(200)];
    let bed = Bed::used([late, never, breaks, slow]).await;
    assert_eq!(bed.read(0..MIB).await.unwrap(), ms(300));
    assert_eq!(bed.hedged.stats().won, 0);
    assert_eq!(bed.read(0..MIB).await.unwrap(), ms(250 + 200));
    let broken = Bed::used([vec![Act::Break(20, ErrorKind::Unreachable)]]).await;
    let error = broken.read(0..MIB).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(broken.asked().len(), 1, "retries are not its business");
}

/// When all connections are silent, the store is not asked twice for everything.
#[tokio::test]
async fn of_a_store_that_is_silent_little_is_asked_again() {
    let bed = Bed::used(std::iter::repeat_n(vec![Act::Rest(30_000)], 300)).await;
    let object = object(64 * MIB);
    let reads = (0..100).map(|at| bed.hedged.fetch(&object, at * MIB / 2..(at + 1) * MIB / 2));
    bed.play(futures::future::join_all(reads)).await.unwrap();
    settle().await;
    let stats = bed.hedged.stats();
    assert!(stats.again <= 4, "{stats:?}");
}

/// A change of the network silences all connections at once: what finds no room for another one looks again.
#[tokio::test]
async fn all_that_fell_silent_at_once_is_asked_again_in_turn() {
    let bed = Bed::used(std::iter::repeat_n(vec![], 6)).await;
    let object = object(64 * MIB);
    let read = |at: u64| {
        let fetch = bed.hedged.fetch(&object, at * MIB..(at + 1) * MIB);
        async move { fetch.await?.try_collect::<Vec<_>>().await }
    };
    let before = bed.clock.elapsed();
    let reads = bed.play(futures::future::join_all((0..6).map(read))).await;
    assert!(reads.unwrap().iter().all(Result::is_ok));
    assert_eq!(bed.clock.elapsed() - before, ms(2 * 250 + 20));
    assert_eq!(bed.hedged.stats().again, 6);
}

/// What may happen on a connection.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let wait = prop_oneof![4 => 1_u64..100, 1 => 100_u64..20_000];
    let act = (wait, 1_u64..600 * KIB, 0_u8..10).prop_map(|(wait, bytes, kind)| match kind {
        0..7 => Act::Bytes(wait, bytes),
        7 | 8 => Act::Rest(wait),
        _ => Act::Break(wait, ErrorKind::Unreachable),
    });
    prop::collection::vec(act, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever connections do: what is read is right, or an error that one of them gave; each request is for
    /// what was missing; and extra requests are one in twenty and four more.
    #[test]
    fn whatever_connections_do_what_is_read_is_right(
        scripts in prop::collection::vec(acts(), 1..60),
        sizes in prop::collection::vec(1_u64..2 * MIB, 30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            // No connection is silent for ever: that is for the source's own deadline.
            let ends = |mut script: Vec<Act>| {
                script.push(Act::Break(30_000, ErrorKind::TimedOut));
                script
            };
            let bed = Bed::new(scripts.into_iter().map(ends));
            for size in sizes {
                if let Err(error) = bed.read(0..size).await {
                    let kinds = [ErrorKind::Unreachable, ErrorKind::TimedOut];
                    assert!(kinds.contains(&error.kind()), "{error:?}");
                }
                let asked = std::mem::take(&mut *bed.line.asked.lock());
                assert_eq!(asked[0], 0..size);
                assert!(asked.len() <= 3 && asked.iter().all(|range| range.end == size));
                let stats = bed.hedged.stats();
                assert!(stats.again <= stats.requests / 20 + 4, "{stats:?}");
            }
        });
    }
}
