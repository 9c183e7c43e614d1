//! Random operations on the core and on the reference model at once: same answers, same trees.

use cloudmount_core::{CoreSettings, WriteCache};
use cloudmount_testkit::kernel::{Interrupt, Options};
use cloudmount_testkit::model::ModelWorld;
use cloudmount_testkit::ops::{Include, check, ops};
use proptest::prelude::*;

use crate::world::CoreWorld;

/// Operations in one row.
const OPS: usize = 40;

async fn reference() -> ModelWorld {
    let options = Options {
        interrupt: Interrupt::Never,
        ..Options::default()
    };
    ModelWorld::default().with_options(options)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_core_does_as_the_model(row in ops(OPS, Include::Remount)) {
        check(reference, || async { CoreWorld::new() }, &row).unwrap();
    }

    #[test]
    fn through_the_page_cache_it_does_so_too(row in ops(OPS, Include::Remount)) {
        let core = || async {
            CoreWorld::with_settings(CoreSettings {
                write_cache: WriteCache::Keep,
                ..CoreSettings::default()
            })
        };
        check(reference, core, &row).unwrap();
    }
}
