//! The S3 client against servers of every dialect, over HTTP: the laws of stores, and what is found out of each.

use std::collections::BTreeSet;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::layer::{
    Effect, Fault, FaultPlan, FaultRule, Operation, Retry, RetrySettings,
};
use cloudmount_store::probe::{Finding, probe};
use cloudmount_store::{
    Batch, Capabilities, Extent, Key, ListPages, ListRequest, MemoryStore, PutOptions, S3Store,
    Store,
};
use cloudmount_testkit::dialect::LAG;
use cloudmount_testkit::s3_server::BUCKET;
use cloudmount_testkit::store_suite::{Bed, KeyShape, Limits, Listings, Outcome, all};
use cloudmount_testkit::{Dialect, S3Server};
use cloudmount_vfs::{BoxFuture, Clock, Instant, SystemClock, Timestamp};
use futures::{StreamExt, stream};
use tokio::time::timeout;

/// How long one law may take: some list a hundred times, and wait each time.
const LAW_TIME_MAX: Duration = Duration::from_secs(120);

/// Smallest part but the last: less than Amazon's, so that laws about parts are short.
const PART_BYTES_MIN: u64 = 64 << 10;

/// Keys of a large folder: some pages in sequence, and some more at once.
const LISTED: usize = 7_000;

/// Laws at once: they wait for the same server.
const LAWS_AT_ONCE: usize = 8;

/// What such a server is known to lack.
fn known(dialect: Dialect) -> Capabilities {
    let mut known = Capabilities {
        part_bytes_min: PART_BYTES_MIN,
        ..Capabilities::S3
    };
    match dialect {
        Dialect::PassesOver | Dialect::NoConditions => {
            known.put_if_absent = false;
            known.put_if_match = false;
            known.delete_if = false;
        }
        Dialect::BareTags => {
            known.put_if_match = false;
            known.delete_if = false;
        }
        Dialect::NoPartCopies => known.part_copy = false,
        Dialect::Plain
        | Dialect::EqualParts
        | Dialect::NoPrefixObjects
        | Dialect::Unordered
        | Dialect::NeedsMd5
        | Dialect::Throttles403
        | Dialect::Lags => {}
    }
    known
}

/// Keys that it cannot hold.
const fn limits(dialect: Dialect) -> Limits {
    let (refused_keys, listings): (&[KeyShape], _) = match dialect {
        Dialect::NoPrefixObjects => (&NO_PATHS, Listings::InOrder),
        Dialect::Unordered => (&[], Listings::Unordered),
        _ => (&[], Listings::InOrder),
    };
    Limits {
        refused_keys,
        listings,
    }
}

/// Shapes of keys of which one is in the way of another, where keys are paths.
const NO_PATHS: [KeyShape; 4] = [
    KeyShape::FileAndFolder,
    KeyShape::EmptyPart,
    KeyShape::DotPart,
    KeyShape::Reserved,
];

/// The laws that it breaks, by what it is.
const fn broken(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::PassesOver => &["a_copy_can_insist_on_its_source"],
        Dialect::NoConditions | Dialect::BareTags => &[
            "a_copy_can_insist_on_its_source",
            "a_copy_onto_itself_replaces_metadata",
            "a_part_copy_can_insist_on_a_version",
        ],
        Dialect::EqualParts => &["many_parts", "parts_are_joined_by_number"],
        Dialect::Plain
        | Dialect::NoPrefixObjects
        | Dialect::NoPartCopies
        | Dialect::Unordered
        | Dialect::NeedsMd5
        | Dialect::Throttles403
        | Dialect::Lags => &[],
    }
}

fn client(server: &S3Server, capabilities: Capabilities) -> S3Store {
    let settings = server.client(capabilities);
    S3Store::new(BUCKET, &settings, clock()).unwrap()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Time that passes only by being waited for, and then at once.
#[derive(Debug, Default)]
struct Leaps(AtomicU64);

impl Clock for Leaps {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_700_000_000, 0)
    }

    fn now(&self) -> Instant {
        Instant::from_start(Duration::from_nanos(self.0.load(Ordering::SeqCst)))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let nanos = u64::try_from(duration.as_nanos()).unwrap();
        self.0.fetch_add(nanos, Ordering::SeqCst);
        Box::pin(ready(()))
    }
}

