//! The laws of filesystems on a core whose bucket speaks the dialects of S3, and random operations on it beside the reference model.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cloudmount_core::CoreSettings;
use cloudmount_testkit::ops::{Include, check, ops};
use cloudmount_testkit::{Dialect, suite};
use proptest::test_runner::{Config, TestRunner};

use crate::model::reference;
use crate::world::CoreWorld;

/// Rows of operations at each dialect, and operations in each.
const ROWS: u32 = 16;
const OPS: usize = 40;

fn world(dialect: Dialect) -> CoreWorld {
    let settings = CoreSettings {
        // Each folder is listed with those behind it, which asks most of listings.
        list_ahead_after: 0,
        ..CoreSettings::default()
    };
    CoreWorld::speaking(dialect, settings)
}

/// All laws of filesystems, each on a world of its own.
fn laws(dialect: Dialect) {
    let laws = suite::laws::<CoreWorld>();
    let count = laws.len();
    let mut broken = BTreeSet::new();
    for law in laws {
        let tried = || suite::run(|| async { world(dialect) }, law.name, law.check);
        if catch_unwind(AssertUnwindSafe(tried)).is_err() {
            broken.insert(law.name);
        }
    }
    assert_eq!(broken, BTreeSet::new());
    let name = dialect.name();
    println!("dialect {name} laws of filesystems: {count} held, 0 not offered, 0 by nature");
}

/// Random operations: same answers, same trees.
fn rows(dialect: Dialect) {
    let mut runner = TestRunner::new(Config {
        cases: ROWS,
        failure_persistence: None,
        ..Config::default()
    });
    let played = runner.run(&ops(OPS, Include::Remount), |row| {
        check(reference, || async { world(dialect) }, &row).unwrap();
        Ok(())
    });
    played.unwrap();
    let name = dialect.name();
    println!("dialect {name} rows beside the model: {ROWS} held, 0 not offered, 0 by nature");
}

macro_rules! tests {
    ($($name:ident: $dialect:ident,)*) => {
        $(mod $name {
            use cloudmount_testkit::Dialect;

            #[test]
            fn the_laws_of_filesystems_hold() {
                super::laws(Dialect::$dialect);
            }

            #[test]
            fn the_core_does_as_the_model() {
                super::rows(Dialect::$dialect);
            }
        })*
    };
}

// Where listings are late, what a folder shows after a rename depends on how much time passed.
cloudmount_testkit::for_each_prompt_dialect!(tests);
