//! [`ModelWorld`]: the model with a clock and its bucket.

use std::sync::Arc;

use cloudmount_store::Store;

use super::{Model, Settings};
use crate::kernel::Options;
use crate::{ManualClock, World};

/// The model as a [`World`]: the reference to compare with, and the proof that the
/// suites can hold.
#[derive(Debug)]
pub struct ModelWorld {
    model: Arc<Model>,
    clock: ManualClock,
    options: Options,
}

impl ModelWorld {
    /// An empty model with a clock of its own.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let clock = ManualClock::new();
        let model = Arc::new(Model::new(Arc::new(clock.clone()), settings));
        Self {
            model,
            clock,
            options: Options::default(),
        }
    }

    /// The same, with another kernel in front.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

impl Default for ModelWorld {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl World for ModelWorld {
    type Fs = Model;

    fn vfs(&self) -> Arc<Model> {
        Arc::clone(&self.model)
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(self.model.bucket())
    }

    async fn remount(self) -> Option<Self> {
        let model = Arc::new(self.model.remounted());
        Some(Self { model, ..self })
    }

    fn options(&self) -> Options {
        self.options
    }

    fn lookups(&self) -> Option<u64> {
        Some(self.model.lookups() + self.model.forgotten_in_excess())
    }

    fn open_handles(&self) -> Option<usize> {
        Some(self.model.open_handles())
    }

    fn unsupported(&self) -> &[&str] {
        // The model refuses keys that no path can say; it knows no escape for them.
        &["keys_that_no_path_can_say_are_shown_and_hide_nothing"]
    }
}
