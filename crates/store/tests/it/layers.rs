//! Layers: each passes the suite over memory, and does what it is for.

use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::layer::{
    Effect, Fault, FaultPlan, FaultRates, FaultRule, Limit, LimitSettings, Link, Meter, Operation,
    OutcomeUnknown, Prefix, Retry, RetrySettings,
};
use cloudmount_store::{
    Error, ErrorKind, GetOptions, Key, ListRequest, MemoryStore, Payload, Precondition, PutOptions,
    Store, StoreExt,
};
use cloudmount_testkit::store_suite::Bed;
use cloudmount_vfs::{BoxFuture, Clock, Instant, Timestamp};
use futures::StreamExt;
use futures::future::{join_all, poll_immediate};
use parking_lot::Mutex;

/// A clock that jumps over every sleep and remembers it.
#[derive(Debug, Default)]
struct JumpClock {
    slept: Mutex<Vec<Duration>>,
}

impl JumpClock {
    fn slept(&self) -> Vec<Duration> {
        self.slept.lock().clone()
    }
}

impl Clock for JumpClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_700_000_000, 0)
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.slept.lock().iter().sum())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.slept.lock().push(duration);
        Box::pin(std::future::ready(()))
    }
}

fn clock() -> Arc<JumpClock> {
    Arc::default()
}

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(clock()))
}

/// The key of most tests.
static A: LazyLock<Key> = LazyLock::new(|| key("a"));

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn payload(text: &'static str) -> Payload {
    Payload::from(Bytes::from_static(text.as_bytes()))
}

fn absent() -> PutOptions {
    PutOptions {
        precondition: Precondition::Absent,
        ..PutOptions::default()
    }
}

/// Keys get longer by the prefix, so those given must be shorter.
fn below(prefix: &str) -> Bed {
    let below = Prefix::new(memory(), prefix).unwrap();
    Bed::new(Arc::new(below)).with_longest_key(Key::MAX_BYTES - prefix.len())
}

fn prefixed() -> Bed {
    below("some//prefix/")
}

fn prefixed_inside_a_name() -> Bed {
    below("begin")
}

fn limited() -> Bed {
    let settings = LimitSettings {
        reads: NonZeroU16::MIN,
        writes: NonZeroU16::MIN,
    };
    Bed::new(Arc::new(Limit::new(memory(), settings)))
}

fn linked() -> Bed {
    Bed::new(Arc::new(Link::new(memory(), clock())))
}

fn metered() -> Bed {
    Bed::new(Arc::new(Meter::new(memory(), clock())))
}

fn faultless() -> Bed {
    Bed::new(Arc::new(Fault::new(memory(), FaultPlan::none(), clock())))
}

fn retried() -> Bed {
    Bed::new(Arc::new(Retry::new(
        memory(),
        RetrySettings::default(),
        clock(),
    )))
}

/// A bad line under a patient retry: requests that are refused, bodies that break.
fn retried_on_a_bad_line() -> Bed {
    let rates = FaultRates {
        throttle: 200,
        truncate: 300,
        delay: 100,
        longest_delay: Duration::from_secs(1),
        ..FaultRates::default()
    };
    let faulty = Fault::new(memory(), FaultPlan::random(7, rates), clock());
    let settings = RetrySettings {
        tries: 50,
        total: Duration::from_secs(100_000),
        ..RetrySettings::default()
    };
    Bed::new(Arc::new(Retry::new(Arc::new(faulty), settings, clock())))
}

fn stacked() -> Bed {
    let metered: Arc<dyn Store> = Arc::new(Meter::new(memory(), clock()));
    let linked = Arc::new(Link::new(metered, clock()));
    let limited = Arc::new(Limit::new(linked, LimitSettings::default()));
    let retried = Arc::new(Retry::new(limited, RetrySettings::default(), clock()));
    let below = Prefix::new(retried, "mounted/").unwrap();
    Bed::new(Arc::new(below)).with_longest_key(Key::MAX_BYTES - "mounted/".len())
}

mod laws_below_a_prefix {
    cloudmount_testkit::store_tests!(crate::layers::prefixed);
}

mod laws_below_a_prefix_inside_a_name {
    cloudmount_testkit::store_tests!(crate::layers::prefixed_inside_a_name);
}

