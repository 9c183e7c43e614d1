//! All suites on the model.

use cloudmount_testkit::model::{ModelWorld, Pace, Settings};

mod at_once {
    use super::*;

    async fn world() -> ModelWorld {
        ModelWorld::default()
    }

    cloudmount_testkit::vfs_tests!(world);
}

mod yielding {
    use super::*;

    async fn world() -> ModelWorld {
        ModelWorld::new(Settings {
            pace: Pace::Yielding,
            ..Settings::default()
        })
    }

    cloudmount_testkit::vfs_tests!(world);
}