/// A server, and its bucket.
fn serve(dialect: Dialect, clock: Arc<dyn Clock>) -> (S3Server, Arc<MemoryStore>) {
    let capabilities = Capabilities {
        part_bytes_min: PART_BYTES_MIN,
        ..MemoryStore::CAPABILITIES
    };
    let bucket = MemoryStore::with_capabilities(Arc::clone(&clock), capabilities);
    let bucket = Arc::new(bucket);
    let server = S3Server::start(Arc::clone(&bucket) as _, dialect, clock).unwrap();
    (server, bucket)
}

/// As a mount has it: what passes is tried again.
fn tried_again(store: S3Store) -> Arc<dyn Store> {
    let settings = RetrySettings {
        first_wait: Duration::from_millis(1),
        ..RetrySettings::default()
    };
    Arc::new(Retry::new(Arc::new(store), settings, clock()))
}

fn bed(dialect: Dialect) -> Bed {
    let time: Arc<dyn Clock> = match dialect {
        Dialect::Lags => Arc::new(Leaps::default()),
        _ => clock(),
    };
    let (server, _) = serve(dialect, Arc::clone(&time));
    let mut store = tried_again(client(&server, known(dialect)));
    if dialect == Dialect::Lags {
        // Whoever waits as long as listings are behind sees all.
        let wait = FaultRule::new(Effect::Delay(LAG)).on(Operation::List);
        store = Arc::new(Fault::new(store, FaultPlan::script([wait]), time));
    }
    Bed::new(store)
        .below("laws/")
        .with_limits(limits(dialect))
        .keeping(server)
}

/// All laws at that dialect: what holds, what the store says that it lacks, and what breaks.
async fn laws(dialect: Dialect) {
    let bed = bed(dialect);
    let verdicts: Vec<_> = stream::iter(all())
        .map(|law| {
            let verdict = bed.run(law);
            async move { (law, timeout(LAW_TIME_MAX, verdict).await) }
        })
        .buffer_unordered(LAWS_AT_ONCE)
        .collect()
        .await;
    let (mut held, mut skipped) = (0, 0);
    let mut found = BTreeSet::new();
    for (law, verdict) in verdicts {
        match verdict {
            Ok(Ok(Outcome::Held)) => held += 1,
            Ok(Ok(Outcome::Skipped(_))) => skipped += 1,
            Ok(Err(why)) => {
                println!("{}: {why}", law.name);
                found.insert(law.name);
            }
            Err(_) => panic!("{} takes more than {LAW_TIME_MAX:?}", law.name),
        }
    }
    let cases = format!(
        "{held} held, {skipped} not offered, {} by nature",
        found.len()
    );
    println!("dialect {} laws of stores: {cases}", dialect.name());
    assert_eq!(found, broken(dialect).iter().copied().collect());
}

