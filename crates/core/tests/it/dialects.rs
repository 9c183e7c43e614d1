//! The laws of filesystems on a core whose bucket speaks the dialects of S3.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cloudmount_core::CoreSettings;
use cloudmount_testkit::{Dialect, suite};

use crate::world::CoreWorld;

fn world(dialect: Dialect) -> CoreWorld {
    let list_ahead_after = match dialect {
        // Where listings are late, a folder that has just been renamed may be seen once more under its old name: the more
        // so, the more is listed beforehand.
        Dialect::Lags => CoreSettings::default().list_ahead_after,
        // Each folder is listed with those behind it, which asks most of listings.
        _ => 0,
    };
    let settings = CoreSettings {
        list_ahead_after,
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

macro_rules! tests {
    ($($name:ident: $dialect:ident,)*) => {
        $(mod $name {
            use cloudmount_testkit::Dialect;

            #[test]
            fn the_laws_of_filesystems_hold() {
                super::laws(Dialect::$dialect);
            }
        })*
    };
}

cloudmount_testkit::for_each_store_dialect!(tests);
