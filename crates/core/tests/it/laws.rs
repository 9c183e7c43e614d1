//! Every law of the conformance suite, each on a fresh core.

mod core {
    use crate::world::CoreWorld;

    async fn world() -> CoreWorld {
        CoreWorld::new()
    }

    cloudmount_testkit::vfs_tests!(world);
}

/// Nothing is believed for any time: each question goes to the bucket.
mod doubting {
    use crate::world::{CoreWorld, Trust};

    async fn world() -> CoreWorld {
        CoreWorld::with(Trust::None)
    }

    cloudmount_testkit::vfs_tests!(world);
}

/// What is known is kept in manifests, of each folder as soon as there is anything.
mod publishing {
    use crate::world::CoreWorld;

    async fn world() -> CoreWorld {
        CoreWorld::publishing()
    }

    cloudmount_testkit::vfs_tests!(world);
}

/// What is written whole goes through the page cache, too; and each folder is listed with those behind it.
mod caching {
    use cloudmount_core::{CoreSettings, WriteCache};

    use crate::world::CoreWorld;

    async fn world() -> CoreWorld {
        CoreWorld::with_settings(CoreSettings {
            write_cache: WriteCache::Keep,
            list_ahead_after: 0,
            ..CoreSettings::default()
        })
    }

    cloudmount_testkit::vfs_tests!(world);
}

/// One of the four times to live is nothing, and the others are a second: no law depends on one of them alone.
macro_rules! doubting_one {
    ($($name:ident => $field:ident,)*) => {
        $(
            mod $name {
                use std::time::Duration;

                use cloudmount_core::{CoreSettings, TimesToLive};

                use crate::world::CoreWorld;

                async fn world() -> CoreWorld {
                    CoreWorld::with_settings(CoreSettings {
                        ttl: TimesToLive {
                            $field: Duration::ZERO,
                            ..TimesToLive::default()
                        },
                        ..CoreSettings::default()
                    })
                }

                cloudmount_testkit::vfs_tests!(world);
            }
        )*
    };
}

doubting_one! {
    doubting_attributes => attributes,
    doubting_entries => entries,
    doubting_negatives => negatives,
    doubting_listings => listings,
}
