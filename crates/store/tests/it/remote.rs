//! The adapter over `object_store`, on that crate's own store in memory: the laws of all stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloudmount_store::Remote;
use cloudmount_store::object_store::memory::InMemory;
use cloudmount_testkit::store_suite::{Bed, KeyShape, Limits, Listings, Outcome, all};

/// What `object_store::path::Path` cannot say; the suite's reserved keys have `..` in them.
const LIMITS: Limits = Limits {
    refused_keys: &[
        KeyShape::EmptyPart,
        KeyShape::DotPart,
        KeyShape::Control,
        KeyShape::Nul,
        KeyShape::Marker,
        KeyShape::Reserved,
    ],
    listings: Listings::InOrder,
};

/// Copies through `object_store` cannot replace metadata.
const COPIES: [&str; 2] = [
    "a_copy_keeps_or_replaces_metadata",
    "a_copy_onto_itself_replaces_metadata",
];

/// The laws that are broken, each on a bed of its own, but for those of one theme.
async fn broken(bed: impl Fn() -> Bed, but_for: Option<&str>) -> BTreeSet<&'static str> {
    let mut broken = BTreeSet::new();
    for law in all() {
        if but_for == Some(law.theme) {
            continue;
        }
        match bed().run(law).await {
            Ok(Outcome::Held | Outcome::Skipped(_)) => {}
            Err(why) => {
                println!("{}: {why}", law.name);
                broken.insert(law.name);
            }
        }
    }
    broken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn laws_without_uploads() {
    let bed = || {
        let remote = Remote::new(Arc::new(InMemory::new()));
        Bed::new(Arc::new(remote)).with_limits(LIMITS)
    };
    let mut expected: BTreeSet<&str> = COPIES.into();
    expected.insert("hard_keys_can_be_copied_and_uploaded_in_parts");
    assert_eq!(broken(bed, Some("multipart")).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn laws_with_uploads() {
    let bed = || {
        let memory = Arc::new(InMemory::new());
        let remote = Remote::new(Arc::clone(&memory) as Arc<_>).with_uploads(memory);
        Bed::new(Arc::new(remote)).with_limits(LIMITS)
    };
    let mut expected: BTreeSet<&str> = COPIES.into();
    expected.extend([
        // `object_store` numbers parts by their place.
        "parts_are_joined_by_number",
        // Its store in memory gives parts no tags, ties uploads to no key, takes empty ones, and
        // does not say "not found" of an unknown one.
        "a_part_sent_again_replaces_the_first",
        "an_upload_belongs_to_its_key",
        "a_wrong_list_of_parts_is_refused",
        "an_aborted_upload_is_gone",
        "a_completed_upload_is_gone",
    ]);
    assert_eq!(broken(bed, None).await, expected);
}