mod laws_while_the_way_is_watched {
    cloudmount_testkit::store_tests!(crate::layers::linked);
}

mod laws_one_at_a_time {
    cloudmount_testkit::store_tests!(crate::layers::limited);
}

mod laws_metered {
    cloudmount_testkit::store_tests!(crate::layers::metered);
}

mod laws_without_a_fault {
    cloudmount_testkit::store_tests!(crate::layers::faultless);
}

mod laws_retried {
    cloudmount_testkit::store_tests!(crate::layers::retried);
}

mod laws_on_a_bad_line {
    cloudmount_testkit::store_tests!(crate::layers::retried_on_a_bad_line);
}

mod laws_through_the_whole_stack {
    cloudmount_testkit::store_tests!(crate::layers::stacked);
}

/// A faulty store over memory, and a retry over that.
struct Line {
    clock: Arc<JumpClock>,
    memory: Arc<MemoryStore>,
    fault: Arc<Fault>,
    retry: Retry,
}

impl Line {
    fn new(rules: impl IntoIterator<Item = FaultRule>) -> Self {
        let (clock, memory) = (clock(), memory());
        let plan = FaultPlan::script(rules);
        let fault = Arc::new(Fault::new(memory.clone(), plan, clock.clone()));
        let settings = RetrySettings {
            tries: 4,
            total: Duration::from_secs(60),
            ..RetrySettings::default()
        };
        let retry = Retry::new(fault.clone(), settings, clock.clone());
        Self {
            clock,
            memory,
            fault,
            retry,
        }
    }

    async fn holds(&self, name: &str, wanted: &str) {
        let name = key(name);
        let found = self.memory.get_bytes(&name, GetOptions::default());
        assert_eq!(found.await.unwrap(), wanted.as_bytes());
    }
}

mod retry {
    use std::ops::Range;

    use cloudmount_store::{
        Capabilities, CopyOptions, CopySource, GetResult, ListPage, ObjectMeta, PartTag, Result,
        UploadId, Version,
    };

    use super::*;

    #[tokio::test]
    async fn a_passing_error_passes() {
        let kinds = [
            ErrorKind::Throttled,
            ErrorKind::Server,
            ErrorKind::Connection,
            ErrorKind::TimedOut,
        ];
        for kind in kinds {
            let line = Line::new([FaultRule::new(Effect::Fail(kind)).calls(1..=3)]);
            line.retry.put(&A, payload("x"), absent()).await.unwrap();
            line.holds("a", "x").await;
            assert_eq!(line.clock.slept().len(), 3, "{kind}");
        }
    }

    #[tokio::test]
    async fn tries_are_counted() {
        let line = Line::new([FaultRule::new(Effect::Fail(ErrorKind::Server))]);
        let error = line.retry.head(&A).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!(line.fault.injected(), 4);
    }

    #[tokio::test]
    async fn a_lasting_error_is_not_tried_again() {
        let line = Line::new([FaultRule::new(Effect::Fail(ErrorKind::Forbidden))]);
        let error = line.retry.head(&A).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert_eq!(line.fault.injected(), 1);
    }

    #[tokio::test]
    async fn the_server_says_how_long_to_wait() {
        let asked = Duration::from_secs(17);
        let line = Line::new([FaultRule::new(Effect::Throttle(asked)).nth(1)]);
        line.retry.list(ListRequest::default()).await.unwrap();
        assert_eq!(line.clock.slept(), [asked]);
    }

    #[tokio::test]
    async fn what_says_that_the_store_is_too_busy_is_counted() {
        let line = Line::new([
            FaultRule::new(Effect::Fail(ErrorKind::Throttled)).nth(1),
            FaultRule::new(Effect::Fail(ErrorKind::TimedOut)).nth(2),
            FaultRule::new(Effect::Fail(ErrorKind::Server)).nth(3),
            FaultRule::new(Effect::Throttle(Duration::from_secs(1))).nth(4),
            FaultRule::new(Effect::Fail(ErrorKind::Forbidden)).nth(5),
        ]);
        assert_eq!(line.retry.pushbacks(), 0);
        line.retry.head(&A).await.unwrap_err();
        assert_eq!(line.retry.pushbacks(), 3, "of four tries");
        line.retry.head(&A).await.unwrap_err();
        assert_eq!(line.retry.pushbacks(), 3);
        // Layers above tell it on.
        let (clock, settings) = (line.clock.clone(), RetrySettings::default());
        let above = Retry::new(Arc::new(line.retry), settings, clock);
        let limit = Limit::new(Arc::new(above), LimitSettings::default());
        let prefix = Prefix::new(Arc::new(limit), "p/").unwrap();
        assert_eq!(prefix.pushbacks(), 3);
    }

