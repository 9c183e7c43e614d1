//! [`Bucket`]: what a world stores in, and how that is spoken to.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::layer::{Retry, RetrySettings};
use cloudmount_store::{Capabilities, MemoryStore, S3Store, Store};
use cloudmount_testkit::s3_server::BUCKET;
use cloudmount_testkit::{Dialect, DialectStore, ManualClock, S3Server};
use cloudmount_vfs::{Clock, SystemClock};

/// A bucket in memory, which outlives mounts of it.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) clock: ManualClock,
    /// What a mount speaks to.
    pub(crate) spoken: Arc<dyn Store>,
    /// What listens on loopback, where the ways of a dialect are those of HTTP.
    pub(crate) server: Option<Arc<S3Server>>,
}

impl Bucket {
    /// One that is spoken to as it is.
    pub(crate) fn plain(memory: MemoryStore, clock: ManualClock) -> Self {
        let memory = Arc::new(memory);
        Self {
            spoken: Arc::clone(&memory) as _,
            memory,
            clock,
            server: None,
        }
    }

    /// The same, in a dialect.
    pub(crate) fn speaking(self, dialect: Dialect) -> Self {
        let memory = Arc::clone(&self.memory) as Arc<dyn Store>;
        if !dialect.is_of_http() {
            let time = Arc::new(self.clock.clone());
            return Self {
                spoken: Arc::new(DialectStore::new(memory, dialect, time)),
                ..self
            };
        }
        let server = S3Server::start(memory, dialect, real_time()).unwrap();
        Self {
            spoken: client(&server, self.memory.capabilities()),
            server: Some(Arc::new(server)),
            ..self
        }
    }
}

/// The real client, as a mount has it. Its limits and waits are of the machine's time, in which the server answers.
fn client(server: &S3Server, capabilities: Capabilities) -> Arc<dyn Store> {
    let known = Capabilities {
        trust: Capabilities::S3.trust,
        ..capabilities
    };
    let store = S3Store::new(BUCKET, &server.client(known), real_time()).unwrap();
    let settings = RetrySettings {
        first_wait: Duration::from_millis(1),
        ..RetrySettings::default()
    };
    Arc::new(Retry::new(Arc::new(store), settings, real_time()))
}

fn real_time() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}
