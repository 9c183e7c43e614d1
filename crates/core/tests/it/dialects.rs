//! The laws of filesystems on a core whose bucket speaks the dialects of S3, and random operations on it beside the reference model.
//!
//! What is a matter of HTTP is spoken on loopback, by the real client.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_core::{CoreSettings, TimesToLive};
use cloudmount_store::probe::SCRATCH;
use cloudmount_testkit::dialect::LAG;
use cloudmount_testkit::ops::{Include, check, ops};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{Dialect, S3Server, suite};
use cloudmount_vfs::ErrorKind;
use proptest::test_runner::{Config, TestRunner};

use crate::model::reference;
use crate::world::CoreWorld;

/// Rows of operations at each dialect, and operations in each.
const ROWS: u32 = 16;
const OPS: usize = 40;

/// Worlds at a dialect, one after the other.
struct Worlds {
    dialect: Dialect,
    ttl: Duration,
    server: RefCell<Option<Arc<S3Server>>>,
    /// How many requests met the ways of the dialect.
    met: Cell<u64>,
}

impl Worlds {
    fn speaking(dialect: Dialect, ttl: Duration) -> Self {
        Self {
            dialect,
            ttl,
            server: RefCell::default(),
            met: Cell::default(),
        }
    }

    fn next(&self) -> CoreWorld {
        self.end();
        let settings = CoreSettings {
            ttl: TimesToLive::all(self.ttl),
            // Each folder is listed with those behind it, which asks most of listings.
            list_ahead_after: 0,
            ..CoreSettings::default()
        };
        let world = CoreWorld::speaking(self.dialect, settings);
        self.server.replace(world.server());
        world
    }

    fn end(&self) {
        if let Some(server) = self.server.take() {
            self.met.set(self.met.get() + server.met());
        }
    }

    /// All were tried. What no request met proves nothing.
    fn check_met(&self) {
        self.end();
        assert!(!self.dialect.is_of_http() || self.met.get() > 0);
    }
}

/// How long what the bucket has said is believed. What is late by less than that is seldom met: there, it is believed for
/// less, too.
fn ttls(dialect: Dialect) -> Vec<Duration> {
    let mut ttls = vec![Duration::from_secs(1)];
    if dialect == Dialect::Lags {
        ttls.push(LAG / 100);
    }
    ttls
}

/// All laws of filesystems, each on a world of its own.
fn laws(dialect: Dialect) {
    let count = suite::laws::<CoreWorld>().len();
    for ttl in ttls(dialect) {
        let worlds = Worlds::speaking(dialect, ttl);
        let mut broken = BTreeSet::new();
        for law in suite::laws::<CoreWorld>() {
            let tried = || suite::run(|| async { worlds.next() }, law.name, law.check);
            if catch_unwind(AssertUnwindSafe(tried)).is_err() {
                broken.insert(law.name);
            }
        }
        assert_eq!(broken, BTreeSet::new(), "{ttl:?}");
        worlds.check_met();
    }
    let name = dialect.name();
    println!("dialect {name} laws of filesystems: {count} held, 0 not offered, 0 by nature");
}

/// Random operations: same answers, same trees.
fn rows(dialect: Dialect) {
    for ttl in ttls(dialect) {
        play(&Worlds::speaking(dialect, ttl));
    }
    let name = dialect.name();
    println!("dialect {name} rows beside the model: {ROWS} held, 0 not offered, 0 by nature");
}

fn play(worlds: &Worlds) {
    let mut runner = TestRunner::new(Config {
        cases: ROWS,
        failure_persistence: None,
        ..Config::default()
    });
    let played = runner.run(&ops(OPS, Include::Remount), |row| {
        check(reference, || async { worlds.next() }, &row).unwrap();
        Ok(())
    });
    played.unwrap();
    worlds.check_met();
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

cloudmount_testkit::for_each_dialect!(tests);

/// Other mounts of the bucket leave scratch objects in it for a moment.
#[tokio::test]
async fn scratch_objects_of_probes_are_no_files() {
    let here = Mounted::new(CoreWorld::new()).await;
    let scratch = format!("/{SCRATCH}0000000000000007-put");
    let below = format!("/d{scratch}");
    for path in [&scratch, &below, "/a"] {
        here.put(path, "x").await;
    }
    here.wait_for_foreign_changes().await;
    let k = here.kernel();
    assert_eq!(k.names("/").await.unwrap(), ["a", "d"]);
    let missing = k.stat(&scratch).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for refused in [
        k.write_file(&scratch, b"mine").await,
        k.mkdir(&scratch, 0o755).await,
        k.rename("/a", &scratch).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::IllegalName);
    }
    // Elsewhere nobody probes: it is a name as any other.
    k.write_file(&below, b"mine").await.unwrap();
    assert_eq!(k.read_file(&below).await.unwrap(), "mine");
    here.end().await;
}