    #[tokio::test]
    async fn a_wait_beyond_the_total_is_not_begun() {
        let asked = Duration::from_secs(61);
        let line = Line::new([FaultRule::new(Effect::Throttle(asked)).nth(1)]);
        let error = line.retry.list(ListRequest::default()).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(asked));
        assert!(line.clock.slept().is_empty());
    }

    #[tokio::test]
    async fn a_lost_reply_leaves_a_mark_on_the_precondition() {
        let line = Line::new([FaultRule::new(Effect::LoseReply).on(Operation::Put).nth(1)]);
        let result = line.retry.put(&A, payload("x"), absent()).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition);
        assert!(OutcomeUnknown::is_in(&error), "{error:?}");
        line.holds("a", "x").await;
    }

    #[tokio::test]
    async fn a_plain_precondition_bears_no_mark() {
        let line = Line::new([FaultRule::new(Effect::Fail(ErrorKind::Throttled)).nth(2)]);
        let put = || line.retry.put(&A, payload("x"), absent());
        put().await.unwrap();
        let error = put().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition);
        assert!(!OutcomeUnknown::is_in(&error), "{error:?}");
    }

    #[tokio::test]
    async fn an_unknown_outcome_outlives_later_refusals() {
        let line = Line::new([
            FaultRule::new(Effect::LoseReply).nth(1),
            FaultRule::new(Effect::Fail(ErrorKind::Throttled)).calls(2..=9),
        ]);
        let result = line.retry.put(&A, payload("x"), absent()).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(OutcomeUnknown::is_in(&error), "{error:?}");
    }

    #[tokio::test]
    async fn a_completion_whose_reply_was_lost_is_unknown_rather_than_missing() {
        let lost = FaultRule::new(Effect::LoseReply).on(Operation::MultipartComplete);
        let line = Line::new([lost.nth(1)]);
        let upload = line.retry.multipart_start(&A, &absent()).await.unwrap();
        let part = line.retry.multipart_put(&A, &upload, 1, payload("x")).await;
        let parts = [part.unwrap()];
        let complete = line
            .retry
            .multipart_complete(&A, &upload, &parts, Precondition::None);
        let error = complete.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(OutcomeUnknown::is_in(&error));
        line.holds("a", "x").await;
        let again = line
            .retry
            .multipart_complete(&A, &upload, &parts, Precondition::None);
        assert_eq!(again.await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_start_whose_reply_was_lost_is_told_at_once() {
        let line = Line::new([
            FaultRule::new(Effect::Fail(ErrorKind::Throttled)).nth(1),
            FaultRule::new(Effect::LoseReply).nth(2),
        ]);
        let error = line.retry.multipart_start(&A, &absent()).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(line.memory.uploads_in_progress(), 1);
    }

    #[tokio::test]
    async fn a_broken_body_goes_on_where_it_stopped() {
        let line = Line::new([FaultRule::new(Effect::Truncate(3)).calls(1..=3)]);
        let put = (line.memory).put(&A, payload("0123456789"), PutOptions::default());
        put.await.unwrap();
        let found = line.retry.get_bytes(&A, GetOptions::default());
        assert_eq!(found.await.unwrap(), "0123456789");
        assert_eq!(line.fault.injected(), 3);
        line.fault.set_plan(FaultPlan::script([
            FaultRule::new(Effect::Truncate(2)).nth(1)
        ]));
        let range = GetOptions {
            range: Some(4..9),
            ..GetOptions::default()
        };
        let found = line.retry.get_bytes(&A, range);
        assert_eq!(found.await.unwrap(), "45678");
    }

    #[tokio::test]
    async fn progress_renews_the_tries() {
        // Ten breaks with a byte between them, of four tries each.
        let line = Line::new([FaultRule::new(Effect::Truncate(1)).calls(1..=9)]);
        let put = (line.memory).put(&A, payload("0123456789"), PutOptions::default());
        put.await.unwrap();
        let found = line.retry.get_bytes(&A, GetOptions::default());
        assert_eq!(found.await.unwrap(), "0123456789");
    }

    #[tokio::test]
    async fn no_progress_gives_up() {
        let line = Line::new([FaultRule::new(Effect::Truncate(0))]);
        let put = (line.memory).put(&A, payload("0123456789"), PutOptions::default());
        put.await.unwrap();
        let error = (line.retry.get_bytes(&A, GetOptions::default()).await).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert_eq!(line.fault.injected(), 4);
    }

    #[tokio::test]
    async fn a_body_whose_object_changed_is_not_mixed() {
        let line = Line::new([FaultRule::new(Effect::Truncate(3)).nth(1)]);
        let put = |text| (line.memory).put(&A, payload(text), PutOptions::default());
        put("0123456789").await.unwrap();
        let result = line.retry.get(&A, GetOptions::default()).await;
        let mut body = result.unwrap().body;
        assert_eq!(body.next().await.unwrap().unwrap(), "012");
        put("abcdefghij").await.unwrap();
        let error = body.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition);
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn only_the_keys_that_failed_are_deleted_again() {
        let (clock, store) = (clock(), Arc::new(HalfDelete::new(memory())));
        let retry = Retry::new(store.clone(), RetrySettings::default(), clock.clone());
        let keys: Vec<Key> = ["a", "b", "c", "d"].map(key).to_vec();
        for answer in retry.delete(&keys).await.unwrap() {
            answer.unwrap();
        }
        assert_eq!(*store.asked.lock(), [4, 2, 1]);
        assert_eq!(clock.slept().len(), 2);
    }

    #[tokio::test]
    async fn keys_that_fail_for_good_are_told_one_by_one() {
        let store = Arc::new(HalfDelete::new(memory()));
        let settings = RetrySettings {
            tries: 2,
            ..RetrySettings::default()
        };
        let retry = Retry::new(store, settings, clock());
        let keys: Vec<Key> = ["a", "b", "c", "d"].map(key).to_vec();
        let answers = retry.delete(&keys).await.unwrap();
        let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, false, true]);
    }

    /// Deletes the first half of what it is asked, and is throttled for the rest.
    #[derive(Debug)]
    struct HalfDelete {
        inner: Arc<MemoryStore>,
        asked: Mutex<Vec<usize>>,
    }

    impl HalfDelete {
        fn new(inner: Arc<MemoryStore>) -> Self {
            let asked = Mutex::default();
            Self { inner, asked }
        }
    }

    #[async_trait::async_trait]
    impl Store for HalfDelete {
        async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
            self.asked.lock().push(keys.len());
            let half = keys.len().div_ceil(2);
            let mut answers = self.inner.delete(&keys[..half]).await?;
            let throttled = || Err(Error::new(ErrorKind::Throttled, "delete"));
            answers.extend(keys[half..].iter().map(|_| throttled()));
            Ok(answers)
        }

        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }

        async fn head(&self, key: &Key) -> Result<ObjectMeta> {
            self.inner.head(key).await
        }

        async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
            self.inner.get(key, options).await
        }

        async fn list(&self, request: ListRequest) -> Result<ListPage> {
            self.inner.list(request).await
        }

        async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
            self.inner.put(key, payload, options).await
        }

        async fn copy(&self, from: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
            self.inner.copy(from, to, options).await
        }

        async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
            self.inner.multipart_start(key, options).await
        }

        async fn multipart_put(
            &self,
            key: &Key,
            upload: &UploadId,
            number: u16,
            payload: Payload,
        ) -> Result<PartTag> {
            (self.inner)
                .multipart_put(key, upload, number, payload)
                .await
        }

        async fn multipart_copy(
            &self,
            key: &Key,
            upload: &UploadId,
            number: u16,
            source: CopySource,
            range: Range<u64>,
        ) -> Result<PartTag> {
            (self.inner)
                .multipart_copy(key, upload, number, source, range)
                .await
        }

        async fn multipart_complete(
            &self,
            key: &Key,
            upload: &UploadId,
            parts: &[PartTag],
            precondition: Precondition,
        ) -> Result<Version> {
            (self.inner)
                .multipart_complete(key, upload, parts, precondition)
                .await
        }

        async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
            self.inner.multipart_abort(key, upload).await
        }
    }
}

