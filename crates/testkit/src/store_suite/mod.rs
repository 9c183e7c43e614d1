//! The conformance suite for object stores, as a library: what CloudMount needs of a
//! [`Store`](cloudmount_store::Store), law by law.
//!
//! Laws of the suite itself: a law asks only for what the trait promises, never for what one backend
//! happens to do; what a store cannot do by its own word ([`Capabilities`] or [`Limits`]) is
//! reported as [`Outcome::Skipped`], never passed over in silence; every law works below a prefix of
//! its own, so that the suite runs on a bucket that others use too.
//!
//! In an integration test, one `#[test]` for each law, on a store made afresh for each:
//!
//! ```text
//! // tests/it/main.rs
//! mod memory_store {
//!     use cloudmount_testkit::store_suite::Bed;
//!
//!     fn bed() -> Bed { Bed::new(Arc::new(MyStore::new())) }
//!
//!     mod laws { cloudmount_testkit::store_tests!(crate::memory_store::bed); }
//! }
//! ```
//!
//! Or all of them in a loop, on one bucket that others use too:
//!
//! ```
//! # use std::sync::Arc;
//! # use cloudmount_store::MemoryStore;
//! # use cloudmount_vfs::SystemClock;
//! use cloudmount_testkit::store_suite::{Bed, Outcome, all};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = Arc::new(MemoryStore::new(Arc::new(SystemClock::new())));
//! let bed = Bed::new(store).below("run-17/");
//! for law in all() {
//!     match bed.run(law).await? {
//!         Outcome::Held => {}
//!         Outcome::Skipped(reason) => println!("{} skipped: {reason}", law.name),
//!     }
//! }
//! # Ok(()) }) }
//! ```
//!
//! [`Capabilities`]: cloudmount_store::Capabilities

mod area;
mod bed;
mod verdict;

pub mod copy;
pub mod delete;
pub mod keys;
pub mod listing;
pub mod markers;
pub mod metadata;
pub mod multipart;
pub mod objects;
pub mod preconditions;
pub mod ranges;
pub mod reference;
pub mod tags;
pub mod uploads;

use std::time::Duration;

use cloudmount_vfs::BoxFuture;

pub use self::area::{Area, pattern};
pub use self::bed::{Bed, KeyShape, Limits, Listings};
pub use self::verdict::{Broken, Outcome, Verdict};

/// How long one law may take on one store: a listing of 1,005 keys against a distant bucket takes
/// less than a minute.
const LAW_TIME_MAX: Duration = Duration::from_secs(120);

/// A law of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    /// The module that it is in.
    pub theme: &'static str,
    /// Its name, which says what it demands.
    pub name: &'static str,
    /// Tries it.
    pub run: LawFn,
}

/// The function of a law.
pub type LawFn = for<'a> fn(&'a Area<'a>) -> BoxFuture<'a, Verdict>;

