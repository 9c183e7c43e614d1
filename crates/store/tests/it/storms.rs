//! Many requests that fail at once: how many of them are tried again, and when.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::layer::{Effect, Fault, FaultPlan, FaultRule, Retry, RetrySettings};
use cloudmount_store::{ErrorKind, Key, MemoryStore, PutOptions, Store};
use cloudmount_testkit::ManualClock;
use cloudmount_vfs::Clock;
use tokio::task::JoinSet;

/// A store whose first so many requests fail, and what tries them again.
struct Storm {
    clock: ManualClock,
    fault: Arc<Fault>,
    retry: Arc<Retry>,
}

impl Storm {
    async fn new(failing: u64, settings: RetrySettings) -> Self {
        let clock = ManualClock::new();
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let memory = Arc::new(MemoryStore::new(Arc::clone(&time)));
        let (key, empty) = (key(), Bytes::new().into());
        let put = memory.put(&key, empty, PutOptions::default());
        put.await.unwrap();
        let fails = FaultRule::new(Effect::Fail(ErrorKind::Server)).calls(1..=failing);
        let plan = FaultPlan::script([fails]);
        let fault = Arc::new(Fault::new(memory, plan, Arc::clone(&time)));
        let retry = Arc::new(Retry::new(fault.clone(), settings, time));
        Self {
            clock,
            fault,
            retry,
        }
    }

    /// So many requests at once.
    fn ask(&self, count: usize) -> JoinSet<bool> {
        let mut all = JoinSet::new();
        for _ in 0..count {
            let retry = Arc::clone(&self.retry);
            all.spawn(async move { retry.head(&key()).await.is_ok() });
        }
        all
    }

    /// How many tries there have been after each of so many seconds.
    async fn tries(&self, seconds: usize) -> Vec<u64> {
        let mut tries = Vec::new();
        for _ in 0..seconds {
            for _ in 0..100 {
                self.clock.pass(Duration::from_millis(10)).await;
            }
            tries.push(self.fault.injected());
        }
        tries
    }
}

fn key() -> Key {
    Key::new("a").unwrap()
}

#[tokio::test]
async fn a_server_that_is_down_is_not_stormed() {
    let storm = Storm::new(u64::MAX, RetrySettings::default()).await;
    let all = storm.ask(300);
    let tries = storm.tries(60).await;
    for (second, &tries) in (1..).zip(&tries) {
        let most = 300 + 100 + 20 * second;
        assert!(tries <= most, "{tries} tries within {second} s");
    }
    assert!(
        tries[0] >= 400,
        "what is there at once is taken: {}",
        tries[0]
    );
    assert!(tries[30] >= 900, "and what comes later: {}", tries[30]);
    // It is as long as it would be that they try.
    assert!(tries[50] > tries[40], "{tries:?}");
    storm.clock.pass(Duration::from_secs(1)).await;
    assert!(all.join_all().await.iter().all(|worked| !worked));
}

#[tokio::test]
async fn few_requests_do_not_feel_the_budget() {
    let plenty = RetrySettings {
        again_at_once: u32::MAX,
        ..RetrySettings::default()
    };
    let mut tries = Vec::new();
    for settings in [RetrySettings::default(), plenty] {
        let storm = Storm::new(u64::MAX, settings).await;
        let all = storm.ask(20);
        tries.push(storm.tries(61).await);
        assert_eq!(all.join_all().await, [false; 20]);
    }
    assert_eq!(tries[0], tries[1]);
}

#[tokio::test]
async fn all_of_many_work_soon_after_the_server_does() {
    // All first tries, and the first hundred of the others.
    let storm = Storm::new(400, RetrySettings::default()).await;
    let all = storm.ask(300);
    storm.tries(20).await;
    assert_eq!(storm.fault.injected(), 400);
    assert_eq!(all.join_all().await, [true; 300]);
}
