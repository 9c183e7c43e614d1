//! [`CacheParts`]: what a cache is made of besides its source.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cloudmount_vfs::{Clock, SystemClock};

use crate::strategy::Eviction;
use crate::{CacheSettings, ObjectRef};

/// Is told of every read, before it is answered: to record what a cache has to do.
pub trait ReadObserver: Send + Sync + 'static {
    /// Somebody reads `range` of `object`. It is not empty, and lies within the object's size.
    ///
    /// Called on the way of every read: must not wait for anything, not even long for a lock.
    fn read(&self, object: &ObjectRef, range: &Range<u64>);
}

/// What a cache is made of besides its source. Settings alone are enough.
#[derive(Clone)]
pub struct CacheParts {
    /// What it may use.
    pub settings: CacheSettings,
    /// How it chooses what goes.
    pub eviction: Eviction,
    /// Who is told of reads.
    pub observer: Option<Arc<dyn ReadObserver>>,
    /// By which requests are measured. The machine's by default.
    pub clock: Arc<dyn Clock>,
}

impl Default for CacheParts {
    fn default() -> Self {
        Self {
            settings: CacheSettings::default(),
            eviction: Eviction::default(),
            observer: None,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

impl From<CacheSettings> for CacheParts {
    fn from(settings: CacheSettings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }
}

impl fmt::Debug for CacheParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheParts")
            .field("settings", &self.settings)
            .field("eviction", &self.eviction)
            .finish_non_exhaustive()
    }
}