/// Every law, with the macro `$callback` called on the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_laws {
    ($callback:ident [$($args:tt)*]) => {
        $crate::$callback! {
            [$($args)*]
            objects: [
                a_put_object_opens_to_its_bytes,
                an_empty_object_is_an_object,
                pieces_are_joined,
                a_large_object_arrives_whole,
                head_and_get_tell_the_same,
                what_is_missing_is_not_found,
                a_rewrite_replaces_content_and_version,
                an_old_reader_never_gets_a_mixture,
                concurrent_writers_leave_one_whole_object,
            ]
            ranges: [
                every_range_of_a_small_object,
                ranges_across_large_pieces,
                a_range_over_the_end_is_cut,
                a_range_after_the_end_is_an_error,
                the_version_is_checked_before_the_range,
            ]
            preconditions: [
                absent_creates_and_never_replaces,
                matches_replaces_only_that_version,
                matches_needs_an_object,
                a_deleted_key_is_absent,
                a_read_can_insist_on_a_version,
                one_of_many_creators_wins,
                one_of_many_replacers_wins,
                what_cannot_be_checked_is_refused,
            ]
            metadata: [
                everything_given_comes_back,
                values_come_back_as_they_were,
                two_kibibytes_of_user_metadata_are_kept,
                a_rewrite_forgets_the_old_metadata,
                unwanted_metadata_are_not_invented,
            ]
            listing: [
                an_empty_listing_is_one_empty_page,
                keys_come_once_and_in_byte_order,
                folders_group_what_is_below_them,
                a_prefix_may_end_anywhere,
                a_listing_tells_what_head_tells,
                start_after_skips,
                start_after_inside_a_folder,
                every_page_size_gives_the_same,
                more_than_one_full_page,
                a_listing_shows_writes_and_deletes_at_once,
                a_folder_goes_with_its_last_key,
                pages_go_on_while_keys_come_and_go,
            ]
            keys: [
                hard_keys_open_to_their_own_bytes,
                hard_keys_are_listed_once_flat,
                hard_keys_are_listed_once_by_folder,
                hard_keys_are_deleted_one_by_one,
                hard_keys_can_be_copied_and_uploaded_in_parts,
                a_key_of_little_but_slashes,
                a_file_beside_a_folder_of_its_name,
                names_that_differ_little_are_different,
            ]
            multipart: [
                parts_are_joined_by_number,
                a_single_part_may_be_small,
                a_part_sent_again_replaces_the_first,
                nothing_shows_before_completion,
                completion_replaces_what_is_there,
                metadata_of_the_start_are_kept,
                an_aborted_upload_is_gone,
                a_completed_upload_is_gone,
                an_upload_belongs_to_its_key,
                a_wrong_list_of_parts_is_refused,
                completion_can_insist_on_absence,
                completion_can_insist_on_a_version,
                a_part_can_be_copied,
                a_part_copy_can_insist_on_a_version,
                many_parts,
            ]
            tags: [
                tags_are_counted_and_read,
                uploads_in_parts_keep_the_tags_they_were_begun_with,
                a_copy_has_the_tags_of_its_source,
                a_copy_has_the_tags_that_it_is_given,
                tags_that_would_be_lost_are_refused,
            ]
            uploads: [
                uploads_in_progress_are_listed,
            ]
            copy: [
                a_copy_keeps_or_replaces_metadata,
                a_copy_onto_itself_replaces_metadata,
                a_copy_replaces_its_target_and_outlives_its_source,
                a_copy_of_nothing_is_not_found,
                a_copy_can_insist_on_its_source,
                a_copy_can_insist_on_its_target,
            ]
            delete: [
                a_deleted_object_is_gone,
                deleting_nothing_succeeds,
                many_at_once_are_answered_in_order,
                a_deleted_key_can_be_written_again,
                a_removal_can_insist_on_its_version,
                many_removals_insist_each_on_its_own,
                a_removal_and_a_write_do_not_both_win,
            ]
            markers: [
                a_marker_is_an_object,
                a_marker_keeps_metadata,
                a_marker_with_content_opens_to_it,
                a_marker_can_be_rewritten_and_checked,
                a_marker_lives_apart_from_the_keys_below,
                keys_below_outlive_their_marker,
                nested_markers,
            ]
            reference: [
                random_operations_give_what_a_map_gives,
            ]
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_law_table {
    ([] $($theme:ident: [$($law:ident,)*])*) => {
        vec![$($($crate::store_suite::Law {
            theme: stringify!($theme),
            name: stringify!($law),
            run: |area| Box::pin($crate::store_suite::$theme::$law(area)),
        },)*)*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_law_tests {
    ([$make:path] $($theme:ident: [$($law:ident,)*])*) => {
        $(mod $theme {
            $(#[test]
            fn $law() {
                $crate::store_suite::check(
                    $crate::store_suite::Law {
                        theme: stringify!($theme),
                        name: stringify!($law),
                        run: |area| Box::pin($crate::store_suite::$theme::$law(area)),
                    },
                    $make,
                );
            })*
        })*
    };
}

/// One `#[test]` for each law of the suite, grouped by theme, on the store that `$make` gives:
/// a `fn() -> Bed`, called within a tokio runtime. Use it in a module of its own, and name
/// the function by a path that starts at `crate`.
#[macro_export]
macro_rules! store_tests {
    ($make:path) => {
        $crate::__store_laws!(__store_law_tests[$make]);
    };
}

/// Every law, by theme.
#[must_use]
pub fn all() -> Vec<Law> {
    crate::__store_laws!(__store_law_table [])
}

/// Tries one law on the bed that `make` gives, on a runtime of its own.
///
/// # Panics
/// If the law is broken or takes longer than two minutes: that fails the test that calls this.
pub fn check(law: Law, make: impl FnOnce() -> Bed) {
    let runtime = (tokio::runtime::Builder::new_multi_thread())
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the machine has threads for a test");
    let outcome = runtime.block_on(async {
        let bed = make();
        (tokio::time::timeout(LAW_TIME_MAX, bed.run(law)).await)
            .unwrap_or_else(|_| Err(Broken::new(format!("not done after {LAW_TIME_MAX:?}"))))
    });
    let Law { theme, name, .. } = law;
    match outcome {
        Ok(Outcome::Held) => {}
        Ok(Outcome::Skipped(reason)) => note_skip(theme, name, reason),
        Err(broken) => {
            let held = false;
            assert!(held, "{theme}::{name} is broken: {broken}");
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a skip must be seen in the output of the tests"
)]
fn note_skip(theme: &str, name: &str, reason: &str) {
    eprintln!("{theme}::{name} skipped: {reason}");
}

#[cfg(test)]
mod tests;
