//! [`Builder`]: from a location and settings to an open filesystem.

use std::path::PathBuf;
use std::sync::Arc;

use cloudmount_cache::strategy::Eviction;
use cloudmount_vfs::{Clock, SystemClock};

use crate::address;
use crate::session;
use crate::{CloudMount, Environment, Error, Recording, Result, Settings};

/// What is to be opened.
#[derive(Debug)]
pub struct Builder {
    pub(crate) location: String,
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) staging: Option<PathBuf>,
    pub(crate) eviction: Option<Eviction>,
    pub(crate) recording: Option<Arc<Recording>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Journal bytes from which on it is compacted, for tests of that.
    #[cfg(feature = "failpoints")]
    pub(crate) journal_bytes_min: Option<u64>,
}

impl Builder {
    pub(crate) fn new(location: String) -> Self {
        Self {
            location,
            settings: Settings::default(),
            environment: Environment::default(),
            staging: None,
            eviction: None,
            recording: None,
            clock: Arc::new(SystemClock::new()),
            #[cfg(feature = "failpoints")]
            journal_bytes_min: None,
        }
    }

    /// All settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// One setting by its name and text, as on the command line: `("ttl", "5s")`.
    ///
    /// # Errors
    /// An unknown name, or a value that makes no sense.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self> {
        self.settings.set_text(name, value)?;
        Ok(self)
    }

    /// Where credentials and the user's folders are looked for. By default nothing is: buckets
    /// need it, folders and memory do not.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Where the journal lies, and what waits to be uploaded: this folder itself, for this bucket
    /// only. Without it, a folder for the bucket in [`Settings::cache_dir`], and for `memory:` one
    /// that goes with the process.
    #[must_use]
    pub fn staging(mut self, folder: impl Into<PathBuf>) -> Self {
        self.staging = Some(folder.into());
        self
    }

    /// How the cache chooses what makes room: also a strategy of your own. Without it,
    /// [`Settings::cache_strategy`] says.
    #[must_use]
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = Some(eviction);
        self
    }

    /// Notes every read. The kernel is told to keep nothing that is read through a mount, so that
    /// all reads of applications come here: this is for recordings, and slow.
    #[must_use]
    pub fn record_reads(mut self, recording: Arc<Recording>) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Where time comes from: by default from the machine's clocks.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Compacts the journal from so many bytes on, so that a test meets that often.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn journal_bytes_min(mut self, bytes: u64) -> Self {
        self.journal_bytes_min = Some(bytes);
        self
    }

    /// Opens it: within a tokio runtime with time, on which it then works.
    ///
    /// # Errors
    /// What is wrong with the location, the settings, the bucket or the staging folder, and what to
    /// do about it.
    pub async fn open(mut self) -> Result<CloudMount> {
        let location = address::of_bucket(&self.location, &mut self.settings)?;
        let location = location
            .parse()
            .map_err(|error| Error::new("cannot understand the location").because(error))?;
        self.settings.check()?;
        self.settings.agree()?;
        session::open(location, self).await
    }
}
