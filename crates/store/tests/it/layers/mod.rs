//! Layers: each passes the suite over memory, and does what it is for.

mod fault;
mod limit;
mod meter;
mod prefix;
mod retry;

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