mod limit {
    use super::*;

    fn slots(reads: u16, writes: u16) -> LimitSettings {
        LimitSettings {
            reads: NonZeroU16::new(reads).unwrap(),
            writes: NonZeroU16::new(writes).unwrap(),
        }
    }

    async fn is_ready<F: Future>(future: Pin<&mut F>) -> bool {
        poll_immediate(future).await.is_some()
    }

    #[tokio::test]
    async fn a_body_holds_its_place_until_it_is_read() {
        let memory = memory();
        let put = memory.put(&A, payload("x"), PutOptions::default());
        put.await.unwrap();
        let limit = Limit::new(memory, slots(1, 1));
        let mut body = limit.get(&A, GetOptions::default()).await.unwrap().body;
        let mut head = Box::pin(limit.head(&A));
        assert!(
            !is_ready(head.as_mut()).await,
            "the body holds the only place"
        );
        let mut put = Box::pin(limit.put(&A, payload("y"), PutOptions::default()));
        assert!(
            is_ready(put.as_mut()).await,
            "writes have places of their own"
        );
        assert!(body.next().await.is_some());
        assert!(!is_ready(head.as_mut()).await, "the body has not ended");
        assert!(body.next().await.is_none());
        assert!(
            is_ready(head.as_mut()).await,
            "an ended body holds no place"
        );
        let body = limit.get(&A, GetOptions::default()).await.unwrap().body;
        let mut head = Box::pin(limit.head(&A));
        assert!(!is_ready(head.as_mut()).await);
        drop(body);
        assert!(
            is_ready(head.as_mut()).await,
            "a dropped body holds no place"
        );
    }

