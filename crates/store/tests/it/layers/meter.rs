//! What is counted.

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
