//! [`Bucket`]: what a world stores in, and how that is spoken to.

use std::sync::Arc;

use cloudmount_store::{MemoryStore, Store};
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
            spoken: server.store(self.memory.capabilities()),
            server: Some(Arc::new(server)),
            ..self
        }
    }
}

fn real_time() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}