    #[tokio::test]
    async fn a_failed_get_holds_no_place() {
        let limit = Limit::new(memory(), slots(1, 1));
        for _ in 0..3 {
            let result = limit.get(&A, GetOptions::default()).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[tokio::test]
    async fn no_more_run_than_there_are_places() {
        let clock = Arc::new(SlowClock::default());
        let slow = FaultRule::new(Effect::Delay(Duration::from_millis(1)));
        let fault = Fault::new(memory(), FaultPlan::script([slow]), clock.clone());
        let limit = Limit::new(Arc::new(fault), slots(3, 2));
        let keys: Vec<Key> = (0..20).map(|n| key(&format!("{n}"))).collect();
        let puts = (keys.iter()).map(|key| limit.put(key, payload("x"), PutOptions::default()));
        for result in join_all(puts).await {
            result.unwrap();
        }
        assert_eq!(*clock.most.lock(), 2, "writes at a time");
        *clock.most.lock() = 0;
        for result in join_all(keys.iter().map(|key| limit.head(key))).await {
            result.unwrap();
        }
        assert_eq!(*clock.most.lock(), 3, "reads at a time");
    }

    /// Counts how many sleep at a time; a sleep takes a few turns of the scheduler.
    #[derive(Debug, Default)]
    struct SlowClock {
        sleeping: Arc<Mutex<u32>>,
        most: Arc<Mutex<u32>>,
    }

    impl Clock for SlowClock {
        fn wall(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn now(&self) -> Instant {
            Instant::default()
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            let (sleeping, most) = (self.sleeping.clone(), self.most.clone());
            Box::pin(async move {
                let now = {
                    let mut sleeping = sleeping.lock();
                    *sleeping += 1;
                    *sleeping
                };
                {
                    let mut most = most.lock();
                    *most = now.max(*most);
                }
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                *sleeping.lock() -= 1;
            })
        }
    }
}

mod meter {
    use super::*;

    #[tokio::test]
    async fn what_goes_through_is_counted() {
        let clock = clock();
        let rule = FaultRule::new(Effect::Delay(Duration::from_micros(100)));
        let fault = Fault::new(memory(), FaultPlan::script([rule]), clock.clone());
        let meter = Meter::new(Arc::new(fault), clock);
        let put = || meter.put(&A, payload("0123456789"), absent());
        put().await.unwrap();
        put().await.unwrap_err();
        let found = meter.get_bytes(&A, GetOptions::default()).await.unwrap();
        assert_eq!(found.len(), 10);
        meter.head(&key("none")).await.unwrap_err();

        let snapshot = meter.snapshot();
        assert_eq!(snapshot.requests(), 4);
        let put = snapshot.of(Operation::Put);
        assert_eq!((put.requests, put.succeeded, put.in_flight), (2, 1, 0));
        assert_eq!(put.bytes_out, 10, "a refused put sends nothing that counts");
        assert_eq!(put.errors_of(ErrorKind::Precondition), 1);
        assert_eq!(put.latency.log2_micros, [0, 0, 0, 0, 0, 0, 0, 2]);
        let get = snapshot.of(Operation::Get);
        assert_eq!((get.requests, get.succeeded, get.bytes_in), (1, 1, 10));
        let head = snapshot.of(Operation::Head);
        assert_eq!(head.errors_of(ErrorKind::NotFound), 1);
        assert_eq!(snapshot.of(Operation::List).requests, 0);
    }

    #[tokio::test]
    async fn a_request_is_in_flight_until_its_body_ends() {
        let (memory, clock) = (memory(), clock());
        let put = memory.put(&A, payload("x"), PutOptions::default());
        put.await.unwrap();
        let fault = Arc::new(Fault::new(memory, FaultPlan::none(), clock.clone()));
        let meter = Meter::new(fault.clone(), clock);
        let get = || meter.snapshot().of(Operation::Get);
        let result = meter.get(&A, GetOptions::default()).await.unwrap();
        assert_eq!((get().in_flight, get().latency.count()), (1, 1));
        drop(result);
        assert_eq!((get().in_flight, get().abandoned), (0, 1));
        fault.add(FaultRule::new(Effect::Truncate(0)).nth(1));
        let broken = meter.get_bytes(&A, GetOptions::default()).await;
        broken.unwrap_err();
        let get = get();
        assert_eq!((get.in_flight, get.succeeded), (0, 0));
        assert_eq!(get.errors_of(ErrorKind::Connection), 1);
        assert_eq!((get.abandoned, get.latency.count()), (1, 2));
    }

    #[tokio::test]
    async fn the_snapshot_reads_well_as_json() {
        let meter = Meter::new(memory(), clock());
        meter.head(&key("none")).await.unwrap_err();
        let json = serde_json::to_value(meter.snapshot()).unwrap();
        let wanted = serde_json::json!({"operations": {"head": {
            "requests": 1, "in_flight": 0, "succeeded": 0, "abandoned": 0,
            "errors": {"not_found": 1}, "bytes_in": 0, "bytes_out": 0,
            "latency": {"log2_micros": [1]},
        }}});
        assert_eq!(json, wanted);
    }
}

mod prefix {
    use super::*;

    #[tokio::test]
    async fn keys_lie_below_the_prefix_and_nothing_else_shows() {
        let memory = memory();
        let below = Prefix::new(memory.clone(), "p/").unwrap();
        for name in ["p/", "p/a", "p/b/c", "p", "p0", "other"] {
            let name = key(name);
            let put = memory.put(&name, payload("x"), PutOptions::default());
            put.await.unwrap();
        }
        below
            .put(&key("/d"), payload("x"), PutOptions::default())
            .await
            .unwrap();
        assert!(memory.keys().contains(&key("p//d")));
        let page = below.list(ListRequest::default()).await.unwrap();
        let names: Vec<&str> = page
            .objects
            .iter()
            .map(|object| object.key.as_str())
            .collect();
        assert_eq!(names, ["/d", "a", "b/c"]);
        below.delete(&[key("a")]).await.unwrap();
        assert!(!memory.keys().contains(&key("p/a")));
    }

    #[tokio::test]
    async fn a_key_that_gets_too_long_is_refused() {
        let below = Prefix::new(memory(), "p/").unwrap();
        let long = key(&"x".repeat(Key::MAX_BYTES - 1));
        let error = below.head(&long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let answers = below.delete(&[key("a"), long, key("b")]).await.unwrap();
        let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false]);
    }

    #[test]
    fn a_prefix_leaves_room_for_a_key() {
        let of = |bytes: usize| Prefix::new(memory(), &"p".repeat(bytes));
        assert!(of(Key::MAX_BYTES - 1).is_ok());
        assert_eq!(of(Key::MAX_BYTES).unwrap_err().bytes, Key::MAX_BYTES);
    }
}

mod fault {
    use super::*;

    #[tokio::test]
    async fn rules_count_the_calls_that_match_them() {
        let rule = FaultRule::new(Effect::Fail(ErrorKind::Server));
        let rule = rule.on(Operation::Head).key(key("a")).calls(2..=3);
        let fault = Fault::new(memory(), FaultPlan::script([rule]), clock());
        let mut failed = Vec::new();
        for name in ["a", "b", "a", "b", "a", "a"] {
            let error = fault.head(&key(name)).await.unwrap_err();
            failed.push(error.kind() == ErrorKind::Server);
        }
        assert_eq!(failed, [false, false, true, false, true, false]);
        assert_eq!(fault.injected(), 2);
    }

    #[tokio::test]
    async fn a_failed_request_did_nothing_and_a_lost_reply_hides_what_it_did() {
        let memory = memory();
        let rules = [
            FaultRule::new(Effect::Fail(ErrorKind::Connection)).nth(1),
            FaultRule::new(Effect::LoseReply).nth(2),
        ];
        let fault = Fault::new(memory.clone(), FaultPlan::script(rules), clock());
        let put = || fault.put(&A, payload("x"), PutOptions::default());
        assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Connection);
        assert!(memory.is_empty());
        assert_eq!(put().await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(memory.len(), 1);
    }

    #[tokio::test]
    async fn a_stale_list_shows_what_was() {
        let rule = FaultRule::new(Effect::StaleList).on(Operation::List).nth(2);
        let fault = Fault::new(memory(), FaultPlan::script([rule]), clock());
        let count = async || {
            let page = fault.list(ListRequest::default()).await.unwrap();
            page.objects.len()
        };
        assert_eq!(count().await, 0);
        let put = fault.put(&A, payload("x"), PutOptions::default());
        put.await.unwrap();
        assert_eq!(count().await, 0, "stale");
        assert_eq!(count().await, 1, "fresh");
    }

    #[tokio::test]
    async fn a_delay_is_slept() {
        let (clock, time) = (clock(), Duration::from_secs(5));
        let rule = FaultRule::new(Effect::Delay(time)).on(Operation::List);
        let fault = Fault::new(memory(), FaultPlan::script([rule]), clock.clone());
        fault.list(ListRequest::default()).await.unwrap();
        fault.head(&A).await.unwrap_err();
        assert_eq!(clock.slept(), [time]);
        assert_eq!(fault.injected(), 0);
    }

    #[tokio::test]
    async fn a_seed_gives_the_same_faults_again() {
        let rates = FaultRates {
            fail: 300,
            lose_reply: 200,
            ..FaultRates::default()
        };
        let run = async |seed| {
            let fault = Fault::new(memory(), FaultPlan::random(seed, rates), clock());
            let mut kinds = Vec::new();
            for n in 0..60 {
                let key = key(&format!("{n}"));
                let put = fault.put(&key, payload("x"), PutOptions::default());
                kinds.push(put.await.err().map(|error| error.kind()));
            }
            kinds
        };
        let first = run(1).await;
        assert_eq!(first, run(1).await);
        assert_ne!(first, run(2).await);
        let failed = first.iter().filter(|kind| kind.is_some()).count();
        assert!((10..50).contains(&failed), "{failed} of 60");
    }
}

#[tokio::test]
async fn a_former_version_is_read_through_every_layer() {
    let bucket = Arc::new(MemoryStore::new(clock()).keeping_versions());
    let within: Arc<dyn Store> = Arc::new(Prefix::new(bucket, "p/").unwrap());
    let within = Arc::new(Fault::new(within, FaultPlan::none(), clock()));
    let within = Arc::new(Retry::new(within, RetrySettings::default(), clock()));
    let within = Arc::new(Limit::new(within, LimitSettings::default()));
    let store = Meter::new(within, clock());
    let first = store.put(&A, payload("first"), PutOptions::default()).await;
    let first = first.unwrap();
    let second = store
        .put(&A, payload("second"), PutOptions::default())
        .await;
    store.delete(std::slice::from_ref(&*A)).await.unwrap();
    for (version, range, expected) in [(&first, 1..3, "ir"), (&second.unwrap(), 0..6, "second")] {
        let read = store.get_former_bytes(&A, version, range).await.unwrap();
        assert_eq!(read, expected);
    }
    let error = store.get_former_bytes(&key("b"), &first, 0..1).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    let error = memory().get_former_bytes(&A, &first, 0..1).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
}
