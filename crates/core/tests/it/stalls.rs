//! Reads whose requests stall.

use std::time::Duration;

use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::Clock as _;

use crate::world::CoreWorld;

/// How long a store's layers try: the read must not need that.
const DEADLINE: Duration = Duration::from_secs(60);

/// One request of many is silent, as on a connection that died.
#[tokio::test]
async fn a_read_that_stalls_ends_long_before_its_deadline() {
    let here = Mounted::new(CoreWorld::quiet()).await;
    // More than one request can hold.
    let content = vec![7_u8; 8 << 20];
    here.put("file", content.clone()).await;
    here.kernel().stat("/file").await.unwrap();
    let world = here.world();
    let silent = FaultRule::new(Effect::Delay(DEADLINE));
    world.fault.add(silent.on(Operation::Get).nth(2));
    let began = world.clock().now();
    let ended = std::cell::Cell::new(false);
    let reading = async {
        let bytes = here.kernel().read_file("/file").await.unwrap();
        ended.set(true);
        bytes
    };
    let waiting = world.until("it is read", |_| ended.get());
    let (bytes, ()) = futures::join!(reading, waiting);
    assert!(bytes == content);
    let took = world.clock().now().saturating_since(began);
    assert!(took < DEADLINE / 10, "{took:?}");
    let reads = world.core.stats().reads;
    assert_eq!((reads.again, reads.won), (1, 1));
    here.end().await;
}
