//! What the requests of a store tell of the way to it, and what it does when somebody knows that this has changed.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::layer::{
    Effect, Fault, FaultPlan, FaultRule, Link, LinkState, Retry, RetrySettings,
};
use cloudmount_store::{
    ErrorKind, GetOptions, Key, MemoryStore, PutOptions, S3Credentials, S3Settings, S3Store, Store,
    StoreExt,
};
use cloudmount_testkit::ManualClock;
use cloudmount_testkit::loopback::{Handler, Loopback, Request, Response};
use cloudmount_vfs::{BoxFuture, Clock, SystemClock};
use tokio::sync::Notify;

const SECOND: Duration = Duration::from_secs(1);

fn key() -> Key {
    Key::new("a").unwrap()
}

fn server(
    answer: impl Fn(Request) -> BoxFuture<'static, Response> + Send + Sync + 'static,
) -> Loopback {
    let handler: Handler = Arc::new(answer);
    Loopback::start(handler).unwrap()
}

fn client(server: &Loopback, clock: Arc<dyn Clock>) -> S3Store {
    let settings = S3Settings {
        endpoint: Some(server.origin()),
        credentials: S3Credentials::Anonymous,
        allow_http: true,
        ..S3Settings::default()
    };
    S3Store::new("pail", &settings, clock).unwrap()
}

#[tokio::test]
async fn a_reconnect_leaves_idle_connections() {
    let server = server(|_| Box::pin(std::future::ready(Response::new(404))));
    let store = client(&server, Arc::new(SystemClock::new()));
    let ask = async || store.head(&key()).await.unwrap_err();
    for _ in 0..3 {
        ask().await;
    }
    assert_eq!(server.connections(), 1);
    store.reconnect();
    for _ in 0..3 {
        ask().await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_reconnect_gives_up_requests_that_are_silent() {
    let (clock, asked) = (ManualClock::new(), Arc::new(Notify::new()));
    let heard = Arc::clone(&asked);
    let server = server(move |_| {
        heard.notify_one();
        Box::pin(std::future::pending())
    });
    let store = Arc::new(client(&server, Arc::new(clock.clone())));
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.head(&key()).await })
    };
    asked.notified().await;
    // Nothing is wrong with a few seconds of silence.
    clock.pass(SECOND * 20).await;
    assert!(!waiting.is_finished());
    store.reconnect();
    clock.pass(SECOND * 5).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.to_string().contains("was silent"), "{error}");
}

#[tokio::test]
async fn a_reconnect_ends_waits_between_tries() {
    let clock = ManualClock::new();
    let time: Arc<dyn Clock> = Arc::new(clock.clone());
    let plan = FaultPlan::script([FaultRule::new(Effect::Throttle(SECOND * 50)).nth(1)]);
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&time)));
    let faulty = Fault::new(bucket, plan, Arc::clone(&time));
    let store = Retry::new(
        Arc::new(faulty),
        RetrySettings::default(),
        Arc::clone(&time),
    );
    let (began, store) = (clock.now(), Arc::new(store));
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.head(&key()).await })
    };
    clock.pass(Duration::ZERO).await;
    assert_eq!(clock.sleepers(), 1, "it waits for its second try");
    store.reconnect();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(clock.now(), began);
}

/// A bucket with one object, behind faults and what notes them.
async fn watched(rules: impl IntoIterator<Item = FaultRule>) -> (ManualClock, Link) {
    let clock = ManualClock::new();
    let time: Arc<dyn Clock> = Arc::new(clock.clone());
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&time)));
    let (key, body) = (key(), bytes::Bytes::from_static(b"body"));
    let put = bucket.put(&key, body.into(), PutOptions::default());
    put.await.unwrap();
    let faulty = Fault::new(bucket, FaultPlan::script(rules), Arc::clone(&time));
    (clock, Link::new(Arc::new(faulty), time))
}

#[tokio::test]
async fn a_store_that_is_not_reached_is_offline_until_it_answers() {
    let lost = |nth| FaultRule::new(Effect::Fail(ErrorKind::Connection)).nth(nth);
    let (clock, link) = watched((1..=3).map(lost)).await;
    let mut changes = link.changes();
    assert_eq!(link.status().state, LinkState::Online);
    for state in [LinkState::Online, LinkState::Online, LinkState::Offline] {
        link.head(&key()).await.unwrap_err();
        assert_eq!(link.status().state, state);
        clock.pass(SECOND).await;
    }
    assert_eq!(*changes.borrow_and_update(), LinkState::Offline);
    let status = link.status();
    assert_eq!(status.secs, 1);
    let why = status.why.unwrap();
    assert!(why.contains("connection failed"), "{why}");
    // It stays so, however long nobody asks.
    clock.pass(SECOND * 1000).await;
    assert_eq!(link.status().state, LinkState::Offline);
    assert_eq!(link.quiet_for(), SECOND * 1001);
    // That there is no such object is an answer, too.
    link.head(&Key::new("none").unwrap()).await.unwrap_err();
    assert_eq!(link.status().state, LinkState::Online);
    assert_eq!(link.status().why, None);
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn bodies_that_break_are_noted() {
    let broken = |nth| FaultRule::new(Effect::Truncate(0)).nth(nth);
    let (clock, link) = watched((1..=3).map(broken)).await;
    for _ in 0..3 {
        link.get_bytes(&key(), GetOptions::default())
            .await
            .unwrap_err();
    }
    assert_eq!(link.status().state, LinkState::Degraded);
    link.get_bytes(&key(), GetOptions::default()).await.unwrap();
    assert_eq!(link.status().state, LinkState::Degraded);
    // What failed is forgotten after half a minute.
    clock.pass(SECOND * 30).await;
    assert_eq!(link.status().state, LinkState::Online);
}
