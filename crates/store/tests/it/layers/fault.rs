//! Faults that are planted.

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
