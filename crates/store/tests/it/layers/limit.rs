//! At most so many requests in flight.

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