/// What the probe finds out of it: all that is not kept.
fn gaps(dialect: Dialect) -> Vec<(&'static str, Finding)> {
    let conditions =
        |names: &[&'static str], finding| names.iter().map(|n| (*n, finding)).collect();
    match dialect {
        Dialect::PassesOver => conditions(&CONDITIONS, Finding::Ignored),
        Dialect::NoConditions => conditions(&CONDITIONS, Finding::Refused),
        Dialect::BareTags => conditions(&VERSIONS, Finding::Refused),
        Dialect::NoPartCopies => vec![("part-copy", Finding::Refused)],
        Dialect::Plain
        | Dialect::EqualParts
        | Dialect::NoPrefixObjects
        | Dialect::Unordered
        | Dialect::NeedsMd5
        | Dialect::Throttles403
        | Dialect::Lags => vec![],
    }
}

/// Every condition.
const CONDITIONS: [&str; 10] = [
    "put-if-absent",
    "put-if-match",
    "complete-if-absent",
    "complete-if-match",
    "copy-source-if-match",
    "copy-if-absent",
    "copy-if-match",
    "delete-if-match",
    "delete-many-if-match",
    "delete-if-match-atomic",
];

/// Those on a version.
const VERSIONS: [&str; 7] = [
    "put-if-match",
    "complete-if-match",
    "copy-source-if-match",
    "copy-if-match",
    "delete-if-match",
    "delete-many-if-match",
    "delete-if-match-atomic",
];

/// Somebody who knows nothing finds out all of it, and leaves nothing.
async fn found_out(dialect: Dialect) {
    let (server, bucket) = serve(dialect, clock());
    let claimed = Capabilities {
        copy_if: true,
        part_bytes_min: PART_BYTES_MIN,
        ..Capabilities::S3
    };
    let store = tried_again(client(&server, claimed));
    let found = probe(&*store, &SystemClock::new(), 7).await;
    let mut found = found.findings().to_vec();
    found.retain(|(_, finding)| !finding.is_kept());
    assert_eq!(found, gaps(dialect));
    if dialect != Dialect::Lags {
        assert!(bucket.is_empty(), "{:?}", bucket.keys());
    }
    assert_eq!(bucket.uploads_in_progress(), 0);
}

/// Listings of several pages, split or not, give all that is there, once and in order.
async fn listed_whole(dialect: Dialect) {
    let (server, bucket) = serve(dialect, Arc::new(Leaps::default()));
    let mut keys: Vec<Key> = (0..LISTED)
        .map(|n| match n % 50 {
            0 => format!("p/folder {:02}/{n}", n / 1000),
            _ => format!("p/{n:06}"),
        })
        .map(|key| Key::new(key).unwrap())
        .collect();
    keys.sort();
    for key in &keys {
        let payload = Bytes::from_static(b"x").into();
        bucket
            .put(key, payload, PutOptions::default())
            .await
            .unwrap();
    }
    let store = tried_again(client(&server, known(dialect)));
    let request = |by_folder| ListRequest {
        prefix: "p/".to_owned(),
        by_folder,
        ..ListRequest::default()
    };
    let flat = listed(&store, &request(false)).await;
    assert!(names(&flat) == keys, "{} of {LISTED}", flat.objects.len());
    let split = listed(&store, &request(true)).await;
    let in_folder = |key: &&Key| key.as_str().starts_with("p/folder");
    let folders: BTreeSet<&str> = keys
        .iter()
        .filter(in_folder)
        .map(|k| &k.as_str()[..12])
        .collect();
    let found: BTreeSet<&str> = split.prefixes.iter().map(String::as_str).collect();
    assert_eq!(found, folders);
    keys.retain(|key| !in_folder(&key));
    assert!(names(&split) == keys, "{}", split.objects.len());
}

/// All that is listed, as it comes.
async fn listed(store: &Arc<dyn Store>, request: &ListRequest) -> Batch {
    let mut pages = ListPages::new(Box::new(|page| store.list(page)), request, Extent::Whole);
    let mut all = Batch::default();
    while let Some(batch) = pages.next().await.unwrap() {
        all.objects.extend(batch.objects);
        all.prefixes.extend(batch.prefixes);
    }
    all
}

/// In order, each once: pages that come in no order may tell of one twice.
fn names(listed: &Batch) -> Vec<Key> {
    let names: BTreeSet<Key> = listed.objects.iter().map(|o| o.key.clone()).collect();
    names.into_iter().collect()
}

macro_rules! tests {
    ($($name:ident: $dialect:ident,)*) => {
        $(mod $name {
            use cloudmount_testkit::Dialect;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_laws_of_stores_hold() {
                super::laws(Dialect::$dialect).await;
            }

            #[tokio::test]
            async fn the_probe_finds_it_out() {
                super::found_out(Dialect::$dialect).await;
            }

            #[tokio::test]
            async fn a_large_folder_is_listed_whole() {
                super::listed_whole(Dialect::$dialect).await;
            }
        })*
    };
}

cloudmount_testkit::for_each_dialect!(tests);
